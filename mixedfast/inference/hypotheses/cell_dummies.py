"""The overparametrized coding of SAS: a dummy column for every cell of every term."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.coding import Coding, FixedTerm
from mixedfast.errors import NotDefinedError
from mixedfast.formula.variables import factors
from mixedfast.inference.hypotheses.estimable import column_sizes
from mixedfast.inference.hypotheses.row_space import TOLERANCE

__all__ = ["CellDummies", "ColumnParts", "column_parts"]


@dataclass(frozen=True, eq=False)
class ColumnParts:
    """One column of X: its numeric parts, and its values at the levels of categorical variables."""

    numeric: tuple[str, ...]
    tables: dict[str, np.ndarray]


class CellDummies:
    """A dummy column for every cell of every term.

    Attributes
    ----------
    terms : list of FixedTerm
        The intercept, and the terms that have columns.
    map : (p_all, d) array
        The dummies are X_all times this.
    owner : (d,) int array
        The term of each dummy, as a position in `terms`.
    sizes : (d,) array
        The largest size of the columns that have the same numeric factors as the dummy.
    """

    def __init__(self, cp: CrossProducts, present: list[FixedTerm]) -> None:
        if cp.meta.recipe is None:
            raise NotDefinedError(
                "this test needs the coding of the factors, which these cross-products do not carry"
            )
        parts = column_parts(cp.meta.recipe.fixed)
        self.terms = [term for term in cp.meta.fixed_terms if not term.factors or term in present]
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
        self.sizes = np.ones(len(cells))
        column_size = column_sizes(cp)
        for label in dict.fromkeys(label for label, _, _, _ in cells):
            columns = [j for term in self.terms for j in term.columns if parts[j].numeric == label]
            here = [i for i, cell in enumerate(cells) if cell[0] == label]
            self.map[np.ix_(columns, here)] = self._express(
                [cells[i][2:] for i in here],
                [parts[j].tables for j in columns],
                [cp.meta.x_names[j] for j in columns],
            )
            self.sizes[here] = column_size[columns].max()

    @staticmethod
    def _express(
        cells: list[tuple[tuple[str, ...], tuple[int, ...]]],
        tables: list[dict[str, np.ndarray]],
        names: list[str],
    ) -> np.ndarray:
        """Express the dummies as combinations of the user's columns, (columns, dummies).

        Both are compared at every cell of every term, with the other factors at their first level:
        these points determine every function in the span of the terms.
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
                f"type III is not defined: the contrasts behind {', '.join(names)} do not "
                "distinguish all levels"
            )
        return found

    def pivots(self, term: FixedTerm) -> np.ndarray:
        """Return the dummies of a term, those of treatment coding first."""
        own = np.flatnonzero(self.owner == self.terms.index(term))
        return own[np.argsort(self._reference[own], kind="stable")]


def _names(parts: list[ColumnParts], term: FixedTerm) -> tuple[str, ...]:
    """Return the categorical variables of a term in reverse order: the last one varies fastest."""
    return tuple(dict.fromkeys(name for j in term.columns for name in parts[j].tables))[::-1]


def column_parts(coding: Coding) -> list[ColumnParts]:
    """Split every column of X into its factors."""
    if coding.products is not None:
        return [
            ColumnParts(
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
                f"the columns of {structure.term} cannot be assigned to its factors"
            )
        parts += own
    return parts


_Choice = tuple[str, Any]


def _choices(
    coding: Coding, states: dict[str, Any], expr: str, reduced: bool, columns: tuple[str, ...]
) -> list[_Choice]:
    """Return the columns of one factor: (variable, values at its levels), or (name, None).

    The latter for numeric factors.
    """
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


def _joined(chosen: tuple[_Choice, ...]) -> ColumnParts:
    """Combine one column of each factor."""
    numeric = sorted(name for name, table in chosen if table is None and name)
    return ColumnParts(tuple(numeric), {name: table for name, table in chosen if table is not None})
