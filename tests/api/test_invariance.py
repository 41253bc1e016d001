"""The answer does not depend on how the data are written down.

Units, origin, order, names, container, threads.
"""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import mixedfast as mf
from mixedfast.inference.ddf.methods import t_test

#: The promise: other units, the same inference to six digits.
INFERENCE = 1e-6
#: Only sums in another order: the search starts from the same place and takes the same steps.
REORDERED = 1e-7
#: Another start, other steps: a search that ends with 1e-11 of a deviance unit left is 4.5e-6
#: standard errors of theta from the optimum.
OTHER_STEPS = 5e-6
MODELS = {
    "intercept": "y ~ x + f + (1 | a)",
    "slope": "y ~ x + f + (x | a)",
    "crossed": "y ~ x + f + (x | a) + (1 | b)",
    "uncorrelated": "y ~ x + f + (x || a)",
}
every_model = pytest.mark.parametrize("formula", MODELS.values(), ids=list(MODELS))


def a_table(n=240):
    rng = np.random.default_rng(20)
    a, b, x = np.arange(n) % 12, rng.integers(0, 8, n), rng.normal(size=n)
    slopes, intercepts = rng.normal(size=12), 2.0 * rng.normal(size=12)
    f = np.array(["low", "mid", "top"])[rng.permutation(np.arange(n) % 3)]
    y = (
        1.0
        + 0.3 * x
        + 0.4 * (f == "top")
        + intercepts[a]
        + slopes[a] * x
        + rng.normal(size=8)[b]
        + rng.normal(size=n)
    )
    return {"y": y, "x": x, "f": f, "a": a, "b": b, "w": rng.uniform(0.5, 2.0, n)}


def inference(m):
    """Return what does not change with the units: t statistics and df of both methods."""
    L = np.eye(len(m.params))
    tables = [t_test(m._fit, L, ddf=ddf) for ddf in ("satterthwaite", "kenward-roger")]
    return np.array([part for table in tables for part in (table["statistic"], table["df"])])


def same_inference(m, expected, tolerance=INFERENCE, columns=slice(None)):
    assert m.converged
    np.testing.assert_allclose(
        inference(m)[:, columns], inference(expected)[:, columns], rtol=tolerance, atol=tolerance
    )


