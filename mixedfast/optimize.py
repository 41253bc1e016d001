"""A Newton method on theta with a certificate at the end.

theta enters the model only through ``H = lambda lambda'``, so the search is free of bounds: a variance that wants to be zero
is reached at theta = 0 from either side, and the sign of a column of lambda is turned at the end. Steps come from the
exact Hessian (or average information where traces are dear), made positive definite by its eigenvalues, and are halved
until the deviance falls.

The certificate is stated in units of the deviance, which have a meaning whatever the scale of the data:

* the Newton decrement ``g'H^-1 g / 2``: how much lower a quadratic model says the deviance could be;
* for singular fits, the same for leaving the boundary: ``dd/dH`` must not be negative in any direction vv' there;
* the same for changing the scale of a whole term, from a bound on the curvature in its logarithm. Far from any optimum
  (a ratio of variances past 1e8, say) the Hessian is rounding and may call a slope level; this one does not use it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from mixedfast import _theta
from mixedfast.covariance import lower_root
from mixedfast.system import Derivatives, PLSSystem, Solution

__all__ = [
    "CERTIFICATE_TOLERANCE", "DEAR_TOLERANCE", "DECREMENT_TOLERANCE", "FORESEEN_TOLERANCE", "ITERATION_LIMIT", "Optimum",
    "minimize", "newton_step",
]  # fmt: skip

#: The search stops when the quadratic model promises less than this (deviance units).
DECREMENT_TOLERANCE = 1e-14
#: The search also ends with a step that leaves less than this: theta is then within 1e-9 standard errors of the optimum.
FORESEEN_TOLERANCE = 1e-18
#: The same where derivatives cost much more than a factorization: within 2e-5 standard errors.
DEAR_TOLERANCE = 2e-10
#: A fit is called converged when the certificate promises less than this. One unit of deviance is about what noise
#: does; 1e-4 of it moves an estimate by under a hundredth of its standard error.
CERTIFICATE_TOLERANCE = 1e-4
#: Below this the gradient may be rounding alone; a search that then no longer halves the decrement in so many
#: iterations is at its end.
_ROUNDING_DECREMENT = 1e-8
#: Below this there is no step to take.
_NOTHING_LEFT = 1e-22
#: Where derivatives are dear, they come from so many random probes a factor as long as a step promises more than this.
_PROBES = 8
#: No probes, but unit vectors, for factors of so few levels: what they tell is exact.
_FEW_LEVELS = 24
_ROUGH_DECREMENT = 1.0
#: From a larger promise nothing is foreseen.
_FORESEEABLE = 1e-3
_PATIENCE = 5
_MAX_ITERATIONS = 100
#: What an `Optimum` says that was reached no sooner.
ITERATION_LIMIT = "the iteration limit was reached"
_MAX_HALVINGS = 30
#: How often the search may leave a point that is stationary and no minimum.
_MAX_ESCAPES = 10
#: A term is rescaled by no more than these powers of e at once.
_LONGEST_RESCALING = (-4.0, 2.0)
#: Eigenvalues of the Hessian are raised to this fraction of the largest before a step is taken.
_FLOOR = 1e-9


@dataclass(frozen=True, eq=False)
class Optimum:
    """Where the search ended and what proves it.

    ``gradient`` and ``hessian`` are in theta (internal basis), at ``theta`` or, when the outcome of the last step was
    foreseen, before that step; ``decrement`` and ``boundary_decrement`` are in units of the deviance; ``log`` has one
    (evaluation, deviance, decrement) an iteration.
    """

    theta: np.ndarray
    deviance: float
    gradient: np.ndarray
    hessian: np.ndarray
    decrement: float
    boundary_decrement: float
    converged: bool
    message: str
    evaluations: int
    rejected: int
    iterations: int
    exact_hessian: bool
    log: tuple[tuple[int, float, float], ...] = field(repr=False, default=())

    def then(self, later: Optimum) -> Optimum:
        """Where a second search that started here ended, with the log of both."""
        return replace(later, iterations=self.iterations + later.iterations, log=self.log + later.log)


def minimize(
    system: PLSSystem, start: np.ndarray, exact: bool, enough: float = DECREMENT_TOLERANCE,
    left: float = FORESEEN_TOLERANCE,
) -> Optimum:  # fmt: skip
    """Minimize the profiled deviance from `start` (internal basis).

    Parameters
    ----------
    system : PLSSystem
    start : (n_theta,) array
    exact : bool
        Use the exact Hessian in every step; otherwise average information, or where derivatives are dear (``engine.dear``) the
        Hessian with traces from random probes. There the gradient comes from probes too until a step promises little.
    enough : float
        The search ends with the step that follows a promise of less than this (deviance units).
    left : float
        Or with the step after which, by the rate of the last two promises, less than this will be left.

    Returns
    -------
    Optimum
        With ``system`` solved at ``Optimum.theta``.
    """
    theta = np.array(start, dtype=float)
    solution = system.solve(theta)
    if solution is None:
        theta = system.covariance.identity
        solution = system.solve(theta)
    if solution is None:
        raise ArithmeticError("the system is not positive definite at any starting value")
    log: list[tuple[int, float, float]] = []
    message = ITERATION_LIMIT
    escapes = iteration = 0
    gradient = hessian = np.empty(0)
    decrement = boundary = np.inf
    rough = dear = system.engine.dear and not exact
    while True:
        before = decrement
        found, rough = _near(system, rough) if dear else (system.derivatives(exact), False)
        gradient, hessian, off = found.gradient, found.hessian, _off(found)
        step, decrement = newton_step(gradient, hessian)
        log.append((system.evaluations, solution.deviance, decrement))
        # below the second a fall of the deviance cannot be seen
        small, inside = decrement < max(enough, 1e-16 * abs(solution.deviance)), _inside(system)
        stationary = decrement < _NOTHING_LEFT or (small and not inside) or _stalled([entry[2] for entry in log])
        # One step more, whatever the tolerance: where the search stops must not depend on the unit of y, on the number of
        # rows or on rounding in the sums. What it leads to is foreseen, and no derivatives are asked for there.
        foreseen = _foreseen(decrement, before, exact) if off is None else _foreseen_near(system, decrement, before, off)
        if not stationary and inside and (small or foreseen < left):
            boundary, _ = _way_out(system)
            # what is about the model's own promise goes with the step
            if boundary < (CERTIFICATE_TOLERANCE if off is None else max(CERTIFICATE_TOLERANCE, 2.0 * decrement)):
                if off is not None:  # both were seen before the step; this is what it leaves of them
                    decrement, boundary = min(decrement, foreseen), min(boundary, foreseen)
                theta, solution = _last_step(system, theta, solution, step)
                message = "converged"
                iteration += 1
                break
            stationary = True
        if iteration == _MAX_ITERATIONS and not stationary:
            boundary, _ = _way_out(system)
            break
        moved = None if stationary else _line_search(system, theta, solution.deviance, step, float(gradient @ step))
        if moved is None and rough:  # what probes say may be no way down
            system.solve(theta)
            rough = False
            continue
        if moved is None:
            message = "converged" if stationary else "no step lowers the deviance further"
            if not stationary:
                system.solve(theta)
            boundary, target = _way_out(system)
            if boundary < CERTIFICATE_TOLERANCE or escapes == _MAX_ESCAPES:
                break
            escapes += 1
            moved = _line_search(system, theta, solution.deviance, target - theta, 0.0)
            if moved is None:
                system.solve(theta)
                break
            decrement = np.inf  # nothing is foreseen from before the jump
        iteration += 1
        theta, solution = moved
    proven = decrement < CERTIFICATE_TOLERANCE and boundary < CERTIFICATE_TOLERANCE
    return Optimum(
        theta=theta, deviance=solution.deviance, gradient=gradient, hessian=hessian, decrement=float(decrement),
        boundary_decrement=float(boundary), converged=bool(proven), message=message,
        evaluations=system.evaluations, rejected=system.rejected, iterations=iteration, exact_hessian=exact,
        log=tuple(log),
    )  # fmt: skip


def _stalled(decrements: list[float]) -> bool:
    """Whether the decrement is small and has not halved of late."""
    if len(decrements) <= _PATIENCE or max(decrements[-_PATIENCE:]) > _ROUNDING_DECREMENT:
        return False
    return min(decrements[-_PATIENCE:]) > 0.5 * min(decrements[:-_PATIENCE])


def _last_step(
    system: PLSSystem, theta: np.ndarray, solution: Solution, step: np.ndarray
) -> tuple[np.ndarray, Solution]:
    """The full step, unless the deviance rises by more than rounding could make it; its fall is too small to be seen."""
    taken = system.solve(theta + step)
    if taken is not None and taken.deviance <= solution.deviance + 1e-12 * abs(solution.deviance):
        return theta + step, taken
    system.solve(theta)
    return theta, solution


def _near(system: PLSSystem, rough: bool) -> tuple[Derivatives, bool]:
    """Derivatives where exact ones are dear, and whether they are rough still.

    Far away, where the next step cannot be the last, the gradient's traces come from probes and average information is the
    better model. Near by the gradient is exact and the Hessian's traces come from probes.
    """
    traces = system.probe(_PROBES, _FEW_LEVELS)
    if rough:
        found = system.rough(traces)
        if newton_step(found.gradient, found.hessian)[1] > _ROUGH_DECREMENT:
            return found, True
    return system.near(traces), False


def _off(found: Derivatives) -> float | None:
    """The largest share of a step that the Hessian's error may change, three times what two halves of the probes tell."""
    if found.doubt is None:
        return None
    values, vectors = np.linalg.eigh(found.hessian)
    if values.min() <= 0.0:
        return np.inf
    half = vectors / np.sqrt(values)
    return 3.0 * float(np.abs(np.linalg.eigvalsh(half.T @ found.doubt @ half)).max())


