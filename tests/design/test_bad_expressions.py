"""Expressions that cannot be evaluated: named with the column, the value and the remedy."""

from __future__ import annotations

import pandas as pd
import pytest

import mixedfast as mf


@pytest.fixture(scope="module")
def sleep() -> pd.DataFrame:
    """Return the sleep study."""
    return mf.load_dataset("sleepstudy")


NEW = pd.DataFrame({"Days": [3.0, 12.0], "Subject": ["372", "372"], "my days": [3.0, 12.0]})


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("bs(Days, df=4)", "Days = 12 lies outside 0 to 9, the range on which bs"),
        ("bs(`my days`, df=4)", "my days = 12 lies outside 0 to 9"),
        ("bs(Days + 1, df=4)", "values of Days \\+ 1 lie outside 1 to 10"),
        ("bs(Days, df=4):Days", "Days = 12 lies outside 0 to 9"),
    ],
)
def test_splines_name_the_value_outside_of_their_range(sleep, part, words):
    m = mf.lmer(f"Reaction ~ {part} + (1 | Subject)", sleep.assign(**{"my days": sleep.Days}))
    with pytest.raises(mf.DataError, match=words):
        m.predict(NEW)
    assert m.predict(NEW[:1]).shape == (1,)


def test_splines_with_bounds_name_them_at_the_fit(sleep):
    with pytest.raises(mf.DataError, match=r"Days = 6 lies outside -inf to 5.*extrapolation="):
        mf.lmer("Reaction ~ bs(Days, df=4, upper_bound=5) + (1 | Subject)", sleep)
    m = mf.lmer("Reaction ~ bs(Days, df=4, extrapolation='extend') + (1 | Subject)", sleep)
    assert m.predict(NEW).shape == (2,)


@pytest.mark.parametrize("part", ["Days['a']", "I(Days['a'] * 2)"])
def test_elements_by_label(sleep, part):
    with pytest.raises(mf.FormulaError, match="takes an element of 'Days', and each part"):
        mf.lmer(f"Reaction ~ {part} + (1 | Subject)", sleep)


@pytest.mark.parametrize("part", ["poly(s, 2)", "bs(s, df=4)", "log(s)"])
def test_text_in_transforms(sleep, part):
    data = sleep.assign(s=sleep.Days.astype(str))
    with pytest.raises(mf.DataError, match="column 's' holds categories where"):
        mf.lmer(f"Reaction ~ {part} + (1 | Subject)", data)
