"""A hundred million students in Parquet: made, read, and fitted, each by a command of its own.

    python -m benchmarks.larger_than_memory make FOLDER [--files 100] [--rows 1000000] [--schools
    100000] python -m benchmarks.larger_than_memory read FOLDER /usr/bin/time -v python -m
    benchmarks.larger_than_memory fit FOLDER

``read`` decodes the same columns with the same threads and does nothing with them: the rate that ``fit`` is measured against.
Every command prints rows, seconds on the clock, CPU seconds, rows a second and the process's peak
memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

FORMULA = "y ~ x1 + x2 + (1 + x1 | school)"
COLUMNS = ("y", "x1", "x2", "school")
BETA, SD_SCHOOL, SD_ROW = (50.0, 2.0, -1.0), (3.0, 0.8), 8.0


def make(folder: Path, files: int, rows: int, schools: int) -> int:
    """Write scores with three decimals, students in the order they came.

    Every file holds students of every school.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    effects = np.random.default_rng(0).normal(size=(schools, 2)) * SD_SCHOOL
    for i in range(files):
        rng = np.random.default_rng([1, i])
        school = rng.integers(0, schools, rows, dtype=np.int32)
        x1, x2 = rng.normal(size=(2, rows)).round(3)
        own = effects[school]
        y = (
            BETA[0]
            + own[:, 0]
            + (BETA[1] + own[:, 1]) * x1
            + BETA[2] * x2
            + SD_ROW * rng.normal(size=rows)
        )
        table = pa.table({"y": y.round(3), "x1": x1, "x2": x2, "school": school})
        pq.write_table(table, folder / f"students-{i:04d}.parquet", compression="zstd")
    return files * rows


def read(folder: Path) -> int:
    """Decode what the fit decodes, with as many threads, twice, as the fit does."""
    from mixedfast.data.sources import as_source
    from mixedfast.data.work_units import Unit

    def rows_of(unit: Unit) -> int:
        return sum(table.num_rows for table in unit.read())

    with ThreadPoolExecutor(os.cpu_count()) as workers:
        return sum(workers.map(rows_of, as_source(folder).units(COLUMNS)))


def fit(folder: Path, levels: int | None) -> int:
    """Fit the model: in one pass when the number of schools is given, otherwise in two."""
    import mixedfast as mf

    known = None if levels is None else {"school": np.arange(levels)}
    m = mf.lmer(FORMULA, folder, levels=known, progress=True)
    print(m.summary())
    return m.nobs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["make", "read", "fit"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--schools", type=int, default=100_000)
    parser.add_argument("--one-pass", action="store_true", help="give the levels")
    given = parser.parse_args()
    start, cpu = time.perf_counter(), time.process_time()
    if given.what == "make":
        rows = make(given.folder, given.files, given.rows, given.schools)
    elif given.what == "read":
        rows = read(given.folder)
    else:
        rows = fit(given.folder, given.schools if given.one_pass else None)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{given.what}: {rows:,} rows, {seconds:.1f} s ({cpu:.1f} s of CPU), {rows / seconds / 1e6:.2f} million rows/s, "
        f"peak {peak:.0f} MiB"
    )


if __name__ == "__main__":
    main()