def _foreseen(decrement: float, before: float, exact: bool) -> float:
    """What the model will promise after the next full step, from the last two promises; infinite where nothing can be foreseen
    and where the present promise would be no certificate.

    Newton's method squares the error of theta, average information multiplies it by a constant.
    """
    if not 0.0 < decrement < before < np.inf or decrement >= CERTIFICATE_TOLERANCE:
        return np.inf
    rate = decrement / before
    return decrement * (rate**2 if exact else rate)


def _foreseen_near(system: PLSSystem, decrement: float, before: float, off: float) -> float:
    """The same after a step of Newton's with an estimated Hessian: its error leaves a share of the step, `off` at most.

    What Newton's method leaves at least: J levels tell a variance to a share of sqrt(2 / J), and on that scale the deviance
    bends away from its quadratic model.
    """
    if not 0.0 < decrement < before < np.inf or decrement >= _FORESEEABLE:
        return np.inf
    fewest = min(group.n_levels for group in system.cp.groups)
    return decrement * ((decrement / before) ** 2 + off**2 + decrement / fewest)


def _inside(system: PLSSystem) -> bool:
    """Whether no covariance is near singular at the last theta solved: no boundary to look at."""
    return not any(system.covariance.singular_terms(system.covariance.theta_of(system.lambdas)))


