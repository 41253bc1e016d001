"""The types of a design, and the recipe that codes new data in the same way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mixedfast._stored import are_within, stored
from mixedfast.covariance.relative import TermShape
from mixedfast.design.coding import Coding, FixedTerm
from mixedfast.design.columns import Column
from mixedfast.design.covariates import Covariates
from mixedfast.design.grouping import GroupRecipe
from mixedfast.design.model_frame import Variables
from mixedfast.formula.parser import ModelSpec, RandomTerm

__all__ = ["Design", "ReTerm", "Recipe"]


def _check_term(fields: Any) -> Iterator[str]:
    J = len(fields.levels)
    if len(fields.codes) and not (fields.codes.min() >= 0 and fields.codes.max() < J):
        yield f"codes of a ReTerm do not lie from 0 to {J - 1}"
    if len(fields.columns) != len(fields.names) or not fields.columns:
        yield f"a ReTerm has {len(fields.columns)} columns and {len(fields.names)} names"
    if any(
        len(factor.values) != len(fields.codes) for column in fields.columns for factor in column
    ):
        yield "a column of a ReTerm is not as long as its codes"


@stored("ReTerm", arrays={"codes": "codes n", "levels": "labels J"}, relations=_check_term)
@dataclass(frozen=True, eq=False)
class ReTerm:
    """A random term: the group of each row, and the columns of Z.

    Parameters
    ----------
    group : str
        As lme4 labels it: ``"school"``, ``"cask:batch"``.
    names : tuple of str, length k
        Names of the columns of Z, as formulaic makes them: ``("Intercept", "ses")``.
    correlated : bool
        False for ``||``: the covariance matrix of the k effects is diagonal, also for the columns
        of one factor, which lme4 keeps correlated.
    codes : ndarray, shape (n,), int32
        The group of each row, from 0 to J-1.
    levels : ndarray, shape (J,)
        The labels of the groups; ``"A:1"`` for an interaction.
    columns : tuple of Column, length k
    """

    group: str
    names: tuple[str, ...]
    correlated: bool
    codes: np.ndarray
    levels: np.ndarray
    columns: tuple[Column, ...]

    def __str__(self) -> str:
        return f"({' + '.join(self.names)} {'|' if self.correlated else '||'} {self.group})"


@stored("Recipe")
@dataclass(frozen=True, eq=False)
class Recipe:
    """Everything needed to code new data as the data of the fit; picklable, no rows.

    Parameters
    ----------
    spec : ModelSpec
    fixed : Coding
    random : tuple of Coding
        One per term, in the order of ``Design.terms``.
    groups : tuple of GroupRecipe
        One per term, in the order of ``Design.terms``.
    levels : dict of str to ndarray
        Levels of every variable used as categories in the fixed or random part.
    numeric : frozenset of str
        The numeric variables.
    offset_column : str or None
        Name of the column given as ``offset=``.
    kept : tuple of int
        The columns of X that the fit kept.
    covariates : mapping of str to Covariate
        The numeric variables of the fixed part and its offsets, and `ARRAY_OFFSET` for an offset
        given as an array.
    weights_column : str or None
        Name of the column given as ``weights=``.
    """

    spec: ModelSpec
    fixed: Coding
    random: tuple[Coding, ...]
    groups: tuple[GroupRecipe, ...]
    levels: Mapping[str, np.ndarray]
    numeric: frozenset[str]
    offset_column: str | None
    kept: tuple[int, ...]
    covariates: Covariates = field(default_factory=dict)
    weights_column: str | None = None

    @property
    def terms_by_group(self) -> list[list[int]]:
        """Positions of the random terms by grouping factor, in the order factors first appear."""
        found: dict[str, list[int]] = {}
        for t, group in enumerate(self.groups):
            found.setdefault(group.label, []).append(t)
        return list(found.values())

    @property
    def term_shapes(self) -> tuple[TermShape, ...]:
        """The columns of Z of each random term; the terms of one factor are side by side."""
        shapes: dict[int, TermShape] = {}
        written = self.random_terms
        for g, members in enumerate(self.terms_by_group):
            start = 0
            for t in members:
                k = len(self.random[t].names)
                shapes[t] = TermShape(g, start, k, written[t].correlated)
                start += k
        return tuple(shapes[t] for t in sorted(shapes))

    @property
    def random_terms(self) -> list[RandomTerm]:
        """The random terms of the formula in the order of ``random`` and ``groups``."""
        rest = list(self.spec.random)
        out = []
        for group, coding in zip(self.groups, self.random, strict=True):
            at = next(
                i
                for i, term in enumerate(rest)
                if term.factors == group.factors and term.expr == coding.formula
            )
            out.append(rest.pop(at))
        return out


def _check_design(fields: Any) -> Iterator[str]:
    n = len(fields.y)
    if fields.variables.n != n or any(len(term.codes) != n for term in fields.terms):
        yield f"a part of a Design does not have its {n} rows"
    if any(len(factor.values) != n for column in fields.x for factor in column):
        yield f"a column of a Design does not have its {n} rows"
    if not (len(fields.x) == len(fields.x_names) == len(fields.kept)) or not are_within(
        fields.kept, len(fields.all_x_names)
    ):
        yield (
            f"a Design has {len(fields.x)} columns, {len(fields.x_names)} names and "
            f"{len(fields.kept)} places"
        )
    if fields.weights is not None and bool((fields.weights < 0.0).any()):
        yield "weights of a Design are negative"


@stored(
    "Design",
    arrays={"y": "finite n", "weights": "finite n", "offset": "finite n", "kept_rows": "places n"},
    relations=_check_design,
)
@dataclass(frozen=True, eq=False)
class Design:
    """The data of a mixed model: y, the columns of X, the random terms.

    Parameters
    ----------
    y : ndarray, shape (n,), float64
        The offset is not subtracted. May be an array of the user: never write to it.
    weights, offset : ndarray, shape (n,), float64, or None
    x : tuple of Column, length p
        The columns kept; all of them before `keep_columns`.
    x_names : tuple of str, length p
    all_x_names : tuple of str
        Also of the columns left out as linearly dependent.
    kept : tuple of int, length p
        Places of ``x`` among all columns.
    has_intercept : bool
        Whether a kept column is the constant 1.
    terms : tuple of ReTerm
        Most groups first, ties as in the formula.
    fixed_terms : tuple of FixedTerm
        The columns, among all, of each fixed term.
    kept_rows : ndarray of int64 or None
        The rows of the data that are used; None for all.
    n_dropped : int
        Number of rows left out because a value is missing.
    missing : dict of str to int
        Missing values by variable, for those that have any.
    recipe : Recipe
    variables : Variables
        The data columns of ``x`` and ``terms``, on the rows used.
    spec : ModelSpec
    response_name : str
    library : str
        The library of the tables of results (see `mixedfast.data.frames_out`).
    """

    y: np.ndarray
    weights: np.ndarray | None
    offset: np.ndarray | None
    x: tuple[Column, ...]
    x_names: tuple[str, ...]
    all_x_names: tuple[str, ...]
    kept: tuple[int, ...]
    has_intercept: bool
    terms: tuple[ReTerm, ...]
    fixed_terms: tuple[FixedTerm, ...]
    kept_rows: np.ndarray | None
    n_dropped: int
    missing: Mapping[str, int]
    recipe: Recipe
    variables: Variables
    spec: ModelSpec
    response_name: str
    library: str = "pandas"

    @property
    def n(self) -> int:
        """Number of rows used."""
        return len(self.y)

    def keep_columns(self, idx: Sequence[int]) -> Design:
        """Keep only some columns of X, by their places among the present ones.

        ``all_x_names`` and ``fixed_terms`` do not change.
        """
        kept = tuple(self.kept[i] for i in idx)
        return replace(
            self,
            x=tuple(self.x[i] for i in idx),
            x_names=tuple(self.x_names[i] for i in idx),
            kept=kept,
            has_intercept=any(self.x[i] == () for i in idx),
            recipe=replace(self.recipe, kept=kept),
        )
