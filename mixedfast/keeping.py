"""Cross-products of fewer columns of X: those that can be told apart, or those of a smaller model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixedfast.addition import in_basis
from mixedfast.crossprod import CONSTANT_TOLERANCE, CrossProducts

__all__ = ["keep_columns"]


def keep_columns(cp: CrossProducts, columns: np.ndarray) -> CrossProducts:
    """Cross-products with only some columns of X (positions, ascending).

    Parameters
    ----------
    cp : CrossProducts
    columns : (r,) int array

    Returns
    -------
    CrossProducts

    Examples
    --------
    >>> import mixedfast as mf
    >>> cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> keep_columns(cp, np.array([0])).x_names
    ('Intercept',)
    """
    if len(columns) == cp.p:
        return cp
    both = np.append(columns, cp.p)
    X = cp.xy[:-1, :-1]
    internal = np.linalg.solve(X[np.ix_(columns, columns)], X[columns])
    constant = _constant_of(cp, columns, internal)
    if constant is None and cp.constant is not None:  # nothing is left that could give a shift back
        return keep_columns(in_basis(cp, cp.basis.unshifted()), columns)
    fewer = replace(
        cp,
        xy=np.ascontiguousarray(cp.xy[np.ix_(both, both)]),
        shift=cp.shift[both],
        scale=cp.scale[both],
        groups=tuple(
            replace(
                g, B=np.ascontiguousarray(g.B[:, :, both]),
                sums=None if g.sums is None else g.sums[:, np.append(0, 1 + columns)],
            )
            for g in cp.groups
        ),
        x_names=tuple(cp.x_names[i] for i in columns),
        kept=cp.kept[columns],
        unweighted=_unweighted_of(cp, columns),
        constant=constant,
        mix=None if cp.mix is None else cp.mix[np.ix_(columns, columns)],
    )
    alias = fewer.basis.beta_transform() @ np.linalg.solve(cp.basis.beta_transform().T, internal.T).T
    return replace(fewer, alias=alias)


def _constant_of(cp: CrossProducts, columns: np.ndarray, internal: np.ndarray) -> np.ndarray | None:
    """`constant` for some of the columns, which give all as ``X_kept internal`` (in the internal basis)."""
    if cp.constant is None:
        return None
    if not np.delete(cp.constant, columns).any():
        return cp.constant[columns]
    X, ones = cp.xy[:-1, :-1], cp.ones
    k = internal @ ones
    total = ones @ X @ ones
    if not total - k @ X[columns] @ ones <= CONSTANT_TOLERANCE * total:
        return None
    scaled = cp.scale[columns] * (k if cp.mix is None else cp.mix[np.ix_(columns, columns)] @ k)
    return scaled / (1.0 + cp.shift[columns] @ scaled)


def _unweighted_of(cp: CrossProducts, columns: np.ndarray) -> np.ndarray | None:
    if cp.unweighted is None:
        return None
    stay = np.concatenate([[0], 1 + columns, np.arange(1 + cp.p, len(cp.unweighted))])
    return np.ascontiguousarray(cp.unweighted[np.ix_(stay, stay)])
