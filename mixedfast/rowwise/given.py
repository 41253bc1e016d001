"""Numbers that users give for the rows of a fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfast.design import Design
from mixedfast.errors import DataError
from mixedfast.frames import Categorical, as_table

__all__ = ["response_values"]


def response_values(y: Any, design: Design) -> np.ndarray:
    """A response for the rows used, (n,) float64, from one for these or for all rows of the data.

    Raises
    ------
    DataError
        When the number of values fits neither, or one is missing or infinite.
    """
    given = np.squeeze(np.asarray(y), axis=1) if np.ndim(y) == 2 and np.shape(y)[1] == 1 else y
    if np.ndim(given) != 1:
        raise DataError(f"a response has one number a row, not the shape {np.shape(given)}")
    column = as_table({design.response_name: given}).column(design.response_name)
    if isinstance(column, Categorical):
        raise DataError("the response holds strings or categories; it must be numeric")
    values = np.ascontiguousarray(column.values, dtype=np.float64)
    if len(values) != design.n:
        if design.kept_rows is None or len(values) != design.n + design.n_dropped:
            dropped = f" (or {design.n + design.n_dropped}, one for each row of the data)" if design.n_dropped else ""
            raise DataError(f"{len(values)} values for the {design.n} rows of the fit{dropped}")
        values = values[design.kept_rows]
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise DataError(
            f"{len(bad)} values of the response are missing or infinite (first: row {bad[0]} of those used, counted from 0): "
            "use update(data=...), which leaves out rows"
        )
    return values
