"""Do the arrays that describe a Border belong together? The kernels trust them, so the door asks first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def _within(name: str, values: Array, low: int, high: int) -> None:
    """Refuse an index array with an entry outside low..high-1: the kernels trust it."""
    if values.size and (values.min() < low or values.max() >= high):
        raise IndexError(f"{name} must lie in {low}..{high - 1}")


def _pointers(name: str, values: Array, end: int | None) -> None:
    """Refuse an array of pointers that does not climb from 0 to end."""
    climbs = values.size > 0 and values[0] == 0 and not (np.diff(values) < 0).any()
    if not climbs or (end is not None and values[-1] != end):
        raise ValueError(f"{name} must climb from 0 to {end}")


def check_border(
    most: int, ptr: Array, cols: Array, vals: Array, component: Array, start: Array, level_start: Array, first: Array,
    k_level: Array, lambda_at: Array, base_at: Array, base: Array,
) -> None:  # fmt: skip
    """The arrays of a `mixedfast._blocks.Border` fit together and point inside one another; at most `most` columns a level.

    Raises
    ------
    ValueError, IndexError
        The message names the array.
    """
    _pointers("ptr", ptr, None)
    if cols.shape[0] != ptr[ptr.size - 1] or vals.shape[0] != cols.shape[0]:
        raise ValueError("ptr must end at the number of cols and vals")
    if component.shape[0] != ptr.shape[0] - 1:
        raise ValueError("component must have one entry a level of ptr")
    if not 1 <= vals.shape[1] <= most:
        raise ValueError(f"vals must have 1 to {most} columns")
    _within("k_level", k_level, 1, most + 1)
    m, n_levels = int(k_level.sum(dtype=np.int64)), k_level.shape[0]
    if m > np.iinfo(np.int32).max:  # cols are 32-bit, and so are the sizes that BLAS is told
        raise ValueError(f"{m} random effects remain once the largest factor is eliminated, and at most 2**31 - 1 can")
    for name, values in (("first", first), ("lambda_at", lambda_at)):
        if values.shape[0] != n_levels:
            raise ValueError(f"{name} and k_level must have one entry a level")
    _pointers("start", start, m)
    _pointers("level_start", level_start, n_levels)
    if level_start.shape[0] != start.shape[0] or start.shape[0] < 2:
        raise ValueError("start and level_start must have one entry a component, and one more")
    if (first != np.concatenate([[0], np.cumsum(k_level.astype(np.int64))])[:n_levels]).any():
        raise ValueError("first must be the running sum of k_level")
    if (np.append(first, m)[level_start] != start).any():
        raise ValueError("level_start and start must cut at the same places")
    _within("component", component, 0, start.shape[0] - 1)
    _within("lambda_at", lambda_at, 0, np.iinfo(np.int32).max)
    level = np.repeat(np.arange(component.shape[0]), np.diff(ptr))
    low, high = start[:start.size - 1][component], start[1:][component]
    if cols.size and ((cols < low[level]) | (cols >= high[level])).any():
        raise IndexError("cols must lie in their level's component")
    if base_at.shape[0] != base.shape[0]:
        raise ValueError("base_at and base must have the same length")
    _within("base_at", base_at, 0, int((np.diff(start) ** 2).sum()))
