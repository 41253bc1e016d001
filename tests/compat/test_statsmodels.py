"""The door shaped like statsmodels, against statsmodels itself and against R's results that statsmodels ships.

Optimizers are kept out of the comparison: statsmodels' own result object is made at our estimates and must then say the
same in every attribute, and its score must vanish there. A second test lets statsmodels search: it never finds a higher
likelihood.
"""

from __future__ import annotations

import pickle
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import statsmodels_own

import mixedfast as mf
import mixedfast.compat.statsmodels as door

if find_spec("statsmodels") is None:
    pytest.skip("statsmodels is not installed", allow_module_level=True)

import statsmodels
from statsmodels.regression import mixed_linear_model as theirs

#: Versions before 0.15 print their own title whatever they are given.
STATSMODELS_HAS_TITLES = tuple(map(int, statsmodels.__version__.split(".")[:2])) >= (0, 15)
PUBLISHED = Path(statsmodels.__file__).parent / "regression" / "tests" / "results"


def nested(seed: int = 6241) -> pd.DataFrame:
    """Rows in subgroups of two sizes within groups, with slopes."""
    random = np.random.default_rng(seed)
    n = 320
    data = pd.DataFrame(random.normal(size=(n, 4)), columns=["x1", "x2", "z1", "z2"])
    data["g"], data["a"], data["b"] = np.arange(n) // 16, np.arange(n) // 4, np.arange(n) // 2
    data["sex"] = np.where(random.random(n) < 0.5, "F", "M")
    data["y"] = data.x1 + data.x2 + (data.sex == "M") + random.normal(size=n)
    for column, sd in (("g", 1.5), ("a", 1.5), ("b", 1.0)):
        data["y"] += sd * random.normal(size=n)[data[column]]
    for z in ("z1", "z2"):
        data["y"] += data[z] * random.normal(size=20)[data.g]
    data["school"] = ["S" + str(9 - g % 10) + str(g) for g in data.g]
    data.index = pd.Index([f"row{i}" for i in range(n)], name="id")
    return data.sample(frac=1.0, random_state=1)


def crossed() -> pd.DataFrame:
    random = np.random.default_rng(4)
    n = 240
    data = pd.DataFrame(
        {
            "x": random.normal(size=n),
            "a": random.integers(0, 15, n),
            "b": random.choice(list("pqrstuvw"), n),
        }
    )
    effects = dict(zip("pqrstuvw", random.normal(size=8), strict=True))
    data["y"] = (
        data.x + random.normal(size=15)[data.a] + data.b.map(effects) + random.normal(size=n)
    )
    data["one"] = 1
    return data


SLEEP, PASTES, PENICILLIN = (
    mf.load_dataset(name) for name in ("sleepstudy", "pastes", "penicillin")
)
NESTED, CROSSED = nested(), crossed()
PENICILLIN["one"] = 1

CASES = {
    "random intercept": (SLEEP, "Reaction ~ Days", {"groups": "Subject"}),
    "random slope": (SLEEP, "Reaction ~ Days", {"groups": "Subject", "re_formula": "~Days"}),
    "groups as an array": (
        SLEEP,
        "Reaction ~ Days",
        {"groups": SLEEP["Subject"], "re_formula": "1 + Days"},
    ),
    "slope without intercept": (NESTED, "y ~ x1", {"groups": "g", "re_formula": "0 + z1 + z2"}),
    "independent slopes": (
        NESTED,
        "y ~ x1",
        {"groups": "g", "vc_formula": {"i": "1", "s": "0 + z1"}},
    ),
    "categories and functions": (
        NESTED,
        "y ~ np.exp(x1 / 4) + C(sex) * x2",
        {"groups": "school", "re_formula": "~z1"},
    ),
    "two levels": (
        PASTES,
        "strength ~ 1",
        {"groups": "batch", "re_formula": "1", "vc_formula": {"cask": "0 + C(cask)"}},
    ),
    "two nested components": (
        NESTED,
        "y ~ x1 + x2",
        {
            "groups": "g",
            "re_formula": "0 + z1 + z2",
            "vc_formula": {"a": "0 + C(a)", "b": "0 + C(b)"},
        },
    ),
    "nested slope": (
        NESTED,
        "y ~ x1",
        {"groups": "g", "re_formula": "1", "vc_formula": {"a": "0 + C(a)", "az": "0 + C(a):z1"}},
    ),
    "crossed": (CROSSED, "y ~ x", {"groups": "one", "vc_formula": {"a": "0 + C(a)", "b": "0 + b"}}),
    "penicillin": (
        PENICILLIN,
        "diameter ~ 1",
        {"groups": "one", "vc_formula": {"plate": "0 + C(plate)", "sample": "0 + C(sample)"}},
    ),
}
BOTH = [(name, reml) for name in CASES for reml in (True, False)]


