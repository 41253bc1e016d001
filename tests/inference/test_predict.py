"""Predictions, their uncertainty, and leverage.

Compared with R, with dense Henderson equations, and on tables as users bring them.
"""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from helpers.cases import fitted_model, frame, topic
from helpers.designs import FEW, a_table, a_theta, close, every_formula, seeds
from helpers.reference_model import dense_model
from hypothesis import given
from scipy.stats import t

import mixedfast as mf
from mixedfast.crossprod.assemble import assemble
from mixedfast.design.build import build
from mixedfast.estimation.fit import solve_at
from mixedfast.formula.parser import parse
from mixedfast.inference.ddf.satterthwaite import satterthwaite
from mixedfast.results import LMMResult

#: R's theta is good to 1e-7 where it was polished; what depends on it smoothly is good to about as
#: much.
LIKE_R = 1e-6
MODELS = topic("everyday")
ENGINES = ("block", "cholmod")


@pytest.fixture(
    scope="module", params=[(name, engine) for name in MODELS for engine in ENGINES], ids="-".join
)
def case(request):
    name, engine = request.param
    return fitted_model(name, engine=engine), MODELS[name]


def like_r(ours, theirs):
    """Compare the first ten values, the sum and the sum of squares."""
    head = np.array(theirs["head"], dtype=float)
    size = np.sqrt(theirs["sumsq"] / len(ours))
    np.testing.assert_allclose(ours[: len(head)], head, rtol=0, atol=LIKE_R * size)
    assert ours.sum() == pytest.approx(theirs["sum"], rel=LIKE_R, abs=LIKE_R * size * len(ours))
    assert (ours**2).sum() == pytest.approx(theirs["sumsq"], rel=LIKE_R)


# -- against R -------------------------------------------------------------------------------------


def test_rows_used(case):
    m, theirs = case
    like_r(m.fitted, theirs["fitted"])
    like_r(m.predict(re=False), theirs["population"])
    like_r(m.resid(), theirs["resid"])
    like_r(m.resid("scaled"), theirs["resid_pearson"])
    like_r(m.hatvalues(), theirs["hatvalues"])
    like_r(m.cooks_distance(), theirs["cooks_distance"])


def test_new_rows(case):
    m, theirs = case
    theirs = theirs["predict"]
    for kind, rows, options in (
        ("conditional", theirs["newdata"], {}),
        ("population", theirs["newdata"], {"re": False}),
        ("unseen", theirs["newdata_unseen"], {"allow_new_levels": True}),
    ):
        ours = m.predict(rows, se=True, **options)
        np.testing.assert_allclose(ours.fit, theirs[kind], rtol=LIKE_R, err_msg=kind)
        np.testing.assert_allclose(ours.se, theirs[f"{kind}_se"], rtol=LIKE_R, err_msg=kind)
        np.testing.assert_array_equal(m.predict(rows, **options), ours.fit)


def test_prediction_intervals(case):
    m, theirs = case
    theirs = theirs["predict"]
    known, unknown = np.array(theirs["conditional_se"]), np.array(theirs["population_se"])
    for re, variance in (
        (True, known**2),
        (False, unknown**2 + np.array(theirs["random_variance"])),
    ):
        rows = theirs["newdata"]
        ours = m.predict(rows, re=re, interval="prediction", level=0.9, weights=ones(m, rows))
        half = 1.6448536269514722 * np.sqrt(variance + m.sigma**2)
        np.testing.assert_allclose(ours.upper - ours.fit, half, rtol=LIKE_R)
        np.testing.assert_allclose(ours.fit - ours.lower, half, rtol=LIKE_R)


def ones(m, rows) -> list[float] | None:
    """Return the weight of new rows of residual variance sigma^2; None in a fit without weights."""
    return [1.0] * len(next(iter(rows.values()))) if m.weights_used else None


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS[name]["predict_partly"]])
def test_some_random_effects(name):
    m, theirs = fitted_model(name), MODELS[name]["predict_partly"]
    rows = MODELS[name]["predict"]["newdata"]
    np.testing.assert_allclose(m.predict(rows, re=theirs["re"]), theirs["values"], rtol=LIKE_R)
    like_r(m.predict(re=theirs["re"]), theirs["rows_used"])


# -- against dense algebra -------------------------------------------------------------------------


