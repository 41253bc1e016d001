"""Ordinary regression against R's lm, and against its own definition."""

from __future__ import annotations

import copy
import inspect
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfast as mf
from mixedfast.api import lm
from mixedfast.datasets import load_dataset
from mixedfast.errors import ArgumentError, DataError, FormulaError
from mixedfast.results import OLSResult

#: Two correct QR factorizations of these small designs agree to a few thousand units in the last
#: place.
ALGEBRA = 1e-10

#: R's numbers below were printed with twelve digits.
PRINTED = 1e-11


@pytest.fixture(scope="module")
def sleepstudy() -> pd.DataFrame:
    return load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def cake() -> pd.DataFrame:
    return load_dataset("cake")


def test_likelihood_and_criteria_agree_with_r(sleepstudy: pd.DataFrame, cake: pd.DataFrame) -> None:
    m = lm("Reaction ~ Days + Subject", sleepstudy)
    weighted = lm("angle ~ recipe + temp", cake, weights=np.arange(1, 271))
    found = [m.loglik, m.aic, m.bic, weighted.loglik, weighted.bic]
    from_r = [-863.436001945769, 1766.87200389, 1830.73114091, -878.864963129678, 1785.72203605]
    np.testing.assert_allclose(found, from_r, rtol=PRINTED)


# R 4.2.2: print(anova(lm(angle ~ recipe + temp, cake, weights = 1:270)))
WEIGHTED_ANOVA = """\
Analysis of variance, response: angle
           Df  Sum Sq Mean Sq F value    Pr(>F)
recipe      2   59662   29831  7.4183 0.0007327 ***
temp        1  214905  214905 53.4419 3.124e-12 ***
Residuals 266 1069658    4021
---
Signif. codes: 0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1"""

# R 4.2.2: print(summary(lm(Reaction ~ Days + I(2 * Days), sleepstudy))), our names and words
DEFICIENT_PAGE = """\
Linear model fit by least squares
Formula: Reaction ~ Days + I(2 * Days)

Residuals:
     Min      1Q Median     3Q     Max
-110.848 -27.483  1.546 26.142 139.953

Coefficients:
            Estimate Std. Error t value Pr(>|t|)
Intercept    251.405      6.610  38.033  < 2e-16 ***
Days          10.467      1.238   8.454 9.89e-15 ***
I(2 * Days)       NA         NA      NA       NA
---
Signif. codes: 0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1

Residual standard error: 47.71 on 178 degrees of freedom
Multiple R-squared: 0.2865, Adjusted R-squared: 0.2825
F-statistic: 71.46 on 1 and 178 DF, p-value: 9.894e-15

Left out, a linear combination of other columns: I(2 * Days)."""


def test_the_weighted_anova_table_is_r_s(cake: pd.DataFrame) -> None:
    from mixedfast.report.text import anova_text

    table = lm("angle ~ recipe + temp", cake, weights=np.arange(1, 271)).anova()
    assert anova_text(table, "Analysis of variance, response: angle") == WEIGHTED_ANOVA


def test_a_rank_deficient_page_is_r_s(sleepstudy: pd.DataFrame) -> None:
    assert str(lm("Reaction ~ Days + I(2 * Days)", sleepstudy).summary()) == DEFICIENT_PAGE


def test_dependent_columns_leave_the_others_as_they_were(sleepstudy: pd.DataFrame) -> None:
    frame = sleepstudy.assign(twice=2 * sleepstudy["Days"], square=sleepstudy["Days"] ** 2)
    full = lm("Reaction ~ Days + twice + square", frame)
    plain = lm("Reaction ~ Days + square", frame)
    assert full.dropped_columns == ("twice",)
    assert np.isnan(full.params["twice"])
    assert np.isnan(full.bse["twice"])
    np.testing.assert_allclose(full.params.dropna(), plain.params, rtol=ALGEBRA)
    assert list(full.anova().index) == ["Days", "square", "Residuals"]
    np.testing.assert_allclose(full.predict(frame), plain.fitted, rtol=ALGEBRA)


def test_weights_and_offset_satisfy_the_normal_equations() -> None:
    rng = np.random.default_rng(1)
    x, shift, w = rng.normal(size=50), rng.normal(size=50), rng.uniform(0.5, 2, 50)
    data = {"x": x, "y": 1 + 2 * x + shift + rng.normal(size=50), "shift": shift, "w": w}
    m = lm("y ~ x + offset(shift)", data, weights="w")
    # the scale of the two sums is that of n; a wrong sign anywhere gives order one
    np.testing.assert_allclose([w @ m.resid(), w @ (x * m.resid())], 0, atol=1e-11)
    np.testing.assert_allclose(m.fitted + m.resid(), data["y"], rtol=ALGEBRA)
    design = np.column_stack([np.ones(50), x])
    variance = (w @ m.resid() ** 2) / 48
    np.testing.assert_allclose(
        m.vcov(), variance * np.linalg.inv(design.T * w @ design), rtol=ALGEBRA
    )


