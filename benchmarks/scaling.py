"""How time and memory grow with the rows of P8, from 10^4 to 10^7.

The number of schools stays the same.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.children import SECONDS_TO_START, Child
from benchmarks.libraries import Library
from benchmarks.problems import Problem, stored
from benchmarks.problems.students import COVARIATES, STUDENTS, grouped
from benchmarks.report import pipes
from benchmarks.runner import Settings, toy
from benchmarks.tables import Columns, read_columns, used_bytes

__all__ = ["STEPS", "measure", "to_markdown"]

STAGES = Library("mixedfast", "mixedfast_stages.py", module="mixedfast")
STEPS = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
SCHOOLS = 1_000


def students_in(rows: int) -> Problem:
    def table(rng: np.random.Generator, scale: float) -> Columns:
        return grouped(rng, rows, SCHOOLS, COVARIATES, "school")

    return Problem(f"P8-{rows}", f"{rows:,} students in {SCHOOLS:,} schools", STUDENTS, table)


def measure(
    settings: Settings, data: Path, say: Callable[[str], None], steps: Sequence[int] = STEPS
) -> list[dict]:
    """Return a point for each number of rows.

    Each has medians of `assembly` and `after` in seconds, and memory in bytes.
    """
    points = []
    for rows in steps:
        table = stored(students_in(rows), data, settings.seed)
        used = used_bytes(read_columns(table))
        child = Child(STAGES, ["standard errors"], toy(data), table, settings.threads)
        try:
            child.settle(child.answer(SECONDS_TO_START)["blas"])
            fits = [child.fit("standard errors", settings.limit) for _ in range(settings.repeat)]
            peak = child.memory("VmHWM")
        finally:
            child.end()
        point = {name: statistics.median(f[name] for f in fits) for name in ("assembly", "after")}
        point |= {
            "rows": rows,
            "column_bytes": used,
            "loaded_bytes": child.loaded_bytes,
            "peak_bytes": peak,
        }
        point["seconds_a_row"] = (point["assembly"] + point["after"]) / rows
        say(f"{rows:>10,} rows: {point['assembly']:.4g} s reading, {point['after']:.4g} s after")
        points.append(point)
    return points


def to_markdown(record: dict) -> str:
    machine = record["machine"]
    header = (
        "rows",
        "reading the rows",
        "fit after reading",
        "ns per row",
        "peak memory",
        "size of the columns used",
        "peak / columns",
    )
    body = [
        (
            f"{p['rows']:,}",
            f"{p['assembly']:.3g} s",
            f"{p['after']:.3g} s",
            f"{1e9 * p['seconds_a_row']:.0f}",
            f"{p['peak_bytes'] / 2**20:.0f} MiB",
            f"{p['column_bytes'] / 2**20:.0f} MiB",
            f"{p['peak_bytes'] / p['column_bytes']:.2f}",
            f"{p['column_bytes'] / p['assembly'] / machine['copy_bytes_per_second']:.0%}",
        )
        for p in record["points"]
    ]
    about = (
        f"{machine['date']}, {machine['cpu']}, {machine['threads']} threads. The machine copies "
        f"{machine['copy_bytes_per_second'] / 1e9:.1f} GB/s (reads and writes)."
    )
    title, table = (
        f"# Scaling of problem P8, {SCHOOLS:,} schools",
        pipes((*header, "reading / copy bandwidth"), body),
    )
    return "\n\n".join([title, about, table]) + "\n"
