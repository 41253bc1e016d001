"""Likelihood profiles of standard deviations, correlations, sigma and coefficients.

``zeta(v) = sign(v - estimate) sqrt(d(v) - d_min)`` where d(v) is the smallest ML deviance with the
parameter fixed at v (Bates and Watts 1988, chapter 6; Bates et al. 2015, section 5.1). Fits by REML
are profiled on the ML deviance too, as in lme4: the REML criterion cannot compare models with
different fixed effects.

A profile is computed outwards from the estimate. By the envelope theorem each constrained fit also
gives d'(v), so each point has zeta and its exact slope: the slope sets the next step, and a cubic
through values and slopes needs few points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from mixedfast._progress import Show, bar
from mixedfast._validation import check_level
from mixedfast.engines.threads import on_one_blas_thread
from mixedfast.errors import ArgumentError
from mixedfast.estimation.local_model import choose_model
from mixedfast.estimation.newton import minimize
from mixedfast.estimation.pls import PLSSystem
from mixedfast.inference.intervals.parameters import (
    Parameter,
    list_parameters,
    parameter_values,
    select_parameters,
)
from mixedfast.inference.intervals.profile_constrained import (
    Point,
    chart_of,
    coefficient_slope,
    fix_coefficient,
    minimize_on_chart,
)
from mixedfast.inference.intervals.profile_walk import Evaluate, walk
from mixedfast.inference.intervals.zeta_curve import Trace, interpolant, interval_ends

if TYPE_CHECKING:
    from mixedfast.estimation.fit import Fit

__all__ = ["LikelihoodProfile", "profile", "profile_limits"]


@dataclass(frozen=True, eq=False)
class LikelihoodProfile:
    """Likelihood profiles of a fit.

    Parameters
    ----------
    traces : dict of str to Trace
        Parameter -> values, zeta and slopes.
    estimates : dict of str to float
        Maximum likelihood estimates.
    cutoff : float
        The abs(zeta) reached on both sides, unless a bound came first.
    deviance : float
        The smallest ML deviance.
    """

    traces: dict[str, Trace]
    estimates: dict[str, float]
    cutoff: float
    deviance: float

    @property
    def zeta(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Parameter -> (values, zeta) at the points computed."""
        return {name: (trace.value, trace.zeta) for name, trace in self.traces.items()}

    def curve(self, name: str) -> Callable[[np.ndarray], np.ndarray]:
        """Return zeta of one parameter as a monotone function of its value.

        Parameters
        ----------
        name : str
            As in the index of `confint`.

        Returns
        -------
        callable
            Defined between the smallest and the largest value computed.

        Examples
        --------
        >>> import mixedfast as mf
        >>> m = mf.lmer("Yield ~ 1 + (1 | Batch)", mf.load_dataset("dyestuff"))
        >>> float(m.profile(["sigma"]).curve("sigma")(60.0).round(2))
        1.25
        """
        trace = self.traces[name]
        return interpolant(trace.value, trace.zeta, trace.slope)


def profile_limits(profile: LikelihoodProfile, level: float) -> np.ndarray:
    """Compute profile intervals: the values whose abs(zeta) is at most the normal quantile.

    Parameters
    ----------
    profile : LikelihoodProfile
    level : float

    Returns
    -------
    (P, 2) array
        One row per parameter. An end that the likelihood does not limit is the parameter's bound: 0
        for a standard deviation, -1 or 1 for a correlation.

    Raises
    ------
    ArgumentError
        When `level` is not between 0 and 1, or larger than the profile covers.
    """
    check_level(level)
    quantile = NormalDist().inv_cdf(0.5 + 0.5 * level)
    if quantile > profile.cutoff:
        raise ArgumentError(
            f"the profile reaches zeta = {profile.cutoff:.3g}, and level={level} needs "
            f"{quantile:.3g}: call profile(max_level={level})"
        )
    ends = [interval_ends(trace, quantile) for trace in profile.traces.values()]
    return np.array(ends, dtype=float).reshape(-1, 2)


