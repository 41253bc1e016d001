"""Traces behind Satterthwaite's and Kenward and Roger's methods.

Exact ones, random ones, and what does not fit.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from helpers.cases import fitted_model

import mixedfast as mf
from mixedfast.engines.choose import choose
from mixedfast.engines.pair_traces import shared_columns
from mixedfast.engines.stochastic_traces import batch_means, from_probes
from mixedfast.estimation.pls import PLSSystem
from mixedfast.inference.ddf import trace_methods as room
from mixedfast.inference.ddf.trace_methods import pair_traces

METHODS = (mf.Satterthwaite, mf.KenwardRoger)
NAMES = {mf.Satterthwaite: "satterthwaite", mf.KenwardRoger: "kenward-roger"}


@pytest.fixture(scope="module")
def words() -> mf.LMMResult:
    return fitted_model("words_slopes")


@pytest.fixture(scope="module")
def evaluations() -> mf.LMMResult:
    return mf.lmer("y ~ service + (1 | s) + (1 | d) + (1 | dept)", mf.load_dataset("insteval"))


@pytest.mark.parametrize("kind", ["block", "cholmod"])
@pytest.mark.parametrize("name", ["penicillin", "words_slopes", "classes_slope", "clinics_slope"])
def test_as_many_probes_as_levels_are_exact(name, kind):
    f = fitted_model(name)._fit
    system = PLSSystem(f.cp, choose(f.cp, kind), f.reml)
    system.solve(f.theta_internal)
    probed = pair_traces(system, mf.KenwardRoger("stochastic", probes=500))
    for key, exact in pair_traces(system, mf.KenwardRoger()).mean.items():
        assert probed.mean[key] == pytest.approx(exact, rel=1e-9, abs=1e-9 * np.abs(exact).max())
        assert all(np.array_equal(part[key], probed.mean[key]) for part in probed.without)


def test_probes_have_the_exact_traces_for_their_mean(words):
    """With many probes the mean is within four standard errors, which agree with the spread."""
    f = words._fit
    engine, K = f.system.engine, f.system.K
    exact = pair_traces(f.system, mf.KenwardRoger()).mean[0, 0]
    signs = np.random.default_rng(3).integers(0, 2, (f.cp.groups[0].n_levels, 4000)) * 2.0 - 1.0
    none = [np.empty((group.n_levels, 0)) for group in engine.cp.groups[1:]]
    own, found = from_probes(engine.times_k, engine.cp.groups, [signs, *none])[0]
    each = found[0]
    error = own.std(axis=0) / np.sqrt(len(own))
    assert (np.abs(own.mean(axis=0) - K[0].sum(axis=0)) <= 4.0 * error).all()
    error = each.std(axis=0) / np.sqrt(len(each))
    assert (np.abs(each.mean(axis=0) - exact) <= 4.0 * error + 1e-12 * np.abs(exact).max()).all()
    assert batch_means(each, 20).mean(axis=0) == pytest.approx(each.mean(axis=0), rel=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_df_from_probes_are_near_the_exact_ones(evaluations, method):
    exact = evaluations.coef_table(ddf=NAMES[method])
    found = evaluations.coef_table(ddf=method(traces="stochastic", probes=40, seed=5))
    assert found.columns.tolist() == [*exact.columns, "df_std_error"]
    error = found["df_std_error"].to_numpy()
    assert (error > 0).all()
    assert (error < 2e-3 * exact["df"]).all()
    # fixed seed: five standard errors, of which a jackknife over 20 batches knows the size to about
    # a sixth
    assert (np.abs(found["df"] - exact["df"]) < 5.0 * error).all()
    assert found["std_error"].tolist() == pytest.approx(exact["std_error"].tolist(), rel=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_the_seed_decides(words, method):
    options = {"traces": "stochastic", "probes": 20}
    first, again, other = (words.coef_table(ddf=method(seed=seed, **options)) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not np.array_equal(first["df"], other["df"])


def test_every_door_takes_them(words):
    how = mf.KenwardRoger(traces="stochastic", probes=500)  # exact, for all have fewer levels
    for table, exact in (
        (words.anova(ddf=how), words.anova(ddf="kenward-roger")),
        (
            words.contrast("x = 0", ddf=how).drop(columns="df_std_error"),
            words.contrast("x = 0", ddf="kenward-roger"),
        ),
        (
            words.contrast("x = 0, age[T.child] = 0", ddf=how, joint=True),
            words.contrast("x = 0, age[T.child] = 0", ddf="kenward-roger", joint=True),
        ),
        (words.confint(ddf=how), words.confint(ddf="kenward-roger")),
        (
            words.emmeans("cond", ddf=how).to_frame().drop(columns="cond"),
            words.emmeans("cond", ddf="kenward-roger").to_frame().drop(columns="cond"),
        ),
        (words.vcov(how), words.vcov("kenward-roger")),
    ):
        assert table.to_numpy(dtype=float) == pytest.approx(exact.to_numpy(dtype=float), rel=1e-7)
    assert "Kenward and Roger's degrees of freedom (traces from 500 probes" in " ".join(
        str(words.summary(ddf=how)).split()
    )


@pytest.mark.parametrize("method", METHODS)
def test_what_does_not_fit_is_refused_with_its_size(method, monkeypatch):
    m = fitted_model("words_slopes")  # a fresh fit: ingredients are kept once made
    monkeypatch.setattr(room, "memory", lambda: 2.0**15)
    name = NAMES[method]
    said = rf"{name}: .*subject, item \(128 random effects\) need .* GiB.*{method.__name__}"
    with pytest.raises(mf.NotDefinedError, match=said):
        m.coef_table(ddf=name)
    assert np.isfinite(m.coef_table(ddf=method(traces="stochastic"))["df"]).all()
    table = m.ddf_table().reset_index("term")
    assert table.loc[name, "df"].isna().all()
    assert "GiB" in table.loc[name, "note"].iloc[0]


def test_one_grouping_factor_always_fits(monkeypatch):
    monkeypatch.setattr(room, "memory", lambda: 0.0)
    m = fitted_model("sleepstudy")
    assert m.coef_table(ddf="kenward-roger")["df"].tolist() == pytest.approx([17.0, 17.0])


@pytest.mark.parametrize("probes", [20, 200])
def test_probes_are_counted_by_a_progress_bar(monkeypatch, probes):
    """The bar ends at its total: 24 plates and 6 samples with a unit vector per level, or probes."""
    announced, done = [], []

    @contextmanager
    def bar(total, label, unit):
        announced.append((total, label, unit))
        yield done.append

    monkeypatch.setattr(room, "bar", bar)
    ddf = mf.KenwardRoger(traces="stochastic", probes=probes, seed=17)
    m = mf.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", mf.load_dataset("penicillin"))
    m.coef_table(ddf=ddf)
    assert announced == [(min(probes, 24) + 6, "kenward-roger: probes", " solves")]
    assert sum(done) == announced[0][0]


def test_settings_that_make_no_sense():
    with pytest.raises(mf.ArgumentError, match='"exact" or "stochastic"'):
        mf.KenwardRoger(traces="random")
    with pytest.raises(mf.ArgumentError, match="at least 20"):
        mf.Satterthwaite(traces="stochastic", probes=5)
    m = fitted_model("sleepstudy")
    with pytest.raises(mf.NotDefinedError, match="choose from satterthwaite"):
        m.coef_table(ddf=3)


@pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")
@pytest.mark.parametrize(
    ("ddf", "word"), [("satterthwaite", "known"), ("kenward-roger", "estimated")]
)
def test_the_rule_at_a_singular_fit_is_said(ddf, word):
    m = fitted_model("edge_flat_slope")
    assert m.is_singular
    assert f"treat a variance estimated as zero as {word}," in " ".join(
        str(m.summary(ddf=ddf)).split()
    )
    assert (
        m.ddf_table()
        .loc[("x", ddf), "note"]
        .startswith(f"singular fit: a variance estimated as zero is treated as {word},")
    )
    assert fitted_model("sleepstudy").ddf_table().loc[("Days", ddf), "note"] == ""


def test_nested_factors_share_columns():
    """No more columns than the largest school has classes; a crossed factor keeps one a level."""
    cp = fitted_model("classes_nested")._fit.cp
    classes, schools = shared_columns(cp)
    inside = cp.pairs[0, 1].indices
    assert schools.tolist() == [0] * cp.groups[1].n_levels
    assert classes.max() + 1 == np.bincount(inside).max()
    for school in range(cp.groups[1].n_levels):
        assert sorted(classes[inside == school]) == list(range((inside == school).sum()))
    assert [place.tolist() for place in shared_columns(fitted_model("penicillin")._fit.cp)] == [
        list(range(24)),
        list(range(6)),
    ]
    assert shared_columns(fitted_model("sleepstudy")._fit.cp)[0].max() == 0


@pytest.mark.parametrize(
    "name", ["classes_both_slopes", "growth_curves", "sleepstudy", "words_slopes"]
)
def test_the_sparse_engine_s_traces_are_the_block_engine_s(name):
    f = fitted_model(name)._fit
    found = []
    for kind in ("block", "cholmod"):
        system = PLSSystem(f.cp, choose(f.cp, kind), f.reml)
        system.solve(f.theta_internal)
        found.append(pair_traces(system, mf.KenwardRoger()).mean)
    for key, block in found[0].items():
        assert found[1][key] == pytest.approx(block, rel=1e-8, abs=1e-9 * np.abs(block).max())


@pytest.mark.parametrize("method", METHODS)
def test_long_work_is_told_before_it_begins(monkeypatch, method):
    monkeypatch.setattr(room, "_LONG_OPERATIONS", 1.0)
    m = fitted_model("penicillin")
    with pytest.warns(
        UserWarning,
        match=rf"operations, .* minutes or more.*{method.__name__}\(traces=\"stochastic\"\)",
    ):
        m.coef_table(ddf=NAMES[method])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        m.coef_table(ddf=method(traces="stochastic"))
