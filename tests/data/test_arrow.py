"""Batches of every type Arrow has for numbers and labels: codes, distinct values, complete rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixedfast as mf

pa = pytest.importorskip("pyarrow")

from mixedfast.data.arrow import Labels, complete_rows, distinct, from_bytes, to_bytes  # noqa: E402


def batch_table(**columns):
    return pa.table(columns)


@given(
    st.lists(st.integers(-(2**62), 2**62) | st.integers(-5, 5), min_size=1, max_size=30),
    st.randoms(),
)
def test_codes_find_their_levels(values, random):
    levels = np.unique(np.array(values, dtype=np.int64))
    shuffled = list(values)
    random.shuffle(shuffled)
    column = pa.chunked_array([shuffled[:7], shuffled[7:]], type=pa.int64())
    codes = Labels("g", levels).codes(column, "here")
    assert codes.dtype == np.int32
    assert levels[codes].tolist() == shuffled


@pytest.mark.parametrize(
    "low", [0, -5, 3_000_000_000, 2**62, 2**63 - 10, 2**63 + 5, -(2**63), 2**31 - 3]
)
@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1), [0, 1, 2, 4, 5]])
def test_levels_in_a_row_end_where_they_end(low, order):
    kind = np.int64 if low + 10 <= 2**63 else np.uint64
    levels = np.array([low + i for i in range(10)], dtype=kind)[order]
    labels = Labels("g", levels)
    assert labels.codes(pa.chunked_array([levels[[0, 2, 1, 4]]]), "here").tolist() == [0, 2, 1, 4]
    ends = np.iinfo(kind)
    for other in (low - 1, low + 10, low + 2**32):
        if ends.min <= other <= ends.max:
            column = pa.chunked_array([np.array([levels[1], other], dtype=kind)])
            with pytest.raises(
                mf.DataError, match=f"here: column 'g' has levels .* known ones: {other}$"
            ):
                labels.codes(column, "here")


def test_levels_may_be_too_large_for_a_part_s_type():
    labels = Labels("g", np.array([1, 2**40, 7]))
    assert labels.codes(pa.chunked_array([pa.array([7, 1], pa.int32())]), "here").tolist() == [2, 0]
    narrow = Labels("g", np.array([127, -128], np.int8))
    assert narrow.codes(pa.chunked_array([pa.array([-128, 127])]), "here").tolist() == [1, 0]


@given(st.lists(st.integers(-(2**62), 2**62) | st.integers(-5, 5), max_size=30))
def test_distinct_values_are_those_there_are(values):
    found = distinct(batch_table(g=pa.array(values, type=pa.int64())), ["g"])
    assert sorted(found.column("g").to_pylist()) == sorted(set(values))


@pytest.mark.parametrize("kind", ["uint8", "uint16", "uint32", "uint64"])
def test_distinct_values_of_numbers_without_a_sign(kind):
    most = np.iinfo(kind).max
    values = [most, most - 1, most, most - 3]
    found = distinct(pa.table({"g": pa.array(values, type=getattr(pa, kind)())}), ["g"])
    assert sorted(found.column("g").to_pylist()) == [most - 3, most - 1, most]


@pytest.mark.parametrize(
    "kind", ["int8", "int16", "int32", "int64", "uint8", "uint64", "float", "double"]
)
def test_numbers_of_any_width_are_groups(kind):
    labels = Labels("g", np.array([1, 3, 7]))
    column = pa.chunked_array([pa.array([7, 1, 3, 1], type=pa.type_for_alias(kind))])
    assert labels.codes(column, "here").tolist() == [2, 0, 1, 0]
    with pytest.raises(mf.DataError, match=r"here: column 'g' .* 5"):
        labels.codes(pa.chunked_array([pa.array([7, 5], type=pa.type_for_alias(kind))]), "here")


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]
)
def test_text_of_any_kind_is_labels(kind):
    labels = Labels("g", np.array(["a", "b"], dtype=object))
    assert labels.codes(pa.chunked_array([pa.array(["b", "a"]).cast(kind)]), "here").tolist() == [
        1,
        0,
    ]
    with pytest.raises(mf.DataError, match=r"here: column 'g' .*: 'z'$"):
        labels.codes(pa.chunked_array([pa.array(["z"]).cast(kind)]), "here")


def test_null_and_nan_are_missing_alike():
    table = batch_table(
        x=pa.array([1.0, None, float("nan"), 4.0]),
        g=pa.array(["a", "b", "c", None]),
        other=[1, 2, 3, 4],
    )
    rows, missing = complete_rows(table, ["x", "g"], "here")
    assert rows.column("other").to_pylist() == [1]
    assert missing == {"x": 2, "g": 1}
    with pytest.raises(mf.DataError, match="here: column 'x' holds 1 infinite"):
        complete_rows(batch_table(x=[1.0, np.inf]), ["x"], "here")


def test_combinations_that_occur():
    table = batch_table(a=["x", "y", "x"], b=[1, 1, 1])
    found = distinct(table, ["a", "b"])
    assert sorted(
        zip(found.column("a").to_pylist(), found.column("b").to_pylist(), strict=True)
    ) == [("x", 1), ("y", 1)]


def test_a_table_as_bytes_comes_back():
    table = batch_table(a=["x", None], b=[1.5, float("nan")])
    assert from_bytes(to_bytes(table)).equals(table) or from_bytes(to_bytes(table)).column(
        "a"
    ).equals(table.column("a"))


pytestmark = pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")


def categories(values, order):
    return pa.DictionaryArray.from_arrays(
        pa.array([order.index(v) for v in values], type=pa.int8()), pa.array(order)
    )


def test_categories_listed_differently_in_parts_are_the_same_categories():
    rng = np.random.default_rng(2)
    n = 300
    f, g, y = rng.choice(["lo", "mid", "hi"], n), rng.integers(0, 9, n), rng.normal(size=n)
    first, second = ["lo", "mid", "hi"], ["hi", "lo", "mid"]
    parts = [
        pa.table({"y": y[:150], "g": g[:150], "f": categories(f[:150], first)}),
        pa.table({"y": y[150:], "g": g[150:], "f": categories(f[150:], second)}),
    ]
    ordered = pa.table({"y": y, "g": g, "f": categories(f, first)})
    whole, streamed = mf.lmer("y ~ f + (1 | g)", ordered), mf.lmer("y ~ f + (1 | g)", parts)
    assert (
        list(streamed.params.index)
        == list(whole.params.index)
        == ["Intercept", "f[T.mid]", "f[T.hi]"]
    )
    np.testing.assert_allclose(streamed.params, whole.params, rtol=1e-9, atol=1e-9)


def test_groups_that_are_numbers_with_a_gap_and_missing_values():
    rng = np.random.default_rng(3)
    n = 400
    data = {
        "y": rng.normal(size=n),
        "g": rng.choice([-7.0, 0.0, 10.0**12, np.nan], n),
        "b": rng.random(n) > 0.5,
    }
    parts = [{name: values[i::3] for name, values in data.items()} for i in range(3)]
    whole, streamed = mf.lmer("y ~ b + (1 | g)", data), mf.lmer("y ~ b + (1 | g)", parts)
    assert streamed.criterion == pytest.approx(whole.criterion, rel=1e-9)
    assert list(streamed.ranef()["g"].index) == list(whole.ranef()["g"].index) == [-7, 0, 10**12]
