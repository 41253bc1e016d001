"""What an analysis of variance tests: one matrix L a term, type I, II or III, and single deletions.

All from X'X and the coding of the factors. The types are those of SAS ("The Four Types of Estimable Functions",
SAS/STAT User's Guide). Which basis spans a hypothesis does not change F but does change Satterthwaite's df a little, so
the rows follow lmerTest's conventions (Kuznetsova, Brockhoff and Christensen 2017, JSS 82(13), section 3): unit upper
triangular for type I, the identity on a term's own columns for type II, the same for type III with treatment coding.

One term *contains* another when it has the same numeric factors and more categorical ones, as in SAS: ``f:x``
contains ``x`` but not ``f``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfast.crossprod.row_moments import row_moments
from mixedfast.crossprod.subset import keep_columns
from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.coding import Coding, FixedTerm
from mixedfast.errors import NotDefinedError
from mixedfast.formula.variables import factors

__all__ = [
    "TYPES",
    "alias_matrix",
    "column_parts",
    "contains",
    "deletions",
    "estimable",
    "hypotheses",
    "unaliased",
]

#: Coefficients below this share of the largest are rounding. True ones are ratios of small whole numbers.
TOLERANCE = 1e-9

Hypotheses = dict[str, np.ndarray]


def hypotheses(cp: CrossProducts, type: str = "III", alias: np.ndarray | None = None) -> Hypotheses:
    """The matrix L of every term but the intercept; L beta = 0 is what its F tests.

    Parameters
    ----------
    cp : CrossProducts
        Of the identifiable columns of X.
    type : {"I", "II", "III", "marginal"}
        ``"I"``: each term after those before it. ``"II"``: each after all that do not contain it. ``"III"``: each after
        all others, averaged evenly over the levels of the factors it interacts with, whatever the user's contrasts.
        ``"marginal"``: the term's coefficients as they are; this one does depend on the contrasts.
    alias : (p, p_all) array, optional
        From `alias_matrix`; needed for type III when only part of a term could be identified (an empty cell).

    Returns
    -------
    dict of str to (r, p) array
        Rows over the identifiable columns in the user's basis; no rows for a term that left no column.

    Raises
    ------
    NotDefinedError
        For an unknown type; for type III when the coding does not span what the terms say.

    Notes
    -----
    Prior weights say how precise a row is, not what is asked: every row counts once in types I and II, as in lmerTest.

    Examples
    --------
    >>> import mixedfast as mf
    >>> cp = mf.crossproducts("math ~ ses + sex + (1 | school)", mf.load_dataset("hsb"))
    >>> {name: L.tolist() for name, L in hypotheses(cp, "III").items()}
    {'ses': [[0.0, 1.0, 0.0]], 'sex': [[0.0, 0.0, 1.0]]}
    """
    if type not in TYPES:
        raise NotDefinedError(
            f"type={type!r} of analysis of variance is not defined: choose from {', '.join(TYPES)} (models are compared by "
            "mf.anova(m1, m2))"
        )
    return TYPES[type](cp, stored_alias(cp) if alias is None and cp.alias is not None else alias)


def contains(larger: FixedTerm, smaller: FixedTerm) -> bool:
    """Whether a term contains another: the same numeric factors, and more categorical ones."""
    return _numeric(larger) == _numeric(smaller) and _categorical(larger) > _categorical(smaller)


def _numeric(term: FixedTerm) -> frozenset[str]:
    return frozenset(
        f for f, kind in zip(term.factors, term.kinds, strict=True) if kind == "numeric"
    )


def _categorical(term: FixedTerm) -> frozenset[str]:
    return frozenset(
        f for f, kind in zip(term.factors, term.kinds, strict=True) if kind == "categorical"
    )


def _terms(cp: CrossProducts) -> list[FixedTerm]:
    """The terms but the intercept."""
    return [term for term in cp.meta.fixed_terms if term.factors]


def _own(cp: CrossProducts, term: FixedTerm) -> np.ndarray:
    """Positions of a term's columns among the identifiable ones."""
    return np.flatnonzero(np.isin(cp.kept, term.columns))


def _triangle(cp: CrossProducts) -> np.ndarray:
    """Upper triangular R of X'X = R'R in the user's basis, (p, p)."""
    mean, covariance, _ = row_moments(cp)
    internal = np.linalg.cholesky((cp.n - 1) * covariance + cp.n * np.outer(mean, mean)).T
    return np.asarray(
        np.linalg.qr(np.linalg.solve(cp.basis.beta_transform().T, internal.T).T, mode="r")
    )


# --- types I and II -----------------------------------------------------------------------------------------


