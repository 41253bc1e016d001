"""From a table and a formula to a design: the response, the columns of X and Z, the groups.

``build`` takes the data apart once and keeps references, not copies: the columns of X and Z are
products of the user's arrays (`mixedfast.design.columns`). `mixedfast.design.new_data` makes the same columns from new data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mixedfast.data.categories import Categorical, drop_unused, factorize
from mixedfast.data.frames import Numeric, Table, as_table
from mixedfast.design import checks
from mixedfast.design.coding import (
    Coding,
    FixedTerm,
    code,
    evaluate_expression,
)
from mixedfast.design.columns import Column
from mixedfast.design.contrast_coding import Contrast, contrast_of
from mixedfast.design.covariates import ARRAY_OFFSET, Covariate, Covariates, describe
from mixedfast.design.grouping import GroupRecipe, number_groups
from mixedfast.design.model_frame import Rows, Used, complete, vector
from mixedfast.errors import DataError, FormulaError
from mixedfast.formula.parser import ModelSpec, RandomTerm, expand_dot, plain_name
from mixedfast.formula.variables import (
    bare_names,
    coded_names,
    expression_names,
    factors,
    used_names,
)

__all__ = ["Design", "FixedTerm", "ReTerm", "Recipe", "build", "check_whole", "ordered_terms"]


@dataclass(frozen=True, eq=False)
class ReTerm:
    """The random effects of one term: which group each row is in, and the columns of Z.

    Parameters
    ----------
    group : str
        As lme4 labels it: ``"school"``, ``"cask:batch"``.
    names : tuple of str, length k
        Column names of Z, as formulaic gives them: ``("Intercept", "ses")``.
    correlated : bool
        False for ``||``: the covariance matrix of the k effects is diagonal. So are the columns of
        a factor among themselves, which lme4 keeps correlated.
    codes : ndarray, shape (n,), int32
        ``0 .. J-1``, every one of them used.
    levels : ndarray, shape (J,)
        The groups' labels; ``"A:1"`` for an interaction.
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


