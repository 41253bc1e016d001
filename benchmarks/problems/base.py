"""What a problem is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.model import Model
from benchmarks.tables import Columns, write_table

__all__ = ["SEED", "Problem", "stored"]

SEED = 20261124


@dataclass(frozen=True)
class Problem:
    """A problem: `table(rng, scale)` makes its columns.

    `scale` multiplies the number of groups and, with it, of rows.

    `tasks`: what is timed (see libraries). `limit`: seconds after which a fit has nothing more to
    tell. `libraries`: only these are run, the others are known not to get there (`note` says what
    was measured).
    """

    key: str
    title: str
    model: Model
    table: Callable[[np.random.Generator, float], Columns]
    tasks: tuple[str, ...] = ("standard errors",)
    limit: float = math.inf
    libraries: tuple[str, ...] | None = None
    note: str = ""


def stored(problem: Problem, folder: Path, seed: int = SEED, scale: float = 1.0) -> Path:
    """Return the folder of the problem's table, which is written when first needed."""
    place = folder / f"{problem.key}-seed{seed}-scale{scale:g}"
    if not (place / "table.json").exists():
        write_table(place, problem.model, problem.table(np.random.default_rng(seed), scale))
    return place
