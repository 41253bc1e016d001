"""Rows written to Parquet files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mixedfast.data.files import Files
from mixedfast.data.work_units import Source

__all__ = ["parquet_writer", "rows_on_disk"]


def rows_on_disk(source: Source, columns: Sequence[str]) -> Files:
    """Write the rows of a source to a temporary file, which can be read again and lives as long as what is returned."""
    import pyarrow.parquet as pq

    folder = tempfile.TemporaryDirectory(prefix="mixedfast-")
    path = Path(folder.name) / "batches.parquet"
    writer = None
    try:
        for unit in source.units(columns):
            for table in unit.read():
                writer = writer or pq.ParquetWriter(path, table.schema)
                writer.write_table(table.cast(writer.schema))
    finally:
        if writer is not None:
            writer.close()
    return Files((path,), keep=folder)


@contextmanager
def parquet_writer(target: Path) -> Iterator[Callable[[Any, Mapping[str, np.ndarray]], None]]:
    """Write Arrow tables to one file, all of them or none.

    Yields
    ------
    callable
        ``write(table, added)`` writes a table with further columns at its right. Compressing takes longer than all the rest:
        it has a thread, one table behind.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    unfinished = target.with_name(f"{target.name}.{os.getpid()}.part")
    writer: Any = None
    written: Future[None] | None = None

    def write(table: Any, added: Mapping[str, np.ndarray]) -> None:
        nonlocal writer, written
        own = table.column_names
        for name, values in added.items():
            table = table.append_column(name, pa.array(values))
        if writer is None:  # numbers that are computed hardly repeat: no dictionaries of them
            writer = pq.ParquetWriter(
                unfinished, table.schema, compression="zstd", use_dictionary=own
            )
        if written is not None:
            written.result()
        written = beside.submit(writer.write_table, table)

    try:
        with ThreadPoolExecutor(1) as beside:
            yield write
            if written is not None:
                written.result()
        if writer is not None:
            writer.close()
            os.replace(unfinished, target)
    finally:
        if writer is not None:
            writer.close()
        unfinished.unlink(missing_ok=True)
