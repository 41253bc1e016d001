"""Variances that no response identifies, compared with dense matrices on random designs."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from helpers.cases import golden_names, shared_model
from hypothesis import given
from hypothesis import strategies as st

import mixedfast as mf
from mixedfast.design.columns import matrix
from mixedfast.errors import ConvergenceWarning, NotIdentifiedError

pytestmark = pytest.mark.filterwarnings("ignore::mixedfast.errors.MixedFastWarning")


def ponds(seed=3):
    r = np.random.default_rng(seed)
    data = pd.DataFrame([(p, k) for p in range(3) for k in range(12)], columns=["pond", "k"])
    data["fert"] = data.pond.map({0: "none", 1: "N", 2: "NP"})
    data["x"] = r.normal(size=len(data))
    data["y"] = r.normal(size=3)[data.pond] * 1.5 + data.x + r.normal(size=len(data))
    return data


def trials(seed=11):
    r = np.random.default_rng(seed)
    data = pd.DataFrame(
        [(i, c) for i in range(40) for c in "AB" for _ in range(5)], columns=["id", "cond"]
    )
    b = r.multivariate_normal([0, 0], [[6400, 1920], [1920, 6400]], 40)
    data["rt"] = 600.0 + b[data.id, (data.cond == "B").astype(int)] + r.normal(size=400) * 80
    return data


def test_one_group_per_treatment():
    data = ponds()
    with pytest.warns(ConvergenceWarning, match="the variance of Intercept between levels of pond"):
        m = mf.lmer("y ~ fert + x + (1 | pond)", data)
    assert not m.converged and not m.convergence().converged
    assert not m.glance().converged[0]
    assert len(m.optimization["not_identified"]) == 1
    assert "Not identified: the variance of Intercept" in str(m.summary())
    assert "Not identified: the variance of Intercept" in str(m.convergence())
    arbitrary = ["Intercept", "fert[T.NP]", "fert[T.none]"]
    for ddf in ("satterthwaite", "residual", "asymptotic"):
        table = m.coef_table(ddf=ddf)
        assert table.loc[arbitrary].drop(columns="estimate").isna().all(axis=None)
        tests = m.anova(ddf=ddf)
        assert np.isnan(tests.p_value["fert"]) and tests.p_value["x"] < 1e-3
    assert m.bse[arbitrary].isna().all() and m.varcorr_se().variance_se.isna().tolist()[0]
    assert m.emmeans("fert").pairs().p_value.isna().all()
    assert m.vcov().loc[arbitrary, arbitrary].isna().all(axis=None)
    assert m.vcov().x["x"] == pytest.approx(m.bse["x"] ** 2)
    assert np.isnan(m.contrast({"fert[T.NP]": 1.0}).p_value).all()
    # within ponds the slope is that of the regression with a dummy per pond
    exact = mf.lm("y ~ fert + x", data).coef_table()
    found = m.coef_table()
    for column in ("estimate", "std_error", "df", "p_value"):
        assert found[column]["x"] == pytest.approx(exact[column]["x"], rel=1e-6)


def test_the_flag_is_in_saved_files(tmp_path):
    m = mf.lmer("y ~ fert + (1 | pond)", ponds())
    m.save(tmp_path / "m.mf")
    again = mf.load(tmp_path / "m.mf")
    assert again.not_identified == m.not_identified and not again.converged


def test_subsets_are_flagged():
    data = pd.concat([ponds(1).assign(site="a"), ponds(2).assign(site="b", fert="none")])
    table = mf.lmer_by("y ~ fert + x + (1 | pond)", data, by="site").to_frame()
    assert not table.converged[0] and np.isnan(table["se_fert[T.NP]"][0])
    one = mf.lmer("y ~ fert + x + (1 | pond)", ponds(1))
    assert table.se_x[0] == pytest.approx(one.bse["x"])


def test_ml_uses_the_differences_that_reml_leaves_out():
    m = mf.lmer("y ~ fert + (1 | pond)", ponds(), REML=False)
    assert m.not_identified == () and m.is_singular


def test_an_intercept_beside_the_dummies_of_a_factor():
    m = mf.lmer("rt ~ 0 + cond + (1 | id) + (0 + cond | id)", trials())
    (told,) = m.not_identified
    assert "(Intercept | id)" in told and "(cond[A] + cond[B] | id" in told
    assert not m.converged
    # V itself is identified, and with it all tests of the fixed effects
    simpler = mf.lmer("rt ~ 0 + cond + (0 + cond | id)", trials())
    assert simpler.converged and simpler.not_identified == ()
    assert m.bse.tolist() == pytest.approx(simpler.bse.tolist(), rel=1e-4)
    assert m.varcorr_se().variance_se.notna().tolist() == [False, False, False, False, True]


@pytest.mark.parametrize(
    "random",
    ["(cond | id)", "(1 | id) + (0 + cond || id)", "(1 | id) + (1 | id:cond)"],
)
def test_neighbours_that_are_identified(random):
    assert mf.lmer(f"rt ~ cond + {random}", trials()).not_identified == ()


def test_terms_are_named_in_the_columns_of_the_data():
    """A column far from zero is shifted in the sums, and the direction then moves more elements."""
    data = ponds().assign(g=lambda d: d.index % 9, x=lambda d: d.x + 1000.0)
    (told,) = mf.lmer("y ~ x + (x | g) + (0 + x | g)", data).not_identified
    assert told.startswith("the variances of (x | g) and (x | g.1) cannot be separated")


@pytest.mark.parametrize("name", golden_names())
def test_no_alarm_on_models_with_golden_values(name):
    assert shared_model(name).not_identified == ()


FIXED = ["1", "0 + a", "a", "a * x", "x", "z", "C(g)", "C(g) + C(h)", "a + x + z"]
RANDOM = {
    "(1 | g)": [("g", ["one"], True)],
    "(x | g)": [("g", ["one", "x"], True)],
    "(x || g)": [("g", ["one"], False), ("g", ["x"], False)],
    "(z | g)": [("g", ["one", "z"], True)],
    "(1 | g) + (0 + a | g)": [("g", ["one"], True), ("g", ["a0", "a1"], True)],
    "(1 | g) + (0 + a || g)": [("g", ["one"], True), ("g", ["a0", "a1"], False)],
    "(1 | g) + (1 | h)": [("g", ["one"], True), ("h", ["one"], True)],
    "(x | g) + (1 | h)": [("g", ["one", "x"], True), ("h", ["one"], True)],
    "(1 | g) + (1 | twin)": [("g", ["one"], True), ("twin", ["one"], True)],
}


@given(
    st.integers(0, 2**16),
    st.sampled_from(FIXED),
    st.sampled_from(sorted(RANDOM)),
    st.booleans(),
    st.sampled_from([1e-6, 1.0, 1e6]),
    st.booleans(),
)
def test_number_of_flat_directions_is_that_of_dense_matrices(
    seed, fixed, random, reml, unit, between
):
    r = np.random.default_rng(seed)
    n = 60
    data = pd.DataFrame({"g": r.integers(0, 4, n), "h": r.integers(0, 3, n)})
    data["a"] = np.where((data.g % 2 if between else r.integers(0, 2, n)) == 0, "a0", "a1")
    data["x"] = r.normal(size=n) * unit
    data["z"] = (data.g % 3).astype(float)
    data["twin"] = data.g.map({0: "q", 1: "p", 2: "s", 3: "r"})
    data["y"] = r.normal(size=4)[data.g] + r.normal(size=n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            m = mf.lmer(f"y ~ {fixed} + {random}", data, REML=reml)
        except NotIdentifiedError:
            return  # before the fit, with the name of a column
    assert len(m.not_identified) == _dense_nullity(m, data, RANDOM[random], reml)


def _dense_nullity(m, data, terms, reml):
    """Count the null directions of the matrices M G M from n x n matrices."""
    columns = {"one": np.ones(len(data)), "x": data.x / np.abs(data.x).max(), "z": data.z}
    columns |= {level: (data.a == level).astype(float) for level in ("a0", "a1")}
    X = matrix(m._design.x, len(data))
    Q, R = np.linalg.qr(X / np.linalg.norm(X, axis=0))
    U, s, _ = np.linalg.svd(R)
    basis = Q @ U[:, s > 1e-9]
    M = np.eye(len(data)) - basis @ basis.T if reml else np.eye(len(data))
    rows = []
    for group, names, correlated in terms:
        same = np.equal.outer(data[group].to_numpy(), data[group].to_numpy())
        for i, one in enumerate(names):
            for j, two in enumerate(names[: i + 1]):
                if i == j or correlated:
                    G = np.outer(columns[one], columns[two]) * same
                    G = G + G.T
                    rows.append((M @ G @ M).ravel() / (np.linalg.norm(G) or 1.0))
    return int((np.linalg.svd(np.array(rows), compute_uv=False) <= 1e-9).sum())
