"""The promised surface: names, columns, shapes. A name that changes here breaks a user's script."""

from __future__ import annotations

import copy
import inspect
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfast as mf

FORMULA = "math ~ 1 + ses + (1 + ses | school)"


@pytest.fixture(scope="module")
def students():
    return mf.load_dataset("hsb")


@pytest.fixture(scope="module")
def m(students):
    return mf.lmer(FORMULA, students)


def parameters(function):
    return {
        name: p.default
        for name, p in inspect.signature(function).parameters.items()
        if name != "self"
    }


# -- fit -------------------------------------------------------------------------------------------


def test_lmer_takes_what_is_promised(students):
    given = parameters(mf.lmer)
    assert list(given)[:2] == ["formula", "data"]
    promised = {
        "REML": True,
        "weights": None,
        "offset": None,
        "contrasts": None,
        "na_action": "omit",
        "start": None,
        "engine": "auto",
        "threads": None,
    }
    assert promised.items() <= given.items()
    again = mf.lmer(
        FORMULA,
        students,
        REML=True,
        weights=None,
        offset=None,
        contrasts=None,
        na_action="omit",
        start=None,
        engine="auto",
        threads=None,
    )
    assert again.criterion == pytest.approx(46640.3988, abs=1e-3)


def makes(students):
    import polars as pl
    import pyarrow as pa

    return {
        "pandas": students,
        "polars": pl.from_pandas(students),
        "pyarrow": pa.Table.from_pandas(students),
        "dict": {name: students[name].to_numpy() for name in students},
    }


@pytest.mark.parametrize("make", ["pandas", "polars", "pyarrow", "dict"])
def test_every_make_of_table(make, students, m):
    found = mf.lmer(FORMULA, makes(students)[make])
    assert found.criterion == pytest.approx(m.criterion, rel=1e-12)
    assert list(found.params.index if hasattr(found.params, "index") else found.params["term"]) == [
        "Intercept",
        "ses",
    ]


def test_ordinary_least_squares(students):
    ols = mf.lm("math ~ ses", students)
    assert ols.params.round(5).to_dict() == {"Intercept": 12.7474, "ses": 3.18387}
    assert {"sum_sq", "mean_sq"} <= set(ols.anova().columns)
    assert "Residual standard error: 6.416 on 7183" in str(ols.summary())


def test_a_fit_from_cross_products(students, m, tmp_path):
    cp = mf.crossproducts(FORMULA, students)
    cp.save(tmp_path / "cp")
    assert mf.fit(mf.load(tmp_path / "cp"), REML=True).criterion == pytest.approx(
        m.criterion, rel=1e-13
    )
    first, second = (mf.crossproducts(FORMULA, part) for part in (students[:3000], students[3000:]))
    assert mf.fit(first + second).criterion == pytest.approx(m.criterion, rel=1e-10)


@pytest.mark.parametrize(
    ("fixed", "names"),
    [
        ("1", ["Intercept"]),
        ("sex", ["Intercept", "sex[T.Male]"]),
        ("C(sex, contr.sum)", ["Intercept", "C(sex, contr.sum)[S.Female]"]),
        ("0 + ses", ["ses"]),
        ("ses - 1", ["ses"]),
        ("ses*size", ["Intercept", "ses", "size", "ses:size"]),
        ("ses:size", ["Intercept", "ses:size"]),
        ("I(ses**2)", ["Intercept", "I(ses ** 2)"]),
        ("poly(ses, 2)", ["Intercept", "poly(ses, 2)[1]", "poly(ses, 2)[2]"]),
        ("bs(ses, df=4)", ["Intercept", *(f"bs(ses, df=4)[{k}]" for k in range(1, 5))]),
        ("scale(ses)", ["Intercept", "scale(ses)"]),
        ("log(size)", ["Intercept", "log(size)"]),
        ("ses + offset(size)", ["Intercept", "ses"]),
    ],
)
def test_coefficient_names(fixed, names, students):
    assert list(mf.lmer(f"math ~ {fixed} + (1 | school)", students).params.index) == names


