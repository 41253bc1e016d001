"""Rows that are read batch by batch, once or several times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from types import MappingProxyType
from typing import Any, TypeVar

from mixedfast._progress import Show
from mixedfast.crossprod.streaming.map_reduce import reduce_units
from mixedfast.crossprod.streaming.plan import Plan, coded_design
from mixedfast.crossprod.streaming.requirements import requirements_of
from mixedfast.data.arrow import as_declared, complete_rows, retyped
from mixedfast.data.sources import as_source
from mixedfast.data.work_units import Source, Unit
from mixedfast.design.types import Design, Recipe

__all__ = ["Stream"]

T = TypeVar("T")


_NO_TYPES: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Stream:
    """A source of batches and the plan that codes their rows.

    Parameters
    ----------
    source : Source
    plan : Plan
    """

    source: Source
    plan: Plan

    @classmethod
    def of_recipe(cls, recipe: Recipe, data: Any) -> Stream:
        """Make a stream of rows that are coded by the recipe of an earlier fit."""
        return cls(as_source(data), Plan(recipe, "omit", None))

    def coded_by(self, recipe: Recipe) -> Stream:
        """Return the same rows coded by another recipe of the same model."""
        return Stream(self.source, replace(self.plan, recipe=recipe, scaling=None))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the model uses."""
        recipe = self.plan.recipe
        return requirements_of(recipe.spec, recipe.weights_column, recipe.offset_column).columns

    def designs(self) -> Iterator[Design]:
        """Yield the designs of all batches in order."""
        return (design for design, _ in self.designs_and_rows())

    def designs_and_rows(
        self, extra: Sequence[str] = (), types: Mapping[str, Any] = _NO_TYPES
    ) -> Iterator[tuple[Design, Callable[[], Any]]]:
        """Yield the design of each batch in order, and a function that returns its complete rows.

        Parameters
        ----------
        extra : sequence of str
            Columns to read besides those of the model.
        types : dict of str to pyarrow.DataType
            Types of columns that the rows have instead of those in the first part.
        """
        columns = tuple(dict.fromkeys([*self.columns, *extra]))
        for unit in self.source.units(columns):
            for table in unit.read():
                yield self._coded(table, unit.name, types)

    def total(
        self,
        work: Callable[[Design], T],
        label: str,
        threads: int | None = None,
        progress: Show = "auto",
    ) -> T:
        """Add up the results of some work on the designs of all batches, in threads.

        Parameters
        ----------
        work : callable
        label, progress
            For the progress bar.
        threads : int, optional
            Default: the cores this process may use.
        """

        def on_unit(unit: Unit) -> T:
            return reduce(add, (work(self._coded(table, unit.name)[0]) for table in unit.read()))

        return reduce_units(self.source, self.columns, on_unit, add, label, threads, progress)

    def _coded(
        self, table: Any, where: str, types: Mapping[str, Any] = _NO_TYPES
    ) -> tuple[Design, Callable[[], Any]]:
        """Code an Arrow table; the function gives its complete rows in the types of the source."""
        rows, missing = complete_rows(table, self.columns, where)
        coded = self.plan.coded_table(rows, where)
        design = coded_design(self.plan, coded, table.num_rows - rows.num_rows, missing)
        return design, lambda: as_declared(rows, retyped(self.source.schema, types), where)
