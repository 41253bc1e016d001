"""A Newton method with a certificate at the end.

theta enters a mixed model only through ``H = lambda lambda'``, so its search is free of bounds: a
variance that wants to be zero is reached at theta = 0 from either side, and the signs of the
columns of lambda are set at the end. Steps come from a local quadratic model
(`mixedfast.estimation.local_model`), made positive definite by the eigenvalues of the Hessian, and
are halved until the criterion falls.

The certificate is in units of the deviance, which have a meaning whatever the scale of the data:

* the Newton decrement ``g'H^-1 g / 2``: the decrease that a quadratic model still predicts;
* for singular fits, the same for leaving the boundary: ``dd/dH`` must not be negative in any
  direction vv' there;
* the same for changing the scale of a whole term (see `mixedfast.estimation.boundary` for both).

All three are evaluated before the last step, which only lowers them. Where derivatives are costly
the last step may predict more than the certificate allows (up to 1e-3 with 5,000 levels); the
certificate is then the decrease expected to remain after it (`Optimum.foreseen`). The
`optimization` of a result evaluates all three again, at the estimates.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import numpy as np

from mixedfast._stored import stored
from mixedfast.errors import NotIdentifiedError
from mixedfast.estimation.criterion import Criterion, Escape
from mixedfast.estimation.local_model import HessianKind, LocalModel, QuadraticStep
from mixedfast.estimation.steps import (
    CERTIFICATE_TOLERANCE,
    MAX_HALVINGS,
    is_no_higher,
    is_small,
    step_length,
    suffices,
)

__all__ = [
    "CONVERGED",
    "COSTLY_TOLERANCE",
    "DECREMENT_TOLERANCE",
    "ITERATION_LIMIT",
    "NEIGHBOUR_TOLERANCE",
    "NO_WAY_DOWN",
    "REMAINING_TOLERANCE",
    "Optimum",
    "first_point",
    "line_search",
    "minimize",
    "undefined",
]

#: The search ends with the step after a quadratic model predicts a decrease below this (deviance
#: units).
DECREMENT_TOLERANCE = 1e-14
#: The search also ends with a step that is expected to leave less than this: theta is then within
#: 1e-9 standard errors of the optimum.
REMAINING_TOLERANCE = 1e-18
#: The same where derivatives cost much more than a factorization: within 2e-5 standard errors.
COSTLY_TOLERANCE = 2e-10
#: The same for a model without the rows of one group, of which the change is of interest: within
#: 1.4e-4 standard errors.
NEIGHBOUR_TOLERANCE = 1e-8
#: Predicted decrease below which the gradient may be rounding alone: the search ends when the
#: decrease has then not halved in `PATIENCE` iterations.
ROUNDING_DECREMENT = 1e-8
PATIENCE = 5
#: Predicted decrease below which there is no step to take.
NO_DECREASE = 1e-22
MAX_ITERATIONS = 100
#: Messages of an `Optimum`.
CONVERGED = "converged"
ITERATION_LIMIT = "the iteration limit was reached"
NO_WAY_DOWN = "no step lowers the deviance further"
#: Number of times that a search may leave a stationary point that is no minimum.
MAX_ESCAPES = 10

AnyCriterion = TypeVar("AnyCriterion", bound=Criterion)


@stored("Optimum", arrays={"theta": "finite m", "gradient": "real m", "hessian": "real m m"})
@dataclass(frozen=True, eq=False)
class Optimum:
    """The end of a search, and its certificate.

    ``deviance`` is evaluated at ``theta``. ``gradient`` and ``hessian`` are in theta (internal
    basis) and were evaluated where the last step began, or at ``theta`` when none was left to take;
    ``kind`` is the origin of the Hessian. ``decrement`` and ``boundary_decrement``, in units of the
    deviance, were evaluated there too, unless ``foreseen``: they are then what is expected to
    remain at ``theta``. ``log`` has one (evaluation, deviance, decrement) per iteration.
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
        """Return the optimum of a second search that started here, with the log of both."""
        return replace(
            later, iterations=self.iterations + later.iterations, log=self.log + later.log
        )


def minimize(
    criterion: AnyCriterion,
    start: np.ndarray,
    model: LocalModel[AnyCriterion],
    tolerance: float = DECREMENT_TOLERANCE,
    remaining: float = REMAINING_TOLERANCE,
) -> Optimum:
    """Minimize a criterion.

    Parameters
    ----------
    criterion : Criterion
    start : (m,) array
    model : LocalModel
        The quadratic model that steps come from; it belongs to one search.
    tolerance : float
        The search ends with the step after the model predicts a smaller decrease than this.
    remaining : float
        Or with a step that is expected to leave less than this.

    Returns
    -------
    Optimum
        With ``criterion`` evaluated at ``Optimum.theta``.

    Raises
    ------
    NotIdentifiedError
        When the criterion is defined neither at `start` nor at its safe start.
    """
    return _Search(criterion, start, model, tolerance, remaining).run()