@pytest.mark.parametrize(
    ("random", "groups", "n_theta"),
    [
        ("(1 | school)", ["school"], 1),
        ("(ses | school)", ["school"], 3),
        ("(ses || school)", ["school"], 2),
        ("(0 + ses | school)", ["school"], 1),
        ("(sex | school)", ["school"], 3),
        ("(1 | school/sex)", ["sex:school", "school"], 2),
        ("(1 | school:sex)", ["school:sex"], 1),
        ("(1 | school) + (1 | size)", ["school", "size"], 2),
        ("(1 | school) + (0 + ses | school)", ["school"], 2),
    ],
)
def test_random_terms(random, groups, n_theta, students):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mf.SingularFitWarning)
        found = mf.lmer(f"math ~ ses + {random}", students)
    assert list(found.n_groups) == groups
    assert found.theta.shape == (n_theta,)


def test_weights_and_offset_by_name_and_by_value(students):
    rows = students.assign(w=1.0 + (students["size"] > 1000))
    by_name = mf.lmer("math ~ ses + (1 | school)", rows, weights="w", offset="size")
    by_value = mf.lmer(
        "math ~ ses + (1 | school)",
        rows,
        weights=rows["w"].to_numpy(),
        offset=rows["size"].to_numpy(),
    )
    assert by_name.criterion == by_value.criterion


# -- result ----------------------------------------------------------------------------------------


def test_what_a_result_is(m):
    assert m.theta.shape == (3,)
    assert isinstance(m.sigma, float)
    assert (m.nobs, m.n_groups, m.formula, m.reml) == (7185, {"school": 160}, FORMULA, True)
    assert m.engine == "block"
    assert m.is_singular is False
    assert m.converged is True
    for name in ("criterion", "loglik", "aic", "bic"):
        assert isinstance(getattr(m, name), float), name
    assert m.df_model == 6
    assert m.loglik == pytest.approx(-m.criterion / 2)
    assert m.aic == pytest.approx(m.criterion + 2 * m.df_model)
    assert m.bic == pytest.approx(m.criterion + np.log(7185) * m.df_model)


def test_estimates(m):
    for series in (m.params, m.bse):
        assert isinstance(series, pd.Series)
        assert list(series.index) == ["Intercept", "ses"]
    for ddf in (None, "kenward-roger"):
        covariance = m.vcov(ddf=ddf)
        assert list(covariance.index) == list(covariance.columns) == ["Intercept", "ses"]
    assert np.sqrt(np.diag(m.vcov())) == pytest.approx(m.bse.to_numpy())


def test_the_table_of_variances(m):
    table = m.varcorr
    assert list(table.columns) == ["group", "name1", "name2", "variance", "sd", "corr"]
    assert table["group"].tolist() == ["school", "school", "school", "Residual"]
    assert table["name1"].tolist()[:3] == ["Intercept", "ses", "Intercept"]
    assert table["name2"].iloc[2] == "ses"
    assert table["variance"].iloc[-1] == pytest.approx(m.sigma**2)
    assert table["corr"].iloc[2] == pytest.approx(
        table["variance"].iloc[2] / table["sd"].iloc[:2].prod()
    )


def test_conditional_modes(m):
    modes = m.ranef()
    assert list(modes) == ["school"]
    assert modes["school"].shape == (160, 2)
    assert list(modes["school"].columns) == ["Intercept", "ses"]
    frame, variances = m.ranef(cond_var=True)["school"]
    assert variances.shape == (160, 2, 2)
    pd.testing.assert_frame_equal(frame, modes["school"])
    assert m.coef()["school"].to_numpy() == pytest.approx(frame.to_numpy() + m.params.to_numpy())


def test_tables_of_tests(m):
    columns = ["estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high"]
    table = m.coef_table(ddf="satterthwaite", level=0.95)
    assert list(table.columns) == columns
    assert table.index.name == "term"
    assert {"df", "p_value"} <= set(m.ddf_table().columns)
    assert {
        "residual",
        "group",
        "hlm",
        "inner-outer",
        "between-within",
        "containment",
        "satterthwaite",
        "kenward-roger",
        "asymptotic",
    } <= set(m.ddf_table().reset_index()["method"])
    anova = m.anova(type="III", ddf="satterthwaite")
    assert list(anova.columns) == ["sum_sq", "mean_sq", "num_df", "den_df", "f_value", "p_value"]
    assert anova.index.name == "term"
    for L in ([[0, 1]], {"ses": 1}, "ses = 0"):
        assert m.contrast(L, rhs=0).shape[0] == 1
    assert list(m.confint(method="wald").columns) == ["conf_low", "conf_high"]


