"""The models of the corpus.

``all_cases()`` are all, ``sample()`` are two of each family, and ``documented_cases()`` those with a
folder of their own, which says what each taught.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from combined import COMBINED
from families import FAMILIES, Case
from reported import REPORTED

__all__ = ["CASES", "CORPUS", "all_cases", "documented_cases", "sample"]

#: One folder for each documented case.
CASES = Path(__file__).parent / "cases"

CORPUS: dict[Callable[[int], Case], int] = {**FAMILIES, **REPORTED, **COMBINED}


def _made(family: Callable[[int], Case], seed: int) -> Case:
    case = family(seed)
    return Case(
        f"{family.__name__}_{seed:02d}",
        case.formula,
        case.data,
        case.reml,
        case.refused,
        case.options,
    )


def all_cases() -> Iterator[Case]:
    for family, count in CORPUS.items():
        yield from (_made(family, seed) for seed in range(count))


def sample() -> Iterator[Case]:
    """Two of each family."""
    for family in CORPUS:
        yield from (_made(family, seed) for seed in (1, 2) if seed < CORPUS[family])


def documented_cases() -> Iterator[Case]:
    """Return the models of the folders in `CASES`."""
    for folder in sorted(CASES.iterdir()):
        if folder.is_dir() and not folder.name.startswith("_"):
            for i, case in enumerate(runpy.run_path(str(folder / "models.py"))["MODELS"]):
                yield replace(case, name=f"{folder.name}-{i}")
