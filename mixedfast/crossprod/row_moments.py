"""Means and variances over rows from cross-products."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mixedfast.crossprod.types import CrossProducts

__all__ = ["column_means", "row_moments"]


def row_moments(cp: CrossProducts) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Compute means and covariances of the columns of X over rows, and means of zz'.

    In the internal basis; weights do not count.

    Returns
    -------
    mean : (p,) array
    covariance : (p, p) array
        With divisor n - 1.
    zz : list of (K, K) arrays
        Mean of zz' of each grouping factor.

    Examples
    --------
    >>> import mixedfast as mf
    >>> data = mf.load_dataset("sleepstudy")
    >>> cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", data)
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
    """Compute the means over rows of the columns of X in the user's units, (p,).

    Examples
    --------
    >>> import mixedfast as mf
    >>> data = mf.load_dataset("sleepstudy")
    >>> cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", data)
    >>> column_means(cp).round(6)
    array([1. , 4.5])
    """
    mean = row_moments(cp)[0]
    if cp.mix is not None:
        mean = np.linalg.solve(cp.mix.T, mean)
    return mean / cp.scale[:-1] + cp.shift[:-1]
