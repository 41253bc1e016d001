"""Every model of the corpus: ``all_cases()``; ``sample()`` two of each family, for every day."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from families import FAMILIES, Case
from reported import REPORTED

__all__ = ["CORPUS", "all_cases", "sample"]

CORPUS: dict[Callable[[int], Case], int] = {**FAMILIES, **REPORTED}


def _made(family: Callable[[int], Case], seed: int) -> Case:
    case = family(seed)
    return Case(f"{family.__name__}_{seed:02d}", case.formula, case.data, case.reml, case.refused, case.options)


def all_cases() -> Iterator[Case]:
    for family, count in CORPUS.items():
        yield from (_made(family, seed) for seed in range(count))


def sample() -> Iterator[Case]:
    """Two of each family."""
    for family in CORPUS:
        yield from (_made(family, seed) for seed in (1, 2) if seed < CORPUS[family])
