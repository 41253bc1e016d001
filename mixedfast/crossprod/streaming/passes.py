"""Two passes over a stream: one to know the levels, one to sum. Memory is bounded by groups, not by rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any, TypeVar

from mixedfast._progress import Show
from mixedfast._validation import check_threads
from mixedfast._warnings import warn
from mixedfast.crossprod.assemble import PartialSums
from mixedfast.crossprod.collinearity import orthogonalized
from mixedfast.crossprod.streaming.checkpoint import CheckpointFile, digest
from mixedfast.crossprod.streaming.first_pass import (
    FirstPass,
    columns_of_keys,
    global_facts,
    keys_to_find,
    listed_columns,
    look,
    spread_sample,
)
from mixedfast.crossprod.streaming.map_reduce import reduce_units
from mixedfast.crossprod.streaming.merge import add_in_place
from mixedfast.crossprod.streaming.plan import Plan, coded_design, make_plan, sum_batch
from mixedfast.crossprod.streaming.requirements import (
    Requirements,
    check_columns,
    given_levels,
    requirements_of,
)
from mixedfast.crossprod.types import CrossProducts
from mixedfast.data.arrow import CodedTable, Labels, as_declared, complete_rows
from mixedfast.data.batches import Batches
from mixedfast.data.categories import factorize, labels
from mixedfast.data.parquet_out import rows_on_disk
from mixedfast.data.sources import as_source
from mixedfast.data.work_units import Source, Unit
from mixedfast.design.build import without_dot
from mixedfast.design.request import Request
from mixedfast.design.types import Design, Recipe
from mixedfast.errors import DataError

__all__ = ["Stream", "stream_crossproducts"]

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Stream:
    """A source and the plan by which its rows are coded: rows that can be read again, batch by batch.

    Parameters
    ----------
    source : Source
    plan : Plan
    """

    source: Source
    plan: Plan

    @classmethod
    def of_recipe(cls, recipe: Recipe, data: Any) -> Stream:
        """Rows to be coded by the recipe of an earlier fit."""
        return cls(as_source(data), Plan(recipe, "omit", None))

    def coded_by(self, recipe: Recipe) -> Stream:
        """The same rows coded by another recipe of the same model."""
        return Stream(self.source, replace(self.plan, recipe=recipe, scaling=None))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns the model uses."""
        recipe = self.plan.recipe
        return requirements_of(recipe.spec, recipe.weights_column, recipe.offset_column).columns

    def designs(self) -> Iterator[Design]:
        """The designs of all batches in order."""
        return (design for design, _ in self.designs_and_rows())

    def designs_and_rows(
        self, extra: Sequence[str] = ()
    ) -> Iterator[tuple[Design, Callable[[], Any]]]:
        """The designs of all batches in order, and a function that gives the Arrow table of each one's complete rows.

        Parameters
        ----------
        extra : sequence of str
            Columns to read besides those of the model.
        """
        columns = tuple(dict.fromkeys([*self.columns, *extra]))
        for unit in self.source.units(columns):
            for table in unit.read():
                yield self._coded(table, unit.name)

    def total(
        self,
        work: Callable[[Design], T],
        label: str,
        threads: int | None = None,
        progress: Show = "auto",
    ) -> T:
        """What some work makes of the designs of all batches, added up; batches are read and worked on side by side.

        Parameters
        ----------
        work : callable
        label, progress
            For the progress bar.
        threads : int, optional
            Default: the cores this process may use.
        """

        def of(unit: Unit) -> T:
            return reduce(add, (work(self._coded(table, unit.name)[0]) for table in unit.read()))

        return reduce_units(self.source, self.columns, of, add, label, threads, progress)

    def _coded(self, table: Any, where: str) -> tuple[Design, Callable[[], Any]]:
        """The design of one Arrow table; and, when asked for, its complete rows in the types of the first part."""
        rows, missing = complete_rows(table, self.columns, where)
        design = coded_design(
            self.plan, _coded(self.plan, rows, where), table.num_rows - rows.num_rows, missing
        )
        return design, lambda: as_declared(rows, self.source.schema, where)


def stream_crossproducts(request: Request) -> tuple[CrossProducts, Stream]:
    """Sum the cross-products of a stream; return them and the stream with its plan."""
    threads = check_threads(request.threads)
    source = as_source(request.data)
    weights, offset, contrasts = request.weights, request.offset, request.contrasts
    spec = without_dot(request.spec, source.schema.names, weights)
    needs = requirements_of(spec, weights, offset)
    check_columns(needs, source.schema.names)
    given = given_levels(request.levels, source.schema.names)
    arguments = repr((spec.formula, weights, offset, request.na_action))
    state = CheckpointFile(request.checkpoint, arguments + digest(given) + digest(contrasts or {}))
    asked = _Asked(
        needs, source, given, contrasts, request.na_action, threads, request.progress, request.whole
    )
    with ExitStack() as cut_short:
        cut_short.callback(state.write)  # after an error or Ctrl-C, what was added is kept
        if state.now.plan is None and not asked.in_one_pass:
            asked = replace(asked, source=_readable_again(source, needs))
        try:
            total, plan = _plan_and_sum(asked, state, trusting=True)
        except _MissesValues:
            state.restart()
            total, plan = _plan_and_sum(asked, state, trusting=False)
        cut_short.pop_all()
    again = CheckpointFile(None, state.now.model)
    total = orthogonalized(
        total, lambda scaling: _sum(asked, replace(plan, scaling=scaling), again)
    )
    state.finish()
    return total, Stream(asked.source, plan)


