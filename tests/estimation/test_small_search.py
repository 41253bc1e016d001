"""The compiled search of small models and the Python search: the same steps, the same optimum."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from helpers.cases import golden_names, shared_model
from helpers.designs import a_theta

import mixedfast as mf
from mixedfast.engines.choose import choose
from mixedfast.estimation import _small_search
from mixedfast.estimation.newton import DECREMENT_TOLERANCE, REMAINING_TOLERANCE
from mixedfast.estimation.pls import PLSSystem
from mixedfast.estimation.small_search import EngineSearch, SmallSearch, small_system
from mixedfast.estimation.starting_values import first_theta

#: The order of sums differs, and both lose digits where variances are large.
SAME_VALUE = 1e-10
SAME_DERIVATIVE = 1e-7
#: Steps to the same optimum, relative to theta of order one.
SAME_THETA = 1e-6


def small_names():
    return [name for name in golden_names() if "insteval" not in name]


def quietly(m, y):
    """Refit without the warning of a singular fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mf.SingularFitWarning)
        return m.refit(y)


def both(cp, reml):
    """Return the compiled and the Python search of a model, or skip it."""
    small = small_system(cp, reml)
    if small is None:
        pytest.skip("not a small model")
    system = PLSSystem(cp, choose(cp, "auto"), reml)
    return SmallSearch(cp, reml, small, REMAINING_TOLERANCE), EngineSearch(
        system, REMAINING_TOLERANCE
    )


@pytest.mark.parametrize("name", small_names())
@pytest.mark.parametrize("reml", [True, False])
def test_evaluations_agree(name, reml):
    cp = shared_model(name)._fit.cp
    compiled, python = both(cp, reml)
    for seed, kind in enumerate(("usual", "zero")):
        theta = a_theta(cp.covariance, seed, kind)
        one, two = compiled.solve(theta), python.solve(theta)
        assert (one is None) == (two is None)
        if one is None:
            continue
        assert one.deviance == pytest.approx(two.deviance, rel=SAME_VALUE, abs=SAME_VALUE)
        np.testing.assert_allclose(one.beta, two.beta, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(one.LX, two.LX, rtol=1e-8, atol=1e-8 * np.abs(two.LX).max())
        gradient, hessian = compiled.system.derivatives(theta)
        expected = python.system.derivatives(True)
        for ours, theirs in ((gradient, expected.gradient), (hessian, expected.hessian)):
            size = max(np.abs(theirs).max(), np.abs(expected.hessian).max(), 1.0)
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=SAME_DERIVATIVE * size)


@pytest.mark.parametrize("name", small_names())
def test_searches_take_the_same_steps(name):
    fit = shared_model(name)._fit
    compiled, python = both(fit.cp, fit.reml)
    start = first_theta(fit.cp, fit.reml)
    ours, theirs = compiled.minimize(start, True), python.exactly(start)
    assert ours.converged == theirs.converged and ours.message == theirs.message
    assert ours.deviance == pytest.approx(theirs.deviance, rel=SAME_VALUE, abs=SAME_VALUE)
    # at singular optima lambda may be another root of the same covariance
    for one, two in zip(
        fit.covariance.lambdas(ours.theta), fit.covariance.lambdas(theirs.theta), strict=True
    ):
        scale = max(1.0, float(np.abs(two @ two.T).max()))
        np.testing.assert_allclose(one @ one.T, two @ two.T, rtol=0, atol=SAME_THETA * scale)
    # decreases below rounding differ, and with them whether one more step is taken
    pairs = list(zip(ours.log, theirs.log, strict=False))
    assert abs(len(ours.log) - len(theirs.log)) <= 1
    for one, two in pairs:
        assert one[1] == pytest.approx(two[1], rel=1e-9, abs=1e-9)
        assert one[2] == pytest.approx(two[2], rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("name", ["sleepstudy", "penicillin", "hsb_seed", "pastes"])
def test_fits_record_the_engine_and_agree_with_it(name):
    m = shared_model(name)
    other = m.update(engine="block")
    assert m.engine == other.engine == "block"
    assert m.criterion == pytest.approx(other.criterion, rel=SAME_VALUE)
    np.testing.assert_allclose(m.theta, other.theta, rtol=SAME_THETA, atol=SAME_THETA)
    assert m.optimization["evaluations"] > 0


@pytest.mark.parametrize("name", ["sleepstudy", "sleepstudy_ml", "penicillin", "edge_flat"])
def test_refits_are_single_fits(name):
    """Each response of `refit` against a fit of its own cross-products."""
    m = shared_model(name)
    fit = m._fit
    system = small_system(fit.cp, fit.reml)
    rng = np.random.default_rng(3)
    y = m.simulate(6, seed=2)
    y[:, 5] = rng.normal(size=len(y))  # no variance between groups
    products = []
    for column in y.T:
        cp = quietly(m, column)._fit.cp
        # in the units of the fit
        factor = fit.cp.scale[-1] / cp.scale[-1]
        zy = np.concatenate([g.B[:, :, -1].ravel() for g in cp.groups]) * factor
        products.append((zy, cp.xy[:-1, -1] * factor, cp.xy[-1, -1] * factor**2))
    Zy, Xy, yy = (np.array(part) for part in zip(*products, strict=True))
    theta, _beta, _, deviance, _r2, certificate, ending = _small_search.refit(
        system, Zy, Xy, yy, fit.theta_internal, DECREMENT_TOLERANCE, REMAINING_TOLERANCE
    )
    assert (ending == 0).all() and (certificate < 1e-4).all()
    for r, column in enumerate(y.T):
        one = quietly(m, column)
        assert deviance[r] == pytest.approx(one.criterion, rel=1e-9)
        np.testing.assert_allclose(
            fit.covariance.to_user(theta[r]), one.theta, rtol=1e-5, atol=1e-5
        )


def test_models_that_are_not_small():
    rng = np.random.default_rng(0)
    n = 3000
    data = {"y": rng.normal(size=n), "g": np.arange(n) % 300, "h": np.arange(n) % 7}
    assert small_system(mf.crossproducts("y ~ 1 + (1 | g) + (1 | h)", data), True) is None
    assert small_system(mf.crossproducts("y ~ 1 + (1 | g)", data), True) is not None


def test_wrong_shapes_are_refused():
    fit = shared_model("sleepstudy")._fit
    system = small_system(fit.cp, True)
    with pytest.raises(ValueError, match="theta"):
        system.solve(np.zeros(2))
    with pytest.raises(ValueError, match=r"refit: Zy \(R,q\)"):
        _small_search.refit(system, np.zeros((1, 3)), np.zeros((1, 2)), np.ones(1), fit.theta, 0, 0)
