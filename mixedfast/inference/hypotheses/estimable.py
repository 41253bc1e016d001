"""Estimable combinations of coefficients, when columns of X were left out as redundant.

Nothing here may depend on the units of covariates, so weights are compared after multiplication by
the sizes of their columns.
"""

from __future__ import annotations

import numpy as np

from mixedfast.crossprod.types import CrossProducts
from mixedfast.inference.hypotheses.row_space import without_rounding

__all__ = ["alias_matrix", "column_sizes", "estimable", "undetermined"]

#: The alias matrix is accurate to about 1e-10: a sum of its products may be wrong by this fraction
#: of its terms.
_ALIAS_ACCURACY = 1e-8
#: Columns that others determine up to this fraction of their size are left out as redundant.
_REDUNDANT = 3e-5


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
    return without_rounding(cp.alias.T, cp.scale[:-1]).T


def column_sizes(cp: CrossProducts) -> np.ndarray:
    """Return the size of each column of X in its unit, (p_all,).

    The standard deviation of a kept column; of another one the largest contribution of a kept
    column to it, and one for a column of zeros.
    """
    sizes = (np.abs(alias_matrix(cp)) / cp.scale[:-1, None]).max(axis=0, initial=0.0)
    return np.where(sizes > 0.0, sizes, 1.0)


def estimable(cp: CrossProducts, rows: np.ndarray) -> np.ndarray:
    """Express combinations of all columns as combinations of those kept; NaN if not estimable.

    Parameters
    ----------
    cp : CrossProducts
    rows : (r, p_all) array
        A row with NaN is not estimable.

    Returns
    -------
    (r, p) array
    """
    lost = np.asarray(undetermined(cp, rows).any(axis=1))
    return np.where(lost[:, None], np.nan, rows[:, cp.kept])


def undetermined(cp: CrossProducts, rows: np.ndarray) -> np.ndarray:
    """Find the columns left out whose coefficients the combinations need, (r, p_all) bool.

    A combination is estimable when there is none. All columns are needed by a row of NaN.

    Parameters
    ----------
    cp : CrossProducts
    rows : (r, p_all) array
    """
    out: np.ndarray = np.zeros(rows.shape, dtype=bool)
    unknown = np.asarray(np.isnan(rows).any(axis=1))
    out[unknown] = True
    left_out = np.setdiff1d(np.arange(rows.shape[1]), cp.kept)
    if len(left_out):
        kept, alias, own = rows[:, cp.kept], alias_matrix(cp)[:, left_out], rows[:, left_out]
        terms = np.abs(kept) @ np.abs(alias) + np.abs(own)
        tolerance = _ALIAS_ACCURACY * terms + _REDUNDANT * column_sizes(cp)[left_out]
        needed: np.ndarray = np.abs(kept @ alias - own) > tolerance
        out[:, left_out] |= needed
    return out
