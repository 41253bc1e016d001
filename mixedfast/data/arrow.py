"""Arrow tables in batches: complete rows, distinct values, and codes for known levels.

Both passes over a stream leave out the same rows, since both use `complete_rows`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfast._memo import cached_property
from mixedfast.data import _codes
from mixedfast.data.categories import Categorical
from mixedfast.data.file_errors import unreadable
from mixedfast.data.frames import ColumnData, Table, as_table
from mixedfast.errors import DataError, MissingLibraryError

__all__ = [
    "CodedTable",
    "Labels",
    "WiderTypeError",
    "appended",
    "as_declared",
    "check_text",
    "complete_rows",
    "distinct",
    "is_listed",
    "kind_of",
    "listed_categories",
    "need_pyarrow",
    "one_column",
    "plain_table",
    "retyped",
    "sample",
    "with_dictionary",
]

#: Longest table of codes for all whole numbers between the smallest and the largest level.
_LOOKUP = 1 << 24
_INT64 = np.iinfo(np.int64)


def need_pyarrow(what: str) -> Any:
    """Import pyarrow, or raise MissingLibraryError, which says how to install it."""
    try:
        import pyarrow
    except ImportError as error:
        raise MissingLibraryError(
            f"{what} needs pyarrow: pip install 'mixedfast[stream]'"
        ) from error
    return pyarrow


def kind_of(dtype: Any) -> str:
    """Return the kind of a type: "number", "boolean", "text", or Arrow's name of any other."""
    import pyarrow.types as t

    if t.is_dictionary(dtype):
        return (
            kind_of(dtype.value_type)
            if kind_of(dtype.value_type) == "text"
            else f"category of {dtype.value_type}"
        )
    if t.is_integer(dtype) or t.is_floating(dtype) or t.is_decimal(dtype):
        return "number"
    if t.is_boolean(dtype):
        return "boolean"
    return (
        "text" if t.is_string(dtype) or t.is_large_string(dtype) or _is_view(dtype) else str(dtype)
    )


def _is_view(dtype: Any) -> bool:
    return str(dtype) == "string_view"


def usable(table: Any) -> Any:
    """Convert decimals to doubles and views to text, which all functions of Arrow take."""
    import pyarrow as pa

    for i, field in enumerate(table.schema):
        kind = _usable_type(field.type)
        if kind == field.type:
            continue
        column = table.column(i)
        if pa.types.is_dictionary(kind):
            parts = [
                pa.DictionaryArray.from_arrays(c.indices, c.dictionary.cast(kind.value_type))
                for c in column.chunks
            ]
            column = pa.chunked_array(parts, kind)
        else:
            column = column.cast(kind)
        table = table.set_column(i, field.name, column)
    return table


