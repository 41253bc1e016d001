"""Columns of a model matrix, kept as products of factors instead of numbers.

A model matrix repeats itself: ``x:f[b]`` is ``x`` times a lookup in a table of zeros and ones.
We keep the pieces (the user's own array, the codes of a categorical variable, a table with one
value a level) and multiply them tile by tile when the rows are read. A dense n-by-p matrix is
never made when it need not be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from mixedfast._stored import stored

__all__ = ["Column", "ColumnFactor", "evaluate", "matrix", "same", "take"]


def _check_factor(fields: Any) -> Iterator[str]:
    if fields.table is None:
        if fields.values.dtype.kind not in "biuf" or fields.values.dtype.name == "float16":
            yield f"values of a Factor have the type {fields.values.dtype}, which no column has"
    elif fields.values.dtype != np.int32:
        yield "values of a Factor with a table are not codes (int32)"
    elif len(fields.values) and not (
        fields.values.min() >= 0 and fields.values.max() < len(fields.table)
    ):
        yield f"codes of a Factor do not lie from 0 to {len(fields.table) - 1}"


@stored("Factor", arrays={"values": "numbers n", "table": "finite c"}, relations=_check_factor)
@dataclass(frozen=True, eq=False)
class ColumnFactor:
    """One factor of a column: numbers as they are, or codes with the value each code stands for.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Any stride. Without a table: float64, float32, int64, int32, int16, int8, uint8 or bool.
        With a table: int32 codes, each in ``0 .. len(table) - 1``.
    table : ndarray, shape (n_levels,), float64, optional
        The value each code stands for: one column of a contrast matrix, or a 0/1 dummy.

    Examples
    --------
    >>> import numpy as np
    >>> sex = ColumnFactor(np.array([0, 1, 1], dtype=np.int32), table=np.array([0.0, 1.0]))
    >>> evaluate((sex,), 3)
    array([0., 1., 1.])
    """

    values: np.ndarray
    table: np.ndarray | None = None


Column: TypeAlias = tuple[ColumnFactor, ...]
"""A product of factors; the empty product ``()`` is the constant 1."""


def _numbers(factor: ColumnFactor) -> np.ndarray:
    """The values of a factor, shape (n,), any numeric dtype; not a copy when there is no table."""
    return factor.values if factor.table is None else factor.table[factor.values]


def evaluate(column: Column, n: int) -> np.ndarray:
    """The numbers of a column.

    Parameters
    ----------
    column : Column
    n : int
        Number of rows; needed because the constant column does not know it.

    Returns
    -------
    ndarray, shape (n,), float64
        Always a new array.

    Examples
    --------
    >>> import numpy as np
    >>> evaluate((), 2)
    array([1., 1.])
    >>> x = ColumnFactor(np.array([1, 2, 3]))
    >>> evaluate((x, x), 3)
    array([1., 4., 9.])
    """
    if not column:
        return np.ones(n)
    product = np.array(_numbers(column[0]), dtype=np.float64)
    for factor in column[1:]:
        product *= _numbers(factor)
    return product


def matrix(columns: Sequence[Column], n: int) -> np.ndarray:
    """The dense matrix of some columns, shape (n, len(columns)), float64, Fortran order.

    For tests, small designs and the few places that do need all the numbers at once.

    Examples
    --------
    >>> import numpy as np
    >>> matrix([(), (ColumnFactor(np.array([5.0, 6.0])),)], 2)
    array([[1., 5.],
           [1., 6.]])
    """
    out = np.empty((n, len(columns)), order="F")
    for j, column in enumerate(columns):
        out[:, j] = evaluate(column, n)
    return out


def take(column: Column, rows: np.ndarray | slice) -> Column:
    """The column on some rows only; a slice makes views, an index array makes copies.

    Examples
    --------
    >>> import numpy as np
    >>> evaluate(take((ColumnFactor(np.array([1.0, 2.0, 3.0])),), np.array([2, 0])), 2)
    array([3., 1.])
    """
    return tuple(ColumnFactor(factor.values[rows], factor.table) for factor in column)


def same(a: Column, b: Column) -> bool:
    """Whether two columns are made of the same arrays in memory, in the same order.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([1.0, 2.0])
    >>> same((ColumnFactor(x),), (ColumnFactor(x),))
    True
    >>> same((ColumnFactor(x),), (ColumnFactor(x.copy()),))
    False
    """
    return len(a) == len(b) and all(
        _same_array(f.values, g.values) and _same_array(f.table, g.table)
        for f, g in zip(a, b, strict=True)
    )


def _same_array(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None:
        return a is b
    return a is b or (
        a.dtype == b.dtype
        and a.shape == b.shape
        and a.strides == b.strides
        and a.__array_interface__["data"][0] == b.__array_interface__["data"][0]
    )
