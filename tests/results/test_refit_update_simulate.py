"""simulate, refit and update: right, reproducible, and without changing the first result."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from helpers.cases import fitted_model, frame, topic
from helpers.designs import FORMULAS, a_table
from helpers.snapshots import everything, unchanged

import mixedfast as mf
from mixedfast.formula.update import update_formula

MODELS = topic("everyday")
#: Draws, and how many standard errors of a sample moment we allow: one in two million exceeds five.
DRAWS, SIGMAS = 4000, 5.0


# -- simulate --------------------------------------------------------------------------------------


def like_moments(mean, cov, wanted_mean, V):
    """Sample moments of DRAWS normal vectors against the true ones."""
    V = np.array(V, dtype=float)
    assert (np.abs(mean - wanted_mean) < SIGMAS * np.sqrt(np.diag(V) / DRAWS)).all()
    spread = np.sqrt((np.outer(np.diag(V), np.diag(V)) + V**2) / DRAWS)
    assert (np.abs(cov - V) < SIGMAS * spread).all()


@pytest.mark.parametrize("name", list(MODELS))
def test_moments(name):
    m, theirs = fitted_model(name), MODELS[name]["simulate"]
    rows = theirs["rows"]
    noise = np.diag(
        m.sigma**2 / (np.ones(5) if m._design.weights is None else m._design.weights[rows])
    )
    for re, mean, V in (("new", m.predict(re=False), theirs["V"]), ("kept", m.fitted, noise)):
        ours = m.simulate(DRAWS, seed=3, re=re)[rows]
        like_moments(ours.mean(axis=1), np.cov(ours), mean[rows], V)
        if m._design.weights is None:  # R's own draws; those of lme4 1.1-31 leave the weights out
            like_moments(theirs[f"{re}_mean"], theirs[f"{re}_cov"], mean[rows], V)


def test_draws_are_reproducible():
    m = fitted_model("words_slopes")
    np.testing.assert_array_equal(m.simulate(5, seed=1)[:, :2], m.simulate(2, seed=1))
    assert (m.simulate(1, seed=1) != m.simulate(1, seed=2)).all()
    assert (m.simulate(1) != m.simulate(1)).all()
    with pytest.raises(ValueError, match="re names 'old'"):
        m.simulate(re="old")
    with pytest.raises(ValueError, match="n=0"):
        m.simulate(0)
    with pytest.raises(ValueError, match="seed=-1"):
        m.simulate(seed=-1)


NEW_ROWS = [
    "sleepstudy",
    "pastes",
    "penicillin",
    "clinics_offset",
    "words_slopes",
    "cake",
    "growth_curves",
]


@pytest.mark.parametrize("name", NEW_ROWS)
def test_moments_of_new_rows(name):
    """Compare with R's predictions and variances of these rows, unseen groups included."""
    m, theirs = fitted_model(name), MODELS[name]["predict"]
    known, unseen, prior = (
        theirs["newdata"],
        theirs["newdata_unseen"],
        np.array(theirs["random_variance"]),
    )
    for rows, options, mean, variance in (
        (known, {}, theirs["population"], prior + m.sigma**2),
        (known, {"re": "kept"}, theirs["conditional"], np.full(3, m.sigma**2)),
        (unseen, {}, theirs["population"], prior + m.sigma**2),
    ):
        ours = m.simulate(DRAWS, seed=4, newdata=rows, **options)
        like_moments(
            ours.mean(axis=1), np.diag(ours.var(axis=1)), np.array(mean), np.diag(variance)
        )
    partly = MODELS[name]["predict_partly"]
    if partly and name not in (
        "sleepstudy",
        "growth_curves",
    ):  # these keep one of two correlated effects
        ours = m.simulate(DRAWS, seed=5, newdata=known, re=partly["re"])
        others = m.predict(
            known, re=partly["re"], interval="prediction"
        )  # its variance: se^2, other effects, residual
        variance = ((others.upper - others.fit) / 1.959963984540054) ** 2 - others.se**2
        like_moments(
            ours.mean(axis=1),
            np.diag(ours.var(axis=1)),
            np.array(partly["values"]),
            np.diag(variance),
        )


@pytest.mark.parametrize("re", ["new", "kept", ["item"]])
def test_new_rows_that_are_the_old_ones_give_the_old_draws(re):
    m = fitted_model("words_slopes")
    ours = m.simulate(3, seed=1, re=re, newdata=frame("words"))
    np.testing.assert_allclose(ours, m.simulate(3, seed=1, re=re), rtol=1e-10)


