"""Whole tables from files: delimited text and Parquet, by the ending of the name."""

from __future__ import annotations

import sys
import zipfile
import zlib
from collections.abc import Sequence
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixedfast.data.file_errors import two_columns, unreadable
from mixedfast.data.frames import ColumnData, Table, as_table
from mixedfast.errors import DataError, MissingLibraryError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ENDINGS", "read_table", "with_categories"]

#: Separator of the values of a line by the ending of the name; None for Parquet.
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".parquet": None, ".pq": None}
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")

ENDINGS = f"{', '.join(_SEPARATORS)} (text also packed: {', '.join(_PACKED)})"


def read_table(path: str | Path) -> Any:
    """Read a table from a file.

    Text is read by pandas; Parquet by pyarrow where that is installed, else by polars.

    Parameters
    ----------
    path : str or Path
        ``-`` for CSV from standard input.

    Returns
    -------
    pandas or polars DataFrame, or pyarrow Table

    Raises
    ------
    DataError
        When the file is missing, its ending is unknown, or its content is of another kind.
    MissingLibraryError
        For Parquet, when neither pyarrow nor polars is installed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "numbers.tsv"
    ...     _ = file.write_text("x\\ty\\n1\\t2.5\\n")
    ...     read_table(file).values.tolist()
    [[1.0, 2.5]]
    """
    if str(path) == "-":
        # not read by pandas, which reports an interrupted pipe as a damaged file
        return _read_text("standard input", BytesIO(sys.stdin.buffer.read()), ",")
    file = Path(path)
    name = file.name.lower()
    packed = next((ending for ending in _PACKED if name.endswith(ending)), "")
    kind = Path(name.removesuffix(packed)).suffix
    separator = _SEPARATORS.get(kind)
    if kind not in _SEPARATORS or (separator is None and packed):
        raise DataError(f"the format of {path} is unknown: its name should end in one of {ENDINGS}")
    if not file.exists():
        raise DataError(f"there is no file {path}")
    return _read_parquet(file) if separator is None else _read_text(str(path), file, separator)


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


def _read_text(name: str, source: Any, separator: str) -> pd.DataFrame:
    import pandas as pd

    try:
        names = pd.read_csv(source, sep=separator, header=None, nrows=1, dtype=str).iloc[0].dropna()
        if isinstance(source, BytesIO):
            source.seek(0)
        # all lines are read before the type of a column is chosen: no column of mixed types
        table: pd.DataFrame = pd.read_csv(source, sep=separator, low_memory=False)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name} cannot be read: byte {error.start} is not UTF-8: save the file as UTF-8"
        ) from error
    except _damage() as error:
        raise unreadable(name, error) from error
    twice = names[names.duplicated()].tolist()
    if twice:  # pandas would call the second one "x.1"
        raise two_columns(name, twice[0])
    marks = [mark for mark in ";\t,|" if len(names) == 1 and mark in names.iloc[0]]
    if marks:
        raise DataError(
            f"{name} has one column, {names.iloc[0]!r}: its separator {marks[0]!r} should be "
            f"{separator!r}"
        )
    return table


def _damage() -> tuple[type[Exception], ...]:
    """Return the errors of reading a damaged file of text, compressed or not."""
    own = (OSError, EOFError, ValueError, ImportError, zipfile.BadZipFile, zlib.error)
    if find_spec("_lzma") is None:  # Python may be built without it
        return own
    from lzma import LZMAError

    return (*own, LZMAError)


def _read_parquet(file: Path) -> Any:
    if find_spec("pyarrow") is not None:
        from pyarrow import parquet

        try:
            return parquet.read_table(file)
        except (OSError, ValueError) as error:
            raise unreadable(file, error, "Parquet") from error
    if find_spec("polars") is not None:
        import polars as pl

        try:
            return pl.read_parquet(file)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise unreadable(file, error, "Parquet") from error
    raise MissingLibraryError(f"reading {file} needs pyarrow or polars: pip install pyarrow")