def _usable_type(dtype: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_decimal(dtype):
        return pa.float64()
    if pa.types.is_dictionary(dtype):
        return pa.dictionary(dtype.index_type, _usable_type(dtype.value_type), dtype.ordered)
    return pa.large_string() if _is_view(dtype) else dtype


def complete_rows(table: Any, names: Iterable[str], where: str) -> tuple[Any, dict[str, int]]:
    """Return the rows of an Arrow table with a value in every column named, in `usable` types.

    Also returns the number of missing values of each column that has any.

    Raises
    ------
    DataError
        For infinite values, with the column and `where` it is.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    table = usable(table)
    keep, missing = None, {}
    for name in names:
        column = table.column(name)
        absent = None
        if pa.types.is_floating(column.type) and not _finite(column):
            infinite = pc.sum(pc.is_inf(column)).as_py() or 0
            if infinite:
                raise DataError(
                    f"{where}: column {name!r} holds {infinite} infinite values: "
                    "remove or replace them"
                )
            absent = pc.is_null(column, nan_is_null=True)
        if absent is None and column.null_count:
            absent = pc.is_null(column)
        if absent is not None:
            missing[name] = int(pc.sum(absent).as_py())
            present = pc.invert(absent)
            keep = present if keep is None else pc.and_(keep, present)
    return (table if keep is None else table.filter(keep)), missing


def _finite(column: Any) -> bool:
    """Return whether no value of a column of floats is infinite or NaN; NULL is neither."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count or pa.types.is_float16(column.type):
        return bool(pc.all(pc.is_finite(column), skip_nulls=True, min_count=0).as_py())
    return all(_codes.all_finite(chunk.to_numpy()) for chunk in column.chunks)


class WiderTypeError(DataError):
    """Values of a column that its declared type cannot hold, and a type that holds all.

    Parameters
    ----------
    what : str
    column : str
    type : pyarrow.DataType
    """

    def __init__(self, what: str, column: str, type: Any) -> None:
        super().__init__(f"{what}: give the column one type in all parts")
        self.column, self.type = column, type


def as_declared(table: Any, schema: Any, where: str) -> Any:
    """Convert the columns of a table to the types of a schema.

    Raises
    ------
    DataError
        For values that the type cannot hold, with the column and `where` it is.
    WiderTypeError
        When a type of this part can hold the values of both.
    """
    import pyarrow as pa

    made = {}
    for name in table.column_names:
        column, kind = table.column(name), _usable_type(schema.field(name).type)
        if pa.types.is_null(kind) and not pa.types.is_null(column.type):
            raise WiderTypeError(f"{where}: column {name!r}", name, column.type)
        try:
            if pa.types.is_dictionary(kind):
                # other parts may list more categories
                kind = pa.dictionary(pa.int32(), kind.value_type, kind.ordered)
                made[name] = (
                    column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
                ).cast(kind)
            else:
                made[name] = plain(column).cast(kind)
        except pa.ArrowInvalid as error:
            what = f"{where}: column {name!r} is {column.type} here and {kind} in the first part"
            if pa.types.is_integer(kind) and pa.types.is_floating(column.type):
                raise WiderTypeError(what, name, pa.float64()) from error
            raise DataError(f"{what}: {error}") from error
    return pa.table(made)


def retyped(schema: Any, types: Mapping[str, Any]) -> Any:
    """Return a schema with other types of some columns."""
    for name, kind in types.items():
        at = schema.get_field_index(name)
        schema = schema.set(at, schema.field(at).with_type(kind))
    return schema


def sample(table: Any, size: int) -> Any:
    """Copy at most `size` rows, evenly spaced."""
    return table.take(
        np.linspace(0, table.num_rows - 1, min(size, table.num_rows)).astype(np.int64)
    )


def plain(column: Any) -> Any:
    """Decode a column with a dictionary."""
    import pyarrow as pa

    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def plain_table(table: Any) -> Any:
    """Decode all columns of a table that have dictionaries."""
    import pyarrow as pa

    return pa.table({name: plain(table.column(name)) for name in table.column_names})


def distinct(table: Any, names: Sequence[str]) -> Any:
    """Return the combinations of values of some columns that occur, in no particular order."""
    import pyarrow as pa

    if len(names) == 1:
        return pa.table({names[0]: _unique(_entries(table.column(names[0])))})
    keys = pa.table({name: plain(table.column(name)) for name in names})
    return keys.group_by(list(names), use_threads=False).aggregate([])


def _entries(column: Any) -> Any:
    """Return a column with the same distinct values: the entries of a dictionary that are used."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        return column
    used = [chunk.dictionary.take(pc.unique(chunk.indices)) for chunk in column.chunks]
    return pa.chunked_array(used, column.type.value_type)


def _unique(column: Any) -> Any:
    """Return the distinct values of a column.

    Whole numbers of a small range are marked in a table, other values hashed.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_integer(column.type) and len(column) and not column.null_count:
        ends = pc.min_max(column).as_py()
        size = ends["max"] - ends["min"] + 1
        if size <= 4 * len(column) + 65536 and ends["max"] <= _INT64.max:
            values = column.to_numpy()
            if values.dtype.kind == "u" and values.itemsize > 1:
                values = values.astype(np.int64)
            return pa.array(_codes.unique_integers(values, ends["min"], size)).cast(column.type)
    return pc.unique(column)


def with_dictionary(table: Any, name: str, values: Sequence[Any]) -> Any:
    """Return the table with a column of text as categories in the order of `values`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    dictionary = pa.array(values)
    column = table.column(name).combine_chunks().cast(dictionary.type)
    coded = pa.DictionaryArray.from_arrays(pc.index_in(column, value_set=dictionary), dictionary)
    return table.set_column(table.column_names.index(name), name, coded)


@dataclass(frozen=True, eq=False)
class Labels:
    """Levels of one column (J,), and the codes of values for them."""

    name: str
    levels: np.ndarray

    @cached_property
    def _lookup(self) -> tuple[int, np.ndarray] | None:
        """For levels of a small range: the number before the first, and the codes from there."""
        if self.levels.dtype.kind not in "iu" or not len(self.levels):
            return None
        low, high = int(self.levels.min()), int(self.levels.max())
        if high - low >= _LOOKUP or low == _INT64.min or high > _INT64.max:
            return None
        # numbers outside are clipped to the ends, which stay -1
        table = np.full(high - low + 3, -1, dtype=np.int32)
        table[self.levels.astype(np.int64) - low + 1] = np.arange(len(self.levels), dtype=np.int32)
        return low - 1, table

    @cached_property
    def _in_a_row(self) -> bool:
        """Whether the levels are consecutive whole numbers."""
        return self._lookup is not None and np.array_equal(
            self._lookup[1][1:-1], np.arange(len(self.levels))
        )

    def codes(self, column: Any, where: str) -> np.ndarray:
        """Return the codes (n,) int32 of a column without missing values.

        Raises
        ------
        DataError
            For a value that is not among the levels, with `where` it is.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        coded = pa.types.is_dictionary(column.type)
        codes = self._codes_of_dictionary(column) if coded else self._codes(column)
        if len(codes) and codes.min() < 0:
            unknown = pc.unique(plain(column).filter(pa.array(codes < 0))).to_pylist()
            raise DataError(
                f"{where}: column {self.name!r} has levels that are not among the "
                f"{len(self.levels)} known ones: {', '.join(map(repr, unknown[:8]))}"
            )
        return codes

    def _codes_of_dictionary(self, column: Any) -> np.ndarray:
        """Return the codes of a column with a dictionary, by looking up its entries only."""
        parts = [
            self._codes(chunk.dictionary).take(chunk.indices.to_numpy())
            for chunk in column.chunks
            if len(chunk)
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.int32)

    def _codes(self, column: Any) -> np.ndarray:
        """Return the codes of a column without a dictionary; -1 for a value that is not a level."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_null(column.type):
            return np.full(len(column), -1, dtype=np.int32)
        if self._lookup is not None and pa.types.is_integer(column.type):
            low, table = self._lookup
            values = column.to_numpy()
            if (
                self._in_a_row
                and len(values)
                and low < values.min()
                and values.max() < low + len(table) - 1
            ):
                # in 32 bits both may wrap around, and the difference is right again
                return np.subtract(values, np.int64(low + 1), dtype=np.int32, casting="unsafe")
            # values outside are clipped to the ends of the table, whose codes are -1
            return table.take(np.subtract(values, low, dtype=np.int64), mode="clip")
        if self.levels.dtype.kind in "iu" and pa.types.is_integer(column.type):
            return _places_of_integers(column, self.levels)
        known = pa.array(self.levels.tolist()).cast(column.type)
        found: np.ndarray = (
            pc.index_in(column, value_set=known).fill_null(-1).to_numpy(zero_copy_only=False)
        )
        return found.astype(np.int32, copy=False)


def _places_of_integers(column: Any, levels: np.ndarray) -> np.ndarray:
    """Return the codes of whole numbers; the type of the levels may hold larger ones."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ends = np.iinfo(column.type.to_pandas_dtype())
    fits = np.flatnonzero((levels >= ends.min) & (levels <= ends.max)).astype(np.int32)
    known = pa.array(levels[fits]).cast(column.type)
    found = pc.index_in(column, value_set=known).fill_null(len(fits)).to_numpy()
    return np.append(fits, np.int32(-1)).take(found)


class CodedTable(Table):
    """A batch of complete rows, with codes for the levels of all data.

    Parameters
    ----------
    table : pyarrow.Table
    categories, groups : dict of str to Labels
        Of the variables that the formulas use as categories, and of the grouping factors.
    where : str
        Name of the batch in messages.
    """

    def __init__(
        self, table: Any, categories: Mapping[str, Labels], groups: Mapping[str, Labels], where: str
    ) -> None:
        numbers = as_table(table)
        super().__init__(table.column_names, table.num_rows, numbers.column)
        self._table, self._where = table, where
        self._categories, self._groups = categories, groups
        self._coded: dict[int, Categorical] = {}

    def column(self, name: str) -> ColumnData:
        return (
            self.coded(name)
            if name in self._categories and not self._is_number(name)
            else super().column(name)
        )

    def coded(self, name: str) -> Categorical:
        """Return a variable as categories, also numbers in ``C()``."""
        return self._code(self._categories[name])

    def grouping(self, name: str) -> Categorical:
        return self._code(self._groups[name])

    def _is_number(self, name: str) -> bool:
        return kind_of(self._table.schema.field(name).type) in ("number", "boolean")

    def _code(self, labels: Labels) -> Categorical:
        if id(labels) not in self._coded:
            codes = labels.codes(self._table.column(labels.name), self._where)
            self._coded[id(labels)] = Categorical(codes, labels.levels)
        return self._coded[id(labels)]


def appended(tables: Sequence[Any]) -> Any:
    """Concatenate Arrow tables, each column in a type that holds all its parts."""
    import pyarrow as pa

    return pa.concat_tables(tables, promote_options="permissive")


def one_column(name: str, values: Any) -> Any:
    """Return an Arrow table of one column."""
    import pyarrow as pa

    return pa.table({name: pa.array(np.asarray(values).tolist())})


def is_listed(dtype: Any) -> bool:
    """Return whether an Arrow type lists the categories of its columns."""
    import pyarrow as pa

    return bool(pa.types.is_dictionary(dtype))


def listed_categories(column: Any) -> tuple[Any, ...]:
    """Return the categories that a column lists, in order; else its distinct values, sorted."""
    import pyarrow.compute as pc

    if not is_listed(column.type):
        return tuple(sorted(pc.unique(column.drop_null()).to_pylist()))
    lists = [chunk.dictionary.to_pylist() for chunk in column.chunks]
    return tuple(dict.fromkeys(value for values in lists for value in values))


def check_text(table: Any, where: str) -> None:
    """Raise DataError for labels that are not UTF-8, which Arrow does not check when it reads."""
    import pyarrow as pa

    for name in table.column_names:
        try:
            table.column(name).validate(full=True)
        except pa.ArrowInvalid as error:
            raise DataError(f"{where}: column {name!r} is damaged: {error}") from error


def to_bytes(table: Any) -> np.ndarray:
    """Write an Arrow table as bytes (uint8) in the stream format of Arrow."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return np.frombuffer(sink.getvalue(), np.uint8)


def from_bytes(content: np.ndarray) -> Any:
    """Read a table that `to_bytes` wrote.

    Raises
    ------
    DataError
        When the bytes are not a table.
    """
    import pyarrow as pa

    try:
        with pa.ipc.open_stream(pa.py_buffer(content.tobytes())) as reader:
            table = reader.read_all()
        table.validate(full=True)  # Arrow does not check offsets and indices when it reads
    except (pa.ArrowException, OSError) as error:
        raise unreadable("an Arrow table in the file", error) from error
    return table
