"""Estimable combinations of coefficients, when columns of X were left out as redundant."""

from __future__ import annotations

import numpy as np

from mixedfast.crossprod.types import CrossProducts
from mixedfast.inference.hypotheses.row_space import TOLERANCE, without_rounding

__all__ = ["alias_matrix", "estimable"]


def alias_matrix(cp: CrossProducts) -> np.ndarray:
    """Return A (p, p_all) with X_all = X_kept A, user's basis.

    Columns left out count as zero where the cross-products do not say how they follow from the
    others.

    Examples
    --------
    >>> import mixedfast as mf
    >>> data = {"y": [1.0, 2, 4, 3], "x": [0.0, 1, 0, 1], "z": [0.0, 2, 0, 2], "g": list("aabb")}
    >>> alias_matrix(mf.lmer("y ~ x + z + (1 | g)", data)._fit.cp)
    array([[1., 0., 0.],
           [0., 1., 2.]])
    """
    if cp.alias is None:
        return np.eye(len(cp.meta.x_names))[cp.kept]
    return without_rounding(cp.alias)


def estimable(cp: CrossProducts, rows: np.ndarray) -> np.ndarray:
    """Express combinations of all columns as combinations of those kept; NaN if not estimable.

    Parameters
    ----------
    cp : CrossProducts
    rows : (r, p_all) array

    Returns
    -------
    (r, p) array
    """
    kept = rows[:, cp.kept]
    size = np.abs(rows).max(axis=1, initial=1.0)
    difference = np.abs(kept @ alias_matrix(cp) - rows).max(axis=1, initial=0.0)
    return np.where((difference > np.sqrt(TOLERANCE) * size)[:, None], np.nan, kept)
