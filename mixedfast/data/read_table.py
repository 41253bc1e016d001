"""Whole tables from files, by the ending of the name: text, Parquet, Stata, SPSS, Excel, ..."""

from __future__ import annotations

import csv
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixedfast.data.csv_dialect import Dialect, dialect_of, not_utf8
from mixedfast.data.file_errors import ragged, two_columns, unreadable
from mixedfast.data.frames import ColumnData, Table, as_table
from mixedfast.data.labelled_files import read_spss, read_stata
from mixedfast.errors import DataError, DataWarning, MissingLibraryError, warn

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ENDINGS", "read_small", "read_table", "with_categories"]

_TEXT = (".csv", ".tsv", ".tab")
_PARQUET = (".parquet", ".pq", ".parq")
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
_WHOLE = (".feather", ".arrow", ".dta", ".sav", ".xlsx")

ENDINGS = f"{', '.join(_TEXT + _PARQUET + _WHOLE)} (text also packed: {', '.join(_PACKED)})"
#: Files of text of at most so many bytes are read into memory where a path is given as data.
_SMALL_TEXT = 64 << 20
#: The same for packed text and Parquet, which take several times their size in memory.
_SMALL_PACKED = 16 << 20


def read_small(data: Any) -> Any:
    """Read the file of a path that is small enough for memory; return other data as they are.

    Formats that cannot be read in batches are read whatever their size. A file in a folder such as
    ``year=2024`` is read in batches, where the folder is a column.
    """
    if not isinstance(data, (str, os.PathLike)):
        return data
    path = Path(os.path.expanduser(os.fspath(data)))
    kind, packed = _kind(path)
    if not path.is_file() or not kind or any("=" in part for part in path.parts[:-1]):
        return data
    most = _SMALL_PACKED if packed or kind in _PARQUET else _SMALL_TEXT
    return read_table(path) if kind in _WHOLE or path.stat().st_size <= most else data


def read_table(path: str | os.PathLike[str], labels: bool = True) -> pd.DataFrame:
    """Read a table from a file into memory.

    Parameters
    ----------
    path : str or Path
        ``-`` for CSV from standard input. The ending of the name chooses the format: ``.csv``,
        ``.tsv``, ``.tab`` (also packed: ``.gz``, ``.bz2``, ``.xz``, ``.zst``, ``.zip``),
        ``.parquet``, ``.pq``, ``.feather``, ``.arrow``, ``.dta`` (Stata), ``.sav`` (SPSS),
        ``.xlsx``. Semicolons, decimal commas and Latin-1 text are recognized.
    labels : bool
        Make categories of the columns of Stata and SPSS files in which every value that occurs has
        a value label. If False, the numbers stay.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    DataError
        When the file is missing, its ending is unknown, or its content is of another kind. For
        lines with too few or too many values, names the line.
    MissingLibraryError
        When the library for a format is not installed: pyarrow (or polars) for Parquet, pyarrow for
        Feather, pyreadstat for SPSS, openpyxl for Excel.

    Warns
    -----
    DataWarning
        When text is not UTF-8, a value label stands for one code among numbers, or an Excel file
        has further sheets.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "numbers.csv"
    ...     _ = file.write_text("x;y\\n1;2,5\\n")
    ...     read_table(file).values.tolist()
    [[1.0, 2.5]]
    """
    if str(path) == "-":
        if sys.stdin is None:
            raise DataError("standard input is closed: give the name of a file")
        # not read by pandas, which reports an interrupted pipe as a damaged file
        return _read_text("standard input", BytesIO(sys.stdin.buffer.read()))
    file = Path(os.path.expanduser(os.fspath(path)))
    kind, _ = _kind(file)
    if not kind:
        raise DataError(f"the format of {path} is unknown: its name should end in one of {ENDINGS}")
    if not file.exists():
        raise DataError(f"there is no file {path}")
    if kind in _TEXT:
        return _read_text(str(path), file, None if kind == ".csv" else "\t")
    if kind in _PARQUET:
        return _read_parquet(file)
    readers: dict[str, Callable[[], pd.DataFrame]] = {
        ".dta": lambda: read_stata(file, labels),
        ".sav": lambda: read_spss(file, labels),
        ".xlsx": lambda: _read_excel(file),
    }
    return readers.get(kind, lambda: _read_feather(file))()


def _kind(path: Path) -> tuple[str, bool]:
    """Return the ending that gives the format, empty if unknown, and whether the file is packed."""
    name = path.name.lower()
    packed = next((ending for ending in _PACKED if name.endswith(ending)), "")
    kind = Path(name.removesuffix(packed)).suffix
    known = _TEXT if packed else _TEXT + _PARQUET + _WHOLE
    return (kind if kind in known else ""), bool(packed)


def with_categories(data: Any, names: Sequence[str]) -> Table:
    """Return the data with some columns of whole numbers as categories.

    Raises
    ------
    DataError
        When there is no such column, or it holds fractions.

    Examples
    --------
    >>> with_categories({"dose": [2, 1, 2]}, ["dose"]).column("dose").levels
    array([1, 2])
    """
    table = as_table(data)
    for name in names:
        table.grouping(name)

    def column(name: str) -> ColumnData:
        return table.grouping(name) if name in names else table.column(name)

    return Table(table.names, table.n, column, table.library)


# --- delimited text -------------------------------------------------------------------------------

#: Lines that show the dialect.
_HEAD_LINES = 2000