@on_one_blas_thread  # once around all searches: setting it at each step costs more than a step
def profile(
    fit: Fit,
    parameters: str | Sequence[str] | None = None,
    max_level: float = 0.99,
    progress: Show = "auto",
) -> LikelihoodProfile:
    """Profile the likelihood of a fit, which itself stays unchanged.

    Parameters
    ----------
    fit : Fit
    parameters : str or sequence of str, optional
        Names as in the index of ``confint``; all by default.
    max_level : float
        The largest confidence level that the profile must cover.
    progress : {"auto", True, False}
        Show a progress bar, which counts parameters.

    Raises
    ------
    ArgumentError
        For an unknown parameter or level.

    Warns
    -----
    ConvergenceWarning
        When a constrained fit fails (its side of the profile ends there) or has a lower deviance
        than the minimum.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> profile_limits(profile(m._fit, ["Days"]), 0.95).round(2)
    array([[ 7.36, 13.58]])
    """
    check_level(max_level, "max_level")
    cp = fit.cp
    if isinstance(parameters, str):
        parameters = [parameters]
    if parameters is not None and not isinstance(parameters, Iterable):
        raise ArgumentError(
            f"profile(parameters={parameters!r}): give names of parameters; a level belongs in "
            "confint(level=...)"
        )
    wanted = select_parameters(
        list_parameters(cp), None if parameters is None else list(parameters)
    )
    cutoff = -NormalDist().inv_cdf(0.5 - 0.5 * max_level)
    system = fit.new_system(reml=False)
    theta, deviance = _ml_optimum(fit, system)
    sigma = math.sqrt(system.solution.r2 / cp.n)
    estimates = parameter_values(cp, theta, np.asarray(sigma), system.solution.beta)
    by_name = {p.name: float(v) for p, v in zip(list_parameters(cp), estimates, strict=True)}
    half = (
        cp.scaling.beta_transform() @ np.linalg.inv(system.solution.LX).T * (sigma / cp.scale[-1])
    )
    errors = np.sqrt((half**2).sum(axis=1))
    traces = {}
    with bar(len(wanted), "profiling", progress, unit=" parameters") as advance:
        for p in wanted:
            estimate = by_name[p.name] if not math.isnan(by_name[p.name]) else 0.0
            if p.kind == "beta":
                evaluate, width = _coefficient_evaluator(fit, system, p, theta), errors[p.a]
            else:
                evaluate = _variance_evaluator(system, p, theta, sigma)
                width = _first_width(fit, p, by_name, sigma)
            traces[p.name] = walk(p, estimate, width, evaluate, deviance, cutoff)
            advance(1)
    return LikelihoodProfile(traces, {p.name: by_name[p.name] for p in wanted}, cutoff, deviance)


def _ml_optimum(fit: Fit, system: PLSSystem) -> tuple[np.ndarray, float]:
    """Return theta and the deviance of the ML fit, and leave `system` solved there."""
    if not fit.reml:
        return fit.theta_internal, system.solve_again(fit.theta_internal).deviance
    model = choose_model(system, exact=len(fit.cp.groups) == 1)
    found = minimize(system, fit.theta_internal, model)
    system.solve_again(found.theta)
    return found.theta, found.deviance


def _first_width(fit: Fit, p: Parameter, estimates: dict[str, float], sigma: float) -> float:
    """Guess the standard error of a variance parameter: only the first step depends on it."""
    cp = fit.cp
    if p.kind == "cor":
        return 0.2
    if p.kind == "sigma":
        return estimates[p.name] / math.sqrt(2.0 * cp.n)
    term = cp.terms[p.term]
    group = cp.groups[term.group]
    # s / sqrt(2 J) for a standard deviation s and J levels; at a zero variance, half the error of
    # one level's own estimate
    from_one_level = (
        sigma
        / cp.scale[-1]
        * group.scale[term.start + p.a]
        / math.sqrt(max(1.0, cp.n / group.n_levels))
    )
    return max(estimates[p.name], 0.5 * from_one_level) / math.sqrt(2.0 * group.n_levels)


# -- one constrained fit -------------------------------------------------------------------------


def _coefficient_evaluator(
    fit: Fit, system: PLSSystem, p: Parameter, theta: np.ndarray
) -> Evaluate:
    """Return value -> (deviance, slope) for a fixed coefficient.

    Each fit starts where the one before ended.
    """
    state = {"theta": theta}

    def evaluate(value: float) -> tuple[float, float] | None:
        constrained, direction = fix_coefficient(fit.cp, system.engine, p.a, value)
        model = choose_model(constrained, exact=len(fit.cp.groups) == 1)
        found = minimize(constrained, state["theta"], model)
        if not found.converged:
            return None
        state["theta"] = found.theta
        return found.deviance, coefficient_slope(constrained, direction)

    return evaluate


def _variance_evaluator(
    system: PLSSystem, p: Parameter, theta: np.ndarray, sigma: float
) -> Evaluate:
    """Return value -> (deviance, slope) for a fixed variance parameter.

    Each fit starts where the one before ended.

    With one of its two standard deviations at zero, a correlation may have any value. Such a fit is
    often far from where the search starts, so its deviance is compared each time.
    """
    last = Point(0.0, 0.0, theta, sigma, np.empty(0))
    ceiling = _zero_variance_deviance(system, p, theta, sigma) if p.kind == "cor" else math.inf

    def evaluate(value: float) -> tuple[float, float] | None:
        nonlocal last
        chart = chart_of(system.cp, p, value, last.theta, last.sigma)
        guess = last.coordinates if last.coordinates.size else None
        found = minimize_on_chart(system, chart, last.sigma, guess)
        if found is None:
            return None
        last = found
        return (found.deviance, found.slope) if found.deviance <= ceiling else (ceiling, 0.0)

    return evaluate


def _zero_variance_deviance(
    system: PLSSystem, p: Parameter, theta: np.ndarray, sigma: float
) -> float:
    """Return the smallest deviance with a standard deviation of the correlation at zero."""
    lowest = math.inf
    for column in (p.a, p.b):
        at_zero = Parameter("", "sd", p.term, column)
        found = minimize_on_chart(system, chart_of(system.cp, at_zero, 0.0, theta, sigma), sigma)
        lowest = min(lowest, found.deviance if found is not None else math.inf)
    return lowest
