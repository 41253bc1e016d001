"""Plain tables: tidy, glance, augment."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from helpers.cases import frame, golden

import mixedfast as mf
from mixedfast.errors import ArgumentError, DataError

EXACT = 1e-12
LME4 = 2e-5
"""What lme4's own optimum allows of a standard deviation, relative."""


@pytest.fixture(scope="module")
def m() -> mf.LMMResult:
    return mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))


def test_fixed_is_the_coefficient_table(m: mf.LMMResult) -> None:
    table = m.tidy("fixed", conf_int=True, ddf="kenward-roger", level=0.9)
    assert table.columns.tolist() == [
        "effect",
        "term",
        "estimate",
        "std_error",
        "df",
        "statistic",
        "p_value",
        "conf_low",
        "conf_high",
    ]
    wanted = m.coef_table("kenward-roger", 0.9)
    pd.testing.assert_frame_equal(table.drop(columns="effect").set_index("term"), wanted)
    assert "conf_low" not in m.tidy()


@pytest.mark.parametrize("name", ["sleepstudy", "penicillin", "hsb_seed"])
def test_ran_pars_are_lme4s(name: str) -> None:
    record = golden(name)
    fitted = mf.lmer(record["formula_py"], frame(record["dataset"]), REML=record["REML"])
    mine = fitted.tidy("ran_pars")
    theirs = sorted(row["sdcor"] for row in record["varcorr"])
    np.testing.assert_allclose(sorted(mine["estimate"]), theirs, rtol=LME4, atol=LME4)
    assert mine["term"].iloc[-1] == "sd__Observation"
    assert mine["group"].iloc[-1] == "Residual"


def test_ran_pars_take_profile_intervals_by_name(m: mf.LMMResult) -> None:
    table = m.tidy("ran_pars", conf_int=True, method="profile").set_index("term")
    ends = m.confint("profile")
    for term, parameter in {
        "sd__Intercept": "sd_Intercept|Subject",
        "sd__Days": "sd_Days|Subject",
        "cor__Intercept.Days": "cor_Days.Intercept|Subject",
        "sd__Observation": "sigma",
    }.items():
        assert table.loc[term, ["conf_low", "conf_high"]].tolist() == ends.loc[parameter].tolist()
    assert m.tidy("ran_pars", conf_int=True)["conf_low"].isna().all(), (
        "there are no Wald intervals of these"
    )


def test_values_and_coefficients_of_groups(m: mf.LMMResult) -> None:
    values = m.tidy("ran_vals", conf_int=True)
    modes, variance = m.ranef(cond_var=True)["Subject"]
    picked = values[(values.level == "310") & (values.term == "Days")].iloc[0]
    assert picked.estimate == modes.loc["310", "Days"]
    assert picked.std_error == np.sqrt(variance[modes.index.get_loc("310"), 1, 1])
    assert picked.conf_high - picked.conf_low == pytest.approx(
        2 * 1.959963985 * picked.std_error, rel=1e-8
    )
    coefs = m.tidy("ran_coefs")
    picked = coefs[(coefs.level == "310") & (coefs.term == "Days")].iloc[0]
    assert picked.estimate == pytest.approx(m.params["Days"] + modes.loc["310", "Days"], rel=EXACT)


def test_several_effects_stack(m: mf.LMMResult) -> None:
    table = m.tidy(["ran_pars", "fixed"])
    assert table["effect"].tolist() == ["ran_pars"] * 4 + ["fixed"] * 2
    assert table["std_error"].isna().tolist() == [True] * 4 + [False] * 2
    assert table["group"].isna().tolist() == [False] * 4 + [True] * 2


@pytest.mark.parametrize(
    "wrong", [{"effects": "random"}, {"effects": []}, {"method": "guess"}, {"level": 95}]
)
def test_wrong_questions_are_refused(m: mf.LMMResult, wrong: dict[str, object]) -> None:
    with pytest.raises(ArgumentError, match=r"one of|between 0 and 1"):
        m.tidy(**wrong)  # type: ignore[arg-type]


def test_glance_is_one_row_that_compares() -> None:
    record = golden("sleepstudy_ml")
    row = mf.lmer(record["formula_py"], frame("sleepstudy"), REML=False).glance()
    assert len(row) == 1
    for mine, theirs in {
        "aic": "AIC",
        "bic": "BIC",
        "loglik": "logLik",
        "df_model": "df",
        "sigma": "sigma",
    }.items():
        assert row[mine].iloc[0] == pytest.approx(record[theirs], rel=1e-6)
    assert row["converged"].item() and not row["singular"].item() and not row["reml"].item()


def gappy() -> pd.DataFrame:
    data = mf.load_dataset("sleepstudy").assign(note=lambda d: [f"row {i}" for i in range(len(d))])
    data.loc[[3, 50], "Days"] = np.nan
    return data


def test_augment_speaks_of_the_rows_used() -> None:
    data = gappy()
    fitted = mf.lmer("Reaction ~ Days + (Days | Subject)", data)
    table = fitted.augment()
    assert table.index.name is None and not {3, 50} & set(table.index)
    np.testing.assert_array_equal(table["Reaction"], data.loc[table.index, "Reaction"])
    np.testing.assert_array_equal(
        table["Subject"].astype(str), data.loc[table.index, "Subject"].astype(str)
    )
    np.testing.assert_allclose(table[".fitted"] + table[".resid"], table["Reaction"], rtol=EXACT)
    np.testing.assert_array_equal(table[".hat"], fitted.hatvalues())
    np.testing.assert_array_equal(table[".cooksd"], fitted.cooks_distance())
    line = fitted.params["Intercept"] + fitted.params["Days"] * table["Days"]
    np.testing.assert_allclose(table[".fixed"], line, rtol=EXACT)


def test_augment_keeps_the_users_columns() -> None:
    data = gappy()
    table = mf.lmer("Reaction ~ Days + (Days | Subject)", data).augment(data)
    assert table["note"].iloc[3] == "row 4"
    assert len(table) == 178
    with pytest.raises(DataError, match="180"):
        mf.lmer("Reaction ~ Days + (Days | Subject)", data).augment(data.head(7))


def test_augment_has_weights_and_transformed_responses() -> None:
    data = mf.load_dataset("sleepstudy").assign(w=2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = mf.lmer("log(Reaction) ~ Days + (1 | Subject)", data, weights="w").augment()
    assert (table[".weights"] == 2.0).all()
    np.testing.assert_allclose(table["log(Reaction)"], np.log(data["Reaction"]), rtol=EXACT)


def test_augment_without_rows_says_so() -> None:
    cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    with pytest.raises(DataError, match="augment needs the rows"):
        mf.fit(cp).augment()
