"""Two passes over a stream: one to know the levels, one to sum. Memory is bounded by groups, not by rows."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from mixedfast.arrow import CodedTable, Labels, complete_rows, sample
from mixedfast.conditioning import taken_apart
from mixedfast.crossprod import CrossProducts
from mixedfast.design import Design, Recipe, without_dot
from mixedfast.errors import DataError
from mixedfast.formula import ModelSpec
from mixedfast.frames import factorize, labels, no_column
from mixedfast.progress import Show
from mixedfast.stream.checkpoint import Progress
from mixedfast.stream.plan import Plan, Wanted, check_total, coded_design, make_plan, sums_of, wanted
from mixedfast.stream.run import reduce_units
from mixedfast.stream.sources import Batches, Files, Source, Unit, as_source
from mixedfast.stream.survey import Seen, facts_of, keys_of, look
from mixedfast.stream.total import add_same

__all__ = ["Stream", "stream_crossproducts"]


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
    def again(cls, recipe: Recipe, data: Any) -> Stream:
        """Rows to be coded by the recipe of an earlier fit."""
        return cls(as_source(data), Plan(recipe, None, "omit", None))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns the model uses."""
        recipe = self.plan.recipe
        return wanted(recipe.spec, self.plan.weights, recipe.offset_column).columns

    def designs(self, extra: Sequence[str] = ()) -> Iterator[tuple[Design, Any]]:
        """The designs of all batches in order, and the Arrow tables of their complete rows.

        Parameters
        ----------
        extra : sequence of str
            Columns to read besides those of the model.
        """
        columns = tuple(dict.fromkeys([*self.columns, *extra]))
        for unit in self.source.units(columns):
            for table in unit.read():
                yield self.design(table, unit.name)

    def design(self, table: Any, where: str) -> tuple[Design, Any]:
        """The design of one Arrow table, and the table without its incomplete rows."""
        rows, missing = complete_rows(table, self.columns, where)
        return coded_design(self.plan, _coded(self.plan, rows, where), table.num_rows - rows.num_rows, missing), rows


def stream_crossproducts(
    spec: ModelSpec,
    data: Any,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "omit",
    threads: int | None = None,
    levels: Mapping[str, Sequence[Any]] | None = None,
    checkpoint: str | PathLike[str] | None = None,
    progress: Show = "auto",
) -> tuple[CrossProducts, Stream]:
    """The cross-products of a stream, and the stream with its plan (see `mixedfast.crossproducts`)."""
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise DataError(f"threads={threads!r} must be a whole number from 1")
    source = as_source(data)
    spec = without_dot(spec, source.schema.names, weights)
    want = wanted(spec, weights, offset)
    _check_columns(want, source.schema.names)
    given = {name: _level_array(name, values) for name, values in (levels or {}).items()}
    asked = (spec.formula, weights, offset, na_action, sorted(given), sorted(contrasts or {}))
    state = Progress(checkpoint, repr(asked))
    try:
        plan = state.now.plan
        if plan is None:
            if not _one_pass(want, source, given):
                source = _readable_again(source, want)
            plan = _plan(want, source, given, contrasts, na_action, threads, progress, state)
            state.update(plan=plan, seen=None, seen_marks=())
        total = _sum(want, source, plan, threads, progress, state)
    except BaseException:
        state.write()
        raise
    check_total(total)
    again = Progress(None, state.now.model)
    total = taken_apart(
        total, lambda basis: _sum(want, source, replace(plan, basis=basis), threads, progress, again)
    )
    state.finish()
    return total, Stream(source, plan)


