"""Parquet and CSV files on this machine, in units of row groups or whole files."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixedfast.arrow import kind_of
from mixedfast.cached import cached_property
from mixedfast.errors import DataError
from mixedfast.stream.units import BATCH_ROWS, UNIT_ROWS, Unit, check_schema

__all__ = ["Files", "files_at"]

#: Bytes of a dictionary page up to which text is read as its entries and places: in a longer one Arrow finds entries slowly.
_SMALL_DICTIONARY = 1 << 16
_PARQUET = (".parquet", ".pq", ".parq")
_CSV = (".csv", ".csv.gz", ".csv.zst", ".csv.bz2")


def files_at(where: str | os.PathLike[str]) -> tuple[Path, ...]:
    """The files a path, folder or glob stands for, in order of their names."""
    text = os.fspath(where)
    if not text:  # which would be the folder one happens to be in
        raise DataError("the path of the data is empty; data must be a data frame, a dict of arrays, or where files are")
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

    once = False

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
            footer = _footer(path) if _format(path) == "parquet" else None
            schema = _with_folders(_file_schema(path) if footer is None else footer.schema_arrow, path)
            check_schema(schema, self.schema, columns, str(path), str(self.paths[0]))
            stat = path.stat()
            mark = f"{path}:{stat.st_size}:{stat.st_mtime_ns}"
            if footer is None:
                types = {name: self.schema.field(name).type for name in columns}
                yield Unit(str(path), mark, UNIT_ROWS, _Csv(path, tuple(columns), types))
                continue
            sizes = [footer.metadata.row_group(i).num_rows for i in range(footer.metadata.num_row_groups)]
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
    schema = _csv_reader(path, None, None).schema
    twice = [name for i, name in enumerate(schema.names) if name in schema.names[:i]]
    if twice:
        raise DataError(f"{path} has two columns called {twice[0]!r}: give them different names")
    return schema


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

        file = _footer(self.path)
        listed = self._with_small_dictionaries(file)
        if listed:
            file = _footer(self.path, listed)
        stored = [name for name in self.columns if name in file.schema_arrow.names]
        groups = list(range(self.first, self.last))
        batches = file.iter_batches(rows, row_groups=groups, columns=stored, use_threads=False)
        try:
            for batch in batches:
                yield _add_folders(pa.Table.from_batches([batch]), self.path, self.columns)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.path} is damaged{self._which(file, groups, stored)}: {error}") from error

    def _with_small_dictionaries(self, footer: Any) -> list[str]:
        """Columns of text that are stored as a short list and places in it: to be handed on as they are."""
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
