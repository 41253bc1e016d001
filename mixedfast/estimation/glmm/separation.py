"""Separation: coefficients that run to infinity because a combination of columns decides responses.

Konis (2007, doctoral thesis, University of Oxford, chapter 4) writes it as a linear program: find b
with x_i'b >= 0 where the response is at the upper end of its range, <= 0 at the lower end and = 0
in between. A nonzero x_i'b anywhere means that the likelihood has no maximum.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixedfast.errors import NotIdentifiedError
from mixedfast.estimation.glmm.families import Family

__all__ = ["check_separation", "separating_direction"]

#: Rows of the first sample. Rows that are not separated prove that all rows are not.
_SAMPLE = 2_000
_LARGER = 10
#: A sum of x_i'b, with |b| <= 1 and columns of length one, below this is zero to the solver, whose
#: own tolerance is 1e-7.
_ZERO = 1e-5


def check_separation(
    family: Family, X: np.ndarray, y: np.ndarray, size: np.ndarray, names: Sequence[str]
) -> None:
    """Raise NotIdentifiedError where a combination of columns of X separates the responses.

    Parameters
    ----------
    family : Family
    X : (n, p) array
    y, size : (n,) arrays
        As in `Response`.
    names : sequence of str
        Of the columns.

    Raises
    ------
    NotIdentifiedError
        Names the columns.
    """
    if family.name not in ("binomial", "poisson") or not X.shape[1]:
        return
    upper = y >= size if family.name == "binomial" else np.zeros(len(y), dtype=bool)
    side = np.where(upper, 1, np.where(y <= 0.0, -1, 0))
    b = separating_direction(X, side)
    if b is None:
        return
    bad = [name for name, weight in zip(names, np.abs(b), strict=True) if weight > _ZERO]
    bad = [name for name in bad if name != "Intercept"] or bad
    what = "successes from failures" if family.name == "binomial" else "zeros from other counts"
    listed = ", ".join(bad)
    raise NotIdentifiedError(
        f"the column{'s' if len(bad) > 1 else ''} {listed} separate {what} in some rows: the "
        "likelihood has no maximum, and coefficients run to infinity. Leave a column out, or merge "
        "levels that have responses of one kind only"
    )


def separating_direction(X: np.ndarray, side: np.ndarray) -> np.ndarray | None:
    """Find b (p,) with side_i x_i'b >= 0, and x_i'b = 0 where the side is 0, not all zero.

    Parameters
    ----------
    X : (n, p) array
    side : (n,) int array
        1, -1, or 0 in between.

    Returns
    -------
    (p,) array or None
        None where there is no separation.

    Examples
    --------
    >>> X = np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0], [1.0, 4.0]])
    >>> separating_direction(X, np.array([-1, 1, -1, 1])) is None
    True
    >>> b = separating_direction(X, np.array([-1, -1, 1, 1]))
    >>> bool((np.array([-1, -1, 1, 1]) * (X @ b) >= -1e-9).all())
    True
    """
    unit = np.sqrt((X**2).sum(axis=0))
    unit[unit == 0.0] = 1.0
    rows = np.unique(np.column_stack([X / unit * np.sqrt(len(X)), side]), axis=0)
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    n = min(_SAMPLE, len(rows))
    while True:
        found = _solve(rows[:n, :-1], rows[:n, -1])
        if found is None or n == len(rows):
            return None if found is None else found / unit * unit.max()
        n = min(_LARGER * n, len(rows))


def _solve(X: np.ndarray, side: np.ndarray) -> np.ndarray | None:
    """Solve the linear program for distinct rows."""
    from scipy.optimize import linprog

    signed = X * side[:, None]
    ends, between = side != 0, side == 0
    found = linprog(
        -signed.sum(axis=0) / len(X),
        A_ub=-signed[ends] if ends.any() else None,
        b_ub=np.zeros(ends.sum()) if ends.any() else None,
        A_eq=X[between] if between.any() else None,
        b_eq=np.zeros(between.sum()) if between.any() else None,
        bounds=(-1.0, 1.0),
        method="highs",
    )
    if found.status != 0 or -found.fun <= _ZERO / len(X):
        return None
    return np.asarray(found.x)