def _sequential(cp: CrossProducts, alias: np.ndarray | None = None) -> Hypotheses:
    """Type I: the rows of the unit upper triangular factor of X'X."""
    R = _triangle(cp)
    unit = R / np.diag(R)[:, None]
    return {term.name: unit[_own(cp, term)] for term in _terms(cp)}


def _partial(cp: CrossProducts, alias: np.ndarray | None = None) -> Hypotheses:
    """Type II: [0 | I | (X1'M X1)^-1 X1'M X2], X1 the term's columns, X2 of terms that contain it, M off the rest."""
    R = _triangle(cp)
    out = {}
    for term in _terms(cp):
        own = _own(cp, term)
        above = [_own(cp, other) for other in _terms(cp) if contains(other, term)]
        after = np.concatenate([np.empty(0, dtype=int), *above])
        before = np.setdiff1d(np.arange(cp.p), np.concatenate([own, after]))
        turned = np.asarray(np.linalg.qr(R[:, np.concatenate([before, own, after])], mode="r"))
        mine = slice(len(before), len(before) + len(own))
        L = np.zeros((len(own), cp.p))
        own_rows = turned[mine, mine]
        basis = own_rows / np.diag(own_rows)[:, None] if above else np.eye(len(own))
        L[:, own] = basis
        L[:, after] = basis @ np.linalg.solve(own_rows, turned[mine, mine.stop :])
        out[term.name] = L
    return out


def _marginal(cp: CrossProducts, alias: np.ndarray | None = None) -> Hypotheses:
    """The term's coefficients themselves."""
    return {term.name: np.eye(cp.p)[_own(cp, term)] for term in _terms(cp)}


# --- single deletions ---------------------------------------------------------------------------------------


def deletions(cp: CrossProducts, alias: np.ndarray | None = None) -> Hypotheses:
    """What deleting a term tests, for the terms that no other term is built on.

    Parameters
    ----------
    cp : CrossProducts
    alias : (p, p_all) array, optional
        From `alias_matrix`. With it a term whose columns others can stand in for gets no rows: deleting it changes nothing.

    Returns
    -------
    dict of str to (r, p) array
    """
    known = stored_alias(cp) if alias is None else alias
    terms = _terms(cp)
    out = {}
    for term in terms:
        if any(set(other.factors) > set(term.factors) for other in terms):
            continue
        others = np.setdiff1d(np.arange(known.shape[1]), term.columns)
        out[term.name] = _echelon(_left_null(known[:, others]), _own(cp, term))
    return out


# --- type III -----------------------------------------------------------------------------------------------


def _general(cp: CrossProducts, alias: np.ndarray | None = None) -> Hypotheses:
    """Type III, in the coefficients of X with a dummy for every cell of every term.

    The estimable functions of those coefficients are the row space of B, X_dummies = X B. A term's hypotheses are the
    estimable functions without the terms that do not contain it, orthogonal to those of the terms that do.
    """
    live = [term for term in _terms(cp) if len(_own(cp, term))]
    dummies = _Dummies(cp, live)
    B = _known_alias(cp, live, alias) @ dummies.map
    Q, R = np.linalg.qr(
        B.T
    )  # rows of Q' span the estimable functions; L over dummies = L over X times B

    def without_others(term: FixedTerm) -> np.ndarray:
        """Coordinates in Q of the estimable functions that involve only the term and those containing it."""
        outside = [
            i
            for i, other in enumerate(dummies.terms)
            if other is not term and not contains(other, term)
        ]
        return _left_null(Q[np.isin(dummies.owner, outside)].T)

    out: Hypotheses = {}
    for term in _terms(cp):
        if term not in live:
            out[term.name] = np.empty((0, cp.p))
            continue
        mine = without_others(term)
        above = [without_others(other) for other in live if contains(other, term)]
        if above:
            mine = _left_null(mine @ np.vstack(above).T) @ mine
        rows = _echelon(mine @ Q.T, dummies.pivots(term))
        out[term.name] = _clean(np.linalg.solve(R, Q.T @ rows.T).T)
    return out


def _known_alias(cp: CrossProducts, live: list[FixedTerm], alias: np.ndarray | None) -> np.ndarray:
    """The alias matrix, or its trivial form when every column of the live terms was kept."""
    if alias is not None:
        return alias
    kept = set(cp.kept.tolist())
    partly = [term.name for term in live if not kept.issuperset(term.columns)]
    if partly:
        raise NotDefinedError(
            f"type III needs to know what stands in for the columns of {', '.join(partly)} that could not be identified "
            "(an empty cell?), and these cross-products do not say: fit from the data, or use type II"
        )
    return unaliased(cp)


@dataclass(frozen=True, eq=False)
class _Parts:
    """One column of X: its numeric parts, and a table over the levels of each categorical variable in it."""

    numeric: tuple[str, ...]
    tables: dict[str, np.ndarray]


