"""Searches with estimated traces, and the Monte-Carlo error of the estimates.

Probes are the same at every theta, so that the estimated gradient g is a smooth function with a
root near the optimum. Newton steps with average information H lead to it. With g_k the gradient
from probe k alone and V = cov_k(g_k) / K,

    SE(theta)^2    = 2 diag H^-1
    MC SE(theta)^2 = diag H^-1 V H^-1,    expected loss of the deviance = tr(H^-1 V) / 2

The criterion itself has an error of its own (log|M|), which would mislead a line search near the
optimum; far from it the decreases are much larger.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mixedfast.engines.krylov.engine import KrylovEngine
from mixedfast.estimation.local_model import LocalModel
from mixedfast.estimation.newton import (
    CONVERGED,
    ITERATION_LIMIT,
    MAX_ITERATIONS,
    Optimum,
    first_point,
    line_search,
)
from mixedfast.estimation.pls import PLSSystem
from mixedfast.estimation.small_search import EngineSearch
from mixedfast.estimation.steps import CERTIFICATE_TOLERANCE, newton_step

__all__ = ["TARGET", "MonteCarlo", "ProbedSearch", "monte_carlo"]

#: Largest Monte-Carlo standard error, as a share of the statistical one, that needs no warning. The
#: deviance is then expected to be 1e-8 above its minimum.
TARGET = 1e-4
#: Approximate eigenvectors to take out, one number after the other; 50 communities that share 0.2 %
#: of their rows need all of the second.
DIRECTIONS = (12, 60)
MOST_PROBES = 1024
#: Predicted decrease (deviance units) below which the step is the last. Average information leaves
#: a tenth of it or less: theta is within 1e-6 standard errors of the root.
LAST_STEP = 1e-11
#: Predicted decrease from which steps are halved until the criterion falls: the error of the
#: criterion is far below.
FAR = 1.0


@dataclass(frozen=True, eq=False)
class MonteCarlo:
    """The Monte-Carlo error of estimates.

    ``ratio`` (m,) Monte-Carlo standard error of each theta as a share of its statistical one;
    ``loss`` the expected height above the minimum of the deviance; ``criterion`` the standard error
    of the deviance itself; ``probes``, of which none leaves an error where unit vectors were used.
    """

    ratio: np.ndarray
    loss: float
    criterion: float
    probes: int

    @property
    def largest(self) -> float:
        """The largest ratio."""
        return float(self.ratio.max(initial=0.0))

    @property
    def meets_target(self) -> bool:
        """Whether the error of every theta is at most `TARGET` of its standard error."""
        return self.largest <= TARGET


def monte_carlo(system: PLSSystem) -> MonteCarlo | None:
    """Estimate the Monte-Carlo error of the root near the theta last solved.

    None for an engine without one. Variances estimated as zero stay there: their ratio is zero.
    """
    engine = system.engine
    if not isinstance(engine, KrylovEngine):
        return None
    sums = engine.trace_estimates()
    probes = max(len(each) for each in sums)
    if engine.is_exact and probes == 1:
        return MonteCarlo(np.zeros(len(system.theta)), 0.0, 0.0, 0)
    share = [np.broadcast_to(each, (probes, *each.shape[1:])) for each in sums]
    lambdas = [np.broadcast_to(lam, (probes, *lam.shape)) for lam in system.lambdas]
    gradients = system.covariance.gradient(lambdas, [np.ascontiguousarray(one) for one in share])
    hessian = system.hessian(False)
    free = np.flatnonzero(np.diag(hessian) > 0.0)
    V = np.atleast_2d(np.cov(gradients[:, free].T)) / probes
    inverse = np.linalg.pinv(hessian[np.ix_(free, free)], hermitian=True)
    ratio = np.zeros(len(hessian))
    error = np.diag(inverse @ V @ inverse)
    ratio[free] = np.sqrt(np.maximum(error, 0.0) / (2.0 * np.maximum(np.diag(inverse), 1e-300)))
    logs = engine.log_determinants()
    criterion = float(logs.std(ddof=1) / np.sqrt(len(logs))) if len(logs) > 1 else 0.0
    return MonteCarlo(ratio, 0.5 * float(np.trace(inverse @ V)), criterion, probes)


def more_probes(engine: KrylovEngine, ratio: float) -> bool:
    """Use what should lower the largest ratio to the target; return False when nothing is left.

    First approximate eigenvectors, then as many probes as the ratio calls for, twice as many at
    least.
    """
    for directions in DIRECTIONS:
        if engine.directions < directions and engine.probes < engine.layout.m:
            before = engine.directions
            engine.use(engine.probes, directions)
            if engine.directions == directions:
                return True
            engine.use(engine.probes, before)  # too many for a rest so small
    if engine.probes >= MOST_PROBES:
        return False
    needed = 1.2 * engine.probes * (ratio / TARGET) ** 2
    count = max(2 * engine.probes, 16 * math.ceil(min(needed, MOST_PROBES) / 16))
    engine.use(min(count, MOST_PROBES), engine.directions)
    return True


class ProbedSearch(EngineSearch):
    """A search on an engine whose traces are estimates."""

    def by_model(self, start: np.ndarray, model: LocalModel[PLSSystem]) -> Optimum:
        found, engine = _minimize(self.system, start), self.system.engine
        while found.converged and isinstance(engine, KrylovEngine):
            error = monte_carlo(self.system)
            if error is None or error.meets_target or not more_probes(engine, error.largest):
                break
            found = found.then(_minimize(self.system, found.theta))
        return found


def _minimize(system: PLSSystem, start: np.ndarray) -> Optimum:
    """Find the root of the estimated gradient."""
    x, value = first_point(system, start)
    log: list[tuple[int, float, float]] = []
    iterations, message, before = 0, CONVERGED, np.inf
    while True:
        gradient, hessian = system.derivatives(False)
        step, decrease = newton_step(gradient, hessian)
        log.append((system.evaluations, value, decrease))
        stationary = decrease < LAST_STEP or (decrease < CERTIFICATE_TOLERANCE < before < decrease)
        escape = system.escape() if decrease < CERTIFICATE_TOLERANCE else None
        if escape is not None and escape.decrease > CERTIFICATE_TOLERANCE:
            step, decrease = escape.target - x, FAR
        elif stationary:
            break
        if iterations == MAX_ITERATIONS:
            message = ITERATION_LIMIT
            break
        moved = line_search(system, x, value, step, 0.0) if decrease >= FAR else None
        if moved is None:
            moved = x + step, system.value(x + step)
            if not np.isfinite(moved[1]):
                message = "the criterion has no value at the next step"
                system.value(x)
                break
        (x, value), before = moved, decrease
        iterations += 1
    boundary = system.escape().decrease
    return Optimum(
        theta=x,
        deviance=value,
        gradient=gradient,
        hessian=hessian,
        decrement=float(decrease),
        boundary_decrement=float(boundary),
        foreseen=False,
        converged=message == CONVERGED and max(decrease, boundary) < CERTIFICATE_TOLERANCE,
        message=message,
        evaluations=system.evaluations,
        rejected=system.rejected,
        iterations=iterations,
        kind="average information",
        log=tuple(log),
    )
