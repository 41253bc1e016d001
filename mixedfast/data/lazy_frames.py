"""Lazy frames of DuckDB, polars, Dask, Spark and Ibis, through narwhals.

Their engines report columns, distinct values, and sums of expressions over all rows or by group,
and they join a small table of numbers by group.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import narwhals as nw
import numpy as np
from narwhals.exceptions import NarwhalsError

from mixedfast.errors import DataError

__all__ = ["Expr", "LazyFrame", "absent_unless", "is_lazy", "literal", "lookup"]

Expr: TypeAlias = Any
"""An expression of narwhals on columns."""


def is_lazy(data: Any) -> bool:
    """Return whether data are a lazy frame, whose engine computes sums."""
    if nw.dependencies.is_pandas_dataframe(data) or nw.dependencies.is_pyarrow_table(data):
        return False  # narwhals checks them further and may raise an error
    return isinstance(nw.from_native(data, pass_through=True), nw.LazyFrame)


class LazyFrame:
    """A lazy frame, and the sums that its engine computes.

    Parameters
    ----------
    frame : narwhals.LazyFrame
    renamed : dict of str to str, optional
        Columns that have another name in `frame`, and that name.
    """

    def __init__(self, frame: Any, renamed: Mapping[str, str] | None = None) -> None:
        self._frame = frame
        self._renamed = dict(renamed or {})
        own = {inside: name for name, inside in self._renamed.items()}
        self._schema = {own.get(name, name): dtype for name, dtype in _schema(frame).items()}

    @classmethod
    def of(cls, data: Any) -> LazyFrame:
        """Wrap a lazy frame of any library.

        Raises
        ------
        DataError
            For an Ibis table in DuckDB: Ibis writes constants as decimals, whose products overflow.
            For a frame that cannot be evaluated.
        """
        frame = nw.from_native(data)
        if frame.implementation.is_ibis() and frame.to_native().get_backend().name == "duckdb":
            raise DataError(
                "an Ibis table in DuckDB is summed as a DuckDB relation: give "
                "connection.con.sql(ibis.to_sql(table)), where connection is what "
                "ibis.duckdb.connect() returned"
            )
        names = list(_schema(frame))
        # Engines read some names as patterns: polars sums `x2` for the column "^x.*$", DuckDB sums
        # all columns for "*". Spark has its own check, in `require_usable`.
        odd = [] if frame.implementation.is_pyspark() else [x for x in names if not _is_plain(x)]
        renamed = dict(zip(odd, _free_names("_mixedfast_column", names, len(odd)), strict=True))
        return cls(_with_names(frame, names, renamed) if renamed else frame, renamed)

    @property
    def engine(self) -> str:
        return str(self._frame.implementation.value)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._schema)

    def kind(self, name: str) -> str:
        """Return the kind of a column: "number", "boolean", "text", or the name of another type."""
        dtype = self._schema[name]
        if dtype.is_numeric():
            return "number"
        if dtype == nw.Boolean:
            return "boolean"
        return "text" if dtype in (nw.String, nw.Categorical, nw.Enum) else str(dtype)

    def require_usable(self, name: str) -> None:
        """Raise DataError for a column whose type or name cannot be used."""
        if self.kind(name) not in ("number", "boolean", "text"):
            raise DataError(
                f"column {name!r} holds {self.kind(name)}, which a model cannot use: "
                "make it numbers (for a date, days since a start) or text in the engine first"
            )
        if not self._frame.implementation.is_pyspark():
            return
        if any(mark in name for mark in ".`*"):
            raise DataError(
                f"column {name!r}: Spark reads a dot in a name as a field and a star as all "
                "columns: rename the column with withColumnRenamed first"
            )
        twins = [other for other in self._schema if other != name and other.lower() == name.lower()]
        if twins:
            raise DataError(
                f"columns {name!r} and {twins[0]!r}: Spark does not distinguish upper and lower "
                "case: rename or drop one first"
            )

    def is_integer(self, name: str) -> bool:
        return bool(self._schema[name].is_integer())

    def is_float(self, name: str) -> bool:
        return bool(self._schema[name].is_float())

    def categories(self, name: str) -> list[Any] | None:
        """Return the categories of a column in their order, where its type lists them."""
        dtype = self._schema[name]
        if dtype == nw.Enum and getattr(dtype, "categories", None):
            return list(dtype.categories)
        if dtype == nw.Categorical and self._frame.implementation.is_dask():
            found = self._frame.to_native()[self._renamed.get(name, name)].cat
            # a frame that is described by no rows knows no categories
            return list(found.categories) or None if found.known else None
        return None

    def number(self, name: str) -> Expr:
        """Return a column in double precision.

        Raises
        ------
        DataError
            For text: some engines would convert it to numbers, others raise errors of their own.
        """
        if self.kind(name) == "text":
            raise DataError(
                f"column {name!r} holds text where numbers are needed: cast it in the engine first"
            )
        return self._column(name).cast(nw.Float64)

    def label(self, name: str) -> Expr:
        """Return a column to be compared with labels."""
        column = self._column(name)
        return column.cast(nw.String) if self.kind(name) == "text" else column

    def missing(self, name: str) -> Expr:
        """Return where a column is NULL or NaN."""
        column = self._column(name)
        null = column.is_null()
        # is_nan of NULL is NULL in some engines; here both are missing
        return null | (column.is_nan().fill_null(False)) if self.is_float(name) else null

    def one_where(self, condition: Expr) -> Expr:
        """Return 1 where a condition holds and 0 elsewhere, whose sum is a count."""
        return nw.when(condition).then(literal(1.0)).otherwise(literal(0.0))

    def not_finite(self, column: Expr) -> Expr:
        """Return 1 where a number is infinite, NaN or NULL and 0 elsewhere."""
        largest = literal(float(np.finfo(float).max))
        finite = (column <= largest) & (column >= literal(0.0) - largest)
        # a comparison with NULL is NULL, and some engines sort NaN above all numbers: only True is
        # finite
        return nw.when(finite).then(literal(0.0)).otherwise(literal(1.0))

    def count_missing(self, names: Sequence[str]) -> tuple[int, dict[str, int]]:
        """Count the rows, and the missing values of each column that has any."""
        marks = {f"m{i}": self.missing(name).cast(nw.Int64) for i, name in enumerate(names)}
        found = self._sums({**marks, "rows": nw.lit(1).cast(nw.Int64)}, self._frame)
        return int(found["rows"]), {
            name: int(found[f"m{i}"]) for i, name in enumerate(names) if found[f"m{i}"]
        }

    def count(self) -> int:
        """Count the rows."""
        return int(self._sums({"rows": literal(1.0)}, self._frame)["rows"])

    def only(self, names: Sequence[str]) -> LazyFrame:
        """Return the frame with these columns only."""
        kept = {name: inside for name, inside in self._renamed.items() if name in names}
        return LazyFrame(self._frame.select(*(kept.get(name, name) for name in names)), kept)

    def complete(self, names: Sequence[str]) -> LazyFrame:
        """Return the rows without missing values in these columns."""
        keep = ~self.missing(names[0])
        for name in names[1:]:
            keep = keep & ~self.missing(name)
        return LazyFrame(self._frame.filter(keep), self._renamed)

    def with_columns(self, columns: Sequence[Expr]) -> tuple[LazyFrame, list[Expr]]:
        """Return the frame with further columns, and expressions for them."""
        names = self._new_names(len(columns))
        made = self._frame.with_columns(
            *(column.alias(name) for column, name in zip(columns, names, strict=True))
        )
        return LazyFrame(made, self._renamed), [nw.col(name) for name in names]

    def with_table(
        self, keys: Mapping[str, Sequence[Any]], columns: np.ndarray
    ) -> tuple[LazyFrame, list[Expr]]:
        """Join a small table by key; return the frame, and expressions for the new columns.

        Parameters
        ----------
        keys : mapping of str to sequence
            Columns of this frame and their values in the small table (see `distinct`).
        columns : (columns, keys) array
        """
        names = self._new_names(len(keys) + len(columns))
        by = dict(zip(names, keys, strict=False))
        table = {new: list(keys[name]) for new, name in by.items()} | dict(
            zip(names[len(keys) :], columns, strict=True)
        )
        wide = self._frame.with_columns(*(self._key(name).alias(new) for new, name in by.items()))
        joined = wide.join(self._small_table(table), on=list(by), how="inner")
        return LazyFrame(joined, self._renamed), [nw.col(name) for name in names[len(keys) :]]

    def _new_names(self, count: int) -> list[str]:
        return _free_names("_mixedfast", [*self._schema, *self._renamed.values()], count)

    def _column(self, name: str) -> Expr:
        return nw.col(self._renamed.get(name, name))

    def _key(self, name: str) -> Expr:
        """Return a column to join by, in the type that a list of its values gets."""
        if self.kind(name) != "number":
            return self.label(name)
        return self._column(name).cast(nw.Int64 if self.is_integer(name) else nw.Float64)

    def _small_table(self, columns: Mapping[str, Any]) -> Any:
        """Return a small table as a frame of the same engine."""
        engine, native = self._frame.implementation, self._frame.to_native()
        if engine.is_duckdb():
            # Relations can be joined within one connection only, and that of a relation is not
            # accessible. So the table is written into the query: a connection may be read-only, or
            # not be allowed to read Python variables or files. `query` of a relation would leave
            # a view in the database of the user, so the table grows from one row that counts none.
            one_row = native.limit(0).aggregate("count(*)")
            written = (f"{_in_sql(values)} as {name}" for name, values in columns.items())
            return nw.from_native(one_row.project(", ".join(written)))
        session = {"session": native.sparkSession} if engine.is_pyspark() else {}
        return nw.from_dict(columns, backend="pandas").lazy(engine, **session)

    def distinct(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """Return the combinations of values of some columns that occur, in no particular order."""
        return self.group_sums(names, [literal(1.0)])[0]

    def extremes(self, columns: Mapping[str, Expr]) -> dict[str, tuple[float, float]]:
        """Return the smallest and the largest value of each expression."""
        names = list(columns)
        wide = self._frame.select(*(columns[name].alias(f"e{i}") for i, name in enumerate(names)))
        ends = [
            (nw.col(f"e{i}").min().alias(f"a{i}"), nw.col(f"e{i}").max().alias(f"z{i}"))
            for i in range(len(names))
        ]
        found = self._collect(wide.select(*(end for pair in ends for end in pair)))
        return {
            name: (float(found[f"a{i}"][0]), float(found[f"z{i}"][0]))
            for i, name in enumerate(names)
        }

    def sums(self, columns: Mapping[str, Expr]) -> dict[str, float]:
        """Sum each expression over all rows."""
        return self._sums(columns, self._frame)

    def _sums(self, columns: Mapping[str, Expr], frame: Any) -> dict[str, float]:
        names = list(columns)
        # with a column of the frame: constants alone would be a single row
        anchor = self._column(self.names[0]).alias("rows")
        wide = frame.select(anchor, *(columns[name].alias(f"s{i}") for i, name in enumerate(names)))
        found = self._collect(wide.select(*(nw.col(f"s{i}").sum() for i in range(len(names)))))
        return {name: float(found[f"s{i}"][0]) for i, name in enumerate(names)}

    def group_sums(
        self, keys: Sequence[str], columns: Sequence[Expr]
    ) -> tuple[dict[str, list[Any]], np.ndarray]:
        """Sum each expression by the values of some columns.

        Returns
        -------
        keys : dict of str to list
        sums : (groups, expressions) array
        """
        renamed = {f"k{i}": name for i, name in enumerate(keys)}
        made = [self.label(name).alias(key) for key, name in renamed.items()]
        wide = self._frame.select(
            *made, *(column.alias(f"s{i}") for i, column in enumerate(columns))
        )
        grouped = wide.group_by(*renamed).agg(*(nw.col(f"s{i}").sum() for i in range(len(columns))))
        found = self._collect(grouped)
        sums = np.column_stack(
            [np.asarray(found[f"s{i}"].to_numpy(), dtype=float) for i in range(len(columns))]
        )
        return {name: found[key].to_list() for key, name in renamed.items()}, sums

    def _collect(self, frame: Any) -> dict[str, Any]:
        """Collect a small result."""
        # polars would hold whole columns in memory without this option
        eager = (
            frame.collect(engine="streaming")
            if frame.implementation.is_polars()
            else frame.collect()
        )
        return {name: eager[name] for name in eager.columns}


def _schema(frame: Any) -> dict[str, Any]:
    """Return the types of the columns of a frame of narwhals."""
    try:
        return dict(frame.collect_schema())
    except NarwhalsError as error:
        raise DataError(
            f"the lazy frame cannot be evaluated: {str(error).splitlines()[0]}"
        ) from error


def _is_plain(name: str) -> bool:
    """Return whether no engine reads a name as anything but a name."""
    return name.isidentifier()


def _with_names(frame: Any, names: Sequence[str], renamed: Mapping[str, str]) -> Any:
    """Return a frame whose columns have their new names."""
    if not frame.implementation.is_duckdb():
        return frame.rename(renamed)
    # narwhals would rename the first column in place of "*"
    columns = (f"{_quoted(name)} as {_quoted(renamed.get(name, name))}" for name in names)
    return nw.from_native(frame.to_native().project(", ".join(columns)))


def _quoted(name: str) -> str:
    """Write a name of a column in SQL of DuckDB."""
    return '"' + name.replace('"', '""') + '"'


def _free_names(start: str, taken: Iterable[str], count: int) -> list[str]:
    """Return names that begin with `start` and are not taken."""
    # DuckDB and Spark do not distinguish upper and lower case
    used = {name.lower() for name in taken}
    free = (f"{start}{i}" for i in itertools.count())
    return list(itertools.islice((name for name in free if name not in used), count))


def _in_sql(values: Sequence[Any]) -> str:
    """Write values as a column in SQL of DuckDB.

    They are one long text, which DuckDB reads a hundred times faster than as many constants.
    """
    array = np.asarray(values)
    if array.dtype.kind in "OU":  # in hexadecimal digits, since a label may contain any character
        digits = ",".join(label.encode().hex() for label in array)
        return f"decode(unhex(unnest(string_split('{digits}', ','))))"
    type_name = {"b": "boolean", "i": "bigint", "f": "double"}[array.dtype.kind]
    return f"unnest(cast('[{','.join(map(repr, array.tolist()))}]' as {type_name}[]))"


def literal(value: float) -> Expr:
    """Return a constant in double precision."""
    return nw.lit(value).cast(nw.Float64)


def absent_unless(condition: Expr, column: Expr) -> Expr:
    """Return a column where a condition holds, NULL elsewhere."""
    return nw.when(condition).then(column)


def lookup(label: Expr, levels: Sequence[Any], table: Sequence[float]) -> Expr:
    """Return the value in `table` for each label; the most frequent value is the default case."""
    values, counts = np.unique(np.asarray(table), return_counts=True)
    rest = float(values[counts.argmax()])
    out = literal(rest)
    for value in values:
        named = [level for level, own in zip(levels, table, strict=True) if own == value]
        if value != rest:
            out = nw.when(label.is_in(named)).then(literal(float(value))).otherwise(out)
    return out
