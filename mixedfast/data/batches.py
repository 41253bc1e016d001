"""Batches from a list, an iterator, a function that makes one, or an Arrow dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from mixedfast._memo import cached_property
from mixedfast.data.file_errors import unreadable
from mixedfast.data.work_units import BATCH_ROWS, Unit, check_schema
from mixedfast.errors import DataError

__all__ = ["Batches", "Dataset"]


class Batches:
    """Batches of Arrow data, or of anything that exports Arrow.

    They come from a list, an iterable, or a function that makes one. An iterator can be read once:
    reading its units again raises DataError.
    """

    paths: tuple[Path, ...] = ()

    def __init__(self, data: Any) -> None:
        self._data = data
        self._once: Iterator[Any] | None = data if isinstance(data, Iterator) else None
        # tables taken from an iterator to look at; they are yielded first
        self._ahead: list[Any] = []
        self._spent = False

    @property
    def rows(self) -> int | None:
        return None

    def promises_values(self, columns: Sequence[str]) -> bool:
        return False

    @property
    def once(self) -> bool:
        """Whether the batches can be read only once."""
        return self._once is not None

    def _iterate(self) -> Iterator[Any]:
        if self._once is not None:
            if self._spent:
                raise DataError(
                    "this iterator of batches has been read already: give a list, or a function "
                    "that makes an iterator"
                )
            self._spent = True
            return self._once
        return iter(self._data() if callable(self._data) else self._data)

    @cached_property
    def _leading(self) -> list[Any]:
        """Batches up to the first with rows: one without may not know the types of its columns."""
        found = []
        for table in self._tables() if self._once is None else self._looked_at():
            found.append(table)
            if table.num_rows:
                break
        if not found:
            raise DataError("the data have no batches; an iterator can be read only once")
        return found

    @property
    def schema(self) -> Any:
        """Schema of the first batch with rows."""
        return self._leading[-1].schema

    def units(self, columns: Sequence[str]) -> Iterator[Unit]:
        schema = self.schema
        return self._units(self._tables(), schema, columns)

    def units_ahead(self, columns: Sequence[str]) -> Iterator[Unit]:
        """Yield units as `units` does, and keep what is taken from an iterator."""
        schema = self.schema
        return self._units(self._looked_at(), schema, columns)

    def _units(self, tables: Iterator[Any], schema: Any, columns: Sequence[str]) -> Iterator[Unit]:
        for number, table in enumerate(tables):
            name = f"batch {number}"
            check_schema(table.schema, schema, columns, name, f"batch {len(self._leading) - 1}")
            yield Unit(
                name,
                f"{number}:{table.num_rows}",
                table.num_rows,
                _Held(table.select(list(columns))),
            )

    def _tables(self) -> Iterator[Any]:
        start = len(self._ahead)
        while self._ahead:
            yield self._ahead.pop(0)
        for number, item in enumerate(self._iterate(), start):
            yield _table(item, number)

    def _looked_at(self) -> Iterator[Any]:
        """Yield all tables, and keep those taken from an iterator."""
        if self._once is None:
            yield from self._leading
            yield from islice(self._tables(), len(self._leading), None)
            return
        yield from list(self._ahead)
        for number, item in enumerate(self._once, len(self._ahead)):
            self._ahead.append(_table(item, number))
            yield self._ahead[-1]


class Dataset:
    """An Arrow dataset, filtered or not. Arrow reads ahead, and only the columns needed."""

    once = False
    rows: int | None = None

    def __init__(self, data: Any) -> None:
        self._data = data

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of the dataset, none for a dataset that is not made of files."""
        return tuple(Path(path) for path in getattr(self._data, "files", ()))

    @property
    def schema(self) -> Any:
        return self._data.schema

    def promises_values(self, columns: Sequence[str]) -> bool:
        return False

    def units(self, columns: Sequence[str]) -> Iterator[Unit]:
        import pyarrow as pa

        check_schema(self.schema, self.schema, columns, "the dataset", "")
        try:
            for number, batch in enumerate(self._data.to_batches(columns=list(columns))):
                held = _Held(pa.Table.from_batches([batch]))
                yield Unit(f"batch {number}", f"{number}:{batch.num_rows}", batch.num_rows, held)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self._at_fault(columns), error) from error

    def _at_fault(self, columns: Sequence[str]) -> str:
        """Name the file and column that cannot be read; the dataset if its files are unknown."""
        import pyarrow as pa

        try:
            parts = list(self._data.get_fragments())
        except ValueError:  # filtered
            return "the dataset"
        for part in parts:
            for name in columns:
                try:
                    for _ in part.to_batches(columns=[name], schema=self.schema):
                        pass
                except (pa.ArrowException, OSError):
                    return f"{getattr(part, 'path', 'the dataset')}, column {name!r},"
        return "the dataset"


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
    # before 2.2 tables of pandas do not have Arrow's export
    if (
        isinstance(item, pd.DataFrame)
        or hasattr(item, "__arrow_c_stream__")
        or hasattr(item, "__arrow_c_array__")
    ):
        return pa.table(item)
    if isinstance(item, Mapping) and all(hasattr(column, "__len__") for column in item.values()):
        return pa.table(dict(item))
    if isinstance(item, Mapping):
        raise DataError(
            f"batch {number} is a dict of single values, one row: make a data frame of the rows "
            "first"
        )
    raise DataError(
        f"batch {number} is a {type(item).__name__}: data must be a data frame, or several of them "
        "(Arrow record batches, tables) to be read one after the other"
    )
