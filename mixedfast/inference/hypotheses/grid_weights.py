"""Weights of the cells of a reference grid in averages over some of its variables.

The grid is a product of dimensions: a variable by itself, factors nested in one another, or factors
whose combinations are weighted by their numbers of rows. Within a dimension each cell has a weight;
weights of different dimensions are multiplied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixedfast.inference.hypotheses.nesting import Nesting

__all__ = ["Axis", "Dimension", "axis", "combinations", "counted", "structure"]


@dataclass(frozen=True, eq=False)
class Dimension:
    """Variables of a grid whose values belong together.

    Parameters
    ----------
    variables : tuple of str, length v
    cells : (c, v) int array
        Positions of the values of the variables.
    weights : (c,) array
        Shares of the cells; only their ratios count, among cells with the same named values.
    """

    variables: tuple[str, ...]
    cells: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True, eq=False)
class Axis:
    """Weights of the values of some variables, given those of the named variables.

    Parameters
    ----------
    named, names : tuple of str
        The named variables of the dimension, and those that are averaged.
    keys : (k, named) int array
    cells : (l, names) int array
    weights : (k, l) array
        Rows add to one.
    """

    named: tuple[str, ...]
    names: tuple[str, ...]
    keys: np.ndarray
    cells: np.ndarray
    weights: np.ndarray

    def place(self, positions: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the row of `weights` of each mean, (m,); -1 for combinations without a cell."""
        m = len(next(iter(positions.values()))) if positions else 1
        if not self.named:
            return np.zeros(m, dtype=int)
        rows = {tuple(key): i for i, key in enumerate(self.keys.tolist())}
        wanted = zip(*(positions[name].tolist() for name in self.named), strict=True)
        return np.array([rows.get(key, -1) for key in wanted])


def axis(dimension: Dimension, named: Sequence[str], names: Sequence[str]) -> Axis:
    """Find the weights of the values of `names` for each combination of the named variables.

    Examples
    --------
    >>> cells = np.array([[0, 0], [0, 1], [1, 2]])
    >>> axis(Dimension(("region", "site"), cells, np.ones(3)), ["region"], ["site"]).weights
    array([[0.5, 0.5, 0. ],
           [0. , 0. , 1. ]])
    """
    own = [name for name in dimension.variables if name in named]
    local = [name for name in dimension.variables if name in names]
    keys, key = _distinct(dimension.cells[:, [dimension.variables.index(name) for name in own]])
    cells, cell = _distinct(dimension.cells[:, [dimension.variables.index(name) for name in local]])
    share = dimension.weights / np.bincount(key, dimension.weights)[key]
    weights = np.zeros((len(keys), len(cells)))
    np.add.at(weights, (key, cell), share)
    return Axis(tuple(own), tuple(local), keys, cells, weights)


def _distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct rows of an int array and the position of each row among them."""
    if not rows.shape[1]:
        return rows[:1], np.zeros(len(rows), dtype=int)
    sizes = rows.max(axis=0, initial=0) + 1
    if np.prod(sizes.astype(float)) > 2.0**62:  # such a code would overflow
        found, where = np.unique(rows, axis=0, return_inverse=True)
        return found, where.ravel()
    code = np.ravel_multi_index(tuple(rows.T), tuple(sizes))
    _, first, where = np.unique(code, return_index=True, return_inverse=True)
    return rows[first], where.ravel()


def combinations(dimensions: Sequence[Dimension], named: Sequence[str]) -> dict[str, np.ndarray]:
    """List the combinations of the named variables, of which the first varies fastest."""
    parts = [axis(one, named, ()) for one in dimensions]
    parts = [one for one in parts if one.named]
    if not parts:
        return {}
    at = np.indices(tuple(len(one.keys) for one in parts)).reshape(len(parts), -1)
    found = {
        name: one.keys[at[d], i] for d, one in enumerate(parts) for i, name in enumerate(one.named)
    }
    order = np.lexsort([found[name] for name in named])
    return {name: found[name][order] for name in named}


# --- the dimensions ------------------------------------------------------------------------------


def structure(
    places: Mapping[str, np.ndarray],
    nested: Nesting,
    shares: Mapping[str, np.ndarray] | None = None,
) -> list[Dimension]:
    """Divide the variables of a grid into dimensions by their nesting.

    An average over nested factors is taken from the innermost one outwards, each factor within the
    levels of those it is nested in, as in the R package emmeans: sites of a region count equally,
    and regions count equally whatever their numbers of sites.

    Parameters
    ----------
    places : dict of str to int array
        For every variable the positions of its values among its levels; ``arange`` for covariates.
    nested : Nesting
    shares : dict of str to array, optional
        Weights of the values of some variables, in the place of equal ones.
    """
    out = []
    for family in _families(list(places), nested):
        cells, weights = np.zeros((1, 0), dtype=int), np.ones(1)
        for name in family:
            share = (shares or {}).get(name, np.ones(len(places[name])))
            allowed = np.ones((len(cells), len(places[name])), dtype=bool)
            for outer, level in nested.get(name, {}).items():
                theirs = places[outer][cells[:, family.index(outer)]]
                allowed &= theirs[:, None] == level[places[name]]
            weighted = allowed * share
            total = weighted.sum(axis=1, keepdims=True)
            weighted = np.divide(weighted, total, out=np.zeros_like(weighted), where=total > 0.0)
            cell, value = np.nonzero(allowed)
            weights = weights[cell] * weighted[cell, value]
            cells = np.column_stack([cells[cell], value])
        out.append(Dimension(tuple(family), cells, weights))
    return out


def _families(names: Sequence[str], nested: Nesting) -> list[list[str]]:
    """Group variables that are nested in one another, outer ones first."""
    families: list[list[str]] = []
    for name in names:
        linked = {name, *nested.get(name, {}), *(n for n, outer in nested.items() if name in outer)}
        joined = [family for family in families if linked & set(family)]
        families = [family for family in families if family not in joined]
        families.append([*(other for family in joined for other in family), name])
    # nesting is transitive, so an outer factor has fewer factors around it
    return [sorted(family, key=lambda name: len(nested.get(name, {}))) for family in families]


def counted(
    dimensions: Sequence[Dimension],
    positions: Mapping[str, np.ndarray],
    flat: bool = False,
) -> list[Dimension]:
    """Join dimensions into one whose cells are those of the rows of the data.

    Parameters
    ----------
    dimensions : sequence of Dimension
    positions : dict of str to (n,) int array
        Of the variables to join, the position of the value of each row; negative for values that
        are not on the grid.
    flat : bool
        Weights of one for each cell that has rows; otherwise its number of rows.
    """
    joined = tuple(positions)
    rows = np.column_stack(list(positions.values()))
    cells, cell = _distinct(rows[(rows >= 0).all(axis=1)])
    counts = np.bincount(cell, minlength=len(cells)).astype(float)
    apart = [one for one in dimensions if not set(one.variables) & set(joined)]
    return [*apart, Dimension(joined, cells, np.ones(len(cells)) if flat else counts)]