def ours_and_theirs(name: str, reml: bool) -> tuple[door.MixedLMResults, theirs.MixedLM]:
    data, formula, arguments = CASES[name]
    return door.mixedlm(formula, data, **arguments).fit(reml=reml), theirs.MixedLM.from_formula(
        formula, data, **arguments
    )


def at_our_estimates(
    model: theirs.MixedLM, result: door.MixedLMResults
) -> theirs.MixedLMResultsWrapper:
    """statsmodels' own result, as its ``fit`` would have made it at our parameters."""
    model.reml, model.fe_pen, model.cov_pen, model._cov_sing, model._freepat = (
        result.reml,
        None,
        None,
        0,
        None,
    )
    ours = result.params_object
    params = theirs.MixedLMParams.from_components(
        ours.fe_params, cov_re=ours.cov_re, vcomp=ours.vcomp
    )
    hessian, _ = model.hessian(params)
    scale = model.get_scale(params.fe_params, params.cov_re, params.vcomp)
    out = theirs.MixedLMResults(
        model, params.get_packed(use_sqrt=False, has_fe=True), np.linalg.inv(-hessian) / scale
    )
    out.params_object, out.fe_params, out.scale = params, params.fe_params, scale
    out.cov_re, out.vcomp, out.cov_re_unscaled = (
        scale * params.cov_re,
        scale * params.vcomp,
        params.cov_re,
    )
    out.method, out.converged, out.hist, out.reml = (
        "REML" if model.reml else "ML",
        True,
        None,
        model.reml,
    )
    out.k_fe, out.k_re, out.k_re2, out.k_vc = model.k_fe, model.k_re, model.k_re2, model.k_vc
    out.cov_pen = out.freepat = None
    return theirs.MixedLMResultsWrapper(out)


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


# --- R's results, as statsmodels ships them ---------------------------------------------------------------


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


# --- arrays, missing values, files ------------------------------------------------------------------------


def test_arrays_give_arrays_and_frames_give_series() -> None:
    X = np.column_stack([SLEEP.Days, np.ones(len(SLEEP))])
    arguments = {"groups": SLEEP.Subject.to_numpy(), "exog_re": X}
    for model in (door.MixedLM, theirs.MixedLM):
        made = model(SLEEP.Reaction.to_numpy(), X, **arguments)
        assert made.exog_names == ["x1", "const"]
        assert made.data.param_names == [
            "x1",
            "const",
            "x_re1 Var",
            "x_re1 x x_re2 Cov",
            "x_re2 Var",
        ]
    result = door.MixedLM(SLEEP.Reaction.to_numpy(), X, **arguments).fit()
    formula = door.mixedlm(
        "Reaction ~ 0 + Days + I(Days * 0 + 1)", SLEEP, groups="Subject", re_formula="~Days"
    ).fit()
    assert isinstance(result.params, np.ndarray)
    np.testing.assert_allclose(result.fe_params, formula.fe_params, rtol=1e-7)
    np.testing.assert_allclose(result.cov_re[::-1, ::-1], formula.cov_re, rtol=1e-6)
    series = door.MixedLM(NESTED.y, NESTED[["x1", "x2"]], NESTED.g).fit()
    assert series.fittedvalues.index.equals(NESTED.index)
    assert series.params.index.tolist() == ["x1", "x2", "Group Var"]


