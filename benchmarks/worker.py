"""A child process that holds one table and one library, and fits when told to.

    python -m benchmarks.worker ADAPTER TASK,TASK TOY_TABLE TABLE

Speaks lines of JSON behind a mark on standard output: once `ready` (after each task was done
untimed on the toy table, so that imports and caches are warm), then an answer for every line it
reads, which names a task. worker.R speaks the same.
"""

from __future__ import annotations

import gc
import importlib
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from benchmarks.model import Unsupported
from benchmarks.tables import read_columns, read_model

MARK = "@benchmark "
#: Seconds of fits that are timed in one turn.
BURST = 0.05


def say(**message: object) -> None:
    print(MARK + json.dumps(message), flush=True)


def blas() -> list[str]:
    """Return the linear algebra libraries that are loaded, with their threads."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return ["unknown (no threadpoolctl)"]
    return sorted(
        {f"{p['internal_api']} {p['version'] or ''} x{p['num_threads']}" for p in threadpool_info()}
    )


def main(adapter: str, tasks: str, toy: str, table: str) -> None:
    warnings.simplefilter(
        "ignore"
    )  # a benchmark reads the flags; the report says who did not converge
    library = importlib.import_module(f"benchmarks.libraries.{adapter.removesuffix('.py')}")
    model, columns = read_model(Path(table)), read_columns(Path(table))
    try:
        data = library.prepare(model, columns)
    except Unsupported as reason:
        say(unsupported=str(reason))
        return
    del columns
    small = read_model(Path(toy))
    for task in tasks.split(","):
        library.run(small, library.prepare(small, read_columns(Path(toy))), task)
    say(ready=True, blas=blas())
    for line in sys.stdin:
        gc.collect()
        try:
            seconds, cpu, fitted = burst(lambda task: library.run(model, data, task), line.strip())
        except Unsupported as reason:
            say(unsupported=str(reason))
            return
        say(seconds=seconds, cpu=cpu, **library.answers(model, fitted))
        del fitted


def burst(fit: Callable[[str], object], task: str) -> tuple[float, float, object]:
    """Return median seconds, median CPU seconds, and the last of some fits.

    There are as many as a twentieth of a second allows, and at least one.

    One fit of a millisecond, after others have had the caches, times the caches.
    """
    times: list[tuple[float, float]] = []
    while sum(seconds for seconds, _ in times) < BURST:
        start, start_cpu = time.perf_counter(), time.process_time()
        fitted = fit(task)
        times.append((time.perf_counter() - start, time.process_time() - start_cpu))
    return *(statistics.median(part) for part in zip(*times, strict=True)), fitted


if __name__ == "__main__":
    main(*sys.argv[1:])