def henderson(
    m: mf.LMMResult, X: np.ndarray, Z: list[np.ndarray], weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return C^-1 of Henderson's equations for (b, beta), and [Z X].

    In the form that a singular Lambda allows.
    """
    cov = m._fit.covariance
    lambdas = cov.lambdas(m.theta)
    L = np.zeros((sum(z.shape[1] for z in Z),) * 2)
    at = 0
    for z, lam in zip(Z, lambdas, strict=True):
        for _ in range(z.shape[1] // len(lam)):
            L[at : at + len(lam), at : at + len(lam)] = lam
            at += len(lam)
    D = np.hstack([np.hstack(Z) @ L, X])
    M = D.T @ (weights[:, None] * D)
    M[:at, :at] += np.eye(at)
    back = np.eye(len(M))
    back[:at, :at] = L
    return back @ np.linalg.inv(M) @ back.T, np.hstack([*Z, X])


def dense_parts(design) -> tuple[np.ndarray, list[np.ndarray]]:
    model = dense_model(design)
    return model.X, [z.reshape(design.n, -1) for z in model.Z]


@every_formula
@pytest.mark.parametrize("kind", ["inside", "singular", "zero"])
@given(seed=seeds)
@FEW
def test_standard_errors_are_henderson_s(formula, kind, seed):
    table = a_table(seed)
    design = build(parse(formula), table, weights="w", offset="o")
    cp = assemble(design)
    theta = a_theta(cp.covariance, seed, kind)
    found = []
    for engine in ENGINES:
        m = LMMResult(solve_at(cp, theta, engine=engine), design)
        X, Z = dense_parts(design)
        C, D = henderson(m, X, Z, table["w"])
        variance = np.einsum("ij,jk,ik->i", D, C, D)
        ours = m.predict(se=True)
        close(ours.se, m.sigma * np.sqrt(variance), 1e-8)
        close(m.hatvalues(), table["w"] * variance, 1e-8)
        close(ours.fit - table["o"], D @ C @ (D.T @ (table["w"] * (table["y"] - table["o"]))), 1e-8)
        # every level with every other, met or not
        mixed = {
            **table,
            "a": np.roll(table["a"], 7),
            "b": np.roll(table["b"], 1),
            "c": np.roll(table["b"], 1) % 3,
        }
        found.append(m.predict(mixed, se=True))
    close(found[0].se, found[1].se, 1e-8)
    close(found[0].fit, found[1].fit, 1e-8)


@every_formula
@given(seed=seeds)
@FEW
def test_blocks_between_groups(formula, seed):
    design = build(parse(formula), a_table(seed))
    cp = assemble(design)
    theta = a_theta(cp.covariance, seed, "singular")
    sizes = [g.n_levels * g.k for g in cp.groups]
    edges = np.concatenate([[0], np.cumsum(sizes)])
    for engine in ENGINES:
        fit = solve_at(cp, theta, engine=engine)
        Z = dense_parts(design)[1]
        back = [np.linalg.inv(T) for T in fit.covariance.transforms]
        internal = [
            (z.reshape(-1, len(t)) @ t).reshape(z.shape) for z, t in zip(Z, back, strict=True)
        ]
        whole = np.hstack(internal)
        lambdas = fit.covariance.lambdas(fit.theta_internal)
        blocks = [
            np.kron(np.eye(g.n_levels), lam) for g, lam in zip(cp.groups, lambdas, strict=True)
        ]
        L = np.zeros((len(whole.T),) * 2)
        for (a, b), block in zip(pairwise(edges), blocks, strict=True):
            L[a:b, a:b] = block
        Q = L @ np.linalg.inv(np.eye(len(L)) + L.T @ whole.T @ whole @ L) @ L.T
        for g in range(len(sizes)):
            for h in range(len(sizes)):
                if g == h:
                    continue
                J_g, J_h, k_g, k_h = (
                    cp.groups[g].n_levels,
                    cp.groups[h].n_levels,
                    cp.groups[g].k,
                    cp.groups[h].k,
                )
                i, j = (
                    part.ravel()
                    for part in np.meshgrid(np.arange(J_g), np.arange(J_h), indexing="ij")
                )
                ours = fit.system.engine.posterior_pairs(g, h, i, j)
                dense = Q[edges[g] : edges[g + 1], edges[h] : edges[h + 1]].reshape(
                    J_g, k_g, J_h, k_h
                )
                close(ours, dense.transpose(0, 2, 1, 3).reshape(-1, k_g, k_h), 1e-8)


def test_the_sum_of_leverages_is_the_trace_of_the_smoother():
    m = fitted_model("words_slopes")
    parts = m.leverage()
    assert (parts.hat.to_numpy() == m.hatvalues()).all()
    assert (parts[["fixed", "random"]].to_numpy() >= 0).all()
    h = m.hatvalues()
    np.testing.assert_allclose(m.resid("standardized"), m.resid("scaled") / np.sqrt(1 - h))
    assert m._fit.cp.p < h.sum() < m._fit.cp.p + sum(g.n_levels * g.k for g in m._fit.cp.groups)


# -- tables that users bring -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def sleep():
    return mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))


def test_missing_values_give_missing_predictions(sleep):
    rows = pd.DataFrame(
        {"Days": [1.0, np.nan, 3.0], "Subject": ["308", "308", None]}, index=["a", "b", "c"]
    )
    ours = sleep.predict(rows, interval="confidence")
    assert ours.index.tolist() == ["a", "b", "c"]
    assert ours.isna().all(axis=1).tolist() == [False, True, True]
    allowed = sleep.predict(rows, allow_new_levels=True, se=True)
    assert allowed.fit["c"] == pytest.approx(sleep.predict({"Days": [3]}, re=False)[0])
    assert np.isnan(
        sleep.predict({"Days": [np.nan, np.nan], "Subject": ["308", "x"]}, allow_new_levels=True)
    ).all()


def test_new_levels_are_refused_by_name(sleep):
    with pytest.raises(
        mf.DataError,
        match=r"'Subject' has levels that the fit did not have: 999, 1000 \(first in row 1 ",
    ):
        sleep.predict({"Days": [1, 2, 3], "Subject": ["308", "999", "1000"]})
    nested = fitted_model("pastes")
    with pytest.raises(
        mf.DataError, match="'cask:batch' has levels that the fit did not have: z:A"
    ):
        nested.predict({"batch": ["A"], "cask": ["z"]})


def test_levels_of_predictors_are_refused_by_name():
    m = mf.lmer("angle ~ recipe + (1 | replicate)", mf.load_dataset("cake"))
    with pytest.raises(
        mf.DataError, match="column 'recipe' has levels that the fit did not have: D"
    ):
        m.predict({"recipe": ["A", "D"], "replicate": ["1", "1"]})


def test_columns_that_are_not_needed_may_be_missing(sleep):
    assert sleep.predict({"Days": [1]}, re=False).shape == (1,)
    assert sleep.predict({"Days": [1]}, re=False, interval="prediction").shape == (1, 4)
    with pytest.raises(mf.DataError, match="no column 'Subject'"):
        sleep.predict({"Days": [1]})


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_tables_come_back_as_they_came(sleep, library):
    module = pytest.importorskip(library)
    rows = {"Days": [1, 2], "Subject": ["308", "309"]}
    made = module.DataFrame(rows) if library == "polars" else module.table(rows)
    ours = sleep.predict(made, interval="confidence")
    assert type(ours).__module__.startswith(library)
    np.testing.assert_array_equal(np.asarray(ours["fit"]), sleep.predict(rows))


@pytest.mark.parametrize(
    "fixed", ["bs(x, df=4)", "poly(x, 2)", "scale(x) + log(z + 10)", "C(f, contr.sum) * x"]
)
def test_what_was_learnt_from_the_old_rows_is_kept(fixed):
    rng = np.random.default_rng(1)
    x, z = rng.normal(size=(2, 200))
    rows = pd.DataFrame({"x": x, "z": z, "f": list("abcd") * 50, "g": np.arange(200) % 20})
    rows["y"] = rows.x**2 + rng.normal(size=200) + rng.normal(size=20)[rows.g]
    m = mf.lmer(f"y ~ {fixed} + (1 | g)", rows)
    some = rows.iloc[[5, 17, 100]]
    np.testing.assert_allclose(m.predict(some), m.fitted[[5, 17, 100]], rtol=1e-10)
    np.testing.assert_allclose(
        m.predict(some, se=True).se, m.predict(se=True).se[[5, 17, 100]], rtol=1e-8
    )


def test_offsets_and_weights_of_new_rows():
    rows = frame("clinics")
    m = mf.lmer("y_w ~ x + (x | g)", rows, weights="w", offset="o")
    np.testing.assert_allclose(m.predict(rows), m.fitted, rtol=1e-12)
    with pytest.raises(mf.DataError, match="no column 'o'"):
        m.predict(rows.drop(columns="o"))
    ours = m.predict(rows, interval="prediction", weights="w")
    pd.testing.assert_frame_equal(ours, m.predict(interval="prediction"))
    variance = (ours.se**2 + m.sigma**2 / rows.w).to_numpy()
    np.testing.assert_allclose((ours.upper - ours.fit) / 1.959963984540054, np.sqrt(variance))


def test_dropped_columns_of_x_do_not_matter():
    rows = frame("clinics")
    m = mf.lmer("y ~ x + x_copy + f + (1 | g)", rows)
    np.testing.assert_allclose(m.predict(rows), m.fitted, rtol=1e-10)


def test_a_fit_without_rows_predicts_new_ones(sleep):
    cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    m = mf.fit(cp)
    rows = {"Days": [3], "Subject": ["308"]}
    np.testing.assert_allclose(m.predict(rows), sleep.predict(rows))
    with pytest.raises(mf.DataError, match="needs the rows"):
        m.predict()


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"interval": "both"}, "interval='both'"),
        ({"level": 95}, "level=95"),
        ({"re": "(1 | school)"}, "grouping factors are Subject"),
        ({"re": "(Hours | Subject)"}, "'Hours' by Subject"),
        ({"re": [1]}, "a list of grouping factors"),
        ({"re": None}, "a list of grouping factors"),
        (
            {"newdata": {"Days": [1], "Subject": [308]}},
            "numbers where the fit had text.*known: '308'.*convert the column",
        ),
        ({"newdata": {"Days": [1], "Subject": ["308"]}, "weights": [0.0]}, "weights"),
        ({"weights": "Days"}, "the rows used keep their own"),
    ],
)
def test_wrong_questions_are_refused(sleep, options, what):
    with pytest.raises(ValueError, match=what):
        sleep.predict(**options)


def test_ways_to_say_no_random_effects(sleep):
    for re in ("~0", "0", []):
        np.testing.assert_array_equal(sleep.predict(re=re), sleep.predict(re=False))


def test_no_rows_give_no_predictions(sleep):
    assert sleep.predict({"Days": np.empty(0), "Subject": np.empty(0, dtype=str)}).shape == (0,)


def test_nothing_changes_the_fit(sleep):
    before = [
        np.array(part)
        for part in (sleep.theta, sleep.params, sleep.vcov(), sleep.fitted, *sleep._fit.modes)
    ]
    sleep.predict({"Days": [1], "Subject": ["308"]}, interval="prediction")
    sleep.cooks_distance()
    after = [
        np.array(part)
        for part in (sleep.theta, sleep.params, sleep.vcov(), sleep.fitted, *sleep._fit.modes)
    ]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


# -- degrees of freedom of predictions -------------------------------------------------------------


def test_df_of_the_population_s_mean_are_those_of_contrasts(sleep):
    rows = {"Days": [0.0, 5.0, 10.0, 5.0]}
    contrasts = [[1.0, day] for day in rows["Days"]]
    for ddf in ("satterthwaite", "kenward-roger", "containment", "residual"):
        ours = sleep.predict(rows, re=False, interval="confidence", level=0.9, ddf=ddf)
        theirs = sleep.contrast(contrasts, ddf=ddf, level=0.9)
        np.testing.assert_allclose(
            ours[["fit", "se", "df", "lower", "upper"]],
            theirs[["estimate", "std_error", "df", "conf_low", "conf_high"]],
            rtol=1e-8,
        )
    assert sleep.predict(rows, re=False, interval="confidence").columns.tolist() == [
        "fit",
        "se",
        "lower",
        "upper",
    ]


#: The differences below carry an error of their step squared; the exact gradients none to speak of.
DIFFERENCES = 1e-4


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "name", ["sleepstudy", "clinics_weights", "penicillin", "pastes", "words_slopes"]
)
@pytest.mark.parametrize("interval", ["confidence", "prediction"])
def test_satterthwaite_s_df_of_predictions(name, engine, interval):
    """2 f^2 / (g'Ag) with the gradient of the whole variance by differences in (theta, sigma)."""
    m, rows = fitted_model(name, engine=engine), MODELS[name]["predict"]["newdata_unseen"]
    for re in (
        True,
        MODELS[name]["predict_partly"]["re"] if MODELS[name]["predict_partly"] else False,
    ):
        given = {"re": re, "allow_new_levels": True, "interval": interval}
        given["weights"] = ones(m, rows)

        def variance(theta, sigma, given=given):
            other = LMMResult(solve_at(m._fit.cp, theta, m.reml, engine), None)
            found = other.predict(rows, **given)
            width = (found.upper - found.fit) / 1.959963984540054
            return (width / other.sigma * sigma) ** 2

        steps = np.eye(len(m.theta) + 1) * 1e-4
        at = np.append(m.theta, 1.0)
        g = np.array(
            [
                (variance(*split(at + step, m)) - variance(*split(at - step, m))) / 2e-4
                for step in steps
            ]
        )
        f = variance(*split(at, m))
        ours = m.predict(rows, ddf="satterthwaite", **given)
        expected = 2 * f**2 / np.einsum("ri,rs,si->i", g, covariance_of_user_s_theta(m), g)
        np.testing.assert_allclose(ours.df, expected, rtol=DIFFERENCES)
        reach = (ours.upper - ours.fit) / np.sqrt(f)
        np.testing.assert_allclose(reach, t.ppf(0.975, ours.df), rtol=1e-6)


def split(at, m):
    return at[:-1], at[-1] * m.sigma


def covariance_of_user_s_theta(m):
    """Return the covariance of (theta, sigma / its estimate) from that of the internal theta."""
    fit = m._fit
    cov, at = fit.covariance, fit.theta_internal
    step = 1e-6
    J = np.column_stack(
        [(cov.to_user(at + e) - cov.to_user(at - e)) / (2 * step) for e in np.eye(len(at)) * step]
    )
    whole = np.eye(len(at) + 1)
    whole[:-1, :-1] = J
    return whole @ satterthwaite(fit).inverse @ whole.T


def test_df_of_old_rows_and_of_many_rows_at_once(sleep, monkeypatch):
    rows = frame("words")
    m = fitted_model("words_slopes")
    ours = m.predict(interval="prediction", ddf="satterthwaite")
    monkeypatch.setattr("mixedfast.inference.prediction.degrees_of_freedom._NUMBERS", 1000)
    pd.testing.assert_frame_equal(
        m.predict(rows, interval="prediction", ddf="satterthwaite"), ours, rtol=1e-8
    )
    old = sleep.predict(interval="confidence", ddf="satterthwaite")
    assert ((old.df > 5) & (old.df < 180)).all()


def test_df_that_predictions_do_not_have(sleep):
    with pytest.raises(mf.NotDefinedError, match="defined for x'beta alone"):
        sleep.predict(interval="confidence", ddf="kenward-roger")
    with pytest.raises(mf.NotDefinedError, match="defined for x'beta alone"):
        sleep.predict(re=False, interval="prediction", ddf="residual")
    with pytest.raises(mf.NotDefinedError, match="needs a fit by REML"):
        sleep.update(REML=False).predict(re=False, interval="confidence", ddf="kenward-roger")
    with pytest.raises(mf.NotDefinedError, match="not a method"):
        sleep.predict(re=False, interval="confidence", ddf="satterthwait")


def test_long_df_of_predictions_are_told_beforehand(monkeypatch):
    rows = mf.load_dataset("penicillin")
    m = mf.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", rows)
    wanted = m.predict(rows[:5], interval="confidence", ddf="satterthwaite")
    monkeypatch.setattr("mixedfast.inference.ddf.trace_methods._LONG_OPERATIONS", 100.0)
    with pytest.warns(
        UserWarning, match=r"solves with all 30 random effects for each of 5 predictions take about"
    ):
        told = m.predict(rows[:5], interval="confidence", ddf="satterthwaite")
    pd.testing.assert_frame_equal(told, wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        m.predict(rows[:5], re=False, interval="confidence", ddf="satterthwaite")
