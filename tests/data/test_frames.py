"""Tables of every make give the same columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedfast.data.categories import Categorical, drop_unused, factorize, recode
from mixedfast.data.frames import Numeric, as_table
from mixedfast.errors import DataError

pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

FRAME = pd.DataFrame(
    {
        "x": [1.5, np.nan, 2.0, 3.0, 1.0, 2.5],
        "i": np.array([3, 1, 2, 3, 1, 2], dtype=np.int64),
        "small": np.array([3, -1, 2, 3, -1, 2], dtype=np.int8),
        "flag": [True, False, True, True, False, False],
        "s": ["b", "a", None, "b", "C", "a"],
    }
)


def makes() -> dict[str, Any]:
    arrow = pa.Table.from_pandas(FRAME)
    return {
        "pandas": FRAME,
        "pandas-arrow": FRAME.convert_dtypes(dtype_backend="pyarrow"),
        "pandas-nullable": FRAME.convert_dtypes(),
        "polars": pl.from_pandas(FRAME),
        "arrow": arrow,
        "arrow-chunks": pa.concat_tables([arrow.slice(0, 4), arrow.slice(4)]),
        "dict": {name: FRAME[name].to_numpy() for name in FRAME},
        "lists": {name: FRAME[name].tolist() for name in FRAME},
        "polars-columns": {name: pl.from_pandas(FRAME)[name] for name in FRAME},
    }


@pytest.mark.parametrize("make", list(makes()))
def test_every_make_reads_alike(make: str) -> None:
    table = as_table(makes()[make])
    assert (table.names, table.n) == (("x", "i", "small", "flag", "s"), 6)
    for name in ("x", "i", "small", "flag"):
        column = table.column(name)
        assert isinstance(column, Numeric)
        np.testing.assert_array_equal(
            column.values.astype(float), FRAME[name].to_numpy(dtype=float)
        )
    strings = table.column("s")
    assert isinstance(strings, Categorical)
    assert strings.levels.tolist() == ["C", "a", "b"]
    assert strings.codes.tolist() == [2, 1, -1, 2, 0, 1]
    assert strings.codes.dtype == np.int32
    assert table.grouping("i").levels.tolist() == [1, 2, 3]
    assert table.grouping("small").codes.tolist() == [2, 0, 1, 2, 0, 1]
    assert table.grouping("flag").levels.tolist() == [False, True]


@pytest.mark.parametrize("make", ["pandas", "polars", "dict"])
def test_floats_are_not_copied(make: str) -> None:
    table = as_table(makes()[make])
    assert (
        np.shares_memory(table.column("x").values, as_table(makes()[make]).column("x").values)
        or make == "polars"
    )
    assert table.column("i").values.dtype == np.int64
    assert table.column("small").values.dtype == np.int8
    assert table.column("flag").values.dtype == np.bool_


def test_category_dtypes_keep_their_level_order() -> None:
    levels = ["lo", "mid", "hi", "never"]
    values = ["hi", None, "lo", "mid"]
    cat = pd.Categorical(values, categories=levels, ordered=True)
    enum = pl.DataFrame({"c": pl.Series(values, dtype=pl.Enum(levels))})
    arrow = pa.table(
        {"c": pa.DictionaryArray.from_arrays(pa.array([2, None, 0, 1]), pa.array(levels))}
    )
    for data in (pd.DataFrame({"c": cat}), {"c": cat}, enum, arrow):
        column = as_table(data).column("c")
        assert isinstance(column, Categorical)
        assert column.levels.tolist() == levels
        assert column.codes.tolist() == [2, -1, 0, 1]
    found = as_table({"c": cat}).column("c")
    assert isinstance(found, Categorical) and found.ordered
    assert drop_unused(found).levels.tolist() == ["lo", "mid", "hi"]
    assert drop_unused(found).codes.tolist() == [2, -1, 0, 1]


def test_polars_categoricals_are_sorted_however_polars_numbers_them() -> None:
    pl.Series(
        ["zz", "yy", "b"], dtype=pl.Categorical
    )  # takes the first numbers, when they are global
    column = as_table(
        pl.DataFrame({"c": pl.Series(["b", "a", None, "b"], dtype=pl.Categorical)})
    ).column("c")
    assert isinstance(column, Categorical)
    assert (column.levels.tolist(), column.codes.tolist()) == (["a", "b"], [1, 0, -1, 1])


def test_object_columns() -> None:
    frame = pd.DataFrame(
        {
            "number": pd.Series([1, 2, 3], dtype=object),
            "hole": pd.Series([1, None, 3], dtype=object),
            "logical": pd.Series([True, None, False], dtype=object),
            "nothing": pd.Series([None, None, None], dtype=object),
            "mixed": pd.Series(["a", 1, 2.5], dtype=object),
        }
    )
    table = as_table(frame)
    np.testing.assert_array_equal(table.column("number").values, [1, 2, 3])
    np.testing.assert_array_equal(table.column("hole").values, [1, np.nan, 3])
    np.testing.assert_array_equal(table.column("logical").values, [1, np.nan, 0])
    assert np.isnan(table.column("nothing").values).all()
    with pytest.raises(DataError, match="'mixed'"):
        table.column("mixed")


def test_unusual_numbers_become_usual_ones() -> None:
    data = {
        "half": np.array([1.5, 2.5], dtype=np.float16),
        "u32": np.array([1, 2**32 - 1], dtype=np.uint32),
        "u64": np.array([1, 2**63 - 1], dtype=np.uint64),
        "big": np.array([1.0, 2.0], dtype=">f8"),
        "masked": np.ma.array([1, 2], mask=[False, True]),
    }
    table = as_table(data)
    kinds = {name: table.column(name).values.dtype for name in data}
    assert kinds == {
        "half": np.float32,
        "u32": np.int64,
        "u64": np.int64,
        "big": np.float64,
        "masked": np.float64,
    }
    assert table.column("u32").values[1] == 2**32 - 1
    assert np.isnan(table.column("masked").values[1])


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_dates_are_refused_only_when_used_and_decimals_are_numbers(kind: str) -> None:
    import datetime
    import decimal

    columns = {
        "x": [1.0] * 2,
        "day": [datetime.date(2020, 1, 1)] * 2,
        "price": [decimal.Decimal("1.5"), None],
    }
    made = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.table}[kind](columns)
    table = as_table(made)
    assert table.column("x").values.tolist() == [1.0, 1.0]
    np.testing.assert_array_equal(table.column("price").values, [1.5, np.nan])
    with pytest.raises(DataError, match="'day' has dtype"):
        table.column("day")


def test_pandas_dictionaries_of_arrow() -> None:
    words = pa.array(["b", None, "a", "b"]).dictionary_encode()
    column = as_table(pd.DataFrame({"s": pd.Series(pd.arrays.ArrowExtensionArray(words))})).column(
        "s"
    )
    assert isinstance(column, Categorical)
    assert [None if c < 0 else column.levels[c] for c in column.codes] == ["b", None, "a", "b"]


def test_missing_column_suggests_close_names() -> None:
    with pytest.raises(DataError, match="did you mean 'school'"):
        as_table({"school": [1], "math": [2]}).column("schol")


def test_fractions_do_not_group() -> None:
    with pytest.raises(DataError, match=r"'g'.*not whole"):
        as_table({"g": [1.5, 2.0]}).grouping("g")
    assert as_table({"g": [2.0, np.nan, 1.0]}).grouping("g").codes.tolist() == [1, -1, 0]
    assert as_table({"g": [2.0, np.nan, 1.0]}).grouping("g").levels.dtype == np.int64


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "called 'a'"),
        (
            pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])),
            "MultiIndex",
        ),
        ({"a": [1, 2], "b": [1]}, "differ in length"),
        ({"a": 1}, "single value"),
        ([1, 2, 3], "not list"),
        (pl.LazyFrame({"a": [1]}), "collect a lazy frame"),
    ],
)
def test_what_is_not_a_table(data: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        as_table(data)


def test_two_dimensional_column() -> None:
    with pytest.raises(DataError, match="2 dimensions"):
        as_table({"a": np.ones((2, 2))}).column("a")


whole = st.integers(-(2**62), 2**62) | st.integers(-50, 50)


@given(st.lists(whole, min_size=1, max_size=30))
def test_factorize_is_numpys_unique(values: list[int]) -> None:
    array = np.array(values, dtype=np.int64)
    levels, codes = np.unique(array, return_inverse=True)
    found = factorize(array)
    np.testing.assert_array_equal(found.levels, levels)
    np.testing.assert_array_equal(found.codes, codes)
    assert found.codes.dtype == np.int32


@given(st.lists(st.integers(-128, 127), min_size=1, max_size=20))
def test_factorize_does_not_overflow_small_integers(values: list[int]) -> None:
    array = np.array(values, dtype=np.int8)
    found = factorize(array)
    np.testing.assert_array_equal(found.levels[found.codes], array)


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=20))
def test_drop_unused_keeps_what_the_rows_say(codes: list[int]) -> None:
    levels = np.array(list("abcde"), dtype=object)
    column = drop_unused(Categorical(np.array(codes, dtype=np.int32), levels))
    before = [levels[c] if c >= 0 else None for c in codes]
    after = [column.levels[c] if c >= 0 else None for c in column.codes]
    assert before == after
    assert sorted(column.levels) == sorted({levels[c] for c in codes if c >= 0})


def test_recode() -> None:
    column = Categorical(
        np.array([0, 1, -1, 2], dtype=np.int32), np.array(["x", "b", "a"], dtype=object)
    )
    assert recode(column, np.array(["a", "b"], dtype=object)).tolist() == [-1, 1, -1, 0]
