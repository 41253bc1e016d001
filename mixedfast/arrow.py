"""Arrow tables a batch at a time: complete rows, distinct values, and codes under levels that are already known.

Beside `mixedfast.frames` the only room that computes with Arrow. Both passes over a stream leave out the same rows because both
ask `complete_rows`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mixedfast.errors import DataError, MissingLibraryError
from mixedfast.frames import Categorical, ColumnData, Table, as_table

__all__ = ["CodedTable", "Labels", "complete_rows", "distinct", "kind_of", "need_pyarrow", "sample", "with_dictionary"]

#: A table of codes for every whole number between the smallest and the largest level is made up to this length.
_LOOKUP = 1 << 24


def need_pyarrow(what: str) -> Any:
    """pyarrow, or a MissingLibraryError that says how to get it."""
    try:
        import pyarrow
    except ImportError as error:
        raise MissingLibraryError(f"{what} needs pyarrow: pip install 'mixedfast[stream]'") from error
    return pyarrow


def kind_of(dtype: Any) -> str:
    """What a column holds as far as a model cares: "number", "boolean", "text", or Arrow's own name of another type."""
    import pyarrow.types as t

    if t.is_dictionary(dtype):
        return kind_of(dtype.value_type) if kind_of(dtype.value_type) == "text" else f"category of {dtype.value_type}"
    if t.is_integer(dtype) or t.is_floating(dtype):
        return "number"
    if t.is_boolean(dtype):
        return "boolean"
    return "text" if t.is_string(dtype) or t.is_large_string(dtype) or _is_view(dtype) else str(dtype)


def _is_view(dtype: Any) -> bool:
    return str(dtype) == "string_view"


def complete_rows(table: Any, names: Iterable[str], where: str) -> tuple[Any, dict[str, int]]:
    """The rows of an Arrow table with a value in every column named, and how many values each column misses.

    Raises
    ------
    DataError
        For an infinity, naming the column and `where` it stands.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    keep, missing = None, {}
    for name in names:
        column = table.column(name)
        absent = None
        if pa.types.is_floating(column.type):
            finite = pc.all(pc.is_finite(column), skip_nulls=True, min_count=0).as_py()
            if not finite:
                infinite = pc.sum(pc.is_inf(column)).as_py() or 0
                if infinite:
                    raise DataError(f"{where}: column {name!r} holds {infinite} infinite values: remove or replace them")
                absent = pc.is_null(column, nan_is_null=True)
        if absent is None and column.null_count:
            absent = pc.is_null(column)
        if absent is not None:
            missing[name] = int(pc.sum(absent).as_py())
            present = pc.invert(absent)
            keep = present if keep is None else pc.and_(keep, present)
    return (table if keep is None else table.filter(keep)), missing


def sample(table: Any, size: int) -> Any:
    """At most `size` rows, evenly spread; a copy, so that the table itself can go."""
    return table.take(np.linspace(0, table.num_rows - 1, min(size, table.num_rows)).astype(np.int64))


def plain(column: Any) -> Any:
    """A column without its dictionary."""
    import pyarrow as pa

    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def distinct(table: Any, names: Sequence[str]) -> Any:
    """The combinations of values of some columns that occur, as an Arrow table in no particular order."""
    import pyarrow as pa

    keys = pa.table({name: plain(table.column(name)) for name in names})
    if len(names) == 1:
        return pa.table({names[0]: _unique(keys.column(0))})
    return keys.group_by(list(names), use_threads=False).aggregate([])


def _unique(column: Any) -> Any:
    """The distinct values of a column; whole numbers close together are ticked off in a list, others hashed."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_integer(column.type) and len(column) and not column.null_count:
        ends = pc.min_max(column).as_py()
        size = ends["max"] - ends["min"] + 1
        if size <= 4 * len(column) + 65536:
            seen = np.zeros(size, dtype=bool)
            for chunk in column.chunks:
                seen[chunk.to_numpy().astype(np.int64, copy=False) - ends["min"]] = True
            return pa.array(np.flatnonzero(seen) + ends["min"]).cast(column.type)
    return pc.unique(column)


def with_dictionary(table: Any, name: str, values: Sequence[Any]) -> Any:
    """The table with a column of text as categories in the order of `values`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    dictionary = pa.array(values)
    column = table.column(name).combine_chunks().cast(dictionary.type)
    coded = pa.DictionaryArray.from_arrays(pc.index_in(column, value_set=dictionary), dictionary)
    return table.set_column(table.column_names.index(name), name, coded)


@dataclass(frozen=True, eq=False)
class Labels:
    """The levels of one column (J,), and the code of any value under them."""

    name: str
    levels: np.ndarray

    @cached_property
    def _lookup(self) -> tuple[int, np.ndarray] | None:
        """For whole numbers close together: the smallest, and the code of each number from there on."""
        if self.levels.dtype.kind not in "iu" or not len(self.levels):
            return None
        low, high = int(self.levels.min()), int(self.levels.max())
        if high - low >= _LOOKUP:
            return None
        table = np.full(high - low + 3, -1, dtype=np.int32)  # numbers outside are clipped to the ends, which stay -1
        table[self.levels - low + 1] = np.arange(len(self.levels), dtype=np.int32)
        return low - 1, table

    def codes(self, column: Any, where: str) -> np.ndarray:
        """The code of each value, shape (n,) int32. The column misses no value.

        Raises
        ------
        DataError
            For a value that is none of the levels, naming it and `where` it stands.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        column = plain(column)
        if self._lookup is not None and pa.types.is_integer(column.type):
            low, table = self._lookup
            values = column.to_numpy()
            codes = table[np.clip(values, low, low + len(table) - 1).astype(np.int64) - low]
        else:
            known = pa.array(self.levels.tolist()).cast(column.type)
            codes = pc.index_in(column, value_set=known).fill_null(-1).to_numpy().astype(np.int32, copy=False)
        if len(codes) and codes.min() < 0:
            unknown = pc.unique(column.filter(pa.array(codes < 0))).to_pylist()
            raise DataError(
                f"{where}: column {self.name!r} has levels that are not among the {len(self.levels)} known ones: "
                f"{', '.join(map(str, unknown[:8]))}"
            )
        return codes


class CodedTable(Table):
    """A batch of complete rows whose categories carry the codes of the whole.

    Parameters
    ----------
    table : pyarrow.Table
    categories, groups : dict of str to Labels
        Of the variables the formulas use as categories, and of the grouping factors.
    where : str
        What to call the batch in a message.
    """

    def __init__(self, table: Any, categories: Mapping[str, Labels], groups: Mapping[str, Labels], where: str) -> None:
        numbers = as_table(table)
        super().__init__(table.column_names, table.num_rows, numbers.column)
        self._table, self._where = table, where
        self._categories, self._groups = categories, groups
        self._coded: dict[int, Categorical] = {}

    def column(self, name: str) -> ColumnData:
        return self.coded(name) if name in self._categories and not self._is_number(name) else super().column(name)

    def coded(self, name: str) -> Categorical:
        """A variable as categories, numbers under ``C()`` too."""
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


def to_bytes(table: Any) -> np.ndarray:
    """An Arrow table as bytes (uint8), in Arrow's own stream format."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return np.frombuffer(sink.getvalue(), np.uint8)


def from_bytes(content: np.ndarray) -> Any:
    """The table that `to_bytes` wrote."""
    import pyarrow as pa

    with pa.ipc.open_stream(pa.py_buffer(content.tobytes())) as reader:
        return reader.read_all()