def test_matrices_of_components_in_both_forms() -> None:
    by_formula = door.mixedlm(
        "strength ~ 1", PASTES, groups="batch", re_formula="1", vc_formula={"cask": "0 + C(cask)"}
    )
    spec = by_formula.exog_vc
    as_dict = {"cask": dict(zip(by_formula.group_labels, spec.mats[0], strict=True))}
    expected = by_formula.fit()
    exog, groups = np.ones(len(PASTES)), PASTES.batch.to_numpy()
    with pytest.warns(FutureWarning, match="Using deprecated variance"):
        from_dict = door.MixedLM(
            PASTES.strength.to_numpy(), exog, groups, exog_re=exog, exog_vc=as_dict
        )
    for model in (
        from_dict,
        door.MixedLM(PASTES.strength.to_numpy(), exog, groups, exog_re=exog, exog_vc=spec),
    ):
        result = model.fit()
        np.testing.assert_allclose(result.params, expected.params, rtol=1e-9)
        np.testing.assert_allclose(result.bse, expected.bse, rtol=1e-9)


def test_a_slope_that_is_zero_in_some_rows() -> None:
    data = NESTED.assign(z0=np.where(NESTED.x2 > 0, NESTED.z1, 0.0))
    arguments = {"groups": "g", "re_formula": "1", "vc_formula": {"v": "0 + C(a):z0"}}
    result = door.mixedlm("y ~ x1", data, **arguments).fit()
    other = at_our_estimates(theirs.MixedLM.from_formula("y ~ x1", data, **arguments), result)
    np.testing.assert_allclose(result.llf, other.llf, rtol=1e-9)
    np.testing.assert_allclose(result.bse, other.bse, rtol=1e-6)


def test_reference_levels_are_each_groups_own() -> None:
    """Without ``0 +`` the columns of a component depend on the levels its group has: two levels, one column."""
    data = NESTED.assign(two=NESTED.a % 2)
    arguments = {"groups": "a", "vc_formula": {"b": "C(b) - 1"}, "re_formula": "1"}
    result = door.mixedlm("y ~ x1", data, **arguments).fit()
    other = at_our_estimates(theirs.MixedLM.from_formula("y ~ x1", data, **arguments), result)
    np.testing.assert_allclose(result.llf, other.llf, rtol=1e-9)


@pytest.mark.parametrize("re_formula", [None, "~z1"])
@pytest.mark.parametrize("vc_formula", [None, {"a": "0 + C(a)", "s": "0 + z2"}])
def test_missing_rows_are_dropped_as_if_never_there(
    re_formula: str | None, vc_formula: dict[str, str] | None
) -> None:
    data = NESTED.copy()
    for i, column in enumerate(["y", "x1", "z1", "z2", "school"]):
        data.loc[data.index[7 * i], column] = None
    arguments = {"groups": "school", "re_formula": re_formula, "vc_formula": vc_formula}
    used = [
        "y",
        "x1",
        "school",
        *(["z1"] if re_formula else []),
        *(["a", "z2"] if vc_formula else []),
    ]
    result = door.mixedlm("y ~ x1", data, missing="drop", **arguments).fit()
    before = door.mixedlm("y ~ x1", data.dropna(subset=used), **arguments).fit()
    pd.testing.assert_series_equal(result.params, before.params)
    pd.testing.assert_series_equal(result.fittedvalues, before.fittedvalues)
    with pytest.raises(mf.DataError, match=r"'x1' 1.*'y' 1.*'school' 1"):
        door.mixedlm("y ~ x1", data, **arguments)


def test_the_namespace_is_the_callers() -> None:
    def twice(x: pd.Series) -> pd.Series:
        return 2 * x

    by_function = door.mixedlm("y ~ twice(x1)", NESTED, groups="g").fit()
    plain = door.MixedLM.from_formula("y ~ x1", NESTED, groups="g").fit()
    assert by_function.fe_params["twice(x1)"] == pytest.approx(plain.fe_params["x1"] / 2)
    with pytest.raises(mf.FormulaError, match="twice"):
        door.mixedlm("y ~ twice(x1)", NESTED, groups="g", eval_env=-1)


