"""Batches that a program hands over: from a list, an iterator, or a function that makes one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixedfast.cached import cached_property
from mixedfast.errors import DataError
from mixedfast.stream.units import BATCH_ROWS, Unit, check_schema

__all__ = ["Batches"]


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
            raise DataError("the data have no batches; an iterator can be read once only")
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
    import pandas as pd
    import pyarrow as pa

    if isinstance(item, pa.RecordBatch):
        return pa.Table.from_batches([item])
    if isinstance(item, pa.Table):
        return item
    # before 2.2 pandas does not say that its tables become Arrow's
    if isinstance(item, pd.DataFrame) or hasattr(item, "__arrow_c_stream__") or hasattr(item, "__arrow_c_array__"):
        return pa.table(item)
    if isinstance(item, Mapping) and all(hasattr(column, "__len__") for column in item.values()):
        return pa.table(dict(item))
    if isinstance(item, Mapping):
        raise DataError(f"batch {number} is a dict of single values, a row: make a data frame of the rows first")
    raise DataError(
        f"batch {number} is a {type(item).__name__}: data must be a data frame, or several of them (Arrow record batches, "
        "tables) to be read one after the other"
    )