def test_sequential_sums_of_squares_add_up(cake: pd.DataFrame) -> None:
    m = lm("angle ~ recipe * temperature", cake)
    table = m.anova()
    around_mean = np.sum((cake["angle"] - cake["angle"].mean()) ** 2)
    np.testing.assert_allclose(table["sum_sq"].sum(), around_mean, rtol=ALGEBRA)
    assert table["df"].tolist() == [2, 5, 10, 252]
    np.testing.assert_allclose(m.r2().r2, 1 - table["sum_sq"].iloc[-1] / around_mean, rtol=ALGEBRA)


def test_without_intercept_r2_is_around_zero(sleepstudy: pd.DataFrame) -> None:
    m = lm("Reaction ~ 0 + Days", sleepstudy)
    y = sleepstudy["Reaction"].to_numpy()
    np.testing.assert_allclose(m.r2().r2, 1 - m.resid() @ m.resid() / (y @ y), rtol=ALGEBRA)
    assert (m.fstatistic.df1, m.fstatistic.df2) == (1, 179)


def test_an_intercept_alone_has_no_overall_test(sleepstudy: pd.DataFrame) -> None:
    m = lm("Reaction ~ 1", sleepstudy)
    assert m.fstatistic.df1 == 0
    assert "F-statistic" not in str(m.summary())
    np.testing.assert_allclose(m.sigma, sleepstudy["Reaction"].std(), rtol=ALGEBRA)


def test_intervals_have_the_level_asked_for(sleepstudy: pd.DataFrame) -> None:
    from scipy import stats

    m = lm("Reaction ~ Days", sleepstudy)
    table = m.coef_table(level=0.9)
    reach = stats.t.ppf(0.95, 178) * m.bse
    np.testing.assert_allclose(table["conf_high"] - table["estimate"], reach, rtol=ALGEBRA)
    with pytest.raises(ArgumentError, match="level"):
        m.coef_table(level=95)


def test_missing_rows_are_dropped_counted_and_predicted_as_missing(
    sleepstudy: pd.DataFrame,
) -> None:
    frame = sleepstudy.copy()
    frame.loc[[3, 8], "Days"] = np.nan
    m = lm("Reaction ~ Days", frame)
    assert (m.nobs, m.n_dropped) == (178, 2)
    assert "2 rows left out: missing values." in str(m.summary())
    assert np.flatnonzero(np.isnan(m.predict(frame))).tolist() == [3, 8]
    with pytest.raises(DataError, match="Days"):
        lm("Reaction ~ Days", frame, na_action="raise")


def test_a_random_term_is_sent_to_lmer(sleepstudy: pd.DataFrame) -> None:
    with pytest.raises(FormulaError, match=r"\(1 \| Subject\).*mf\.lmer"):
        mf.lm("Reaction ~ Days + (1 | Subject)", sleepstudy)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(DataError, match="2 rows for 2 coefficients"):
        lm("y ~ x", {"y": [1.0, 2.0], "x": [0.0, 1.0]})


# -- the same words as a mixed model ---------------------------------------------------------------

# R 4.2.2, m <- lm(angle ~ recipe * temp, cake, weights = 1:270)
HAT = [0.00027301764012, 0.00884383387289, 0.0658934458595]  # hatvalues(m)[c(1, 100, 270)]
COOK = [2.24337626417e-06, 1.79727640364e-06, 0.0472527814968]  # cooks.distance
STANDARDIZED = [0.222009745069, -0.0347643262552, -2.0047785833]  # rstandard
NEW = {"recipe": ["A", "C"], "temp": [180, 230]}
NEW_SE = [0.913816672094, 1.13413063988]  # predict(m, new, se.fit = TRUE)
NEW_CONFIDENCE = [
    [27.0693512372, 30.0861267425],
    [31.3749438687, 35.1190400738],
]  # interval = "confidence", level = .9
NEW_PREDICTION = [
    [-60.0522022155, 117.207680195],
    [-22.8404246763, 89.3344086188],
]  # "prediction", weights = c(2, 5)
CONFINT = [[-10.4818502779, 16.8372741841], [-0.100245114707, 0.0898740350366]]  # rows 1 and 5
# drop1(., ~ ., test = "F") with contr.sum for recipe
TYPE_III = {
    "sum_sq": [732.248031278, 214297.142831, 286.811405873],
    "f_value": [0.0903864992346, 52.9043922527, 0.0354031391141],
    "p_value": [0.913606278859, 3.98872504115e-12, 0.965220803111],
}
# drop1(lm(angle ~ recipe + temp, weights = w), ~ ., test = "F")
TYPE_II = [59576.0122116, 214904.575201]


