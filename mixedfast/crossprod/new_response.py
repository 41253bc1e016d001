"""Cross-products with another response: only the products with y are summed again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mixedfast.crossprod import _sums
from mixedfast.crossprod.pool import Placed, pool_of
from mixedfast.crossprod.row_sums import threaded
from mixedfast.crossprod.scaling import scale_of_response
from mixedfast.design.columns import evaluate

if TYPE_CHECKING:
    from mixedfast.crossprod.types import CrossProducts
    from mixedfast.design.types import Design

__all__ = ["ResponseProducts", "Responses", "with_response", "with_sums"]


def with_response(cp: CrossProducts, design: Design, threads: int | None = None) -> CrossProducts:
    """Sum the cross-products of a design that differs from that of `cp` only in its response.

    Parameters
    ----------
    cp : CrossProducts
        Of the same rows, X, Z, weights and offset.
    design : Design
        With the new response.
    threads : int, optional

    Returns
    -------
    CrossProducts
        In the same scaling, except for shift and scale of y.

    Raises
    ------
    DataError
        When squares of the response overflow.
    """
    shift, scale = scale_of_response(design, cp.scaling)
    scaling = replace(
        cp.scaling,
        shift=np.append(cp.shift[:-1], shift),
        scale=np.append(cp.scale[:-1], scale),
    )
    pool = pool_of(design.keep_columns(cp.kept.tolist()), scaling)
    x, y = pool.xy[:-1], pool.xy[-1:]
    described = [(codes, J, z, y) for (codes, J), z in zip(pool.groups, pool.z, strict=True)]
    if cp.p:  # all rows are one group to X
        described.insert(0, (np.zeros(design.n, dtype=np.int32), 1, x, y))
    yy, sums = threaded(pool.kernel(), design.n, y, described, threads)
    only = np.zeros(1, dtype=np.int32)
    by_y = [
        _sums.select_sums(parts, 0, len(left), only)[:, :, 0]
        for (_, _, left, _), parts in zip(described, sums, strict=True)
    ]
    xy = by_y.pop(0)[0] if cp.p else np.empty(0)
    changed = with_sums(cp, by_y, xy, float(yy[0, 0]))
    return replace(changed, shift=scaling.shift, scale=scaling.scale)


def with_sums(cp: CrossProducts, zy: list[np.ndarray], xy: np.ndarray, yy: float) -> CrossProducts:
    """Replace Z'y (J,K) of each factor, X'y (p,) and y'y, internal basis."""
    both = cp.xy.copy()
    both[:-1, -1] = both[-1, :-1] = xy
    both[-1, -1] = yy
    groups = []
    for group, own in zip(cp.groups, zy, strict=True):
        B = group.B.copy()
        B[:, :, -1] = own
        groups.append(replace(group, B=B))
    return replace(cp, xy=both, groups=tuple(groups))


@dataclass(frozen=True, eq=False)
class Responses:
    """Cross-products of R responses with the same X and Z, internal basis.

    ``zy`` (R,J,K) per group, ``xy`` (R,p), ``yy`` (R,).
    """

    zy: list[np.ndarray]
    xy: np.ndarray
    yy: np.ndarray

    def of(self, which: np.ndarray) -> Responses:
        """Return some of the responses."""
        return Responses([zy[which] for zy in self.zy], self.xy[which], self.yy[which])

    def crossproducts(self, cp: CrossProducts, r: int) -> CrossProducts:
        """Return `cp` with response r in the place of its own."""
        return with_sums(cp, [zy[r] for zy in self.zy], self.xy[r], float(self.yy[r]))


class ResponseProducts:
    """Products of any number of responses with the X and Z of one design.

    Parameters
    ----------
    cp : CrossProducts
        Of the design.
    design : Design
    """

    def __init__(self, cp: CrossProducts, design: Design) -> None:
        from scipy.sparse import csr_array, vstack

        design = design.keep_columns(cp.kept.tolist())
        pool = pool_of(design, cp.scaling)
        self._cp, self._offset, n = cp, design.offset, design.n
        self._root = pool.sqrt_weights
        root = 1.0 if self._root is None else self._root
        self._x = np.column_stack(
            [np.empty((n, 0)), *(_values(c, n) for c in pool.at(pool.xy[:-1]))]
        )
        self._x *= np.reshape(root, (-1, 1))
        rows, stacked = np.arange(n), []
        for (codes, J), z in zip(pool.groups, pool.z, strict=True):
            columns = [_values(column, n) * root for column in pool.at(z)]
            K = len(columns)
            where = (codes[:, None].astype(np.int64) * K + np.arange(K)).ravel()
            stacked.append(
                csr_array(
                    (np.stack(columns, axis=1).ravel(), (where, np.repeat(rows, K))),
                    shape=(J * K, n),
                )
            )
        self._z = vstack(stacked, format="csr")

    def of(self, Y: np.ndarray) -> tuple[Responses, np.ndarray]:
        """Sum the products of responses.

        Parameters
        ----------
        Y : (n, R) array
            On the rows of the design.

        Returns
        -------
        Responses
            In the scale of the response of `cp`.
        (R,) array
            The shift of each.
        """
        cp = self._cp
        shifted = Y if self._offset is None else Y - self._offset[:, None]
        shift = np.zeros(Y.shape[1]) if cp.constant is None else shifted.mean(axis=0)
        own = (shifted - shift) * cp.scale[-1]
        if self._root is not None:
            own *= self._root[:, None]
        zy = (self._z @ own).T
        parts, first = [], 0
        for group in cp.groups:
            size = group.n_levels * group.k
            parts.append(zy[:, first : first + size].reshape(-1, group.n_levels, group.k))
            first += size
        return Responses(parts, (self._x.T @ own).T, np.einsum("nr,nr->r", own, own)), shift


def _values(placed: Placed, n: int) -> np.ndarray:
    """Evaluate a shifted and scaled column, (n,)."""
    column, shift, scale = placed
    return (evaluate(column, n) - shift) * scale