def newton_step(gradient: np.ndarray, hessian: np.ndarray) -> tuple[np.ndarray, float]:
    """A descent step and the decrease of the deviance it promises, from |H|'s eigenvalues."""
    return _theta.newton_step(gradient, np.ascontiguousarray(hessian), _FLOOR)


def _line_search(
    system: PLSSystem, theta: np.ndarray, deviance: float, step: np.ndarray, slope: float
) -> tuple[np.ndarray, Solution] | None:
    """Halve the step until the deviance falls as Armijo asks (or cannot be told from level)."""
    longest = np.abs(step).max() / max(1.0, 2.0 * np.abs(theta).max())
    t = 1.0 if longest <= 1.0 else 1.0 / longest
    slack = 1e-14 * abs(deviance)
    for _ in range(_MAX_HALVINGS):
        solution = system.solve(theta + t * step)
        if solution is not None and solution.deviance <= deviance + 1e-4 * t * min(slope, 0.0) + slack:
            return theta + t * step, solution
        t *= 0.5
    return None


def _way_out(system: PLSSystem) -> tuple[float, np.ndarray]:
    """The larger fall of the deviance of the two that theta's own Hessian cannot see, and the theta it leads to."""
    return max(_boundary_decrement(system), _scale_decrement(system), key=lambda found: found[0])


