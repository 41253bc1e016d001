"""The reference grid of marginal means: the values of all variables of the fixed part.

The grid is the one of R's emmeans (Lenth): factors have all their levels, covariates their means, a
covariate with two values counts as a factor, and an offset given as an array is held at its mean.

The cells of the grid are never listed. A column of X depends on the variables of its term only, and
the grid is a product of dimensions (see `mixedfast.inference.hypotheses.grid_weights`), so the
average of a column is found on the small grid of these variables: exact, and for seven factors of
eight levels that do not interact 56 evaluations instead of two million.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mixedfast._validation import did_you_mean
from mixedfast.crossprod.row_moments import column_means
from mixedfast.data.categories import Categorical
from mixedfast.data.frames import ColumnData, Numeric
from mixedfast.design.coding import apply_coding, evaluate_expression
from mixedfast.design.columns import matrix
from mixedfast.design.covariates import ARRAY_OFFSET
from mixedfast.design.model_frame import Variables
from mixedfast.design.types import Recipe
from mixedfast.errors import DataError, FormulaError, NotDefinedError
from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.formula.variables import expression_names, used_names
from mixedfast.formula.variables import factors as factors_of
from mixedfast.inference.hypotheses.grid_weights import Axis, Dimension, axis

__all__ = ["MeanRows", "ReferenceGrid", "Steps", "mean_rows", "reference_grid"]


@dataclass(frozen=True, eq=False)
class ReferenceGrid:
    """Values of the variables of the fixed part and its offsets.

    Parameters
    ----------
    recipe : Recipe
    values : dict of str to list
        Variable -> its values on the grid, in the order of the formula.
    places : dict of str to int array
        Factor -> positions of these values among all its levels.
    given : frozenset of str
        Covariates whose values the caller chose.
    """

    recipe: Recipe
    values: Mapping[str, list[Any]]
    places: Mapping[str, np.ndarray]
    given: frozenset[str]

    @property
    def all_places(self) -> dict[str, np.ndarray]:
        """The positions of the values of every variable; those of a covariate are counted."""
        return {
            name: self.places.get(name, np.arange(len(values)))
            for name, values in self.values.items()
        }


def reference_grid(fit: LinearFit, named: Sequence[str], at: Mapping[str, Any]) -> ReferenceGrid:
    """Choose the values of all variables.

    Parameters
    ----------
    fit : LinearFit
    named : sequence of str
        Variables that the fixed part must have.
    at : dict
        Values to use instead of the mean of a covariate or all levels of a factor.

    Raises
    ------
    FormulaError
        For a variable that is not in the fixed part.
    DataError
        For an unknown level, and when the mean of a covariate needs the rows.
    """
    recipe = fit.cp.meta.recipe
    if recipe is None:
        raise NotDefinedError(
            "emmeans needs the coding of the model, which these cross-products do not carry"
        )
    known = _variables(recipe)
    for name in (*named, *at):
        _require(name, known)
    levels = {name: recipe.levels[name].tolist() for name in known if _is_factor(name, fit, recipe)}
    values = {name: _values(name, at, levels, fit) for name in known}
    places = {
        name: np.array([own.index(value) for value in values[name]]) for name, own in levels.items()
    }
    return ReferenceGrid(recipe, values, places, frozenset(at) - frozenset(levels))


def _variables(recipe: Recipe) -> tuple[str, ...]:
    """Return the data columns that the fixed part and its offsets use."""
    offsets = [name for expr in recipe.spec.offsets for name in expression_names(expr)]
    given = [recipe.offset_column] if recipe.offset_column is not None else []
    return tuple(dict.fromkeys([*used_names(recipe.fixed.formula), *offsets, *given]))


def _require(name: str, known: Sequence[str]) -> None:
    """Raise FormulaError unless a variable is in the fixed part."""
    if name not in known:
        hint = did_you_mean(name, known, most=1) or f"it uses {', '.join(known) or 'no variable'}"
        raise FormulaError(f"the fixed part has no variable {name!r}: {hint}")


def _is_factor(name: str, fit: LinearFit, recipe: Recipe) -> bool:
    """Check whether a variable enters the fixed part as categories, in any of its terms."""
    if name not in recipe.levels:
        return False
    known = factors_of(recipe.fixed.formula)
    return name not in recipe.numeric or any(
        kind == "categorical" and name in known[factor].variables
        for term in fit.cp.meta.fixed_terms
        for factor, kind in zip(term.factors, term.kinds, strict=True)
    )


def _values(
    name: str, at: Mapping[str, Any], levels: Mapping[str, list[Any]], fit: LinearFit
) -> list[Any]:
    """Return the values of one variable on the grid."""
    if name not in at:
        return levels[name] if name in levels else _default_values(name, fit)
    value = at[name]
    values = [value] if isinstance(value, str) or not np.iterable(value) else list(value)
    unknown = [v for v in values if v not in levels[name]] if name in levels else []
    missing = [v for v in values if v is None or v != v]
    if unknown or missing or not values:
        known = (
            f"the levels of {name} are {levels[name]}"
            if name in levels
            else f"give numbers to hold {name} at"
        )
        raise DataError(f"at={{{name!r}: {value!r}}}: {known}")
    return values


def _default_values(name: str, fit: LinearFit) -> list[float]:
    """Return both values of a covariate with two, and otherwise its mean over rows."""
    cp = fit.cp
    known = cp.meta.recipe.covariates.get(name) if cp.meta.recipe is not None else None
    if known is not None:
        return list(known.values) if len(known.values) == 2 else [known.mean]
    for term in cp.meta.fixed_terms:
        if term.factors == (name,) and term.kinds == ("numeric",) and term.columns[0] in cp.kept:
            return [float(column_means(cp)[np.flatnonzero(cp.kept == term.columns[0])[0]])]
    raise DataError(
        f"the mean of {name!r} cannot be computed from these cross-products: give a value, "
        f"at={{{name!r}: value}}"
    )


# --- averages of the columns ---------------------------------------------------------------------


class MeanRows(NamedTuple):
    """Averages of X and of the offset.

    `rows` (m, p_all) and `offset` (m,) are NaN for means whose cells have no rows.
    """

    rows: np.ndarray
    offset: np.ndarray


class Steps(NamedTuple):
    """A combination of values at neighbouring points of one variable, such as a derivative."""

    variable: str
    shifts: tuple[float, ...]
    weights: tuple[float, ...]


def mean_rows(
    fit: LinearFit,
    grid: ReferenceGrid,
    positions: Mapping[str, np.ndarray],
    dimensions: Sequence[Dimension],
    steps: Steps | None = None,
) -> MeanRows:
    """Average the columns of X and the offset over the grid.

    Parameters
    ----------
    fit : LinearFit
    grid : ReferenceGrid
    positions : dict of str to (m,) int array
        For each named variable the position of its value, one per mean.
    dimensions : sequence of Dimension
    steps : Steps, optional
        Average such combinations instead of the columns themselves.
    """
    m = len(next(iter(positions.values()))) if positions else 1
    recipe = grid.recipe
    rows = np.zeros((m, len(fit.cp.meta.x_names)))

    def averaged(
        names: Sequence[str], evaluate: Callable[[Variables], np.ndarray]
    ) -> np.ndarray | float:
        """Average what `evaluate` makes of some variables, (m, columns)."""
        if steps is not None and steps.variable not in names:
            return 0.0
        axes = [
            axis(one, tuple(positions), names)
            for one in dimensions
            if set(one.variables) & {*names}
        ]
        return _average(grid, axes, positions, evaluate, steps)

    for term in fit.cp.meta.fixed_terms:
        columns = list(term.columns)

        def of_term(variables: Variables, columns: list[int] = columns) -> np.ndarray:
            made = apply_coding(recipe.fixed, variables)
            return matrix([made[j] for j in columns], variables.n)

        rows[:, columns] = averaged(term.variables, of_term)
    offset = np.zeros((m, 1))
    for expr in recipe.spec.offsets:

        def of_offset(variables: Variables, expr: str = expr) -> np.ndarray:
            return evaluate_expression(expr, variables)[:, None]

        offset += averaged(expression_names(expr), of_offset)
    if recipe.offset_column is not None:
        column = recipe.offset_column
        offset += averaged((column,), lambda rows: _numbers(rows.columns[column])[:, None])
    array = recipe.covariates.get(ARRAY_OFFSET)
    if array is not None and steps is None:
        offset += array.mean
    empty = np.zeros(m, dtype=bool)
    for one in dimensions:
        own = axis(one, tuple(positions), ())
        empty |= own.place(positions) < 0
    rows[empty], offset[empty] = np.nan, np.nan
    return MeanRows(rows, offset[:, 0])


def _numbers(column: ColumnData) -> np.ndarray:
    assert isinstance(column, Numeric)
    return np.asarray(column.values, dtype=float)


def _average(
    grid: ReferenceGrid,
    axes: Sequence[Axis],
    positions: Mapping[str, np.ndarray],
    evaluate: Callable[[Variables], np.ndarray],
    steps: Steps | None,
) -> np.ndarray:
    """Evaluate on the product of some axes, average along each, and pick the cell of each mean."""
    shape = tuple(len(one.cells) for one in axes)
    at = np.indices(shape).reshape(len(shape), -1) if shape else np.zeros((0, 1), dtype=int)
    n = at.shape[1]
    own = {
        name: one.cells[at[d], i] for d, one in enumerate(axes) for i, name in enumerate(one.names)
    }
    moves = [(0.0, 1.0)] if steps is None else zip(steps.shifts, steps.weights, strict=True)
    moved = "" if steps is None else steps.variable
    parts = [weight * evaluate(_rows_of(grid, own, n, moved, by)) for by, weight in moves]
    values = np.sum(parts, axis=0)
    values = values.reshape((*shape, -1))
    for d, one in enumerate(axes):
        values = np.moveaxis(np.tensordot(one.weights, values, axes=(1, d)), 0, d)
    chosen = tuple(np.maximum(one.place(positions), 0) for one in axes)
    return np.asarray(values[chosen] if axes else values)


def _rows_of(
    grid: ReferenceGrid, positions: Mapping[str, np.ndarray], n: int, moved: str, by: float
) -> Variables:
    """Make rows of the grid, one variable moved; those without positions have their first value."""
    columns: dict[str, ColumnData] = {}
    coded: dict[str, Categorical] = {}
    first = np.zeros(n, dtype=int)
    for name, values in grid.values.items():
        at = positions.get(name, first)
        if name in grid.places:
            levels = grid.recipe.levels[name]
            codes = grid.places[name][at].astype(np.int32)
            coded[name] = Categorical(codes, levels)
            columns[name] = Numeric(levels[codes]) if name in grid.recipe.numeric else coded[name]
        else:
            numbers = np.asarray(values, dtype=float)[at]
            columns[name] = Numeric(numbers + by if name == moved else numbers)
    return Variables(n, columns, coded)
