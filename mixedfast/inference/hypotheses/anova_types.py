"""The hypotheses of an analysis of variance: one matrix L per term.

Type I, II or III, and single deletions.

All from X'X and the coding of the factors. The types are those of SAS ("The Four Types of Estimable
Functions", SAS/STAT User's Guide). F does not depend on the basis of a hypothesis, but the default
df of Satterthwaite do, so the rows follow the conventions of lmerTest (Kuznetsova, Brockhoff and
Christensen 2017, JSS 82(13), section 3): unit upper triangular for type I, the identity on the
columns of the term for type II, the same for type III with treatment coding. So these df depend on
the contrasts of the fit in types I and II and in `deletions`, and not in type III.

One term *contains* another when it has the same numeric factors and more categorical ones, as in
SAS: ``f:x`` contains ``x`` but not ``f``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mixedfast.crossprod.row_moments import row_moments
from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.coding import FixedTerm
from mixedfast.errors import NotDefinedError
from mixedfast.inference.hypotheses.cell_dummies import CellDummies
from mixedfast.inference.hypotheses.estimable import alias_matrix, column_sizes
from mixedfast.inference.hypotheses.row_space import TOLERANCE, echelon, left_null, without_rounding

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


def _present(cp: CrossProducts) -> list[FixedTerm]:
    """Return the terms but the intercept whose parameters are in the model.

    These are all, but a covariate (or a product of covariates) that repeats others and left no
    column counts as left out of the formula, as in R.
    """
    return [term for term in _terms(cp) if _categorical(term) or len(_columns(cp, term))]


def _names(terms: list[FixedTerm]) -> list[str]:
    """Return the names of terms."""
    return [term.name for term in terms]


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
    all other terms. Where columns are combinations of others, independent ones are chosen in this
    order: first of the other terms, then of the term, then of those that contain it. The
    coefficients of the chosen columns are estimable, as functions of those that the fit has kept.
    """
    present, R = _present(cp), _triangle(cp)
    _check_alias(cp, present, "II")
    spans = _spans(cp, present)
    out = {}
    for term in _terms(cp):
        if term not in present:
            out[term.name] = np.empty((0, cp.p))
            continue
        above = [other for other in present if contains(other, term)]
        others = [name for name in spans if name != term.name and name not in _names(above)]
        parts = [[spans[name] for name in names] for names in (others, [term.name], _names(above))]
        columns = np.hstack([span.columns for part in parts for span in part])
        chosen = _independent(np.hstack([span.scaled for part in parts for span in part]))
        counts = [sum(span.columns.shape[1] for span in part) for part in parts]
        ends = np.searchsorted(chosen, np.cumsum(counts))
        here, columns = slice(ends[0], ends[1]), columns[:, chosen]
        factor = np.asarray(np.linalg.qr(R @ columns, mode="r"))
        diagonal = factor[here, here]
        basis = diagonal / np.diag(diagonal)[:, None] if above else np.eye(len(diagonal))
        L = np.zeros((len(diagonal), cp.p))
        L[:, here] = basis
        L[:, here.stop :] = basis @ np.linalg.solve(diagonal, factor[here, here.stop :])
        # X beta = X C gamma for the chosen columns X C, so gamma = C^-1 beta
        out[term.name] = np.linalg.solve(columns.T, L.T).T
    return out


@dataclass(frozen=True, eq=False)
class _Span:
    """Columns S with X_kept S a span of a term, (p, m), and the same in units of sizes."""

    columns: np.ndarray
    scaled: np.ndarray


def _spans(cp: CrossProducts, present: list[FixedTerm]) -> dict[str, _Span]:
    """Return spans of the intercept and of each term, by name.

    They are the columns of the term. Where these leave out what another term has already (``b`` in
    ``0 + a + b``, which has one column less than levels), the dummies of all its cells follow.
    """
    known, sizes = alias_matrix(cp), column_sizes(cp)
    units = sizes[cp.kept][:, None]
    terms = [term for term in cp.meta.fixed_terms if not term.factors or term in present]
    spans = {
        term.name: _Span(part := known[:, term.columns], part * units / sizes[[*term.columns]])
        for term in terms
    }
    if all(_is_hierarchical(term, terms) for term in terms):
        return spans
    dummies = CellDummies(cp, present)
    for i, term in enumerate(dummies.terms):
        own, cells = spans[term.name], dummies.owner == i
        part = known @ dummies.map[:, cells]
        spans[term.name] = _Span(
            np.hstack([own.columns, part]),
            np.hstack([own.scaled, part * units / dummies.sizes[cells]]),
        )
    return spans


def _is_hierarchical(term: FixedTerm, terms: list[FixedTerm]) -> bool:
    """Check whether all terms with one categorical factor less are in the model."""
    there = {(_numeric(one), _categorical(one)) for one in terms}
    return all((_numeric(term), _categorical(term) - {f}) in there for f in _categorical(term))


def _independent(columns: np.ndarray) -> np.ndarray:
    """Select columns (p, m) that are not combinations of those before them.

    They are in units of sizes, so that what rounding leaves of a column of zeros is small. Columns
    of X that were kept are unit vectors here, however nearly collinear.
    """
    basis, chosen = np.empty((len(columns), 0)), []
    for j, column in enumerate(columns.T):
        rest = column
        for _ in range(2):  # once more, for the rounding that the first projection leaves
            rest = rest - basis @ (basis.T @ rest)
        length = float(np.linalg.norm(rest))
        if length > TOLERANCE:
            basis = np.column_stack([basis, rest / length])
            chosen.append(j)
    return np.array(chosen, dtype=int)


def _marginal(cp: CrossProducts) -> Hypotheses:
    """Return the identity on the coefficients of each term."""
    return {term.name: np.eye(cp.p)[_columns(cp, term)] for term in _terms(cp)}


# --- single deletions ---------------------------------------------------------------------------


def deletions(cp: CrossProducts) -> Hypotheses:
    """Return the hypothesis of deleting a term, for terms whose factors are not all in another one.

    A term whose columns are combinations of the others gets no rows: deleting it changes nothing.
    """
    own_sizes = column_sizes(cp)[cp.kept]
    terms = _terms(cp)
    spans = _spans(cp, terms)
    out = {}
    for term in terms:
        if any(set(other.factors) > set(term.factors) for other in terms):
            continue
        others = [span.scaled for name, span in spans.items() if name != term.name]
        rows = left_null(np.hstack([np.empty((cp.p, 0)), *others])) * own_sizes
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
    present = _present(cp)
    _check_alias(cp, present, "III")
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


def _check_alias(cp: CrossProducts, present: list[FixedTerm], type: str) -> None:
    """Raise NotDefinedError when part of a term was left out and the alias matrix is missing."""
    kept = set(cp.kept.tolist())
    partly = [term.name for term in present if not kept.issuperset(term.columns)]
    if partly and cp.alias is None:
        raise NotDefinedError(
            f"type {type} of {', '.join(partly)} needs to know how the columns that could not be "
            "identified (an empty cell?) follow from the others, and these cross-products do not "
            "say: fit from the data, or use type I"
        )


TYPES: dict[str, Callable[[CrossProducts], Hypotheses]] = {
    "I": _sequential,
    "II": _partial,
    "III": _general,
    "marginal": _marginal,
}