def _scale_decrement(system: PLSSystem) -> tuple[float, np.ndarray]:
    """How much the deviance could fall by multiplying all of a term's theta by one number.

    The deviance's curvature in the logarithm of a term's scale is at most about twice the number of its effects.
    """
    cov, groups = system.covariance, system.cp.groups
    theta = cov.theta_of(system.lambdas)
    slopes = theta * system.gradient()
    best, best_theta = 0.0, theta
    for term, (first, end) in zip(cov.terms, pairwise(cov.edges), strict=True):
        inside = slice(first, end)
        slope, curvature = float(slopes[inside].sum()), 2.0 * groups[term.group].n_levels * term.k
        fall = 0.5 * slope**2 / curvature
        if fall > best:
            best, best_theta = fall, theta.copy()
            best_theta[inside] *= np.exp(np.clip(-8.0 * slope / curvature, *_LONGEST_RESCALING))
    return best, best_theta


def _boundary_decrement(system: PLSSystem) -> tuple[float, np.ndarray]:
    """How much the deviance could fall by adding variance t vv' that theta's own gradient cannot see.

    At a stationary theta, dd/dH lambda = 0; a negative eigenvalue of dd/dH (restricted to each term) is then a way down
    that starts at the boundary. Returns the fall a quadratic model promises, and the theta it leads to.
    """
    cov, lambdas = system.covariance, system.lambdas
    singular = cov.singular_terms(cov.theta_of(lambdas))
    theta = cov.theta_of(lambdas)
    if not any(singular):
        return 0.0, theta
    G, H = system.gradient_blocks(), None
    best, best_theta = 0.0, theta
    for term, flag in zip(cov.terms, singular, strict=True):
        if not flag:
            continue
        inside = slice(term.start, term.start + term.k)
        g = G[term.group][inside, inside]
        H = H or system.hessian_blocks()
        h = H[term.group, term.group][inside, inside, inside, inside]
        scale = 1.0 / np.sqrt(np.maximum(np.sqrt(np.abs(np.einsum("aaaa->a", h))), 1e-300))
        if term.correlated:
            values, vectors = np.linalg.eigh(g * np.outer(scale, scale))
            directions = [scale * vectors[:, 0]] if values[0] < 0 else []
        else:
            directions = [scale[a] * np.eye(term.k)[a] for a in range(term.k) if g[a, a] < 0]
        for v in directions:
            slope = float(v @ g @ v)
            bend = float(np.einsum("abcd,a,b,c,d->", h, v, v, v, v))
            fall = 0.5 * slope**2 / max(bend, 1e-300)
            if fall > best:
                moved = [block.copy() for block in lambdas]
                root = np.column_stack([moved[term.group][inside, inside], np.sqrt(-slope / max(bend, 1e-300)) * v])
                moved[term.group][inside, inside] = lower_root(root)
                best, best_theta = fall, cov.theta_of(moved)
    return best, best_theta
