"""Units of work: rows whose sums are added together or, after an error, not at all.

The name of a unit tells the user which file or batch it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mixedfast.data.arrow import kind_of
from mixedfast.data.file_errors import two_columns
from mixedfast.errors import DataError

__all__ = ["BATCH_ROWS", "UNIT_ROWS", "Source", "Unit", "check_schema", "joined", "together"]

#: Rows that a unit should have: with fewer, adding the sums of all levels costs more than reading
#: the rows. Smaller files and batches are put together.
UNIT_ROWS = 1 << 18
#: Rows decoded at a time, independent of the size of row groups.
BATCH_ROWS = 1 << 20


@dataclass(frozen=True)
class Unit:
    """Rows that are read on demand.

    Parameters
    ----------
    name : str
        For messages.
    mark : str
        Identifies the unit in a checkpoint.
    rows : int
    read : callable
        ``read()`` yields Arrow tables, ``read(rows)`` tables of at most about so many rows.
    """

    name: str
    mark: str
    rows: int
    read: Callable[..., Iterator[Any]]


class Source(Protocol):
    """Data that are read in units."""

    @property
    def rows(self) -> int | None:
        """Number of rows, where it is known without reading them."""

    @property
    def once(self) -> bool:
        """Whether the rows can be read only once."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are read, where they are known."""

    @property
    def schema(self) -> Any:
        """Names and types of the columns in the first part."""

    def units(self, columns: Sequence[str]) -> Iterator[Unit]:
        """Yield all rows once, with the columns named."""

    def promises_values(self, columns: Sequence[str]) -> bool:
        """Return whether these columns are known to hold no NULL, and single columns can be read.

        They may hold NaN.
        """


def check_schema(found: Any, wanted: Any, columns: Sequence[str], where: str, first: str) -> None:
    """Raise DataError unless a part has all columns, of the same kinds as in the first part."""
    for name in columns:
        if name not in found.names:
            raise DataError(
                f"{where} has no column {name!r} (it has {', '.join(found.names[:12])})"
            )
        if found.names.count(name) > 1:
            raise two_columns(where, name)
        if found.field(name).type == wanted.field(name).type:
            continue
        here, there = kind_of(found.field(name).type), kind_of(wanted.field(name).type)
        if there == "null" and here not in ("number", "boolean"):
            raise DataError(
                f"{where}: column {name!r} holds {here} here and only missing values in {first}: "
                "give it the same type there"
            )
        if here != there and "null" not in (here, there):
            raise DataError(
                f"{where}: column {name!r} holds {here} here ({found.field(name).type}) "
                f"and {there} in {first}"
            )


def together(units: Iterable[Unit]) -> Iterator[list[Unit]]:
    """Yield lists of units with at least `UNIT_ROWS` rows together."""
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
    """Join small units to one, whose sums are computed together.

    Consecutive tables of the same types become one table of at most `BATCH_ROWS` rows, unless one
    of them is longer.
    """
    if len(units) == 1:
        return units[0]

    def read(rows: int = BATCH_ROWS) -> Iterator[Any]:
        return _longer(table for unit in units for table in unit.read(rows))

    return Unit(f"{units[0].name} to {units[-1].name}", "", sum(unit.rows for unit in units), read)


def _longer(tables: Iterable[Any]) -> Iterator[Any]:
    """Concatenate consecutive tables of the same types."""
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
