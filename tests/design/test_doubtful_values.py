"""Numbers in text, codes for missing values, numbers that start anew: named, and not beyond need."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

import mixedfast as mf


def table() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    n = 240
    frame = pd.DataFrame({"g": np.repeat(np.arange(24), 10), "age": rng.integers(18, 66, n)})
    frame["y"] = 0.1 * frame.age + rng.normal(size=24)[frame.g] + rng.normal(size=n)
    return frame


def as_text(data: pd.DataFrame, *, wrong: str | None = None, row: int = 4) -> pd.DataFrame:
    text = data.age.astype(str)
    if wrong is not None:
        text[row] = wrong
    return data.assign(age=text)


def fit(data, formula: str = "y ~ age + (1 | g)"):
    return mf.lmer(formula, data)


@pytest.mark.parametrize("wrong", [".", "-", "?", "n/a", "forty"])
@pytest.mark.parametrize("source", ["pandas", "polars", "batches", "category", "lm"])
def test_a_label_that_is_no_number_is_named(wrong, source):
    data = as_text(table(), wrong=wrong)
    how = {
        "pandas": lambda: fit(data),
        "polars": lambda: fit(pl.from_pandas(data)),
        "batches": lambda: fit([pl.from_pandas(data).to_arrow()]),
        "category": lambda: fit(data.astype({"age": "category"})),
        "lm": lambda: mf.lm("y ~ age", data),
    }[source]
    with pytest.raises(
        mf.DataError, match=rf"column 'age' holds 4\d different.*'{wrong}'".replace("?", r"\?")
    ):
        how()


def test_with_the_label_missing_there_is_one_slope():
    data = as_text(table(), wrong=".")
    data["age"] = pd.to_numeric(data.age, errors="coerce")
    assert list(fit(data).params.index) == ["Intercept", "age"]


def test_decimal_commas():
    rng = np.random.default_rng(3)
    data = table()
    data["w"] = [f"{v:.1f}".replace(".", ",") for v in rng.normal(70, 8, 240)]
    with pytest.raises(
        mf.DataError, match=r"'w' holds text such as '\d+,\d', numbers with a comma"
    ):
        fit(data, "y ~ w + (1 | g)")
    assert len(fit(data, "y ~ age + C(w) + (1 | g)").params) == 1 + data.w.nunique()


def test_numbers_in_text_warn_unless_they_are_few_or_said_to_be_categories():
    data = as_text(table())
    with pytest.warns(mf.DataWarning, match="'age' holds 47 different numbers as text"):
        assert len(fit(data).params) == 47
    grades = table().assign(age=np.resize(["K", *map(str, range(1, 13))], 240))
    doses = table().assign(age=np.resize(["0", "10", "20"], 240))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(data, "y ~ C(age) + (1 | g)")
        assert len(fit(grades).params) == 13
        fit(doses)
        fit(table().astype({"g": str}))


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (np.r_[np.linspace(-3, 3, 236), [-99.0] * 4], "-99"),
        (np.r_[np.arange(239) % 90, 999], "999"),
        (np.r_[np.arange(234) % 5, [-9, -8, -9, -8, -9, -9]], "-9"),
        (np.r_[np.linspace(0, 1, 239), -(2.0**31)], "-2147483648 in 1 row,"),
    ],
)
def test_codes_for_missing_values(values, code):
    with pytest.warns(mf.DataWarning, match=f"column 'age' holds {code}"):
        fit(table().assign(age=values))


@pytest.mark.parametrize(
    "values",
    [
        np.arange(240) % 100,  # 99 among its neighbours
        np.r_[np.linspace(18, 65, 239), 99.0],  # nearer to the rest than these to each other
        np.r_[np.linspace(-3, 3, 239), 50.0],  # an outlier, no code
        np.where(np.arange(240) % 2, 99.0, 98.0),
        np.arange(240) % 2 == 0,
    ],
)
def test_other_numbers_are_no_codes(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error", mf.DataWarning)
        fit(table().assign(age=values), "y ~ age + (1 | g)")


def test_the_response_is_looked_at_too():
    data = table()
    data.loc[[1, 5], "y"] = -999
    with pytest.warns(mf.DataWarning, match="column 'y' holds -999 in 2 rows"):
        fit(data)


def schools(sizes: list[int], seed: int = 0) -> pd.DataFrame:
    """Three rows of each pupil, numbered from 1 in each school."""
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(len(sizes)), sizes)
    pupil = np.concatenate([np.arange(1, size + 1) for size in sizes])
    frame = pd.DataFrame({"school": school, "pid": pupil}).loc[np.repeat(np.arange(len(school)), 3)]
    frame = frame.reset_index(drop=True)
    frame["y"] = rng.normal(size=len(sizes))[frame.school] + rng.normal(size=len(frame))
    frame["y"] += rng.normal(size=len(school)).repeat(3)
    return frame


@pytest.mark.parametrize("sizes", [[5, 8, 6, 9], [6, 6, 6, 6]])
def test_numbers_that_start_anew_in_each_school(sizes):
    data = schools(sizes)
    with pytest.warns(mf.DataWarning, match=r"'pid' start anew.*write \(1 \| school/pid\)"):
        mf.lmer("y ~ 1 + (1 | school) + (1 | pid)", data)
    with warnings.catch_warnings():
        warnings.simplefilter("error", mf.DataWarning)
        mf.lmer("y ~ 1 + (1 | school/pid)", data)
        nested = data.assign(pid=data.school * 100 + data.pid)
        mf.lmer("y ~ 1 + (1 | school) + (1 | pid)", nested)


def test_crossed_designs_are_no_restart():
    data = schools([6, 6, 6, 6]).rename(columns={"school": "subject", "pid": "item"})
    with warnings.catch_warnings():
        warnings.simplefilter("error", mf.DataWarning)
        mf.lmer("y ~ 1 + (1 | subject) + (1 | item)", data)
        some = data.drop(index=np.random.default_rng(1).choice(len(data), 20, replace=False))
        mf.lmer("y ~ 1 + (1 | subject) + (1 | item)", some)


@pytest.mark.parametrize("batches", [False, True])
def test_one_warning_for_terms_with_one_effect(batches):
    rng = np.random.default_rng(0)
    data = mf.load_dataset("sleepstudy").assign(**{f"x{k}": rng.normal(size=180) for k in range(4)})
    formula = "Reaction ~ 1 + " + " + ".join(f"(x{k} | Subject)" for k in range(4))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        mf.lmer(formula, [pl.from_pandas(data).to_arrow()] if batches else data)
    texts = [str(w.message) for w in seen if w.category is mf.ConvergenceWarning]
    assert len(texts) == 1
    assert "cannot be separated" in texts[0] and "Intercept | Subject" in texts[0]
    assert all(issubclass(w.category, mf.MixedFastWarning) for w in seen)
