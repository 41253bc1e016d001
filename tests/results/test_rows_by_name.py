"""Rows keep the names they have in the data, and a table is checked against the rows of the fit."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest

import mixedfast as mf


@pytest.fixture
def data() -> pd.DataFrame:
    """120 rows of 20 groups with an index that is not their place, and two missing values."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"g": np.repeat(np.arange(20), 6), "x": np.tile(np.arange(6.0), 20)})
    frame["y"] = 10 + 0.7 * frame.x + rng.normal(size=20)[frame.g] + rng.normal(size=120)
    frame["o"], frame["w"] = rng.normal(size=120), rng.uniform(0.5, 2, 120)
    frame.loc[[4, 17], "x"] = np.nan
    return frame.set_index(np.arange(120) * 3 + 7)


FITS = {
    "lmer": lambda data, **given: mf.lmer("y ~ x + (1 | g)", data, **given),
    "lm": lambda data, **given: mf.lm("y ~ x", data, **given),
}


@pytest.fixture(params=FITS)
def fit(request):
    """One of the two functions that fit rows."""
    return FITS[request.param]


def test_tables_of_rows_have_the_index_of_the_data(fit, data):
    m = fit(data)
    used = data.index[data.x.notna()]
    assert m.augment().index.equals(used)
    assert m.augment(data).index.equals(used)
    assert m.predict(interval="confidence").index.equals(used)
    joined = data.join(m.augment()[[".fitted"]])
    np.testing.assert_array_equal(joined[".fitted"].dropna(), m.fitted)
    assert m.refit(data.y).augment().index.equals(used)


def test_an_index_of_several_levels_is_kept(data):
    named = data.set_index(["g", "x"], drop=False)
    assert mf.lmer("y ~ 1 + (1 | o)", named.assign(o=data.g.values)).augment().index.names == [
        "g",
        "x",
    ]


def test_other_libraries_get_the_place_of_each_row(data):
    m = mf.lmer("y ~ x + (1 | g)", pl.from_pandas(data.reset_index(drop=True)))
    table = m.augment()
    places = np.flatnonzero(data.x.notna())
    assert table.columns[0] == ".row"
    assert table[".row"].to_list() == places.tolist()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.iloc[::-1], "rows differ from those of the fit in column"),
        (lambda d: d.assign(y=d.y + (np.arange(120) == 40)), r"1 rows differ.*'y' \(first: row 40"),
        (lambda d: d.assign(x=d.x.where(np.arange(120) != 4, 2.0)), None),
        (lambda d: d.iloc[:-1], "119 rows, those of the fit had 120"),
        (lambda d: d.assign(g=np.roll(d.g, 1)), "in column 'g'"),
    ],
    ids=["reversed", "other response", "left out anyway", "fewer", "other groups"],
)
def test_augment_refuses_other_rows(data, change, words):
    m = mf.lmer("y ~ x + (1 | g)", data)
    if words is None:  # a row that the fit left out may change
        assert len(m.augment(change(data))) == 118
        return
    with pytest.raises(mf.DataError, match=words):
        m.augment(change(data))


@pytest.mark.parametrize("how", ["pickle", "save"])
def test_results_without_rows_take_the_data_again(fit, data, how, tmp_path):
    m = fit(data)
    if how == "pickle":
        bare = pickle.loads(pickle.dumps(m))
    else:
        m.save(tmp_path / "m")
        bare = mf.load(tmp_path / "m")
    pd.testing.assert_frame_equal(bare.augment(data), m.augment(data))
    with pytest.raises(mf.DataError, match="keep_rows"):
        bare.augment()
    with pytest.raises(mf.DataError, match="not the rows of the fit, their sums differ"):
        bare.augment(data.assign(y=data.y * 2))
    with pytest.raises(mf.DataError, match="117 complete rows, and the fit had 118"):
        bare.augment(data.iloc[1:])


@pytest.mark.parametrize("label", ["weights", "offset"])
def test_lost_arrays_are_named(fit, data, label):
    column = {"weights": "w", "offset": "o"}[label]
    bare = pickle.loads(pickle.dumps(fit(data, **{label: data[column].to_numpy()})))
    with pytest.raises(mf.DataError, match=f"the {label} of this fit were an array.*keep_rows"):
        bare.augment(data)
    by_name = pickle.loads(pickle.dumps(fit(data, **{label: column})))
    assert len(by_name.augment(data)) == 118


def test_kept_rows_keep_their_index_in_a_pickle(data):
    m = mf.lmer("y ~ x + (1 | g)", data)
    m.keep_rows = True
    for same in (pickle.loads(pickle.dumps(m)), copy.copy(m)):
        assert same.augment().index.equals(data.index[data.x.notna()])


def test_an_offset_that_was_an_array_must_be_given(fit, data):
    complete = data.dropna()
    m = fit(complete, offset=complete.o.to_numpy())
    for call in (lambda: m.predict(complete), lambda: m.simulate(newdata=complete)):
        with pytest.raises(mf.DataError, match="offset of this fit was an array: give offset="):
            call()
    np.testing.assert_allclose(m.predict(complete, offset="o"), m.fitted, rtol=1e-12)
    by_name = fit(complete, offset="o")
    np.testing.assert_allclose(by_name.predict(complete), m.fitted, rtol=1e-12)
    np.testing.assert_allclose(
        by_name.predict(complete, offset=complete.o + 1), m.fitted + 1, rtol=1e-12
    )
    np.testing.assert_array_equal(
        by_name.simulate(2, seed=1, newdata=complete),
        m.simulate(2, seed=1, newdata=complete, offset="o"),
    )
    with pytest.raises(mf.DataError, match="the fit had no offset"):
        fit(complete).predict(complete, offset="o")
    with pytest.raises(mf.DataError, match="needs newdata"):
        m.predict(offset="o")


def test_weights_of_new_rows_must_be_known_where_they_matter(fit, data):
    complete = data.dropna()
    m = fit(complete, weights=complete.w.to_numpy())
    assert m.predict(complete).shape == (118,)
    assert m.predict(complete, interval="confidence").shape[0] == 118
    for call in (
        lambda: m.predict(complete, interval="prediction"),
        lambda: m.simulate(newdata=complete),
    ):
        with pytest.raises(mf.DataError, match="weights of this fit were an array: give weights="):
            call()
    by_name = fit(complete, weights="w")
    pd.testing.assert_frame_equal(
        by_name.predict(complete, interval="prediction"),
        m.predict(complete, interval="prediction", weights="w"),
    )
    with pytest.raises(mf.DataError, match="weights of this fit were the column 'w'"):
        by_name.predict(complete.drop(columns="w"), interval="prediction")
