"""The reference grid of marginal means.

Its cells are all combinations of the levels of the factors, with covariates at their means.

The grid is the one of R's emmeans (Lenth): a covariate with two values counts as a factor, and an
offset given as an array is held at its mean.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfast._validation import did_you_mean
from mixedfast.crossprod.row_moments import column_means
from mixedfast.data.frames import Numeric
from mixedfast.design.columns import matrix
from mixedfast.design.covariates import ARRAY_OFFSET
from mixedfast.design.new_data import code_new_data
from mixedfast.design.types import Design, Recipe
from mixedfast.errors import DataError, FormulaError, NotDefinedError
from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.formula.variables import expression_names, used_names
from mixedfast.formula.variables import factors as factors_of

__all__ = ["ReferenceGrid", "cell_weights", "reference_grid"]


@dataclass(frozen=True, eq=False)
class ReferenceGrid:
    """Cells of the grid, in which the first variable varies fastest.

    Parameters
    ----------
    values : dict of str to list
        Variable -> its values on the grid, in the order of the formula.
    order : tuple of str
        The variables in the order of `cells`.
    cells : list of tuple
        One value of each variable.
    X : (n, p_all) array
    offset : (n,) array
    """

    values: dict[str, list[Any]]
    order: tuple[str, ...]
    cells: list[tuple[Any, ...]]
    X: np.ndarray
    offset: np.ndarray


def reference_grid(
    fit: LinearFit, first: Sequence[str], at: Mapping[str, Any], offset: float | None
) -> ReferenceGrid:
    """Evaluate X and the offset on the reference grid.

    Parameters
    ----------
    fit : LinearFit
    first : sequence of str
        The variables that come first in the order.
    at : dict
        Values to use instead of the mean of a covariate or all levels of a factor.
    offset : float or None
        Instead of the offset of the model.

    Raises
    ------
    FormulaError
        For a variable that is not in the fixed part.
    DataError
        When the mean of a covariate needs the rows.
    """
    recipe = fit.cp.meta.recipe
    if recipe is None:
        raise NotDefinedError(
            "emmeans needs the coding of the model, which these cross-products do not carry"
        )
    known = _variables(recipe)
    for name in (*first, *at):
        _require(name, known)
    factors = {
        name: recipe.levels[name].tolist() for name in known if _is_factor(name, fit, recipe)
    }
    values = {name: _values(name, at, factors, fit) for name in known}
    order = (*first, *(name for name in known if name not in first))
    cells = [row[::-1] for row in itertools.product(*(values[name] for name in reversed(order)))]
    columns = {name: [row[i] for row in cells] for i, name in enumerate(order)}
    X, own = _evaluate(recipe, columns, len(cells), len(fit.cp.meta.x_names))
    return ReferenceGrid(
        values, order, cells, X, own if offset is None else np.full(len(cells), float(offset))
    )


def cell_weights(
    grid: ReferenceGrid, weights: str, others: list[str], design: Design | None
) -> np.ndarray:
    """Compute the weight of each cell in its mean: equal, or its number of rows by `others`."""
    if weights == "equal":
        return np.ones(len(grid.cells))
    if weights != "proportional":
        raise NotDefinedError(f"weights={weights!r}: 'equal' or 'proportional'")
    if design is None:
        raise DataError("weights='proportional' counts rows, and this result was made without them")
    codes, levels = (
        zip(*(_coded(design, name) for name in others), strict=True) if others else ((), ())
    )
    counts = np.zeros(tuple(map(len, levels)))
    np.add.at(counts, codes, 1.0)
    places = [
        (grid.order.index(name), {level: i for i, level in enumerate(known)})
        for name, known in zip(others, levels, strict=True)
    ]
    return np.array([counts[tuple(where[row[i]] for i, where in places)] for row in grid.cells])


def _coded(design: Design, name: str) -> tuple[np.ndarray, list[Any]]:
    """Return the level of each row and the levels; those of a covariate are its values."""
    if name in design.variables.coded:
        column = design.variables.coded[name]
        return column.codes, column.levels.tolist()
    numbers = design.variables.columns[name]
    assert isinstance(numbers, Numeric)
    levels, codes = np.unique(numbers.values, return_inverse=True)
    return codes, levels.astype(float).tolist()


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
    """Check whether a variable enters the model only as categories."""
    if name not in recipe.levels:
        return False
    known = factors_of(recipe.fixed.formula)
    kinds = [
        kind
        for term in fit.cp.meta.fixed_terms
        for factor, kind in zip(term.factors, term.kinds, strict=True)
        if name in known[factor].variables
    ]
    return name not in recipe.numeric or (bool(kinds) and set(kinds) == {"categorical"})


def _values(
    name: str, at: Mapping[str, Any], factors: Mapping[str, list[Any]], fit: LinearFit
) -> list[Any]:
    """Return the values of one variable on the grid."""
    if name not in at:
        return factors[name] if name in factors else _default_values(name, fit)
    value = at[name]
    values = [value] if isinstance(value, str) or not np.iterable(value) else list(value)
    unknown = [v for v in values if v not in factors[name]] if name in factors else []
    missing = [v for v in values if v is None or v != v]
    if unknown or missing or not values:
        known = (
            f"the levels of {name} are {factors[name]}"
            if name in factors
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


def _evaluate(
    recipe: Recipe, columns: Mapping[str, list[Any]], n: int, p_all: int
) -> tuple[np.ndarray, np.ndarray]:
    """Evaluate all columns of X on the grid, (n, p_all), and the offset, (n,)."""
    coded = code_new_data(
        recipe, {name: np.asarray(column) for name, column in columns.items()}, groups=False
    )
    X = np.zeros((n, p_all))
    X[:, list(recipe.kept)] = matrix(coded.x, n)
    array = recipe.covariates.get(ARRAY_OFFSET)
    offset = np.full(n, 0.0 if array is None else array.mean)
    return X, offset if coded.offset is None else offset + coded.offset
