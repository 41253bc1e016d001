"""What the machine is, and what it can do at most: copy memory, multiply and factor matrices.

python -m benchmarks.machine      (prints JSON; the threads are those of the environment)
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
from scipy.linalg.blas import dgemm
from scipy.linalg.lapack import dpotrf

from benchmarks.children import ROOT, thread_settings

__all__ = ["describe"]


def describe(threads: int, order: int = 4000) -> dict:
    """Describe the machine, with its limits measured in a child process with `threads` threads."""
    measured = subprocess.run(
        [sys.executable, "-m", "benchmarks.machine", str(order)],
        cwd=ROOT,
        env=os.environ | thread_settings(threads),
        check=True,
        capture_output=True,
        text=True,
    )
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}",
        "date": date.today().isoformat(),
        "threads": threads,
        **json.loads(measured.stdout),
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    fields = dict(
        line.split(":", 1) for line in info.read_text().split("\n\n")[0].splitlines() if ":" in line
    )
    return {key.strip(): value.strip() for key, value in fields.items()}.get(
        "model name", platform.processor()
    )


def limits(order: int, doubles: int = 1 << 25) -> dict:
    """Return the best of several rates per second.

    Bytes copied (read and written), bytes read, and floating-point operations.
    """
    source = np.ones(doubles)
    target = np.empty_like(source)
    a = np.random.default_rng(1).standard_normal((order, order))
    a = np.asfortranarray(a @ a.T + order * np.eye(order))
    copy = best(lambda: np.copyto(target, source))
    return {
        "copy_bytes_per_second": 2 * source.nbytes / copy,
        "read_bytes_per_second": source.nbytes / best(source.sum),
        "dgemm_flops_per_second": 2 * order**3 / best(lambda: dgemm(1.0, a, a), 3),
        "dpotrf_flops_per_second": order**3
        / 3
        / best(lambda: dpotrf(a, lower=1, overwrite_a=0), 3),
        "order": order,
    }


def best(work: Callable[[], object], times: int = 7) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    print(json.dumps(limits(int(sys.argv[1]))))
