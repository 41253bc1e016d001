"""Does a fit leave memory behind? `make leaks`.

Resident memory over 10,000 fits and their tables in each engine must stay where it was after the
first thousand; and a few fits under valgrind's memcheck must lose no block that one of our
libraries, or CHOLMOD, asked for.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: Frames that make a lost block ours.
OURS = re.compile(
    r"mixedfast/_\w+\.|libcholmod|lib(c|cc|col)?amd|libmetis|libsuitesparse|\bmf_|selinv_"
)
#: Growth after the first tenth that is no leak: what the allocator keeps in hand.
ALLOWED_KIB = 2048
ENGINES = ("block", "cholmod")


def a_table(n: int = 400) -> dict[str, object]:
    import numpy as np

    rng = np.random.default_rng(0)
    g, h, x = rng.integers(0, 30, n), rng.integers(0, 12, n), rng.normal(size=n)
    y = 1.0 + x + rng.normal(size=30)[g] + rng.normal(size=12)[h] + rng.normal(size=n)
    return {"y": y, "x": x, "g": g, "h": h}


def fits(engine: str, count: int) -> None:
    """Fits of one engine and what users ask of them."""
    import mixedfast as mf

    table = a_table()
    warnings.simplefilter("ignore", mf.SingularFitWarning)
    for i in range(count):
        m = mf.lmer("y ~ x + (x | g) + (1 | h)", table, engine=engine)
        m.ranef()
        if i % 5 == 0:
            m.coef_table()


def resident_kib() -> int:
    """Memory of this process that is in use now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def flat(engine: str, count: int) -> bool:
    """Print resident memory at each tenth of the fits; whether it stays."""
    seen = []
    for _ in range(10):
        fits(engine, count // 10)
        gc.collect()
        seen.append(resident_kib())
    growth = max(seen[1:]) - seen[0]
    told = f"{seen[0] / 1024:.1f} MiB after the first tenth, {growth:+} KiB at most after that"
    print(f"{engine:8} {count:6,} fits: {told}", flush=True)
    return growth <= ALLOWED_KIB


def is_ours(record: str) -> bool:
    """Whether one of the package's libraries is in a stack of the record.

    Deeper than Python's own code does not count.

    A lock of ours may be held while Python imports something: what the loader forgets there is not
    ours.
    """
    stacks = record.split(" Address 0x")
    return any(OURS.search(stack.split("_PyEval_EvalFrameDefault")[0]) for stack in stacks)


def lost(engine: str, count: int) -> list[str]:
    """Return the package's blocks that valgrind's memcheck calls definitely lost."""
    call = [
        "valgrind",
        "--leak-check=full",
        "--show-leak-kinds=definite",
        "--num-callers=40",
        "--error-limit=no",
        "--undef-value-errors=no",
        sys.executable,
        __file__,
        "--fits",
        str(count),
        "--engine",
        engine,
    ]
    # Python's own allocator hides blocks from valgrind; one thread, because valgrind runs one at a
    # time
    environment = {**os.environ, "PYTHONMALLOC": "malloc", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(call, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"valgrind ended with status {done.returncode}:\n{done.stderr[-3000:]}")
    records = re.split(r"==\d+== \n", done.stderr)
    mine = [
        record
        for record in records
        if "definitely lost in loss record" in record and is_ours(record)
    ]
    # the loader reads strings eight bytes at a time, past their ends: no business of ours
    invalid = [
        record
        for record in records
        if re.search(r"Invalid (read|write|free)", record) and is_ours(record)
    ]
    total = re.search(r"definitely lost: [^\n]*", done.stderr)
    print(
        f"{engine:8} {count:6,} fits under memcheck: {len(mine)} blocks of ours lost, {len(invalid)} invalid reads or writes "
        f"(of the whole process, Python's own included: {total[0] if total else 'nothing lost'})"
    )
    return mine + invalid


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fits", type=int, help="only fit so many models, and print nothing")
    parser.add_argument(
        "--flat", type=int, help="only look at resident memory over so many fits of one engine"
    )
    parser.add_argument("--engine", choices=ENGINES, default="cholmod")
    parser.add_argument(
        "--count", type=int, default=10_000, help="fits whose resident memory is looked at"
    )
    options = parser.parse_args()
    if options.fits:
        fits(options.engine, options.fits)
        return 0
    if options.flat:
        return 0 if flat(options.engine, options.flat) else 1
    # a process for each: what one engine grew would hide what the other grows
    call = [sys.executable, __file__, "--flat", str(options.count), "--engine"]
    grown = [engine for engine in ENGINES if subprocess.run([*call, engine]).returncode]
    leaks = []
    if shutil.which("valgrind") is None:
        print("valgrind is not here (Debian: valgrind): resident memory only")
    else:
        leaks = [record for engine in ENGINES for record in lost(engine, 5)]
    for record in leaks:
        print(record)
    print(f"{'nothing leaks' if not grown and not leaks else 'LEAKS'}")
    return 1 if grown or leaks else 0


if __name__ == "__main__":
    sys.exit(main())
