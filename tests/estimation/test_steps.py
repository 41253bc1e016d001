"""The rules of all searches, one point and many.

A search for the minimum of a function that is no mixed model.
"""

from __future__ import annotations

import numpy as np
import pytest

from mixedfast.errors import NotIdentifiedError
from mixedfast.estimation.criterion import Derivatives, Escape
from mixedfast.estimation.local_model import DirectModel
from mixedfast.estimation.newton import CONVERGED, minimize
from mixedfast.estimation.steps import (
    expected_remaining,
    is_no_higher,
    is_small,
    newton_step,
    step_length,
    suffices,
)


def test_many_points_follow_the_rules_of_one():
    rng = np.random.default_rng(1)
    R, m = 6, 3
    x, gradient = 5.0 * rng.normal(size=(R, m)), rng.normal(size=(R, m))
    hessian = rng.normal(size=(R, m, m))
    hessian = hessian + hessian.swapaxes(1, 2)
    steps, decreases = newton_step(gradient, hessian)
    lengths = step_length(x, steps)
    before = np.array([np.inf, 1.0, 1e-3, 1e-9, 1e-2, 1e-5])
    small = np.array([1e-7, 1e-8, 1e-7, 1e-7, 0.0, 1e-12])
    remaining = expected_remaining(small, before, exact=True)
    for r in range(R):
        step, decrease = newton_step(gradient[r], hessian[r])
        np.testing.assert_array_equal(step, steps[r])
        assert decrease == decreases[r]
        assert step_length(x[r], step) == lengths[r]
        assert expected_remaining(small[r], before[r], exact=True) == remaining[r]


def test_a_step_goes_down_and_predicts_by_how_much():
    hessian = np.array([[4.0, 1.0], [1.0, 3.0]])
    gradient = np.array([1.0, -2.0])
    step, decrease = newton_step(gradient, hessian)
    np.testing.assert_allclose(step, -np.linalg.solve(hessian, gradient), rtol=1e-14)
    assert decrease == pytest.approx(-0.5 * gradient @ step, rel=1e-14)
    step, decrease = newton_step(gradient, -hessian)  # the sizes of its eigenvalues count
    assert gradient @ step == pytest.approx(-2.0 * decrease, rel=1e-14)


def test_no_coordinate_moves_farther_than_twice_the_largest():
    assert step_length(np.zeros(2), np.array([0.5, -1.0])) == 1.0
    assert step_length(np.zeros(2), np.array([0.5, -4.0])) == 0.25
    assert step_length(np.array([0.0, 10.0]), np.array([40.0, 0.0])) == 0.5
    assert step_length(np.zeros(2), np.zeros(2)) == 1.0


def test_a_decrease_suffices_by_its_share_of_the_prediction_or_within_rounding():
    assert suffices(9.9, 10.0, 1.0, 1.0)
    assert not suffices(10.0 - 1e-5, 10.0, 1.0, 1.0)
    assert suffices(10.0 - 1e-5, 10.0, 1.0, 0.01)
    assert suffices(10.0, 10.0, 0.0, 1.0)
    assert not suffices(10.0 + 1e-10, 10.0, 0.0, 1.0)
    assert not suffices(np.inf, 10.0, 1.0, 1.0) and not suffices(np.nan, 10.0, 1.0, 1.0)
    assert is_no_higher(1e4 + 1e-9, 1e4) and not is_no_higher(1e4 + 1e-7, 1e4)
    assert is_small(1e-15, 1e-14, 1.0) and not is_small(1e-13, 1e-14, 1.0)
    assert is_small(1e-13, 1e-14, 1e4)


def test_what_remains_is_expected_from_two_decreases():
    assert expected_remaining(1e-7, 1e-4, exact=True) == pytest.approx(1e-13)
    assert expected_remaining(1e-7, 1e-4, exact=False) == pytest.approx(1e-10)
    for decrease, before in [(1e-7, np.inf), (1e-7, 1e-8), (1e-5, 1.0), (0.0, 1.0)]:
        assert expected_remaining(decrease, before, exact=True) == np.inf


class Valley:
    """Rosenbrock's function, to be minimized above lower bounds, where it is not defined beyond |x| = 10."""

    is_interior = True

    def __init__(self, lower=None, safe_start=None, escape=None):
        self.lower, self.safe_start, self._escape = lower, safe_start, escape
        self.evaluations = self.rejected = 0

    def value(self, x):
        self.evaluations += 1
        self.x = x
        if np.abs(x).max() > 10.0:
            self.rejected += 1
            return np.inf
        return 100.0 * (x[1] - x[0] ** 2) ** 2 + (1.0 - x[0]) ** 2

    def derivatives(self, exact):
        a, b = self.x
        gradient = np.array([-400.0 * a * (b - a**2) - 2.0 * (1.0 - a), 200.0 * (b - a**2)])
        hessian = np.array([[1200.0 * a**2 - 400.0 * b + 2.0, -400.0 * a], [-400.0 * a, 200.0]])
        return Derivatives(gradient, hessian)

    def escape(self):
        return self._escape or Escape(0.0, self.x)


def test_a_function_that_is_no_mixed_model():
    valley = Valley()
    found = minimize(valley, np.array([-1.2, 1.0]), DirectModel(exact=True))
    np.testing.assert_allclose(found.theta, 1.0, rtol=1e-9)
    assert found.converged and found.message == CONVERGED
    assert np.array_equal(valley.x, found.theta) and found.evaluations == valley.evaluations


@pytest.mark.parametrize(
    ("lower", "expected"),
    [([2.0, -np.inf], [2.0, 4.0]), ([-np.inf, 2.25], None), ([-3.0, -3.0], [1.0, 1.0])],
)
def test_lower_bounds(lower, expected):
    from scipy.optimize import minimize as scipy_minimize

    valley, lower = Valley(np.array(lower)), np.array(lower)
    start = np.maximum([-1.2, 1.0], lower)
    found = minimize(valley, start, DirectModel(exact=True))
    assert found.converged and (found.theta >= lower).all()
    if expected is None:
        other = Valley()
        bounds = [(low, None) for low in lower]
        expected = scipy_minimize(other.value, found.theta, bounds=bounds, tol=1e-12).x
    np.testing.assert_allclose(found.theta, expected, rtol=1e-6)


def test_a_start_without_a_value():
    with pytest.raises(NotIdentifiedError):
        minimize(Valley(), np.full(2, 11.0), DirectModel(exact=True))
    safe = Valley(safe_start=np.zeros(2))
    found = minimize(safe, np.full(2, 11.0), DirectModel(exact=True))
    np.testing.assert_allclose(found.theta, 1.0, rtol=1e-9)
    assert found.rejected >= 1


def test_an_escape_that_leads_nowhere_is_no_certificate():
    valley = Valley(escape=Escape(1.0, np.array([5.0, 5.0])))
    found = minimize(valley, np.array([-1.2, 1.0]), DirectModel(exact=True))
    np.testing.assert_allclose(found.theta, 1.0, rtol=1e-4)
    assert not found.converged and found.boundary_decrement == 1.0
