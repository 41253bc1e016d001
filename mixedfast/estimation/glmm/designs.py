"""Designs of generalized linear mixed models: ordered responses, numbers of trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mixedfast.data.categories import Categorical
from mixedfast.data.frames import as_table
from mixedfast.design.build import build
from mixedfast.design.model_frame import vector
from mixedfast.design.types import Design
from mixedfast.errors import DataError
from mixedfast.estimation.glmm.families import Family
from mixedfast.formula.parser import parse

__all__ = ["design_of", "trials_of", "without_intercept"]


def design_of(
    family: Family,
    formula: str,
    data: Any,
    weights: Any,
    offset: Any,
    contrasts: Mapping[str, Any] | None,
    na_action: str,
) -> tuple[Design, Family]:
    """Build the design, and name the categories where the response is ordered."""
    ordered = family.is_ordered
    design = build(parse(formula), data, weights, offset, contrasts, na_action, ordered)
    if not ordered:
        return design, family
    values = np.unique(design.y)
    column = design.variables.columns.get(design.response_name)
    labels = column.levels[values.astype(int)] if isinstance(column, Categorical) else values
    names = tuple(f"{one:g}" if isinstance(one, float) else str(one) for one in labels)
    return design, replace(family, categories=names)


def trials_of(data: Any, trials: str | None, design: Design) -> np.ndarray | None:
    """Read the numbers of trials of the rows used."""
    if trials is None:
        return None
    counts = vector("trials", trials, as_table(data))
    counts = counts if design.kept_rows is None else counts[design.kept_rows]
    if np.isnan(counts).any():
        raise DataError(f"trials={trials!r} has missing values: leave out these rows first")
    return counts


def without_intercept(design: Design) -> Design:
    """Leave out the constant column of X, which the thresholds of a cumulative model replace."""
    return design.keep_columns([j for j, column in enumerate(design.x) if column != ()])