@pytest.fixture(scope="module")
def weighted(cake: pd.DataFrame) -> OLSResult:
    return lm("angle ~ recipe * temp", cake, weights=np.arange(1, 271))


def test_rows_agree_with_r(weighted: OLSResult) -> None:
    at = [0, 99, 269]
    np.testing.assert_allclose(weighted.hatvalues()[at], HAT, rtol=ALGEBRA)
    np.testing.assert_allclose(weighted.cooks_distance()[at], COOK, rtol=ALGEBRA)
    np.testing.assert_allclose(weighted.resid("standardized")[at], STANDARDIZED, rtol=ALGEBRA)
    assert weighted.hatvalues().sum() == pytest.approx(6)


def test_predictions_agree_with_r(weighted: OLSResult) -> None:
    found = weighted.predict(NEW, interval="confidence", level=0.9)
    np.testing.assert_allclose(found["se"], NEW_SE, rtol=ALGEBRA)
    np.testing.assert_allclose(found[["lower", "upper"]], NEW_CONFIDENCE, rtol=ALGEBRA)
    found = weighted.predict(NEW, interval="prediction", weights=[2.0, 5.0])
    np.testing.assert_allclose(found[["lower", "upper"]], NEW_PREDICTION, rtol=ALGEBRA)
    assert found.columns.tolist() == ["fit", "se", "lower", "upper"]


def test_tests_and_intervals_agree_with_r(weighted: OLSResult, cake: pd.DataFrame) -> None:
    np.testing.assert_allclose(weighted.confint().iloc[[0, 4]], CONFINT, rtol=ALGEBRA)
    by_type = weighted.anova("III")
    assert by_type.index.tolist() == ["recipe", "temp", "recipe:temp", "Residuals"]
    for name, values in TYPE_III.items():
        np.testing.assert_allclose(by_type[name].iloc[:3], values, rtol=1e-9)
    additive = lm("angle ~ recipe + temp", cake, weights=np.arange(1, 271))
    np.testing.assert_allclose(additive.anova("II")["sum_sq"].iloc[:2], TYPE_II, rtol=1e-9)
    assert weighted.contrast("temp = 0")["p_value"].iloc[0] == pytest.approx(
        weighted.coef_table()["p_value"]["temp"]
    )


def test_every_name_is_one_that_a_mixed_model_has_and_is_called_alike() -> None:
    own = {"df_resid", "fstatistic"}  # a mixed model has no one residual df
    names = {name for name in dir(OLSResult) if not name.startswith("_")} - own
    assert names <= {name for name in dir(mf.LMMResult) if not name.startswith("_")}
    for name in names:
        mine, theirs = getattr(OLSResult, name), getattr(mf.LMMResult, name)
        assert callable(mine) == callable(theirs), name
        if callable(mine):
            theirs = list(inspect.signature(theirs).parameters)
            shared = list(inspect.signature(mine).parameters)
            assert [given for given in theirs if given in shared] == shared, name


def test_methods_that_count_groups_are_refused(weighted: OLSResult) -> None:
    for ddf in ("satterthwaite", "kenward-roger", "containment"):
        pd.testing.assert_frame_equal(weighted.coef_table(ddf), weighted.coef_table())
    assert np.isinf(weighted.coef_table("asymptotic")["df"]).all()
    with pytest.raises(mf.NotDefinedError, match="counts groups"):
        weighted.coef_table("hlm")
    with pytest.raises(mf.ArgumentError, match="one of 'wald'"):
        weighted.confint("profile")


def test_tables_pages_and_copies(weighted: OLSResult) -> None:
    assert weighted.tidy(conf_int=True).columns.tolist()[-2:] == ["conf_low", "conf_high"]
    assert weighted.glance()["df_residual"].item() == weighted.df_resid == 264
    assert weighted.df_model == 7
    assert weighted.augment()[".hat"].sum() == pytest.approx(6)
    page = weighted.summary()
    assert (
        "<table" in page._repr_html_()
        and "tabular" in page.to_latex()
        and "| temp" in page.to_markdown()
    )
    light, deep = pickle.loads(pickle.dumps(weighted)), copy.deepcopy(weighted)
    assert light._design is None and str(light.coef_table()) == str(weighted.coef_table())
    assert "Residuals:" not in str(light.summary())
    with pytest.raises(DataError, match="resid needs the rows"):
        light.resid()
    np.testing.assert_array_equal(deep.fitted, weighted.fitted)


