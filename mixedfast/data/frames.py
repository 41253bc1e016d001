"""Tables of any data-frame library as NumPy arrays.

pandas, polars, Arrow and other data frames are read here; `mixedfast.data.frames_out` makes tables
of results. All later code sees a `Table`, whose columns are `Numeric` (the user's own array where
possible) or `Categorical` (int32 codes and levels). There is no Python loop over rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import narwhals as nw
import numpy as np

from mixedfast._memo import cached_property, of_object
from mixedfast._stored import stored
from mixedfast._threads import thread_pool
from mixedfast._validation import available_cores, did_you_mean
from mixedfast.data import _codes
from mixedfast.data.categories import (
    Categorical,
    drop_unused,
    factorize,
    labels,
    sorted_levels,
    whole_numbers,
)
from mixedfast.errors import DataError, MixedFastError

__all__ = [
    "ColumnData",
    "Numeric",
    "Table",
    "as_table",
    "library_of",
    "no_column",
    "pandas_index",
    "rows_of",
]

#: Dtypes that kernels read without a copy.
_KEPT = frozenset(["float64", "float32", "int64", "int32", "int16", "int8", "uint8", "bool"])
#: Rows that one table may have: row indices are 32-bit numbers. Each batch of a stream is a table
#: of its own, and the number of batches is not limited.
MOST_ROWS = 2**31 - 1
#: With fewer rows of text per thread, starting threads takes longer than it saves.
_ROWS_PER_THREAD = 100_000
#: What other dtypes become.
_WIDENED = {"float16": np.float32, "uint16": np.int32, "uint32": np.int64}
#: Above it, neighbouring whole numbers are the same float64.
_WHOLE_IN_FLOAT = 2**53


@stored("Numeric", arrays={"values": "numbers n"})
@dataclass(frozen=True, eq=False)
class Numeric:
    """A column of numbers.

    Parameters
    ----------
    values : (n,) array
        Of a float, int or bool dtype. Missing values are NaN.
    gaps_in_truth : bool
        Whether the values 1.0, 0.0 and NaN stand for True, False and missing.
    """

    values: np.ndarray
    gaps_in_truth: bool = False

    @property
    def is_boolean(self) -> bool:
        """Return whether the column holds truth values."""
        return self.gaps_in_truth or self.values.dtype.kind == "b"

    @cached_property
    def finite(self) -> bool:
        """Return whether no value is missing or infinite."""
        return self.values.dtype.kind != "f" or _codes.all_finite(self.values)


ColumnData: TypeAlias = Numeric | Categorical


class Table:
    """Named columns of equal length, each converted at its first use.

    Parameters
    ----------
    names : sequence of str
    n : int
        Number of rows.
    fetch : callable
        ``fetch(name)`` gives the column as a `Numeric` or `Categorical`.
    library : {"pandas", "polars", "pyarrow"}
        Library of the tables that results return.
    index : pandas.Index, optional
        Row labels, where the table has any.

    Examples
    --------
    >>> table = as_table({"y": [1.0, 2.0], "g": ["b", "a"]})
    >>> table.names, table.n
    (('y', 'g'), 2)
    >>> table.column("g").codes
    array([1, 0], dtype=int32)
    """

    def __init__(
        self,
        names: Iterable[str],
        n: int,
        fetch: Callable[[str], ColumnData],
        library: str = "pandas",
        index: Any = None,
    ) -> None:
        self.names = tuple(names)
        self.n = n
        self.library = library
        self._index = index
        self._fetch = fetch
        self._columns: dict[str, ColumnData] = {}

    def column(self, name: str) -> ColumnData:
        """Return a column.

        Raises
        ------
        DataError
            When there is no such column (similar names are suggested), or its dtype is not
            supported.
        """
        if name not in self._columns:
            if name not in self.names:
                raise no_column(name, self.names)
            try:
                self._columns[name] = self._fetch(name)
            except MixedFastError:
                raise
            except (ValueError, ArithmeticError) as error:  # surrogates, signalling NaN, records
                fault = "invalid decimals" if isinstance(error, ArithmeticError) else str(error)
                raise DataError(
                    f"column {name!r} holds values that are neither numbers nor text: "
                    f"{fault.splitlines()[0].rstrip('.')}; convert the column first"
                ) from error
        return self._columns[name]

    def check_same_index(self, label: str, values: Any) -> None:
        """Raise DataError when a series has another index than the pandas table it belongs to."""
        if (
            self._index is None
            or not nw.dependencies.is_pandas_series(values)
            or len(values) != self.n
        ):
            return
        if not values.index.equals(self._index):
            raise DataError(
                f"{label} is a Series whose index differs from that of the data: align the two, "
                f"or give {label} as an array if it is in the order of the rows"
            )

    def grouping(self, name: str) -> Categorical:
        """Return a column as a grouping factor.

        Whole numbers, in an integer or float dtype, become sorted levels.

        Raises
        ------
        DataError
            When the column holds fractions or infinities.
        """
        column = self.column(name)
        if isinstance(column, Categorical):
            return column
        values = column.values
        if column.gaps_in_truth:
            return drop_unused(
                Categorical(
                    np.where(np.isnan(values), -1, values).astype(np.int32), np.array([False, True])
                )
            )
        if values.dtype.kind == "f":
            known = values[np.isfinite(values)]
            if np.isinf(values).any() or not np.array_equal(known, np.trunc(known)):
                raise DataError(
                    f"column {name!r} groups the rows but holds numbers that are not whole; "
                    "if they are labels, convert them to strings or categories"
                )
            # integers become floats beside missing values; the label should be 3, not 3.0
            return whole_numbers(values, known)
        return factorize(values)


def no_column(name: str, names: Sequence[str]) -> DataError:
    """Return the error for a missing column, with similar names."""
    close = did_you_mean(name, names)
    hint = f"; {close}" if close else ""
    known = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return DataError(f"no column {name!r} in the data{hint} (columns: {known})")


def as_table(data: Any) -> Table:
    """Return a `Table` of an eager data frame that narwhals supports, or of a mapping of arrays.

    Parameters
    ----------
    data : pandas or polars DataFrame, pyarrow Table, mapping of name to array, ...
        A `Table` is returned as it is.

    Raises
    ------
    DataError
        When `data` is not a table, two columns have the same name, arrays differ in length, or
        there are 2**31 rows or more.

    Examples
    --------
    >>> as_table({"x": [1, 2, 3]}).column("x").values
    array([1, 2, 3])
    """
    if isinstance(data, Table):
        return data
    table = _table(data)
    if table.n > MOST_ROWS:
        raise DataError(
            f"the table has {table.n:,} rows, and a single table may have {MOST_ROWS:,}: "
            "give it in batches"
        )
    return table


def _table(data: Any) -> Table:
    if nw.dependencies.is_pandas_dataframe(data):
        return _pandas_table(data)
    if isinstance(data, Mapping):
        return _mapping_table(data)
    if nw.dependencies.is_pyarrow_table(data):
        _check_distinct_names(data.column_names)
    try:
        frame = nw.from_native(data, eager_only=True)
    except TypeError as error:
        raise DataError(
            f"data must be a data frame (pandas, polars, pyarrow, ...) or a dict of arrays, "
            f"not {type(data).__name__}; collect a lazy frame first"
        ) from error
    names = frame.columns
    _check_distinct_names(names)
    return Table(
        names,
        len(frame),
        lambda name: _series_column(name, frame[name]),
        library_of(frame),
    )


def pandas_index(data: Any) -> Any:
    """Return the index of a pandas table; None for other data."""
    return data.index if nw.dependencies.is_pandas_dataframe(data) else None


def rows_of(data: Any, rows: np.ndarray, without: Sequence[str] = ()) -> Any:
    """Take some rows (m,) of a table in memory, in its library, without some columns.

    Examples
    --------
    >>> rows_of({"x": [5, 6, 7], "g": ["a", "b", "b"]}, np.array([2, 1]), ["g"])
    {'x': [7, 6]}
    """
    if isinstance(data, Mapping):
        kept = {name: values for name, values in data.items() if str(name) not in without}
        return {name: _elements(values, rows) for name, values in kept.items()}
    frame = nw.from_native(data, eager_only=True)
    return frame.drop([name for name in without if name in frame.columns])[rows].to_native()


def _elements(values: Any, rows: np.ndarray) -> Any:
    if isinstance(values, (list, tuple)):
        return [values[row] for row in rows.tolist()]
    if nw.dependencies.is_pandas_series(values):
        return values.iloc[rows]
    return values.take(rows) if hasattr(values, "take") else np.asarray(values)[rows]


def library_of(data: Any) -> str:
    """Return the library for tables of results: "polars", "pyarrow", or "pandas" for other data.

    Examples
    --------
    >>> import polars as pl
    >>> library_of(pl.LazyFrame({"x": [1]})), library_of("students.parquet")
    ('polars', 'pandas')
    """
    implementation = getattr(nw.from_native(data, pass_through=True), "implementation", None)
    name = "pandas" if implementation is None else str(implementation.value)
    return name if name in ("polars", "pyarrow") else "pandas"


def _numeric(name: str, values: np.ndarray) -> Numeric:
    """Return an array in a dtype that kernels read; without a copy where it has one already."""
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    dtype = values.dtype.name
    if dtype in _KEPT:
        return Numeric(values)
    if dtype in _WIDENED:
        return Numeric(values.astype(_WIDENED[dtype]))
    if dtype == "uint64":
        if len(values) and values.max() > np.iinfo(np.int64).max:
            raise DataError(
                f"column {name!r} holds whole numbers of 2**63 or more: convert it to strings if "
                "they are labels, or to floats if they are measurements"
            )
        return Numeric(values.astype(np.int64))
    if values.dtype.kind == "f":
        return Numeric(values.astype(np.float64))
    raise _unusable(name, dtype)


def _check_integers_fit_floats(name: str, low: int, high: int) -> None:
    """Raise DataError for whole numbers that float64, needed for missing values, cannot hold."""
    if max(-low, high) > _WHOLE_IN_FLOAT:
        raise DataError(
            f"column {name!r} has missing values and whole numbers above 2**53, some of which "
            "would become equal as floats: convert it to strings"
        )


def _unusable(name: str, dtype: object) -> DataError:
    return DataError(
        f"column {name!r} has dtype {dtype}, which a model cannot use: "
        "convert it to numbers (for a date, days since a start) or to strings"
    )


def _check_distinct_names(names: Sequence[Any]) -> None:
    if len(set(names)) < len(names):
        twice = sorted({str(name) for name in names if list(names).count(name) > 1})
        raise DataError(f"two columns are called {', '.join(map(repr, twice))}: rename one")


# --- pandas, and dicts of arrays -----------------------------------------------------------------


#: Types of labels that every table and file can hold.
_LABELS = (str, bool, int, float, np.generic)


def _pandas_table(frame: Any) -> Table:
    if frame.columns.nlevels > 1:
        raise DataError("the columns have a MultiIndex: give each column a single name first")
    by_name = _labels_by_name(frame.columns)
    return Table(
        by_name,
        len(frame),
        lambda name: _pandas_column(name, frame[by_name[name]]),
        index=frame.index,
    )


@of_object
def _labels_by_name(columns: Any) -> dict[str, Any]:
    """Return the labels of columns by their names as text."""
    listed = columns.tolist()  # iterating over an index of strings is slow
    if len({str(label) for label in listed}) < len(listed):
        _check_distinct_names([str(label) for label in listed])
    return {str(label): label for label in listed}


@of_object
def _categories(index: Any) -> np.ndarray:
    """Return the categories of a pandas column as an array that nobody writes to.

    Intervals, times and other objects become their text, which tables, files and new data share.
    """
    levels = labels(index.to_numpy())
    if levels.dtype == object and not all(isinstance(one, _LABELS) for one in levels):
        levels = labels([one if isinstance(one, str) else str(one) for one in levels])
        if len(set(levels)) < len(levels):
            raise DataError(
                f"some categories of type {type(index[0]).__name__} look the same as text "
                f"({levels[0]}, ...): give them names with rename_categories"
            )
    if levels.base is not None:  # numbers: the array of pandas
        levels = levels.copy()
    levels.flags.writeable = False
    return levels


def _pandas_column(name: str, series: Any) -> ColumnData:
    import pandas as pd

    dtype = series.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        return _numeric(name, series.to_numpy())
    if isinstance(dtype, pd.CategoricalDtype):
        found = series.array
        codes = found.codes.astype(np.int32, copy=False)
        last = len(dtype.categories) - 1
        if len(codes) and not (codes.min() >= -1 and codes.max() <= last):
            raise DataError(
                f"column {name!r} is categorical, with codes outside of its {last + 1} categories: "
                "make it again from its labels"
            )
        return Categorical(codes, _categories(dtype.categories), bool(dtype.ordered))
    if isinstance(dtype, pd.StringDtype):
        return _pandas_strings(series)
    if getattr(dtype, "kind", "O") in "biuf":
        if series.isna().any():
            if dtype.kind in "iu" and series.notna().any():
                _check_integers_fit_floats(name, int(series.min()), int(series.max()))
            return Numeric(series.to_numpy(dtype=np.float64, na_value=np.nan), dtype.kind == "b")
        return _numeric(name, series.to_numpy(dtype=getattr(dtype, "numpy_dtype", None)))
    if isinstance(dtype, pd.ArrowDtype) and dtype.type is pd.CategoricalDtype.type:
        # pandas 3.0 cannot convert this dtype to a category
        return _arrow_strings(series.array.__arrow_array__())
    held = pd.api.types.infer_dtype(series, skipna=True)
    if held == "string":
        return _pandas_strings(series)
    if held == "interval":
        return _pandas_column(name, series.astype("category"))
    if held == "decimal":
        return Numeric(
            series.astype("object").where(series.notna(), np.nan).to_numpy(dtype=np.float64)
        )
    if held in ("integer", "floating", "boolean", "mixed-integer-float", "empty"):
        if held == "empty" or series.isna().any():
            values = (
                series.astype("object").where(series.notna(), np.nan).to_numpy(dtype=np.float64)
            )
            return Numeric(values, held == "boolean")
        return _numeric(name, np.array(series.tolist()))
    raise _unusable(name, f"{dtype} (holding {held})")


def _pandas_strings(series: Any) -> Categorical:
    import pandas as pd

    if getattr(series.dtype, "storage", "") == "pyarrow":
        import pyarrow as pa

        array = series.array.__arrow_array__()
        return _arrow_strings(
            array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
        )
    codes, levels = pd.factorize(series)
    return sorted_levels(codes.astype(np.int32), levels.tolist())


def _mapping_table(data: Mapping[Any, Any]) -> Table:
    names = [str(name) for name in data]
    _check_distinct_names(names)
    columns = {str(name): value for name, value in data.items()}
    lengths: dict[str, int] = {}
    for name, value in columns.items():
        if not hasattr(value, "__len__") or isinstance(value, (str, bytes)):
            raise DataError(
                f"column {name!r} is a single value: every column needs one value per row"
            )
        lengths[name] = len(value)
    if len(set(lengths.values())) > 1:
        raise DataError(f"the columns differ in length: {lengths}")
    n = next(iter(lengths.values()), 0)
    return Table(names, n, lambda name: _array_column(name, columns[name]))


def _array_column(name: str, value: Any) -> ColumnData:
    if isinstance(value, np.ma.MaskedArray):
        value = np.ma.filled(value.astype(np.float64), np.nan)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc" and value.ndim == 1:
        return _numeric(name, value)
    if nw.dependencies.is_polars_series(value) or nw.dependencies.is_pyarrow_chunked_array(value):
        return _series_column(name, nw.from_native(value, series_only=True))
    if isinstance(value, (list, tuple)) and any(
        np.ndim(one) for one in value if not isinstance(one, str)
    ):
        raise DataError(f"column {name!r} holds lists: every column needs one value per row")
    if np.ndim(value) > 1:
        raise DataError(
            f"column {name!r} has {np.ndim(value)} dimensions: give its columns one by one"
        )
    import pandas as pd

    return _pandas_column(name, value if isinstance(value, pd.Series) else pd.Series(value))


# --- polars, Arrow and the other frames that narwhals reads --------------------------------------


def _series_column(name: str, series: Any) -> ColumnData:
    dtype = series.dtype
    if dtype.is_decimal():
        return Numeric(series.cast(nw.Float64).to_numpy())
    if dtype.is_numeric():
        if dtype.is_integer() and 0 < series.null_count() < len(series):
            _check_integers_fit_floats(name, series.min(), series.max())
        return _numeric(name, series.to_numpy())
    if dtype == nw.Boolean:
        values = series.to_numpy()
        if values.dtype == np.bool_:
            return Numeric(values)
        return Numeric(series.cast(nw.Int8).cast(nw.Float64).to_numpy(), gaps_in_truth=True)
    if dtype in (nw.String, nw.Categorical, nw.Enum):
        if series.implementation.is_polars():
            return _polars_strings(series.to_native(), isinstance(dtype, nw.Enum))
        if series.implementation.is_pyarrow():
            return _arrow_strings(series.to_native())
        return _pandas_column(name, series.to_pandas())
    if str(dtype) == "Unknown" and len(series) == series.null_count():
        return Numeric(np.full(len(series), np.nan))
    raise _unusable(name, dtype)


def _polars_strings(series: Any, is_enum: bool) -> Categorical:
    import polars as pl

    coded = series if is_enum or series.dtype == pl.Categorical else series.cast(pl.Categorical)
    codes = coded.to_physical().cast(pl.Int64).fill_null(-1).to_numpy().astype(np.int32)
    if is_enum:
        return Categorical(codes, labels(series.dtype.categories.to_list()))
    # polars may use global codes for categories: number only those that occur
    present = coded.drop_nulls().unique()
    found = present.to_physical().to_numpy().astype(np.int64)
    levels = np.empty(int(found.max(initial=-1)) + 1, dtype=object)
    levels[found] = present.cast(pl.String).to_list()
    return sorted_levels(codes, levels)


def _encoded_in_threads(array: Any) -> Any:
    """Encode the text of an Arrow chunked array, parts of it in threads, with their own levels."""
    import pyarrow as pa

    n = len(array)
    count = max(1, min(available_cores(), n // _ROWS_PER_THREAD))
    if count == 1:
        return array.dictionary_encode()
    edges = [n * i // count for i in range(count + 1)]
    parts = [array.slice(start, stop - start) for start, stop in pairwise(edges)]
    with thread_pool(count) as workers:
        encoded = list(workers.map(pa.ChunkedArray.dictionary_encode, parts))
    return pa.chunked_array([chunk for part in encoded for chunk in part.chunks])


def _arrow_strings(array: Any) -> Categorical:
    import pyarrow as pa

    is_dictionary = pa.types.is_dictionary(array.type)
    encoded = array if is_dictionary else _encoded_in_threads(array)
    coded = encoded.unify_dictionaries().combine_chunks()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.chunk(0)
    codes = coded.indices.cast(pa.int32()).fill_null(-1).to_numpy(zero_copy_only=False)
    levels = coded.dictionary.to_pylist()
    if is_dictionary:
        return Categorical(codes, labels(levels), bool(array.type.ordered))
    return sorted_levels(codes, levels)
