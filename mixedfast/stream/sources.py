"""Where batches come from: Parquet and CSV files, or anything that yields Arrow data.

A source hands out units of work. A unit is read whole or not at all, so that an error in one leaves nothing half-added; its
name tells a user which file or batch it was.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from mixedfast.arrow import kind_of, need_pyarrow
from mixedfast.errors import DataError

__all__ = ["Batches", "Files", "Source", "Unit", "as_source", "is_stream"]

#: Rows a unit should have at least: below, sums over all levels cost more than the rows. Small files and batches go together.
UNIT_ROWS = 1 << 18
#: Rows decoded at a time, whatever the size of a row group.
BATCH_ROWS = 1 << 20
#: Bytes of a dictionary page up to which text is read as its entries and places: in a longer one Arrow finds entries slowly.
_SMALL_DICTIONARY = 1 << 16
_PARQUET = (".parquet", ".pq", ".parq")
_CSV = (".csv", ".csv.gz", ".csv.zst", ".csv.bz2")


@dataclass(frozen=True)
class Unit:
    """Some rows, read when asked for: ``read()`` yields Arrow tables, ``read(rows)`` short ones where that saves work.

    ``mark`` tells the same unit again on another day.
    """

    name: str
    mark: str
    rows: int
    read: Callable[..., Iterator[Any]]


class Source(Protocol):
    """What a stream is read from."""

    @property
    def rows(self) -> int | None:
        """How many rows there are, where that is known without reading them."""

    @property
    def schema(self) -> Any:
        """Names and types of the columns, of the first part."""

    def units(self, columns: Sequence[str]) -> Iterator[Unit]:
        """All rows once, only the columns named."""

    def promises_values(self, columns: Sequence[str]) -> bool:
        """Whether it is known without reading that these columns hold no NULL (NaN they may), and reading fewer takes less."""


def is_stream(data: Any) -> bool:
    """Whether data are to be read batch by batch: paths, or something that yields Arrow data."""
    if isinstance(data, (str, os.PathLike)) or _is_dataset(data):
        return True
    if isinstance(data, (list, tuple, Iterator)) or (callable(data) and not isinstance(data, type)):
        return True  # a RecordBatchReader is an iterator, and exports Arrow too
    is_table = isinstance(data, Mapping) or any(hasattr(data, name) for name in ("__arrow_c_stream__", "columns", "names"))
    return hasattr(data, "__iter__") and not is_table


def _is_dataset(data: Any) -> bool:
    return type(data).__module__.startswith("pyarrow") and "Dataset" in type(data).__name__


def as_source(data: Any) -> Source:
    """A `Source` over a path, folder, glob, list of paths, Arrow dataset, or iterable of Arrow batches.

    Raises
    ------
    DataError
        When no file is found, or a file is neither Parquet nor CSV.
    """
    need_pyarrow("reading data in batches")
    if isinstance(data, (Files, Batches)):
        return data
    if isinstance(data, (str, os.PathLike)):
        return Files(_found(data))
    if isinstance(data, (list, tuple)) and data and all(isinstance(item, (str, os.PathLike)) for item in data):
        return Files(tuple(path for item in data for path in _found(item)))
    if _is_dataset(data):
        return Batches(data.to_batches)
    return Batches(data)


# --- files ----------------------------------------------------------------------------------------------


def _found(where: str | os.PathLike[str]) -> tuple[Path, ...]:
    """The files a path, folder or glob stands for, in order of their names."""
    text = os.fspath(where)
    if Path(text).is_file():
        return (Path(text),)
    if Path(text).is_dir():
        found = [path for path in Path(text).rglob("*") if _format(path) and not _hidden(path.relative_to(text))]
        if not found:
            raise DataError(f"no Parquet or CSV file in the folder {text}")
    else:
        found = [Path(path) for path in glob.glob(text, recursive=True)]
        if not found and "://" in text:
            raise DataError(f"{text!r} is no path on this machine: open it as an Arrow dataset, pyarrow.dataset.dataset(...)")
        if not found:
            raise DataError(f"no file matches {text!r}; data must be a data frame, a dict of arrays, or where files are")
    return tuple(sorted(found))


def _hidden(path: Path) -> bool:
    """Files that engines leave beside their data: ``_SUCCESS``, ``.part.crc``."""
    return any(part.startswith(("_", ".")) for part in path.parts)


def _format(path: Path) -> str:
    name = path.name.lower()
    return "parquet" if name.endswith(_PARQUET) else "csv" if name.endswith(_CSV) else ""


class Files:
    """Parquet and CSV files. ``key=value`` folders are columns, as Hive and Spark write them."""

    def __init__(self, paths: tuple[Path, ...], keep: Any = None) -> None:
        self.paths = paths
        self._keep = keep  # a temporary folder lives as long as this
        for path in paths:
            if not _format(path):
                raise DataError(f"{path} is neither Parquet nor CSV by its name ({', '.join(_PARQUET + _CSV)})")

    @cached_property
    def rows(self) -> int | None:
        if any(_format(path) != "parquet" for path in self.paths):
            return None
        try:
            return sum(_footer(path).metadata.num_rows for path in self.paths)
        except DataError:  # the file at fault is named when its turn comes
            return None

    @cached_property
    def schema(self) -> Any:
        return _with_folders(_file_schema(self.paths[0]), self.paths[0])

    def promises_values(self, columns: Sequence[str]) -> bool:
        for path in self.paths:
            if _format(path) != "parquet":
                return False
            try:
                footer = _footer(path)
            except DataError:  # the file at fault is named when its turn comes
                return False
            check_schema(_with_folders(footer.schema_arrow, path), self.schema, columns, str(path), str(self.paths[0]))
            if not _no_null(footer.metadata, columns):
                return False
        return True

    def units(self, columns: Sequence[str]) -> Iterator[Unit]:
        for path in self.paths:
            schema = _with_folders(_file_schema(path), path)
            check_schema(schema, self.schema, columns, str(path), str(self.paths[0]))
            stat = path.stat()
            mark = f"{path}:{stat.st_size}:{stat.st_mtime_ns}"
            if _format(path) == "csv":
                types = {name: self.schema.field(name).type for name in columns}
                yield Unit(str(path), mark, UNIT_ROWS, _Csv(path, tuple(columns), types))
                continue
            sizes = _row_groups(path)
            for first, last, rows in _runs(sizes):
                yield Unit(str(path), f"{mark}:{first}-{last}", rows, _Parquet(path, tuple(columns), first, last))


def _runs(sizes: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Row groups together until they have `UNIT_ROWS` rows; none where there are no rows."""
    first, rows = 0, 0
    for i, size in enumerate(sizes):
        rows += size
        if rows >= UNIT_ROWS or i == len(sizes) - 1:
            if rows:
                yield first, i + 1, rows
            first, rows = i + 1, 0