@dataclass(frozen=True, eq=False)
class Recipe:
    """All that new data need to be coded as the old were. Picklable; holds no rows.

    Parameters
    ----------
    spec : ModelSpec
    fixed : Coding
    random : tuple of Coding
        One a term, in the order of ``Design.terms``.
    groups : tuple of GroupRecipe
        One a term, in the order of ``Design.terms``.
    levels : dict of str to ndarray
        Levels of every variable used as categories in the fixed or random part.
    numeric : frozenset of str
        The variables that were numbers.
    offset_column : str or None
        The column given as ``offset=``, by name.
    kept : tuple of int
        The columns of X that the fit kept.
    covariates : mapping of str to Covariate
        The numeric variables of the fixed part and its offsets, and `ARRAY_OFFSET` for an offset given as an array.
    weights_column : str or None
        The column given as ``weights=``, by name.
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


@dataclass(frozen=True, eq=False)
class Design:
    """A mixed model's data: y, the columns of X, the random terms.

    Parameters
    ----------
    y : ndarray, shape (n,), float64
        The offset is not subtracted. May be the user's own memory: never write to it.
    weights, offset : ndarray, shape (n,), float64, or None
    x : tuple of Column, length p
        The columns kept; all of them until `keep_columns`.
    x_names : tuple of str, length p
    all_x_names : tuple of str
        With the columns left out as linearly dependent.
    kept : tuple of int, length p
        Places of ``x`` among all columns.
    has_intercept : bool
        Whether a kept column is the constant 1.
    terms : tuple of ReTerm
        Most groups first, ties as in the formula.
    fixed_terms : tuple of FixedTerm
        Which of all the columns each fixed term owns.
    kept_rows : ndarray of int64 or None
        The rows of the data used; None when all were.
    n_dropped : int
        Rows left out because a value is missing.
    missing : dict of str to int
        Missing values by variable, for those that have any.
    recipe : Recipe
    variables : Rows
        The data columns behind ``x`` and ``terms``, on the rows used.
    spec : ModelSpec
    response_name : str
    library : str
        What tables are given back as (see `mixedfast.data.frames_out`).
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
    variables: Rows
    spec: ModelSpec
    response_name: str
    library: str = "pandas"

    @property
    def n(self) -> int:
        """Rows used."""
        return len(self.y)

    def keep_columns(self, idx: Sequence[int]) -> Design:
        """The design with only some columns of X: places among the columns it has now.

        The names, ``kept`` and the recipe follow; ``all_x_names`` and ``fixed_terms`` do not change.
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


def check_whole(design: Design) -> None:
    """Whether rows that are all there are tell the model's parameters apart; a part of them need not.

    Raises
    ------
    DataError, NotIdentifiedError
        The message names the column or term.

    Warns
    -----
    UserWarning
        When a random slope has a single value in every group, or two terms give the same groups the same effect.
    """
    spec, rows = design.spec, design.variables
    checks.labels(
        {name: rows.columns[name] for f in formulas(spec) for name in used_names(f)}, rows.n
    )
    for term, written in zip(design.terms, ordered_terms(spec, design.recipe), strict=True):
        checks.random_term(
            term.group, str(written), term.names, term.columns, term.codes, len(term.levels)
        )
    checks.told_apart(
        [(term.group, term.names, term.codes, len(term.levels)) for term in design.terms]
    )


def ordered_terms(spec: ModelSpec, recipe: Recipe) -> list[RandomTerm]:
    """The formula's random terms in the order of the recipe's."""
    rest = list(spec.random)
    out = []
    for group, coding in zip(recipe.groups, recipe.random, strict=True):
        at = next(
            i
            for i, term in enumerate(rest)
            if term.factors == group.factors and term.expr == coding.formula
        )
        out.append(rest.pop(at))
    return out


def build(
    spec: ModelSpec,
    data: Any,
    weights: str | Any = None,
    offset: str | Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "omit",
) -> Design:
    """The design of a model on a table.

    Parameters
    ----------
    spec : ModelSpec
        From `mixedfast.formula.parser.parse`.
    data : data frame, mapping of arrays, or Table
    weights, offset : str or array, shape (number of rows of the data,), optional
        A column's name, or one number a row.
    contrasts : dict, optional
        Categorical column to contrast: ``"sum"``, ``"helmert"``, ``"poly"``, ``"contr.sum"``, a matrix.
    na_action : {"omit", "raise"}
        What to do with rows that miss a value in any variable used.

    Returns
    -------
    Design

    Raises
    ------
    DataError, FormulaError, NotIdentifiedError
        The message names the column or term.

    Examples
    --------
    >>> from mixedfast.formula.parser import parse
    >>> design = build(parse("y ~ x + (1 | g)"), {"y": [1, 2, 4, 3], "x": [0, 1, 0, 1], "g": list("aabb")})
    >>> design.x_names, design.terms[0].codes
    (('Intercept', 'x'), array([0, 0, 1, 1], dtype=int32))
    """
    table = as_table(data)
    if table.n == 0:
        raise DataError("the data have no rows")
    spec = without_dot(spec, table.names, weights)
    refuse_response_as_predictor(spec)
    used = _gather(spec, table, weights, offset)
    used, kept_rows, missing = complete(used, na_action)
    rows = _rows(used, spec)
    coded_as = contrasts_of(contrasts, rows, formulas(spec))
    y = response(spec, rows)
    fixed, x = code(spec.fixed, rows, coded_as)
    terms, codings, groups = _random_part(spec, used, rows, coded_as)
    if "weights" in used.vectors:
        checks.weights(used.vectors["weights"])
    recipe = Recipe(
        spec=spec,
        fixed=fixed,
        random=codings,
        groups=groups,
        levels={name: column.levels for name, column in rows.coded.items()},
        numeric=frozenset(
            name for name, column in rows.columns.items() if isinstance(column, Numeric)
        ),
        offset_column=offset if isinstance(offset, str) else None,
        kept=tuple(range(len(x))),
        covariates=covariates_of(spec, rows, used.vectors.get("offset"), offset),
        weights_column=weights if isinstance(weights, str) else None,
    )
    return Design(
        y=y,
        weights=used.vectors.get("weights"),
        offset=offset_of(spec, used.vectors.get("offset"), rows),
        x=x,
        x_names=fixed.names,
        all_x_names=fixed.names,
        kept=recipe.kept,
        has_intercept=any(column == () for column in x),
        terms=terms,
        fixed_terms=fixed.terms,
        kept_rows=kept_rows,
        n_dropped=table.n - used.n,
        missing=missing,
        recipe=recipe,
        variables=rows,
        spec=spec,
        response_name=spec.response,
        library=table.library,
    )


# --- which columns, which rows ----------------------------------------------------------------------


def formulas(spec: ModelSpec) -> tuple[str, ...]:
    return (spec.fixed, *(term.expr for term in spec.random))


def named_in(spec: ModelSpec, how: Callable[[str], tuple[str, ...]]) -> frozenset[str]:
    """The columns that the formulas use in one way: `bare_names`, `coded_names`."""
    return frozenset(name for formula in formulas(spec) for name in how(formula))


def without_dot(spec: ModelSpec, names: Sequence[str], weights: Any) -> ModelSpec:
    """The spec with ``.`` in the fixed part written out: the columns used nowhere else."""
    if "." not in spec.fixed:
        return spec
    elsewhere = {name for term in spec.random for name in (*term.factors, *used_names(term.expr))}
    for expr in (spec.response, *spec.offsets):
        elsewhere.update(expression_names(expr))
    if isinstance(weights, str):
        elsewhere.add(weights)
    rest = tuple(name for name in names if name not in elsewhere)
    return replace(spec, fixed=expand_dot(spec.fixed, rest))


def refuse_response_as_predictor(spec: ModelSpec) -> None:
    name = plain_name(spec.response)
    for formula in formulas(spec):
        if any(info.kind == "column" and info.expr == name for info in factors(formula).values()):
            raise FormulaError(
                f"the response {name!r} is also a predictor in {spec.formula!r}: take it out there"
            )


def _gather(spec: ModelSpec, table: Table, weights: Any, offset: Any) -> Used:
    names = list(expression_names(spec.response))
    for formula in formulas(spec):
        names += used_names(formula)
    for expr in spec.offsets:
        names += expression_names(expr)
    given = {"weights": weights, "offset": offset}
    return Used(
        table.n,
        {name: table.column(name) for name in dict.fromkeys(names)},
        {name: table.grouping(name) for term in spec.random for name in term.factors},
        {label: vector(label, value, table) for label, value in given.items() if value is not None},
    )


def _rows(used: Used, spec: ModelSpec) -> Rows:
    """The variables of the formulas, categories without their unused levels."""
    columns = dict(used.columns)
    coded: dict[str, Categorical] = {}
    under_c, bare = named_in(spec, coded_names), named_in(spec, bare_names)
    for name, column in used.columns.items():
        if isinstance(column, Categorical):
            columns[name] = coded[name] = drop_unused(column)
        elif name in under_c or (column.is_boolean and name in bare):
            coded[name] = factorize(column.values)
    return Rows(used.n, columns, coded)


def contrasts_of(
    contrasts: Mapping[str, Any] | None, rows: Rows, formulas: Sequence[str]
) -> tuple[tuple[str, Contrast], ...]:
    if contrasts is not None and not isinstance(contrasts, Mapping):
        raise DataError(f"contrasts= is a dict such as {{'f': 'sum'}}, not {contrasts!r}")
    known = {name for formula in formulas for name in used_names(formula)}
    bare = {name for formula in formulas for name in bare_names(formula)}
    out = []
    for name, value in (contrasts or {}).items():
        column = rows.columns[name] if name in known else None
        if not isinstance(column, Categorical) and not (
            column is not None and column.is_boolean and name in bare
        ):
            what = (
                "is not in the formula"
                if name not in known
                else f"is numeric (write C({name}, contr.sum))"
            )
            raise DataError(f"contrasts= names {name!r}, which {what}")
        out.append((name, contrast_of(name, value, rows.coded[name].levels)))
    return tuple(out)


def response(spec: ModelSpec, rows: Rows) -> np.ndarray:
    for name in expression_names(spec.response):
        if isinstance(rows.columns[name], Categorical):
            raise DataError(
                f"the response {name!r} holds strings or categories; it must be numeric"
            )
    return evaluate_expression(spec.response, rows)


def covariates_of(
    spec: ModelSpec, rows: Rows, values: np.ndarray | None, given: Any
) -> dict[str, Covariate]:
    """The numeric variables of the fixed part and its offsets."""
    names = dict.fromkeys(
        [*used_names(spec.fixed), *(name for o in spec.offsets for name in expression_names(o))]
    )
    numbers = ((name, rows.columns.get(name)) for name in names)
    out = {name: describe(column.values) for name, column in numbers if isinstance(column, Numeric)}
    if values is not None:
        out[given if isinstance(given, str) else ARRAY_OFFSET] = describe(values)
    return out


def offset_of(spec: ModelSpec, given: np.ndarray | None, rows: Rows) -> np.ndarray | None:
    """The offset of each row: what is given apart, and the formula's ``offset()`` terms."""
    parts = [evaluate_expression(expr, rows) for expr in spec.offsets]
    if given is not None:
        parts.append(given)
    return np.sum(parts, axis=0) if parts else None


# --- groups --------------------------------------------------------------------------------------------


def _random_part(
    spec: ModelSpec, used: Used, rows: Rows, contrasts: tuple[tuple[str, Contrast], ...]
) -> tuple[tuple[ReTerm, ...], tuple[Coding, ...], tuple[GroupRecipe, ...]]:
    """The random terms with what codes them again, most groups first."""
    found: dict[tuple[str, ...], tuple[np.ndarray, GroupRecipe]] = {}
    parts = []
    for term in spec.random:
        if term.factors not in found:  # terms on one group share its codes
            found[term.factors] = number_groups(term.group, term.factors, used.groups)
        codes, group = found[term.factors]
        coding, columns = code(term.expr, rows, contrasts)
        if not columns:
            raise FormulaError(f"the random term {term} has no effects: write (1 | {term.group})")
        made = ReTerm(term.group, coding.names, term.correlated, codes, group.levels, columns)
        parts.append((made, coding, group))
    parts.sort(key=lambda part: -len(part[0].levels))
    terms, codings, groups = zip(*parts, strict=True) if parts else ((), (), ())
    return tuple(terms), tuple(codings), tuple(groups)
