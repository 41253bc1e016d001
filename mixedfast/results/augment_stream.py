"""Rows that are not in memory come by again: fitted values, residuals and leverage, batch by batch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from mixedfast._progress import Show, bar
from mixedfast.crossprod.streaming import Stream, is_stream
from mixedfast.data.lazy_frames import is_lazy
from mixedfast.design.types import Design
from mixedfast.errors import DataError
from mixedfast.estimation.fit import Fit
from mixedfast.inference.prediction.fitted import fitted, population, residuals
from mixedfast.inference.prediction.leverage import cooks_distance, leverage

__all__ = ["augment_to", "stream_of"]


def stream_of(fit: Fit, data: Any) -> Stream:
    """Other rows, coded as those of the fit were."""
    recipe = fit.cp.meta.recipe
    if recipe is None:
        raise DataError("the cross-products this result was made from do not say how to code rows")
    if fit.cp.meta.weighted and recipe.weights_column is None:
        raise DataError(
            "the weights of this fit were an array: give them as a column to read rows again"
        )
    if is_lazy(data):
        raise DataError(
            "augment_to reads rows batch by batch, and this frame is lazy: give its batches, such as "
            "relation.to_arrow_reader() of DuckDB, or its files"
        )
    return Stream.of_recipe(recipe, data if is_stream(data) else [data])


def augment_to(
    fit: Fit,
    stream: Stream,
    path: str | PathLike[str],
    columns: Sequence[str],
    with_leverage: bool,
    progress: Show,
) -> None:
    """Write the rows of a stream with what belongs to them (see `LMMResult.augment_to`)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    target = Path(path)
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.part")
    writer = None
    try:
        # Compressing takes longer than all the rest: it has a thread, one batch behind.
        with (
            bar(stream.source.rows, "fitted values", progress, unit=" rows") as advance,
            ThreadPoolExecutor(1) as beside,
        ):
            written: Future[None] | None = None
            for design, rows in stream.designs_and_rows(columns):
                table = rows()
                own = table.column_names
                for name, values in _augmented(fit, design, with_leverage).items():
                    table = table.append_column(name, pa.array(values))
                if writer is None:  # what is made here hardly repeats: no dictionaries of it
                    writer = pq.ParquetWriter(
                        unfinished, table.schema, compression="zstd", use_dictionary=own
                    )
                if written is not None:
                    written.result()
                written = beside.submit(writer.write_table, table)
                advance(design.n + design.n_dropped)
            if written is not None:
                written.result()
        if writer is not None:
            writer.close()
            os.replace(unfinished, target)
    finally:
        if writer is not None:
            writer.close()
        unfinished.unlink(missing_ok=True)


def _augmented(fit: Fit, design: Design, with_leverage: bool) -> dict[str, np.ndarray]:
    """What is written beside the rows, by name, (n,) each."""
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
