"""Estimated marginal means: averages of the model's predictions on the reference grid.

Population marginal means of Searle, Speed and Milliken (1980, The American Statistician 34): the
model is evaluated on every combination of the levels of the factors, with covariates at their
means, and averaged over the other factors.

A mean or a difference of means is estimable when it is a combination of rows of X. This is judged
for each quantity by itself: the difference of two means may be estimable where neither of them is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from mixedfast._validation import check_choice, check_level, check_names
from mixedfast.data.frames import Numeric
from mixedfast.design.types import Design
from mixedfast.errors import ArgumentError, DataError, FormulaError, NotDefinedError
from mixedfast.estimation.fit import Fit
from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.formula.parser import unquoted
from mixedfast.formula.variables import expression_names
from mixedfast.inference.ddf.methods import DDF, without_groups
from mixedfast.inference.hypotheses.estimable import estimable
from mixedfast.inference.hypotheses.grid_weights import (
    Dimension,
    combinations,
    counted,
    structure,
)
from mixedfast.inference.hypotheses.nesting import Nesting, nesting
from mixedfast.inference.hypotheses.reference_grid import (
    ReferenceGrid,
    Steps,
    mean_rows,
    reference_grid,
)
from mixedfast.inference.transformation import Transformation, of_response

__all__ = ["TYPES", "WEIGHTS", "GridMeans", "emmeans"]

WEIGHTS = ("equal", "proportional", "outer", "cells", "flat")
#: Scales: that of the model, and that of the response.
TYPES = ("link", "response")

#: Step of numerical derivatives, in standard deviations of the covariate: rounding and truncation
#: are both about 1e-12 then.
_STEP = 1e-3


@dataclass(frozen=True, eq=False)
class GridMeans:
    """Estimated marginal means as linear functions of the coefficients.

    Parameters
    ----------
    fit : LinearFit
    specs, by : tuple of str
        The variables of the means, and those that define families of comparisons.
    levels : tuple of tuple
        One per mean: values of ``specs``, then of ``by``.
    rows : (m, p_all) array
        Averages of all columns of X; NaN for combinations without rows where cells are weighted by
        their rows.
    offset : (m,) array
    at : dict
        Values at which the other covariates are held.
    over : tuple of str
        The variables averaged over.
    nested : tuple of str
        The nesting of factors: ``"site in region"``.
    ddf : str or TraceMethod
    level : float
        Of confidence intervals.
    statistic : str
        ``"emmean"``, or ``"trend"`` for slopes.
    trend_of : str
        The covariate of the slopes; empty for means.
    transformation : Transformation or None
        Of the response.
    on_response : bool
        Whether results are shown on the scale of the response.
    """

    fit: LinearFit
    specs: tuple[str, ...]
    by: tuple[str, ...]
    levels: tuple[tuple[Any, ...], ...]
    rows: np.ndarray
    offset: np.ndarray
    at: Mapping[str, Any]
    over: tuple[str, ...]
    nested: tuple[str, ...]
    ddf: DDF
    level: float
    statistic: str = "emmean"
    trend_of: str = ""
    transformation: Transformation | None = None
    on_response: bool = False

    @property
    def L(self) -> np.ndarray:
        """The means over the identifiable coefficients, (m, p); NaN if not estimable.

        The means are ``L beta + offset``.
        """
        return estimable(self.fit.cp, self.rows)


def emmeans(
    fit: LinearFit,
    specs: str | Sequence[str],
    at: Mapping[str, Any] | None = None,
    by: str | Sequence[str] | None = None,
    ddf: DDF = "satterthwaite",
    level: float = 0.95,
    weights: str = "equal",
    offset: float | None = None,
    design: Design | None = None,
    type: str = "link",
    transformation: Transformation | None = None,
    trend_of: str = "",
) -> GridMeans:
    """Define estimated marginal means, or averages of the slope of a covariate.

    Parameters
    ----------
    fit : LinearFit
    specs : str or sequence of str
        The variables of the means: ``"f"``, ``["f", "g"]``, or ``"f | g"`` for f within each g;
        ``"1"`` for the mean over everything.
    at : dict, optional
        Variable -> value, or list of values, instead of the mean of a covariate or all levels of a
        factor.
    by : str or sequence of str, optional
        Variables that divide the comparisons into families.
    ddf : str or TraceMethod
    level : float
    weights : one of WEIGHTS
        How cells are averaged over the other factors: with equal weights; by the numbers of rows of
        the combinations of the factors averaged over ("proportional"), of each of these factors by
        itself ("outer"), or of the cells themselves ("cells"); or with equal weights of the cells
        that have rows ("flat").
    offset : float, optional
        Instead of the offset of the model.
    design : Design, optional
        The rows; needed for weights other than "equal".
    type : {"link", "response"}
        The scale of the model, or that of the response before its transformation.
    transformation : Transformation, optional
        That of the response in the formula by default.
    trend_of : str
        A covariate, for slopes in the place of means.

    Raises
    ------
    FormulaError
        For a variable that is not in the fixed part.
    DataError
        When the mean of a covariate needs the rows; ``at=`` gives it a value.

    Notes
    -----
    A covariate is held at its own mean over rows, also where the formula transforms it. A covariate
    with two values takes both, with equal weight (others only by ``at=``). An offset is evaluated
    on the grid like a covariate; one given as an array is held at its mean.

    A factor that is nested in others appears with them, at the combinations that exist.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("math ~ ses + sector + (1 | school)", mf.load_dataset("hsb"))
    >>> means = emmeans(m._fit, "sector")
    >>> (means.L @ m._fit.beta).round(2)
    array([13.82, 11.72])
    """
    check_level(level)
    check_choice("weights", weights, WEIGHTS)
    wanted, families = _read_specs(specs, by)
    if at is not None and not isinstance(at, Mapping):
        raise ArgumentError(f"at={at!r}: a dict such as {{variable: value}}")
    if offset is not None and not (isinstance(offset, Real) and np.isfinite(offset)):
        raise ArgumentError(f"offset={offset!r}: a number, added to all means")
    check_choice("type", type, TYPES)
    trend_of = unquoted(trend_of)
    extra = (trend_of,) if trend_of else ()
    grid = reference_grid(fit, (*wanted, *families, *extra), dict(at or {}))
    transformation = transformation or of_response(grid.recipe.spec.response)
    on_response = type == "response" and transformation is not None and not trend_of
    if on_response and transformation is not None and transformation.inverse is None:
        raise NotDefinedError(
            f"type='response': the inverse of {transformation.name} is not known; take the means "
            "on its scale, type='link'"
        )
    nested = nesting(fit.cp)
    wanted, families = _with_outer(wanted, families, nested)
    named = (*wanted, *families)
    steps = _steps(fit, grid, trend_of) if trend_of else None
    places = grid.all_places
    plain = structure(places, nested)
    positions = combinations(plain, named)
    if named and not len(positions[named[0]]):
        raise DataError(f"at={at!r}: these levels do not occur together")
    dimensions = _weighted(grid, plain, nested, named, weights, design)
    averages = mean_rows(fit, grid, positions, dimensions, steps)
    own = averages.offset if offset is None else np.full(len(averages.rows), float(offset))
    others = {name: values for name, values in grid.values.items() if name not in named}
    return GridMeans(
        fit=fit,
        specs=wanted,
        by=families,
        levels=tuple(zip(*([grid.values[n][i] for i in positions[n]] for n in named), strict=True))
        if named
        else ((),),
        rows=averages.rows,
        offset=own,
        at={name: values[0] for name, values in others.items() if len(values) == 1},
        over=tuple(name for name, values in others.items() if len(values) > 1),
        nested=tuple(f"{name} in {' and '.join(outer)}" for name, outer in nested.items()),
        ddf=ddf if isinstance(fit, Fit) else without_groups(ddf),
        level=level,
        statistic="trend" if trend_of else "emmean",
        trend_of=trend_of,
        transformation=transformation,
        on_response=on_response,
    )


def _steps(fit: LinearFit, grid: ReferenceGrid, name: str) -> Steps:
    """Choose the points whose differences give the derivative by a covariate.

    One step where all columns are products with the covariate itself, which is exact; otherwise the
    central difference over five points, exact for polynomials of degree four.
    """
    if name in grid.places:
        raise ArgumentError(
            f"emtrends({name!r}): the column holds categories, and slopes need numbers; compare "
            f"its means with emmeans({name!r})"
        )
    recipe, cp = grid.recipe, fit.cp
    products = recipe.fixed.products or ()
    curved = recipe.fixed.products is None or any(
        sum(piece.variable == name for piece in product) > 1 for product in products
    )
    in_offsets = any(name in expression_names(expr) for expr in recipe.spec.offsets)
    if not curved and not in_offsets:
        return Steps(name, (1.0, 0.0), (1.0, -1.0))
    size = abs(float(grid.values[name][0])) or 1.0
    for term in cp.meta.fixed_terms:
        if term.factors == (name,) and term.columns[0] in cp.kept:
            size = 1.0 / float(cp.scale[np.flatnonzero(cp.kept == term.columns[0])[0]])
    h = _STEP * size
    return Steps(name, (h, -h, 2.0 * h, -2.0 * h), tuple(w / (12.0 * h) for w in (8, -8, -1, 1)))


def _with_outer(
    wanted: tuple[str, ...], families: tuple[str, ...], nested: Nesting
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Add the factors that the named ones are nested in."""
    for name in families:
        families += tuple(n for n in nested.get(name, ()) if n not in (*wanted, *families))
    for name in wanted:
        wanted += tuple(n for n in nested.get(name, ()) if n not in (*wanted, *families))
    return wanted, families


