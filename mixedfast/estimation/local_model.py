"""Local quadratic models of a criterion.

Gradient, Hessian, Newton step, and the decrease that it predicts. Three models, one interface
(`LocalModel`). `DirectModel` computes every trace exactly, or leaves out those of the Hessian
(average information). `StochasticModel` is for factors so large that traces cost much more than a
factorization: far from the optimum all traces come from a few random probes; near it the gradient
is exact and the traces of the Hessian come from probes. `NeighbourModel` is for a model of nearly
the same rows as one that is fitted: the gradient is exact, and the Hessian is that of the other
model.

Decreases are in units of the deviance: the Newton decrement ``g'H^-1 g / 2``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeVar

import numpy as np

from mixedfast.estimation.criterion import Criterion
from mixedfast.estimation.pls import PLSSystem
from mixedfast.estimation.steps import expected_remaining, newton_step

__all__ = [
    "DirectModel",
    "HessianKind",
    "LocalModel",
    "NeighbourModel",
    "QuadraticStep",
    "StochasticModel",
    "choose_model",
]

#: Origin of a Hessian: exact traces, no traces, traces estimated from random probes, a model of
#: nearly the same rows, updates from gradients, or differences of the exact gradient.
HessianKind = Literal[
    "exact",
    "average information",
    "from probes",
    "of a neighbour",
    "quasi-Newton",
    "differences",
]

#: Ratio of two successive predicted decreases from which the Hessian of a neighbour is given up.
_SLOW = 0.1

AnyCriterion = TypeVar("AnyCriterion", bound=Criterion, contravariant=True)


class QuadraticStep(NamedTuple):
    """A Newton step from one point.

    ``gradient`` (m,) and ``hessian`` (m,m); the ``step`` (m,) to the minimum of the quadratic
    model; ``predicted_decrease`` of the criterion by that model; ``expected_remaining``, the
    decrease that is expected to remain after the step, infinite where nothing can be said.
    """

    gradient: np.ndarray
    hessian: np.ndarray
    step: np.ndarray
    predicted_decrease: float
    expected_remaining: float


class LocalModel(Protocol[AnyCriterion]):
    """A local quadratic model of a criterion.

    ``kind`` is the origin of its Hessian. Where ``certifies_ahead``, the certificate of an optimum
    is the decrease expected to remain after the last step; elsewhere it is the decrease that the
    last step predicted.
    """

    kind: HessianKind
    certifies_ahead: bool

    def at(self, criterion: AnyCriterion, x: np.ndarray, before: float) -> QuadraticStep:
        """Compute the step from x, the point of the last evaluation.

        ``before`` is the decrease that the step which led there predicted, infinite when there was
        none.
        """

    def refine(self) -> bool:
        """Use a more accurate model from now on; return False when there is none."""


class DirectModel:
    """The exact gradient, with the exact Hessian or with average information.

    Parameters
    ----------
    exact : bool
    """

    certifies_ahead = False

    def __init__(self, exact: bool) -> None:
        self.exact = exact
        self.kind: HessianKind = "exact" if exact else "average information"

    def at(self, criterion: Criterion, x: np.ndarray, before: float) -> QuadraticStep:
        gradient, hessian = criterion.derivatives(self.exact)
        step, decrease = _bounded_step(x, gradient, hessian, criterion.lower)
        remaining = float(expected_remaining(decrease, before, self.exact))
        return QuadraticStep(gradient, hessian, step, decrease, remaining)

    def refine(self) -> bool:
        return False


@dataclass
class StochasticModel:
    """Traces from random probes, always the same ones.

    Parameters
    ----------
    probes : int
        Random vectors per factor.
    few_levels : int
        Factors with no more levels take one unit vector per level instead, which is exact.
    far : float
        All traces come from probes while a step predicts a larger decrease than this: such a step
        is never the last.
    errors : float
        The error of the Hessian is taken to be so many of its standard errors.

    Notes
    -----
    The defaults were compared on 97 random crossed models of 6 to 400 levels per factor. All ended
    within 1e-5 standard errors of the optimum, after 644 steps. Four or sixteen probes take 648 or
    636 steps. ``errors`` of 1 or 2 saves 7 or 4 steps, and with 1 one search in 43 had more left
    than expected. ``far=10`` takes 695 steps and ended twice in another optimum; ``far=0.1`` saves
    none, and one model was 3e-5 standard errors off. ``few_levels=0`` takes 677 steps, 100 takes
    601, but a unit vector costs as much as a probe.
    """

    probes: int = 8
    few_levels: int = 24
    far: float = 1.0
    errors: float = 3.0

    certifies_ahead = True

    def __post_init__(self) -> None:
        self.kind: HessianKind = "from probes"
        self._is_far = True

    def at(self, criterion: PLSSystem, x: np.ndarray, before: float) -> QuadraticStep:
        traces = criterion.probe(self.probes, self.few_levels)
        if self._is_far:  # average information is the better model there, and it needs no traces
            gradient, hessian = criterion.stochastic_derivatives(traces)
            step, decrease = newton_step(gradient, hessian)
            if decrease > self.far:
                return QuadraticStep(gradient, hessian, step, decrease, np.inf)
            self._is_far = False
        (gradient, hessian), deviations = criterion.stochastic_hessian(traces)
        step, decrease = newton_step(gradient, hessian)
        fewest = min(group.n_levels for group in criterion.cp.groups)
        remaining = max(
            _curvature_remaining(decrease, before, fewest),
            _remaining_near_zero(x, gradient, hessian, step, criterion.covariance.diagonal),
        )
        remaining += self.errors**2 * _sampling_remaining(step, hessian, deviations)
        return QuadraticStep(gradient, hessian, step, decrease, remaining)

    def refine(self) -> bool:
        was_far, self._is_far = self._is_far, False
        return was_far


class NeighbourModel:
    """The exact gradient, with the Hessian of a model of nearly the same rows.

    The Hessian is that at the optimum of the other model, where the search starts.

    Parameters
    ----------
    hessian : (m, m) array
        Of the other model, at its optimum; exact.
    levels : int
        Number of levels of the factor that loses one.
    share : float
        Share of the rows that the other model has in addition.
    instead : LocalModel
        The model to use once a step gained little.

    Notes
    -----
    After a step there remains its predicted decrease times the square of the relative error of the
    Hessian. A level whose squared effect is z times its expectation adds about ``z - 1`` to the
    gradient in the logarithm of the variance, of standard deviation ``sqrt(2 levels)``, and about
    ``2 z - 1`` to a Hessian of about ``levels``. The error is thus about ``1 / levels + 4
    sqrt(decrease / levels)``, and no less than the share of the rows. On InstEval (levels of three
    factors), penicillin and hsb it was between 0.05 and 0.8 of that. From the second step on the
    last two predicted decreases give it.
    """

    kind: HessianKind = "of a neighbour"
    certifies_ahead = True

    def __init__(
        self, hessian: np.ndarray, levels: int, share: float, instead: LocalModel[PLSSystem]
    ) -> None:
        self.hessian, self.levels, self.share, self.instead = hessian, levels, share, instead
        self._is_used = True

    def at(self, criterion: PLSSystem, x: np.ndarray, before: float) -> QuadraticStep:
        if self._is_used:
            gradient = criterion.gradient()
            step, decrease = newton_step(gradient, self.hessian)
            if decrease < _SLOW * before:
                remaining = decrease * self._relative_error(decrease, before) ** 2
                return QuadraticStep(gradient, self.hessian, step, decrease, remaining)
            self._is_used = False
        return self.instead.at(criterion, x, before)

    def _relative_error(self, decrease: float, before: float) -> float:
        """Estimate the relative error of the Hessian."""
        if before < np.inf:
            return float(np.sqrt(decrease / before))
        return max(1.0 / self.levels, self.share) + 4.0 * float(np.sqrt(decrease / self.levels))

    def refine(self) -> bool:
        was_used, self._is_used = self._is_used, False
        return was_used or self.instead.refine()


def choose_model(system: PLSSystem, exact: bool) -> LocalModel[PLSSystem]:
    """Choose the local model of a search.

    `StochasticModel` where derivatives are costly, unless the exact Hessian is required; else
    `DirectModel`.
    """
    return StochasticModel() if system.engine.is_costly and not exact else DirectModel(exact)


def _bounded_step(
    x: np.ndarray, gradient: np.ndarray, hessian: np.ndarray, lower: np.ndarray | None
) -> tuple[np.ndarray, float]:
    """Compute a Newton step within lower bounds.

    Parameters stay at their bound where the criterion falls beyond it.
    """
    if lower is None:
        return newton_step(gradient, hessian)
    free = np.flatnonzero((x > lower) | (gradient < 0.0))
    step = np.zeros_like(x)
    step[free], decrease = newton_step(gradient[free], hessian[np.ix_(free, free)])
    return step, decrease


def _curvature_remaining(decrease: float, before: float, fewest: int) -> float:
    """Estimate the decrease that remains because the criterion is not quadratic.

    Infinite without a step before. No less than by this argument: ``fewest`` levels determine a
    variance to a share of sqrt(2 / fewest), and on that scale the deviance leaves its quadratic
    model.
    """
    if not 0.0 < decrease < before < np.inf:
        return np.inf
    return decrease * ((decrease / before) ** 2 + decrease / fewest)


def _remaining_near_zero(
    x: np.ndarray,
    gradient: np.ndarray,
    hessian: np.ndarray,
    step: np.ndarray,
    diagonal: np.ndarray,
) -> float:
    """Estimate the decrease that remains because the criterion is even in a small theta.

    Infinite where there is no minimum. The sign of theta has no meaning, so with the others fixed
    the criterion is about ``a theta^2 + b theta^4``, and a Newton step leaves the gradient
    ``4 b (3 theta step^2 + step^3)``. The larger estimate of this and `_curvature_remaining`
    counts: with few levels and a variance of a hundredth of the residual variance the latter left
    7e-9.

    Parameters
    ----------
    x, gradient, step : (m,) arrays
    hessian : (m, m) array
    diagonal : (m,) bool array
        Which elements of theta are on the diagonal of Lambda.
    """
    if np.linalg.eigvalsh(hessian)[0] <= 0.0:
        return np.inf
    even = diagonal & (x != 0.0)
    theta, own = x[even], step[even]
    b = (np.diag(hessian)[even] - gradient[even] / theta) / (8.0 * theta**2)
    left = np.zeros_like(x)
    left[even] = 4.0 * b * (3.0 * theta * own**2 + own**3)
    return float(0.5 * left @ np.linalg.solve(hessian, left))


def _sampling_remaining(step: np.ndarray, hessian: np.ndarray, deviations: np.ndarray) -> float:
    """Estimate the decrease that one standard error of an estimated Hessian leaves.

    Infinite where there is no minimum. With an error E of the Hessian the gradient after the step
    is E step. `deviations` of the estimates from their mean, (estimates,m,m), give the variance of
    the mean.
    """
    values, vectors = np.linalg.eigh(hessian)
    if values[0] <= 0.0:
        return np.inf
    estimates = len(deviations)
    if estimates == 1:
        return 0.0
    gradients = deviations @ step @ vectors
    return float(0.5 * (gradients**2 / values).sum() / (estimates * (estimates - 1)))