class _Dummies:
    """The overparametrized coding of SAS: a column for every cell of every term.

    ``map`` (p_all, d) says how the dummies follow from the user's columns, ``owner`` (d,) whose they are (a position
    in ``terms``), ``_reference`` (d,) whether a factor is at its first level.
    """

    def __init__(self, cp: CrossProducts, live: list[FixedTerm]) -> None:
        if cp.meta.recipe is None:
            raise NotDefinedError(
                "type III needs the coding of the factors, which these cross-products do not carry"
            )
        parts = column_parts(cp.meta.recipe.fixed)
        self.terms = [term for term in cp.meta.fixed_terms if not term.factors or term in live]
        levels = {name: len(table) for part in parts for name, table in part.tables.items()}
        cells = [
            (label, owner, names, cell)
            for owner, term in enumerate(self.terms)
            for label in dict.fromkeys(parts[j].numeric for j in term.columns)
            for names in [_names(parts, term)]
            for cell in itertools.product(*(range(levels[name]) for name in names))
        ]
        self.owner = np.array([owner for _, owner, _, _ in cells])
        self._reference = np.array([0 in cell for _, _, _, cell in cells])
        self.map = np.zeros((len(cp.meta.x_names), len(cells)))
        for label in dict.fromkeys(label for label, _, _, _ in cells):
            columns = [j for term in self.terms for j in term.columns if parts[j].numeric == label]
            here = [i for i, cell in enumerate(cells) if cell[0] == label]
            self.map[np.ix_(columns, here)] = self._express(
                [cells[i][2:] for i in here],
                [parts[j].tables for j in columns],
                [cp.meta.x_names[j] for j in columns],
            )

    @staticmethod
    def _express(
        cells: list[tuple[tuple[str, ...], tuple[int, ...]]],
        tables: list[dict[str, np.ndarray]],
        names: list[str],
    ) -> np.ndarray:
        """The dummies as combinations of the user's columns, (columns, dummies).

        Both are compared at every cell of every term, other factors at their first level: that many points determine a
        function built of the terms.
        """
        points = [dict(zip(keys, cell, strict=True)) for keys, cell in cells]
        user = np.array(
            [
                [np.prod([t[at.get(k, 0)] for k, t in own.items()]) for own in tables]
                for at in points
            ]
        )
        dummy = np.array(
            [
                [all(at.get(k, 0) == c for k, c in zip(*cell, strict=True)) for cell in cells]
                for at in points
            ]
        )
        found = np.linalg.lstsq(user, dummy.astype(float), rcond=None)[0]
        if np.abs(user @ found - dummy).max() > TOLERANCE * max(
            1.0, np.abs(user).max() * np.abs(found).max()
        ):
            raise NotDefinedError(
                f"type III is not defined: the contrasts behind {', '.join(names)} do not tell all levels apart"
            )
        return found

    def pivots(self, term: FixedTerm) -> np.ndarray:
        """A term's dummies, those of treatment coding first."""
        own = np.flatnonzero(self.owner == self.terms.index(term))
        return own[np.argsort(self._reference[own], kind="stable")]


def _names(parts: list[_Parts], term: FixedTerm) -> tuple[str, ...]:
    """The categorical variables of a term, the last to vary fastest last."""
    return tuple(dict.fromkeys(name for j in term.columns for name in parts[j].tables))[::-1]


def column_parts(coding: Coding) -> list[_Parts]:
    """Every column of X taken apart."""
    if coding.products is not None:
        return [
            _Parts(
                tuple(sorted(piece.variable for piece in pieces if piece.table is None)),
                {piece.variable: piece.table for piece in pieces if piece.table is not None},
            )
            for pieces in coding.products
        ]
    spec, parts = coding.model_spec, []
    states = {factor.expr: state for factor, state in spec.factor_contrasts.items()}
    for structure in spec.structure:
        own = []
        for scoped in structure.scoped_terms:
            choices = [
                _choices(coding, states, f.factor.expr, f.reduced, structure.columns)
                for f in scoped.factors
            ]
            own += [_joined(chosen) for chosen in itertools.product(*reversed(choices))]
        if len(own) != len(structure.columns):
            raise NotDefinedError(
                f"cannot tell which columns of {structure.term} belong to which of its factors"
            )
        parts += own
    return parts


_Choice = tuple[str, Any]


