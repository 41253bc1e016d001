"""Statistics of whole columns from those of their parts, for transforms like ``scale()``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfast._stored import stored
from mixedfast.formula.expressions import Stateful

__all__ = ["ColumnStatistics", "state_of"]


def _check_moments(fields: Any) -> Iterator[str]:
    if fields.n and not (
        math.isfinite(fields.squares) and fields.squares >= 0.0 and fields.low <= fields.high
    ):
        yield "a Moments does not hold numbers"


@stored("Moments", relations=_check_moments)
@dataclass(frozen=True)
class ColumnStatistics:
    """Statistics of a column, which add (Chan et al. 1983).

    Parameters
    ----------
    n : int
    mean : float
    squares : float
        Sum of squares about the mean.
    low, high : float
        Smallest and largest value.
    """

    n: int
    mean: float
    squares: float
    low: float
    high: float

    @classmethod
    def of(cls, values: np.ndarray) -> ColumnStatistics:
        """Compute the statistics of some values."""
        if not len(values):
            return cls(0, 0.0, 0.0, np.inf, -np.inf)
        mean = float(values.mean())
        return cls(
            len(values),
            mean,
            float(((values - mean) ** 2).sum()),
            float(values.min()),
            float(values.max()),
        )

    def __add__(self, other: ColumnStatistics) -> ColumnStatistics:
        n = self.n + other.n
        if not n:
            return self
        step = other.mean - self.mean
        squares = self.squares + other.squares + step**2 * self.n * other.n / n
        mean = self.mean + step * other.n / n
        return ColumnStatistics(
            n, mean, squares, min(self.low, other.low), max(self.high, other.high)
        )


def state_of(call: Stateful, statistics: ColumnStatistics) -> dict[str, Any]:
    """Return the state that formulaic keeps of a transform of whole columns."""
    given = dict(call.arguments)
    if call.function == "bs":
        # formulaic places the knots between these bounds
        low, high = given.get("lower_bound"), given.get("upper_bound")
        return {
            "lower_bound": statistics.low if low is None else low,
            "upper_bound": statistics.high if high is None else high,
        }
    default_ddof = 0 if call.function == "standardize" else 1
    ddof = given.get("ddof", default_ddof)
    center = given.get("center", True)
    spread = (
        False
        if call.function == "center"
        else given.get("rescale" if call.function == "standardize" else "scale", True)
    )
    middle = statistics.mean if center is True else None if center is False else center
    about = 0.0 if middle is None else float(middle)
    squares = statistics.squares + statistics.n * (statistics.mean - about) ** 2
    width = (
        float(np.sqrt(squares / (statistics.n - ddof)))
        if spread is True
        else None
        if spread is False
        else spread
    )
    return {"ddof": ddof, "center": middle, "scale": width}
