"""Model frames: the variables of a model on its complete rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfast._stored import stored
from mixedfast.data.categories import Categorical
from mixedfast.data.frames import ColumnData, Numeric, Table, as_table
from mixedfast.design.checks import check_finite, check_missing
from mixedfast.errors import DataError

__all__ = ["ModelFrame", "Variables", "complete", "missing_masks", "taken", "vector"]


def _check_rows(fields: Any) -> Iterator[str]:
    lengths = [
        len(column.codes if hasattr(column, "codes") else column.values)
        for column in fields.columns.values()
    ]
    if any(
        length != fields.n
        for length in (*lengths, *(len(column.codes) for column in fields.coded.values()))
    ):
        yield f"a column of Rows does not have {fields.n} values"


@stored("Rows", relations=_check_rows)
@dataclass(frozen=True, eq=False)
class Variables:
    """The variables of the formulas on the rows used, without missing values.

    Parameters
    ----------
    n : int
        Number of rows.
    columns : dict of str to column
    coded : dict of str to Categorical
        Codes of the variables used as categories.
    """

    n: int
    columns: Mapping[str, ColumnData]
    coded: Mapping[str, Categorical]


@dataclass(frozen=True, eq=False)
class ModelFrame:
    """All columns of a table that a model uses, before or after incomplete rows are left out.

    Parameters
    ----------
    n : int
        Number of rows.
    columns : dict of str to column
        The variables of the formulas.
    groups : dict of str to Categorical
        The columns of grouping factors.
    vectors : dict of str to array
        ``"weights"`` and ``"offset"``, where they are given.
    """

    n: int
    columns: Mapping[str, ColumnData]
    groups: Mapping[str, Categorical]
    vectors: Mapping[str, np.ndarray]

    def take(self, rows: np.ndarray) -> ModelFrame:
        """Keep some rows."""
        return ModelFrame(
            len(rows),
            {name: taken(column, rows) for name, column in self.columns.items()},
            {
                name: Categorical(g.codes[rows], g.levels, g.ordered)
                for name, g in self.groups.items()
            },
            {name: values[rows] for name, values in self.vectors.items()},
        )


def vector(label: str, value: Any, table: Table) -> np.ndarray:
    """Read weights or an offset, (n,) float64, from the name of a column or an array."""
    if isinstance(value, str):
        column = table.column(value)
    elif hasattr(value, "__len__") and not isinstance(value, Mapping):
        table.check_same_index(label, value)
        column = as_table({label: value}).column(label)
    else:
        raise DataError(f"{label} is the name of a column, or one number per row; not {value!r}")
    if isinstance(column, Categorical):
        name = f"{label}={value!r}" if isinstance(value, str) else label
        raise DataError(f"{name} holds categories where numbers are needed")
    if len(column.values) != table.n:
        raise DataError(f"{label} has {len(column.values)} values for {table.n} rows of data")
    values = np.ascontiguousarray(column.values, dtype=np.float64)
    if np.isinf(values).any():
        raise DataError(f"{label} holds infinite values")
    return values


def complete(
    frame: ModelFrame, na_action: str
) -> tuple[ModelFrame, np.ndarray | None, dict[str, int]]:
    """Leave out incomplete rows.

    Returns
    -------
    ModelFrame
    (n,) int array or None
        The rows kept; None for all.
    dict of str to int
        Missing values by variable.
    """
    masks = missing_masks(frame)
    counts = {name: int(mask.sum()) for name, mask in masks.items()}
    for name, count in counts.items():
        if count == frame.n:
            raise DataError(f"every value of {name!r} is missing")
    check_missing(counts, na_action)
    kept = None
    if masks:
        kept = np.flatnonzero(~np.logical_or.reduce(list(masks.values())))
        if not len(kept):
            raise DataError(
                f"no row is complete: every row has a missing value in one of {', '.join(counts)}"
            )
        frame = frame.take(kept)
    check_finite(frame.columns)
    return frame, kept, counts


def missing_masks(frame: ModelFrame) -> dict[str, np.ndarray]:
    """Find missing values, (n,) bool, of the variables that have any."""
    masks: dict[str, np.ndarray] = {}
    for name, column in (*frame.columns.items(), *frame.groups.items()):
        mask = _missing(column)
        if mask is not None:
            masks[name] = mask
    for label, values in frame.vectors.items():
        if np.isnan(values).any():
            masks[label] = np.isnan(values)
    return masks


def _missing(column: ColumnData) -> np.ndarray | None:
    if isinstance(column, Categorical):
        return column.codes < 0 if len(column.codes) and column.codes.min() < 0 else None
    if column.finite:
        return None
    mask = np.isnan(column.values)
    return mask if mask.any() else None


def taken(column: ColumnData, rows: np.ndarray | slice) -> ColumnData:
    """Take some rows of a column."""
    if isinstance(column, Categorical):
        return Categorical(column.codes[rows], column.levels, column.ordered)
    values = column.values[rows]
    if column.gaps_in_truth and not np.isnan(values).any():
        return Numeric(values.astype(bool))
    return Numeric(values, column.gaps_in_truth)
