"""Leaving out groups: against R's refits, lme4's functions, and fits of the remaining rows."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
from helpers.cases import fitted_model, frame, topic
from helpers.designs import FEW, a_design, close, every_formula, seeds
from helpers.snapshots import everything, unchanged
from hypothesis import given

import mixedfast as mf
from mixedfast.crossprod.assemble import assemble
from mixedfast.crossprod.combine import subtract
from mixedfast.inference.diagnostics import influence as room

MODELS = {
    name: found["influence"] for name, found in topic("everyday").items() if "influence" in found
}
#: R's refits are polished: their optima are as good as elsewhere. lme4's own are not.
LIKE_R, LIKE_LME4 = 1e-6, 1e-4
#: Cubes of a year leave about seven digits of what is their own.
ROUGH = 1e-6


@pytest.mark.parametrize("name", list(MODELS))
def test_r_refits(name):
    m, theirs = fitted_model(name), MODELS[name]
    before = everything(m)
    ours = m.influence(theirs["group"])
    unchanged(m, before)
    labels = [str(level) for level in ours.levels]
    order = [labels.index(level) for level in theirs["levels"]]
    assert ours.converged.all() and ours.rows.sum() == m.nobs
    beta = np.array(theirs["fixef"], dtype=float).reshape(len(order), -1)
    close(ours.params.to_numpy()[order], beta, LIKE_R)
    close(ours.dfbeta.to_numpy()[order], beta - m.params.to_numpy(), LIKE_R)
    np.testing.assert_allclose(
        ours.cooks_distance.to_numpy()[order], theirs["cooks_distance"], rtol=LIKE_R
    )
    close(ours.variances.to_numpy()[order], np.array(theirs["sdcor"], dtype=float), LIKE_R)


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS[name]["lme4"]])
def test_lme4_s_own_functions(name):
    ours, theirs = fitted_model(name).influence(MODELS[name]["group"]), MODELS[name]["lme4"]
    labels = [str(level) for level in ours.levels]
    order = [labels.index(level) for level in MODELS[name]["levels"]]
    close(ours.dfbeta.to_numpy()[order], theirs["dfbeta"], LIKE_LME4)
    close(ours.dfbetas.to_numpy()[order], theirs["dfbetas"], LIKE_LME4)
    J, p = ours.params.shape
    close(ours.cooks_distance.to_numpy()[order] * (J - p) / J, theirs["cooks_distance"], LIKE_LME4)


@every_formula
@pytest.mark.parametrize("weighted", [False, True])
@given(seed=seeds)
@FEW
def test_rows_taken_away_are_rows_never_read(formula, weighted, seed):
    design = a_design(formula, seed, weighted)
    whole = assemble(design)
    gone = np.random.default_rng(seed).random(design.n) < 0.4
    gone |= design.terms[0].codes == 0  # a level loses all its rows
    part, rest = (
        assemble(room._select_rows(design, np.flatnonzero(rows)), scaling=whole.scaling)
        for rows in (gone, ~gone)
    )
    ours = subtract(whole, part)
    assert ours.n == rest.n and ours.sum_log_weights == pytest.approx(rest.sum_log_weights)
    close(ours.xy, rest.xy)
    if weighted:
        close(ours.unweighted, rest.unweighted)
    for g, (mine, theirs) in enumerate(zip(ours.groups, rest.groups, strict=True)):
        close(mine.A, theirs.A)
        close(mine.B, theirs.B)
        if mine.name == design.terms[0].group:
            assert not mine.A[0].any() and not mine.B[0].any()
        for h in range(g + 1, len(ours.groups)):
            close(_dense(ours, g, h), _dense(rest, g, h))


def _dense(cp, g, h):
    pair = cp.pairs[g, h]
    out = np.zeros((cp.groups[g].n_levels, cp.groups[h].n_levels, *pair.data.shape[1:]))
    out[np.repeat(np.arange(len(pair.indptr) - 1), np.diff(pair.indptr)), pair.indices] = pair.data
    return out


@pytest.mark.parametrize("engine", ["block", "cholmod"])
def test_crossed_slopes_with_weights_and_missing_rows(engine):
    rows = frame("words")
    rows.loc[rows.index[::17], "x"] = np.nan
    formula = "y ~ x + cond + (x | subject) + (1 | item)"
    m = mf.lmer(formula, rows, weights="w", engine=engine)
    ours = m.influence("item")
    for i in (0, 11):
        rest = mf.lmer(
            formula, rows[rows.item.astype(str) != str(ours.levels[i])], weights="w", engine=engine
        )
        close(ours.params.iloc[i], rest.params, LIKE_R)
        assert ours.variances.sigma.iloc[i] == pytest.approx(rest.sigma, rel=LIKE_R)
        close(ours.bse[i], rest.bse, LIKE_R)
        assert ours.rows[i] == m.nobs - rest.nobs


def test_where_derivatives_are_costly(monkeypatch):
    """The same changes from the whole's Hessian as from searches of their own."""
    m = mf.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", mf.load_dataset("penicillin"))
    monkeypatch.setattr("mixedfast.engines.block._COSTLY_COLUMNS", 1)
    costly = m.update()
    assert costly._fit.system.engine.is_costly and room._neighbour(costly._fit, 24) is not None
    ours, theirs = (one.influence("plate") for one in (costly, m))
    assert ours.converged.all()
    apart = np.abs(ours.variances - theirs.variances) / np.abs(theirs.variances - theirs.whole[:3])
    assert apart.to_numpy().max() < 0.01
    close(ours.params, theirs.params, LIKE_R)


