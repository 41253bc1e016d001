"""A Newton method on theta with a certificate at the end.

theta enters the model only through ``H = lambda lambda'``, so the search is free of bounds: a variance that wants to be zero
is reached at theta = 0 from either side, and the sign of a column of lambda is turned at the end. Steps come from what
`mixedfast.estimation.local_model` sees, made positive definite by the Hessian's eigenvalues, and are halved until the deviance falls.

The certificate is stated in units of the deviance, which have a meaning whatever the scale of the data:

* the Newton decrement ``g'H^-1 g / 2``: how much lower a quadratic model says the deviance could be;
* for singular fits, the same for leaving the boundary: ``dd/dH`` must not be negative in any direction vv' there;
* the same for changing the scale of a whole term, from a bound on the curvature in its logarithm. Far from any optimum
  (a ratio of variances past 1e8, say) the Hessian is rounding and may call a slope level; this one does not use it.

All three are evaluated before the last step, which only lowers them. Where derivatives are dear the last step may promise more
than the certificate allows (up to 1e-3 with 5,000 levels); what is told then is no evaluation, but what the step is foreseen to
leave (`Optimum.foreseen`). A result's `optimization` evaluates all three again, at the estimates.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from mixedfast._stored import stored
from mixedfast.covariance.relative import lower_root
from mixedfast.errors import NotIdentifiedError
from mixedfast.estimation.local_model import (
    CERTIFICATE_TOLERANCE,
    HessianKind,
    Outlook,
    View,
    newton_step,
    outlook_of,
)
from mixedfast.estimation.pls import PLSSystem, Solution

__all__ = [
    "CERTIFICATE_TOLERANCE",
    "DEAR_TOLERANCE",
    "DECREMENT_TOLERANCE",
    "FORESEEN_TOLERANCE",
    "ITERATION_LIMIT",
    "NEIGHBOUR_TOLERANCE",
    "Optimum",
    "boundary_decrement",
    "minimize",
    "newton_step",
]

#: The search stops when the quadratic model promises less than this (deviance units).
DECREMENT_TOLERANCE = 1e-14
#: The search also ends with a step that leaves less than this: theta is then within 1e-9 standard errors of the optimum.
FORESEEN_TOLERANCE = 1e-18
#: The same where derivatives cost much more than a factorization: within 2e-5 standard errors.
DEAR_TOLERANCE = 2e-10
#: The same for a model of all rows but a group's, which is asked how far it moved: within 1.4e-4 standard errors.
NEIGHBOUR_TOLERANCE = 1e-8
#: Below this the gradient may be rounding alone; a search that then no longer halves the decrement in so many
#: iterations is at its end.
_ROUNDING_DECREMENT = 1e-8
#: Below this there is no step to take.
_NOTHING_LEFT = 1e-22
_PATIENCE = 5
_MAX_ITERATIONS = 100
#: What an `Optimum` says that was reached no sooner.
ITERATION_LIMIT = "the iteration limit was reached"
NO_WAY_DOWN = "no step lowers the deviance further"
_MAX_HALVINGS = 30
#: How often the search may leave a point that is stationary and no minimum.
_MAX_ESCAPES = 10
#: A term is rescaled by no more than these powers of e at once.
_LONGEST_RESCALING = (-4.0, 2.0)


@stored("Optimum", arrays={"theta": "finite m", "gradient": "real m", "hessian": "real m m"})
@dataclass(frozen=True, eq=False)
class Optimum:
    """Where the search ended and what proves it.

    ``deviance`` is evaluated at ``theta``. ``gradient`` and ``hessian`` are in theta (internal basis) and were evaluated where
    the last step began, or at ``theta`` when none was left to take; ``kind`` says what the Hessian rests on. ``decrement`` and
    ``boundary_decrement``, in units of the deviance, were evaluated there too, unless ``foreseen``: they are then what the last
    step is expected to leave at ``theta``. ``log`` has one (evaluation, deviance, decrement) an iteration.
    """

    theta: np.ndarray
    deviance: float
    gradient: np.ndarray
    hessian: np.ndarray
    decrement: float
    boundary_decrement: float
    foreseen: bool
    converged: bool
    message: str
    evaluations: int
    rejected: int
    iterations: int
    kind: HessianKind
    log: tuple[tuple[int, float, float], ...] = field(repr=False, default=())

    @property
    def exact_hessian(self) -> bool:
        """Whether ``hessian`` is exact."""
        return self.kind == "exact"

    def then(self, later: Optimum) -> Optimum:
        """Where a second search that started here ended, with the log of both."""
        return replace(
            later, iterations=self.iterations + later.iterations, log=self.log + later.log
        )


def minimize(
    system: PLSSystem,
    start: np.ndarray,
    exact: bool,
    enough: float = DECREMENT_TOLERANCE,
    left: float = FORESEEN_TOLERANCE,
    outlook: Outlook | None = None,
) -> Optimum:
    """Minimize the profiled deviance from `start` (internal basis).

    Parameters
    ----------
    system : PLSSystem
    start : (n_theta,) array
    exact : bool
        Use the exact Hessian in every step; otherwise average information, or where derivatives are dear (``engine.is_costly``)
        random probes.
    enough : float
        The search ends with the step that follows a promise of less than this (deviance units).
    left : float
        Or with the step after which less than this is foreseen to be left.
    outlook : Outlook, optional
        Another way to look than `exact` and the engine call for.

    Returns
    -------
    Optimum
        With ``system`` solved at ``Optimum.theta``.

    Raises
    ------
    NotIdentifiedError
        When the system is positive definite neither at `start` nor at lambda = I.
    """
    return _Search(system, start, outlook or outlook_of(system, exact), enough, left).run()


class _Search:
    """One search: where it stands, and the promise of the step that led there."""

    def __init__(
        self, system: PLSSystem, start: np.ndarray, outlook: Outlook, enough: float, left: float
    ) -> None:
        self.system, self.outlook, self.enough, self.left = system, outlook, enough, left
        self.theta, self.solution = _first(system, start)
        self.promised = np.inf
        self.iterations = self.escapes = 0
        self.log: list[tuple[int, float, float]] = []

    def run(self) -> Optimum:
        """Look and move until a step is the last, or there is none."""
        while True:
            view = self.outlook.look(self.system, self.promised)
            self.promised = view.promise
            self.log.append((self.system.evaluations, self.solution.deviance, view.promise))
            small, inside = self._is_small(view.promise), _inside(self.system)
            stationary = (
                view.promise < _NOTHING_LEFT
                or (small and not inside)
                or _stalled([entry[2] for entry in self.log])
            )
            # One step more, whatever the tolerance: where the search stops must not depend on the unit of y, on the number of
            # rows or on rounding in the sums. What it leads to is foreseen, and no derivatives are asked for there.
            if not stationary and inside and (small or view.left < self.left):
                boundary = boundary_decrement(self.system)
                if boundary < self._boundary_tolerance(view):
                    return self._last_step(view, boundary)
                stationary = True
            if not stationary:
                if self.iterations == _MAX_ITERATIONS:
                    return self._optimum(view, ITERATION_LIMIT, boundary_decrement(self.system))
                if (
                    self._move(view.step, float(view.gradient @ view.step))
                    or self.outlook.sharpen()
                ):
                    continue
            message = "converged" if stationary else NO_WAY_DOWN
            boundary, target = _way_out(self.system)
            if boundary < CERTIFICATE_TOLERANCE or self.escapes == _MAX_ESCAPES:
                return self._optimum(view, message, boundary)
            self.escapes += 1
            if not self._move(target - self.theta, 0.0):
                return self._optimum(view, message, boundary)
            self.promised = np.inf  # nothing is foreseen from before the jump

    def _is_small(self, promise: float) -> bool:
        """Whether the promise is enough, or less than a fall of the deviance that could be seen."""
        return promise < max(self.enough, 1e-16 * abs(self.solution.deviance))

    def _boundary_tolerance(self, view: View) -> float:
        """What a way out may promise before the last step: about the step's own promise goes with the step."""
        return (
            max(CERTIFICATE_TOLERANCE, 2.0 * view.promise)
            if self.outlook.foresees
            else CERTIFICATE_TOLERANCE
        )

    def _move(self, step: np.ndarray, slope: float) -> bool:
        """Along the step as far as the deviance falls; where it does not, the system is solved at theta again."""
        moved = _line_search(self.system, self.theta, self.solution.deviance, step, slope)
        if moved is None:
            self.system.solve(self.theta)
            return False
        self.theta, self.solution = moved
        self.iterations += 1
        return True

    def _last_step(self, view: View, boundary: float) -> Optimum:
        """The full step, unless the deviance rises by more than rounding could make it; its fall is too small to be seen."""
        self.iterations += 1
        taken = self.system.solve(self.theta + view.step)
        if taken is not None and taken.deviance <= self.solution.deviance + 1e-12 * abs(
            self.solution.deviance
        ):
            self.theta, self.solution = self.theta + view.step, taken
            if self.outlook.foresees and view.left < view.promise:
                return self._optimum(view, "converged", min(boundary, view.left), view.left)
            return self._optimum(view, "converged", boundary)
        self.system.solve(self.theta)
        return self._optimum(
            view, "converged" if view.promise < CERTIFICATE_TOLERANCE else NO_WAY_DOWN, boundary
        )

    def _optimum(
        self, view: View, message: str, boundary: float, foreseen: float | None = None
    ) -> Optimum:
        decrement = view.promise if foreseen is None else foreseen
        return Optimum(
            theta=self.theta,
            deviance=self.solution.deviance,
            gradient=view.gradient,
            hessian=view.hessian,
            decrement=float(decrement),
            boundary_decrement=float(boundary),
            foreseen=foreseen is not None,
            converged=bool(max(decrement, boundary) < CERTIFICATE_TOLERANCE),
            message=message,
            evaluations=self.system.evaluations,
            rejected=self.system.rejected,
            iterations=self.iterations,
            kind=self.outlook.kind,
            log=tuple(self.log),
        )


