"""Categories that are no text (intervals, times), and names that need backticks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfast as mf


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(1)
    d = pd.DataFrame({"g": np.repeat(np.arange(20), 6), "age (years)": rng.uniform(18, 80, 120)})
    d["band"] = pd.cut(d["age (years)"], [0, 5, 30, 50, 99])
    d["start"] = pd.Categorical(pd.to_datetime(["2020-01-01", "2021-01-01"]).take(d.g % 2))
    d["RT (ms)"] = d["age (years)"] / 10 + rng.normal(size=20)[d.g] + rng.normal(size=120)
    return d


def test_intervals_are_their_text_everywhere(rows, tmp_path):
    m = mf.lmer("`RT (ms)` ~ band + (1 | g)", rows)
    same = mf.lmer("`RT (ms)` ~ band + (1 | g)", rows.assign(band=rows.band.astype(str)))
    assert m.params.index.tolist() == ["Intercept", "band[T.(30, 50]]", "band[T.(50, 99]]"]
    np.testing.assert_allclose(m.fitted, same.fitted, rtol=1e-6)
    means = m.emmeans("band").to_frame()
    assert means.band.tolist() == ["(5, 30]", "(30, 50]", "(50, 99]"]
    m.save(tmp_path / "m.mf")
    again = mf.load(tmp_path / "m.mf")
    new = rows.head(7)
    for table in (new, new.assign(band=new.band.astype(str)), new.assign(band=list(new.band))):
        np.testing.assert_allclose(again.predict(table), m.fitted[:7])


def test_groups_of_times_are_saved(rows, tmp_path):
    m = mf.lmer("`RT (ms)` ~ 1 + (1 | start:g)", rows)
    m.save(tmp_path / "m.mf")
    assert mf.load(tmp_path / "m.mf").ranef()["start:g"].index[0].startswith("2020-01-01")


def test_categories_of_the_same_text_are_refused():
    class Unit:
        def __repr__(self) -> str:
            return "unit"

    mixed = pd.Categorical.from_codes([0, 1] * 6, [Unit(), Unit()])
    with pytest.raises(mf.DataError, match="look the same as text"):
        mf.lmer("y ~ f + (1 | g)", {"y": np.arange(12.0), "f": mixed, "g": np.arange(12) // 3})


def test_backticks_name_columns_everywhere(rows):
    m = mf.lmer("`RT (ms)` ~ `age (years)` * band + (1 | g)", rows)
    plain = m.contrast("age (years) - age (years):band[T.(30, 50]] = 1")
    pd.testing.assert_frame_equal(
        m.contrast("`age (years)` - `age (years)`:band[T.(30, 50]] = 1"), plain
    )
    pd.testing.assert_frame_equal(
        m.contrast({"`age (years)`": 1.0}), m.contrast({"age (years)": 1.0})
    )
    assert str(m.emmeans("`band`")) == str(m.emmeans("band"))
    assert m.augment().columns[:4].tolist() == ["RT (ms)", "age (years)", "band", "g"]
