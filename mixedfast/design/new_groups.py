"""Tables with other numbers of groups, and of rows per group, made of the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixedfast.data.categories import Categorical, drop_unused
from mixedfast.data.frames import Table
from mixedfast.design.model_frame import taken

__all__ = ["is_constant_within", "with_groups"]


def with_groups(
    table: Table,
    group: str,
    others: Sequence[str],
    n_groups: int | None = None,
    n_per_group: int | None = None,
    like: np.ndarray | None = None,
) -> Table:
    """Make a table with another number of groups, of rows per group, or both.

    New groups are copies of those of the table, with labels of their own. Their order is that of
    `like`, and copies are taken at equal distances, so that shares of groups of each kind stay.

    Parameters
    ----------
    table : Table
    group : str
        The grouping factor.
    others : sequence of str
        Other grouping factors. Those nested in `group` get a new level in each copy; levels of
        crossed factors stay.
    n_groups : int, optional
        Default: as many as in the table.
    n_per_group : int, optional
        Rows of each group: its first rows, from the start again where it has fewer. Default: all.
    like : (n, q) array, optional
        Values of rows; groups are sorted by the means of these.

    Examples
    --------
    >>> from mixedfast.data.frames import as_table
    >>> table = as_table({"x": [1.0, 2.0, 3.0], "g": ["a", "a", "b"]})
    >>> larger = with_groups(table, "g", [], n_groups=4, n_per_group=2)
    >>> larger.column("x").values, larger.grouping("g").codes
    (array([1., 2., 1., 2., 3., 3., 3., 3.]), array([0, 0, 1, 1, 2, 2, 3, 3], dtype=int32))
    """
    factor = drop_unused(table.grouping(group))
    J = len(factor.levels)
    rows_of = np.split(
        np.argsort(factor.codes, kind="stable"), np.searchsorted(np.sort(factor.codes), range(J))
    )[1:]
    order = np.arange(J) if like is None else _by_means(like, factor, J)
    n = J if n_groups is None else n_groups
    chosen = order[((np.arange(n) + 0.5) * J / n).astype(int)]
    parts = [
        rows_of[j] if n_per_group is None else np.resize(rows_of[j], n_per_group) for j in chosen
    ]
    rows = np.concatenate(parts)
    copy = np.repeat(np.arange(n, dtype=np.int32), [len(part) for part in parts])
    made = {group: Categorical(copy, np.arange(1, n + 1))}
    for name in others:
        inner = drop_unused(table.grouping(name))
        if is_constant_within(factor.codes, inner.codes):
            combined = copy.astype(np.int64) * len(inner.levels) + inner.codes[rows]
            known, codes = np.unique(combined, return_inverse=True)
            made[name] = Categorical(codes.astype(np.int32), np.arange(1, len(known) + 1))
    return Table(
        table.names,
        len(rows),
        lambda name: made[name] if name in made else taken(table.column(name), rows),
        table.library,
    )


def is_constant_within(values: np.ndarray, codes: np.ndarray) -> bool:
    """Return whether all rows of each group have one value.

    Parameters
    ----------
    values : (n,) array
    codes : (n,) int array
        The group of each row.

    Examples
    --------
    >>> is_constant_within(np.array([5.0, 5.0, 6.0]), np.array([0, 0, 1]))
    True
    """
    order = np.argsort(codes, kind="stable")
    ordered, groups = values[order], codes[order]
    return not ((ordered[1:] != ordered[:-1]) & (groups[1:] == groups[:-1])).any()


def _by_means(like: np.ndarray, factor: Categorical, J: int) -> np.ndarray:
    """Sort groups by the means of columns, the first column first."""
    count = np.bincount(factor.codes, minlength=J)
    means = [np.bincount(factor.codes, column, J) / count for column in like.T]
    return np.asarray(np.lexsort(means[::-1]))
