"""Sums by level of a grouping factor, from which levels are left out without reading their rows.

Cross-products have Z_j'W[Z_j X y] of every level, but only the total of [X y]'W[X y]. With the part
of each level in that total, a level and the levels nested in it can be subtracted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixedfast.crossprod import _sums
from mixedfast.crossprod.pool import CONSTANT, DesignPool, Placed, pool_of
from mixedfast.crossprod.row_sums import threaded
from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.types import Design
from mixedfast.errors import DataError

__all__ = ["LevelSums", "parts_of_levels", "products_by_code", "sums_of_levels"]


@dataclass(frozen=True, eq=False)
class LevelSums:
    """Sums over the rows of each level of a grouping factor.

    Parameters
    ----------
    n : (J,) int array
        Numbers of rows.
    log_weights : (J,) array
        Sums of log weights.
    xy : (J, p+1, p+1) array
        [X y]'W[X y], in the scaling of all rows.
    unweighted : (J, c, c) array or None
        See `CrossProducts`.
    """

    n: np.ndarray
    log_weights: np.ndarray
    xy: np.ndarray
    unweighted: np.ndarray | None

    def __add__(self, other: LevelSums) -> LevelSums:
        both = (
            None
            if self.unweighted is None or other.unweighted is None
            else self.unweighted + other.unweighted
        )
        return LevelSums(
            self.n + other.n, self.log_weights + other.log_weights, self.xy + other.xy, both
        )


def sums_of_levels(cp: CrossProducts, designs: Iterable[Design], g: int) -> LevelSums:
    """Sum the rows of each level of factor `g` of `cp`; the designs have its rows, each once."""
    total: LevelSums | None = None
    for design in designs:
        part = _sums_of_factor(cp, design.keep_columns(cp.kept.tolist()), g)
        total = part if total is None else total + part
    if total is None:
        raise DataError("the data have no rows")
    return total


def _sums_of_factor(cp: CrossProducts, design: Design, g: int) -> LevelSums:
    pool = pool_of(design, cp.scaling)
    codes, J = pool.groups[g]
    columns = pool.at(pool.xy)
    unweighted = None
    if cp.unweighted is not None:
        z = pool.columns[len(columns) :]
        placed = [CONSTANT, *columns[:-1], *z]
        unweighted = _by_code(pool, placed, codes, J, weighted=False)
    logs = np.zeros(J) if design.weights is None else np.bincount(codes, np.log(design.weights), J)
    xy = _by_code(pool, columns, codes, J, weighted=True)
    return LevelSums(np.bincount(codes, minlength=J), logs, xy, unweighted)


def _by_code(
    pool: DesignPool, columns: Sequence[Placed], codes: np.ndarray, J: int, weighted: bool
) -> np.ndarray:
    """Sum the products of columns over the rows with each code, (J, c, c)."""
    every = np.arange(len(columns), dtype=np.int32)
    kernel = pool.kernel(columns, weighted)
    _, sums = threaded(kernel, pool.n, every, [(codes, J, every, every)], 1)
    return _sums.select_sums(sums[0], 0, len(columns), every)


def products_by_code(
    cp: CrossProducts, design: Design, codes: np.ndarray, n_codes: int
) -> np.ndarray:
    """Sum [X y]'W[X y] over the rows with each code, (n_codes, p+1, p+1), in the scaling of `cp`.

    The design has the columns of `cp`; codes lie from 0 to n_codes - 1.
    """
    pool = pool_of(design, cp.scaling)
    placed = np.ascontiguousarray(codes, dtype=np.int32)
    return _by_code(pool, pool.at(pool.xy), placed, n_codes, weighted=True)


def parts_of_levels(cp: CrossProducts, g: int, sums: LevelSums) -> Iterator[CrossProducts]:
    """Yield the cross-products of the rows of each level of factor `g`.

    Raises
    ------
    DataError
        When another factor is not nested in this one: the sums of a level with rows in several
        levels of `g` cannot be divided among them.
    """
    owners = [_owners(cp, g, h) for h in range(len(cp.groups))]
    for j in range(cp.groups[g].n_levels):
        mine = [owner == j for owner in owners]
        groups = tuple(
            replace(
                group,
                A=_only(group.A, own),
                B=_only(group.B, own),
                sums=None if group.sums is None else _only(group.sums, own),
            )
            for group, own in zip(cp.groups, mine, strict=True)
        )
        pairs = {
            key: replace(pair, data=_only(pair.data, mine[key[0]][pair.rows]))
            for key, pair in cp.pairs.items()
        }
        yield replace(
            cp,
            n=int(sums.n[j]),
            xy=sums.xy[j],
            groups=groups,
            pairs=pairs,
            sum_log_weights=float(sums.log_weights[j]),
            unweighted=None if sums.unweighted is None else sums.unweighted[j],
        )


def _owners(cp: CrossProducts, g: int, h: int) -> np.ndarray:
    """Find the level of factor g that has each level of factor h, (J_h,); -1 without rows."""
    if g == h:
        return np.arange(cp.groups[g].n_levels)
    pair = cp.pairs[min(g, h), max(g, h)]
    inner, outer = (pair.rows, pair.indices) if h < g else (pair.indices, pair.rows)
    owner = np.full(cp.groups[h].n_levels, -1)
    owner[inner] = outer
    if not np.array_equal(owner[inner], outer):
        mine, other = cp.groups[g].name, cp.groups[h].name
        raise DataError(
            f"influence({mine!r}) of rows that are not in memory: levels of {other!r} have rows in "
            f"several levels of {mine!r}, and their sums cannot be divided among these; fit the "
            "table in memory"
        )
    return owner


def _only(sums: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return the sums of some levels, with zeros for the others."""
    out = np.zeros_like(sums)
    out[where] = sums[where]
    return out