def test_rows_and_how_the_fit_went(m, students):
    assert m.fitted.shape == m.resid().shape == (7185,)
    assert m.fitted + m.resid() == pytest.approx(students["math"].to_numpy())
    said = m.optimization
    assert {"evaluations", "gradient", "min_hessian_eigenvalue", "log"} <= set(said)
    assert len(said["gradient"]) == 3


def test_the_page(m):
    page = str(m.summary(ddf="satterthwaite"))
    for part in (
        "REML criterion",
        "Scaled residuals",
        "Random effects",
        "Fixed effects",
        "Correlation of fixed effects",
        "Number of obs: 7185, groups: school, 160",
    ):
        assert part.lower() in page.lower()
    assert m.summary()._repr_html_().lstrip().startswith("<")


def test_a_result_is_kept(m, tmp_path):
    m.save(tmp_path / "m")
    for other in (
        mf.load(tmp_path / "m"),
        pickle.loads(pickle.dumps(m)),
        copy.copy(m),
        copy.deepcopy(m),
    ):
        assert other.criterion == m.criterion
        pd.testing.assert_frame_equal(other.coef_table(), m.coef_table())
    for other in (copy.copy(m), copy.deepcopy(m)):  # rows go with a copy, not with a pickle
        np.testing.assert_array_equal(other.fitted, m.fitted)


def test_likelihood_ratio_table(students):
    null = mf.lmer("math ~ 1 + (1 | school)", students)
    assert len(mf.anova(null, mf.lmer("math ~ ses + (1 | school)", students), refit=True)) == 2


def test_things_of_another_kind_are_named(m):
    with pytest.raises(mf.DataError, match="for data use mf"):
        mf.fit({"y": [1.0, 2.0]})
    with pytest.raises(mf.DataError, match="not str"):
        mf.anova(m, "math ~ 1 + (1 | school)")
    with pytest.raises(mf.MixedFastError, match="seed=-1"):
        m.bootstrap(10, seed=-1)


# -- errors and doors ------------------------------------------------------------------------------


def test_errors():
    for name in ("FormulaError", "DataError", "NotIdentifiedError"):
        assert issubclass(getattr(mf, name), mf.MixedFastError)
        assert issubclass(getattr(mf, name), ValueError)
    for name in ("ConvergenceWarning", "SingularFitWarning"):
        assert issubclass(getattr(mf, name), mf.MixedFastError)
        assert issubclass(getattr(mf, name), UserWarning)


def test_a_warning_made_an_error_is_caught_with_the_errors():
    flat = {
        "y": [1.0, 2.0, 3.0, 3.0, 2.0, 1.0],
        "g": list("aaabbb"),
    }  # groups of one mean: a variance of zero
    with warnings.catch_warnings():
        warnings.simplefilter("error", mf.SingularFitWarning)
        with pytest.raises(mf.MixedFastError, match="g"):
            mf.lmer("y ~ 1 + (1 | g)", flat)


@pytest.mark.parametrize("engine", ["auto", "cholmod"])
def test_too_many_effects_of_one_factor_are_refused_by_name(engine):
    rows = np.arange(65 * 10)
    data = {"y": np.sin(rows), "f": rows % 65, "g": rows // 65 % 3}
    with pytest.raises(mf.DataError, match="65 random effects for each level of g, but at most 64"):
        mf.lmer("y ~ 1 + (0 + C(f) | g)", data, engine=engine)


@pytest.mark.parametrize(
    ("name", "rows"), [("hsb", 7185), ("sleepstudy", 180), ("penicillin", 144)]
)
def test_data_sets(name, rows):
    assert len(mf.load_dataset(name)) == rows


def test_versions(capsys):
    mf.show_versions()
    assert "mixedfast" in capsys.readouterr().out
