"""CSV files in batches: types are inferred from the first rows, and widened for later rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mixedfast.data.csv_dialect import HEAD_BYTES, Dialect, dialect_of
from mixedfast.data.file_errors import ragged, two_columns, unreadable
from mixedfast.data.work_units import BATCH_ROWS
from mixedfast.errors import DataError

__all__ = ["Csv", "csv_schema"]


def csv_schema(path: Path) -> Any:
    """Return names and types of the columns, inferred from the first rows.

    Dates stay text: a model can use them as labels only.
    """
    import pyarrow as pa

    try:
        schema = _reader(path).schema
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error
    twice = [name for i, name in enumerate(schema.names) if name in schema.names[:i]]
    if twice:
        raise two_columns(path, twice[0])
    for i, field in enumerate(schema):
        # bytes that are not UTF-8 give an error when they are read
        if pa.types.is_temporal(field.type) or pa.types.is_binary(field.type):
            schema = schema.set(i, pa.field(field.name, pa.string()))
    return schema


@dataclass(frozen=True)
class Csv:
    """The rows of a file, read as batches when called.

    Parameters
    ----------
    path : Path
    types : dict of str to pyarrow.DataType
        Columns to read, with their types in the first rows of the first file.
    """

    path: Path
    types: Mapping[str, Any]

    def __call__(self, rows: int = BATCH_ROWS) -> Iterator[Any]:
        import pyarrow as pa

        types, done = self.types, 0
        while True:
            try:
                for table in _after(done, _tables(self.path, types)):
                    yield table
                    done += table.num_rows
                return
            except (pa.ArrowException, OSError) as error:
                types = self._widened(types, error)

    def _widened(self, types: Mapping[str, Any], error: Exception) -> Mapping[str, Any]:
        """Return the types with a wider one for the column that cannot be read.

        Raises
        ------
        DataError
            When there is no wider type, naming the column; or when the lines cannot be split.
        """
        import pyarrow as pa

        if self._fault(dict.fromkeys(types, pa.binary())) is None:
            for name, kind in types.items():
                fault = self._fault({name: kind})
                if fault is None:
                    continue
                wider = _wider(kind)
                if wider is None:
                    where = f"{self.path}, column {name!r},"
                    raise unreadable(where, _without_number(fault), "CSV") from error
                return {**types, name: wider}
        raise _unreadable(self.path, error) from error

    def _fault(self, types: Mapping[str, Any]) -> Exception | None:
        """Return the error of reading some columns as these types, or None."""
        import pyarrow as pa

        try:
            for _ in _tables(self.path, types):
                pass
        except (pa.ArrowException, OSError) as error:
            return error
        return None


def _unreadable(path: Path, error: Exception) -> DataError:
    """Return the error for a file that Arrow cannot read or split."""
    seen = re.search(r"Expected (\d+) columns, got (\d+): (.*)", str(error))
    if seen:
        return ragged(path, seen[3][:60], int(seen[2]), int(seen[1]))
    return unreadable(path, error, "CSV")


def _without_number(fault: Exception) -> Exception:
    """Return an error of Arrow without the number of the column, whose name is given instead."""
    return ValueError(re.sub(r"^In CSV column #[0-9]+: ", "", str(fault)))


def _wider(kind: Any) -> Any:
    """Return the next wider type of numbers, or None."""
    import pyarrow as pa

    return (
        pa.int64()
        if pa.types.is_null(kind)
        else pa.float64()
        if pa.types.is_integer(kind)
        else None
    )


def _tables(path: Path, types: Mapping[str, Any]) -> Iterator[Any]:
    """Yield all rows, after an empty table that gives the types of a file without rows."""
    import pyarrow as pa

    reader = _reader(path, types)
    yield reader.schema.empty_table()
    for batch in reader:
        yield pa.Table.from_batches([batch])


def _after(done: int, tables: Iterator[Any]) -> Iterator[Any]:
    """Yield tables without the first `done` rows."""
    for table in tables:
        skipped = min(done, table.num_rows)
        done -= skipped
        yield table.slice(skipped)


def _reader(path: Path, types: Mapping[str, Any] | None = None) -> Any:
    import pyarrow.csv

    dialect = _dialect(path, path.stat().st_mtime_ns)
    columns = None if types is None else list(types)
    options = pyarrow.csv.ConvertOptions(
        include_columns=columns,
        column_types=types,
        strings_can_be_null=True,
        decimal_point=dialect.decimal,
    )
    return pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(encoding=dialect.encoding),
        parse_options=pyarrow.csv.ParseOptions(delimiter=dialect.separator),
        convert_options=options,
    )


@lru_cache(maxsize=256)
def _dialect(path: Path, _changed: int) -> Dialect:
    """Find the dialect of a file, once for each state of the file."""
    import pyarrow as pa

    with pa.input_stream(str(path), compression="detect") as stream:
        return dialect_of(stream.read(HEAD_BYTES), str(path))
