"""Rows written to Parquet files."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from mixedfast._threads import thread_pool
from mixedfast.data.files import Files
from mixedfast.data.whole_file import whole_file
from mixedfast.data.work_units import Source
from mixedfast.errors import DataError

__all__ = ["parquet_writer", "rows_on_disk"]


def rows_on_disk(source: Source, columns: Sequence[str]) -> Files:
    """Write the rows of a source to a temporary file, which can be read several times.

    Batches of other types than those before begin a new file. The files are deleted with the
    object that is returned.
    """
    import pyarrow.parquet as pq

    folder = Path(tempfile.mkdtemp(prefix="mixedfast-"))
    paths: list[Path] = []
    writer = None
    try:
        for unit in source.units(columns):
            for table in unit.read():
                if writer is None or table.schema != writer.schema:
                    if writer is not None:
                        writer.close()
                    paths.append(folder / f"{len(paths):06}.parquet")
                    writer = pq.ParquetWriter(paths[-1], table.schema)
                writer.write_table(table)
        if writer is not None:
            writer.close()
    except BaseException:
        if writer is not None:
            writer.close()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    files = Files(tuple(paths))
    weakref.finalize(files, shutil.rmtree, folder, ignore_errors=True)
    return files


@contextmanager
def parquet_writer(
    path: str | PathLike[str], inputs: Iterable[Path] = ()
) -> Iterator[Callable[[Any, Mapping[str, np.ndarray]], None]]:
    """Write Arrow tables to one file, all of them or none (see `whole_file`).

    Compression takes longer than all else: it has a thread of its own, one table behind. The thread
    ends before the writer is closed, and the writer is closed before the file.

    Yields
    ------
    callable
        ``write(table, added)`` writes a table with further columns at its right.

    Raises
    ------
    DataError
        When no table was written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: Any = None
    written: Future[None] | None = None
    with whole_file("augment_to", path, inputs) as file, ExitStack() as closing:

        def write(table: Any, added: Mapping[str, np.ndarray]) -> None:
            nonlocal writer, written
            own = table.column_names
            for name, values in added.items():
                table = table.append_column(name, pa.array(values))
            if writer is None:  # no dictionaries for computed numbers, which hardly repeat
                writer = pq.ParquetWriter(
                    file, table.schema, compression="zstd", use_dictionary=own
                )
                closing.callback(writer.close)
            if written is not None:
                written.result()
            written = beside.submit(writer.write_table, table)

        with thread_pool(1) as beside:
            yield write
            if written is not None:
                written.result()
        if writer is None:
            raise DataError("augment_to: the data have no rows")
