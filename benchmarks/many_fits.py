"""Small fits and many of them: one fit, refits, bootstraps, subsets, and the first fit of a process.

    python -m benchmarks.many_fits            # medians of seven turns, about two minutes
    python -m benchmarks.many_fits --turns 3

Tasks take turns, so that a machine that slows down does so for all of them.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd

import mixedfast as mf

MODELS = {
    "hsb": "math ~ 1 + ses + (1 + ses | school)",
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
}

#: CPU seconds of the first fit of a process after pandas was imported.
FIRST = """
import time
import pandas
import mixedfast as mf
start = time.process_time()
mf.lmer("math ~ 1 + ses + (1 + ses | school)", mf.load_dataset("hsb")).bse
print(time.process_time() - start)
"""


def subsets(count: int = 10_000) -> pd.DataFrame:
    """Simulate a table of small data sets, 60 rows in 10 groups each."""
    rng = np.random.default_rng(0)
    n = 60 * count
    group = np.tile(np.repeat(np.arange(10), 6), count)
    x = rng.normal(size=n)
    y = 1.0 + 0.5 * x + np.repeat(rng.normal(size=10 * count), 6) + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "g": group, "set": np.repeat(np.arange(count), 60)})


def tasks() -> dict[str, tuple[Callable[[], object], int, str]]:
    """Return what is timed: the call, how often it is repeated in a turn, and the unit."""
    tables = {name: mf.load_dataset(name) for name in MODELS}
    fits = {name: mf.lmer(formula, tables[name]) for name, formula in MODELS.items()}
    found: dict[str, tuple[Callable[[], object], int, str]] = {}
    for name, formula in MODELS.items():
        table = tables[name]
        found[f"lmer, {name}"] = (lambda f=formula, t=table: mf.lmer(f, t).bse, 50, "ms")
        found[f"lmer with Satterthwaite, {name}"] = (
            lambda f=formula, t=table: mf.lmer(f, t).coef_table(),
            50,
            "ms",
        )
    for name in ("sleepstudy", "hsb"):
        m = fits[name]
        Y = m.simulate(10_000, seed=1)
        found[f"refit of 10,000 responses, {name}"] = (
            lambda m=m, Y=Y: m.refit(Y, progress=False),
            1,
            "s",
        )
        found[f"bootstrap of 1,000, {name}"] = (
            lambda m=m: m.bootstrap(1000, seed=1, progress=False),
            1,
            "s",
        )
    data = subsets()
    found["lmer_by, 10,000 subsets"] = (
        lambda: mf.lmer_by("y ~ x + (1 | g)", data, by="set", progress=False),
        1,
        "s",
    )
    return found


def first_fit() -> float:
    """Return the CPU seconds of the first fit of a fresh process."""
    done = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main(turns: int) -> None:
    """Time all tasks in turns and print their medians."""
    warnings.simplefilter("ignore", mf.MixedFastWarning)
    listed = tasks()
    times: dict[str, list[float]] = {name: [] for name in listed}
    first = []
    for call, _, _ in listed.values():
        call()
    for _ in range(turns):
        for name, (call, repeats, _) in listed.items():
            start = time.perf_counter()
            for _ in range(repeats):
                call()
            times[name].append((time.perf_counter() - start) / repeats)
        first.append(first_fit())
    for name, (_, _, unit) in listed.items():
        median = statistics.median(times[name])
        print(f"{name:45} {median * (1e3 if unit == 'ms' else 1.0):8.3f} {unit}")
    print(f"{'first fit of a process':45} {statistics.median(first):8.3f} CPU s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    main(parser.parse_args().turns)
