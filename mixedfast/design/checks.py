"""Checks of values: infinities, labels, weights."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mixedfast.data.categories import Categorical
from mixedfast.data.frames import ColumnData, Numeric
from mixedfast.errors import DataError

__all__ = [
    "check_finite",
    "check_labels",
    "check_missing",
    "check_weight_range",
    "check_weights",
]

#: Weights above this, or below its inverse, give variances that do not fit a double.
_WIDEST_WEIGHT = 1e100


def check_finite(columns: Mapping[str, ColumnData]) -> None:
    """Raise DataError, naming the column, when a numeric column holds an infinity."""
    for name, column in columns.items():
        if isinstance(column, Numeric) and not column.finite:
            finite = np.isfinite(column.values)
            first = int(np.argmin(finite))
            raise DataError(
                f"column {name!r} holds {int((~finite).sum())} infinite values (the first in "
                f"complete row {first}): remove or replace them"
            )


def check_missing(missing: Mapping[str, int], na_action: str) -> None:
    """Raise DataError for an unknown action, or for missing values with ``na_action="raise"``.

    Parameters
    ----------
    missing : dict of str to int
        Missing values by variable.
    na_action : {"omit", "exclude", "raise"}
    """
    if na_action not in ("omit", "exclude", "raise"):
        raise DataError(f"na_action is 'omit', 'exclude' or 'raise', not {na_action!r}")
    if missing and na_action == "raise":
        counts = ", ".join(f"{name!r} ({count})" for name, count in missing.items())
        raise DataError(f"missing values in {counts}: fill them in, or use na_action='omit'")


def check_labels(columns: Mapping[str, ColumnData], n: int) -> None:
    """Raise DataError, naming the column, when a predictor has a different label in each row."""
    for name, column in columns.items():
        if isinstance(column, Categorical) and n > 2 and len(column.levels) == n:
            shown = ", ".join(map(repr, column.levels[:3].tolist()))
            raise DataError(
                f"column {name!r} is a predictor and holds a different label in each of {n} rows "
                f"({shown}, ...): convert it to numbers if that is what they are, or leave it out"
            )


def check_weights(values: np.ndarray) -> None:
    """Raise DataError unless all weights (n,) are positive and of a usable size."""
    wrong = int((values <= 0).sum())
    if wrong:
        raise DataError(f"weights must be positive; {wrong} are zero or negative: drop those rows")
    if len(values):  # a batch may have no complete row
        check_weight_range(float(values.min()), float(values.max()))


def check_weight_range(low: float, high: float) -> None:
    """Raise DataError when the smallest or the largest weight gives variances out of range."""
    if low < 1.0 / _WIDEST_WEIGHT or high > _WIDEST_WEIGHT:
        raise DataError(
            f"weights run from {low:.3g} to {high:.3g}, too far from 1 to compute with: "
            "give them in other units"
        )