def test_other_columns_and_single_rows():
    rows = frame("hsb")
    m = mf.lmer("math ~ ses + (1 | school)", rows[:400])
    by_sex = m.influence("sex")
    assert by_sex.levels.tolist() == sorted(rows.sex[:400].unique())
    rest = mf.lmer("math ~ ses + (1 | school)", rows[:400][rows.sex[:400] != by_sex.levels[0]])
    close(by_sex.params.iloc[0], rest.params, LIKE_R)
    sleep = mf.load_dataset("sleepstudy")
    single = mf.lmer("Reaction ~ Days + (1 | Subject)", sleep).influence()
    assert len(single.levels) == 180 and (single.rows == 1).all()
    close(
        single.params.loc[7],
        mf.lmer("Reaction ~ Days + (1 | Subject)", sleep.drop(index=sleep.index[7])).params,
        LIKE_R,
    )
    with pytest.raises(mf.DataError, match="no column 'sx'"):
        m.influence("sx")
    with pytest.raises(mf.DataError, match="grouping factors are school"):
        m.refit(m._design.y).influence("sex")


def test_a_coefficient_that_one_group_carries():
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(12), 8)
    f = np.where((g == 3) & (np.arange(96) % 2 == 0), "b", "a")
    y = rng.normal(size=96) + rng.normal(size=12)[g]
    ours = mf.lmer("y ~ f + (1 | g)", {"y": y, "f": f, "g": g}).influence("g")
    assert np.isnan(ours.params.loc[3, "f[T.b]"]) and np.isfinite(ours.params.loc[3, "Intercept"])
    assert ours.params.drop(index=3).notna().all(axis=None)
    assert np.isnan(ours.cooks_distance[3])


def test_interrupted(monkeypatch, capsys):
    m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    before = everything(m)

    @contextmanager
    def impatient(total, label, show):
        left = iter(range(3))

        def advance(count):
            if next(left, None) is None:
                raise KeyboardInterrupt

        yield advance

    monkeypatch.setattr(room, "bar", impatient)
    ours = m.influence("Subject")
    assert "the 4 levels finished so far are kept" in capsys.readouterr().err
    unchanged(m, before)
    monkeypatch.undo()
    whole = m.influence("Subject")
    np.testing.assert_array_equal(ours.params, whole.params[:4])
    np.testing.assert_array_equal(ours.to_frame(), whole.to_frame()[:4])


def test_shown_and_in_the_callers_library():
    polars = pytest.importorskip("polars")
    m = mf.lmer(
        "Reaction ~ Days + (Days | Subject)", polars.from_pandas(mf.load_dataset("sleepstudy"))
    )
    ours = m.influence("Subject", progress=False)
    assert ours.to_frame().columns[:4] == ["Subject", "rows", "cooks_distance", "converged"]
    assert "18 levels of Subject" in repr(ours) and "337" in repr(ours)


def test_nearly_dependent_columns():
    """A raw cubic of the year is the cubic of the centred year, however its columns look."""
    rng = np.random.default_rng(8)
    year, g = 1900.0 + rng.integers(0, 120, 400), np.arange(400) % 25
    c = (year - 1960.0) / 40.0
    table = {
        "year": year,
        "c": c,
        "g": g,
        "y": c - c**3 + rng.normal(size=25)[g] + rng.normal(size=400),
    }
    raw, centred = (
        mf.lmer(f"y ~ {x} + I({x}**2) + I({x}**3) + (1 | g)", table) for x in ("year", "c")
    )
    assert not raw.dropped_columns and raw._fit.cp.mix is not None and centred._fit.cp.mix is None
    close(raw.fitted, centred.fitted, ROUGH)
    close(raw.hatvalues(), centred.hatvalues(), ROUGH)
    new = {"year": [1922.0, 2030.0], "c": [-0.95, 1.75], "g": [3, 4]}
    close(raw.predict(new, se=True), centred.predict(new, se=True), ROUGH)
    y = centred.simulate(seed=1)
    assert raw.refit(y).criterion - centred.refit(y).criterion == pytest.approx(
        raw.criterion - centred.criterion, abs=1e-6
    )
    close(raw.refit(y).fitted, centred.refit(y).fitted, ROUGH)
    ours, theirs = raw.influence("g"), centred.influence("g")
    close(ours.variances, theirs.variances, ROUGH)
    close(
        ours.cooks_distance, theirs.cooks_distance, 100 * ROUGH
    )  # its changes of coefficients are in the user's columns
