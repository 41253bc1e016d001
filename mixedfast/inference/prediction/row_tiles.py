"""Rows of the fit, or new ones, in tiles: X, Z and the group of each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mixedfast.crossprod.pool import place_x
from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.columns import Column, evaluate, take
from mixedfast.design.new_data import NewData
from mixedfast.design.types import Design

__all__ = ["GroupRows", "ModelRows", "Tile", "rows_of_design", "rows_of_new"]

#: Rows per tile: ten columns of a tile fit in the second-level cache.
_TILE = 16_384


@dataclass(frozen=True, eq=False)
class GroupRows:
    """Rows of Z of one grouping factor.

    Parameters
    ----------
    codes : (n,) int32 array
        The level of each row; -1 for a level that is not in the fit.
    columns : tuple of Column or None, length K
        Columns of Z of all terms on the factor, user's basis; None for those whose effects are left
        out.
    to_internal : (K, K) array
        The internal columns of Z are those of the user times this.
    """

    codes: np.ndarray
    columns: tuple[Column | None, ...]
    to_internal: np.ndarray


@dataclass(frozen=True, eq=False)
class Tile:
    """Some consecutive rows, internal basis.

    Their slice, X (m,p), and for each group in use Z (m,K) and codes (m,).
    """

    where: slice
    X: np.ndarray
    Z: list[np.ndarray]
    codes: list[np.ndarray]


@dataclass(frozen=True, eq=False)
class ModelRows:
    """Rows of X and Z that predictions and leverage are computed for.

    Parameters
    ----------
    n : int
    x : list of (Column, shift, scale), length p
        The identifiable columns of X, as they were summed.
    groups : dict of int to GroupRows
        Position among the grouping factors of the fit -> rows, for the factors in use.
    offset : (n,) array or None
    """

    n: int
    x: list[tuple[Column, float, float]]
    groups: dict[int, GroupRows]
    offset: np.ndarray | None

    def tiles(self, size: int = _TILE, within: slice = slice(None)) -> Iterator[Tile]:
        """Generate all rows, or those of a slice, at most `size` (and 16,384) at a time."""
        start, stop, step = (
            within.indices(self.n)[0],
            within.indices(self.n)[1],
            max(1, min(size, _TILE)),
        )
        for first in range(start, stop, step):
            where = slice(first, min(first + step, stop))
            m = where.stop - first
            X = np.empty((m, len(self.x)), order="F")
            for j, (own_x, shift, scale) in enumerate(self.x):
                X[:, j] = (evaluate(take(own_x, where), m) - shift) * scale
            Z = []
            for group in self.groups.values():
                own = np.zeros((m, len(group.columns)))
                for a, column in enumerate(group.columns):
                    if column is not None:
                        own[:, a] = evaluate(take(column, where), m)
                Z.append(own @ group.to_internal)
            yield Tile(where, X, Z, [group.codes[where] for group in self.groups.values()])


def rows_of_design(
    cp: CrossProducts, design: Design, chosen: Sequence[np.ndarray] | None = None
) -> ModelRows:
    """Return the rows of the fit.

    Parameters
    ----------
    cp : CrossProducts
        Of the fit.
    design : Design
    chosen : sequence of (K,) bool arrays, one per group, optional
        The random effects to use; all by default.
    """
    terms = [(term.codes, term.columns) for term in design.terms]
    return _collect(cp, design.n, design.x, terms, design.offset, chosen)


def rows_of_new(cp: CrossProducts, new: NewData, chosen: Sequence[np.ndarray]) -> ModelRows:
    """Return new rows (see `rows_of_design`); groups whose effects are used must be coded."""
    return _collect(cp, new.n, new.x, new.terms, new.offset, chosen)


def _collect(
    cp: CrossProducts,
    n: int,
    x: Sequence[Column],
    terms: Sequence[tuple[np.ndarray, tuple[Column, ...]]],
    offset: np.ndarray | None,
    chosen: Sequence[np.ndarray] | None,
) -> ModelRows:
    """Collect columns of X and Z and codes of groups, from (codes, columns) of each random term."""
    groups: dict[int, GroupRows] = {}
    for (codes, own), shape in zip(terms, cp.terms, strict=True):
        g = shape.group
        if chosen is not None and not chosen[g].any():
            continue
        if g not in groups:
            back = np.linalg.inv(cp.covariance.transforms[g])
            groups[g] = GroupRows(codes, (None,) * cp.groups[g].k, back)
        kept = list(groups[g].columns)
        for a, column in enumerate(own, shape.start):
            kept[a] = column if chosen is None or chosen[g][a] else None
        groups[g] = GroupRows(groups[g].codes, tuple(kept), groups[g].to_internal)
    return ModelRows(
        n, place_x([x[j] for j in cp.kept], n, cp.scaling), dict(sorted(groups.items())), offset
    )