def _first(system: PLSSystem, start: np.ndarray) -> tuple[np.ndarray, Solution]:
    """`start`, or lambda = I where the system cannot be solved there."""
    for theta in (np.array(start, dtype=float), system.covariance.identity):
        solution = system.solve(theta)
        if solution is not None:
            return theta, solution
    raise NotIdentifiedError(
        "the equations of the model cannot be solved: its fixed effects are too many for the rows, or too nearly the same"
    )


def _stalled(decrements: list[float]) -> bool:
    """Whether the decrement is small and has not halved of late."""
    if len(decrements) <= _PATIENCE or max(decrements[-_PATIENCE:]) > _ROUNDING_DECREMENT:
        return False
    return min(decrements[-_PATIENCE:]) > 0.5 * min(decrements[:-_PATIENCE])


def _inside(system: PLSSystem) -> bool:
    """Whether no covariance is near singular at the last theta solved: no boundary to look at."""
    return not any(system.covariance.singular_terms(system.covariance.theta_of(system.lambdas)))


def _line_search(
    system: PLSSystem, theta: np.ndarray, deviance: float, step: np.ndarray, slope: float
) -> tuple[np.ndarray, Solution] | None:
    """Halve the step until the deviance falls as Armijo asks (or cannot be told from level)."""
    longest = np.abs(step).max() / max(1.0, 2.0 * np.abs(theta).max())
    t = 1.0 if longest <= 1.0 else 1.0 / longest
    slack = 1e-14 * abs(deviance)
    for _ in range(_MAX_HALVINGS):
        solution = system.solve(theta + t * step)
        if (
            solution is not None
            and solution.deviance <= deviance + 1e-4 * t * min(slope, 0.0) + slack
        ):
            return theta + t * step, solution
        t *= 0.5
    return None


def boundary_decrement(system: PLSSystem) -> float:
    """What leaving the boundary, or changing the scale of a term, promises at the last theta solved (deviance units)."""
    return _way_out(system)[0]


def _way_out(system: PLSSystem) -> tuple[float, np.ndarray]:
    """The larger fall of the deviance of the two that theta's own Hessian cannot see, and the theta it leads to."""
    return max(_off_boundary(system), _scale_decrement(system), key=lambda found: found[0])


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


def _off_boundary(system: PLSSystem) -> tuple[float, np.ndarray]:
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
            slope = min(
                float(v @ g @ v), 0.0
            )  # rounding may turn the sign of a slope that is next to nothing
            bend = float(np.einsum("abcd,a,b,c,d->", h, v, v, v, v))
            fall = 0.5 * slope**2 / max(bend, 1e-300)
            if fall > best:
                moved = [block.copy() for block in lambdas]
                root = np.column_stack(
                    [moved[term.group][inside, inside], np.sqrt(-slope / max(bend, 1e-300)) * v]
                )
                moved[term.group][inside, inside] = lower_root(root)
                best, best_theta = fall, cov.theta_of(moved)
    return best, best_theta
