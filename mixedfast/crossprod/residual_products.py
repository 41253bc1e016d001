"""Products of residuals of the rows, for models whose sums over rows cancel.

The residual sum of squares is a difference of sums over rows. Where effects make nearly all of y
(groups a million times further apart than their members), the difference has no digits left, and
log|X'V^-1 X| loses as many. Both are minima,

    [X y]'V0^-1 [X y] = E'E + U'U,   E = [X y] - Z B,   B = Lambda U,

with B the penalized regressions of X and y on Z. An error in U therefore enters only by its square,
and E is small. A second pass over the rows subtracts ``Z delta`` with a delta near B. The products
of the residuals ``W = [X, y - X gamma] - Z delta`` then give E'E at any theta:
E = W - Z (B - delta) is a small correction of small rows. This is the last step of a QR
decomposition, done once and without a QR decomposition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._stored import is_array_of, stored
from mixedfast.crossprod import _sums
from mixedfast.crossprod.pool import Placed, pool_of
from mixedfast.crossprod.row_sums import threaded
from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.columns import ColumnFactor

if TYPE_CHECKING:
    from mixedfast.design.types import Design

__all__ = ["ResidualProducts", "add_fixed_part", "is_rounding", "residual_products"]

#: Largest number of elements of W and Z in a block of rows: 64 MB.
_BLOCK_NUMBERS = 8_000_000
#: Residuals of y below this many units in the last place of y are rounding of the rows themselves.
_LAST_PLACES = 64.0


def _check_remainder(fields: Any) -> Iterator[str]:
    blocks = (*fields.delta, *fields.zw)
    if len(fields.delta) != len(fields.zw) or any(
        a.shape != b.shape for a, b in zip(fields.delta, fields.zw, strict=True)
    ):
        yield "delta and zw of a Remainder are of different shapes"
    elif any(
        block.ndim != 3 or block.shape[2] != len(fields.ww) or not is_array_of("finite", block)
        for block in blocks
    ):
        yield "a block of a Remainder is not an array (J, K, p+1) of finite numbers"


@stored(
    "Remainder", arrays={"gamma": "finite p", "ww": "finite p+1 p+1"}, relations=_check_remainder
)
@dataclass(frozen=True, eq=False)
class ResidualProducts:
    """Products of the residuals ``W = [X, y - X gamma] - Z delta`` with themselves and with Z.

    In the scaling of the cross-products, with weights where there are any. Those of different rows
    with the same gamma and delta add.

    Parameters
    ----------
    gamma : (p,) array
    delta : tuple of (J,K,p+1) arrays, one per grouping factor
    zw : tuple of (J,K,p+1) arrays
        Z'W.
    ww : (p+1,p+1) array
        W'W.
    rounding : bool
        Whether the residuals of y are rounding.
    """

    gamma: np.ndarray
    delta: tuple[np.ndarray, ...]
    zw: tuple[np.ndarray, ...]
    ww: np.ndarray
    rounding: bool

    def __add__(self, other: ResidualProducts) -> ResidualProducts:
        zw = tuple(mine + theirs for mine, theirs in zip(self.zw, other.zw, strict=True))
        return replace(
            self, zw=zw, ww=self.ww + other.ww, rounding=self.rounding and other.rounding
        )


def add_fixed_part(C: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    """Compute products with [X, y + X gamma] from products with [X, y], (...,p+1)."""
    return np.concatenate([C[..., :-1], C[..., -1:] + (C[..., :-1] @ gamma)[..., None]], axis=-1)


def residual_products(
    cp: CrossProducts,
    design: Design,
    gamma: np.ndarray,
    delta: list[np.ndarray],
    threads: int | None = None,
) -> ResidualProducts:
    """Read the rows once more and sum the products of their residuals.

    Parameters
    ----------
    cp : CrossProducts
        Of the linearly independent columns of X.
    design : Design
        With the rows of `cp`.
    gamma : (p,) array
        Coefficients near the estimates, internal basis.
    delta : list of (J,K,p+1) arrays
        Effects near the penalized regressions of ``[X, y - X gamma]`` on Z, internal basis.
    threads : int, optional

    Returns
    -------
    ResidualProducts
    """
    n, p = design.n, cp.p
    pool = pool_of(design.keep_columns(cp.kept.tolist()), cp.scaling)
    rows = pool.kernel(weighted=False)
    groups = [
        (codes, len(z), effects)
        for (codes, _), z, effects in zip(pool.groups, pool.z, delta, strict=True)
    ]
    sqrt_weights = pool.sqrt_weights
    ww = np.zeros((p + 1, p + 1))
    zw = [np.zeros((len(effects), k, p + 1)) for _, k, effects in groups]
    of_rest = of_terms = 0.0
    for block in _row_blocks(n, cp):
        W, Z, largest = _rest(rows, block, gamma, groups)
        of_rest += float(W[p] @ W[p])
        of_terms += float(largest @ largest)
        own = None if sqrt_weights is None else sqrt_weights[block]
        square, sums = _products(
            W, Z, [(codes[block], len(effects)) for codes, _, effects in groups], own, threads
        )
        ww += square
        for total, part in zip(zw, sums, strict=True):
            total += part
    return ResidualProducts(gamma, tuple(delta), tuple(zw), ww, is_rounding(of_rest, of_terms))


def is_rounding(of_rest: float, of_terms: float) -> bool:
    """Return whether residuals are rounding.

    Parameters
    ----------
    of_rest : float
        Sum of squares of the residuals.
    of_terms : float
        Sum of squares of the largest terms whose differences they are.
    """
    return bool(np.sqrt(of_rest) <= _LAST_PLACES * np.finfo(float).eps * np.sqrt(of_terms))


def _row_blocks(n: int, cp: CrossProducts) -> Iterator[np.ndarray]:
    """Return the blocks of rows to read, (m,) int32 each.

    A block has at least as many rows as a factor has levels, because sums by level take as much
    memory.
    """
    columns = cp.p + 1 + sum(group.k for group in cp.groups)
    step = max(_BLOCK_NUMBERS // columns, *(group.n_levels for group in cp.groups), 1)
    return (np.arange(first, min(first + step, n), dtype=np.int32) for first in range(0, n, step))


def _rest(
    rows: _sums.ColumnPool,
    block: np.ndarray,
    gamma: np.ndarray,
    groups: list[tuple[np.ndarray, int, np.ndarray]],
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Compute W (p+1,m) and Z (k,m) of each grouping factor for a block of rows.

    And the size (m,) of the largest terms whose differences are the residuals of y.
    """
    p = len(gamma)
    W = np.stack([rows.evaluate(j, block) for j in range(p + 1)])
    largest = np.abs(W[p]) + np.abs(gamma) @ np.abs(W[:p])
    W[p] -= gamma @ W[:p]
    at, Z = p + 1, []
    for codes, k, effects in groups:
        Z.append(np.stack([rows.evaluate(at + a, block) for a in range(k)]))
        at += k
        own = codes[block]
        for a, values in enumerate(Z[-1]):
            for j in range(p + 1):
                W[j] -= values * effects[own, a, j]
    return W, Z, largest


def _products(
    W: np.ndarray,
    Z: list[np.ndarray],
    groups: list[tuple[np.ndarray, int]],
    sqrt_weights: np.ndarray | None,
    threads: int | None,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Sum W'W (p+1,p+1) and Z'W (J,k,p+1) of each grouping factor over a block of rows."""
    m = W.shape[1]
    columns: list[Placed] = [
        ((ColumnFactor(values),), 0.0, 1.0) for part in (W, *Z) for values in part
    ]
    gram, described, at = np.arange(len(W), dtype=np.int32), [], len(W)
    for (codes, n_levels), part in zip(groups, Z, strict=True):
        described.append((codes, n_levels, np.arange(at, at + len(part), dtype=np.int32), gram))
        at += len(part)
    square, sums = threaded(_sums.ColumnPool(columns, m, sqrt_weights), m, gram, described, threads)
    return square, [
        _sums.select_sums(parts, 0, len(left), gram)
        for (_, _, left, _), parts in zip(described, sums, strict=True)
    ]