def _read_text(name: str, source: Path | BytesIO, separator: str | None = None) -> pd.DataFrame:
    """Read delimited text; the separator is that of the header unless it is given."""
    import pandas as pd

    def read(**options: Any) -> pd.DataFrame:
        if isinstance(source, BytesIO):
            source.seek(0)
        found: pd.DataFrame = pd.read_csv(source, **options)
        return found

    try:
        head = "\n".join(_lines(read, "latin-1", _HEAD_LINES))  # Latin-1 keeps the bytes
        dialect = dialect_of(head.encode("latin-1"), name, separator)
        try:
            names, table = _read_dialect(read, dialect)
        except UnicodeDecodeError:  # after the lines that were looked at
            dialect = Dialect(dialect.separator, dialect.decimal, not_utf8(name))
            names, table = _read_dialect(read, dialect)
    except _damage() as error:
        seen = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        if seen:
            raise ragged(name, int(seen[2]), int(seen[3]), int(seen[1])) from error
        raise unreadable(name, error) from error
    twice = names[names.duplicated()].tolist()
    if twice:  # pandas would call the second one "x.1"
        raise two_columns(name, twice[0])
    if not table.index.equals(pd.RangeIndex(len(table))):
        raise ragged(name, 2, len(names) + table.index.nlevels, len(names))
    if table.iloc[:, -1].isna().any():
        lines = _lines(read, dialect.encoding)
        _check_short_lines(name, lines, dialect.separator, len(names))
    return table


def _read_dialect(
    read: Callable[..., pd.DataFrame], dialect: Dialect
) -> tuple[pd.Series[Any], pd.DataFrame]:
    """Read the names in the header as they are, and the table."""
    options: dict[str, Any] = {
        "sep": dialect.separator,
        "decimal": dialect.decimal,
        "encoding": dialect.encoding,
    }
    names = read(header=None, nrows=1, dtype=str, **options).iloc[0].dropna()
    # all lines are read before the type of a column is chosen: no column of mixed types
    return names, read(low_memory=False, **options)


def _lines(read: Callable[..., pd.DataFrame], encoding: str, most: int | None = None) -> list[str]:
    """Read whole lines, through the decompression of pandas."""
    options = {"sep": "\x01", "header": None, "dtype": str, "quoting": csv.QUOTE_NONE}
    kept = {"keep_default_na": False, "skip_blank_lines": False}
    lines: list[str] = read(nrows=most, encoding=encoding, **options, **kept).iloc[:, 0].tolist()
    return lines


def _check_short_lines(name: str, lines: Sequence[str], separator: str, expected: int) -> None:
    """Raise DataError for a line with fewer values than names, which pandas reads as missing."""
    rows = csv.reader(lines, delimiter=separator)
    for row in rows:
        if row and len(row) < expected:
            raise ragged(name, rows.line_num, len(row), expected)


def _damage() -> tuple[type[Exception], ...]:
    """Return the errors of reading a damaged file of text, compressed or not."""
    own = (OSError, EOFError, ValueError, ImportError, zipfile.BadZipFile, zlib.error)
    if find_spec("_lzma") is None:  # Python may be built without it
        return own
    from lzma import LZMAError

    return (*own, LZMAError)


# --- Parquet, Feather, Excel ----------------------------------------------------------------------


#: What pyarrow raises for damaged files: the last three where the description of the columns for
#: pandas is damaged (a name is missing), or a type that pyarrow does not have.
_DAMAGED_ARROW = (OSError, ValueError, LookupError, TypeError, NotImplementedError)


def _read_parquet(file: Path) -> pd.DataFrame:
    if find_spec("pyarrow") is not None:
        from pyarrow import parquet

        try:
            return _to_pandas(parquet.read_table(file))
        except _DAMAGED_ARROW as error:
            raise unreadable(file, error, "Parquet") from error
    if find_spec("polars") is not None:
        import pandas as pd
        import polars as pl

        try:
            table = pl.read_parquet(file)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise unreadable(file, error, "Parquet") from error
        return pd.DataFrame(table.to_dict(as_series=False))
    raise MissingLibraryError(f"reading {file} needs pyarrow or polars: pip install pyarrow")


def _read_feather(file: Path) -> pd.DataFrame:
    if find_spec("pyarrow") is None:
        raise MissingLibraryError(f"reading {file} needs pyarrow: pip install pyarrow")
    from pyarrow import feather

    try:
        return _to_pandas(feather.read_table(file))
    except _DAMAGED_ARROW as error:
        raise unreadable(file, error, "Feather") from error


def _to_pandas(table: Any) -> pd.DataFrame:
    """Convert an Arrow table; whole numbers beside missing values keep their digits."""
    made: pd.DataFrame = table.to_pandas(integer_object_nulls=True)
    return made.reset_index(drop=True) if made.index.names == [None] else made.reset_index()


def _read_excel(file: Path) -> pd.DataFrame:
    """Read the first sheet."""
    import pandas as pd

    if find_spec("openpyxl") is None:
        raise MissingLibraryError(f"reading {file} needs openpyxl: pip install openpyxl")
    try:
        with pd.ExcelFile(file, engine="openpyxl") as book:
            first, *others = [str(name) for name in book.sheet_names]
            table: pd.DataFrame = pd.read_excel(book, sheet_name=first)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise unreadable(file, error, "Excel") from error
    if others:
        warn(
            f"{file} has {len(others) + 1} sheets, and the first one, {first!r}, is read: "
            "pandas.read_excel(path, sheet_name=...) reads another",
            DataWarning,
        )
    return table