class _Search(Generic[AnyCriterion]):
    """One search: its current point, and the decrease that the step which led there predicted."""

    def __init__(
        self,
        criterion: AnyCriterion,
        start: np.ndarray,
        model: LocalModel[AnyCriterion],
        tolerance: float,
        remaining: float,
    ) -> None:
        self.criterion, self.model = criterion, model
        self.tolerance, self.remaining = tolerance, remaining
        self.x, self.value = first_point(criterion, start)
        self.predicted = np.inf
        self.iterations = self.escapes = 0
        self.log: list[tuple[int, float, float]] = []

    def run(self) -> Optimum:
        """Take steps until one is the last, or there is none to take."""
        while True:
            step = self.model.at(self.criterion, self.x, self.predicted)
            decrease = self.predicted = step.predicted_decrease
            self.log.append((self.criterion.evaluations, self.value, decrease))
            small = is_small(decrease, self.tolerance, self.value)
            interior = self.criterion.is_interior
            stationary = (
                decrease < NO_DECREASE
                or (small and not interior)
                or _has_stalled([entry[2] for entry in self.log])
            )
            # One step more, whatever the tolerance: the end of the search must not depend on the
            # unit of y, on the number of rows or on rounding in the sums. Derivatives are not
            # needed after it.
            if not stationary and interior and (small or step.expected_remaining < self.remaining):
                escape = self.criterion.escape()
                if escape.decrease < self._escape_tolerance(step):
                    return self._last_step(step, escape)
                stationary = True
            if not stationary:
                if self.iterations == MAX_ITERATIONS:
                    return self._optimum(step, ITERATION_LIMIT, self.criterion.escape().decrease)
                if self._move(step.step, decrease) or self.model.refine():
                    continue
            message = CONVERGED if stationary else NO_WAY_DOWN
            escape = self.criterion.escape()
            if escape.decrease < CERTIFICATE_TOLERANCE or self.escapes == MAX_ESCAPES:
                return self._optimum(step, message, escape.decrease)
            self.escapes += 1
            if not self._move(escape.target - self.x, 0.0):
                return self._optimum(step, message, escape.decrease)
            self.predicted = np.inf  # steps before the escape say nothing about those after it

    def _escape_tolerance(self, step: QuadraticStep) -> float:
        """Return the decrease that an escape may predict before the last step.

        The last step itself gains about as much as it predicts.
        """
        if self.model.certifies_ahead:
            return max(CERTIFICATE_TOLERANCE, 2.0 * step.predicted_decrease)
        return CERTIFICATE_TOLERANCE

    def _move(self, step: np.ndarray, decrease: float) -> bool:
        """Move along a step as far as the criterion falls.

        Where it does not, it is evaluated at the current point again.
        """
        moved = line_search(self.criterion, self.x, self.value, step, decrease)
        if moved is None:
            self.criterion.value(self.x)
            return False
        self.x, self.value = moved
        self.iterations += 1
        return True

    def _last_step(self, step: QuadraticStep, escape: Escape) -> Optimum:
        """Take the full step, unless the criterion rises by more than rounding.

        Its decrease is too small to be seen.
        """
        self.iterations += 1
        x = _within(self.x + step.step, self.criterion.lower)
        value = self.criterion.value(x)
        if is_no_higher(value, self.value):
            self.x, self.value = x, value
            if self.model.certifies_ahead and step.expected_remaining < step.predicted_decrease:
                remaining = step.expected_remaining
                return self._optimum(step, CONVERGED, min(escape.decrease, remaining), remaining)
            return self._optimum(step, CONVERGED, escape.decrease)
        self.criterion.value(self.x)
        certified = step.predicted_decrease < CERTIFICATE_TOLERANCE
        return self._optimum(step, CONVERGED if certified else NO_WAY_DOWN, escape.decrease)

    def _optimum(
        self,
        step: QuadraticStep,
        message: str,
        boundary_decrement: float,
        foreseen: float | None = None,
    ) -> Optimum:
        decrement = step.predicted_decrease if foreseen is None else foreseen
        return Optimum(
            theta=self.x,
            deviance=self.value,
            gradient=step.gradient,
            hessian=step.hessian,
            decrement=float(decrement),
            boundary_decrement=float(boundary_decrement),
            foreseen=foreseen is not None,
            converged=bool(max(decrement, boundary_decrement) < CERTIFICATE_TOLERANCE),
            message=message,
            evaluations=self.criterion.evaluations,
            rejected=self.criterion.rejected,
            iterations=self.iterations,
            kind=self.model.kind,
            log=tuple(self.log),
        )


def first_point(criterion: Criterion, start: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the first point and its value: `start`, or the safe start where there is no value."""
    for x in (np.array(start, dtype=float), criterion.safe_start):
        value = np.inf if x is None else criterion.value(x)
        if x is not None and value < np.inf:
            return x, value
    raise undefined()


def undefined() -> NotIdentifiedError:
    """Make the error for a criterion that has no value at any start."""
    return NotIdentifiedError(
        "the equations of the model cannot be solved: there are too many fixed effects for the "
        "rows, or they are too nearly the same"
    )


def _has_stalled(decrements: list[float]) -> bool:
    """Return whether the decrement is small and has not halved in the last iterations."""
    if len(decrements) <= PATIENCE or max(decrements[-PATIENCE:]) > ROUNDING_DECREMENT:
        return False
    return min(decrements[-PATIENCE:]) > 0.5 * min(decrements[:-PATIENCE])


def _within(x: np.ndarray, lower: np.ndarray | None) -> np.ndarray:
    """Clip x at its lower bounds."""
    return x if lower is None else np.maximum(x, lower)


def line_search(
    criterion: Criterion, x: np.ndarray, value: float, step: np.ndarray, decrease: float
) -> tuple[np.ndarray, float] | None:
    """Halve a step until the criterion falls enough (Armijo).

    Parameters
    ----------
    x, value : (m,) array and float
        The current point.
    step : (m,) array
    decrease : float
        That the quadratic model predicts for the whole step; 0 accepts any that does not rise.

    Returns
    -------
    (m,) array and float, or None
        The next point, where the criterion was evaluated last; None when no length suffices.
    """
    length = float(step_length(x, step))
    for _ in range(MAX_HALVINGS):
        trial = _within(x + length * step, criterion.lower)
        found = criterion.value(trial)
        if suffices(found, value, decrease, length):
            return trial, found
        length *= 0.5
    return None
