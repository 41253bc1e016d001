"""Weights and responses that users give for rows after a fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfast.crossprod.types import CrossProducts
from mixedfast.data.categories import Categorical
from mixedfast.data.frames import Table, as_table
from mixedfast.design.checks import check_weights
from mixedfast.design.model_frame import vector
from mixedfast.design.types import Design, Recipe
from mixedfast.errors import DataError

__all__ = ["recipe_of", "response_values", "weights_of_new"]


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


def weights_of_new(weights: Any, table: Table) -> np.ndarray | None:
    """Read weights of new rows, (n,), from a column or an array; NaN where missing.

    Raises
    ------
    DataError
        When the column does not exist, or a weight is not positive.
    """
    if weights is None:
        return None
    given = vector("weights", weights, table)
    check_weights(given[~np.isnan(given)])
    return given


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