def test_new_groups_are_groups():
    m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    rows = {"Days": [0.0, 9.0, 0.0, 9.0, 0.0], "Subject": ["new", "new", "308", "other", None]}
    draws = m.simulate(DRAWS, seed=6, newdata=rows)
    assert np.isnan(draws[4]).all()
    covariance = np.cov(draws[:4])
    H = m.sigma**2 * m._fit.relative[0]
    within = np.array([1.0, 0.0]) @ H @ np.array([1.0, 9.0])
    error = np.sqrt((covariance[0, 0] * covariance[1, 1] + within**2) / DRAWS)
    assert abs(covariance[0, 1] - within) < SIGMAS * error
    for i, j in ((0, 2), (0, 3), (1, 3)):
        assert abs(covariance[i, j]) < SIGMAS * np.sqrt(covariance[i, i] * covariance[j, j] / DRAWS)
    with pytest.raises(
        mf.DataError,
        match=r"'Subject' has levels that the fit did not have: new, other.*re=\"new\"",
    ):
        m.simulate(newdata=rows, re="kept")
    kept = m.simulate(DRAWS, seed=6, newdata=rows, re="kept", allow_new_levels=True)
    assert kept[2].var() == pytest.approx(m.sigma**2, rel=0.1)
    assert kept[1].var() == pytest.approx(covariance[1, 1], rel=0.1)


def test_simulation_of_new_rows_asks_for_what_it_needs():
    m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    with pytest.raises(mf.DataError, match="no column 'Subject'"):
        m.simulate(newdata={"Days": [1.0]})
    with pytest.raises(mf.ArgumentError, match=r"Intercept, Days of Subject.*correlated"):
        m.simulate(re="(1 | Subject)")
    with pytest.raises(mf.DataError, match="the rows used keep their own"):
        m.simulate(weights=[1.0])
    some = {"Days": [1.0, np.nan], "Subject": ["308", "309"]}
    light, heavy = (
        m.simulate(DRAWS, seed=1, re="kept", newdata=some, weights=w)
        for w in ([1.0, 1.0], [100.0, 1.0])
    )
    assert np.isnan(light[1]).all()
    assert light[0].std() == pytest.approx(10 * heavy[0].std())
    cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    np.testing.assert_allclose(
        mf.fit(cp).simulate(2, seed=1, newdata=some), m.simulate(2, seed=1, newdata=some)
    )


# -- refit -----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")
@pytest.mark.parametrize("formula", FORMULAS.values(), ids=list(FORMULAS))
@pytest.mark.parametrize("given", [{}, {"weights": "w", "offset": "o"}], ids=["plain", "weighted"])
def test_refit_is_a_fit_of_the_other_response(formula, given):
    table = a_table(5)
    m = mf.lmer(formula, table, **given)
    before = everything(m)
    y = 1e4 + 30.0 * m.simulate(seed=2)[:, 0]
    ours, whole = m.refit(y), mf.lmer(formula, {**table, "y": y}, **given)
    unchanged(m, before)
    assert ours.criterion == pytest.approx(whole.criterion, rel=1e-10)
    np.testing.assert_allclose(ours.params, whole.params, rtol=1e-5)
    np.testing.assert_allclose(ours.fitted, whole.fitted, rtol=1e-7)
    assert ours.refit(table["y"]).criterion == pytest.approx(m.criterion, rel=1e-12)


def test_refit_takes_rows_used_or_all_rows():
    rows = frame("clinics")
    m = mf.lmer("y_gaps ~ x + z_gaps + (x | g)", rows)
    ours = m.refit(rows.y)
    assert ours.nobs == m.nobs
    assert ours.criterion == m.refit(rows.y.to_numpy()[m._design.kept_rows][:, None]).criterion
    with pytest.raises(
        mf.DataError, match=rf"3 values for the {m.nobs} rows of the fit \(or {len(rows)}"
    ):
        m.refit([1.0, 2.0, 3.0])
    with pytest.raises(mf.DataError, match="missing or infinite"):
        m.refit(np.full(len(rows), np.nan))
    with pytest.raises(mf.DataError, match="must be numeric"):
        m.refit(rows.f)
    with pytest.raises(mf.DataError, match="one number per row"):
        m.refit(np.ones((2, 2, 2)))


def test_refit_keeps_dropped_columns_and_the_criterion():
    m = mf.lmer("y ~ x + x_copy + f + (1 | g)", frame("clinics"), REML=False)
    ours = m.refit(m.simulate(seed=1))
    assert ours.dropped_columns == m.dropped_columns == ("x_copy",)
    assert not ours.reml


def test_refit_needs_rows():
    cp = mf.crossproducts("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy"))
    with pytest.raises(mf.DataError, match="refit needs the rows"):
        mf.fit(cp).refit(np.zeros(180))


