"""Weights and responses that users give for rows after a fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfast.crossprod.types import CrossProducts
from mixedfast.data.categories import Categorical
from mixedfast.data.frames import Table, as_table
from mixedfast.design.checks import check_weights
from mixedfast.design.covariates import ARRAY_OFFSET
from mixedfast.design.model_frame import vector
from mixedfast.design.types import Design, Recipe
from mixedfast.errors import DataError

__all__ = ["offset_of_new", "recipe_of", "response_values", "weights_of_new"]


def recipe_of(cp: CrossProducts) -> Recipe:
    """Return the coding of new data.

    Raises
    ------
    DataError
        When the cross-products do not have it.
    """
    if cp.meta.recipe is None:
        raise DataError(
            "these cross-products do not say how to code new data: use the data of the model"
        )
    return cp.meta.recipe


def weights_of_new(
    weights: Any, table: Table, cp: CrossProducts, needed: bool
) -> np.ndarray | None:
    """Read weights of new rows, (n,), from a column or an array; NaN where missing.

    Parameters
    ----------
    weights : str, (n,) array or None
        None takes the column of the fit's weights, where there is one.
    table : Table
    cp : CrossProducts
    needed : bool
        Whether the answer depends on them.

    Raises
    ------
    DataError
        When the column does not exist, a weight is not positive, or weights are needed, the fit had
        them, and there are none.
    """
    if weights is None and needed and cp.meta.weighted:
        column = recipe_of(cp).weights_column
        if column is None or column not in table.names:
            what = "an array" if column is None else f"the column {column!r}"
            raise DataError(
                f"the weights of this fit were {what}: give weights= for the new rows, a column "
                "or one number per row (1 for the residual variance sigma^2)"
            )
        weights = column
    if weights is None:
        return None
    given = vector("weights", weights, table)
    check_weights(given[~np.isnan(given)])
    return given


def offset_of_new(offset: Any, table: Table, recipe: Recipe) -> np.ndarray | None:
    """Read the offset of new rows, (n,), from a column or an array; None for that of the recipe.

    Raises
    ------
    DataError
        When the offset of the fit was an array and none is given, or the fit had none.
    """
    was_array = ARRAY_OFFSET in recipe.covariates
    if offset is None:
        if was_array:
            raise DataError(
                "the offset of this fit was an array: give offset= for the new rows, a column or "
                "one number per row"
            )
        return None
    if not was_array and recipe.offset_column is None:
        raise DataError("offset= was given for new rows, and the fit had no offset=")
    return vector("offset", offset, table)


def response_values(y: Any, design: Design) -> np.ndarray:
    """Read a response for the rows used, (n,) float64, given for these or for all rows of the data.

    Raises
    ------
    DataError
        When the number of values matches neither, or a value is missing or infinite.
    """
    given = np.squeeze(np.asarray(y), axis=1) if np.ndim(y) == 2 and np.shape(y)[1] == 1 else y
    if np.ndim(given) != 1:
        raise DataError(f"a response has one number per row, not the shape {np.shape(given)}")
    column = as_table({design.response_name: given}).column(design.response_name)
    if isinstance(column, Categorical):
        raise DataError("the response holds strings or categories; it must be numeric")
    values = np.ascontiguousarray(column.values, dtype=np.float64)
    if len(values) != design.n:
        if design.kept_rows is None or len(values) != design.n + design.n_dropped:
            dropped = (
                f" (or {design.n + design.n_dropped}, one for each row of the data)"
                if design.n_dropped
                else ""
            )
            raise DataError(f"{len(values)} values for the {design.n} rows of the fit{dropped}")
        values = values[design.kept_rows]
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise DataError(
            f"{len(bad)} values of the response are missing or infinite (first: row {bad[0]} of "
            "those used, counted from 0): use update(data=...), which leaves out such rows"
        )
    return values
