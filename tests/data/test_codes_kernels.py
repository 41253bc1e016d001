"""Kernels that scan and number a column, against their NumPy twins."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import reference_kernels as _reference
from helpers.kernels import NUMERIC, ROWS, SEEDS
from hypothesis import given
from hypothesis import strategies as st

from mixedfast.data import _codes


@given(
    st.sampled_from(["f8", "f4"]),
    st.sampled_from([0, 1, 7, 4095, 4096, 4097, 9000]),
    st.sampled_from([1, 3, -2]),
    SEEDS,
)
def test_all_finite(kind, n, stride, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(scale=1e30, size=n * abs(stride)).astype(kind)[::stride]
    if n and seed % 2:
        values[rng.integers(n)] = rng.choice([np.nan, np.inf, -np.inf, -np.nan, np.finfo(kind).max])
    values.flags.writeable = False
    assert _codes.all_finite(values) is _reference.all_finite(values)


@given(st.sampled_from(NUMERIC[2:7]), ROWS, st.sampled_from([1, 3, -2]), SEEDS)
def test_number(kind, n, stride, seed):
    rng = np.random.default_rng(seed)
    least = 0 if kind == "u1" else -60
    values = rng.integers(least, least + 120, n * abs(stride)).astype(kind)[::stride]
    if seed % 3 == 0:
        values[...] = values % 4
    values.flags.writeable = False
    low, size = int(rng.integers(-70, 20)), int(rng.integers(0, 130))
    for ours, theirs in zip(
        _codes.factorize_integers(values, low, size),
        _reference.factorize_integers(values, low, size),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(
        _codes.unique_integers(values, low, size),
        _reference.unique_integers(values, low, size),
        strict=True,
    )


def test_number_at_the_ends_of_the_integers():
    ends = np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max, 0])
    for low in [*ends.tolist()[:1], np.iinfo(np.int64).max - 1]:
        for ours, theirs in zip(
            _codes.factorize_integers(ends, low, 2),
            _reference.factorize_integers(ends, low, 2),
            strict=True,
        ):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(
            _codes.unique_integers(ends, low, 2), _reference.unique_integers(ends, low, 2)
        )


def test_scans_refuse_what_they_cannot_read():
    for values in (
        np.zeros((2, 2)),
        np.zeros(3, dtype=np.int64),
        np.zeros(3, dtype=">f8"),
        np.zeros(3, dtype=complex),
    ):
        with pytest.raises(TypeError, match="all_finite"):
            _codes.all_finite(values)
    for values in (
        np.zeros(3),
        np.zeros((2, 2), dtype=np.int64),
        np.zeros(3, dtype=">i8"),
        np.zeros(3, dtype="u8"),
    ):
        for scan in (_codes.factorize_integers, _codes.unique_integers):
            with pytest.raises(TypeError, match="number"):
                scan(values, 0, 3)
    for size in (-1, 2**31):
        for scan in (_codes.factorize_integers, _codes.unique_integers):
            with pytest.raises(ValueError, match="range"):
                scan(np.zeros(3, dtype=np.int32), 0, size)
