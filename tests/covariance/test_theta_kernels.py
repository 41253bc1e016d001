"""Kernels of one theta, against their NumPy twins, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import reference_kernels as _reference
from helpers.kernels import SEEDS, SOLVED, close
from hypothesis import given
from hypothesis import strategies as st

from mixedfast.covariance import _theta


def positive(rng, n):
    own = rng.normal(size=(n + 3, n))
    return own.T @ own


@given(st.sampled_from([1, 2, 3, 8]), SEEDS)
def test_solved(n, seed):
    S = positive(np.random.default_rng(seed), n)
    for ours, theirs in zip(
        _theta.solve_normal_equations(S), _reference.solve_normal_equations(S), strict=True
    ):
        close(ours, theirs, SOLVED)
    S[-1, -1] = -1.0
    assert _theta.solve_normal_equations(S) is None
    assert _reference.solve_normal_equations(S) is None
    S[-1, -1] = np.nan
    assert _theta.solve_normal_equations(S) is None


@given(
    st.sampled_from([1, 2, 3, 6]),
    st.integers(0, 4),
    st.sampled_from([1e-9, 0.3]),
    st.booleans(),
    SEEDS,
)
def test_newton_steps(m, N, floor, definite, seed):
    rng = np.random.default_rng(seed)
    hessian = np.array([positive(rng, m) for _ in range(N)]).reshape(N, m, m)
    if not definite:
        hessian[:, 0, 0] = -2.0
    gradient = rng.normal(size=(N, m))
    steps, decreases = _theta.newton_steps(gradient, hessian, floor)
    expected, expected_decreases = _reference.newton_steps(gradient, hessian, floor)
    close(steps, expected, SOLVED)
    close(decreases, expected_decreases, SOLVED)


@given(st.integers(1, 6), SEEDS)
def test_lower_inverse(k, seed):
    rng = np.random.default_rng(seed)
    L = np.tril(rng.normal(size=(k, k)), -1) + np.diag(
        rng.choice([-1.0, 1.0], k) * rng.uniform(0.5, 2.0, k)
    )
    close(_theta.lower_inverse(L), _reference.lower_inverse(L), SOLVED)


@given(st.sampled_from([1, 2, 3]), st.sampled_from([1, 2, 3]), st.sampled_from([1, 4]), SEEDS)
def test_derivatives_in_theta(K_g, K_h, N, seed):
    rng = np.random.default_rng(seed)
    lambdas = [np.tril(rng.normal(size=(N, K, K))) for K in (K_g, K_h)]
    elements = [np.array(np.tril_indices(K), dtype=np.int64) for K in (K_g, K_h)]
    order, count = (
        rng.permutation(elements[0].shape[1] + elements[1].shape[1]),
        elements[0].shape[1],
    )
    places = [
        np.vstack([at, own])
        for at, own in zip((order[:count], order[count:]), elements, strict=True)
    ]
    G = [block + block.swapaxes(1, 2) for block in (rng.normal(size=(N, K, K)) for K in (K_g, K_h))]
    gradients = [np.empty((N, len(order))) for _ in range(2)]
    hessians = [np.empty((N, len(order), len(order))) for _ in range(2)]
    for module, gradient in zip((_theta, _reference), gradients, strict=True):
        for g in (0, 1):
            module.theta_gradient(lambdas[g], G[g], places[g], gradient)
    for g, h in ((0, 0), (0, 1), (1, 1)):
        H = rng.normal(size=(N, *lambdas[g].shape[1:], *lambdas[h].shape[1:]))
        H = H + H.transpose(0, 3, 4, 1, 2) if g == h else H
        for module, hessian in zip((_theta, _reference), hessians, strict=True):
            bend = G[g] if g == h else None
            module.theta_hessian(lambdas[g], lambdas[h], H, bend, places[g], places[h], hessian)
    close(*gradients)
    close(*hessians)


@given(st.sampled_from([1, 2, 3]), st.sampled_from([1, 2, 3]), st.booleans(), SEEDS)
def test_second_derivative(K_g, K_h, exact, seed):
    rng = np.random.default_rng(seed)
    shape = (K_g, K_g, K_h, K_h)
    Q, traces = rng.normal(size=shape), rng.normal(size=shape) if exact else None
    vv = [np.outer(v, v) for v in (rng.normal(size=K_g), rng.normal(size=K_h))]
    found = _theta.second_derivative(Q, *vv, traces, 17.0, 3.0)
    close(found, _reference.second_derivative(Q, *vv, traces, 17.0, 3.0))


def test_one_theta_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="solve_normal_equations"):
        _theta.solve_normal_equations(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="lower_inverse"):
        _theta.lower_inverse(np.zeros((2, 3)))
    for shape in ((1, 2, 3), (1, 3, 3), (2, 2, 2)):
        with pytest.raises(ValueError, match="newton_steps"):
            _theta.newton_steps(np.zeros((1, 2)), np.zeros(shape), 1e-9)
    for wrong in (np.nan, np.inf):
        with pytest.raises(np.linalg.LinAlgError, match="finite"):
            _theta.newton_steps(np.zeros((2, 1)), np.array([[[1.0]], [[wrong]]]), 1e-9)
    lam, H, places = (
        np.zeros((1, 2, 2)),
        np.zeros((1, 2, 2, 2, 2)),
        np.array([[0, 1], [0, 1], [0, 0]]),
    )
    row, square = np.empty((1, 2)), np.empty((1, 2, 2))
    with pytest.raises(ValueError, match="theta_gradient"):
        _theta.theta_gradient(lam, np.zeros((2, 2, 2)), places, row)
    with pytest.raises(ValueError, match="theta_hessian"):
        _theta.theta_hessian(lam, np.zeros((2, 2, 2)), H, None, places, places, square)
    with pytest.raises(ValueError, match="theta_hessian: G"):
        _theta.theta_hessian(lam, lam, H, np.zeros((1, 1, 1)), places, places, square)
    for wrong in (places + 1, -places, places[:2].copy()):
        with pytest.raises(IndexError, match="theta_gradient"):
            _theta.theta_gradient(lam, lam, wrong, row)
        with pytest.raises(IndexError, match="theta_hessian"):
            _theta.theta_hessian(lam, lam, H, None, places, wrong, square)
    for blocks, traces in ((np.zeros((2, 2, 1, 1)), None), (H[0], np.zeros((2, 2, 1, 1)))):
        with pytest.raises(ValueError, match="second_derivative"):
            _theta.second_derivative(blocks, lam[0], lam[0], traces, 1.0, 1.0)


@given(st.integers(1, 4), st.integers(1, 5), st.sampled_from([1e-6, 1.0, 1e6]), SEEDS)
def test_lower_roots(N, k, size, seed):
    roots = np.random.default_rng(seed).normal(size=(N, k, k)) * size
    found = _theta.lower_roots(roots)
    close(found @ found.swapaxes(1, 2), roots @ roots.swapaxes(1, 2), SOLVED)
    close(found, _reference.lower_roots(roots), 1e-8)  # the condition of so small a root
    assert (found == np.tril(found)).all()


def test_a_row_with_nothing_left_has_no_column():
    found = _theta.lower_roots(np.array([[[0.0, 0.0], [3.0, 4.0]], [[1.0, 0.0], [2.0, 0.0]]]))
    np.testing.assert_array_equal(found, [[[0.0, 0.0], [0.0, 5.0]], [[1.0, 0.0], [2.0, 0.0]]])
    with pytest.raises(ValueError, match="lower_roots"):
        _theta.lower_roots(np.zeros((1, 2, 3)))
