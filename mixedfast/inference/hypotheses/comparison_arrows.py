"""Comparison arrows: two means differ significantly where their arrows do not overlap.

Intervals of length z sqrt(2)/2 standard errors compare two independent means with equal errors
(Goldstein and Healy 1995, JRSS A 158). Here each mean i gets a length a_i such that a_i + a_j is
close to the smallest significant difference of every pair, its critical value times its standard
error: least squares over all pairs with a_i >= 0, with most weight on pairs whose difference is
close to that limit. Pairs for which the arrows still contradict the test are reported.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Arrows", "comparison_arrows"]

#: The weight of a pair halves when its difference is this fraction away from the limit.
_CLOSE = 0.1


class Arrows(NamedTuple):
    """Lengths of arrows (m,), and pairs of means for which they contradict the test."""

    length: np.ndarray
    contradicted: tuple[tuple[int, int], ...]


def comparison_arrows(
    mean: np.ndarray, first: np.ndarray, second: np.ndarray, limit: np.ndarray
) -> Arrows:
    """Choose the lengths of comparison arrows.

    Parameters
    ----------
    mean : (m,) array
    first, second : (pairs,) int arrays
    limit : (pairs,) array
        The smallest significant difference of each pair; NaN for pairs without a test.

    Examples
    --------
    >>> first, second = np.array([0, 0, 1]), np.array([1, 2, 2])
    >>> comparison_arrows(np.array([1.0, 2.0, 5.0]), first, second, np.full(3, 2.0)).length.round(6)
    array([1., 1., 1.])
    """
    from scipy.optimize import nnls

    known = np.isfinite(limit) & (limit > 0.0)
    i, j, wanted = first[known], second[known], limit[known]
    length = np.zeros(len(mean))
    if not len(wanted):
        return Arrows(length, ())
    gap = np.abs(mean[i] - mean[j])
    weight = 1.0 / (_CLOSE + np.abs(gap / wanted - 1.0)) / wanted
    X = np.zeros((len(wanted), len(mean)))
    rows = np.arange(len(wanted))
    X[rows, i] = X[rows, j] = 1.0
    length = nnls(X * weight[:, None], wanted * weight)[0]
    wrong = (length[i] + length[j] < gap) != (gap > wanted)
    return Arrows(length, tuple(zip(i[wrong].tolist(), j[wrong].tolist(), strict=True)))
