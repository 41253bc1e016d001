"""Designs of rows that are coded by the recipe of an earlier fit, response included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mixedfast.data.categories import Categorical, recode
from mixedfast.data.frames import ColumnData, Numeric, Table, as_table
from mixedfast.design.build import covariates_of, gather, offset_of, response
from mixedfast.design.checks import check_weights
from mixedfast.design.coding import apply_coding
from mixedfast.design.grouping import apply_numbering
from mixedfast.design.model_frame import Variables, complete
from mixedfast.design.new_data import coded_variables
from mixedfast.design.types import Design, Recipe, ReTerm
from mixedfast.errors import DataError

__all__ = ["check_same_rows", "coded_rows", "design_of"]


def coded_rows(
    recipe: Recipe,
    variables: Variables,
    groups: Mapping[str, Categorical],
    vectors: Mapping[str, np.ndarray],
    n_dropped: int,
    missing: Mapping[str, int],
    library: str,
    kept_rows: np.ndarray | None = None,
) -> Design:
    """Make the design of complete rows, coded by a recipe.

    Parameters
    ----------
    recipe : Recipe
    variables : Variables
        With the levels of the recipe.
    groups : dict of str to Categorical
        The columns of grouping factors.
    vectors : dict of str to array
        ``"weights"`` and ``"offset"``, where there are any.
    n_dropped, missing, library, kept_rows
        See `Design`.

    Raises
    ------
    DataError
        When a grouping factor has a level that the recipe does not have.
    """
    spec = recipe.spec
    numbered = {group.factors: apply_numbering(group, groups) for group in recipe.groups}
    for group in recipe.groups:
        if len(numbered[group.factors]) and numbered[group.factors].min() < 0:
            raise DataError(
                f"the grouping factor {group.label!r} has combinations that are not among the "
                "known ones"
            )
    correlated = [term.correlated for term in recipe.random_terms]
    terms = tuple(
        ReTerm(
            group.label,
            coding.names,
            kind,
            numbered[group.factors],
            group.levels,
            apply_coding(coding, variables),
        )
        for group, coding, kind in zip(recipe.groups, recipe.random, correlated, strict=True)
    )
    weights, offset = vectors.get("weights"), vectors.get("offset")
    if weights is not None:
        check_weights(weights)
    x = apply_coding(recipe.fixed, variables)
    covariates = covariates_of(spec, variables, offset, recipe.offset_column) if variables.n else {}
    return Design(
        y=response(spec, variables),
        weights=weights,
        offset=offset_of(spec, offset, variables),
        x=x,
        x_names=recipe.fixed.names,
        all_x_names=recipe.fixed.names,
        kept=recipe.kept,
        has_intercept=any(column == () for column in x),
        terms=terms,
        fixed_terms=recipe.fixed.terms,
        kept_rows=kept_rows,
        n_dropped=n_dropped,
        missing=missing,
        recipe=replace(recipe, covariates=covariates),
        variables=variables,
        spec=spec,
        response_name=spec.response,
        library=library,
    )


def design_of(recipe: Recipe, data: Any) -> Design:
    """Code a table again as the data of a fit, with the columns of X that the fit kept.

    Parameters
    ----------
    recipe : Recipe
    data : data frame, mapping of arrays, or Table

    Raises
    ------
    DataError
        For a missing column or a level that the fit did not have.

    Examples
    --------
    >>> from mixedfast.design.build import build
    >>> from mixedfast.formula.parser import parse
    >>> data = {"y": [1.0, 2.0, 4.0, 3.0], "x": [0, 1, 0, 1], "g": list("aabb")}
    >>> recipe = build(parse("y ~ x + (1 | g)"), data).recipe
    >>> design_of(recipe, data).y
    array([1., 2., 4., 3.])
    """
    table = as_table(data)
    whole = gather(recipe.spec, table, recipe.weights_column, recipe.offset_column)
    frame, kept_rows, missing = complete(whole, "omit")
    made = coded_rows(
        recipe,
        coded_variables(recipe, frame),
        frame.groups,
        frame.vectors,
        table.n - frame.n,
        missing,
        table.library,
        kept_rows,
    )
    return replace(made, kept=tuple(range(len(made.x)))).keep_columns(recipe.kept)


def check_same_rows(design: Design, data: Any, what: str) -> None:
    """Raise DataError unless a table has the rows of a design, in their order.

    Parameters
    ----------
    design : Design
    data : data frame or mapping of arrays
    what : str
        The call to name in the error.
    """
    table = as_table(data)
    of = design.n + design.n_dropped
    if table.n != of:
        raise DataError(
            f"{what}: the data have {table.n} rows, those of the fit had {of}; for other rows use "
            "predict(newdata)"
        )
    for name, then in _variables(design, table).items():
        now = table.grouping(name) if isinstance(then, Categorical) else table.column(name)
        differ = _differ(then, now, design.kept_rows)
        if differ.any():
            row = int(np.argmax(differ))
            place = row if design.kept_rows is None else int(design.kept_rows[row])
            raise DataError(
                f"{what}: {int(differ.sum())} rows differ from those of the fit in column {name!r} "
                f"(first: row {place}, counted from 0). Give the table of the fit with its rows in "
                "the same order; for other rows use predict(newdata)"
            )


def _variables(design: Design, table: Table) -> dict[str, ColumnData]:
    """Return the variables of a model, its grouping factors of one column included."""
    groups = {
        term.group: Categorical(term.codes, term.levels)
        for term in design.terms
        if term.group in table.names
    }
    return {**groups, **design.variables.columns}


def _differ(then: ColumnData, now: ColumnData, kept: np.ndarray | None) -> np.ndarray:
    """Find the rows used at which a column is not what it was, (n,) bool."""
    rows: Any = slice(None) if kept is None else kept
    if isinstance(then, Categorical) and isinstance(now, Categorical):
        return recode(now, then.levels)[rows] != then.codes
    if isinstance(then, Numeric) and isinstance(now, Numeric):
        return now.values[rows] != then.values
    return np.ones(len(then.codes if isinstance(then, Categorical) else then.values), dtype=bool)
