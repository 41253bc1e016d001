"""True and False are a category of two levels wherever a formula has the bare column.

Whoever holds the rows.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from helpers.cases import frame
from helpers.lazy_engines import ENGINES
from helpers.streams import batches

import mixedfast as mf

pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

FORMULAS = [
    "y ~ first * x + (0 + first | clinic)",
    "y ~ 0 + first + (1 | clinic)",
    "y ~ first + I(first * x) + scale(x) + (first | clinic)",
]
# sums in another order and about another shift end a search that much elsewhere (as in test_roads)
CLOSE = {"rtol": 2e-6, "atol": 1e-7}
GAPS = [3, 50, 51]


@cache
def rows() -> pd.DataFrame:
    return frame("visits")


def gaps() -> pd.DataFrame:
    """Missing among True and False."""
    out = rows().astype({"first": "boolean"})
    out.loc[GAPS, "first"] = pd.NA
    return out


def as_category(data: pd.DataFrame) -> pd.DataFrame:
    """Return the booleans as a category whose labels are text; in arithmetic they are numbers."""
    return data.assign(first=pd.Categorical(data["first"].map({True: "True", False: "False"})))


def same(one: mf.LMMResult, other: mf.LMMResult) -> None:
    assert list(one.params.index) == list(other.params.index)
    np.testing.assert_allclose(one.params, other.params, **CLOSE)
    np.testing.assert_allclose(one.bse, other.bse, **CLOSE)
    for ours, theirs in (
        (one.varcorr, other.varcorr),
        (one.anova(type="II"), other.anova(type="II")),
    ):
        np.testing.assert_allclose(
            ours.select_dtypes("number"), theirs.select_dtypes("number"), **CLOSE
        )


def test_it_is_the_fit_of_a_category() -> None:
    for formula in FORMULAS[:2]:
        same(mf.lmer(formula, rows()), mf.lmer(formula, as_category(rows())))
    m = mf.lmer(FORMULAS[0], rows())
    assert list(m.params.index) == ["Intercept", "first[T.True]", "x", "first[T.True]:x"]
    assert m.varcorr["name1"][:2].tolist() == ["first[False]", "first[True]"]
    np.testing.assert_allclose(
        m.simulate(seed=1), mf.lmer(FORMULAS[0], as_category(rows())).simulate(seed=1), **CLOSE
    )
    assert m.drop1().index.tolist() == ["first:x"]
    means = m.emmeans("first").to_frame()
    assert means["first"].tolist() == [False, True]


HOLDERS = {
    "nullable": lambda data: data,
    "object": lambda data: data.astype({"first": object}).assign(
        first=lambda d: d["first"].where(d["first"].notna(), None)
    ),
    "Arrow in pandas": lambda data: data.astype({"first": "bool[pyarrow]"}),
    "polars": pl.from_pandas,
    "pyarrow": lambda data: pa.Table.from_pandas(data, preserve_index=False),
    "lists": lambda data: {name: list(data[name]) for name in data},
    "batches": lambda data: batches(data, 3),
    **ENGINES,
}


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("holder", HOLDERS)
def test_missing_values_among_them_leave_them_what_they_are(holder: str, formula: str) -> None:
    m = mf.lmer(formula, HOLDERS[holder](gaps()))
    m.library = "pandas"
    same(m, mf.lmer(formula, rows().drop(index=GAPS)))
    assert m.nobs == len(rows()) - len(GAPS)


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_file_keeps_them(formula: str, tmp_path) -> None:
    rows().to_parquet(tmp_path / "visits.parquet")
    same(mf.lmer(formula, tmp_path / "visits.parquet"), mf.lmer(formula, rows()))
    mf.crossproducts(formula, rows()).save(tmp_path / "sums.mf")
    again = mf.fit(mf.load(tmp_path / "sums.mf"))
    same(again, mf.lmer(formula, rows()))
    new = rows()[:5].drop(columns="y")
    np.testing.assert_allclose(again.predict(new), mf.lmer(formula, rows()).predict(new), **CLOSE)


@pytest.mark.parametrize("formula", FORMULAS)
def test_new_rows_have_true_or_false(formula: str) -> None:
    m, new = (
        mf.lmer(formula, rows()),
        rows()[:4].drop(columns="y").assign(first=[True, False, True, True]),
    )
    expected = m.predict(new)
    for same_thing in (
        [1, 0, 1, 1],
        [1.0, 0.0, 1.0, 1.0],
        pd.Categorical(new["first"], categories=[True, False]),
    ):
        np.testing.assert_array_equal(m.predict(new.assign(first=same_thing)), expected)
    some = m.predict(new.assign(first=pd.array([True, None, True, True], dtype="boolean")))
    assert np.isnan(some).tolist() == [False, True, False, False]
    np.testing.assert_allclose(
        some[[0, 2, 3]], expected[[0, 2, 3]], rtol=1e-14
    )  # products of three rows, not four
    with pytest.raises(
        mf.DataError,
        match=r"'first' has levels that the fit did not have: 2 \(known: False, True\)",
    ):
        m.predict(new.assign(first=[2, 0, 1, 1]))
    with pytest.raises(
        mf.DataError, match=r"'first' has levels that the fit did not have: no, yes \("
    ):
        m.predict(new.assign(first=["yes", "no", "yes", "no"]))
    with pytest.raises(mf.DataError, match=r"have: 'False', 'True' \(known: False, True\)"):
        m.predict(new.assign(first=new["first"].astype(str)))


def test_arithmetic_takes_them_for_numbers() -> None:
    data = rows().assign(number=rows()["first"].astype(float))
    for part in ("I(first * 2)", "{first + x}", "log(1 + first)"):
        one, other = (
            mf.lmer(f"y ~ {text} + (1 | clinic)", data)
            for text in (part, part.replace("first", "number"))
        )
        np.testing.assert_array_equal(one.params, other.params)
    both = mf.lmer("y ~ first + I(first * x) + (1 | clinic)", data)
    assert list(both.params.index) == ["Intercept", "first[T.True]", "I(first * x)"]


@pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")
def test_a_response_weights_and_an_offset_are_numbers() -> None:
    data = rows().assign(number=rows()["first"].astype(float))
    for ours, theirs in (
        ("first ~ x + (1 | clinic)", "number ~ x + (1 | clinic)"),
        ("y ~ x + offset(first) + (1 | clinic)", "y ~ x + offset(number) + (1 | clinic)"),
    ):
        np.testing.assert_array_equal(mf.lmer(ours, data).params, mf.lmer(theirs, data).params)


def test_groups_with_a_missing_one_keep_their_labels() -> None:
    m = mf.lmer("y ~ x + (1 | clinic:first)", gaps())
    assert m.ranef()["clinic:first"].index[0] == "v01:False"


def test_contrasts_by_name() -> None:
    given = mf.lmer("y ~ first * x + (1 | clinic)", rows(), contrasts={"first": "sum"})
    written = mf.lmer("y ~ C(first, contr.sum) * x + (1 | clinic)", rows())
    np.testing.assert_allclose(given.params, written.params, rtol=1e-12)
    streamed = mf.lmer(
        "y ~ first * log(x + 5) + (1 | clinic)", batches(rows(), 2), contrasts={"first": "sum"}
    )
    same(
        streamed,
        mf.lmer("y ~ first * log(x + 5) + (1 | clinic)", rows(), contrasts={"first": "sum"}),
    )


@pytest.mark.parametrize(
    "holder", [lambda data: data, lambda data: batches(data, 2), *ENGINES.values()]
)
def test_one_value_alone_tells_nothing(holder) -> None:
    with pytest.raises(mf.DataError, match="the term first has the same value in all rows"):
        mf.lmer("y ~ first + x + (1 | clinic)", holder(rows().assign(first=True)))
