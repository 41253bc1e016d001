"""Columns of a model matrix as products of factors.

The columns of a model matrix have much in common: ``x:f[b]`` is ``x`` times a lookup in a table of
zeros and ones. A column therefore consists of references to its factors (an array of the data, the
codes of a categorical variable with a table of one value per level), which are multiplied tile by
tile when the rows are read. A dense n-by-p matrix is made only where it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from mixedfast._stored import stored

__all__ = ["Column", "ColumnFactor", "evaluate", "matrix", "take"]


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
    """A factor of a column: numbers, or codes and a table in which they are looked up.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Any stride. Without a table: float64, float32, int64, int32, int16, int8, uint8 or bool.
        With a table: int32 codes, each in ``0 .. len(table) - 1``.
    table : ndarray, shape (n_levels,), float64, optional
        The value of each code: one column of a contrast matrix, or a 0/1 dummy.

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
    """Return the values of a factor, (n,), of any numeric type; not a copy without a table."""
    return factor.values if factor.table is None else factor.table[factor.values]


def evaluate(column: Column, n: int) -> np.ndarray:
    """Evaluate a column.

    Parameters
    ----------
    column : Column
    n : int
        Number of rows, for the constant.

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
    """Evaluate some columns as a dense matrix, (n, len(columns)) float64, Fortran order.

    For tests, small designs and the few places that need all the numbers at once.

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
    """Take some rows of a column; a slice makes views, an index array makes copies.

    Examples
    --------
    >>> import numpy as np
    >>> evaluate(take((ColumnFactor(np.array([1.0, 2.0, 3.0])),), np.array([2, 0])), 2)
    array([3., 1.])
    """
    return tuple(ColumnFactor(factor.values[rows], factor.table) for factor in column)
