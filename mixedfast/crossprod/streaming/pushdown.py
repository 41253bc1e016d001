"""Cross-products by GROUP BY: the engine that holds the rows sums them, and only sums travel."""

from __future__ import annotations

from dataclasses import replace

from mixedfast.crossprod.collinearity import orthogonalized
from mixedfast.crossprod.streaming.lazy_facts import covariates, query_facts
from mixedfast.crossprod.streaming.lazy_rows import LazyRows
from mixedfast.crossprod.streaming.plan import make_plan
from mixedfast.crossprod.streaming.requirements import (
    check_columns,
    given_levels,
    requirements_of,
)
from mixedfast.crossprod.types import CrossProducts
from mixedfast.data.lazy_frames import LazyFrame
from mixedfast.design.build import without_dot
from mixedfast.design.request import Request
from mixedfast.errors import DataError

__all__ = ["push_down"]


def push_down(request: Request) -> tuple[CrossProducts, LazyRows]:
    """Query the cross-products of a lazy frame.

    Returns
    -------
    CrossProducts
    LazyRows
        For further sums of the same rows.

    Raises
    ------
    DataError
        Also for a part of the formula that the engine cannot compute, by name, with what to do
        first.
    """
    frame = LazyFrame.of(request.data)
    spec = without_dot(request.spec, frame.names, request.weights)
    needs = requirements_of(spec, request.weights, request.offset)
    check_columns(needs, frame.names)
    given = given_levels(request.levels, frame.names)
    for name in needs.columns:
        frame.require_usable(name)
    frame = frame.only(needs.columns)
    for vector in (needs.weights, needs.offset, *spec.offsets):
        if vector in frame.names:
            frame.number(vector)
    for call in needs.transforms:
        if call.function not in ("scale", "center", "standardize"):
            raise DataError(
                f"{call.text} cannot be computed by {frame.engine}: add its columns to the frame "
                "and use those"
            )
    rows, missing = frame.count_missing(needs.columns)
    frame = frame.complete(needs.columns) if missing else frame
    facts = query_facts(needs, frame, rows, missing, given)
    plan = make_plan(needs, facts, request)
    recipe = replace(plan.recipe, covariates=covariates(needs, frame, facts.n))
    lazy = LazyRows(needs, frame, recipe, facts)
    return orthogonalized(lazy.products(), lazy.products), lazy