def same_fit(m, expected, tolerance=REORDERED):
    assert m.criterion == pytest.approx(expected.criterion, rel=1e-12)
    for ours, theirs in ((m.params, expected.params), (m.bse, expected.bse)):
        np.testing.assert_allclose(ours[theirs.index], theirs, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(m.sigma, expected.sigma, rtol=tolerance)
    assert m.converged


# -- units and origin ------------------------------------------------------------------------------


@every_model
@pytest.mark.parametrize(
    ("factor", "shift"), [(1.0, 1e7), (1e-6, 0.0), (1e6, 0.0), (-3.0, 2.0), (1e-6, 10.0)]
)
def test_units_and_origin_of_the_response(formula, factor, shift):
    table = a_table()
    m, expected = (
        mf.lmer(formula, table | {"y": factor * table["y"] + shift}),
        mf.lmer(formula, table),
    )
    slopes = slice(1, None)  # the intercept's own t statistic does move with the origin
    assert m.sigma == pytest.approx(abs(factor) * expected.sigma, rel=INFERENCE)
    np.testing.assert_allclose(m.theta, expected.theta, rtol=INFERENCE, atol=INFERENCE)
    np.testing.assert_allclose(
        m.params[slopes] / factor, expected.params[slopes], rtol=INFERENCE, atol=INFERENCE
    )
    np.testing.assert_allclose(m.bse / abs(factor), expected.bse, rtol=INFERENCE)
    np.testing.assert_allclose(inference(m)[1::2], inference(expected)[1::2], rtol=INFERENCE)
    np.testing.assert_allclose(
        np.sign(factor) * inference(m)[::2, 1:],
        inference(expected)[::2, 1:],
        rtol=INFERENCE,
        atol=INFERENCE,
    )


@every_model
def test_a_fixed_part_added_to_the_response_adds_to_the_coefficients(formula):
    table = a_table()
    gamma = np.array([5.0, -2.0, 0.0, 7.0])  # intercept, x, mid, top: in the order of formulaic
    expected = mf.lmer(formula, table)
    names = list(expected.params.index)
    added = dict(zip(["Intercept", "x", "f[T.mid]", "f[T.top]"], gamma, strict=True))
    y = table["y"] + gamma[0] + gamma[1] * table["x"] + gamma[3] * (table["f"] == "top")
    m = mf.lmer(formula, table | {"y": y})
    assert m.criterion == pytest.approx(expected.criterion, rel=1e-11)
    np.testing.assert_allclose(
        m.params, expected.params + [added[name] for name in names], rtol=INFERENCE, atol=INFERENCE
    )
    np.testing.assert_allclose(m.bse, expected.bse, rtol=INFERENCE)


@every_model
@pytest.mark.parametrize("factor", [1e6, 1e-6, -1.0])
def test_units_of_a_covariate(formula, factor):
    table = a_table()
    m, expected = mf.lmer(formula, table | {"x": factor * table["x"]}), mf.lmer(formula, table)
    turned = np.where(expected.params.index == "x", np.sign(factor), 1.0)
    moved = inference(m)
    moved[::2] *= turned
    np.testing.assert_allclose(moved, inference(expected), rtol=INFERENCE, atol=INFERENCE)
    assert m.params["x"] * factor == pytest.approx(expected.params["x"], rel=INFERENCE)
    assert m.sigma == pytest.approx(expected.sigma, rel=INFERENCE)


@pytest.mark.parametrize(
    "name", ["intercept", "slope", "crossed"]
)  # `||` means another model when x moves
@pytest.mark.parametrize("shift", [1e5, -2000.0])
def test_origin_of_a_covariate(name, shift):
    table = a_table()
    m, expected = (
        mf.lmer(MODELS[name], table | {"x": table["x"] + shift}),
        mf.lmer(MODELS[name], table),
    )
    same_inference(
        m, expected, columns=[i for i, term in enumerate(m.params.index) if term != "Intercept"]
    )
    assert m.criterion == pytest.approx(expected.criterion, rel=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_the_optimum_is_as_sharp_in_every_unit(seed):
    """The deviance is larger by thousands where the unit is small.

    A search that stopped by its rounding would be 1e-7 off.
    """
    rng = np.random.default_rng(seed)
    g = rng.integers(0, 25, 420)
    x, w = rng.normal(3, 1, 420), rng.exponential(size=420) + 0.2
    y = 2 + 0.3 * x + rng.normal(0, 1.2, 25)[g] + rng.normal(size=420) / np.sqrt(w)
    fits = [
        mf.lmer("y ~ x + (1 | g)", {"y": y * unit, "x": x, "g": g}, weights=w)
        for unit in (1.0, 1e-9, 1e9)
    ]
    for other in fits[1:]:
        np.testing.assert_allclose(other.theta, fits[0].theta, rtol=1e-10)


@pytest.mark.parametrize("formula", ["y ~ 0 + f + (1 | a)", "y ~ 0 + f + x + (x | a)"])
def test_cell_means_of_a_response_far_from_zero(formula):
    """No column is called intercept, but the cells add up to one, and the digits are kept."""
    table = a_table()
    m, expected = mf.lmer(formula, table | {"y": table["y"] + 1e7}), mf.lmer(formula, table)
    assert m.sigma == pytest.approx(expected.sigma, rel=INFERENCE)
    np.testing.assert_allclose(m.bse, expected.bse, rtol=INFERENCE)


@pytest.mark.parametrize("factor", [1e-4, 1e4, 1e8, 1e-12])
def test_weights_times_a_constant(factor):
    """Inverse variances have the units of y, so weights may have any size."""
    table = a_table()
    m = mf.lmer(MODELS["slope"], table, weights=factor * table["w"])
    expected = mf.lmer(MODELS["slope"], table, weights="w")
    same_inference(m, expected, OTHER_STEPS)
    assert m.is_singular == expected.is_singular
    assert m.sigma == pytest.approx(np.sqrt(factor) * expected.sigma, rel=INFERENCE)
    assert m.criterion == pytest.approx(expected.criterion, rel=1e-11)


# -- order and names -------------------------------------------------------------------------------


@every_model
def test_order_of_rows(formula):
    table = a_table()
    order = np.random.default_rng(21).permutation(len(table["y"]))
    expected = mf.lmer(formula, table)
    m = mf.lmer(formula, {name: values[order] for name, values in table.items()})
    same_fit(m, expected)
    same_inference(m, expected, REORDERED * 10)
    np.testing.assert_allclose(m.fitted, expected.fitted[order], rtol=REORDERED, atol=REORDERED)
    for name, modes in expected.ranef().items():
        np.testing.assert_allclose(
            m.ranef()[name].loc[modes.index], modes, rtol=REORDERED, atol=REORDERED
        )


@every_model
def test_names_of_levels(formula):
    table = a_table()
    names = np.random.default_rng(22).permutation([f"school {i}" for i in range(12)])
    m, expected = mf.lmer(formula, table | {"a": names[table["a"]]}), mf.lmer(formula, table)
    same_fit(m, expected)
    modes, moved = expected.ranef()["a"], m.ranef()["a"]
    np.testing.assert_allclose(moved.loc[names[modes.index]], modes, rtol=REORDERED, atol=REORDERED)


@pytest.mark.parametrize("type_", [np.int8, np.int64, np.float64, str, object, bool])
def test_type_of_a_group(type_):
    table = a_table()
    codes = table["a"] % 2 if type_ is bool else table["a"]
    same_fit(
        mf.lmer("y ~ x + f + (1 | a)", table | {"a": codes.astype(type_)}),
        mf.lmer("y ~ x + f + (1 | a)", table | {"a": codes}),
    )


def test_unused_levels_change_nothing():
    table = pd.DataFrame(a_table())
    wide = table.assign(a=pd.Categorical(table["a"], categories=range(-5, 40)))
    m, expected = mf.lmer(MODELS["slope"], wide), mf.lmer(MODELS["slope"], table)
    same_fit(m, expected)
    assert m.n_groups == expected.n_groups


@pytest.mark.parametrize(
    ("formula", "other"),
    [
        ("y ~ x + f + (x | a) + (1 | b)", "y ~ f + x + (1 | b) + (1 + x | a)"),
        ("y ~ x + f + (1 | a) + (1 | f:b)", "y ~ (1 | b:f) + x + (1 | a) + f"),
        ("y ~ x * f + (x | a)", "y ~ x + f + x:f + (x | a)"),
        ("y ~ x + f + (x || a)", "y ~ x + f + (0 + x | a) + (1 | a)"),
        ("y ~ x + f + (1 | a / b)", "y ~ x + f + (1 | a:b) + (1 | a)"),
    ],
)
def test_order_of_terms(formula, other):
    table = a_table()
    same_fit(mf.lmer(other, table), mf.lmer(formula, table))


def test_engines_agree():
    table = a_table()
    block, sparse = (
        mf.lmer(MODELS["crossed"], table, engine=engine) for engine in ("block", "cholmod")
    )
    same_fit(sparse, block)
    same_inference(sparse, block)


# -- containers and threads ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [pd.DataFrame, pl.DataFrame, pa.table], ids=["pandas", "polars", "pyarrow"]
)
def test_the_container_changes_nothing(make):
    table = a_table()
    m, expected = (
        mf.lmer(MODELS["crossed"], make(table), weights="w"),
        mf.lmer(MODELS["crossed"], table, weights="w"),
    )
    assert m.criterion == expected.criterion
    np.testing.assert_array_equal(m.theta, expected.theta)
    pd.testing.assert_series_equal(m.params, expected.params)
    np.testing.assert_array_equal(m.fitted, expected.fitted)
    for name, modes in expected.ranef().items():
        for column in modes:
            np.testing.assert_array_equal(m.ranef()[name][column], modes[column])


def test_threads():
    n = 120_000
    rng = np.random.default_rng(23)
    a, x = rng.integers(0, 200, n), rng.normal(size=n)
    table = {
        "y": rng.normal(size=200)[a] * (1.0 + x) + rng.normal(size=200)[a] * x + rng.normal(size=n),
        "x": x,
        "a": a,
    }
    one, two, again = (mf.lmer("y ~ x + (x | a)", table, threads=threads) for threads in (1, 2, 2))
    assert two.criterion == pytest.approx(one.criterion, rel=1e-10)
    np.testing.assert_allclose(two.params, one.params, rtol=1e-10)
    np.testing.assert_allclose(two.theta, one.theta, rtol=REORDERED)
    assert two.criterion == again.criterion
    np.testing.assert_array_equal(two.theta, again.theta)
    np.testing.assert_array_equal(two.params, again.params)


# -- pickles ---------------------------------------------------------------------------------------


@every_model
def test_a_pickle_gives_the_same_results(formula):
    m = mf.lmer(formula, a_table())
    back = pickle.loads(pickle.dumps(m))
    assert (back.criterion, back.sigma, back.formula) == (m.criterion, m.sigma, m.formula)
    np.testing.assert_array_equal(inference(back), inference(m))
    for name, modes in m.ranef().items():
        pd.testing.assert_frame_equal(back.ranef()[name], modes)


def test_a_pickle_carries_no_rows_unless_told_to():
    few, many = (mf.lmer("y ~ x + (x | a)", a_table(n)) for n in (240, 24_000))
    assert few.fitted.shape == (240,)
    assert many.fitted.shape == (24_000,)
    small, large = pickle.dumps(few), pickle.dumps(many)
    assert len(large) < len(small) + 1000
    with pytest.raises(mf.DataError, match="fitted needs the rows"):
        _ = pickle.loads(large).fitted
    assert pickle.loads(large).criterion == many.criterion
    many.keep_rows = True
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(many)).fitted, many.fitted)


def test_a_fit_does_not_write_to_the_user_s_data():
    table = a_table()
    before = {name: values.copy() for name, values in table.items()}
    for values in table.values():
        values.flags.writeable = False
    mf.lmer(MODELS["crossed"], table, weights="w").summary()
    for name, values in table.items():
        np.testing.assert_array_equal(values, before[name])