def test_subset_and_booleans() -> None:
    data = NESTED.assign(male=NESTED.sex == "M")
    chosen = data.x2 > -0.5
    result = door.mixedlm("y ~ male + x1", data, groups="g", subset=chosen).fit()
    other = theirs.MixedLM.from_formula("y ~ male + x1", data[chosen], groups="g")
    assert result.model.exog_names == other.exog_names == ["Intercept", "male[T.True]", "x1"]
    np.testing.assert_allclose(result.llf, at_our_estimates(other, result).llf, rtol=1e-9)
    assert result.predict(data.head(3)).notna().all()


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


@pytest.mark.parametrize(
    "right",
    [
        "sex + x1",
        "x1*x2*sex",
        "(x1 + x2 + sex)**2",
        "sex/x1",
        "sex:x1 + x2 + x1",
        "I(x1**2) + C(sex, Treatment('M'))",
        "x1 - 1",
        "C(sex, Sum)*x1",
        "center(x1) + Q('x2')",
        "sex + x1 - 1",
    ],
)
def test_names_and_order_of_columns_are_patsys(right: str) -> None:
    mine = door.mixedlm(f"y ~ {right}", NESTED, groups="g")
    other = theirs.MixedLM.from_formula(f"y ~ {right}", NESTED, groups="g")
    assert mine.exog_names == other.exog_names
    np.testing.assert_allclose(mine.exog, other.exog, rtol=1e-12)


def test_labels_of_groups_of_any_kind() -> None:
    expected = door.mixedlm("y ~ x1", NESTED, groups="g").fit()
    days = pd.date_range("2020-01-01", periods=20)
    for labels in (
        days[NESTED.g],
        NESTED.g * 1.5,
        [f"n{g:02d}" for g in NESTED.g],
        pd.Categorical(NESTED.g, categories=range(30)),
    ):
        result = door.mixedlm("y ~ x1", NESTED, groups=labels).fit()
        np.testing.assert_allclose(result.params, expected.params, rtol=1e-9)
        model = theirs.MixedLM.from_formula("y ~ x1", NESTED, groups=labels)
        assert list(result.random_effects) == model.group_labels


def test_other_tables() -> None:
    pl = pytest.importorskip("polars")
    expected = door.mixedlm("y ~ x1*sex", NESTED, groups="school", re_formula="~z1").fit().params
    columns = {name: NESTED[name].to_numpy() for name in ("y", "x1", "z1", "sex", "school")}
    for table in (columns, pl.DataFrame(columns)):
        found = door.mixedlm("y ~ x1*sex", table, groups="school", re_formula="~z1").fit().params
        pd.testing.assert_series_equal(found, expected, rtol=1e-9)


def test_singular_fits_and_dependent_columns_are_results() -> None:
    data = NESTED.assign(y=np.random.default_rng(0).normal(size=len(NESTED)), again=2 * NESTED.x1)
    with pytest.warns(mf.SingularFitWarning):
        result = door.mixedlm("y ~ x1 + again", data, groups=data.a % 4).fit()
    assert result.cov_re.iloc[0, 0] == 0.0
    assert np.isnan(result.bse["Group Var"])
    assert all((effects == 0.0).all() for effects in result.random_effects.values())
    assert np.isnan(result.params["again"])
    assert np.isfinite(result.bse[["Intercept", "x1"]]).all()
    assert result.df_resid == len(data) - 2
    assert "again" in str(result.summary())
    np.testing.assert_allclose(result.predict(data), result.predict())
    with pytest.raises(mf.NotDefinedError, match="without a standard error"):
        result.wald_test(np.eye(4))


