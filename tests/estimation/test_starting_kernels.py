"""Kernels of starting values and of samples against their NumPy twins."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import reference_kernels as twin
from hypothesis import given
from hypothesis import strategies as st

from mixedfast.covariance._theta import root_inside, solve_moment_equations
from mixedfast.crossprod._sums import sample_moments

seeds, sizes = st.integers(0, 10**6), st.sampled_from([1e-6, 1.0, 1e6])
#: Eigenvalues and means of a few numbers, in another order than NumPy takes them.
CLOSE = {"rtol": 1e-9, "atol": 1e-12}


@given(seeds, st.integers(1, 300), sizes, st.booleans())
def test_moments_of_a_sample(seed, n, size, ties):
    rng = np.random.default_rng(seed)
    values = (rng.integers(0, 4, n) if ties else rng.normal(size=n)) * size
    found, expected = sample_moments(values), twin.sample_moments(values)
    assert found[0] == expected[0]
    assert found[3:] == expected[3:]
    np.testing.assert_allclose(found[1:3], expected[1:3], rtol=1e-9, atol=1e-12 * size**2)


@given(seeds, st.integers(1, 6), sizes, st.booleans())
def test_moment_equations(seed, n, size, lost):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, n + 3)) * size
    equations, right = root @ root.T, rng.normal(size=n) * size**2
    if lost:  # a dependent unknown, and one whose diagonal rounding has made negative
        equations[-1], equations[:, -1] = equations[0], equations[:, 0]
        equations[-1, -1] = equations[0, 0] if n > 1 else -1.0
    found = solve_moment_equations(equations, right, 1e-10)
    expected = twin.solve_moment_equations(equations, right, 1e-10)
    # the condition of so few random equations is below 1e6
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@given(seeds, st.integers(1, 5), sizes)
def test_roots_inside_the_cone(seed, k, size):
    rng = np.random.default_rng(seed)
    block = rng.normal(size=(k, k)) * size
    block = block + block.T
    found = root_inside(np.tril(block), 0.01, 100.0)
    np.testing.assert_allclose(found, twin.root_inside(block, 0.01, 100.0), **CLOSE)


def test_numbers_that_are_not_finite_and_wrong_shapes():
    with pytest.raises(np.linalg.LinAlgError):
        root_inside(np.full((2, 2), np.nan), 0.01, 100.0)
    with pytest.raises(np.linalg.LinAlgError):
        solve_moment_equations(np.array([[np.inf]]), np.ones(1), 1e-10)
    with pytest.raises(ValueError, match="no values"):
        sample_moments(np.empty(0))
    with pytest.raises(ValueError, match=r"E \(n,n\)"):
        solve_moment_equations(np.eye(2), np.ones(3), 1e-10)
    with pytest.raises(ValueError, match=r"block \(k,k\)"):
        root_inside(np.ones((2, 3)), 0.01, 100.0)
