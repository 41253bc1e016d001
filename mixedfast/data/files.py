"""Parquet and CSV files on this machine, in units of row groups or whole files."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mixedfast._memo import cached_property
from mixedfast.data.arrow import kind_of
from mixedfast.data.csv_files import Csv, csv_schema
from mixedfast.data.file_errors import unreadable
from mixedfast.data.work_units import BATCH_ROWS, UNIT_ROWS, Unit, check_schema
from mixedfast.errors import DataError

__all__ = ["Files", "files_at"]

#: Text is read as a dictionary when its dictionary page has at most so many bytes: Arrow is slow
#: with longer ones.
_SMALL_DICTIONARY = 1 << 16
_PARQUET = (".parquet", ".pq", ".parq")
_CSV = (".csv", ".csv.gz", ".csv.zst", ".csv.bz2")
#: Hive's and Spark's name of the folder for rows with a missing value.
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def files_at(where: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Return the files of a path, folder or glob, sorted by name."""
    text = os.path.expanduser(os.fspath(where))
    if not text:  # it would be the current folder
        raise DataError(
            "the path of the data is empty: data must be a data frame, a dict of arrays, or the "
            "path of files"
        )
    if Path(text).is_file():
        return (Path(text),)
    if Path(text).is_dir():
        found = [
            path
            for path in Path(text).rglob("*")
            if _format(path) and not _hidden(path.relative_to(text))
        ]
        if not found:
            raise DataError(f"no Parquet or CSV file in the folder {text}")
    else:
        found = [Path(path) for path in glob.glob(text, recursive=True)]
        if not found and "://" in text:
            raise DataError(
                f"{text!r} is not a path on this machine: open it as an Arrow dataset with "
                "pyarrow.dataset.dataset(...)"
            )
        if not found:
            raise DataError(
                f"no file matches {text!r}: data must be a data frame, a dict of arrays, "
                "or the path of files"
            )
    return tuple(sorted(found))


def _hidden(path: Path) -> bool:
    """Return whether engines write such files beside their data: ``_SUCCESS``, ``.part.crc``."""
    return any(part.startswith(("_", ".")) for part in path.parts)


def _format(path: Path) -> str:
    name = path.name.lower()
    return "parquet" if name.endswith(_PARQUET) else "csv" if name.endswith(_CSV) else ""


class Files:
    """Parquet and CSV files; folders ``key=value``, as Hive and Spark write them, are columns."""

    once = False

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self.paths = paths
        for path in paths:
            if not _format(path):
                raise DataError(
                    f"{path} is neither Parquet nor CSV by its name ({', '.join(_PARQUET + _CSV)})"
                )

    @cached_property
    def rows(self) -> int | None:
        if any(_format(path) != "parquet" for path in self.paths):
            return None
        try:
            return sum(_footer(path).metadata.num_rows for path in self.paths)
        except DataError:  # the error comes when the file is read
            return None

    @cached_property
    def schema(self) -> Any:
        """Schema of the first file; a column without values there has its type in a later file."""
        schema, rest = self._schema_of(self.paths[0]), iter(self.paths[1:])
        while untyped := _untyped(schema):
            path = next(rest, None)
            if path is None:
                break
            found = self._schema_of(path)
            for name in untyped & set(found.names):
                schema = schema.set(schema.get_field_index(name), found.field(name))
        return schema

    def _schema_of(self, path: Path) -> Any:
        return self._with_folders(
            _footer(path).schema_arrow if _format(path) == "parquet" else csv_schema(path), path
        )

    def _with_folders(self, schema: Any, path: Path) -> Any:
        """Add the columns of its folders to the schema of a file."""
        import pyarrow as pa

        for name in _folder_values(path):
            if name not in schema.names:
                schema = schema.append(pa.field(name, self._folder_types[name]))
        return schema

    @cached_property
    def _folder_types(self) -> dict[str, Any]:
        """Types of the columns of folders: whole numbers where all values are, else text."""
        import pyarrow as pa

        found: dict[str, list[str | None]] = {}
        for path in self.paths:
            for name, text in _folder_values(path).items():
                found.setdefault(name, []).append(text)
        return {
            name: pa.int64()
            if all(text is None or re.fullmatch(r"-?[0-9]{1,18}", text) for text in texts)
            else pa.string()
            for name, texts in found.items()
        }

    def promises_values(self, columns: Sequence[str]) -> bool:
        for path in self.paths:
            if _format(path) != "parquet":
                return False
            try:
                footer = _footer(path)
            except DataError:  # the error comes when the file is read
                return False
            check_schema(
                self._with_folders(footer.schema_arrow, path),
                self.schema,
                columns,
                str(path),
                str(self.paths[0]),
            )
            if not _no_null(footer.metadata, columns) or any(
                text is None for text in _folder_values(path).values()
            ):
                return False
        return True

    def units(self, columns: Sequence[str]) -> Iterator[Unit]:
        for path in self.paths:
            footer = _footer(path) if _format(path) == "parquet" else None
            own = csv_schema(path) if footer is None else footer.schema_arrow
            check_schema(
                self._with_folders(own, path), self.schema, columns, str(path), str(self.paths[0])
            )
            stored = tuple(name for name in columns if name in own.names)
            folders = {
                name: self._folder_value(path, name) for name in columns if name not in own.names
            }
            stat = path.stat()
            mark = f"{path}:{stat.st_size}:{stat.st_mtime_ns}"
            if footer is None:
                types = {name: self.schema.field(name).type for name in stored}
                yield Unit(str(path), mark, UNIT_ROWS, _Rows(Csv(path, types), folders))
                continue
            sizes = [
                footer.metadata.row_group(i).num_rows for i in range(footer.metadata.num_row_groups)
            ]
            for first, last, rows in _runs(sizes):
                yield Unit(
                    str(path),
                    f"{mark}:{first}-{last}",
                    rows,
                    _Rows(_Parquet(path, stored, first, last), folders),
                )

    def _folder_value(self, path: Path, name: str) -> Any:
        """Return the value of a folder's column as an Arrow scalar."""
        import pyarrow as pa

        text, kind = _folder_values(path)[name], self._folder_types[name]
        return pa.scalar(
            int(text) if text is not None and pa.types.is_integer(kind) else text, kind
        )


