"""Classified columns against the NumPy twin."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import reference_kernels as twin
from hypothesis import given
from hypothesis import strategies as st

from mixedfast.crossprod._pivots import column_sizes
from mixedfast.crossprod.pivots import Elimination, classify_columns


@given(st.integers(0, 10**6), st.integers(1, 7), st.sampled_from([1e-6, 1.0, 1e6]), st.booleans())
def test_against_the_twin(seed, k, size, some_counted):
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(30, k)) * size
    for j in range(1, k):
        if rng.random() < 0.4:
            near = rng.choice([0.0, 1e-2, 1e-4]) * size
            columns[:, j] = columns[:, :j] @ rng.normal(size=j) + near * rng.normal(size=30)
    products = columns.T @ columns
    diagonal = np.diag(products)
    counted = rng.random(k) < 0.7 if some_counted else None
    found = classify_columns(products, 1e-10 * diagonal, 1e-3 * diagonal, counted)
    expected = twin.classify_columns(products, 1e-10 * diagonal, 1e-3 * diagonal, counted)
    np.testing.assert_array_equal(found, expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Elimination, "BLOCK", max(1, k - 1))  # the way of many columns
        found = classify_columns(products, 1e-10 * diagonal, 1e-3 * diagonal, counted)
    np.testing.assert_array_equal(found, expected)


def test_sizes_that_are_not_numbers_are_hidden_and_wrong_shapes_are_refused():
    limits = np.array([np.nan, np.inf, 0.5])
    assert classify_columns(np.eye(3), limits, limits).tolist() == [0, 0, 2]
    with pytest.raises(ValueError, match=r"products \(k,k\)"):
        classify_columns(np.eye(3), limits[:2], limits)


@given(st.integers(0, 10**6), st.integers(1, 6), st.booleans(), st.booleans())
def test_sizes_of_columns(seed, p, has_intercept, has_constant):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(20, p))
    at = int(rng.integers(0, p)) if has_intercept else -1
    ones = np.eye(p)[at] if has_intercept else rng.normal(size=p)
    if has_intercept:
        X[:, at] = 1.0
        if has_constant:
            X[:, p - 1] = 3.0
    arguments = X.T @ X, ones, rng.normal(size=p), at, 1e-10
    for found, expected in zip(
        column_sizes(*arguments), twin.column_sizes(*arguments), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
