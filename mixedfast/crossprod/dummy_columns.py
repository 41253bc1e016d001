"""Dummy and contrast columns of X: summed by cell, and multiplied out after the rows are read.

A dummy or contrast column is a table looked up with codes, so it is a number in each cell of its
factors, and ``x:f`` is a multiple of ``x`` plus a number there. With E the columns [1 x] of every
cell, zero outside it, such columns are E T', where the table T has the contrasts, shifts and scales
of the model. Their products are T E'E T' and Z'E T'. The products with E take a few additions per
row where fifty dummies take a thousand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._stored import stored
from mixedfast.crossprod.pool import Placed
from mixedfast.crossprod.scaling import column_key

if TYPE_CHECKING:
    from mixedfast.design.columns import Column

__all__ = ["Cells", "Expansion", "by_cell", "square"]

#: Fewer columns are multiplied row by row as fast.
_FEWEST_COLUMNS = 8
#: Rows times squared columns from which sums by cell are faster: row by row they take 0.035 ns
#: each, multiplying out half a millisecond.
_WORTH = 15e6
#: Largest number of sums per column of X. With more, the cells outnumber the columns, and the time
#: saved over rows is lost over cells.
_MOST_SUMS = 2
#: Average number of rows per cell, and per level of a grouping factor, from which multiplying out
#: their sums is faster than multiplying rows.
_ROWS = 8


def _check_expansion(fields: Any) -> Iterator[str]:
    if fields.width < 1 or fields.table.shape[1] % fields.width:
        yield f"the table of an Expansion is not cells of {fields.width} columns"


@stored(
    "Expansion", arrays={"places": "places m", "table": "finite m c"}, relations=_check_expansion
)
@dataclass(frozen=True, eq=False)
class Expansion:
    """Map from sums by cell to the columns of [X y]; no rows.

    Parameters
    ----------
    places : (m,) int array
        Places of the columns in [X y].
    width : int
        Number of columns of the base, k.
    table : (m, cells * k) array
        Column j is ``sum_b table[j, c * k + b] base_b`` in cell c.
    """

    places: np.ndarray
    width: int
    table: np.ndarray

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.table.shape[1] // self.width


@dataclass(frozen=True, eq=False)
class Cells:
    """Columns of [X y] on the same factors.

    Parameters
    ----------
    codes : tuple of (n,) int32 arrays
    levels : tuple of int
        Of each factor; in the numbers of the cells the last factor varies fastest.
    base : tuple of (column, shift, scale), length k
        The constant, and the numeric variables that the columns multiply.
    expansion : Expansion
    """

    codes: tuple[np.ndarray, ...]
    levels: tuple[int, ...]
    base: tuple[Placed, ...]
    expansion: Expansion


def by_cell(columns: Sequence[Placed], n: int, most_effects: int) -> list[Cells]:
    """Choose the columns of [X y] to sum by cell.

    A column that multiplies a numeric variable is chosen only if that variable is a column itself:
    its shift keeps the sums within a cell near zero.

    Parameters
    ----------
    columns : sequence of (column, shift, scale)
    n : int
        Number of rows.
    most_effects : int
        Number of random effects of the grouping factor with most of them.

    Returns
    -------
    list of Cells
    """
    if n < _ROWS * most_effects or len(columns) < _FEWEST_COLUMNS or n * len(columns) ** 2 < _WORTH:
        return []
    plain = {
        column_key(column): (column, shift, scale)
        for column, shift, scale in columns
        if not _coded(column)
    }
    members: dict[frozenset[int], list[int]] = {}
    for j, (column, _, _) in enumerate(columns):
        if _coded(column) and (not (u := _numeric(column)) or column_key(u) in plain):
            members.setdefault(frozenset(id(f.values) for f in _coded(column)), []).append(j)
    found = []
    while members:
        widest = max(members, key=len)
        inside = [key for key in members if key <= widest]
        made = _cells(columns, sorted(j for key in inside for j in members[key]), plain, n)
        for key in inside if made else [widest]:
            del members[key]
        if made:
            found.append(made)
    return found


def _cells(
    columns: Sequence[Placed], places: list[int], plain: dict[tuple[int, ...], Placed], n: int
) -> Cells | None:
    """Describe the columns at `places` by cells of all their factors; None if that is slower."""
    factors = {id(f.values): f for j in places for f in _coded(columns[j][0])}
    levels = tuple(len(f.table) for f in factors.values() if f.table is not None)
    numeric = {
        column_key(u): plain[column_key(u)] for j in places if (u := _numeric(columns[j][0]))
    }
    # the scale of any column brings the weights near 1 as well
    constant: Placed = plain.get((), ((), 0.0, columns[places[0]][2]))
    k = 1 + len(numeric)
    sums, few = prod(levels) * k, len(places) < _FEWEST_COLUMNS or n * len(places) ** 2 < _WORTH
    if few or sums > _MOST_SUMS * len(places) or n < _ROWS * sums:
        return None
    table = np.zeros((len(places), prod(levels), k))
    for row, j in zip(table, places, strict=True):
        column, shift, scale = columns[j]
        value = _value(column, tuple(factors), levels)
        if u := _numeric(column):
            at, (_, own_shift, own_scale) = (
                1 + list(numeric).index(column_key(u)),
                numeric[column_key(u)],
            )
            row[:, at] = value * (scale / own_scale)
            value = value * own_shift
        row[:, 0] = (value - shift) * (scale / constant[2])
    codes = tuple(f.values for f in factors.values())
    return Cells(
        codes,
        levels,
        (constant, *numeric.values()),
        Expansion(np.array(places), k, table.reshape(len(places), -1)),
    )


def square(out: Expansion, sums: np.ndarray) -> np.ndarray:
    """Compute X'WX (m, m), symmetric to the bit, from squares of the base by cell (cells, k, k)."""
    by_cell = out.table.reshape(len(out.places), *sums.shape[:2]).swapaxes(0, 1)
    half = (by_cell @ sums).swapaxes(0, 1).reshape(out.table.shape)
    whole = half @ out.table.T
    return np.tril(whole) + np.tril(whole, -1).T


def _value(column: Column, order: tuple[int, ...], levels: tuple[int, ...]) -> np.ndarray:
    """Multiply the tables of a column in each cell."""
    tables = [np.ones(size) for size in levels]
    for f in column:
        if f.table is not None:
            tables[order.index(id(f.values))] *= f.table
    return np.ravel(reduce(np.multiply.outer, tables))


def _coded(column: Column) -> Column:
    return tuple(f for f in column if f.table is not None)


def _numeric(column: Column) -> Column:
    return tuple(f for f in column if f.table is None)