def _runs(sizes: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield ranges of row groups with at least `UNIT_ROWS` rows, and their number of rows."""
    first, rows = 0, 0
    for i, size in enumerate(sizes):
        rows += size
        if rows >= UNIT_ROWS or i == len(sizes) - 1:
            if rows:
                yield first, i + 1, rows
            first, rows = i + 1, 0


def _no_null(metadata: Any, columns: Sequence[str]) -> bool:
    """Return whether these columns hold no NULL by the statistics of all row groups."""
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
        return pq.ParquetFile(
            path, read_dictionary=list(as_dictionaries), page_checksum_verification=True
        )
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error, "Parquet") from error


def _untyped(schema: Any) -> set[str]:
    """Return the columns without values, whose type is unknown."""
    import pyarrow as pa

    return {field.name for field in schema if pa.types.is_null(field.type)}


def _folder_values(path: Path) -> dict[str, str | None]:
    """Return the values in the names of a file's folders (``year=2024``); None where missing."""
    found = (re.fullmatch(r"([^=]+)=(.*)", part) for part in path.parent.parts)
    return {
        unquote(match[1]): None if match[2] == _NO_VALUE else unquote(match[2])
        for match in found
        if match
    }


@dataclass(frozen=True)
class _Rows:
    """The rows of a file, with the values of its folders."""

    read: Callable[[int], Iterator[Any]]
    folders: Mapping[str, Any]

    def __call__(self, rows: int = BATCH_ROWS) -> Iterator[Any]:
        import pyarrow as pa

        for table in self.read(rows):
            for name, value in self.folders.items():
                table = table.append_column(name, pa.repeat(value, table.num_rows))
            yield table


@dataclass(frozen=True)
class _Parquet:
    """The rows of some row groups of a file."""

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
        groups = list(range(self.first, self.last))
        batches = file.iter_batches(
            rows, row_groups=groups, columns=list(self.columns), use_threads=False
        )
        left = sum(file.metadata.row_group(i).num_rows for i in groups)
        try:
            for batch in batches:
                left -= batch.num_rows
                for name in listed:
                    # Arrow does not check by itself that the indices lie within the dictionary
                    batch.column(name).validate(full=True)
                yield pa.Table.from_batches([batch])
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{self.path} is damaged{self._which(file, groups)}: {error}"
            ) from error
        if left:
            raise DataError(
                f"{self.path} is damaged: it has {abs(left)} rows "
                f"{'fewer' if left > 0 else 'more'} than its footer says"
            )

    def _with_small_dictionaries(self, footer: Any) -> list[str]:
        """Return the columns of text with a small dictionary, which are read as dictionaries."""
        group = footer.metadata.row_group(self.first)
        small = {
            chunk.path_in_schema
            for chunk in map(group.column, range(group.num_columns))
            if chunk.has_dictionary_page
            and 0 < chunk.data_page_offset - chunk.dictionary_page_offset <= _SMALL_DICTIONARY
        }
        return [
            name
            for name in self.columns
            if name in small and kind_of(footer.schema_arrow.field(name).type) == "text"
        ]

    def _which(self, file: Any, groups: list[int]) -> str:
        """Name the column that cannot be read, where it is one of those needed."""
        import pyarrow as pa

        for name in self.columns:
            try:
                file.read_row_groups(groups, columns=[name], use_threads=False).validate(full=True)
            except (pa.ArrowException, OSError):
                return f", column {name!r}"
        return ""
