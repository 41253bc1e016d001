"""Results of generalized linear mixed models: lme4's predictions, residuals and tables."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from helpers.glmm_cases import frame, golden, names
from scipy.integrate import quad
from scipy.stats import kstest, norm

import mixedfast as mf

NAMES = names("binomial", "poisson", n_agq=False)
#: lme4's search leaves up to 1e-4 standard errors in its estimates (`grad_max`).
PREDICTED = 2e-4


def fitted(name):
    case = golden(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mf.SingularFitWarning)
        return case, mf.glmer(
            case["formula"],
            frame(case["dataset"]),
            case["family"],
            case["link"],
            trials=case["trials"],
            weights=case["weights"],
            curvature=case["curvature"],
        )


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    return fitted(request.param)


def test_tables(model):
    case, g = model
    assert g.nobs == case["nobs"] and g.df_model == case["df"]
    assert g.is_singular == case["singular"] and g.converged
    for ours, name in ((g.loglik, "loglik"), (g.aic, "aic"), (g.bic, "bic")):
        assert ours == pytest.approx(case[name], abs=2e-6)
    table = g.coef_table()
    # at a singular optimum lme4's Hessian is that of a kink; theta is held there
    errors = np.sqrt(np.diag(case["vcov_rx"])) if case["singular"] else None
    for i, row in enumerate(case["coefs"]):
        row = row if errors is None else {**row, "se": errors[i]}
        assert table.estimate.iloc[i] == pytest.approx(row["estimate"], abs=2e-4 * row["se"])
        assert table.std_error.iloc[i] == pytest.approx(row["se"], rel=2e-4)
        assert table.p_value.iloc[i] == pytest.approx(row["p"], rel=0.02, abs=1e-9)
    rows = [row for row in case["varcorr"] if row["var2"] is None]
    ours = g.varcorr[g.varcorr.name2.isna()]
    np.testing.assert_allclose(ours.sd, [row["sdcor"] for row in rows], atol=2e-5)
    assert "Residual" not in g.varcorr.group.tolist()
    text = str(g.summary())
    assert f"Family: {case['family']} ({case['link']})" in text and "z value" in text


def test_predictions_and_residuals(model):
    case, g = model
    expected = case["predict"]
    found = {
        "link": g.predict(type="link"),
        "response": g.predict(),
        "population_link": g.predict(type="link", re=False),
        "population_response": g.predict(re=False),
    }
    for name, own in found.items():
        theirs = np.asarray(expected[name], dtype=float)
        np.testing.assert_allclose(own[: len(theirs)], theirs, rtol=PREDICTED, atol=PREDICTED)
    np.testing.assert_array_equal(g.fitted, found["response"])
    for kind, theirs in case["residuals"].items():
        theirs = np.asarray(theirs, dtype=float)
        own = g.resid(kind)[: len(theirs)]
        np.testing.assert_allclose(own, theirs, rtol=1e-3, atol=1e-3)
    chisq = float((g.resid("pearson") ** 2).sum())
    assert chisq == pytest.approx(case["overdispersion"]["chisq"], rel=1e-4)


def test_rows_of_the_fit_as_new_rows(model):
    case, g = model
    rows = frame(case["dataset"]).dropna()
    if len(rows) != g.nobs:
        pytest.skip("rows left out")
    for re in (True, False, "average"):
        np.testing.assert_allclose(g.predict(rows, re=re), g.predict(re=re), rtol=1e-10)
    one = g.predict(rows, type="link", interval="confidence")
    two = g.predict(type="link", interval="confidence")
    np.testing.assert_allclose(one, two, rtol=1e-8)
    fixed = g.predict(type="link", re=False, interval="confidence")
    assert (fixed.se > 0).all()
    response = g.predict(interval="confidence")
    np.testing.assert_allclose(response.fit, g.fitted)
    assert ((response.lower <= response.fit) & (response.fit <= response.upper)).all()


def test_standard_errors_of_fixed_predictions():
    _, g = fitted("cbpp")
    found = g.predict({"period": ["1", "3"]}, type="link", re=False, interval="confidence")
    V = g.vcov().to_numpy()
    L = np.array([[1.0, 0, 0, 0], [1.0, 0, 1, 0]])
    np.testing.assert_allclose(found.se, np.sqrt(np.einsum("ij,jk,ik->i", L, V, L)), rtol=1e-8)


def test_averages_are_integrals():
    _, g = fitted("cbpp")
    sd = float(g.varcorr.sd.iloc[0])
    eta = g.predict({"period": ["2"]}, type="link", re=False)[0]
    expected = quad(lambda b: norm.pdf(b, scale=sd) / (1 + np.exp(-eta - b)), -10, 10)[0]
    assert g.predict({"period": ["2"], "herd": ["1"]}, re="average")[0] == pytest.approx(
        expected, rel=1e-8
    )


@pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")
def test_likelihood_ratio_test():
    case, g = fitted("cbpp")
    small = g.update(". ~ . - period")
    table = mf.anova(small, g)
    assert table.chisq.iloc[1] == pytest.approx(case["lrt"]["chisq"], rel=1e-6)
    assert table.p_value.iloc[1] == pytest.approx(case["lrt"]["p"], rel=1e-4)
    _, other = fitted("grouseticks")
    with pytest.raises(mf.DataError):
        mf.anova(g, other)
    linear = mf.lmer("incidence ~ period + (1 | herd)", frame("cbpp"))
    with pytest.raises(mf.DataError, match="not comparable with a linear one"):
        mf.anova(g, linear)


def test_simulated_responses_are_those_of_the_model():
    _, g = fitted("contraception")
    Y = g.simulate(40, seed=1)
    assert set(np.unique(Y)) <= {0.0, 1.0}
    np.testing.assert_array_equal(Y[:, :3], g.simulate(3, seed=1))
    mean = Y.mean(axis=1)
    average = g.predict(re="average")
    assert abs((mean - average).mean()) < 5 * np.sqrt(0.25 / Y.size) + 0.02
    kept = g.simulate(200, seed=2, re="kept").mean()
    assert kept == pytest.approx(g.fitted.mean(), abs=0.005)


def test_quantile_residuals_are_normal():
    _, g = fitted("contraception")
    assert kstest(g.resid("quantile", seed=3), "norm").pvalue > 1e-4
    np.testing.assert_array_equal(g.resid("quantile", seed=3), g.resid("quantile", seed=3))


def test_wald_tests_of_terms():
    _, g = fitted("cbpp")
    table = g.anova("II")
    L = np.eye(4)[1:]
    b, V = g.params.to_numpy(), g.vcov().to_numpy()
    chisq = (L @ b) @ np.linalg.solve(L @ V @ L.T, L @ b)
    assert table.loc["period", "chisq"] == pytest.approx(chisq, rel=1e-8)
    assert table.loc["period", "df"] == 3
    ratios = g.tidy(exponentiate=True)
    np.testing.assert_allclose(ratios.estimate, np.exp(g.params))
    pairs = g.emmeans("period", type="response").pairs()
    assert pairs.columns[1] == "odds_ratio"
    assert pairs.odds_ratio[0] == pytest.approx(np.exp(-g.params.iloc[1]), rel=1e-8)


def test_means_of_counts_are_rates():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"f": np.tile(list("abc"), 40), "g": np.repeat(np.arange(20), 6)})
    eta = 0.5 * (data["f"] == "b") + rng.normal(size=20)[data["g"]]
    data["y"] = rng.poisson(np.exp(eta))
    g = mf.glmer("y ~ f + (1 | g)", data, family="poisson")
    means = g.emmeans("f", type="response")
    found = means.contrast("control", adjust="none")
    assert found.estimate.tolist() == pytest.approx(np.exp(g.params.iloc[1:]), rel=1e-10)
    assert found.to_frame().columns[1] == "rate_ratio"
    assert means.to_frame()["response"][0] == pytest.approx(np.exp(g.params.iloc[0]), rel=1e-10)
    assert "tests on the scale of log" in " ".join(str(found).split())


def test_files_and_pickles(tmp_path):
    _, g = fitted("cbpp")
    g.save(tmp_path / "g.mf")
    for again in (mf.load(tmp_path / "g.mf"), pickle.loads(pickle.dumps(g))):
        pd.testing.assert_series_equal(again.params, g.params)
        pd.testing.assert_frame_equal(again.coef_table(), g.coef_table())
        new = {"period": ["1"], "herd": ["3"]}
        np.testing.assert_allclose(again.predict(new), g.predict(new))
        with pytest.raises(mf.DataError, match="needs the rows"):
            again.resid()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"family": "binomal"}, mf.ArgumentError, "did you mean 'binomial'"),
        ({"family": "gaussian"}, mf.ArgumentError, "normal responses: mf.lmer"),
        ({"link": "sqrt"}, mf.ArgumentError, "the links of the binomial family are"),
        ({"n_agq": 0}, mf.ArgumentError, "n_agq=0"),
        ({"curvature": "exact"}, mf.ArgumentError, "curvature='exact'"),
        ({"trials": "n"}, mf.DataError, "no column 'n'"),
        ({"y": -1.0}, mf.DataError, "is negative"),
        ({"y": 2.0}, mf.DataError, "is above 1"),
        ({"y": 0.5}, mf.DataError, "holds proportions"),
        ({"family": "poisson", "y": 0.5}, mf.DataError, "is not a count"),
        ({"family": "poisson", "trials": "x"}, mf.DataError, "trials= is for"),
        ({"formula": "y ~ x"}, mf.FormulaError, "random"),
    ],
)
def test_wrong_input(change, error, message):
    rng = np.random.default_rng(0)
    data = {"y": rng.integers(0, 2, 60).astype(float), "x": rng.normal(size=60)}
    data["g"] = np.arange(60) % 6
    if "y" in change:
        data["y"][3] = change.pop("y")
    call = {"formula": "y ~ x + (1 | g)", "family": "binomial"} | change
    with pytest.raises(error, match=message):
        mf.glmer(data=data, **call)


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_separation_names_the_columns(family):
    rng = np.random.default_rng(1)
    n = 200
    f = np.array(list("abc"))[np.arange(n) % 3]
    y = np.where(f == "c", 0.0, rng.integers(0, 2, n))
    data = {"y": y, "x": rng.normal(size=n), "f": f, "g": np.arange(n) % 10}
    with pytest.raises(mf.NotIdentifiedError, match=r"columns? f\[T.c\] separate") as raised:
        mf.glmer("y ~ x + f + (1 | g)", data, family)
    assert "Intercept" not in str(raised.value)


def test_rare_events_and_offsets_converge():
    rng = np.random.default_rng(5)
    n = 4000
    g, x = np.arange(n) % 40, rng.normal(size=n)
    exposure = np.exp(rng.uniform(-20, 20, n))
    mu = exposure * np.exp(0.3 * x + 0.5 * rng.normal(size=40)[g])
    y = rng.poisson(np.minimum(mu, 1e12)).astype(float)
    data = {"y": y, "x": x, "g": g, "log_exposure": np.log(exposure)}
    m = mf.glmer("y ~ x + offset(log_exposure) + (1 | g)", data, "poisson")
    assert m.converged and abs(m.params["x"] - 0.3) < 0.05
    rare = (rng.random(n) < 2e-3).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mf.SingularFitWarning)
        assert mf.glmer("rare ~ x + (1 | g)", {**data, "rare": rare}, "binomial").converged


# -- families with parameters of their own ---------------------------------------------------------


@pytest.mark.parametrize("name", ["cost_gamma", "epil_negbin"])
def test_dispersion(name):
    case = golden(name)
    g = mf.glmer(case["formula"], frame(case["dataset"]), case["family"], case["link"])
    assert g.curvature == "observed"
    assert g.loglik == pytest.approx(case["loglik"], abs=1e-7)
    assert (g.df_model, g.aic) == (case["df"], pytest.approx(case["aic"], abs=1e-7))
    sign = 1.0 if name == "epil_negbin" else -1.0
    assert g.dispersion == pytest.approx(np.exp(sign * case["tmb_betad"]), rel=1e-6)
    assert "Dispersion" in str(g.summary())
    for key, scale in [("link", "link"), ("response", "response")]:
        np.testing.assert_allclose(g.predict(type=scale)[:8], case["predict"][key], rtol=1e-6)


@pytest.mark.parametrize("as_categories", [True, False])
def test_ordered_categories(as_categories, tmp_path):
    case = golden("wine_ordinal")
    rows = frame("wine")
    if not as_categories:
        rows["rating"] = rows["rating"].astype(int)
    g = mf.glmer(case["formula"], rows, "cumulative")
    assert list(g.params.index) == ["temp[T.warm]", "contact[T.yes]"]
    assert g.dropped_columns == () and "Thresholds" in str(g.summary())
    assert list(g.thresholds.index) == list(case["thresholds"])
    np.testing.assert_allclose(g.thresholds, list(case["thresholds"].values()), atol=2e-5)
    found = g.predict()
    assert list(found.columns) == ["1", "2", "3", "4", "5"]
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    np.testing.assert_allclose(found, g.fitted)
    np.testing.assert_allclose(g.predict(rows), found)
    np.testing.assert_allclose(g.predict(re="average").sum(axis=1), 1.0)
    assert set(np.unique(g.simulate(3, seed=1))) <= {0.0, 1.0, 2.0, 3.0, 4.0}
    pairs = g.emmeans("temp").pairs()
    assert float(pairs["estimate"].iloc[0]) == pytest.approx(-g.params["temp[T.warm]"])
    g.save(tmp_path / "wine.mf")
    again = mf.load(tmp_path / "wine.mf")
    pd.testing.assert_series_equal(again.thresholds, g.thresholds)
    with pytest.raises(mf.MixedFastError, match="no mean"):
        g.resid("pearson")
    with pytest.raises(mf.MixedFastError, match="observed"):
        mf.glmer(case["formula"], rows, "cumulative", curvature="expected")


@pytest.mark.parametrize("family", ["Gamma", "inverse_gaussian", "nbinom2", "cumulative"])
def test_quantile_residuals_of_simulated_responses(family):
    """Quantile residuals of data from the model are standard normal: variance one to 5 SE."""
    rng = np.random.default_rng(3)
    n, J = 1500, 50
    table = pd.DataFrame({"x": rng.normal(size=n), "g": np.arange(n) % J})
    eta = 0.5 + 0.4 * table["x"] + 0.5 * rng.normal(size=J)[table["g"]]
    mu = np.exp(eta)
    table["y"] = {
        "Gamma": lambda: rng.gamma(2.0, mu / 2.0),
        "inverse_gaussian": lambda: rng.wald(mu, 3.0),
        "nbinom2": lambda: rng.negative_binomial(2.0, 2.0 / (2.0 + mu)),
        "cumulative": lambda: np.digitize(eta + rng.logistic(size=n), [-1.0, 0.5, 2.0]),
    }[family]()
    g = mf.glmer("y ~ x + (1 | g)", table, family)
    found = g.resid("quantile")
    # the fitted modes take up about J of the n degrees of freedom
    assert abs(found.var() - (1 - J / n)) < 5 * np.sqrt(2 / n)
    assert abs(found.mean()) < 5 / np.sqrt(n)
    wanted = {"Gamma": 0.5, "inverse_gaussian": 1 / 3, "nbinom2": 2.0, "cumulative": 1.0}[family]
    assert g.dispersion == pytest.approx(wanted, rel=0.25)
    again = g.simulate(400, seed=5, re="kept").mean(axis=1)
    if family != "cumulative":
        assert np.corrcoef(again, g.fitted)[0, 1] > 0.95


@pytest.mark.parametrize("name", names("binomial", n_agq=True))
def test_quadrature(name):
    case = golden(name)
    rows = frame(case["dataset"])
    options = {"trials": case["trials"], "n_agq": case["n_agq"]}
    g = mf.glmer(case["formula"], rows, "binomial", **options)
    assert g.loglik == pytest.approx(case["loglik"], abs=1e-6) and g.n_agq == case["n_agq"]
    assert f"{case['n_agq']} nodes" in str(g.summary())
    with pytest.raises(mf.MixedFastError, match="approximations"):
        mf.anova(g, g.update(n_agq=1))
    twice = rows.assign(other=np.arange(len(rows)) % 7)
    with pytest.raises(mf.MixedFastError, match="one random effect"):
        mf.glmer(f"{case['formula']} + (1 | other)", twice, "binomial", **options)


@pytest.mark.parametrize("name", ["cbpp", "wine_ordinal", "cbpp_agq9"])
def test_refit(name):
    """The same response gives the same estimates; the first result does not change."""
    case = golden(name)
    g = mf.glmer(
        case["formula"],
        frame(case["dataset"]),
        case["family"],
        trials=case.get("trials"),
        n_agq=case["n_agq"],
    )
    before = g.params.copy()
    again = g.refit(g._design.y)
    # both searches end with a Newton step
    np.testing.assert_allclose(again.params, g.params, rtol=1e-7)
    assert again.criterion == pytest.approx(g.criterion, abs=1e-9)
    other = g.refit(g.simulate(seed=2)[:, 0]) if name != "wine_ordinal" else again
    assert (name == "wine_ordinal") == np.allclose(other.params, g.params, rtol=1e-7)
    pd.testing.assert_series_equal(g.params, before)
    with pytest.raises(mf.DataError, match="shape"):
        g.refit(np.zeros(3))


def test_table_beside_a_linear_model():
    students = mf.load_dataset("hsb")
    students["passed"] = (students["math"] > 12).astype(int)
    g = mf.glmer("passed ~ ses + (1 | school)", students, "binomial")
    m = mf.lmer("passed ~ ses + (1 | school)", students, REML=False)
    shown = str(mf.table(g, m, names=["logit", "linear"]))
    for number in (g.params["ses"], m.params["ses"]):
        assert f"{number:.3f}" in shown
    assert f"{g.criterion:,.1f}" in shown and "linear" in shown


def test_intervals_by_name():
    _, g = fitted("cbpp")
    pd.testing.assert_frame_equal(g.confint("wald", level=0.9), g.confint(level=0.9))
    with pytest.raises(mf.NotDefinedError, match="linear mixed models"):
        g.confint(method="profile")
