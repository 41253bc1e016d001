"""`refit` of many responses: each is the single refit."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from helpers.cases import frame, golden

import mixedfast as mf
from mixedfast.results import response_fits

SLEEP = "Reaction ~ Days + (Days | Subject)"

#: Searches of a table end within 1e-6 standard errors of the optimum.
SAME = 1e-5


def quietly(work):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mf.MixedFastWarning)
        return work()


@pytest.fixture(scope="module")
def sleep():
    return mf.lmer(SLEEP, mf.load_dataset("sleepstudy"))


MODELS = [
    "sleepstudy",
    "sleepstudy_ml",
    "hsb_factors",
    "pastes",
    "clinics_weights",
    "clinics_offset",
    "clinics_rank",
    "clinics_no_intercept",
    "words_crossed",
    "machines_full",
]


@pytest.mark.parametrize("name", MODELS)
def test_each_row_is_the_refit_of_one_response(name):
    case = golden(name)
    m = quietly(
        lambda: mf.lmer(
            case["formula_py"],
            frame(case["dataset"]),
            weights=case.get("weights"),
            offset=case.get("offset"),
            REML=case.get("reml", "ml" not in name),
        )
    )
    Y = m.simulate(5, seed=1)
    Y[:, 3] *= 1e4
    Y[:, 4] = 1e-4 * Y[:, 4] + 50.0
    many = m.refit(Y)
    assert len(many) == len(many.each) == 5
    table = many.to_frame()
    for i in range(5):
        one = quietly(lambda i=i: m.refit(Y[:, i]))
        assert table.criterion[i] == pytest.approx(one.criterion, rel=1e-7)
        assert table.sigma[i] == pytest.approx(one.sigma, rel=SAME)
        assert table.n[i] == one.nobs
        assert table.converged[i] == one.converged and table.singular[i] == one.is_singular
        size = 1e-4 * one.bse.fillna(1.0)
        assert (np.abs(many.params.iloc[i] - one.params).fillna(0.0) < size).all()
        np.testing.assert_allclose(many.bse.iloc[i], one.bse, rtol=1e-4)
        np.testing.assert_allclose(many.theta[i], one.theta, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(quietly(lambda: many.each[2]).criterion, table.criterion[2])
    assert [quietly(lambda one=one: one) for one in quietly(lambda: many.each[:2])]


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_tables_name_their_responses(sleep, kind):
    Y = sleep.simulate(2, seed=3)
    found = sleep.refit(kind({"a": Y[:, 0], "b": Y[:, 1]}))
    assert found.names == ("a", "b")
    assert found.params.index.tolist() == ["a", "b"]
    assert list(found.to_frame().columns) == [
        "response",
        "n",
        "criterion",
        "converged",
        "singular",
        "sigma",
        "theta_Intercept|Subject",
        "theta_Days.Intercept|Subject",
        "theta_Days|Subject",
        "Intercept",
        "Days",
        "se_Intercept",
        "se_Days",
        "error",
    ]


def test_one_column_of_a_table_is_a_table_and_of_an_array_a_result(sleep):
    y = sleep.simulate(1, seed=3)
    assert isinstance(sleep.refit(y), mf.LMMResult)
    assert len(sleep.refit(pd.DataFrame(y, columns=["a"]))) == 1


def test_missing_values_differ_by_column():
    data = mf.load_dataset("sleepstudy")
    data.loc[[3, 50], "Reaction"] = np.nan
    m = mf.lmer(SLEEP, data)
    Y = np.repeat(data.Reaction.to_numpy()[:, None], 4, axis=1)
    Y[:, 1] += 1.0
    Y[10:30, 1] = np.nan
    Y[:, 2] = np.nan
    Y[10:30, 3] = np.nan
    found = m.refit(Y)
    assert found.to_frame().n.tolist() == [178, 158, 0, 158]
    assert found.messages[2] == "every value of the response is missing"
    assert np.isnan(found.params.iloc[2]).all() and not found.converged[2]
    with pytest.raises(mf.DataError, match="every value of the response"):
        found.each[2]
    for i in (0, 1, 3):
        one = mf.lmer(SLEEP, data.assign(Reaction=Y[:, i]))
        assert found.criterion[i] == pytest.approx(one.criterion, rel=1e-9)
        np.testing.assert_allclose(found.params.iloc[i], one.params, rtol=1e-6)
        np.testing.assert_allclose(found.each[i].bse, one.bse, rtol=1e-5)
    assert "4 responses; 0 singular; 0 not converged; 1 with an error" in str(found)


def test_rows_that_lose_a_coefficient():
    data = pd.DataFrame({"y": np.arange(12.0) % 5, "f": list("aab" * 4), "g": np.arange(12) // 3})
    m = quietly(lambda: mf.lmer("y ~ f + (1 | g)", data))
    Y = np.column_stack([data.y, data.y])
    Y[2::3, 1] = np.nan  # no row with f = b
    found = quietly(lambda: m.refit(Y))
    assert found.messages[0] is None
    assert np.isnan(found.params.iloc[1, 1])


@pytest.mark.parametrize("formula", [SLEEP, "Reaction ~ Days + (0 + Days | Subject)"])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda days: np.full(180, 5.0), "reproduce the response exactly"),
        (lambda days: np.zeros(180), "reproduce the response exactly"),
        (lambda days: 2.0 + 3.0 * days, "reproduce the response exactly"),
        (lambda days: 1e-200 * np.sin(days), "squares vanish"),
        (lambda days: 1e200 * np.sin(days), "squares overflow"),
    ],
)
def test_a_response_without_a_fit_is_a_row_with_its_error(formula, bad, message):
    data = mf.load_dataset("sleepstudy")
    m = quietly(lambda: mf.lmer(formula, data))
    y = data.Reaction.to_numpy()
    found = m.refit(np.column_stack([y, bad(data.Days.to_numpy()), y + 1.0]))
    assert message in found.messages[1] and not found.converged[1]
    assert np.isnan(found.criterion[1]) and np.isnan(found.params.iloc[1]).all()
    assert found.messages[0] is None and found.messages[2] is None
    np.testing.assert_allclose(found.criterion[[0, 2]], m.criterion, rtol=1e-9)
    assert "3 responses; 0 singular; 0 not converged; 1 with an error" in str(found)
    with pytest.raises(mf.MixedFastError, match=message):
        found.each[1]


@pytest.mark.parametrize("noise", [1e-4, 1e-5, 1e-7])
def test_responses_with_few_digits_are_fitted_from_rows(sleep, noise):
    """Residuals are a small share of the response, and their squares are lost in sums."""
    data = mf.load_dataset("sleepstudy")
    rng = np.random.default_rng(5)
    groups = rng.normal(size=(18, 2))[np.arange(180) // 10]
    y = groups[:, 0] + groups[:, 1] * data.Days.to_numpy() + noise * rng.normal(size=180)
    Y = np.column_stack([y, data.Reaction, 2.0 * y])
    found = quietly(lambda: sleep.refit(Y))
    for i in range(3):
        one = quietly(lambda i=i: sleep.refit(Y[:, i]))
        assert found.converged[i] == one.converged
        assert found.criterion[i] == pytest.approx(one.criterion, rel=1e-10)
        np.testing.assert_allclose(found.sigma[i], one.sigma, rtol=1e-7)
        np.testing.assert_allclose(found.bse.iloc[i], one.bse, rtol=1e-5)


def test_results_do_not_depend_on_threads(sleep):
    Y = sleep.simulate(600, seed=1)
    one, two = sleep.refit(Y, threads=1).to_frame(), sleep.refit(Y, threads=3).to_frame()
    pd.testing.assert_frame_equal(one, two)


def test_models_of_several_optima_are_searched_from_all_starts():
    data = frame("edge")
    m = quietly(lambda: mf.lmer("y_fan ~ x + (0 + x | g)", data))
    Y = m.simulate(4, seed=2)
    found = m.refit(Y)
    for i in range(4):
        one = quietly(lambda i=i: m.refit(Y[:, i]))
        assert found.criterion[i] == pytest.approx(one.criterion, rel=1e-10)
        np.testing.assert_allclose(found.params.iloc[i], one.params, rtol=1e-7)
        np.testing.assert_allclose(found.bse.iloc[i], one.bse, rtol=1e-7)


def test_an_interrupt_keeps_what_is_done(sleep, monkeypatch, capsys):
    Y = sleep.simulate(600, seed=1)
    true, calls = response_fits.refit, []

    def impatient(*arguments):
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return true(*arguments)

    monkeypatch.setattr(response_fits, "refit", impatient)
    found = sleep.refit(Y, threads=1, progress=False)
    assert 0 < len(found) < 600 == found.requested
    assert "are kept" in capsys.readouterr().err
    assert " of 600 responses" in str(found)


@pytest.mark.parametrize(
    ("Y", "message"),
    [
        (np.ones((3, 2)), "3 values for the 180 rows"),
        (np.full((180, 2), np.inf), "response 0 holds infinite values"),
        (pd.DataFrame({"a": ["x"] * 180}), "column 'a' holds text"),
        (np.empty((180, 0)), "Y has no columns"),
        (np.full((180, 2), "x"), "responses must be numbers"),
    ],
)
def test_wrong_responses(sleep, Y, message):
    with pytest.raises(mf.DataError, match=message):
        sleep.refit(Y)
