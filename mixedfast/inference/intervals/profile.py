"""Likelihood profiles: zeta of every standard deviation, correlation, sigma and coefficient.

``zeta(v) = sign(v - estimate) sqrt(d(v) - d_min)`` where d(v) is the smallest ML deviance with the parameter held at v
(Bates and Watts 1988, chapter 6; Bates et al. 2015, section 5.1). Fits by REML are profiled on the ML deviance too, as in lme4:
the REML criterion does not compare models whose fixed effects differ.

A profile is walked outwards from the estimate. The envelope theorem gives d'(v), so each point carries zeta and its exact
slope: steps are chosen by the slope, and a cubic through values and slopes needs few points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mixedfast._progress import Show, bar
from mixedfast._validation import check_level
from mixedfast._warnings import warn
from mixedfast.data.frames_out import in_callers_library
from mixedfast.engines.threads import on_one_blas_thread
from mixedfast.errors import ArgumentError, ConvergenceWarning
from mixedfast.estimation.newton import minimize
from mixedfast.estimation.pls import PLSSystem
from mixedfast.inference.intervals.parameters import Parameter, chosen, list_parameters, values
from mixedfast.inference.intervals.profile_constrained import (
    Point,
    chart_of,
    coefficient_slope,
    hold_coefficient,
    minimize_held,
)

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.estimation.fit import Fit

__all__ = ["Profile", "profile"]

#: Distance in zeta between neighbours on the walk. The cubic's error goes with its fourth power; at 0.7 it is below 1e-4.
_STEP = 0.7
#: Steps may grow by this factor from one to the next, where the slope says so.
_GROWTH = 2.0
_MAX_POINTS = 60
#: Constrained fits below the minimum by more than this mean that the minimum was not one (deviance units).
_BELOW = 1e-4
#: Below this abs(zeta) the slope d'(v) / (2 zeta) is a quotient of two small numbers and is not used.
_NEAR_ZERO = 1e-3
#: The level whose ends are computed and not only interpolated, and fits spent on each end.
_USUAL_LEVEL, _SHARPENINGS = 0.95, 2

Evaluate = Callable[[float], "tuple[float, float] | None"]
"""value held -> (deviance, d deviance / d value), or None when the constrained fit fails."""


class Place(NamedTuple):
    """One point of a profile; ``slope`` is d zeta / d value, NaN where it is not known."""

    value: float
    zeta: float
    slope: float


@dataclass(frozen=True, eq=False)
class Trace:
    """zeta of one parameter at increasing values.

    ``slope`` is d zeta / d value, NaN where it is not known. ``closed`` tells for each side whether the walk ended on the
    parameter's bound (zero, or a correlation of one) and not because zeta was large enough.
    """

    parameter: Parameter
    value: np.ndarray
    zeta: np.ndarray
    slope: np.ndarray
    closed: tuple[bool, bool]


@dataclass(frozen=True, eq=False)
class Profile:
    """Likelihood profiles of a fit.

    Parameters
    ----------
    traces : dict of str to Trace
    estimates : dict of str to float
        Maximum likelihood estimates.
    cutoff : float
        abs(zeta) reached on both sides, unless a bound came first.
    deviance : float
        The smallest ML deviance.
    library : {"pandas", "polars", "pyarrow"}
        What tables are given as.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))
    >>> profile(m._fit).confint().round(2).loc["sigma"].to_dict()
    {'conf_low': 38.23, 'conf_high': 67.66}
    """

    traces: dict[str, Trace]
    estimates: dict[str, float]
    cutoff: float
    deviance: float
    library: str = "pandas"

    @property
    def zeta(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Parameter -> (values, zeta), the points computed."""
        return {name: (trace.value, trace.zeta) for name, trace in self.traces.items()}

    def curve(self, name: str) -> Callable[[np.ndarray], np.ndarray]:
        """zeta of one parameter as a monotone function of its value, between the points computed.

        Parameters
        ----------
        name : str
            As in the index of `confint`.

        Returns
        -------
        callable

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))
        >>> float(m.profile(["sigma"]).curve("sigma")(60.0).round(2))
        1.25
        """
        trace = self.traces[name]
        return _interpolant(trace.value, trace.zeta, trace.slope)

    def plot(self, level: float = 0.95, ax: Any = None) -> np.ndarray:
        """zeta of each parameter, a panel each: a straight line means that a symmetric interval is right.

        Parameters
        ----------
        level : float
            The band drawn: where the curve leaves it, the interval ends.
        ax : sequence of matplotlib Axes, optional
            One a parameter; a new figure unless given.

        Returns
        -------
        ndarray of Axes

        Raises
        ------
        MissingLibraryError
            When matplotlib is not installed.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))
        >>> m.profile(["sigma"]).plot().shape
        (1,)
        """
        from mixedfast.report.plots import plot_profile

        return plot_profile(self, level, ax)

    @in_callers_library
    def confint(self, level: float = 0.95) -> pd.DataFrame:
        """Intervals: the values whose abs(zeta) is at most the normal quantile.

        Parameters
        ----------
        level : float

        Returns
        -------
        DataFrame
            Index: parameters; columns ``conf_low, conf_high``. An end that the likelihood does not set is the parameter's
            bound: 0 for a standard deviation, -1 or 1 for a correlation.

        Raises
        ------
        ArgumentError
            When the profile was not walked far enough for `level`.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))
        >>> m.profile(["sigma"]).confint(0.9).round(2)
               conf_low  conf_high
        sigma     39.73      64.07
        """
        import pandas as pd

        check_level(level)
        quantile = NormalDist().inv_cdf(0.5 + 0.5 * level)
        if quantile > self.cutoff:
            raise ArgumentError(
                f"the profile reaches zeta = {self.cutoff:.3g}, level={level} needs {quantile:.3g}: profile(max_level={level})"
            )
        ends = [_ends(trace, quantile) for trace in self.traces.values()]
        return pd.DataFrame(ends, index=list(self.traces), columns=["conf_low", "conf_high"])

    @in_callers_library
    def to_frame(self) -> pd.DataFrame:
        """One row a point computed: ``parameter, value, zeta``.

        Returns
        -------
        DataFrame

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))
        >>> m.profile(["sigma"]).to_frame().columns.tolist()
        ['parameter', 'value', 'zeta']
        """
        import pandas as pd

        parts = [
            pd.DataFrame({"parameter": name, "value": trace.value, "zeta": trace.zeta})
            for name, trace in self.traces.items()
        ]
        return pd.concat(parts, ignore_index=True)