def _no_null(metadata: Any, columns: Sequence[str]) -> bool:
    """Whether the statistics of every row group say that these columns hold no NULL."""
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        for chunk in map(group.column, range(group.num_columns)):
            if chunk.path_in_schema in columns:
                told = chunk.statistics
                if told is None or not told.has_null_count or told.null_count:
                    return False
    return True


def _row_groups(path: Path) -> list[int]:
    metadata = _footer(path).metadata
    return [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]


def _footer(path: Path, as_dictionaries: Sequence[str] = ()) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path, read_dictionary=list(as_dictionaries))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error


def _file_schema(path: Path) -> Any:
    if _format(path) == "parquet":
        return _footer(path).schema_arrow
    return _csv_reader(path, None, None).schema


def _folder_values(path: Path) -> dict[str, str]:
    found = (re.fullmatch(r"([^=]+)=(.*)", part) for part in path.parent.parts)
    return {match[1]: match[2] for match in found if match}


def _with_folders(schema: Any, path: Path) -> Any:
    import pyarrow as pa

    for name, text in _folder_values(path).items():
        if name not in schema.names:
            schema = schema.append(pa.field(name, pa.int64() if text.lstrip("-").isdigit() else pa.string()))
    return schema


def _add_folders(table: Any, path: Path, columns: Sequence[str]) -> Any:
    import pyarrow as pa

    for name, text in _folder_values(path).items():
        if name in columns and name not in table.column_names:
            value = pa.scalar(int(text) if text.lstrip("-").isdigit() else text)
            table = table.append_column(name, pa.repeat(value, table.num_rows))
    return table


@dataclass(frozen=True)
class _Parquet:
    """Some row groups of a file."""

    path: Path
    columns: tuple[str, ...]
    first: int
    last: int

    def __call__(self, rows: int = BATCH_ROWS) -> Iterator[Any]:
        import pyarrow as pa

        file = _footer(self.path, self._with_small_dictionaries())
        stored = [name for name in self.columns if name in file.schema_arrow.names]
        groups = list(range(self.first, self.last))
        batches = file.iter_batches(rows, row_groups=groups, columns=stored, use_threads=False)
        try:
            for batch in batches:
                yield _add_folders(pa.Table.from_batches([batch]), self.path, self.columns)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.path} is damaged{self._which(file, groups, stored)}: {error}") from error

    def _with_small_dictionaries(self) -> list[str]:
        """Columns of text that are stored as a short list and places in it: to be handed on as they are."""
        footer = _footer(self.path)
        group = footer.metadata.row_group(self.first)
        small = {
            chunk.path_in_schema
            for chunk in map(group.column, range(group.num_columns))
            if chunk.has_dictionary_page and 0 < chunk.data_page_offset - chunk.dictionary_page_offset <= _SMALL_DICTIONARY
        }
        return [name for name in self.columns if name in small and kind_of(footer.schema_arrow.field(name).type) == "text"]

    def _which(self, file: Any, groups: list[int], stored: list[str]) -> str:
        """The column that cannot be read, where it is one of them."""
        import pyarrow as pa

        for name in stored:
            try:
                file.read_row_groups(groups, columns=[name], use_threads=False)
            except (pa.ArrowException, OSError):
                return f", column {name!r}"
        return ""


