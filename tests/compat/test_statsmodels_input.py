"""Arrays, tables, missing values and files through the interface of statsmodels."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.statsmodels_models import (
    CASES,
    CROSSED,
    NESTED,
    PASTES,
    SLEEP,
    at_our_estimates,
    ours_and_theirs,
)
from statsmodels.regression import mixed_linear_model as theirs

import mixedfast as mf
import mixedfast.compat.statsmodels as door


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
    """Without ``0 +`` a component has one column in a group with two levels."""
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