@on_one_blas_thread  # once around all searches: to set it anew at each step costs more than a step
def profile(
    fit: Fit,
    parameters: str | Sequence[str] | None = None,
    max_level: float = 0.99,
    progress: Show = "auto",
) -> Profile:
    """Likelihood profiles of a fit; the fit itself is not touched.

    Parameters
    ----------
    fit : Fit
    parameters : str or sequence of str, optional
        Names as in ``confint``'s index; all by default.
    max_level : float
        The largest confidence level the profile must serve.
    progress : {"auto", True, False}
        Show a bar, which counts parameters.

    Returns
    -------
    Profile

    Raises
    ------
    ArgumentError
        For an unknown parameter or level.

    Warns
    -----
    ConvergenceWarning
        When a constrained fit fails (its side of the profile ends there) or falls below the minimum.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> profile(m._fit, ["Days"]).confint(0.95).round(2).loc["Days"].tolist()
    [7.36, 13.58]
    """
    check_level(max_level, "max_level")
    cp = fit.cp
    if isinstance(parameters, str):
        parameters = [parameters]
    if parameters is not None and not isinstance(parameters, Iterable):
        raise ArgumentError(
            f"profile(parameters={parameters!r}): names of parameters; the level goes to confint(level=...)"
        )
    wanted = chosen(list_parameters(cp), None if parameters is None else list(parameters))
    cutoff = -NormalDist().inv_cdf(0.5 - 0.5 * max_level)
    system = fit.new_system(reml=False)
    theta, deviance = _best(fit, system)
    sigma = math.sqrt(system.solution.r2 / cp.n)
    estimates = values(cp, theta, np.asarray(sigma), system.solution.beta)
    by_name = {p.name: float(v) for p, v in zip(list_parameters(cp), estimates, strict=True)}
    half = cp.basis.beta_transform() @ np.linalg.inv(system.solution.LX).T * (sigma / cp.scale[-1])
    errors = np.sqrt((half**2).sum(axis=1))
    traces = {}
    with bar(len(wanted), "profiling", progress, unit=" parameters") as advance:
        for p in wanted:
            center = by_name[p.name] if not math.isnan(by_name[p.name]) else 0.0
            if p.kind == "beta":
                evaluate, width = _coefficient_evaluator(fit, system, p, theta), errors[p.a]
            else:
                evaluate = _variance_evaluator(system, p, theta, sigma)
                width = _first_width(fit, p, by_name, sigma)
            traces[p.name] = _walk(p, center, width, evaluate, deviance, cutoff)
            advance(1)
    return Profile(traces, {p.name: by_name[p.name] for p in wanted}, cutoff, deviance)