@dataclass(frozen=True)
class _Csv:
    """A whole file; types are those of the first one, so that a column means the same in all."""

    path: Path
    columns: tuple[str, ...]
    types: Mapping[str, Any]

    def __call__(self, rows: int = BATCH_ROWS) -> Iterator[Any]:
        import pyarrow as pa

        reader = _csv_reader(self.path, self.columns, self.types)
        try:
            yield _add_folders(reader.schema.empty_table(), self.path, self.columns)  # where there are no rows too
            for batch in reader:
                yield _add_folders(pa.Table.from_batches([batch]), self.path, self.columns)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.path} cannot be read as CSV: {error}") from error


def _csv_reader(path: Path, columns: Sequence[str] | None, types: Mapping[str, Any] | None) -> Any:
    import pyarrow as pa
    import pyarrow.csv

    folders = _folder_values(path)
    stored = None if columns is None else [name for name in columns if name not in folders]
    options = pyarrow.csv.ConvertOptions(include_columns=stored, column_types=types, strings_can_be_null=True)
    try:
        return pyarrow.csv.open_csv(path, convert_options=options)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from error


def check_schema(found: Any, wanted: Any, columns: Sequence[str], where: str, first: str) -> None:
    """Raise DataError unless a part has the columns wanted, of the kinds they have in the first part."""
    for name in columns:
        if name not in found.names:
            raise DataError(f"{where} has no column {name!r} (it has {', '.join(found.names[:12])})")
        here, there = kind_of(found.field(name).type), kind_of(wanted.field(name).type)
        if here != there and "null" not in (here, there):
            raise DataError(f"{where}: column {name!r} holds {here} here ({found.field(name).type}) and {there} in {first}")


# --- batches ----------------------------------------------------------------------------------------------


class Batches:
    """Arrow record batches or tables, or anything that exports Arrow: from a list, an iterable, or a function that makes one.

    An iterator can be read once: asking for its units again raises DataError.
    """

    def __init__(self, data: Any) -> None:
        self._data = data
        self._head: Any = None
        self._once: Iterator[Any] | None = data if isinstance(data, Iterator) else None
        self._spent = False

    @property
    def rows(self) -> int | None:
        return None

    def promises_values(self, columns: Sequence[str]) -> bool:
        return False

    @property
    def once(self) -> bool:
        """Whether the batches come by only once."""
        return self._once is not None

    def _iterate(self) -> Iterator[Any]:
        if self._once is not None:
            if self._spent:
                raise DataError("this iterator of batches has been read already: give a list, or a function that makes one")
            self._spent = True
            return self._once
        return iter(self._data() if callable(self._data) else self._data)

    @cached_property
    def head(self) -> Any:
        """The first batch."""
        first = next(self._iterate(), None)
        if first is None:
            raise DataError("the data have no batches")
        head = _table(first, 0)
        if self._once is not None:  # what was taken to look at is handed out first
            self._head, self._spent = head, False
        return head

    @cached_property
    def schema(self) -> Any:
        return self.head.schema

    def units(self, columns: Sequence[str]) -> Iterator[Unit]:
        schema = self.schema
        for number, table in enumerate(self._tables()):
            name = f"batch {number}"
            check_schema(table.schema, schema, columns, name, "batch 0")
            yield Unit(name, f"{number}:{table.num_rows}", table.num_rows, _Held(table.select(list(columns))))

    def _tables(self) -> Iterator[Any]:
        start = 0
        if self._head is not None:
            head, self._head, start = self._head, None, 1
            yield head
        for number, item in enumerate(self._iterate(), start):
            yield _table(item, number)


@dataclass(frozen=True)
class _Held:
    table: Any

    def __call__(self, rows: int = BATCH_ROWS) -> Iterator[Any]:
        yield self.table


def _table(item: Any, number: int) -> Any:
    import pyarrow as pa

    if isinstance(item, pa.RecordBatch):
        return pa.Table.from_batches([item])
    if isinstance(item, pa.Table):
        return item
    if hasattr(item, "__arrow_c_stream__") or hasattr(item, "__arrow_c_array__"):
        return pa.table(item)
    if isinstance(item, Mapping) and all(hasattr(column, "__len__") for column in item.values()):
        return pa.table(dict(item))
    if isinstance(item, Mapping):
        raise DataError(f"batch {number} is a dict of single values, a row: make a data frame of the rows first")
    raise DataError(
        f"batch {number} is a {type(item).__name__}: data must be a data frame, or several of them (Arrow record batches, "
        "tables) to be read one after the other"
    )


def together(units: Iterable[Unit]) -> Iterator[list[Unit]]:
    """Units in lists of at least `UNIT_ROWS` rows."""
    group: list[Unit] = []
    for unit in units:
        group.append(unit)
        if sum(each.rows for each in group) >= UNIT_ROWS:
            yield group
            group = []
    if group:
        yield group
