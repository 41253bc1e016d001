"""Classified columns against the NumPy twin."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import reference_kernels as twin
from hypothesis import given
from hypothesis import strategies as st

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