def test_new_responses_and_new_models(weighted: OLSResult, cake: pd.DataFrame) -> None:
    draws = weighted.simulate(2000, seed=1)
    np.testing.assert_array_equal(weighted.simulate(2, seed=1), draws[:, :2])
    np.testing.assert_allclose(
        weighted.simulate(2, seed=1, newdata=cake, weights=np.arange(1, 271)), draws[:, :2]
    )
    spread = draws.std(axis=1) * np.sqrt(np.arange(1, 271)) / weighted.sigma
    assert np.abs(spread - 1).max() < 5 / np.sqrt(
        2 * 2000
    )  # five standard errors of a standard deviation
    again = weighted.refit(cake["angle"] * 2)
    np.testing.assert_allclose(again.params, 2 * weighted.params, rtol=ALGEBRA)
    assert weighted.update(". ~ recipe").formula == "angle ~ recipe"
    assert weighted.emmeans("recipe").to_frame()["df"].tolist() == [264.0] * 3


# R 4.2.2, lme4 1.1-31: anova(m, m1, m0) of Reaction ~ Days + (Days | Subject), (1 | Subject) and
# lm; fits by ML
LIKELIHOOD_RATIOS = [106.21441, 42.13930]
AIC = [1906.293056, 1802.078643, 1763.939345]


def test_a_regression_is_compared_with_mixed_models(sleepstudy: pd.DataFrame) -> None:
    by_groups = [
        mf.lmer(f"Reaction ~ Days + ({effects} | Subject)", sleepstudy) for effects in ("Days", "1")
    ]
    table = mf.anova(*by_groups, lm("Reaction ~ Days", sleepstudy))
    assert table["npar"].tolist() == [3, 4, 6]
    np.testing.assert_allclose(
        table["chisq"].iloc[1:], LIKELIHOOD_RATIOS, atol=1e-5
    )  # R's printed digits
    np.testing.assert_allclose(table["aic"], AIC, rtol=1e-9)
    weights = np.linspace(0.5, 2.0, 180)
    heavy = mf.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy, weights=weights, REML=False)
    without = lm("Reaction ~ Days", sleepstudy, weights=weights)
    assert mf.anova(heavy, without)["chisq"].iloc[1] == pytest.approx(
        heavy.ranova()["chisq"].iloc[1], rel=1e-9
    )
    with pytest.raises(mf.NotDefinedError, match="refit=True"):
        mf.anova(by_groups[0], lm("Reaction ~ Days", sleepstudy), refit=False)
    with pytest.raises(DataError, match="not have the same response"):
        mf.anova(by_groups[0], lm("Days ~ Reaction", sleepstudy))


def test_files_keep_all_that_needs_no_rows(tmp_path: Path) -> None:
    m = mf.lm("math ~ ses * sex", mf.load_dataset("hsb"))
    m.save(tmp_path / "lm")
    again = mf.load(tmp_path / "lm")
    assert type(again) is type(m)
    pd.testing.assert_frame_equal(again.coef_table(), m.coef_table())
    pd.testing.assert_frame_equal(again.anova("III"), m.anova("III"))
    with pytest.raises(mf.DataError, match="needs the rows"):
        again.resid()
    m.keep_rows = True
    m.save(tmp_path / "lm")
    np.testing.assert_array_equal(mf.load(tmp_path / "lm").resid(), m.resid())


def test_what_needs_rows_says_what_to_do():
    m = pickle.loads(pickle.dumps(mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy"))))
    for ask in (
        m.resid,
        m.hatvalues,
        m.plot.residuals,
        lambda: m.plot.residuals_by_group("Subject"),
    ):
        with pytest.raises(
            mf.DataError, match="made without them: call lm on the table, or set keep_rows"
        ):
            ask()
    with pytest.raises(mf.DataError, match=r"predict without newdata needs .* give newdata="):
        m.predict()
    again = mf.lm("Reaction ~ Days", mf.load_dataset("sleepstudy")).refit(np.arange(180.0))
    with pytest.raises(
        mf.DataError, match="a regression has no grouping factors, and this result has no table"
    ):
        again.plot.residuals_by_group("Subject")
