"""First pass over a stream: levels, groups, missing values, and statistics for transforms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfast._stored import stored
from mixedfast.crossprod.streaming.column_statistics import ColumnStatistics, state_of
from mixedfast.crossprod.streaming.plan import GlobalFacts
from mixedfast.crossprod.streaming.requirements import Requirements
from mixedfast.data.arrow import (
    appended,
    check_text,
    complete_rows,
    distinct,
    from_bytes,
    is_listed,
    kind_of,
    listed_categories,
    one_column,
    plain_table,
    sample,
    to_bytes,
    with_dictionary,
)
from mixedfast.data.categories import Categorical, factorize
from mixedfast.data.frames import Numeric, as_table
from mixedfast.data.work_units import Source, Unit
from mixedfast.design.coding import evaluate_expression
from mixedfast.design.model_frame import Variables
from mixedfast.errors import DataError
from mixedfast.formula.variables import expression_names

__all__ = [
    "FirstPass",
    "columns_of_keys",
    "global_facts",
    "keys_to_find",
    "listed_columns",
    "scanner",
    "spread_sample",
]

#: Rows in the sample of each unit, and of all units; shifts and scales are chosen from it.
_SAMPLE_UNIT, _SAMPLE_ALL = 1024, 8192
#: Rows read of a unit to sample it.
_SAMPLE_READ = 1 << 15


def _check_first_pass(fields: Any) -> Iterator[str]:
    if not all(array.dtype == np.uint8 and array.ndim == 1 for array in fields.distinct.values()):
        yield "distinct of a Seen is not an array of bytes"


@stored(
    "Seen",
    arrays={"rows": "bytes b"},
    fields=(
        {
            "n": "int",
            "n_rows": "int",
            "missing": "Mapping[str, int]",
            "dictionaries": "Mapping[str, tuple[Any, ...]]",
            "distinct": "Mapping[tuple[str, ...], np.ndarray]",
            "statistics": "Mapping[str, ColumnStatistics]",
            "rows": "np.ndarray",
        },
    ),
    renamed={"statistics": "moments"},
    relations=_check_first_pass,
)
@dataclass(frozen=True, eq=False)
class FirstPass:
    """Facts about some units, to which those about others add.

    Parameters
    ----------
    n, n_rows : int
        Number of complete rows, and of all rows.
    missing : dict of str to int
    distinct : dict of tuple of str to pyarrow.Table
        The combinations of values of some columns that occur in complete rows.
    dictionaries : dict of str to tuple
        The categories, in order, of columns whose type lists them.
    statistics : dict of str to ColumnStatistics
        Of the expressions whose statistics transforms need.
    rows : pyarrow.Table
        A sample of the complete rows.
    """

    n: int
    n_rows: int
    missing: Mapping[str, int]
    distinct: Mapping[tuple[str, ...], Any]
    dictionaries: Mapping[str, tuple[Any, ...]]
    statistics: Mapping[str, ColumnStatistics]
    rows: Any

    def __add__(self, other: FirstPass) -> FirstPass:
        names = dict.fromkeys([*self.missing, *other.missing])
        dictionaries = {
            name: tuple(dict.fromkeys([*values, *other.dictionaries.get(name, ())]))
            for name, values in self.dictionaries.items()
        }
        rows = appended([self.rows, other.rows])
        return FirstPass(
            self.n + other.n,
            self.n_rows + other.n_rows,
            {name: self.missing.get(name, 0) + other.missing.get(name, 0) for name in names},
            {
                key: distinct(appended([own, other.distinct[key]]), key)
                for key, own in self.distinct.items()
            },
            dictionaries,
            {text: own + other.statistics[text] for text, own in self.statistics.items()},
            rows if rows.num_rows <= 2 * _SAMPLE_ALL else sample(rows, _SAMPLE_ALL),
        )

    def __store__(self) -> dict[str, Any]:
        return {
            "n": self.n,
            "n_rows": self.n_rows,
            "missing": self.missing,
            "dictionaries": self.dictionaries,
            "distinct": {key: to_bytes(table) for key, table in self.distinct.items()},
            "statistics": self.statistics,
            "rows": to_bytes(self.rows),
        }

    @classmethod
    def __restore__(cls, fields: dict[str, Any]) -> FirstPass:
        tables = {key: from_bytes(array) for key, array in fields["distinct"].items()}
        return cls(**{**fields, "distinct": tables, "rows": from_bytes(fields["rows"])})


def keys_to_find(
    needs: Requirements, schema: Any, given: Mapping[str, Sequence[Any]]
) -> tuple[tuple[str, ...], ...]:
    """List the columns and combinations of columns whose values must be found: no levels are given.

    Raises
    ------
    DataError
        When a column is of a type that a model cannot use.
    """
    for name in needs.columns:
        kind = kind_of(schema.field(name).type)
        if kind not in ("number", "boolean", "text", "null") and not kind.startswith("category"):
            raise DataError(
                f"column {name!r} holds {kind}, which a model cannot use: convert it to "
                "numbers or strings"
            )
    single = [(name,) for name in needs.variables if is_category(needs, schema, name)]
    return tuple(
        key
        for key in dict.fromkeys([*single, *needs.groups])
        if len(key) > 1 or key[0] not in given
    )


def is_category(needs: Requirements, schema: Any, name: str) -> bool:
    """Return whether a variable of the formulas is used as categories."""
    return needs.is_category(name, kind_of(schema.field(name).type))


def columns_of_keys(needs: Requirements, keys: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """List the columns that the first pass must read when no value is missing."""
    of_transforms = {name for call in needs.transforms for name in expression_names(call.inside)}
    of_keys = {name for key in keys for name in key}
    return tuple(name for name in needs.columns if name in of_keys or name in of_transforms)


def scanner(
    needs: Requirements,
    columns: Sequence[str],
    keys: Sequence[tuple[str, ...]],
    given: Mapping[str, Any],
    listed: frozenset[str],
) -> Callable[[Unit], FirstPass]:
    """Make a function that scans some columns of one unit.

    Parameters
    ----------
    needs : Requirements
    columns : sequence of str
        A row is complete when it has values in all of these.
    keys : sequence of tuple of str
        The combinations whose distinct values are to be found.
    given : dict of str to Labels
        Levels that the caller gave.
    listed : frozenset of str
        The columns whose type lists their categories in order.
    """

    def at(unit: Unit) -> FirstPass:
        parts = [_look_at(table.select(list(columns)), unit.name) for table in unit.read()]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def _look_at(table: Any, where: str) -> FirstPass:
        rows, missing = complete_rows(table, columns, where)
        for name, labels in given.items():
            if name in columns:
                labels.codes(rows.column(name), where)
        found = {key: distinct(rows, key) for key in keys}
        for values in found.values():
            check_text(values, where)
        return FirstPass(
            rows.num_rows,
            table.num_rows,
            missing,
            found,
            {name: listed_categories(table.column(name)) for name in columns if name in listed},
            {call.inside: _statistics(call.inside, rows) for call in needs.transforms},
            plain_table(sample(rows, _SAMPLE_UNIT)),
        )

    return at


def spread_sample(source: Source, needs: Requirements, given: Mapping[str, Any]) -> Any:
    """Sample complete rows of units spread over the source; refuse levels that are not given."""
    units = list(source.units(needs.columns))
    parts = []
    for i in np.unique(np.linspace(0, len(units) - 1, _SAMPLE_ALL // _SAMPLE_UNIT).astype(int)):
        first = next(units[i].read(_SAMPLE_READ), None)
        if first is None:
            raise DataError(f"{units[i].name} has no rows where it says it has {units[i].rows}")
        rows, _ = complete_rows(first, needs.columns, units[i].name)
        for name, labels in given.items():
            if name in needs.columns:
                labels.codes(rows.column(name), units[i].name)
        parts.append(plain_table(sample(rows, _SAMPLE_UNIT)))
    return appended(parts)


def listed_columns(schema: Any) -> frozenset[str]:
    """Return the columns whose type lists their categories."""
    return frozenset(field.name for field in schema if is_listed(field.type))


def _statistics(expr: str, rows: Any) -> ColumnStatistics:
    table = as_table(rows)
    columns = {name: table.column(name) for name in expression_names(expr)}
    return ColumnStatistics.of(evaluate_expression(expr, Variables(table.n, columns, {})))


def global_facts(
    needs: Requirements, first: FirstPass, schema: Any, given: Mapping[str, Sequence[Any]]
) -> GlobalFacts:
    """Collect the facts from which a recipe is made.

    Levels are read from a table with one row each by the code that reads tables in memory. Levels
    that the caller gave replace those found.
    """
    tables = {
        key: _with_dictionaries(
            first.distinct[key] if key in first.distinct else one_column(key[0], given[key[0]]),
            first,
            given,
        )
        for key in dict.fromkeys(
            [*((n,) for n in needs.variables if is_category(needs, schema, n)), *needs.groups]
        )
    }
    sampled = as_table(first.rows)
    columns = {name: sampled.column(name) for name in needs.variables if not is_text(schema, name)}
    numbers = {
        name: column.values for name, column in columns.items() if isinstance(column, Numeric)
    }
    categories = {
        name: _categories(tables[name,], name)
        for name in needs.variables
        if is_category(needs, schema, name)
    }
    return GlobalFacts(
        n=first.n,
        n_dropped=first.n_rows - first.n,
        missing=needs.missing_by_role(first.missing),
        numbers={name: values.dtype.name for name, values in numbers.items()},
        categories=categories,
        groups={
            key: {name: as_table(tables[key]).grouping(name) for name in key}
            for key in needs.groups
        },
        typical={name: float(values.mean()) for name, values in numbers.items() if len(values)},
        state={
            call.text: state_of(call, first.statistics[call.inside]) for call in needs.transforms
        },
    )


def is_text(schema: Any, name: str) -> bool:
    """Return whether a column holds text or categories."""
    return kind_of(schema.field(name).type) not in ("number", "boolean", "null")


def _with_dictionaries(table: Any, first: FirstPass, given: Mapping[str, Sequence[Any]]) -> Any:
    """Order the categories of text as given or listed; plain text is sorted later."""
    for name in table.column_names:
        values = list(given[name]) if name in given else first.dictionaries.get(name)
        if values is not None and (name in first.dictionaries or isinstance(values[0], str)):
            table = with_dictionary(table, name, values)
    return table


def _categories(table: Any, name: str) -> Categorical:
    column = as_table(table).column(name)
    return column if isinstance(column, Categorical) else factorize(column.values)
