"""Fit every model of the corpus and print the table of README.md.

``python tests/torture/table.py``.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from corpus import CORPUS, all_cases
from families import Case
from verdict import REASONS, REFEREE, Verdict, examine

HEAD = (
    "family",
    "models",
    "refused",
    "residual runs to zero",
    "rounding said",
    "singular",
    "worst above our starts",
    "R's best checks",
    "worst above R's best",
    "R's best is above ours by up to",
    "R's optimizers disagree",
)
#: R's optimizers disagree when their criteria differ by more.
APART = 1e-4


def row(family: str, cases: list[Case], found: list[Verdict]) -> tuple[str, ...]:
    asked = [REFEREE[case.name]["spread"] for case in cases if case.name in REFEREE]
    runs = [sum(verdict.reason == reason for verdict in found) for reason in REASONS]
    above_r = [verdict.above_r for verdict in found]
    refused = len(cases) - len(found)
    return (
        family,
        str(len(cases)),
        str(refused),
        *map(str, runs),
        str(sum(verdict.singular for verdict in found)),
        _worst(verdict.above_starts for verdict in found),
        f"{_live(found)} of {len(asked)}",
        _worst(above_r),
        _worst(-value for value in above_r),
        f"{sum(spread > APART for spread in asked)} of {len(asked)}",
    )


def _live(found: list[Verdict]) -> int:
    """Return the models to compare with R's best.

    Those that did not converge are left out: there is no lowest criterion.
    """
    return sum(bool(np.isfinite(verdict.above_r)) for verdict in found)


def _worst(values: Iterable[float]) -> str:
    known = [value for value in values if np.isfinite(value)]
    if not known:
        return ""
    return f"{max(known):.0e}" if max(known) > 0.0 else "none"


def main() -> None:
    print("| " + " | ".join(HEAD) + " |\n" + "|---" * len(HEAD) + "|")
    everything = list(all_cases())
    checked = 0
    for family in CORPUS:
        cases = [case for case in everything if case.name.rsplit("_", 1)[0] == family.__name__]
        found = [examine(case) for case in cases if case.refused is None]
        checked += _live(found)
        print("| " + " | ".join(row(family.__name__, cases, found)) + " |", flush=True)
    print(f"\n{len(everything)} models; R's best is known of {len(REFEREE)} and checks {checked}.")


if __name__ == "__main__":
    main()
