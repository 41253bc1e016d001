"""The hypotheses of an analysis of variance: one matrix L per term.

Type I, II or III, and single deletions.

All from X'X and the coding of the factors. The types are those of SAS ("The Four Types of Estimable
Functions", SAS/STAT User's Guide). F does not depend on the basis of a hypothesis, but the df of
Satterthwaite do a little, so the rows follow the conventions of lmerTest (Kuznetsova, Brockhoff and
Christensen 2017, JSS 82(13), section 3): unit upper triangular for type I, the identity on the
columns of the term for type II, the same for type III with treatment coding.

One term *contains* another when it has the same numeric factors and more categorical ones, as in
SAS: ``f:x`` contains ``x`` but not ``f``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixedfast.crossprod.row_moments import row_moments
from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.coding import FixedTerm
from mixedfast.errors import NotDefinedError
from mixedfast.inference.hypotheses.cell_dummies import CellDummies
from mixedfast.inference.hypotheses.estimable import alias_matrix, column_sizes
from mixedfast.inference.hypotheses.row_space import echelon, left_null, without_rounding

__all__ = ["TYPES", "Hypotheses", "contains", "deletions", "hypotheses"]

Hypotheses = dict[str, np.ndarray]
"""Term -> L (r, p) over the identifiable columns, user's basis."""


def hypotheses(cp: CrossProducts, type: str = "III") -> Hypotheses:
    """Return the matrix L of every term but the intercept; its F test is of L beta = 0.

    Parameters
    ----------
    cp : CrossProducts
        Of the identifiable columns of X.
    type : {"I", "II", "III", "marginal"}
        ``"I"``: each term after those before it. ``"II"``: each after all that do not contain it.
        ``"III"``: each after all others, averaged with equal weights over the levels of the factors
        it interacts with, for any contrasts. ``"marginal"``: the coefficients of the term; this one
        depends on the contrasts.

    Returns
    -------
    dict of str to (r, p) array
        Rows over the identifiable columns in the user's basis; no rows for a term without such
        columns.

    Raises
    ------
    NotDefinedError
        For an unknown type; for type III when the contrasts do not distinguish all levels of a
        factor.

    Notes
    -----
    Types I and II ignore prior weights: every row counts once, as in lmerTest.

    Examples
    --------
    >>> import mixedfast as mf
    >>> cp = mf.crossproducts("math ~ ses + sex + (1 | school)", mf.load_dataset("hsb"))
    >>> {name: L.tolist() for name, L in hypotheses(cp, "III").items()}
    {'ses': [[0.0, 1.0, 0.0]], 'sex': [[0.0, 0.0, 1.0]]}
    """
    if type not in TYPES:
        raise NotDefinedError(
            f"type={type!r} of analysis of variance is not defined: choose from {', '.join(TYPES)} "
            "(models are compared by mf.anova(m1, m2))"
        )
    return TYPES[type](cp)


def contains(larger: FixedTerm, smaller: FixedTerm) -> bool:
    """Check whether a term has the same numeric factors as another, and more categorical ones."""
    return _numeric(larger) == _numeric(smaller) and _categorical(larger) > _categorical(smaller)


def _numeric(term: FixedTerm) -> frozenset[str]:
    """Return the numeric factors of a term."""
    return frozenset(
        f for f, kind in zip(term.factors, term.kinds, strict=True) if kind == "numeric"
    )


def _categorical(term: FixedTerm) -> frozenset[str]:
    """Return the categorical factors of a term."""
    return frozenset(
        f for f, kind in zip(term.factors, term.kinds, strict=True) if kind == "categorical"
    )


def _terms(cp: CrossProducts) -> list[FixedTerm]:
    """Return the terms but the intercept."""
    return [term for term in cp.meta.fixed_terms if term.factors]


def _columns(cp: CrossProducts, term: FixedTerm) -> np.ndarray:
    """Return the positions of the columns of a term among the identifiable ones."""
    return np.flatnonzero(np.isin(cp.kept, term.columns))


def _triangle(cp: CrossProducts) -> np.ndarray:
    """Compute the upper triangular R of X'X = R'R in the user's basis, (p, p)."""
    mean, covariance, _ = row_moments(cp)
    internal = np.linalg.cholesky((cp.n - 1) * covariance + cp.n * np.outer(mean, mean)).T
    return np.asarray(
        np.linalg.qr(np.linalg.solve(cp.scaling.beta_transform().T, internal.T).T, mode="r")
    )


# --- types I and II -----------------------------------------------------------------------------


def _sequential(cp: CrossProducts) -> Hypotheses:
    """Return type I: the rows of the unit upper triangular factor of X'X."""
    R = _triangle(cp)
    unit = R / np.diag(R)[:, None]
    return {term.name: unit[_columns(cp, term)] for term in _terms(cp)}


