"""Categories as codes and levels: factorizing, sorting, dropping and recoding levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixedfast._stored import stored
from mixedfast.data import _codes

__all__ = [
    "Categorical",
    "drop_unused",
    "factorize",
    "labels",
    "recode",
    "sorted_levels",
    "whole_numbers",
]

#: Integers are counted when their range is at most this multiple of the number of rows, else
#: hashed.
_RANGE = 4


def _check_categorical(fields: Any) -> Iterator[str]:
    J = len(fields.levels)
    if len(fields.codes) and not (fields.codes.min() >= -1 and fields.codes.max() < J):
        yield f"codes of a Categorical do not lie from -1 to {J - 1}"


@stored(
    "Categorical", arrays={"codes": "codes n", "levels": "labels J"}, relations=_check_categorical
)
@dataclass(frozen=True, eq=False)
class Categorical:
    """A column of categories.

    Parameters
    ----------
    codes : (n,) int32 array
        Index of each row's level; -1 for a missing value.
    levels : (J,) array
    ordered : bool
    full : bool
        Whether every level is known to occur.
    """

    codes: np.ndarray
    levels: np.ndarray
    ordered: bool = False
    full: bool = False


def factorize(values: np.ndarray) -> Categorical:
    """Factorize a numeric array, with sorted levels; NaN is missing.

    Integers of a small range are counted, other numbers hashed. Rows are not sorted.

    Examples
    --------
    >>> import numpy as np
    >>> found = factorize(np.array([30, 10, 30]))
    >>> found.codes, found.levels
    (array([1, 0, 1], dtype=int32), array([10, 30]))
    """
    if values.dtype.kind == "b":
        codes, used = _codes.factorize_integers(values, 0, 2)
        return Categorical(codes, used.astype(bool), full=True)
    if values.dtype.kind == "f":
        return _hashed(values)
    if not len(values):
        return Categorical(np.empty(0, np.int32), values[:0])
    low, high = int(values.min()), int(values.max())
    if high - low > _RANGE * len(values) + 65536:
        return _hashed(values)
    return Categorical(*_codes.factorize_integers(values, low, high - low + 1), full=True)


def drop_unused(column: Categorical) -> Categorical:
    """Drop the levels that do not occur; the code of missing values stays -1.

    Examples
    --------
    >>> import numpy as np
    >>> kept = drop_unused(Categorical(np.array([2, 0], dtype=np.int32), np.array(["a", "b", "c"])))
    >>> kept.codes, kept.levels.tolist()
    (array([1, 0], dtype=int32), ['a', 'c'])
    """
    if column.full:
        return column
    codes, used = _codes.factorize_integers(column.codes, 0, len(column.levels))
    if len(used) == len(column.levels):
        return replace(column, full=True)
    return Categorical(codes, column.levels[used], column.ordered, full=True)


def recode(column: Categorical, levels: np.ndarray) -> np.ndarray:
    """Return the codes (n,) int32 of a column for another list of levels; -1 for other values.

    Examples
    --------
    >>> import numpy as np
    >>> new = Categorical(np.array([0, 1], dtype=np.int32), np.array(["z", "a"]))
    >>> recode(new, np.array(["a", "b"]))
    array([-1,  0], dtype=int32)
    """
    if column.levels is levels:
        return column.codes
    place = {level: i for i, level in enumerate(levels.tolist())}
    table = np.array(
        [place.get(level, -1) for level in column.levels.tolist()] + [-1], dtype=np.int32
    )
    codes: np.ndarray = table[column.codes]  # the code -1 selects the last entry, which is -1
    return codes


def whole_numbers(values: np.ndarray, known: np.ndarray) -> Categorical:
    """Factorize floats that are whole numbers (those in `known`) or NaN, with sorted levels."""
    if (
        len(known)
        and known.max() - known.min() <= _RANGE * len(values)
        and np.abs(known).max() < 2**53
    ):
        low, high = int(known.min()), int(known.max())
        whole = np.where(np.isnan(values), low - 1, values).astype(np.int64)
        return Categorical(*_codes.factorize_integers(whole, low, high - low + 1), full=True)
    found = _hashed(values)
    return Categorical(found.codes, found.levels.astype(np.int64), full=True)


def _hashed(values: np.ndarray) -> Categorical:
    """Factorize numbers of any range by hashing, with sorted levels; NaN is missing."""
    import pandas as pd

    codes, found = pd.factorize(values, sort=True)
    return Categorical(codes.astype(np.int32), np.asarray(found), full=True)


def sorted_levels(codes: np.ndarray, levels: Sequence[Any] | np.ndarray) -> Categorical:
    """Return a categorical with sorted levels, without those that do not occur."""
    column = drop_unused(Categorical(codes, labels(levels)))
    order = sorted(range(len(column.levels)), key=column.levels.tolist().__getitem__)
    place = np.empty(len(order) + 1, dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    place[-1] = -1
    return Categorical(place[column.codes], column.levels[order], full=True)


def labels(levels: Any) -> np.ndarray:
    """Return levels as a one-dimensional array: numbers as they are, anything else as objects."""
    array = np.asarray(levels)
    if array.dtype.kind in "biuf" and array.ndim == 1:
        return array
    out = np.empty(len(levels), dtype=object)
    out[:] = list(levels)
    return out