class _MissesValues(Exception):
    """A plan was made on the word that no value is missing, and one is."""


@dataclass(frozen=True, eq=False)
class _Asked:
    """What cross-products are asked for, and of what rows."""

    needs: Requirements
    source: Source
    given: Mapping[str, Any]
    contrasts: Mapping[str, Any] | None
    na_action: str
    threads: int | None
    progress: Show
    whole: bool

    @property
    def keys(self) -> tuple[tuple[str, ...], ...]:
        """What a first pass must find the values of."""
        return keys_to_find(self.needs, self.source.schema, self.given)

    @property
    def in_one_pass(self) -> bool:
        """Whether the caller has said all that a first pass would find."""
        return not self.keys and not self.needs.transforms


def _plan_and_sum(
    asked: _Asked, state: CheckpointFile, trusting: bool
) -> tuple[CrossProducts, Plan]:
    plan = state.now.plan
    if plan is None:
        trusting = (
            trusting and not asked.in_one_pass and asked.source.promises_values(asked.needs.columns)
        )
        plan = _plan(asked, state, trusting)
        state.update(plan=plan, seen=None, seen_marks=())
    return _sum(asked, plan, state), plan


def _sum(asked: _Asked, plan: Plan, state: CheckpointFile) -> CrossProducts:
    category, group = plan.category_labels, plan.group_labels
    needs = asked.needs

    def work(unit: Unit) -> PartialSums:
        total: PartialSums | None = None
        for table in unit.read():
            rows, missing = complete_rows(table, needs.columns, unit.name)
            if missing and plan.trusting:
                raise _MissesValues
            if missing and plan.na_action == "raise":
                raise DataError(f"{unit.name}: missing values in {', '.join(map(repr, missing))}")
            coded = CodedTable(rows, category, group, unit.name)
            part = sum_batch(
                plan, coded, table.num_rows - rows.num_rows, needs.missing_by_role(missing)
            )
            total = part if total is None else add_in_place(total, part)
        if total is None:
            raise DataError(f"{unit.name} has no rows")
        return total

    summed: PartialSums = reduce_units(
        asked.source,
        needs.columns,
        work,
        add_in_place,
        "adding up",
        asked.threads,
        asked.progress,
        state.now.sums,
        state.now.summed_marks,
        lambda total, marks: state.update(sums=total, summed_marks=marks),
    )
    return summed.products()


def _plan(asked: _Asked, state: CheckpointFile, trusting: bool) -> Plan:
    """What the first pass finds; where no value is missing it reads only the columns whose levels are wanted."""
    needs, source, keys = asked.needs, asked.source, asked.keys
    schema, counted = source.schema, not asked.in_one_pass
    known = {name: Labels(name, _labels_of(values)) for name, values in asked.given.items()}
    columns = columns_of_keys(needs, keys) if trusting else needs.columns
    looking = look(needs, columns, keys, known, listed_columns(schema))
    if counted:
        seen = reduce_units(
            source,
            columns,
            looking,
            FirstPass.__add__,
            "finding levels",
            asked.threads,
            asked.progress,
            state.now.seen,
            state.now.seen_marks,
            lambda total, marks: state.update(seen=total, seen_marks=marks),
        )
    else:
        seen = _first_seen(source, needs, looking)
    if trusting:
        if seen.missing:
            raise _MissesValues
        seen = replace(seen, rows=spread_sample(source, needs, known))
    plan = make_plan(
        needs,
        global_facts(needs, seen, schema, asked.given),
        asked.contrasts,
        asked.na_action,
        counted,
        asked.whole,
    )
    rows = _coded(plan, seen.rows, "the sample")
    return replace(plan.with_scaling(coded_design(plan, rows, 0, {})), trusting=trusting)


def _coded(plan: Plan, rows: Any, where: str) -> CodedTable:
    return CodedTable(rows, plan.category_labels, plan.group_labels, where)


def _first_seen(
    source: Source, needs: Requirements, looking: Callable[[Unit], FirstPass]
) -> FirstPass:
    """What is seen of the first unit that has a complete row; of the last when none has one."""
    seen: FirstPass | None = None
    for unit in (
        source.units_ahead(needs.columns)
        if isinstance(source, Batches)
        else source.units(needs.columns)
    ):
        seen = looking(unit)
        if seen.n:
            break
    if seen is None:
        raise DataError("the data have no rows")
    return seen


def _readable_again(source: Source, needs: Requirements) -> Source:
    """The source itself, or what an iterator yields written to a file first."""
    if not source.once:
        return source
    warn(
        "an iterator of batches can be read once, and two passes are needed: its batches are "
        "written to a temporary file. "
        "To avoid that give a function that makes the iterator, or levels= for every category "
        "and grouping factor",
    )
    return rows_on_disk(source, needs.columns)


def _labels_of(values: Sequence[Any]) -> Any:
    return labels(values) if isinstance(values[0], str) else factorize(labels(values)).levels
