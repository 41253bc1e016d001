"""Designs of formulas and tables: the response, the columns of X and Z, the groups.

A design has references to the arrays of the table, not copies: the columns of X and Z are products
of these arrays (`mixedfast.design.columns`). `mixedfast.design.new_data` makes the same columns of
new data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mixedfast.data.categories import Categorical, drop_unused, factorize
from mixedfast.data.frames import ColumnData, Numeric, Table, as_table
from mixedfast.design.checks import check_weights
from mixedfast.design.coding import Coding, code, evaluate_expression
from mixedfast.design.contrast_coding import Contrast, contrast_of
from mixedfast.design.covariates import ARRAY_OFFSET, Covariate, describe
from mixedfast.design.doubtful_values import check_numbers_in_text
from mixedfast.design.grouping import GroupRecipe, number_groups
from mixedfast.design.model_frame import ModelFrame, Variables, complete, vector
from mixedfast.design.types import Design, Recipe, ReTerm
from mixedfast.errors import DataError, FormulaError
from mixedfast.formula.parser import ModelSpec, RandomTerm, expand_dot, plain_name
from mixedfast.formula.variables import (
    bare_names,
    coded_names,
    expression_names,
    used_names,
)

__all__ = ["build"]


def build(
    spec: ModelSpec,
    data: Any,
    weights: str | Any = None,
    offset: str | Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "omit",
    ordered: bool = False,
) -> Design:
    """Build the design of a model from a table.

    Parameters
    ----------
    spec : ModelSpec
        From `mixedfast.formula.parser.parse`.
    data : data frame, mapping of arrays, or Table
    weights, offset : str or array, shape (number of rows of the data,), optional
        The name of a column, or one number per row.
    contrasts : dict, optional
        Categorical column to contrast: ``"sum"``, ``"helmert"``, ``"poly"``, ``"contr.sum"``, a
        matrix.
    na_action : {"omit", "exclude", "raise"}
        Leave out rows with a missing value in a variable used, or raise an error.

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
    >>> data = {"y": [1, 2, 4, 3], "x": [0, 1, 0, 1], "g": list("aabb")}
    >>> design = build(parse("y ~ x + (1 | g)"), data)
    >>> design.x_names, design.terms[0].codes
    (('Intercept', 'x'), array([0, 0, 1, 1], dtype=int32))
    """
    table = as_table(data)
    if table.n == 0:
        raise DataError("the data have no rows")
    spec = without_dot(spec, table.names, weights)
    refuse_response_as_predictor(spec)
    frame = gather(spec, table, weights, offset)
    frame, kept_rows, missing = complete(frame, na_action)
    variables = _rows(frame, spec)
    check_numbers_in_text(bare_columns(spec, variables), frame.n)
    coded_as = contrasts_of(contrasts, variables, formulas(spec))
    y = ordered_response(spec, variables) if ordered else response(spec, variables)
    fixed, x = code(spec.fixed, variables, coded_as)
    terms, codings, groups = _random_part(spec, frame, variables, coded_as)
    if "weights" in frame.vectors:
        check_weights(frame.vectors["weights"])
    recipe = Recipe(
        spec=spec,
        fixed=fixed,
        random=codings,
        groups=groups,
        levels={name: column.levels for name, column in variables.coded.items()},
        numeric=frozenset(
            name for name, column in variables.columns.items() if isinstance(column, Numeric)
        ),
        offset_column=offset if isinstance(offset, str) else None,
        kept=tuple(range(len(x))),
        covariates=covariates_of(spec, variables, frame.vectors.get("offset"), offset),
        weights_column=weights if isinstance(weights, str) else None,
    )
    return Design(
        y=y,
        weights=frame.vectors.get("weights"),
        offset=offset_of(spec, frame.vectors.get("offset"), variables),
        x=x,
        x_names=fixed.names,
        all_x_names=fixed.names,
        kept=recipe.kept,
        has_intercept=any(column == () for column in x),
        terms=terms,
        fixed_terms=fixed.terms,
        kept_rows=kept_rows,
        n_dropped=table.n - frame.n,
        missing=missing,
        recipe=recipe,
        variables=variables,
        spec=spec,
        response_name=spec.response,
        library=table.library,
    )


# --- columns and rows -------------------------------------------------------------------------


def formulas(spec: ModelSpec) -> tuple[str, ...]:
    """List the right-hand sides: the fixed part, then each random term."""
    return (spec.fixed, *(term.expr for term in spec.random))


def named_in(spec: ModelSpec, how: Callable[[str], tuple[str, ...]]) -> frozenset[str]:
    """List the columns that the formulas use in one way: `bare_names`, `coded_names`."""
    return frozenset(name for formula in formulas(spec) for name in how(formula))


def bare_columns(spec: ModelSpec, variables: Variables) -> dict[str, ColumnData]:
    """Return the predictors that the formulas use by name alone."""
    names = dict.fromkeys(name for formula in formulas(spec) for name in bare_names(formula))
    return {name: variables.columns[name] for name in names}


def without_dot(spec: ModelSpec, names: Sequence[str], weights: Any) -> ModelSpec:
    """Replace ``.`` in the fixed part by the columns that are used nowhere else."""
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
    """Raise FormulaError when the response is a predictor too."""
    name = plain_name(spec.response)
    for formula in formulas(spec):
        if name in bare_names(formula):
            raise FormulaError(
                f"the response {name!r} is also a predictor in {spec.formula!r}: remove it there"
            )


def gather(spec: ModelSpec, table: Table, weights: Any, offset: Any) -> ModelFrame:
    """Collect the columns of a table that a model uses."""
    names = list(expression_names(spec.response))
    for formula in formulas(spec):
        names += used_names(formula)
    for expr in spec.offsets:
        names += expression_names(expr)
    given = {"weights": weights, "offset": offset}
    return ModelFrame(
        table.n,
        {name: table.column(name) for name in dict.fromkeys(names)},
        {name: table.grouping(name) for term in spec.random for name in term.factors},
        {label: vector(label, value, table) for label, value in given.items() if value is not None},
    )


def _rows(frame: ModelFrame, spec: ModelSpec) -> Variables:
    """Collect the variables of the formulas, categories without their unused levels."""
    columns = dict(frame.columns)
    coded: dict[str, Categorical] = {}
    under_c, bare = named_in(spec, coded_names), named_in(spec, bare_names)
    for name, column in frame.columns.items():
        if isinstance(column, Categorical):
            columns[name] = coded[name] = drop_unused(column)
        elif name in under_c or (column.is_boolean and name in bare):
            coded[name] = factorize(column.values)
    return Variables(frame.n, columns, coded)


def contrasts_of(
    contrasts: Mapping[str, Any] | None, variables: Variables, formulas: Sequence[str]
) -> tuple[tuple[str, Contrast], ...]:
    """Check the contrasts that a user gives for categorical columns."""
    if contrasts is not None and not isinstance(contrasts, Mapping):
        raise DataError(f"contrasts= is a dict such as {{'f': 'sum'}}, not {contrasts!r}")
    if not contrasts:
        return ()
    known = {name for formula in formulas for name in used_names(formula)}
    bare = {name for formula in formulas for name in bare_names(formula)}
    out = []
    for name, value in contrasts.items():
        column = variables.columns[name] if name in known else None
        if not isinstance(column, Categorical) and not (
            column is not None and column.is_boolean and name in bare
        ):
            what = (
                "is not in the formula"
                if name not in known
                else f"is numeric (write C({name}, contr.sum))"
            )
            raise DataError(f"contrasts= names {name!r}, which {what}")
        out.append((name, contrast_of(name, value, variables.coded[name].levels)))
    return tuple(out)


def response(spec: ModelSpec, variables: Variables) -> np.ndarray:
    """Evaluate the response, (n,) float64."""
    check_response(spec, variables)
    return evaluate_expression(spec.response, variables)


def ordered_response(spec: ModelSpec, variables: Variables) -> np.ndarray:
    """Evaluate a response that may hold categories: their places among the levels, (n,) float64."""
    column = variables.columns.get(spec.response)
    if isinstance(column, Categorical):
        return column.codes.astype(float)
    return response(spec, variables)


def check_response(spec: ModelSpec, variables: Variables) -> None:
    """Raise DataError unless the variables of the response are numeric."""
    for name in expression_names(spec.response):
        if isinstance(variables.columns[name], Categorical):
            raise DataError(
                f"the response {name!r} holds strings or categories; it must be numeric"
            )


def check_effects(term: RandomTerm, coding: Coding) -> None:
    """Raise FormulaError for a random term without columns."""
    if not coding.names:
        raise FormulaError(f"the random term {term} has no effects: write (1 | {term.group})")


def covariates_of(
    spec: ModelSpec, variables: Variables, values: np.ndarray | None, given: Any
) -> dict[str, Covariate]:
    """Summarize the numeric variables of the fixed part and its offsets."""
    names = dict.fromkeys(
        [*used_names(spec.fixed), *(name for o in spec.offsets for name in expression_names(o))]
    )
    numbers = ((name, variables.columns.get(name)) for name in names)
    out = {name: describe(column.values) for name, column in numbers if isinstance(column, Numeric)}
    if values is not None:
        out[given if isinstance(given, str) else ARRAY_OFFSET] = describe(values)
    return out


def offset_of(spec: ModelSpec, given: np.ndarray | None, variables: Variables) -> np.ndarray | None:
    """Add the offset that is given and the ``offset()`` terms of the formula; None without any."""
    parts = [evaluate_expression(expr, variables) for expr in spec.offsets]
    if given is not None:
        parts.append(given)
    return np.sum(parts, axis=0) if parts else None


# --- groups -----------------------------------------------------------------------------------


def _random_part(
    spec: ModelSpec,
    frame: ModelFrame,
    variables: Variables,
    contrasts: tuple[tuple[str, Contrast], ...],
) -> tuple[tuple[ReTerm, ...], tuple[Coding, ...], tuple[GroupRecipe, ...]]:
    """Build the random terms, their codings and their groups, most groups first."""
    found: dict[tuple[str, ...], tuple[np.ndarray, GroupRecipe]] = {}
    parts = []
    for term in spec.random:
        if term.factors not in found:  # terms on one group share its codes
            found[term.factors] = number_groups(term.group, term.factors, frame.groups)
        codes, group = found[term.factors]
        coding, columns = code(term.expr, variables, contrasts)
        check_effects(term, coding)
        made = ReTerm(term.group, coding.names, term.correlated, codes, group.levels, columns)
        parts.append((made, coding, group))
    parts.sort(key=lambda part: -len(part[0].levels))
    terms, codings, groups = zip(*parts, strict=True) if parts else ((), (), ())
    return tuple(terms), tuple(codings), tuple(groups)
