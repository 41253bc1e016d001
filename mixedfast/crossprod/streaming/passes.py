"""Cross-products of a stream in two passes: the first finds the levels, the second sums.

Memory is bounded by the number of groups, not by the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from mixedfast._validation import check_threads
from mixedfast.crossprod.assemble import PartialSums
from mixedfast.crossprod.collinearity import orthogonalized
from mixedfast.crossprod.streaming.checkpoint import CheckpointFile, digest
from mixedfast.crossprod.streaming.first_pass import (
    FirstPass,
    columns_of_keys,
    global_facts,
    keys_to_find,
    listed_columns,
    scanner,
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
from mixedfast.crossprod.streaming.stream import Stream
from mixedfast.crossprod.types import CrossProducts
from mixedfast.data.arrow import Labels, complete_rows
from mixedfast.data.batches import Batches
from mixedfast.data.categories import factorize, labels
from mixedfast.data.parquet_out import rows_on_disk
from mixedfast.data.sources import as_source
from mixedfast.data.work_units import Source, Unit
from mixedfast.design.build import without_dot
from mixedfast.design.request import Request
from mixedfast.errors import DataError, warn

__all__ = ["stream_crossproducts"]


def stream_crossproducts(request: Request) -> tuple[CrossProducts, Stream]:
    """Sum the cross-products of a stream.

    Returns
    -------
    CrossProducts
    Stream
        For further sums of the same rows.
    """
    job = _job_of(request)
    spec = job.needs.spec
    arguments = repr((spec.formula, request.weights, request.offset, request.na_action))
    model = arguments + digest(job.given) + digest(request.contrasts or {})
    file = CheckpointFile(request.checkpoint, model)
    with ExitStack() as on_error:
        on_error.callback(file.write)  # after an error or Ctrl-C, the sums so far are kept
        if file.state.plan is None and not job.in_one_pass:
            job = replace(job, source=_rereadable(job.source, job.needs))
        try:
            total, plan = _plan_and_sum(job, file, trusting=True)
        except _MissingValueError:
            file.restart()
            total, plan = _plan_and_sum(job, file, trusting=False)
        on_error.pop_all()
    no_file = CheckpointFile(None, model)
    total = orthogonalized(
        total, lambda scaling: _sum(job, replace(plan, scaling=scaling), no_file)
    )
    file.delete()
    return total, Stream(job.source, plan)


class _MissingValueError(Exception):
    """Raised when the source promised no missing values and a batch has one."""


@dataclass(frozen=True, eq=False)
class _Job:
    """A request, its source, and the columns and levels it names.

    Parameters
    ----------
    request : Request
    threads : int or None
    source : Source
    needs : Requirements
    given : dict of str to list
        Levels that the caller gave.
    """

    request: Request
    threads: int | None
    source: Source
    needs: Requirements
    given: Mapping[str, Any]

    @property
    def keys(self) -> tuple[tuple[str, ...], ...]:
        """The combinations of columns whose values a first pass must find."""
        return keys_to_find(self.needs, self.source.schema, self.given)

    @property
    def in_one_pass(self) -> bool:
        """Whether the caller gave everything that a first pass would find."""
        return not self.keys and not self.needs.transforms


def _job_of(request: Request) -> _Job:
    threads, source = check_threads(request.threads), as_source(request.data)
    names = source.schema.names
    spec = without_dot(request.spec, names, request.weights)
    needs = requirements_of(spec, request.weights, request.offset)
    check_columns(needs, names)
    return _Job(request, threads, source, needs, given_levels(request.levels, names))


def _plan_and_sum(job: _Job, file: CheckpointFile, trusting: bool) -> tuple[CrossProducts, Plan]:
    """Make the plan, unless the checkpoint has it, and sum.

    Parameters
    ----------
    trusting : bool
        Whether to trust a source that promises no missing values.
    """
    plan = file.state.plan
    if plan is None:
        trusting = (
            trusting and not job.in_one_pass and job.source.promises_values(job.needs.columns)
        )
        plan = _plan(job, file, trusting)
        file.update(plan=plan, first_pass=None, first_marks=())
    return _sum(job, plan, file), plan


def _sum(job: _Job, plan: Plan, file: CheckpointFile) -> CrossProducts:
    """Sum all rows in the scaling of a plan."""
    needs = job.needs

    def sum_unit(unit: Unit) -> PartialSums:
        total: PartialSums | None = None
        for table in unit.read():
            rows, missing = complete_rows(table, needs.columns, unit.name)
            if missing and plan.trusting:
                raise _MissingValueError
            if missing and plan.na_action == "raise":
                raise DataError(f"{unit.name}: missing values in {', '.join(map(repr, missing))}")
            coded = plan.coded_table(rows, unit.name)
            n_dropped = table.num_rows - rows.num_rows
            part = sum_batch(plan, coded, n_dropped, needs.missing_by_role(missing))
            total = part if total is None else add_in_place(total, part)
        if total is None:
            raise DataError(f"{unit.name} has no rows")
        return total

    sums: PartialSums = reduce_units(
        job.source,
        needs.columns,
        sum_unit,
        add_in_place,
        "adding up",
        job.threads,
        job.request.progress,
        file.state.sums,
        file.state.summed_marks,
        lambda total, marks: file.update(sums=total, summed_marks=marks),
    )
    return sums.products()


def _plan(job: _Job, file: CheckpointFile, trusting: bool) -> Plan:
    """Make the plan from a first pass.

    Where no value is missing, the pass reads only the columns whose levels must be found.
    """
    needs, source, keys = job.needs, job.source, job.keys
    schema, counted = source.schema, not job.in_one_pass
    known = {name: Labels(name, _labels_of(values)) for name, values in job.given.items()}
    columns = columns_of_keys(needs, keys) if trusting else needs.columns
    scan = scanner(needs, columns, keys, known, listed_columns(schema))
    if counted:
        first = reduce_units(
            source,
            columns,
            scan,
            FirstPass.__add__,
            "finding levels",
            job.threads,
            job.request.progress,
            file.state.first_pass,
            file.state.first_marks,
            lambda total, marks: file.update(first_pass=total, first_marks=marks),
        )
    else:
        first = _scan_first_unit(source, needs, scan)
    if trusting:
        if first.missing:
            raise _MissingValueError
        first = replace(first, rows=spread_sample(source, needs, known))
    facts = global_facts(needs, first, schema, job.given)
    plan = make_plan(needs, facts, job.request, counted)
    sample = coded_design(plan, plan.coded_table(first.rows, "the sample"), 0, {})
    return replace(plan.with_scaling(sample), trusting=trusting)


def _scan_first_unit(
    source: Source, needs: Requirements, scan: Callable[[Unit], FirstPass]
) -> FirstPass:
    """Scan units up to the first one with a complete row."""
    first: FirstPass | None = None
    for unit in (
        source.units_ahead(needs.columns)
        if isinstance(source, Batches)
        else source.units(needs.columns)
    ):
        first = scan(unit)
        if first.n:
            break
    if first is None:
        raise DataError("the data have no rows")
    return first


def _rereadable(source: Source, needs: Requirements) -> Source:
    """Return the source; if it can be read only once, write its batches to a file first."""
    if not source.once:
        return source
    warn(
        "an iterator of batches can be read once, and two passes are needed: its batches are "
        "written to a temporary file. To avoid this, give a function that makes the iterator, or "
        "levels= for every category and grouping factor"
    )
    return rows_on_disk(source, needs.columns)


def _labels_of(values: Sequence[Any]) -> Any:
    return labels(values) if isinstance(values[0], str) else factorize(labels(values)).levels
