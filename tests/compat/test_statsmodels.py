"""The interface of statsmodels, against statsmodels itself and the results of R that it ships.

Optimizers are kept out of the comparison: statsmodels' own result object is made at our estimates
and must then say the same in every attribute, and its score must vanish there. A second test lets
statsmodels search: it never finds a higher likelihood.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import statsmodels_own
from helpers.statsmodels_models import (
    BOTH,
    CASES,
    NESTED,
    at_our_estimates,
    ours_and_theirs,
)
from statsmodels.regression import mixed_linear_model as theirs

import mixedfast.compat.statsmodels as door

statsmodels = pytest.importorskip("statsmodels")
#: Versions before 0.15 print their own title whatever they are given.
STATSMODELS_HAS_TITLES = tuple(map(int, statsmodels.__version__.split(".")[:2])) >= (0, 15)

PUBLISHED = Path(statsmodels.__file__).parent / "regression" / "tests" / "results"


@pytest.mark.parametrize(("name", "reml"), BOTH)
def test_every_attribute_is_statsmodels(name: str, reml: bool) -> None:
    result, model = ours_and_theirs(name, reml)
    other = at_our_estimates(model, result)
    fixed, random, components = model.score_full(other.params_object, calc_fe=True)
    se = np.asarray(other.bse)
    assert (
        np.abs(np.concatenate([fixed, random, components]) * se).max() < 1e-4
    )  # a step of so many standard errors
    tight = {
        "rtol": 1e-6,
        "atol": 1e-9,
    }  # their matrices are inverted and subtracted; ours never formed
    for attribute in ("params", "bse", "tvalues", "fe_params", "bse_fe", "fittedvalues", "resid"):
        pd.testing.assert_series_equal(
            getattr(result, attribute), getattr(other, attribute), check_names=False, **tight
        )
    # as an array: statsmodels' own Series of it fails with components
    np.testing.assert_allclose(result.bse_re, other._results.bse_re, rtol=1e-6)
    np.testing.assert_allclose(result.pvalues, other.pvalues, rtol=1e-5, atol=1e-300)
    for attribute in ("cov_re", "cov_re_unscaled"):
        pd.testing.assert_frame_equal(
            getattr(result, attribute), getattr(other, attribute), **tight
        )
    np.testing.assert_allclose(
        result.cov_params() / np.outer(se, se), other.cov_params() / np.outer(se, se), atol=1e-6
    )
    pd.testing.assert_frame_equal(result.conf_int(0.1), other.conf_int(0.1), **tight)
    for attribute in ("llf", "scale", "vcomp", "aic", "bic"):
        np.testing.assert_allclose(
            getattr(result, attribute), getattr(other, attribute), rtol=1e-9, atol=1e-9
        )
    for attribute in (
        "nobs",
        "df_resid",
        "df_modelwc",
        "k_fe",
        "k_re",
        "k_re2",
        "k_vc",
        "method",
        "use_t",
    ):
        assert getattr(result, attribute) == getattr(other, attribute)
    assert result.model.exog_names == model.exog_names
    assert result.model.endog_names == model.endog_names
    assert str(result.summary()) == str(other.summary())
    if STATSMODELS_HAS_TITLES:
        assert str(result.summary(alpha=0.1, title="T")) == str(other.summary(alpha=0.1, title="T"))


@pytest.mark.parametrize("name", list(CASES))
def test_random_effects(name: str) -> None:
    result, model = ours_and_theirs(name, True)
    other = at_our_estimates(model, result)
    assert list(result.random_effects) == list(other.random_effects)
    for group, effects in other.random_effects.items():
        pd.testing.assert_series_equal(result.random_effects[group], effects, rtol=1e-6, atol=1e-9)
        pd.testing.assert_frame_equal(
            result.random_effects_cov[group],
            other.random_effects_cov[group],
            rtol=1e-6,
            atol=1e-8 * result.scale,
        )


@pytest.mark.parametrize(
    "name", ["random slope", "categories and functions", "two nested components"]
)
def test_tests_and_predictions(name: str) -> None:
    result, model = ours_and_theirs(name, False)
    other = at_our_estimates(model, result)
    matrix = np.eye(result.k_fe)
    for use_t in (None, True):
        mine, their = result.t_test(matrix, use_t=use_t), other.t_test(matrix, use_t=use_t)
        for attribute in ("effect", "sd", "tvalue", "statistic"):
            np.testing.assert_allclose(
                getattr(mine, attribute), getattr(their, attribute), rtol=1e-7
            )
        np.testing.assert_allclose(mine.pvalue, their.pvalue, rtol=1e-5, atol=1e-300)
        np.testing.assert_allclose(mine.conf_int(0.1), their.conf_int(0.1), rtol=1e-7)
    last = result.model.exog_names[-1]
    constraints = [
        f"{last} = 0.5",
        f"{last} = 0, {result.model.exog_names[-2]} = 1",
        np.eye(len(result.params))[1:],
    ]
    for constraint in constraints:
        for test in ("wald_test", "f_test"):
            mine, their = getattr(result, test)(constraint), getattr(other, test)(constraint)
            assert mine.distribution == their.distribution
            np.testing.assert_allclose(mine.statistic, their.statistic, rtol=1e-6)
            np.testing.assert_allclose(mine.pvalue, their.pvalue, rtol=1e-5, atol=1e-300)
            np.testing.assert_allclose(mine.df_denom, their.df_denom)
    np.testing.assert_allclose(
        result.wald_test_terms(), other.wald_test_terms(scalar=True).table, rtol=1e-6
    )
    assert result.t_test(f"{last} = 0").pvalue[0] == pytest.approx(result.pvalues[last])
    data = CASES[name][0].head(7)
    pd.testing.assert_series_equal(
        result.predict(data), other.predict(data), rtol=1e-7, check_names=False
    )
    np.testing.assert_allclose(result.predict(), other.predict(), rtol=1e-7)


@pytest.mark.parametrize(("name", "reml"), BOTH)
def test_statsmodels_never_finds_more(name: str, reml: bool) -> None:
    """Same optimum, unless statsmodels stops short of it."""
    result, model = ours_and_theirs(name, reml)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = model.fit(reml=reml)
    assert result.converged
    assert result.llf >= other.llf - 1e-8 * abs(other.llf)
    if result.llf - other.llf < 1e-9 * abs(other.llf):
        np.testing.assert_allclose(
            result.params, other.params, atol=1e-4 * np.abs(result.params).max(), rtol=1e-3
        )
        np.testing.assert_allclose(result.bse, other.bse, rtol=1e-2)


# --- R's results, as statsmodels ships them -------------------------------------------------------


def published() -> list[tuple[int, bool, bool]]:
    numbers = sorted(int(path.stem[3:]) for path in PUBLISHED.glob("lme[0-9][0-9].csv"))
    return [
        (i, reml, free)
        for i in numbers
        for reml in (True, False)
        for free in (False, True)
        if not free or i >= 6
    ]


@pytest.mark.skipif(not published(), reason="this statsmodels ships no results of R")
@pytest.mark.parametrize(("number", "reml", "independent"), published())
@pytest.mark.filterwarnings(
    "ignore::mixedfast.SingularFitWarning"
)  # two of the data sets are singular
def test_published_results_of_r(number: int, reml: bool, independent: bool) -> None:
    from statsmodels.regression.tests.results import lme_r_results

    def r(what: str) -> np.ndarray:
        name = f"{what}_{'reml' if reml else 'ml'}_{'irf' if independent else 'drf'}_{number}"
        return np.asarray(getattr(lme_r_results, name))

    data = pd.read_csv(PUBLISHED / f"lme{number:02d}.csv")
    exog, exog_re = data.filter(like="exog_fe").to_numpy(), data.filter(like="exog_re").to_numpy()
    free = None
    if independent:
        free = door.MixedLMParams.from_components(
            np.ones(exog.shape[1]), cov_re=np.eye(exog_re.shape[1])
        )
    result = door.MixedLM(data.endog.to_numpy(), exog, data.groups.to_numpy(), exog_re).fit(
        reml=reml, free=free, gtol=1e-7
    )
    digits = {"rtol": 2e-5, "atol": 2e-5}  # printed to seven, from an optimum that is good to five
    np.testing.assert_allclose(result.llf, r("loglike")[0], rtol=1e-6)
    np.testing.assert_allclose(result.fe_params, r("coef"), **digits)
    np.testing.assert_allclose(result.scale, r("scale")[0], **digits)
    np.testing.assert_allclose(result.cov_re, r("cov_re"), rtol=2e-4, atol=2e-4)
    p = exog.shape[1]
    np.testing.assert_allclose(result.mixedfast.vcov(), r("vcov"), rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(
        result.cov_params()[:p, :p], r("vcov"), atol=1e-3
    )  # observed against expected information
    if not independent:
        np.testing.assert_allclose(
            result.random_effects[0.0], r("ranef_mean"), rtol=1e-3, atol=1e-4
        )
        np.testing.assert_allclose(
            result.random_effects_cov[0.0], np.atleast_2d(r("ranef_condvar")), rtol=1e-3, atol=1e-4
        )


def test_likelihood_at_given_parameters() -> None:
    for name in ("random slope", "two nested components", "crossed"):
        for reml in (True, False):
            result, model = ours_and_theirs(name, reml)
            other = at_our_estimates(model, result)
            params = other.params_object
            params.cov_re, params.vcomp = (
                params.cov_re * 1.3 + 0.01 * np.eye(result.k_re),
                params.vcomp * 0.7,
            )
            params.fe_params = params.fe_params + 0.3 * np.asarray(result.bse_fe)
            for profile in (True, False):
                expected = model.loglike(params, profile_fe=profile)
                assert result.model.loglike(params, profile_fe=profile) == pytest.approx(
                    expected, rel=1e-9
                )
            assert result.model.loglike(result.params_object) == pytest.approx(result.llf, rel=1e-9)


@pytest.mark.parametrize("reml", [True, False])
def test_fixed_effects_and_scale_at_given_covariances_are_statsmodels(reml: bool) -> None:
    models = [
        maker.from_formula("y ~ x1", NESTED, groups="g", re_formula="~z1")
        for maker in (door.MixedLM, theirs.MixedLM)
    ]
    cov_re, vcomp = np.array([[0.7, 0.1], [0.1, 0.4]]), np.zeros(0)
    for model in models:
        model.reml = reml
    (ours, singular), (expected, _) = (model.get_fe_params(cov_re, vcomp) for model in models)
    np.testing.assert_allclose(ours, expected, rtol=1e-8)
    assert not singular
    for fixed in (ours, ours + 0.3):
        scales = [model.get_scale(fixed, cov_re, vcomp) for model in models]
        assert scales[0] == pytest.approx(scales[1], rel=1e-8)


@pytest.mark.exhaustive
def test_statsmodels_own_tests_pass_but_for_what_the_page_says() -> None:
    if not statsmodels.__version__.startswith(statsmodels_own.VERSION):
        pytest.skip(f"the list of reasons is for statsmodels {statsmodels_own.VERSION}")
    found = statsmodels_own.outcomes()
    assert [
        name
        for name, passed in found.items()
        if not passed and statsmodels_own.reason(name) is None
    ] == []
    assert statsmodels_own.table(found) in statsmodels_own.PAGE.read_text(encoding="utf-8")
