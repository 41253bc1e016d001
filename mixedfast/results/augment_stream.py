"""Fitted values, residuals and leverage of rows that are not in memory, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from mixedfast._progress import Show, bar
from mixedfast.crossprod.streaming import Stream, is_stream
from mixedfast.data.arrow import WiderTypeError
from mixedfast.data.lazy_frames import is_lazy
from mixedfast.data.parquet_out import parquet_writer
from mixedfast.design.types import Design
from mixedfast.errors import DataError
from mixedfast.estimation.fit import Fit
from mixedfast.inference.prediction.fitted import fitted, population, residuals
from mixedfast.inference.prediction.leverage import cooks_distance, leverage

__all__ = ["augment_to", "stream_of"]


def stream_of(fit: Fit, data: Any) -> Stream:
    """Open other rows, coded as those of the fit."""
    recipe = fit.cp.meta.recipe
    if recipe is None:
        raise DataError("the cross-products of this result do not contain the coding of new rows")
    if fit.cp.meta.weighted and recipe.weights_column is None:
        raise DataError(
            "the weights of this fit were an array: give them as a column to read rows again"
        )
    if is_lazy(data):
        raise DataError(
            "augment_to reads rows batch by batch, and this frame is lazy: give its batches, "
            "such as relation.to_arrow_reader() of DuckDB, or its files"
        )
    return Stream.of_recipe(recipe, data if is_stream(data) else [data])


def augment_to(
    fit: Fit,
    stream: Stream,
    path: str | PathLike[str],
    inputs: Sequence[Path],
    columns: Sequence[str],
    with_leverage: bool,
    progress: Show,
) -> None:
    """Write the rows of a stream with fitted values and residuals (see `LMMResult.augment_to`).

    A column has one type in the file. If a later part needs a wider one than the first (whole
    numbers, then fractions), the file is written anew.
    """
    types: dict[str, Any] = {}
    while True:
        try:
            with (
                bar(stream.source.rows, "fitted values", progress, unit=" rows") as advance,
                parquet_writer(path, (*stream.source.paths, *inputs)) as write,
            ):
                for design, rows in stream.designs_and_rows(columns, types):
                    write(rows(), _augmented(fit, design, with_leverage))
                    advance(design.n + design.n_dropped)
            return
        except WiderTypeError as error:
            if stream.source.once or error.column in types:
                raise
            types[error.column] = error.type


def _augmented(fit: Fit, design: Design, with_leverage: bool) -> dict[str, np.ndarray]:
    """Compute the columns that are added to the rows, (n,) each."""
    values = fitted(fit, design)
    added = {
        ".fitted": values,
        ".resid": residuals(fit, design, values, "response"),
        ".fixed": population(fit, design),
    }
    if with_leverage:
        hat = np.add(*leverage(fit, design))
        added |= {
            ".hat": hat,
            ".cooksd": cooks_distance(fit, residuals(fit, design, values, "pearson"), hat),
        }
    return added
