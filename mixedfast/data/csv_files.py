"""CSV files: types are guessed from the first rows, and widened where later ones differ."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixedfast.data.work_units import BATCH_ROWS
from mixedfast.errors import DataError

__all__ = ["Csv", "csv_schema"]


def csv_schema(path: Path) -> Any:
    """Names and types of the columns, as the first rows have them; dates stay text, for a model can use them as labels only."""
    import pyarrow as pa

    try:
        schema = _reader(path).schema
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from error
    twice = [name for i, name in enumerate(schema.names) if name in schema.names[:i]]
    if twice:
        raise DataError(f"{path} has two columns called {twice[0]!r}: give them different names")
    for i, field in enumerate(schema):
        if pa.types.is_temporal(field.type) or pa.types.is_binary(
            field.type
        ):  # bytes that are no UTF-8 are told when read
            schema = schema.set(i, pa.field(field.name, pa.string()))
    return schema


@dataclass(frozen=True)
class Csv:
    """A whole file.

    Parameters
    ----------
    path : Path
    types : dict of str to pyarrow.DataType
        The columns to read, and what they hold in the first rows of the first file.
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
        """The types with that of the column at fault made wider.

        Raises
        ------
        DataError
            When no type would do, naming the column; or when the lines themselves cannot be read.
        """
        import pyarrow as pa

        if self._fault(dict.fromkeys(types, pa.binary())) is None:
            for name, kind in types.items():
                fault = self._fault({name: kind})
                if fault is None:
                    continue
                wider = _wider(kind)
                if wider is None:
                    raise DataError(
                        f"{self.path} cannot be read as CSV, column {name!r}: {_what(fault)}"
                    ) from error
                return {**types, name: wider}
        raise DataError(f"{self.path} cannot be read as CSV: {error}") from error

    def _fault(self, types: Mapping[str, Any]) -> Exception | None:
        """What goes wrong when some columns are read as these types."""
        import pyarrow as pa

        try:
            for _ in _tables(self.path, types):
                pass
        except (pa.ArrowException, OSError) as error:
            return error
        return None


def _what(fault: Exception) -> str:
    """Arrow's words without the column's number, which is its name's here."""
    return re.sub(r"^In CSV column #[0-9]+: ", "", str(fault))


def _wider(kind: Any) -> Any:
    """The next type of numbers that holds more; None where there is none."""
    import pyarrow as pa

    return (
        pa.int64()
        if pa.types.is_null(kind)
        else pa.float64()
        if pa.types.is_integer(kind)
        else None
    )


def _tables(path: Path, types: Mapping[str, Any]) -> Iterator[Any]:
    """All rows, after a table of none: there is one even where there are no rows."""
    import pyarrow as pa

    reader = _reader(path, types)
    yield reader.schema.empty_table()
    for batch in reader:
        yield pa.Table.from_batches([batch])


def _after(done: int, tables: Iterator[Any]) -> Iterator[Any]:
    """The tables without the first rows, which are done."""
    for table in tables:
        skipped = min(done, table.num_rows)
        done -= skipped
        yield table.slice(skipped)


def _reader(path: Path, types: Mapping[str, Any] | None = None) -> Any:
    import pyarrow.csv

    columns = None if types is None else list(types)
    options = pyarrow.csv.ConvertOptions(
        include_columns=columns, column_types=types, strings_can_be_null=True
    )
    return pyarrow.csv.open_csv(path, convert_options=options)
