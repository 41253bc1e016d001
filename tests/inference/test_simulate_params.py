"""Responses simulated for other parameters than those estimated."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.cases import frame

import mixedfast as mf

CASES = {
    "sleepstudy": ("Reaction ~ Days + (Days | Subject)", "Days"),
    "penicillin": ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Intercept"),
    "hsb": ("math ~ 0 + sex + ses + (ses || school)", "ses"),
}


@pytest.fixture(params=CASES)
def case(request):
    formula, name = CASES[request.param]
    return mf.lmer(formula, mf.load_dataset(request.param)), name


def test_the_estimates_themselves_change_nothing(case):
    m, _ = case
    given = {"beta": m.params.to_dict(), "theta": m.theta, "sigma": m.sigma}
    expected = m.simulate(3, seed=5)
    np.testing.assert_allclose(m.simulate(3, seed=5, params=given), expected, rtol=1e-9)
    given["beta"] = m.params.to_numpy()
    np.testing.assert_allclose(m.simulate(3, seed=5, params=given), expected, rtol=1e-9)


def test_a_coefficient_moves_the_mean_and_nothing_else(case):
    m, name = case
    old = m.simulate(2, seed=5)
    new = m.simulate(2, seed=5, params={name: m.params[name] + 3.0})
    column = 1.0 if name == "Intercept" else m._design.variables.columns[name].values
    moved = np.broadcast_to(3.0 * np.asarray(column, dtype=float), old.T.shape).T
    np.testing.assert_allclose(new - old, moved, atol=1e-8)


def test_sigma_scales_all_deviations_and_theta_those_of_groups(case):
    m, _ = case
    mean = m.predict(re=False)[:, None]
    old = m.simulate(2, seed=5) - mean
    double = m.simulate(2, seed=5, params={"sigma": 2.0 * m.sigma}) - mean
    np.testing.assert_allclose(double, 2.0 * old, atol=1e-8)
    without = m.simulate(2, seed=5, params={"theta": np.zeros(len(m.theta))}) - mean
    wide = m.simulate(2, seed=5, params={"theta": 3.0 * m.theta}) - mean
    np.testing.assert_allclose(wide - without, 3.0 * (old - without), atol=1e-7)


def test_new_numbers_of_groups():
    m = mf.lmer("Reaction ~ Days + (1 | Subject)", frame("sleepstudy"))
    new = pd.DataFrame({"Subject": np.repeat(np.arange(2000), 2), "Days": np.tile([0, 1], 2000)})
    y = m.simulate(1, seed=2, newdata=new, params={"theta": [2.0], "sigma": 1.0, "Days": 0.5})
    pairs = y.reshape(2000, 2)
    between = np.cov(pairs.T)[0, 1]
    # the standard error of a covariance of correlation 0.8 is below 5 * sqrt(2 / 2000)
    assert abs(between - 4.0) < 4 * 5 * np.sqrt(2 / 2000)
    assert abs(np.diff(pairs, axis=1).mean() - 0.5) < 4 * np.sqrt(2 / 2000)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"Dayz": 1.0}, "there is no coefficient 'Dayz'"),
        ({"sigma": 0.0}, "sigma is 0; it must be positive"),
        ({"theta": [1.0]}, "theta is .* 3 finite numbers are needed"),
        ({"beta": [1.0, np.nan]}, "beta is .* 2 finite numbers are needed"),
        ({"Days": "much"}, "Days is 'much', where numbers are needed"),
        (3.0, "give a mapping"),
    ],
)
def test_wrong_parameters(params, words):
    m = mf.lmer("Reaction ~ Days + (Days | Subject)", frame("sleepstudy"))
    with pytest.raises(mf.MixedFastError, match=words):
        m.simulate(params=params)


def test_kept_effects_belong_to_the_estimates():
    m = mf.lmer("Reaction ~ Days + (Days | Subject)", frame("sleepstudy"))
    with pytest.raises(mf.MixedFastError, match='leave re="new"'):
        m.simulate(re="kept", params={"Days": 1.0})
