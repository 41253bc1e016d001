"""The columns of [X y Z] of a design, shifted and scaled, as the kernels read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixedfast.crossprod import _sums
from mixedfast.crossprod.scaling import GroupScaling, Scaling, response_column
from mixedfast.design.columns import ColumnFactor, evaluate

if TYPE_CHECKING:
    from mixedfast.design.columns import Column
    from mixedfast.design.types import Design

__all__ = ["CONSTANT", "DesignPool", "Placed", "place_x", "pool_of"]

#: A column, its shift and its scale.
Placed = tuple["Column", float, float]
#: The constant 1 as it is.
CONSTANT: Placed = ((), 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class DesignPool:
    """The columns of [X y Z] of a design and their places, with the groups and weights of its rows.

    Parameters
    ----------
    n : int
        Number of rows.
    columns : list of (column, shift, scale)
    xy : (p+1,) int32 array
        Places of the columns of X, then of y.
    z : list of (K,) int32 arrays
        Places of the columns of Z of each grouping factor.
    groups : list of (codes, n_levels)
        The level of each row, (n,) int32, and the number of levels of each grouping factor.
    sqrt_weights : (n,) array or None
    """

    n: int
    columns: list[Placed]
    xy: np.ndarray
    z: list[np.ndarray]
    groups: list[tuple[np.ndarray, int]]
    sqrt_weights: np.ndarray | None

    def at(self, places: Sequence[int] | np.ndarray) -> list[Placed]:
        """Return some of the columns."""
        return [self.columns[i] for i in places]

    def kernel(
        self, columns: Sequence[Placed] | None = None, weighted: bool = True
    ) -> _sums.ColumnPool:
        """Describe all columns, or those given, to the kernels."""
        chosen = self.columns if columns is None else columns
        return _sums.ColumnPool(chosen, self.n, self.sqrt_weights if weighted else None)


def pool_of(design: Design, scaling: Scaling) -> DesignPool:
    """Place all columns of a design in a basis.

    Parameters
    ----------
    design : Design
    basis : Scaling
        With the columns of X that the design has.
    """
    n = design.n
    columns = place_x(design.x, n, scaling)
    columns.append((response_column(design), float(scaling.shift[-1]), float(scaling.scale[-1])))
    xy, z, groups = _range(0, len(columns)), [], []
    for members, own in zip(design.recipe.terms_by_group, scaling.groups, strict=True):
        first, start = design.terms[members[0]], len(columns)
        own_z = [column for t in members for column in design.terms[t].columns]
        columns += _place_z(own_z, n, own)
        z.append(_range(start, len(columns)))
        groups.append((first.codes, len(first.levels)))
    sqrt_weights = None if design.weights is None else np.sqrt(design.weights)
    return DesignPool(n, columns, xy, z, groups, sqrt_weights)


def _range(start: int, stop: int) -> np.ndarray:
    return np.arange(start, stop, dtype=np.int32)


def place_x(x: Sequence[Column], n: int, scaling: Scaling) -> list[Placed]:
    """Return columns of X with their shifts and scales; mixed columns become new columns."""
    return _place(x, n, scaling.shift[:-1], scaling.scale[:-1], scaling.mix)


def _place_z(z: Sequence[Column], n: int, group: GroupScaling) -> list[Placed]:
    """Return the columns of Z of one grouping factor with their shifts and scales."""
    return _place(z, n, group.shift, group.scale, group.mix)


def _place(
    columns: Sequence[Column], n: int, shift: np.ndarray, scale: np.ndarray, mix: np.ndarray | None
) -> list[Placed]:
    placed = list(zip(columns, shift.tolist(), scale.tolist(), strict=True))
    if mix is None:
        return placed
    for j in np.flatnonzero((mix != np.eye(len(columns))).any(axis=0)).tolist():
        mixed = np.zeros(n)
        for k in np.flatnonzero(mix[:, j]).tolist():
            mixed += mix[k, j] * ((evaluate(columns[k], n) - shift[k]) * scale[k])
        placed[j] = (ColumnFactor(mixed),), 0.0, 1.0
    return placed