def test_what_is_not_offered_is_said() -> None:
    model = door.mixedlm("y ~ x1", NESTED, groups="g")
    assert model.fit(
        method=["lbfgs"], maxiter=10, gtol=1e-4, disp=True, start_params=[0.0, 0.0, 1.0]
    ).converged
    assert model.fit(full_output=True).hist[0]["converged"]
    assert model.fit().hist is None
    for arguments, says in (
        ({"cov_typ": "hc1"}, "cov_typ"),
        ({"method": "magic"}, "magic"),
        ({"fe_pen": 1}, "penalized"),
        ({"do_cg": False}, "do_cg"),
    ):
        with pytest.raises(mf.NotDefinedError, match=says):
            model.fit(**arguments)
    with pytest.raises(mf.DataError, match="start_params holds 7"):
        model.fit(start_params=np.ones(7))
    with pytest.raises(
        mf.NotDefinedError, match=r"component 'v' has several columns.*'v.z1': '0 \+ z1'"
    ):
        door.mixedlm("y ~ x1", NESTED, groups="g", vc_formula={"v": "0 + z1 + z2"})
    with pytest.raises(mf.NotIdentifiedError, match="two random effects are the same"):
        door.mixedlm("y ~ x1", NESTED, groups="g", re_formula="1", vc_formula={"v": "1"}).fit()
    with pytest.raises(mf.DataError, match="is not a column of the data"):
        door.mixedlm("y ~ x1", NESTED, groups="school_id")
    with pytest.raises(mf.DataError, match="groups is required"):
        door.mixedlm("y ~ x1", NESTED)
    with pytest.raises(mf.FormulaError, match="should have 2 columns"):
        model.fit().t_test(np.eye(3))
    with pytest.warns(FutureWarning, match="Argument cov_type not used"):  # as statsmodels does
        result = model.fit(cov_type="hc1")
    for owner, name, instead in (
        (result, "profile_re", "profile"),
        (result, "bootstrap", "bootstrap"),
        (result, "t_test_pairwise", "pairs"),
        (model, "fit_regularized", "penalized"),
        (model, "score", "loglike"),
        (model, "hessian", "cov_params"),
        (model, "information", "cov_params"),
        (model, "get_distribution", "simulate"),
    ):
        with pytest.raises(mf.NotDefinedError, match=rf"{name} is not offered: .*{instead}"):
            getattr(owner, name)(0, vtype="re")


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


def test_pickles_keep_rows_until_told_otherwise(tmp_path: Path) -> None:
    result = door.mixedlm("y ~ np.exp(x1)", NESTED, groups="school", re_formula="~z1").fit()
    page = str(result.summary())
    again = pickle.loads(pickle.dumps(result))
    pd.testing.assert_series_equal(again.resid, result.resid)
    result.save(tmp_path / "all")
    result.save(tmp_path / "small", remove_data=True)
    assert (tmp_path / "small").stat().st_size < (tmp_path / "all").stat().st_size - 8 * 6 * len(
        NESTED
    )  # y, X, Z, group
    small = door.MixedLMResults.load(tmp_path / "small")
    assert str(small.summary()) == page
    pd.testing.assert_series_equal(small.predict(NESTED.head(3)), again.predict(NESTED.head(3)))
    with pytest.raises(mf.DataError, match="has removed them"):
        small.random_effects_cov  # noqa: B018
    assert len(small.random_effects) == 20
    nested, _ = ours_and_theirs("two nested components", True)
    before = nested.random_effects[3]
    del nested.random_effects
    nested.remove_data()
    pd.testing.assert_series_equal(nested.random_effects[3], before)
    assert isinstance(nested.params, pd.Series)
    with pytest.raises(mf.DataError, match="has removed the rows"):
        nested.model.fit()


def test_the_same_fit_under_our_own_names() -> None:
    result = door.mixedlm("Reaction ~ Days", SLEEP, groups="Subject", re_formula="~Days").fit()
    own = mf.lmer("Reaction ~ Days + (Days | Subject)", SLEEP)
    assert (
        result.mixedfast.coef_table().df.round(3).tolist() == own.coef_table().df.round(3).tolist()
    )
    assert result.mixedfast.formula == "Reaction ~ 1 + Days + (1 + Days | Subject)"
    assert (
        door.mixedlm("y ~ x", CROSSED, **CASES["crossed"][2]).fit().mixedfast.formula
        == "y ~ 1 + x + (1 | a) + (1 | b)"
    )