def _best(fit: Fit, system: PLSSystem) -> tuple[np.ndarray, float]:
    """theta and deviance of the maximum likelihood fit; `system` is left solved there."""
    if not fit.reml:
        solution = system.solve(fit.theta_internal)
        assert solution is not None
        return fit.theta_internal, solution.deviance
    found = minimize(system, fit.theta_internal, exact=len(fit.cp.groups) == 1)
    system.solve(found.theta)
    return found.theta, found.deviance


def _first_width(fit: Fit, p: Parameter, estimates: dict[str, float], sigma: float) -> float:
    """A rough standard error of a variance parameter: only the first step depends on it."""
    cp = fit.cp
    if p.kind == "cor":
        return 0.2
    if p.kind == "sigma":
        return estimates["sigma"] / math.sqrt(2.0 * cp.n)
    term = cp.terms[p.term]
    group = cp.groups[term.group]
    # with sd s and J levels, s / sqrt(2 J); never less than what one level's rows can tell of a zero variance
    seen = (
        sigma
        / cp.scale[-1]
        * group.scale[term.start + p.a]
        / math.sqrt(max(1.0, cp.n / group.n_levels))
    )
    return max(estimates[p.name], 0.5 * seen) / math.sqrt(2.0 * group.n_levels)


# -- one constrained fit -------------------------------------------------------------------------------------------


def _coefficient_evaluator(
    fit: Fit, system: PLSSystem, p: Parameter, theta: np.ndarray
) -> Evaluate:
    """value -> (deviance, slope) with a coefficient held; each fit starts where the last ended."""
    state = {"theta": theta}

    def evaluate(value: float) -> tuple[float, float] | None:
        held, direction = hold_coefficient(fit.cp, system.engine, p.a, value)
        found = minimize(held, state["theta"], exact=len(fit.cp.groups) == 1)
        if not found.converged:
            return None
        state["theta"] = found.theta
        return found.deviance, coefficient_slope(held, direction)

    return evaluate


def _variance_evaluator(
    system: PLSSystem, p: Parameter, theta: np.ndarray, sigma: float
) -> Evaluate:
    """value -> (deviance, slope) with a variance parameter held; each fit starts where the last ended.

    A correlation can also be had by a zero standard deviation on either side of it, often far from where the search
    started. No value of the correlation is worse than that, so it is compared each time.
    """
    last = Point(0.0, 0.0, theta, sigma, np.empty(0))
    ceiling = _zero_variance_deviance(system, p, theta, sigma) if p.kind == "cor" else math.inf

    def evaluate(value: float) -> tuple[float, float] | None:
        nonlocal last
        chart = chart_of(system.cp, p, value, last.theta, last.sigma)
        guess = last.coordinates if last.coordinates.size else None
        found = minimize_held(system, chart, last.sigma, guess)
        if found is None:
            return None
        last = found
        return (found.deviance, found.slope) if found.deviance <= ceiling else (ceiling, 0.0)

    return evaluate


