"""Rules of every search: the Newton step, its length, sufficient decrease and when to stop.

One search, or many along a leading axis: ``x``, ``gradient`` and ``step`` are (..., m), ``hessian``
(..., m, m), values of the criterion and decreases (...). Decreases are in units of the deviance.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfast.covariance._theta import newton_steps

__all__ = [
    "CERTIFICATE_TOLERANCE",
    "EIGENVALUE_FLOOR",
    "MAX_HALVINGS",
    "REFIT_TOLERANCE",
    "expected_remaining",
    "is_no_higher",
    "is_small",
    "newton_step",
    "step_length",
    "suffices",
]

#: A fit is called converged when the certificate predicts a smaller decrease. One unit of deviance
#: is about what noise does; 1e-4 of it moves an estimate by less than a hundredth of its standard
#: error.
CERTIFICATE_TOLERANCE = 1e-4
#: A search for a refit or for a point of a profile ends with a predicted or expected decrease below
#: this: estimates are within 1e-4 standard errors of the optimum, and zeta = sqrt(rise of the
#: deviance) within 1e-9 / (2 zeta).
REFIT_TOLERANCE = 1e-9
#: Predicted decrease below which two successive decreases show the rate of convergence: the step is
#: then no longer than 1.4e-3 standard errors. A search for a variance of zero predicted 5e-2 and
#: 5e-5, the rate of a Newton method near its end, with 8e-6 left after the step.
CONVERGING = 1e-6
#: Eigenvalues of the scaled Hessian are raised to this fraction of the largest before a step is
#: taken.
EIGENVALUE_FLOOR = 1e-9
#: Halvings of a step before a search gives up.
MAX_HALVINGS = 30
#: Armijo: share of the decrease along the slope that a step must reach.
SUFFICIENT = 1e-4
#: Relative rise of the criterion that is taken for rounding: in a line search, which goes on from
#: there, and for the last step.
ROUNDING, ANY_ROUNDING = 1e-14, 1e-12
#: Relative decrease of the criterion too small to be seen in its values.
INVISIBLE = 1e-16


def newton_step(gradient: np.ndarray, hessian: np.ndarray) -> tuple[np.ndarray, Any]:
    """Compute a descent step and the decrease that its quadratic model predicts.

    step = -|H|^-1 g, decrease = g'|H|^-1 g / 2, with |H| from the eigenvalues of the Hessian scaled
    to a unit diagonal
    """
    if gradient.ndim > 1:
        return newton_steps(gradient, np.ascontiguousarray(hessian), EIGENVALUE_FLOOR)
    steps, decreases = newton_steps(
        gradient[None], np.ascontiguousarray(hessian)[None], EIGENVALUE_FLOOR
    )
    return steps[0], float(decreases[0])


def step_length(x: np.ndarray, step: np.ndarray) -> Any:
    """Return the first length of a step to try.

    1, or less so that no coordinate moves by more than one or twice the largest.
    """
    longest = np.abs(step).max(axis=-1)
    reach = np.maximum(1.0, 2.0 * np.abs(x).max(axis=-1))
    return reach / np.maximum(longest, reach)


def suffices(value: Any, before: Any, decrease: Any, length: Any) -> Any:
    """Return whether a step of this length lowers the criterion enough (Armijo).

    A change by rounding is enough, too. The slope along a Newton step is minus twice the decrease
    that its quadratic model predicts.
    """
    return value <= before - SUFFICIENT * length * 2.0 * decrease + ROUNDING * abs(before)


def is_no_higher(value: Any, before: Any) -> Any:
    """Return whether a criterion is no higher than before, but for rounding."""
    return value <= before + ANY_ROUNDING * abs(before)


def is_small(decrease: Any, tolerance: float, value: Any) -> Any:
    """Return whether a predicted decrease is small.

    It is below the tolerance, or too small to be seen in the criterion.
    """
    return (decrease < tolerance) | (decrease < INVISIBLE * abs(value))


def expected_remaining(decrease: Any, before: Any, exact: bool) -> Any:
    """Return the decrease expected to remain after a step that predicts ``decrease``.

    The step before predicted ``before``. Newton's method squares the error of theta, average
    information multiplies it by a constant. Infinite where the two decreases do not show
    convergence.
    """
    usable = (decrease > 0.0) & (decrease < before) & (before < np.inf)
    rate = decrease / before
    remaining = decrease * (rate * rate if exact else rate)
    return np.where(usable & (decrease < CONVERGING), remaining, np.inf)
