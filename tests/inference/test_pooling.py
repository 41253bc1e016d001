"""Rubin's rules on small numbers by hand, and pooled results."""

from __future__ import annotations

import numpy as np
import pytest

import mixedfast as mf
from mixedfast.inference.pooling import d1, d2, rubin


def test_one_parameter_by_hand() -> None:
    Q, U = np.array([[1.0], [2.0], [6.0]]), np.array([[1.0], [2.0], [3.0]])
    found = rubin(Q, U)  # B = 7, T = 2 + 4/3 * 7, riv = 14/3
    assert found.estimate[0] == pytest.approx(3.0)
    assert found.std_error[0] ** 2 == pytest.approx(2.0 + 28.0 / 3.0)
    assert found.riv[0] == pytest.approx(14.0 / 3.0)
    assert found.df[0] == pytest.approx(2.0 * (1.0 + 3.0 / 14.0) ** 2)
    share, old = 14.0 / 17.0, 2.0 * (17.0 / 14.0) ** 2
    observed = 11.0 / 13.0 * 10.0 * (1.0 - share)
    assert rubin(Q, U, 10.0).df[0] == pytest.approx(old * observed / (old + observed))


def test_d1_and_d2_of_one_parameter() -> None:
    Q, U = np.array([[1.0], [2.0], [6.0]]), np.full((3, 1, 1), 2.0)
    assert d1(Q, U).f_value == pytest.approx(9.0 / (2.0 + 28.0 / 3.0))
    # three equal statistics: no between-imputation variance
    assert d2(np.array([6.0, 6.0, 6.0]), 2).f_value == pytest.approx(3.0)
    assert d2(np.array([4.0, 9.0]), 1).f_value == pytest.approx((6.5 - 0.75 * 3.0) / 1.75)


def test_the_three_ways_to_pool_agree() -> None:
    sleep = mf.load_dataset("sleepstudy")
    sleep["pv2"] = sleep.Reaction + 3.0 * np.sin(np.arange(len(sleep)))
    one = mf.lmer("Reaction ~ Days + (1 | Subject)", sleep)
    two = mf.lmer("pv2 ~ Days + (1 | Subject)", sleep)
    P = mf.pool([one, two])
    by_values = mf.lmer(["Reaction", "pv2"], "~ Days + (1 | Subject)", sleep, pool=True)
    tables = [sleep, sleep.assign(Reaction=sleep.pv2)]
    by_tables = mf.lmer("Reaction ~ Days + (1 | Subject)", tables, pool=True)
    for other in (by_values, by_tables):
        assert other.coef_table().equals(P.coef_table())
    assert P.params["Days"] == pytest.approx((one.params["Days"] + two.params["Days"]) / 2.0)
    expected = (one.varcorr.variance + two.varcorr.variance) / 2.0
    np.testing.assert_allclose(P.varcorr.variance, expected)
    assert P.anova().f_value["Days"] == pytest.approx(P.coef_table().statistic["Days"] ** 2)
    smaller = mf.lmer(["Reaction", "pv2"], "~ 1 + (1 | Subject)", sleep, pool=True)
    assert P.test(smaller).f_value["D1"] == pytest.approx(P.anova().f_value["Days"])
    with pytest.raises(mf.NotDefinedError, match="lack at least one"):
        smaller.test(P)
    with pytest.raises(mf.ArgumentError, match="another model"):
        mf.pool([one, mf.lmer("Reaction ~ 1 + (1 | Subject)", sleep)])
    with pytest.raises(mf.ArgumentError, match="list of tables"):
        mf.lmer("Reaction ~ Days + (1 | Subject)", sleep, pool=True)


def test_reiters_df_stay_below_those_of_the_complete_data() -> None:
    rng = np.random.default_rng(1)
    Q, U = rng.normal(size=(5, 3)) * 0.1 + 1.0, np.broadcast_to(np.eye(3), (5, 3, 3))
    assert 4.0 < d1(Q, U, 147.0).den_df < 147.0 < d1(Q, U).den_df