def _zero_variance_deviance(
    system: PLSSystem, p: Parameter, theta: np.ndarray, sigma: float
) -> float:
    """The smallest deviance with one of the two standard deviations of a correlation at zero."""
    lowest = math.inf
    for column in (p.a, p.b):
        held = Parameter("", "sd", p.term, column)
        found = minimize_held(system, chart_of(system.cp, held, 0.0, theta, sigma), sigma)
        lowest = min(lowest, found.deviance if found is not None else math.inf)
    return lowest


# -- the walk ------------------------------------------------------------------------------------------------------


def _walk(
    p: Parameter,
    center: float,
    width: float,
    evaluate_from: Evaluate,
    deviance: float,
    cutoff: float,
) -> Trace:
    """zeta on both sides of the estimate, out to `cutoff` or the parameter's bounds."""
    sides = [
        _side(p, center, sign * width, evaluate_from, deviance, cutoff) for sign in (-1.0, 1.0)
    ]
    (down, down_closed), (up, up_closed) = sides
    places = [*reversed(down), Place(center, 0.0, np.nan), *up]
    value, zeta, slope = (np.array(part, dtype=float) for part in zip(*places, strict=True))
    at = len(down)
    slope[at] = _slope_at_zero(value - center, zeta, slope, at)
    return Trace(p, value, zeta, slope, (down_closed, up_closed))


def _side(
    p: Parameter, center: float, step: float, evaluate: Evaluate, deviance: float, cutoff: float
) -> tuple[list[Place], bool]:
    """Places from the estimate outwards, and whether a bound ended them."""
    sign = math.copysign(1.0, step)
    bound = p.bounds[0] if sign < 0 else p.bounds[1]
    places: list[Place] = []
    value, zeta, length = center, 0.0, abs(step) * _STEP
    while abs(zeta) < cutoff and len(places) < _MAX_POINTS and value != bound:
        if (
            p.kind == "sigma" and sign < 0
        ):  # sigma is never held at zero: each step leaves at least half of it
            length = min(length, 0.5 * value)
        following = value + sign * length
        if sign * (bound - following) < 0.05 * length:  # do not leave a crumb before the bound
            following = bound
        place = _place(p, following, sign, evaluate, deviance)
        if place is None:
            warn(
                f"the profile of {p.name} stops at {value:.6g}: the next constrained fit failed",
                ConvergenceWarning,
            )
            return places, False
        # rounding and local minima only: held farther away, the best fit cannot be better
        place = place._replace(zeta=sign * max(abs(place.zeta), abs(zeta)))
        places.append(place)
        moved, gained = abs(following - value), abs(place.zeta - zeta)
        value, zeta = following, place.zeta
        wish = (
            _STEP / place.slope if np.isfinite(place.slope) and place.slope > 0 else moved * _GROWTH
        )
        length = float(
            np.clip(wish, 0.2 * moved, moved * (_GROWTH if gained > 0.1 * _STEP else 4.0))
        )
    _sharpen(p, center, sign, places, evaluate, deviance)
    return places, value == bound


def _place(
    p: Parameter, value: float, sign: float, evaluate: Evaluate, deviance: float
) -> Place | None:
    """zeta and its slope at one value; None when the constrained fit fails."""
    found = evaluate(value)
    if found is None:
        return None
    rise = found[0] - deviance
    if rise < -_BELOW:
        warn(
            f"with {p.name} held at {value:.6g} the deviance is {-rise:.2g} lower than at the estimates: "
            "the fit is not a global optimum",
            ConvergenceWarning,
        )
    zeta = sign * math.sqrt(max(rise, 0.0))
    return Place(value, zeta, found[1] / (2.0 * zeta) if abs(zeta) > _NEAR_ZERO else np.nan)


