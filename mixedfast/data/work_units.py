"""A unit of work: rows that are read whole or not at all, so that an error in them leaves nothing half-added.

Its name tells a user which file or batch it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mixedfast.data.arrow import kind_of
from mixedfast.errors import DataError

__all__ = ["BATCH_ROWS", "UNIT_ROWS", "Source", "Unit", "check_schema", "joined", "together"]

#: Rows a unit should have at least: below, sums over all levels cost more than the rows. Small files and batches go together.
UNIT_ROWS = 1 << 18
#: Rows decoded at a time, whatever the size of a row group.
BATCH_ROWS = 1 << 20


@dataclass(frozen=True)
class Unit:
    """Some rows, read when asked for: ``read()`` yields Arrow tables, ``read(rows)`` short ones where that saves work.

    ``mark`` tells the same unit again on another day.
    """

    name: str
    mark: str
    rows: int
    read: Callable[..., Iterator[Any]]


class Source(Protocol):
    """What a stream is read from."""

    @property
    def rows(self) -> int | None:
        """How many rows there are, where that is known without reading them."""

    @property
    def once(self) -> bool:
        """Whether the rows come by only once."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are read, where they are known."""

    @property
    def schema(self) -> Any:
        """Names and types of the columns, of the first part."""

    def units(self, columns: Sequence[str]) -> Iterator[Unit]:
        """All rows once, only the columns named."""

    def promises_values(self, columns: Sequence[str]) -> bool:
        """Whether it is known without reading that these columns hold no NULL (NaN they may), and reading fewer takes less."""


def check_schema(found: Any, wanted: Any, columns: Sequence[str], where: str, first: str) -> None:
    """Raise DataError unless a part has the columns wanted, of the kinds they have in the first part."""
    for name in columns:
        if name not in found.names:
            raise DataError(
                f"{where} has no column {name!r} (it has {', '.join(found.names[:12])})"
            )
        if found.names.count(name) > 1:
            raise DataError(f"{where} has two columns {name!r}: rename or leave out one")
        if found.field(name).type == wanted.field(name).type:
            continue
        here, there = kind_of(found.field(name).type), kind_of(wanted.field(name).type)
        if there == "null" and here not in ("number", "boolean"):
            raise DataError(
                f"{where}: column {name!r} holds {here} here, and no value in {first}: give it this type there too"
            )
        if here != there and "null" not in (here, there):
            raise DataError(
                f"{where}: column {name!r} holds {here} here ({found.field(name).type}) and {there} in {first}"
            )


def together(units: Iterable[Unit]) -> Iterator[list[Unit]]:
    """Units in lists of at least `UNIT_ROWS` rows."""
    group: list[Unit] = []
    rows = 0
    for unit in units:
        group.append(unit)
        rows += unit.rows
        if rows >= UNIT_ROWS:
            yield group
            group, rows = [], 0
    if group:
        yield group


def joined(units: Sequence[Unit]) -> Unit:
    """Short units as one, so that sums over all levels are made once and not for a few rows at a time.

    Tables of one type that follow each other become one table, of at most `BATCH_ROWS` rows unless one of them is longer.
    """
    if len(units) == 1:
        return units[0]

    def read(rows: int = BATCH_ROWS) -> Iterator[Any]:
        return _longer(table for unit in units for table in unit.read(rows))

    return Unit(f"{units[0].name} to {units[-1].name}", "", sum(unit.rows for unit in units), read)


def _longer(tables: Iterable[Any]) -> Iterator[Any]:
    """Tables put together where their types allow."""
    import pyarrow as pa

    held: list[Any] = []
    rows = 0
    for table in tables:
        if held and (table.schema != held[0].schema or rows + table.num_rows > BATCH_ROWS):
            yield pa.concat_tables(held).combine_chunks()
            held, rows = [], 0
        held.append(table)
        rows += table.num_rows
    if held:
        yield pa.concat_tables(held).combine_chunks()
