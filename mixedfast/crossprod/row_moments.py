"""Means and variances over rows, from their cross-products."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mixedfast.crossprod.types import CrossProducts

__all__ = ["column_means", "row_moments"]


def row_moments(cp: CrossProducts) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Means (p,) and covariances (p,p; divisor n - 1) of the columns of X over rows, and mean of zz' (K,K) of each group.

    Internal basis, every row counted once whatever its weight.

    Returns
    -------
    mean (p,), covariance (p,p), list of (K,K)

    Examples
    --------
    >>> import mixedfast as mf
    >>> cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> [part.shape for part in (*row_moments(cp)[:2], *row_moments(cp)[2])]
    [(2,), (2, 2), (2, 2)]
    """
    if cp.unweighted is None:
        square = cp.xy[:-1, :-1]
        total = square @ cp.ones
        zz = [g.A.sum(axis=0) / cp.n for g in cp.groups]
    else:
        total, square = cp.unweighted[0, 1 : cp.p + 1], cp.unweighted[1 : cp.p + 1, 1 : cp.p + 1]
        ends = 1 + cp.p + np.concatenate([[0], np.cumsum([g.k for g in cp.groups])])
        zz = [cp.unweighted[a:b, a:b] / cp.n for a, b in pairwise(ends)]
    mean = total / cp.n
    return mean, (square - cp.n * np.outer(mean, mean)) / (cp.n - 1), zz


def column_means(cp: CrossProducts) -> np.ndarray:
    """Means over rows of the columns of X in the user's units, (p,).

    Returns
    -------
    (p,) array

    Examples
    --------
    >>> import mixedfast as mf
    >>> cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> column_means(cp).round(6)
    array([1. , 4.5])
    """
    mean = row_moments(cp)[0]
    if cp.mix is not None:
        mean = np.linalg.solve(cp.mix.T, mean)
    return mean / cp.scale[:-1] + cp.shift[:-1]