def _sharpen(
    p: Parameter,
    center: float,
    sign: float,
    places: list[Place],
    evaluate: Evaluate,
    deviance: float,
) -> None:
    """Add the end of the usual interval itself: a profile may have kinks there that no cubic follows."""
    if not places:
        return
    target = sign * NormalDist().inv_cdf(0.5 + 0.5 * _USUAL_LEVEL)
    for _ in range(_SHARPENINGS):
        path = sorted([Place(center, 0.0, np.nan), *places])
        value, zeta, slope = (np.array(part, dtype=float) for part in zip(*path, strict=True))
        roots = _interpolant(value, zeta, slope).solve(target, extrapolate=False)
        if not len(roots) or np.abs(value - roots[0]).min() < 1e-4 * np.ptp(value):
            return
        place = _place(p, float(roots[0]), sign, evaluate, deviance)
        inner = [other for other in path if sign * (other.value - roots[0]) < 0][
            -1 if sign > 0 else 0
        ]
        outer = [other for other in path if sign * (other.value - roots[0]) > 0][
            0 if sign > 0 else -1
        ]
        # a fit that failed or fell into another valley is no better than the cubic
        if place is None or not abs(inner.zeta) <= abs(place.zeta) <= abs(outer.zeta):
            return
        places.append(place)
        places.sort(key=lambda other: sign * other.value)


def _slope_at_zero(h: np.ndarray, zeta: np.ndarray, slope: np.ndarray, at: int) -> float:
    """d zeta / d value at the estimate, from zeta = a h + b h^2 + ... through the neighbours' values and slopes."""
    near = [i for i in (at - 1, at + 1) if 0 <= i < len(h) and abs(zeta[i]) > _NEAR_ZERO]
    rows, right = [], []
    order = 2 * len(near)
    size = max((abs(h[i]) for i in near), default=1.0)
    for i in near:
        x = h[i] / size
        rows.append([x**k for k in range(1, order + 1)])
        right.append(zeta[i])
        if np.isfinite(slope[i]):
            rows.append([k * x ** (k - 1) for k in range(1, order + 1)])
            right.append(slope[i] * size)
    if not near:
        return np.nan
    return float(np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0][0] / size)


# -- reading a trace -----------------------------------------------------------------------------------------------


def _interpolant(value: np.ndarray, zeta: np.ndarray, slope: np.ndarray) -> Any:
    """A monotone cubic through values and slopes.

    Slopes that are unknown are PCHIP's. Each piece keeps its slopes between zero and three times its secant, which is enough
    for monotonicity (Fritsch and Carlson 1980, SIAM J. Numer. Anal. 17); neighbours need not agree, as at a kink.
    """
    from scipy.interpolate import PchipInterpolator, PPoly

    h, rise = np.diff(value), np.diff(zeta)
    guess = (
        PchipInterpolator(value, zeta).derivative()(value)
        if len(value) > 2
        else np.full(2, rise[0] / h[0])
    )
    slope = np.where(np.isfinite(slope), slope, guess)
    left, right = (np.clip(part, 0.0, 3.0 * rise / h) for part in (slope[:-1], slope[1:]))
    cubic = (left + right - 2.0 * rise / h) / h**2
    square = (3.0 * rise / h - 2.0 * left - right) / h
    return PPoly(np.array([cubic, square, left, zeta[:-1]]), value)


def _ends(trace: Trace, quantile: float) -> tuple[float, float]:
    """Where zeta is -quantile and quantile; the bound where it never is; NaN where the walk broke off."""
    if len(trace.value) < 2:
        low, high = trace.parameter.bounds
        return low if trace.closed[0] else np.nan, high if trace.closed[1] else np.nan
    curve = _interpolant(trace.value, trace.zeta, trace.slope)
    out = []
    for side, target in enumerate((-quantile, quantile)):
        at = -side  # first or last point
        if abs(trace.zeta[at]) >= quantile and np.sign(trace.zeta[at]) == np.sign(target):
            roots = curve.solve(target, extrapolate=False)
            out.append(float(roots[0] if side == 0 else roots[-1]))
        else:
            out.append(trace.parameter.bounds[side] if trace.closed[side] else np.nan)
    return out[0], out[1]