def _partial(cp: CrossProducts) -> Hypotheses:
    """Return type II: [0 | I | (X1'M X1)^-1 X1'M X2].

    X1 are the columns of the term, X2 those of terms that contain it; M projects off the columns of
    all other terms.
    """
    R = _triangle(cp)
    out = {}
    for term in _terms(cp):
        columns = _columns(cp, term)
        above = [_columns(cp, other) for other in _terms(cp) if contains(other, term)]
        after = np.concatenate([np.empty(0, dtype=int), *above])
        before = np.setdiff1d(np.arange(cp.p), np.concatenate([columns, after]))
        factor = np.asarray(np.linalg.qr(R[:, np.concatenate([before, columns, after])], mode="r"))
        here = slice(len(before), len(before) + len(columns))
        L = np.zeros((len(columns), cp.p))
        diagonal = factor[here, here]
        basis = diagonal / np.diag(diagonal)[:, None] if above else np.eye(len(columns))
        L[:, columns] = basis
        L[:, after] = basis @ np.linalg.solve(diagonal, factor[here, here.stop :])
        out[term.name] = L
    return out


def _marginal(cp: CrossProducts) -> Hypotheses:
    """Return the identity on the coefficients of each term."""
    return {term.name: np.eye(cp.p)[_columns(cp, term)] for term in _terms(cp)}


# --- single deletions ---------------------------------------------------------------------------


def deletions(cp: CrossProducts) -> Hypotheses:
    """Return the hypothesis of deleting a term, for terms whose factors are not all in another one.

    A term whose columns are combinations of the others gets no rows: deleting it changes nothing.
    """
    sizes = column_sizes(cp)
    own_sizes = sizes[cp.kept]
    known = alias_matrix(cp) * own_sizes[:, None] / sizes
    terms = _terms(cp)
    out = {}
    for term in terms:
        if any(set(other.factors) > set(term.factors) for other in terms):
            continue
        others = np.setdiff1d(np.arange(known.shape[1]), term.columns)
        rows = left_null(known[:, others]) * own_sizes
        out[term.name] = echelon(rows, _columns(cp, term), own_sizes)
    return out


# --- type III -----------------------------------------------------------------------------------


def _general(cp: CrossProducts) -> Hypotheses:
    """Return type III, by way of the coefficients of a dummy for every cell of every term.

    With X_dummies = X B the estimable functions of these coefficients are the row space of B (here
    for columns in units of their sizes). The
    hypotheses of a term are the estimable functions that involve only the term and those containing
    it, orthogonal to the same of the containing terms.
    """
    present = [term for term in _terms(cp) if len(_columns(cp, term))]
    _check_alias(cp, present)
    dummies = CellDummies(cp, present)
    own_sizes = column_sizes(cp)[cp.kept]
    B = (alias_matrix(cp) @ dummies.map) * own_sizes[:, None] / dummies.sizes
    # the rows of Q' span the estimable functions; L over dummies = L over X times B
    Q, R = np.linalg.qr(B.T)

    def without_others(term: FixedTerm) -> np.ndarray:
        """Return the estimable functions of the term and those containing it, by way of Q."""
        outside = [
            i
            for i, other in enumerate(dummies.terms)
            if other is not term and not contains(other, term)
        ]
        return left_null(Q[np.isin(dummies.owner, outside)].T)

    out: Hypotheses = {}
    for term in _terms(cp):
        if term not in present:
            out[term.name] = np.empty((0, cp.p))
            continue
        rows = without_others(term)
        above = [without_others(other) for other in present if contains(other, term)]
        if above:
            rows = left_null(rows @ np.vstack(above).T) @ rows
        basis = echelon(rows @ Q.T * dummies.sizes, dummies.pivots(term), dummies.sizes)
        L = np.linalg.solve(R, Q.T @ (basis / dummies.sizes).T).T
        out[term.name] = without_rounding(L * own_sizes, own_sizes)
    return out


def _check_alias(cp: CrossProducts, present: list[FixedTerm]) -> None:
    """Raise NotDefinedError when part of a term was left out and the alias matrix is missing."""
    kept = set(cp.kept.tolist())
    partly = [term.name for term in present if not kept.issuperset(term.columns)]
    if partly and cp.alias is None:
        raise NotDefinedError(
            f"type III of {', '.join(partly)} needs to know how the columns that could not be "
            "identified (an empty cell?) follow from the others, and these cross-products do not "
            "say: fit from the data, or use type II"
        )


TYPES: dict[str, Callable[[CrossProducts], Hypotheses]] = {
    "I": _sequential,
    "II": _partial,
    "III": _general,
    "marginal": _marginal,
}
