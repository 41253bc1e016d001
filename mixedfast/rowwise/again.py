"""Rows that are not in memory come by again: fitted values and residuals, batch by batch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from mixedfast.errors import DataError
from mixedfast.fitting import Fit
from mixedfast.progress import Show, bar
from mixedfast.rowwise.fitted import fitted, population, residuals
from mixedfast.stream import Stream

__all__ = ["augment_to", "stream_of", "streamed"]


def stream_of(fit: Fit, data: Any) -> Stream:
    """Other rows, coded as those of the fit were."""
    recipe = fit.cp.meta.recipe
    if recipe is None:
        raise DataError("the cross-products this result was made from do not say how to code rows")
    if fit.cp.meta.weighted:
        raise DataError("this fit has weights, and does not remember their column: use the result that lmer returned")
    return Stream.again(recipe, data)


def streamed(fit: Fit, stream: Stream, kind: str, marginal: bool = False) -> np.ndarray:
    """Fitted values (``kind="fitted"``) or residuals of all rows of a stream, (n,): 8 bytes a row."""
    if kind == "standardized":
        raise DataError('resid("standardized") needs all rows in memory, and this result was made from a stream')
    parts = []
    for design, _ in stream.designs():
        centre = population(fit, design) if marginal else fitted(fit, design)
        parts.append(centre if kind == "fitted" else residuals(fit, design, centre, kind))
    return np.concatenate(parts)


def augment_to(
    fit: Fit, stream: Stream, path: str | PathLike[str], columns: Sequence[str], progress: Show
) -> None:
    """Write the rows of a stream with fitted values and residuals (see `LMMResult.augment_to`)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    target = Path(path)
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.part")
    writer = None
    try:
        with bar(stream.source.rows, "fitted values", progress, unit=" rows") as advance:
            for design, rows in stream.designs(columns):
                values = fitted(fit, design)
                table = rows
                for name, made in ((".fitted", values), (".resid", design.y - values), (".fixed", population(fit, design))):
                    table = table.append_column(name, pa.array(made))
                writer = writer or pq.ParquetWriter(unfinished, table.schema, compression="zstd")
                writer.write_table(table.cast(writer.schema))
                advance(design.n + design.n_dropped)
        if writer is not None:
            writer.close()
            os.replace(unfinished, target)
    finally:
        if writer is not None:
            writer.close()
        unfinished.unlink(missing_ok=True)
