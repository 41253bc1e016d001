"""The numbers of every picture, as plain tables made from a result.

Tables keep all rows and all groups. `thinned` and `sampled` choose the part of large tables that is
drawn, always the same part of the same data.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast.data.categories import Categorical
from mixedfast.data.frames import ColumnData, Numeric, Table
from mixedfast.design.columns import evaluate
from mixedfast.design.new_data import code_new_data
from mixedfast.design.types import Design
from mixedfast.errors import DataError
from mixedfast.formula.variables import expression_names
from mixedfast.inference.diagnostics.no_pooling import unpooled_effects

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.inference.intervals.bootstrap_intervals import Replicates
    from mixedfast.inference.intervals.profile import LikelihoodProfile
    from mixedfast.report.protocols import MixedModel, Model

__all__ = [
    "against_normal",
    "bootstrap_densities",
    "caterpillar",
    "group_name",
    "points_behind",
    "population_line",
    "profile_zeta",
    "qq",
    "residual_quantiles",
    "residuals",
    "residuals_by_group",
    "sampled",
    "shrinkage",
    "slope_variable",
    "slopes",
    "thinned",
    "trend",
]

#: Points of a line that may be curved.
_POINTS = 25
#: Most rows that lines are averaged over.
_AVERAGED = 10_000
#: Points of the curve of a profile.
_CURVE = 200
#: A normal distribution holds 95 % within this many standard deviations of its mean.
_NORMAL_95 = NormalDist().inv_cdf(0.975)
_QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}


# --- fewer points, always the same ones -----------------------------------------------------------


def thinned(n: int, most: int) -> np.ndarray:
    """Choose at most `most` of the places 0 .. n-1, evenly spaced, both ends included.

    Examples
    --------
    >>> thinned(9, 3), thinned(2, 3)
    (array([0, 4, 8]), array([0, 1]))
    """
    return np.arange(n) if n <= most else np.unique(np.linspace(0, n - 1, most).round().astype(int))


def sampled(n: int, most: int) -> np.ndarray:
    """Choose at most `most` of the places 0 .. n-1 at random, ascending, the same every time."""
    return (
        np.arange(n)
        if n <= most
        else np.sort(np.random.default_rng(0).choice(n, most, replace=False))
    )


# --- residuals ------------------------------------------------------------------------------------


def residuals(m: Model, type: str = "scaled") -> pd.DataFrame:
    """Tabulate ``fitted`` and ``residual`` of every row used."""
    import pandas as pd

    return pd.DataFrame({"fitted": m.fitted, "residual": m.resid(type)})


def trend(x: np.ndarray, y: np.ndarray, bins: int = 15) -> pd.DataFrame:
    """Average `y` in bins of `x` with equally many rows: columns ``x, y, n``.

    Examples
    --------
    >>> import numpy as np
    >>> trend(np.array([1.0, 2, 3, 4]), np.array([0.0, 2, 4, 6]), bins=2).y.tolist()
    [1.0, 5.0]
    """
    import pandas as pd

    order = np.argsort(x, kind="stable")
    parts = np.array_split(order, min(bins, len(x)))
    rows = [(x[part].mean(), y[part].mean(), len(part)) for part in parts if len(part)]
    return pd.DataFrame(rows, columns=["x", "y", "n"])


def residuals_by_group(m: Model, group: str | None = None, type: str = "scaled") -> pd.DataFrame:
    """Compute quantiles of the residuals of each group, sorted by their median.

    Columns ``level, n, q05, q25, median, q75, q95``.
    """
    import pandas as pd

    design = m._rows("residuals_by_group")
    name = group_name(m, None) if group is None else group
    _, codes, levels = m._levels_of(name, design, "residuals_by_group")
    values = m.resid(type)
    known = np.flatnonzero(codes >= 0)
    order = known[np.lexsort((values[known], codes[known]))]
    sizes = np.bincount(codes[known], minlength=len(levels))
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    sorted_values = values[order]
    columns: dict[str, Any] = {"level": levels, "n": sizes}
    for column, share in _QUANTILES.items():  # interpolated linearly, as by np.quantile
        place = share * (sizes - 1)
        below = first + np.floor(place).astype(int)
        above = np.minimum(below + 1, first + sizes - 1)
        columns[column] = sorted_values[below] + (place % 1.0) * (
            sorted_values[above] - sorted_values[below]
        )
    return pd.DataFrame(columns).sort_values("median", kind="stable", ignore_index=True)


# --- quantiles ------------------------------------------------------------------------------------


def qq(m: MixedModel, what: str = "residuals") -> pd.DataFrame:
    """Compare sorted values with normal quantiles: ``term, theoretical, sample, line, low, high``.

    ``line`` goes through the quartiles. ``low`` and ``high`` contain 95 % of the values at that
    place, if all are independent and normal with the mean and standard deviation of the line: by
    the asymptotic standard error of an order statistic, ``sd * sqrt(p (1 - p) / n) / phi(z)``
    (David and Nagaraja 2003, *Order Statistics*, section 10.2).

    Parameters
    ----------
    m : MixedModel
    what : str
        ``"residuals"`` (scaled by sigma), or a grouping factor: its conditional modes, in units of
        the response.
    """
    import pandas as pd

    if what == "residuals":
        return residual_quantiles(m)
    modes = m.ranef()[group_name(m, what)]
    return pd.concat(
        [against_normal(str(name), modes.iloc[:, i].to_numpy()) for i, name in enumerate(modes)]
    )


def residual_quantiles(m: Model) -> pd.DataFrame:
    """Compare the residuals with normal quantiles; see `qq`."""
    return against_normal("residuals", m.resid("scaled"))


def against_normal(name: str, values: np.ndarray) -> pd.DataFrame:
    """Compare values with normal quantiles; see `qq`."""
    import pandas as pd
    from scipy.special import ndtr, ndtri

    n = len(values)
    # plotting positions of Blom (1958), as ppoints in R: (i - a) / (n + 1 - 2a)
    a = 0.375 if n <= 10 else 0.5
    theoretical = ndtri((np.arange(1, n + 1) - a) / (n + 1 - 2 * a))
    sample = np.sort(values)
    quartiles = np.array([0.25, 0.75])
    (low, high), (z_low, z_high) = (
        np.quantile(sample, quartiles),
        np.quantile(theoretical, quartiles),
    )
    sd = (high - low) / (z_high - z_low) if n > 1 else 0.0
    line = np.median(sample) + sd * theoretical
    share = ndtr(theoretical)
    density = np.exp(-0.5 * theoretical**2) / np.sqrt(2 * np.pi)
    reach = _NORMAL_95 * sd * np.sqrt(share * (1 - share) / n) / density
    columns = {
        "theoretical": theoretical,
        "sample": sample,
        "line": line,
        "low": line - reach,
        "high": line + reach,
    }
    return pd.DataFrame({"term": name, **columns})


# --- groups ---------------------------------------------------------------------------------------


def group_name(m: Model, group: str | None) -> str:
    """Check the name of a grouping factor; by default, take the one with most levels."""
    names = list(m.n_groups)
    if not names:
        raise DataError("a regression has no grouping factors: name a column of the data (group=)")
    if group is None:
        return names[0]
    if group not in names:
        raise DataError(
            f"the model has no grouping factor {group!r}: choose from {', '.join(names)}"
        )
    return group


def caterpillar(m: MixedModel, group: str | None = None, level: float = 0.95) -> pd.DataFrame:
    """Tabulate conditional modes with intervals, each term sorted by estimate.

    Columns ``term, level, estimate, conf_low, conf_high``. The intervals are of the modes given
    beta and theta, at `level`.
    """
    import pandas as pd

    name = group_name(m, group)
    modes, variance = m.ranef(cond_var=True)[name]
    reach = NormalDist().inv_cdf(0.5 + 0.5 * level) * np.sqrt(
        np.diagonal(variance, axis1=1, axis2=2)
    )
    parts = []
    for i, term in enumerate(modes):
        estimate = modes.iloc[:, i].to_numpy()
        part = pd.DataFrame({"term": str(term), "level": modes.index, "estimate": estimate})
        part["conf_low"], part["conf_high"] = estimate - reach[:, i], estimate + reach[:, i]
        parts.append(part.sort_values("estimate", kind="stable"))
    return pd.concat(parts, ignore_index=True)


def shrinkage(m: MixedModel, group: str | None = None) -> pd.DataFrame:
    """Tabulate the estimates from each group's own rows and those of the model.

    Columns ``level, term, own, shrunken``. Coefficients, not deviations: the fixed effect of the
    same name is added. ``own`` is least squares on the group's own rows, given the other fixed
    effects and the modes of the other grouping factors; missing where these rows do not identify
    it.
    """
    import pandas as pd

    name = group_name(m, group)
    at = list(m.n_groups).index(name)
    own, shrunken = unpooled_effects(m._fit, at), m._fit.modes[at]
    products = m._fit.cp.groups[at]
    center = np.array([m.params.get(term, 0.0) for term in products.names])
    count, k = shrunken.shape
    return pd.DataFrame(
        {
            "level": np.repeat(np.asarray(products.levels, dtype=object), k),
            "term": np.tile(np.array(products.names, dtype=object), count),
            "own": (own + center).ravel(),
            "shrunken": (shrunken + center).ravel(),
        }
    )


# --- lines ----------------------------------------------------------------------------------------


def slope_variable(m: MixedModel, x: str | None = None, group: str | None = None) -> str:
    """Choose the variable of the horizontal axis: `x`, or a default.

    The default is the first numeric predictor whose slope varies by group, else the first one.

    Raises
    ------
    DataError
        When `x` is not a numeric predictor of the model, or the model has none.
    """
    design = m._rows("slopes")
    numbers = [
        v for v, column in design.variables.columns.items() if _is_predictor(design, v, column)
    ]
    if x is not None:
        if x not in numbers:
            raise DataError(
                f"slopes(x={x!r}): not a numeric predictor of the model "
                f"({', '.join(numbers) or 'it has none'})"
            )
        return x
    random = [
        column
        for term in design.terms
        if term.group == group_name(m, group)
        for column in term.names
    ]
    found = [v for v in random if v in numbers] or numbers
    if not found:
        raise DataError("slopes: the model has no numeric predictor to draw lines along")
    return found[0]


def _is_predictor(design: Design, name: str, column: ColumnData) -> bool:
    """Whether a variable is a numeric predictor: no response, no boolean, not inside ``C()``."""
    if (
        not isinstance(column, Numeric)
        or column.values.dtype.kind == "b"
        or name in design.variables.coded
    ):
        return False
    return name not in expression_names(design.spec.response)


def slopes(
    m: MixedModel, x: str | None = None, group: str | None = None, most: int = 300
) -> pd.DataFrame:
    """Compute the fitted line of each group over its own range of `x`: ``level, x, y``.

    A point is the mean over the group's rows of their expectations at that `x`, with their other
    variables as they are. The effects of other grouping factors are zero.

    Parameters
    ----------
    m : MixedModel
    x : str, optional
        A numeric variable; see `slope_variable`.
    group : str, optional
    most : int
        Most groups; more are thinned evenly over the order of levels.
    """
    import pandas as pd

    design, name = m._rows("slopes"), group_name(m, group)
    term = next(term for term in design.terms if term.group == name)
    levels = thinned(len(term.levels), most)
    place = np.full(len(term.levels), -1)
    place[levels] = np.arange(len(levels))
    rows = np.flatnonzero(place[term.codes] >= 0)
    grid = _Grid(design, slope_variable(m, x, name), rows, place[term.codes[rows]], len(levels))
    y = (
        grid.averaged(
            _fixed_part(m, grid.table) + _random_part(m, name, grid.table, levels[grid.at])
        )
        + grid.offset
    )
    labels = np.asarray(term.levels, dtype=object)[np.repeat(levels, _POINTS)]
    return pd.DataFrame({"level": labels, "x": grid.x.ravel(), "y": y})


def population_line(m: MixedModel, x: str | None = None, group: str | None = None) -> pd.DataFrame:
    """Compute the line of the fixed effects over the range of `x`: ``x, y``; see `slopes`."""
    import pandas as pd

    design = m._rows("slopes")
    grid = _Grid(
        design, slope_variable(m, x, group), np.arange(design.n), np.zeros(design.n, dtype=int), 1
    )
    return pd.DataFrame(
        {"x": grid.x.ravel(), "y": grid.averaged(_fixed_part(m, grid.table)) + grid.offset}
    )


class _Grid:
    """Rows of the data, each at every point of a grid of one variable.

    Parameters
    ----------
    design : Design
    variable : str
        The variable of the grid, over its range in each set of rows.
    rows : (r,) array
        The rows of all sets.
    at : (r,) array
        The set of each row, 0 .. count-1; no set is empty.
    count : int

    Attributes
    ----------
    x : (count, points) array
    table : Table
        Of (some of) the rows at each point, points varying fastest.
    at : array
        The set of each row of the table.
    offset : (count * points,) array
        The mean offset of each set.
    """

    def __init__(
        self, design: Design, variable: str, rows: np.ndarray, at: np.ndarray, count: int
    ) -> None:
        column = design.variables.columns[variable]
        assert isinstance(column, Numeric)
        values = column.values[rows].astype(float)
        low, high = np.full(count, np.inf), np.full(count, -np.inf)
        np.minimum.at(low, at, values)
        np.maximum.at(high, at, values)
        self.x = np.linspace(low, high, _POINTS, axis=1)
        offset = np.zeros(len(rows)) if design.offset is None else design.offset[rows]
        self.offset = np.repeat(
            np.bincount(at, offset, count) / np.bincount(at, minlength=count), _POINTS
        )
        # a sample represents all rows, with at least one row of each set
        some = np.union1d(sampled(len(rows), _AVERAGED), np.unique(at, return_index=True)[1])
        self._count = count
        self._place = (at[some][:, None] * _POINTS + np.arange(_POINTS)).ravel()
        self.at = np.repeat(at[some], _POINTS)
        along = Numeric(self.x[at[some]].ravel())
        repeated = np.repeat(rows[some], _POINTS)
        columns = {
            name: along if name == variable else _taken(column, repeated)
            for name, column in design.variables.columns.items()
        }
        self.table = Table(list(columns), len(repeated), columns.__getitem__)

    def averaged(self, values: np.ndarray) -> np.ndarray:
        """Average over the rows of each set at each of its points, (count * points,)."""
        size = self._count * _POINTS
        return np.bincount(self._place, values, size) / np.bincount(self._place, minlength=size)


def _taken(column: ColumnData, rows: np.ndarray) -> ColumnData:
    if isinstance(column, Categorical):
        return Categorical(column.codes[rows], column.levels, column.ordered)
    return Numeric(column.values[rows])


def _fixed_part(m: MixedModel, table: Table) -> np.ndarray:
    design = m._rows("slopes")
    recipe = replace(design.recipe, spec=replace(design.spec, offsets=()), offset_column=None)
    x = code_new_data(recipe, table, groups=False).x
    out = np.zeros(table.n)
    for j, coefficient in zip(m._fit.cp.kept, m._fit.beta, strict=True):
        out += coefficient * evaluate(x[j], table.n)
    return out


def _random_part(m: MixedModel, group: str, table: Table, levels: np.ndarray) -> np.ndarray:
    """Compute Z b of one grouping factor on new rows with given codes of levels."""
    design = m._rows("slopes")
    modes = m._fit.modes[list(m.n_groups).index(group)]
    out = np.zeros(table.n)
    for term, coding, shape in zip(
        design.terms, design.recipe.random, m._fit.cp.terms, strict=True
    ):
        if term.group != group:
            continue
        spec = replace(design.spec, fixed=coding.formula, offsets=())
        recipe = replace(
            design.recipe,
            spec=spec,
            fixed=coding,
            kept=tuple(range(len(coding.names))),
            offset_column=None,
        )
        for a, column in enumerate(code_new_data(recipe, table, groups=False).x, shape.start):
            out += modes[levels, a] * evaluate(column, table.n)
    return out


def points_behind(m: MixedModel, x: str, most: int) -> pd.DataFrame:
    """Sample the rows: ``x`` and the response, ``y``."""
    import pandas as pd

    design = m._rows("slopes")
    rows = sampled(design.n, most)
    column = design.variables.columns[x]
    assert isinstance(column, Numeric)
    return pd.DataFrame({"x": column.values[rows], "y": design.y[rows]})


# --- intervals ------------------------------------------------------------------------------------


def profile_zeta(profile: LikelihoodProfile) -> pd.DataFrame:
    """Tabulate zeta along each parameter, densely enough for a smooth curve.

    Columns ``parameter, value, zeta, computed``: ``computed`` marks the constrained fits, the other
    rows are on the curve between them.
    """
    import pandas as pd

    parts = []
    for name, trace in profile.traces.items():
        computed = pd.DataFrame(
            {"parameter": name, "value": trace.value, "zeta": trace.zeta, "computed": True}
        )
        if len(trace.value) > 1:
            value = np.linspace(trace.value[0], trace.value[-1], _CURVE)
            between = pd.DataFrame(
                {
                    "parameter": name,
                    "value": value,
                    "zeta": profile.curve(name)(value),
                    "computed": False,
                }
            )
            computed = pd.concat([computed, between])
        parts.append(computed.sort_values("value", kind="stable"))
    return pd.concat(parts, ignore_index=True)


def bootstrap_densities(boot: Replicates) -> pd.DataFrame:
    """Compute histograms of converged replicates, of area 1: ``parameter, low, high, density``."""
    import pandas as pd

    parts = []
    for i, name in enumerate(boot.names):
        values = boot.replicates[boot.converged, i]
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        bins = min(60, max(5, len(np.histogram_bin_edges(values, "fd")) - 1))
        density, edges = np.histogram(values, bins=bins, density=True)
        parts.append(
            pd.DataFrame(
                {"parameter": name, "low": edges[:-1], "high": edges[1:], "density": density}
            )
        )
    return (
        pd.concat(parts, ignore_index=True)
        if parts
        else pd.DataFrame(columns=["parameter", "low", "high", "density"])
    )