def _sum(
    want: Wanted, source: Source, plan: Plan, threads: int | None, progress: Show, state: Progress
) -> CrossProducts:
    category, group = plan.category_labels, plan.group_labels

    def work(unit: Unit) -> CrossProducts:
        total: CrossProducts | None = None
        for table in unit.read():
            rows, missing = complete_rows(table, want.columns, unit.name)
            if missing and plan.na_action == "raise":
                raise DataError(f"{unit.name}: missing values in {', '.join(map(repr, missing))}")
            coded = CodedTable(rows, category, group, unit.name)
            part = sums_of(plan, coded, table.num_rows - rows.num_rows, want.told(missing))
            total = part if total is None else add_same(total, part)
        if total is None:
            raise DataError(f"{unit.name} has no rows")
        return total

    return reduce_units(
        source, want.columns, work, add_same, "adding up", threads, progress, state.now.sums, state.now.summed_marks,
        lambda total, marks: state.update(sums=total, summed_marks=marks),
    )  # fmt: skip


def _plan(
    want: Wanted, source: Source, given: Mapping[str, Any], contrasts: Mapping[str, Any] | None, na_action: str,
    threads: int | None, progress: Show, state: Progress,
) -> Plan:  # fmt: skip
    schema = source.schema
    keys = keys_of(want, schema, given)
    known = {name: Labels(name, _labels_of(values)) for name, values in given.items()}
    one = _one_pass(want, source, given)
    if one:
        unit = next(iter(_first(source, want)))
        seen = look(want, keys, known)(unit)
    else:
        seen = reduce_units(
            source, want.columns, look(want, keys, known), Seen.__add__, "finding levels", threads, progress,
            state.now.seen, state.now.seen_marks, lambda total, marks: state.update(seen=total, seen_marks=marks),
        )  # fmt: skip
    plan = make_plan(want, facts_of(want, seen, schema, given), contrasts, na_action, counted=not one)
    rows = _coded(plan, seen.rows, "the sample")
    return plan.with_basis(coded_design(plan, rows, 0, {}))


def _coded(plan: Plan, rows: Any, where: str) -> CodedTable:
    return CodedTable(rows, plan.category_labels, plan.group_labels, where)


def _one_pass(want: Wanted, source: Source, given: Mapping[str, Any]) -> bool:
    """Whether the caller has said all that a first pass would find."""
    return not keys_of(want, source.schema, given) and not want.transforms


def _first(source: Source, want: Wanted) -> Iterator[Unit]:
    """The first unit, without using up an iterator."""
    if isinstance(source, Batches):
        yield Unit("batch 0", "", 0, lambda: iter([sample(source.head.select(list(want.columns)), 1 << 16)]))
    else:
        yield next(source.units(want.columns))


def _readable_again(source: Source, want: Wanted) -> Source:
    """The source itself, or what an iterator yields written to a file first."""
    if not (isinstance(source, Batches) and source.once):
        return source
    import pyarrow.parquet as pq

    warnings.warn(
        "an iterator of batches can be read once, and two passes are needed: its batches are written to a temporary file. "
        "To avoid that give a function that makes the iterator, or levels= for every category and grouping factor",
        UserWarning,
        stacklevel=5,
    )
    folder = tempfile.TemporaryDirectory(prefix="mixedfast-")
    path = Path(folder.name) / "batches.parquet"
    writer = None
    try:
        for unit in source.units(want.columns):
            for table in unit.read():
                writer = writer or pq.ParquetWriter(path, table.schema)
                writer.write_table(table.cast(writer.schema))
    finally:
        if writer is not None:
            writer.close()
    return Files((path,), keep=folder)


def _check_columns(want: Wanted, names: Sequence[str]) -> None:
    for name in want.columns:
        if name not in names:
            raise no_column(name, names)


def _level_array(name: str, values: Sequence[Any]) -> list[Any]:
    if isinstance(values, str) or not len(values):
        raise DataError(f"levels[{name!r}] must be a sequence of levels")
    listed = list(values)
    if len(set(listed)) < len(listed):
        raise DataError(f"levels[{name!r}] names a level twice")
    return listed


def _labels_of(values: Sequence[Any]) -> Any:
    return labels(values) if isinstance(values[0], str) else factorize(labels(values)).levels


