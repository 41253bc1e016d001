"""Cross-products with another response: X and Z stay as they were summed, only their products with y are made again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mixedfast.crossprod import _sums
from mixedfast.crossprod.row_sums import threaded
from mixedfast.crossprod.scaling import (
    group_layout,
    response_column,
    scale_of_response,
    x_in_basis,
    z_in_basis,
)

if TYPE_CHECKING:
    from mixedfast.crossprod.types import CrossProducts
    from mixedfast.design.types import Design

__all__ = ["with_response", "with_sums"]


def with_response(cp: CrossProducts, design: Design, threads: int | None = None) -> CrossProducts:
    """The cross-products of a design that differs from that of `cp` in its response alone.

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
        In the same basis but for y's own shift and scale.

    Raises
    ------
    DataError
        When squares of the response overflow.
    """
    n, p = design.n, cp.p
    shift, scale = scale_of_response(design, cp.basis)
    columns = x_in_basis([design.x[j] for j in cp.kept], n, cp.basis)
    at_y = np.array([p], dtype=np.int32)
    columns.append((response_column(design), shift, scale))
    described = [(np.zeros(n, dtype=np.int32), 1, np.arange(p, dtype=np.int32), at_y)]
    for group, members in zip(cp.groups, group_layout(design), strict=True):
        first = len(columns)
        own_z = [column for t in members for column in design.terms[t].columns]
        columns += z_in_basis(own_z, n, group.basis)
        left = np.arange(first, len(columns), dtype=np.int32)
        described.append((design.terms[members[0]].codes, group.n_levels, left, at_y))
    sqrt_weights = None if design.weights is None else np.sqrt(design.weights)
    wanted = described if p else described[1:]
    yy, sums = threaded(_sums.ColumnPool(columns, n, sqrt_weights), n, at_y, wanted, threads)
    only = np.zeros(1, dtype=np.int32)
    by_y = [
        _sums.picked(parts, 0, len(left), only)[:, :, 0]
        for (_, _, left, _), parts in zip(wanted, sums, strict=True)
    ]
    xy = by_y.pop(0)[0] if p else np.empty(0)
    changed = with_sums(cp, by_y, xy, float(yy[0, 0]))
    return replace(
        changed, shift=np.append(cp.shift[:-1], shift), scale=np.append(cp.scale[:-1], scale)
    )


def with_sums(cp: CrossProducts, zy: list[np.ndarray], xy: np.ndarray, yy: float) -> CrossProducts:
    """`cp` with other products with the response: Z'y (J,K) a group, X'y (p,) and y'y, internal basis."""
    both = cp.xy.copy()
    both[:-1, -1] = both[-1, :-1] = xy
    both[-1, -1] = yy
    groups = []
    for group, own in zip(cp.groups, zy, strict=True):
        B = group.B.copy()
        B[:, :, -1] = own
        groups.append(replace(group, B=B))
    return replace(cp, xy=both, groups=tuple(groups))
