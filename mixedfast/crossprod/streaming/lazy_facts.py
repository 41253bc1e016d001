"""Facts about a lazy frame from which a plan is made, found by queries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mixedfast.crossprod.streaming.column_statistics import ColumnStatistics, state_of
from mixedfast.crossprod.streaming.lazy_expressions import translate
from mixedfast.crossprod.streaming.plan import GlobalFacts
from mixedfast.crossprod.streaming.requirements import Requirements
from mixedfast.data.categories import Categorical, factorize, labels, recode
from mixedfast.data.frames import as_table
from mixedfast.data.lazy_frames import Expr, LazyFrame, literal
from mixedfast.design.build import formulas
from mixedfast.design.checks import check_weight_range
from mixedfast.design.covariates import Covariate
from mixedfast.errors import DataError
from mixedfast.formula.parser import plain_name
from mixedfast.formula.variables import expression_names, python_factors, used_names

__all__ = ["check_values", "column_moments", "covariates", "query_facts"]


def query_facts(
    needs: Requirements,
    frame: LazyFrame,
    rows: int,
    missing: Mapping[str, int],
    given: Mapping[str, Sequence[Any]],
) -> GlobalFacts:
    """Query levels, groups and means.

    Parameters
    ----------
    needs : Requirements
    frame : LazyFrame
        The complete rows.
    rows : int
        Number of rows, the incomplete ones included.
    missing : dict of str to int
        Missing values by column.
    given : dict of str to list
        Levels that the caller gave.
    """
    is_category = {name: needs.is_category(name, frame.kind(name)) for name in needs.variables}
    keys = dict.fromkeys(
        [*((name,) for name, coded in is_category.items() if coded), *needs.groups]
    )
    found = {key: frame.distinct(key) for key in keys}
    n = frame.count() if missing else rows
    numbers = [name for name in needs.variables if frame.kind(name) != "text"]
    totals = frame.sums({name: frame.number(name) for name in numbers}) if n else {}
    columns = {call.inside: translate(call.inside, frame, {}) for call in needs.transforms}
    moments = column_moments(frame, columns, n) if n else {}
    transforms = needs.transforms if n else ()
    return GlobalFacts(
        n=n,
        n_dropped=rows - n,
        missing=needs.missing_by_role(missing),
        numbers={name: _dtype(frame, name, name in missing) for name in numbers},
        categories={
            name: _categorical(frame, name, found[name,][name], given, name in numbers)
            for name, coded in is_category.items()
            if coded
        },
        groups={
            key: {
                name: _categorical(frame, name, found[key][name], given, False, True)
                for name in key
            }
            for key in needs.groups
        },
        typical={name: total / n for name, total in totals.items()},
        state={call.text: state_of(call, moments[call.inside]) for call in transforms},
    )


def _dtype(frame: LazyFrame, name: str, has_missing: bool) -> str:
    """Return NumPy's name of the type that a column of numbers has in memory."""
    if frame.kind(name) == "boolean":
        return "bool"
    return "int64" if frame.is_integer(name) and not has_missing else "float64"


def _categorical(
    frame: LazyFrame,
    name: str,
    values: Sequence[Any],
    given: Mapping[str, Sequence[Any]],
    number: bool,
    group: bool = False,
) -> Categorical:
    """Code values, with the levels in the order that data in memory would have."""
    table = as_table({name: values})
    made = table.grouping(name) if group or not number else table.column(name)
    column = made if isinstance(made, Categorical) else factorize(made.values)
    order = given.get(name, frame.categories(name))
    if order is None:
        return column
    known = labels(list(order))
    codes = recode(column, known)
    if (codes < 0).any():
        unknown = sorted(values[i] for i in np.flatnonzero(codes < 0).tolist())[:8]
        raise DataError(
            f"column {name!r} has levels that are not among the {len(known)} known ones: "
            f"{', '.join(map(repr, unknown))}; name them all in levels=, or leave their rows out "
            "in the engine"
        )
    if name in given and not group and len(codes) < len(known):  # levels without rows stay
        unseen = np.setdiff1d(np.arange(len(known), dtype=np.int32), codes)
        codes = np.concatenate([codes, unseen])
    return Categorical(codes, known)


def covariates(needs: Requirements, frame: LazyFrame, n: int) -> dict[str, Covariate]:
    """Query means of the numbers in the fixed part, and their values if there are at most two."""
    names = [
        *used_names(needs.spec.fixed),
        *(name for expr in needs.spec.offsets for name in expression_names(expr)),
    ]
    if needs.offset is not None:
        names.append(needs.offset)
    columns = {name: frame.number(name) for name in names if frame.kind(name) != "text"}
    if not columns:
        return {}
    ends = frame.extremes(columns)
    between = frame.sums(
        {
            name: frame.one_where((c > literal(ends[name][0])) & (c < literal(ends[name][1])))
            for name, c in columns.items()
        }
    )
    totals = frame.sums(columns)
    return {
        name: Covariate(totals[name] / n, () if between[name] else tuple(sorted(set(ends[name]))))
        for name in columns
    }


def column_moments(
    frame: LazyFrame, columns: Mapping[str, Expr], n: int
) -> dict[str, ColumnStatistics]:
    """Query mean and sum of squares about the mean of each expression.

    Two queries: sums of squares about zero would lose digits.
    """
    if not columns:
        return {}
    means = {name: total / n for name, total in frame.sums(columns).items()}
    centred = {name: column - literal(means[name]) for name, column in columns.items()}
    squares = frame.sums({name: column * column for name, column in centred.items()})
    return {
        name: ColumnStatistics(n, means[name], squares[name], math.nan, math.nan)
        for name in columns
    }


def check_values(
    needs: Requirements, frame: LazyFrame, facts: GlobalFacts, weight: Expr | None
) -> None:
    """Raise DataError for values that data in memory are refused for.

    These are infinities, logarithms of zero and the like, and weights that are not positive.
    """
    spec = needs.spec
    numbers = {name: frame.number(name) for name in facts.numbers}
    vectors = [name for name in (needs.weights, needs.offset) if name is not None]
    numbers |= {name: frame.number(name) for name in vectors}
    expressions = [expr for expr in (spec.response, *spec.offsets) if plain_name(expr) is None]
    expressions += [expr for formula in formulas(spec) for expr in python_factors(formula)]
    numbers |= {expr: translate(expr, frame, facts.state) for expr in expressions}
    not_finite = {name: frame.not_finite(column) for name, column in numbers.items()}
    for name, count in frame.sums(not_finite).items():
        if count:
            raise DataError(
                f"{name!r} is not a finite number in {int(count)} rows: "
                "check the column (or the columns it is computed from)"
            )
    if weight is not None:
        wrong = int(frame.sums({"w": frame.one_where(weight <= literal(0.0))})["w"])
        if wrong:
            raise DataError(
                f"weights must be positive; {wrong} are zero or negative: drop those rows"
            )
        check_weight_range(*frame.extremes({"w": weight})["w"])