def _choices(
    coding: Coding, states: dict[str, Any], expr: str, reduced: bool, columns: tuple[str, ...]
) -> list[_Choice]:
    """The columns of one factor: (variable, table), or (name, None) for a numeric one."""
    if expr in states:
        variables = factors(coding.formula)[expr].variables
        levels = coding.levels.get(variables[0]) if len(variables) == 1 else None
        state = states[expr]
        matrix = np.asarray(state.get_coding_matrix(reduced_rank=reduced), dtype=float)
        if levels is None or len(levels) != len(state.levels):
            return [(expr, column) for column in matrix.T]
        place = {level: i for i, level in enumerate(state.levels)}
        return [
            (variables[0], column[[place[level] for level in levels.tolist()]])
            for column in matrix.T
        ]
    if expr == "1":
        return [("", None)]
    found = [re.findall(rf"(?<!\w){re.escape(expr)}(\[[^\]]*\])", name) for name in columns]
    return [
        (expr + mark, None) for mark in dict.fromkeys(marks[0] for marks in found if marks)
    ] or [(expr, None)]


def _joined(chosen: tuple[_Choice, ...]) -> _Parts:
    numeric = sorted(name for name, table in chosen if table is None and name)
    return _Parts(tuple(numeric), {name: table for name, table in chosen if table is not None})


# --- columns that stand in for others -----------------------------------------------------------------------


def unaliased(cp: CrossProducts) -> np.ndarray:
    """The alias matrix when the columns left out are taken for zero: (p, p_all)."""
    return np.eye(len(cp.meta.x_names))[cp.kept]


def alias_matrix(cp: CrossProducts, kept: np.ndarray) -> np.ndarray:
    """How all columns of X follow from those kept: X_all = X_kept A, user's basis.

    Parameters
    ----------
    cp : CrossProducts
        Of all columns.
    kept : (p,) int array

    Returns
    -------
    (p, p_all) array

    Examples
    --------
    >>> import mixedfast as mf
    >>> data = {"y": [1.0, 2, 4, 3], "x": [0.0, 1, 0, 1], "z": [0.0, 2, 0, 2], "g": list("aabb")}
    >>> alias_matrix(mf.crossproducts("y ~ x + z + (1 | g)", data), np.array([0, 1]))
    array([[1., 0., 0.],
           [0., 1., 2.]])
    """
    return stored_alias(keep_columns(cp, kept))


def stored_alias(cp: CrossProducts) -> np.ndarray:
    """The alias matrix of cross-products some columns were left out of: (p, p_all)."""
    return unaliased(cp) if cp.alias is None else _clean(cp.alias)


def estimable(cp: CrossProducts, rows: np.ndarray, alias: np.ndarray | None = None) -> np.ndarray:
    """Combinations of all columns as combinations of those kept; NaN where the data do not determine them.

    Parameters
    ----------
    cp : CrossProducts
    rows : (r, p_all) array
    alias : (p, p_all) array, optional
        From `alias_matrix`. Without it the columns left out count as zero, and any weight on them is too much.

    Returns
    -------
    (r, p) array
    """
    known = stored_alias(cp) if alias is None else alias
    kept = rows[:, cp.kept]
    size = np.abs(rows).max(axis=1, initial=1.0)
    lost = np.abs(kept @ known - rows).max(axis=1, initial=0.0) > np.sqrt(TOLERANCE) * size
    return np.where(lost[:, None], np.nan, kept)


# --- small matrices -----------------------------------------------------------------------------------------


def _clean(matrix: np.ndarray) -> np.ndarray:
    """The matrix without rounding: entries near zero are zero, entries near a whole number are that number."""
    whole = np.round(matrix)
    return np.where(
        np.abs(matrix - whole) <= TOLERANCE * max(1.0, np.abs(matrix).max(initial=0.0)),
        whole + 0.0,
        matrix,
    )


def _left_null(matrix: np.ndarray) -> np.ndarray:
    """Orthonormal rows r with r matrix = 0."""
    if matrix.shape[1] == 0:
        return np.eye(len(matrix))
    U, s, _ = np.linalg.svd(matrix)
    rank = int((s > TOLERANCE * max(s.max(initial=0.0), 1.0)).sum())
    return U[:, rank:].T


def _echelon(rows: np.ndarray, pivots: np.ndarray) -> np.ndarray:
    """The same row space with the identity on as many columns as there are rows, the first of `pivots` that can."""
    rows = rows.copy()
    for i in range(len(rows)):
        for column in pivots:
            at = i + int(np.argmax(np.abs(rows[i:, column])))
            if np.abs(rows[at, column]) > np.sqrt(TOLERANCE) * np.abs(rows[i:]).max():
                rows[[i, at]] = rows[[at, i]]
                rows[i] /= rows[i, column]
                others = np.arange(len(rows)) != i
                rows[others] -= np.outer(rows[others, column], rows[i])
                break
    return _clean(rows)


TYPES: dict[str, Callable[[CrossProducts, np.ndarray | None], Hypotheses]] = {
    "I": _sequential,
    "II": _partial,
    "III": _general,
    "marginal": _marginal,
}
