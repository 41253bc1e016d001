"""Estimated marginal means: averages of the model's predictions on the reference grid.

Population marginal means of Searle, Speed and Milliken (1980, The American Statistician 34): the
model is evaluated on every combination of the levels of the factors, with covariates at their
means, and averaged over the other factors.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from mixedfast._validation import check_choice, check_level, check_names
from mixedfast.design.types import Design
from mixedfast.errors import ArgumentError, FormulaError
from mixedfast.estimation.fit import Fit
from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.inference.ddf.methods import DDF, FTest, f_test, t_test, without_groups
from mixedfast.inference.hypotheses.comparisons import (
    ADJUSTMENTS,
    adjusted_p_values,
    critical_values,
)
from mixedfast.inference.hypotheses.estimable import estimable
from mixedfast.inference.hypotheses.reference_grid import cell_weights, reference_grid

__all__ = ["GridMeans", "emmeans", "equality_tests", "families", "mean_estimates", "pairwise"]


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
    L : (m, p) array
        Over the identifiable coefficients; the means are ``L beta + offset``. Rows that cannot be
        estimated are NaN.
    offset : (m,) array
    at : dict
        Values at which the other covariates are held.
    over : tuple of str
        The variables averaged over.
    ddf : str or TraceMethod
    level : float
        Of confidence intervals.
    """

    fit: LinearFit
    specs: tuple[str, ...]
    by: tuple[str, ...]
    levels: tuple[tuple[Any, ...], ...]
    L: np.ndarray
    offset: np.ndarray
    at: Mapping[str, Any]
    over: tuple[str, ...]
    ddf: DDF
    level: float


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
) -> GridMeans:
    """Define estimated marginal means.

    Parameters
    ----------
    fit : LinearFit
    specs : str or sequence of str
        The variables of the means: ``"f"``, ``["f", "g"]``, or ``"f | g"`` for f within each g.
    at : dict, optional
        Variable -> value, or list of values, instead of the mean of a covariate or all levels of a
        factor.
    by : str or sequence of str, optional
        Variables that divide the comparisons into families.
    ddf : str or TraceMethod
    level : float
    weights : {"equal", "proportional"}
        How cells are averaged over the other factors: with equal weights, or weighted by their
        numbers of rows.
    offset : float, optional
        Instead of the offset of the model.
    design : Design, optional
        The rows; needed for ``weights="proportional"``.

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

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("math ~ ses + sector + (1 | school)", mf.load_dataset("hsb"))
    >>> mean_estimates(emmeans(m._fit, "sector"))["emmean"].round(2)
    array([13.82, 11.72])
    """
    check_level(level)
    wanted, families = _read_specs(specs, by)
    if at is not None and not isinstance(at, Mapping):
        raise ArgumentError(f"at={at!r}: a dict such as {{variable: value}}")
    if offset is not None and not (isinstance(offset, Real) and np.isfinite(offset)):
        raise ArgumentError(f"offset={offset!r}: a number, added to all means")
    given = dict(at or {})
    named = (*wanted, *families)
    grid = reference_grid(fit, named, given, offset)
    others = {name: values for name, values in grid.values.items() if name not in named}
    over = [name for name, values in others.items() if len(values) > 1]
    averaged_over = [name for name in over if name not in given]
    shares = cell_weights(grid, weights, averaged_over, design)
    keys = [row[: len(named)] for row in grid.cells]
    levels = tuple(dict.fromkeys(keys))
    cells = [np.array([key == one for key in keys]) for one in levels]
    means = np.array([np.average(grid.X[rows], axis=0, weights=shares[rows]) for rows in cells])
    return GridMeans(
        fit=fit,
        specs=wanted,
        by=families,
        levels=levels,
        L=estimable(fit.cp, means),
        offset=np.array([np.average(grid.offset[rows], weights=shares[rows]) for rows in cells]),
        at={name: values[0] for name, values in others.items() if len(values) == 1},
        over=tuple(over),
        ddf=ddf if isinstance(fit, Fit) else without_groups(ddf),
        level=level,
    )


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
        left, _, right = specs.strip().removeprefix("~").partition("|")
        wanted, families = _names(left), (*_names(right), *families)
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


# --- estimates and tests ------------------------------------------------------------------------


def mean_estimates(means: GridMeans) -> dict[str, np.ndarray]:
    """Estimate the means: ``emmean, std_error, df, conf_low, conf_high``, (m,) each."""
    tests = _t_tests(means, means.L)
    return {
        "emmean": tests["estimate"] + means.offset,
        "std_error": tests["std_error"],
        "df": tests["df"],
        "conf_low": tests["conf_low"] + means.offset,
        "conf_high": tests["conf_high"] + means.offset,
    }


def families(means: GridMeans) -> dict[tuple[Any, ...], list[int]]:
    """Group the means by their values of ``by``: values -> positions."""
    out: dict[tuple[Any, ...], list[int]] = {}
    for i, row in enumerate(means.levels):
        out.setdefault(row[len(means.specs) :], []).append(i)
    return out


def pairwise(
    means: GridMeans, members: list[int], adjust: str = "tukey"
) -> tuple[list[tuple[int, int]], dict[str, np.ndarray]]:
    """Test all differences of two means of a family.

    Parameters
    ----------
    means : GridMeans
    members : list of int
        Positions of the means.
    adjust : one of ADJUSTMENTS
        How p values and intervals allow for the number of means (Tukey) or of comparisons.

    Returns
    -------
    pairs : list of (int, int)
    tests : dict of str to array
        ``estimate, std_error, df, statistic, p_value, conf_low, conf_high``, one value per pair.

    Raises
    ------
    ArgumentError
        For an unknown adjustment.
    """
    check_choice("adjust", adjust, ADJUSTMENTS)
    pairs = list(itertools.combinations(members, 2))
    first, second = (np.array([pair[k] for pair in pairs], dtype=int) for k in (0, 1))
    tests = _t_tests(means, means.L[first] - means.L[second])
    offset = means.offset[first] - means.offset[second]
    estimate = tests["estimate"] + offset
    statistic = tests["statistic"] + offset / tests["std_error"]
    critical = critical_values(means.level, tests["df"], len(members), adjust)
    margin = critical * tests["std_error"]
    return pairs, {
        "estimate": estimate,
        "std_error": tests["std_error"],
        "df": tests["df"],
        "statistic": statistic,
        "p_value": adjusted_p_values(statistic, tests["df"], len(members), adjust),
        "conf_low": estimate - margin,
        "conf_high": estimate + margin,
    }


def equality_tests(means: GridMeans) -> dict[tuple[Any, ...], FTest]:
    """Test in each family that all means are equal; NaN when a mean cannot be estimated."""
    return {by: _equality_test(means, members) for by, members in families(means).items()}


def _equality_test(means: GridMeans, members: list[int]) -> FTest:
    """Test that some means are equal."""
    L = means.L[members[1:]] - means.L[members[0]]
    rhs = means.offset[members[0]] - means.offset[members[1:]]
    if not len(L) or np.isnan(L).any():
        return FTest(*(np.nan,) * 5)
    return f_test(means.fit, L, rhs, means.ddf)


def _t_tests(means: GridMeans, L: np.ndarray) -> dict[str, np.ndarray]:
    """Test L beta = 0 row by row; NaN for rows that cannot be estimated."""
    known = ~np.isnan(L).any(axis=1)
    out = {}
    for name, values in t_test(means.fit, L[known], 0.0, means.ddf, means.level).items():
        out[name] = np.full(len(L), np.nan)
        out[name][known] = values
    return out