def _weighted(
    grid: ReferenceGrid,
    plain: list[Dimension],
    nested: Nesting,
    named: tuple[str, ...],
    weights: str,
    design: Design | None,
) -> list[Dimension]:
    """Apply the weights to the dimensions of the grid."""
    countable = [
        name
        for name, values in grid.values.items()
        if name in grid.places or (len(values) > 1 and name not in grid.given)
    ]
    over = [name for name in countable if name not in named]
    if weights == "equal" or not over:
        return plain
    if design is None:
        raise DataError(f"weights={weights!r} counts rows, and this result was made without them")
    linked = over if weights in ("proportional", "outer") else countable
    joined = [name for one in plain if set(one.variables) & set(linked) for name in one.variables]
    found = {name: _positions(grid, name, design) for name in joined}
    if weights == "outer":
        shares = {
            name: np.bincount(at[at >= 0], minlength=len(grid.values[name])).astype(float)
            for name, at in found.items()
        }
        return structure(grid.all_places, nested, shares)
    return counted(plain, found, flat=weights == "flat")


def _positions(grid: ReferenceGrid, name: str, design: Design) -> np.ndarray:
    """Return for each row the position of its value on the grid, (n,); -1 for other values."""
    values = grid.values[name]
    if name in grid.places:
        place = np.full(len(grid.recipe.levels[name]), -1)
        place[grid.places[name]] = np.arange(len(values))
        return np.asarray(place[design.variables.coded[name].codes])
    numbers = design.variables.columns[name]
    assert isinstance(numbers, Numeric)
    out = np.full(design.n, -1)
    for i, value in enumerate(values):
        out[numbers.values == value] = i
    return out


def _read_specs(
    specs: str | Sequence[str], by: str | Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the variables of the means and those of the families; ``"f | g"`` gives both."""
    families = () if by is None else check_names("by", by)
    if not isinstance(specs, (str, Sequence)):
        raise FormulaError(
            f"specs={specs!r}: the name of a variable of the fixed part, or a list of names"
        )
    wanted: tuple[str, ...] = tuple(specs)
    if isinstance(specs, str):
        left, _, right = unquoted(specs).strip().removeprefix("~").partition("|")
        wanted, families = _names(left), (*_names(right), *families)
    if wanted == ("1",):
        return (), families
    if not wanted:
        raise FormulaError(f"specs={specs!r} contains no variable")
    twice = [name for name, count in Counter((*wanted, *families)).items() if count > 1]
    if twice:
        raise FormulaError(
            f"{twice[0]!r} is named twice in specs={specs!r}"
            + ("" if by is None else f", by={by!r}")
        )
    return wanted, families


def _names(text: str) -> tuple[str, ...]:
    """Split ``"f + g"`` or ``"f * g"`` into names."""
    return tuple(name.strip() for name in text.replace("*", "+").split("+") if name.strip())