# -- update ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "made"),
    [
        ("y ~ x + (1 | g)", ". ~ . + z", "y ~ x + (1 | g) + z"),
        ("y ~ x + (1 | g)", "~ . + x", "y ~ x + (1 | g)"),
        ("y ~ x + z + (1 | g)", "~ . - z", "y ~ x + (1 | g)"),
        ("y ~ x + (1 | g)", "w ~ .", "w ~ x + (1 | g)"),
        ("y ~ x + (1 | g)", "log(.) ~ .", "log(y) ~ x + (1 | g)"),
        ("y ~ x + (1 + x | g)", ". ~ . - (x|g) + (1 | h)", "y ~ x + (1 | h)"),
        ("y ~ x + (1 | g)", ". ~ . - 1", "y ~ x + (1 | g) - 1"),
        ("y ~ 1 + x + (1 | g)", ". ~ . - 1", "y ~ x + (1 | g) - 1"),
        ("y ~ 0 + x + (1 | g)", ". ~ . + 1", "y ~ x + (1 | g)"),
        ("y ~ 0 + x + (1 | g)", ". ~ . + z", "y ~ 0 + x + (1 | g) + z"),
        ("y ~ x + (1 | g)", ". ~ . - x", "y ~ (1 | g)"),
        ("y ~ x + z + (1 | g)", ". ~ .:w", "y ~ (x + z):w + (1 | g)"),
        ("y ~ x*z + (1 | g)", ". ~ . - z:x", "y ~ x*z + (1 | g) - z:x"),
        ("y ~ a:b + (1 | g)", ". ~ . - b:a + offset(o)", "y ~ (1 | g) + offset(o)"),
        ("y ~ x + offset(o) + (1 | g)", ". ~ . - offset(o)", "y ~ x + (1 | g)"),
        (
            "y ~ `my.var` + I(x - 1) + (1 | g)",
            ". ~ . + .5",
            "y ~ `my.var` + I(x - 1) + (1 | g) + .5",
        ),
    ],
)
def test_dots(old, new, made):
    assert update_formula(old, new) == made


@pytest.mark.parametrize("new", [". ~ . - (x | g)", ". ~ . - offset(w)"])
def test_what_is_not_there_cannot_be_taken_away(new):
    with pytest.raises(
        mf.FormulaError, match=r"not in the formula .*random and offset terms: \(1 \| g\)"
    ):
        update_formula("y ~ x + (1 | g)", new)


def test_dots_need_sense():
    with pytest.raises(mf.FormulaError, match="ends with a sign"):
        update_formula("y ~ x + (1 | g)", ". ~ . +")
    with pytest.raises(mf.FormulaError, match="no '~'"):
        update_formula("y ~ x + (1 | g)", ". + x")


def test_update_is_the_call_with_something_changed():
    rows = frame("clinics")
    m = mf.lmer("y_w ~ x + (x | g)", rows, weights="w", REML=False)
    before = everything(m)
    for options, direct in (
        (
            {"formula": ". ~ . + f"},
            {"formula": "y_w ~ x + (x | g) + f", "weights": "w", "REML": False},
        ),
        (
            {"formula": "~ . - (x | g) + (1 | g)"},
            {"formula": "y_w ~ x + (1 | g)", "weights": "w", "REML": False},
        ),
        ({"REML": True}, {"formula": "y_w ~ x + (x | g)", "weights": "w"}),
        ({"weights": None}, {"formula": "y_w ~ x + (x | g)", "REML": False}),
        (
            {"data": rows[30:]},
            {"formula": "y_w ~ x + (x | g)", "weights": "w", "REML": False, "data": rows[30:]},
        ),
    ):
        ours, whole = m.update(**options), mf.lmer(**{"data": rows, **direct})
        assert ours.formula == whole.formula and ours.reml == whole.reml and ours.nobs == whole.nobs
        assert ours.criterion == whole.criterion
    unchanged(m, before)
    with pytest.raises(TypeError, match="weight"):
        m.update(weight="w")


def test_updates_follow_each_other():
    m = mf.lmer("y ~ x + (1 | g)", frame("clinics"))
    last = m.update(REML=False).update(". ~ . + f").update(". ~ . + z")
    assert last.formula == "y ~ x + (1 | g) + f + z" and not last.reml


def test_update_says_when_it_needs_rows():
    sleep = mf.load_dataset("sleepstudy")
    m = mf.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    bare = pickle.loads(pickle.dumps(m))
    assert bare.update(REML=False).criterion == m.update(REML=False).criterion
    with pytest.raises(mf.DataError, match="give data="):
        bare.update(". ~ . + I(Days**2)")
    again = bare.update(". ~ . + I(Days**2)", data=sleep)
    assert again.criterion == m.update(". ~ . + I(Days**2)").criterion
    with pytest.raises(mf.DataError, match="no call to repeat"):
        m.refit(sleep.Reaction).update(". ~ . + I(Days**2)")
    assert len(pickle.dumps(m)) < 60_000  # no rows in it


def test_library_stays():
    polars = pytest.importorskip("polars")
    m = mf.lmer("y ~ x + (1 | g)", polars.from_pandas(frame("clinics")))
    for other in (m.update(REML=False), m.refit(m.simulate(seed=1)), m.update("~ . + f")):
        assert isinstance(other.varcorr, polars.DataFrame)
    assert isinstance(m.update(data=frame("clinics")).varcorr, pd.DataFrame)
