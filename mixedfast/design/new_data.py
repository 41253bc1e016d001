"""New data for predictions and simulations, coded as the data of a fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixedfast.data.categories import Categorical, drop_unused, factorize, recode
from mixedfast.data.frames import Numeric, as_table
from mixedfast.design.build import offset_of
from mixedfast.design.checks import check_finite
from mixedfast.design.coding import apply_coding
from mixedfast.design.columns import Column
from mixedfast.design.grouping import apply_numbering
from mixedfast.design.model_frame import ModelFrame, Variables, missing_masks, vector
from mixedfast.design.types import Recipe
from mixedfast.errors import DataError
from mixedfast.formula.variables import expression_names, used_names

__all__ = ["NewData", "code_new_data", "coded_variables"]


@dataclass(frozen=True, eq=False)
class NewData:
    """New rows, coded as those of the fit.

    Parameters
    ----------
    n : int
        Number of rows without a missing value.
    kept_rows : ndarray of int64 or None
        Their positions in the new data; None for all.
    x : tuple of Column
        The columns of X that the fit kept.
    terms : tuple of (codes, columns)
        For each random term the group of each row, -1 for a new group, and the columns of Z. For
        terms that are not coded, all codes are -1 and the columns are constants.
    offset : ndarray, shape (n,), or None
    """

    n: int
    kept_rows: np.ndarray | None
    x: tuple[Column, ...]
    terms: tuple[tuple[np.ndarray, tuple[Column, ...]], ...]
    offset: np.ndarray | None

    def with_codes(self, codes: Sequence[np.ndarray]) -> NewData:
        """Replace the groups of the rows, one array of codes per term."""
        return replace(
            self,
            terms=tuple(
                (own, columns) for own, (_, columns) in zip(codes, self.terms, strict=True)
            ),
        )


def code_new_data(
    recipe: Recipe,
    data: Any,
    groups: bool | Iterable[int] = True,
    effects: Iterable[int] | None = None,
    offset: np.ndarray | None = None,
) -> NewData:
    """Code new data as the data of a fit.

    Parameters
    ----------
    recipe : Recipe
    data : data frame, mapping of arrays, or Table
        The response may be missing, and so may columns of terms that are not coded.
    groups : bool or iterable of int
        The random terms, by position, whose groups to code: all, none (then `NewData.terms` is
        empty), or some.
    effects : iterable of int, optional
        The random terms whose columns of Z to code; default: those of `groups`.
    offset : (n,) array, optional
        In place of the column that was the offset of the fit.

    Returns
    -------
    NewData
        Rows with a missing value in a predictor are left out (see ``kept_rows``); a missing group
        counts as a new one.

    Raises
    ------
    DataError
        For a missing column, or a new level of a predictor.

    Examples
    --------
    >>> from mixedfast.design.build import build
    >>> from mixedfast.formula.parser import parse
    >>> data = {"y": [1, 2, 4, 3], "x": [0, 1, 0, 1], "g": list("aabb")}
    >>> recipe = build(parse("y ~ x + (1 | g)"), data).recipe
    >>> code_new_data(recipe, {"x": [5, 6], "g": ["b", "new"]}).terms[0][0]
    array([ 1, -1], dtype=int32)
    """
    table = as_table(data)
    spec = recipe.spec
    everything = range(len(recipe.groups))
    grouped = set(everything if groups is True else groups or ())
    shown = grouped if effects is None else set(effects)
    wanted = [
        *used_names(spec.fixed),
        *(name for o in spec.offsets for name in expression_names(o)),
    ]
    wanted += [name for t in sorted(shown) for name in used_names(recipe.random[t].formula)]
    columns = {name: table.column(name) for name in wanted}
    vectors = {} if offset is None else {"offset": offset}
    if offset is None and recipe.offset_column is not None:
        vectors["offset"] = vector("offset", recipe.offset_column, table)
    part_names = {name for t in grouped for name in recipe.groups[t].factors}
    frame = ModelFrame(
        table.n, columns, {name: table.grouping(name) for name in part_names}, vectors
    )
    masks = missing_masks(replace(frame, groups={}))
    kept_rows = np.flatnonzero(~np.logical_or.reduce(list(masks.values()))) if masks else None
    frame = frame if kept_rows is None else frame.take(kept_rows)
    check_finite(frame.columns)
    variables = coded_variables(recipe, frame)
    all_x = apply_coding(recipe.fixed, variables)
    no_group = np.full(frame.n, -1, dtype=np.int32)
    terms = tuple(
        (
            apply_numbering(recipe.groups[t], frame.groups) if t in grouped else no_group,
            apply_coding(recipe.random[t], variables)
            if t in shown
            else ((),) * len(recipe.random[t].names),
        )
        for t in everything
        if groups is not False
    )
    shift = offset_of(spec, frame.vectors.get("offset"), variables)
    return NewData(frame.n, kept_rows, tuple(all_x[i] for i in recipe.kept), terms, shift)


def coded_variables(recipe: Recipe, frame: ModelFrame) -> Variables:
    """Code new variables with the levels of the fit."""
    columns = dict(frame.columns)
    coded: dict[str, Categorical] = {}
    for name, column in frame.columns.items():
        if name not in recipe.levels:
            if isinstance(column, Categorical):
                raise DataError(f"column {name!r} was numeric in the fit and holds categories now")
            continue
        now = drop_unused(column) if isinstance(column, Categorical) else factorize(column.values)
        levels = recipe.levels[name]
        codes = recode(now, levels)
        if (codes < 0).any():
            known = set(levels.tolist())
            new = [level for level in now.levels.tolist() if level not in known]
            show = (
                repr if {str(level) for level in new} & {str(level) for level in known} else str
            )  # '1' is not 1
            raise DataError(
                f"column {name!r} has levels that the fit did not have: "
                f"{', '.join(map(show, new[:8]))} "
                f"(known: {', '.join(map(show, levels.tolist()[:8]))})"
            )
        coded[name] = Categorical(codes, levels)
        if name not in recipe.numeric:
            columns[name] = coded[name]
        elif levels.dtype.kind == "b":
            # True and False, also where the new data have 1 and 0 or categories
            columns[name] = Numeric(levels[codes])
    return Variables(frame.n, columns, coded)
