"""Groups of new rows: levels of the fit, new levels, or missing values."""

from __future__ import annotations

import numpy as np

from mixedfast.data.frames import Table
from mixedfast.design.new_data import NewData
from mixedfast.design.types import Recipe
from mixedfast.errors import DataError

__all__ = ["known_levels", "missing_levels", "number_new"]

#: Number of levels that an error message names.
_NAMED = 8


def missing_levels(recipe: Recipe, table: Table, kept: np.ndarray, t: int) -> np.ndarray:
    """Find the rows, of those kept, whose group in term t is missing."""
    missing = np.zeros(len(kept), dtype=bool)
    for name in recipe.groups[t].factors:
        missing |= table.grouping(name).codes[kept] < 0
    return missing


def number_new(
    codes: np.ndarray, recipe: Recipe, table: Table, kept: np.ndarray, t: int
) -> np.ndarray:
    """Return the codes of term t, new levels numbered after those of the fit; -1 where missing."""
    unknown = np.flatnonzero((codes < 0) & ~missing_levels(recipe, table, kept, t))
    out = codes.copy()
    if len(unknown):
        parts = np.column_stack(
            [table.grouping(name).codes[kept[unknown]] for name in recipe.groups[t].factors]
        )
        out[unknown] = (
            len(recipe.groups[t].levels) + np.unique(parts, axis=0, return_inverse=True)[1].ravel()
        )
    return out


def known_levels(
    new: NewData, recipe: Recipe, table: Table, kept: np.ndarray, t: int, remedy: str
) -> np.ndarray:
    """Find the rows whose group in term t is a level of the fit; False where the group is missing.

    Raises
    ------
    DataError
        For new levels. The message names them and ends with `remedy`.
    """
    codes = new.terms[t][0]
    missing = missing_levels(recipe, table, kept, t)
    unknown = np.flatnonzero((codes < 0) & ~missing)
    if len(unknown):
        names = _labels(recipe, table, kept[unknown], t)
        if _other_type(recipe, table, t):
            raise DataError(
                f"{recipe.groups[t].label!r} holds numbers where the fit had text, or text where "
                f"it had numbers ({names[0]}, "
                f"known: {recipe.groups[t].levels[:1].tolist()[0]!r}): convert the column"
            )
        more = ", ..." if len(names) > _NAMED else ""
        raise DataError(
            f"{recipe.groups[t].label!r} has levels that the fit did not have: "
            f"{', '.join(names[:_NAMED])}{more} (first in row "
            f"{kept[unknown[0]]} of the new data, counted from 0). {remedy}"
        )
    return ~missing


def _other_type(recipe: Recipe, table: Table, t: int) -> bool:
    """Check whether a column has numbers where the fit had text, or the other way round."""
    parts = zip(recipe.groups[t].factors, recipe.groups[t].part_levels, strict=True)
    return any(_is_text(table.grouping(name).levels) != _is_text(levels) for name, levels in parts)


def _is_text(levels: np.ndarray) -> bool:
    """Check whether levels are text, by the first one."""
    return any(isinstance(level, str) for level in levels[:1].tolist())


def _labels(recipe: Recipe, table: Table, rows: np.ndarray, t: int) -> list[str]:
    """Return the distinct labels of the groups of some rows, in order of appearance."""
    parts = []
    for name in recipe.groups[t].factors:
        column = table.grouping(name)
        parts.append(
            [str(level) for level in np.asarray(column.levels, dtype=object)[column.codes[rows]]]
        )
    return list(dict.fromkeys(":".join(both) for both in zip(*parts, strict=True)))
