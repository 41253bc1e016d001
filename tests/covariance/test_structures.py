"""Structures of random terms.

The two of lme4, and a third that is none of them, through `Covariance`.
"""

from __future__ import annotations

import numpy as np
import pytest

from mixedfast.covariance.relative import Covariance, TermShape
from mixedfast.covariance.structures import Diagonal, Unstructured, structure_of

#: Central differences of functions of order one.
DIFFERENCES = 1e-7


class Exchangeable:
    """Two columns of equal variance s^2 and correlation tanh(z): theta = (s, z)."""

    k, size = 2, 2
    places = np.array([[0, 1, 1], [0, 0, 1]])
    is_elementary = False
    start, lower = np.array([1.0, 0.0]), np.array([0.0, -np.inf])
    natural = ((0, 0), (1, 0))

    def elements(self, theta):
        s, z = theta[..., 0], theta[..., 1]
        return np.stack([s, s * np.tanh(z), s / np.cosh(z)], axis=-1)

    def theta_of(self, elements):
        s = elements[..., 0]
        return np.stack([s, np.arctanh(elements[..., 1] / s)], axis=-1)

    def jacobian(self, theta):
        s, z = theta[..., 0], theta[..., 1]
        r, c = np.tanh(z), 1.0 / np.cosh(z)
        by_s = np.stack([np.ones_like(s), r, c], axis=-1)
        by_z = np.stack([np.zeros_like(s), s * c**2, -s * r * c], axis=-1)
        return np.stack([by_s, by_z], axis=-1)

    def curvature(self, theta, weights):
        s, z = theta[..., 0], theta[..., 1]
        r, c = np.tanh(z), 1.0 / np.cosh(z)
        out = np.zeros((*theta.shape[:-1], 2, 2))
        out[..., 0, 1] = out[..., 1, 0] = weights[..., 1] * c**2 - weights[..., 2] * r * c
        out[..., 1, 1] = s * (
            -2.0 * weights[..., 1] * r * c**2 - weights[..., 2] * c * (c**2 - r**2)
        )
        return out


class ExchangeableShape(TermShape):
    structure = Exchangeable()


def a_covariance():
    terms = (TermShape(0, 0, 2, True), ExchangeableShape(0, 2, 2, True), TermShape(1, 0, 3, False))
    sizes = (4, 3)
    return Covariance(
        terms, sizes, tuple(np.zeros(n) for n in sizes), tuple(np.ones(n) for n in sizes)
    )


def a_function(cov, generator):
    """Return a cubic function of the relative covariances, its value and its derivatives in them."""
    A = [generator.normal(size=(n, n)) for n in cov.sizes]
    A = [part + part.T for part in A]

    def value(theta):
        H = [lam @ lam.swapaxes(-1, -2) for lam in cov.lambdas(theta)]
        inner = sum(np.einsum("ab,...ab->...", a, h) for a, h in zip(A, H, strict=True))
        return inner + inner**3 / 3.0

    def derivatives(theta):
        H = [lam @ lam.swapaxes(-1, -2) for lam in cov.lambdas(theta)]
        inner = sum(np.einsum("ab,...ab->...", a, h) for a, h in zip(A, H, strict=True))
        G = [(1.0 + inner**2)[..., None, None] * a for a in A]
        second = {
            (g, h): 2.0 * inner[..., None, None, None, None] * np.multiply.outer(A[g], A[h])
            for g in range(2)
            for h in range(g, 2)
        }
        return G, second

    return value, derivatives


def test_derivatives_through_any_structure():
    cov = a_covariance()
    assert (cov.n_theta, cov.edges) == (8, [0, 3, 5, 8])
    generator = np.random.default_rng(1)
    value, derivatives = a_function(cov, generator)
    theta = 0.3 + 0.2 * generator.normal(size=(4, 8))
    G, second = derivatives(theta)
    lambdas = cov.lambdas(theta)
    gradient, hessian = cov.gradient(lambdas, G), cov.hessian(lambdas, G, second)
    h = 1e-5
    for i, move in enumerate(h * np.eye(8)):
        slope = (value(theta + move) - value(theta - move)) / (2.0 * h)
        np.testing.assert_allclose(gradient[:, i], slope, atol=DIFFERENCES * 10.0)
        sides = []
        for side in (theta + move, theta - move):
            G, _ = derivatives(side)
            sides.append(cov.gradient(cov.lambdas(side), G))
        slopes = (sides[0] - sides[1]) / (2.0 * h)
        np.testing.assert_allclose(hessian[:, i], slopes, atol=DIFFERENCES * 10.0)
    one = cov.gradient([lam[2] for lam in lambdas], [g[2] for g in derivatives(theta)[0]])
    np.testing.assert_allclose(one, gradient[2], rtol=1e-14)


def test_theta_and_lambdas_are_each_others_inverse():
    cov = a_covariance()
    theta = np.random.default_rng(2).uniform(0.2, 1.0, (5, 8))
    np.testing.assert_allclose(cov.theta_of(cov.lambdas(theta)), theta, rtol=1e-12)
    for block in cov.lambdas(cov.identity):
        np.testing.assert_array_equal(block, np.eye(len(block)))
    assert cov.singular_terms(cov.identity * [1, 1, 1, 1, 1, 1, 0, 1]) == (False, False, True)


@pytest.mark.parametrize(("structure", "size"), [(Unstructured(3), 6), (Diagonal(3), 3)])
def test_lme4_lists_elements_column_by_column(structure, size):
    assert structure.size == size == len(structure.start)
    rows, columns = structure.places
    assert (np.diff(columns) >= 0).all() and (rows >= columns).all()
    theta = np.arange(1.0, size + 1.0)
    assert structure.elements(theta) is theta and structure.theta_of(theta) is theta
    np.testing.assert_array_equal(structure.jacobian(theta), np.eye(size))
    assert not structure.curvature(theta, theta).any()
    np.testing.assert_array_equal(structure.lower == 0.0, structure.start == 1.0)


def test_names_follow_the_elements():
    names = Unstructured(2).names(["Intercept", "x"])
    assert names == ["sd_Intercept", "cor_x.Intercept", "sd_x"]
    assert Diagonal(2).names(["Intercept", "x"]) == ["sd_Intercept", "sd_x"]
    assert isinstance(structure_of(2, False), Diagonal)
    assert structure_of(2, True) is structure_of(2, True)


def test_variance_is_added_where_the_criterion_falls():
    slopes = np.array([[1.0, -3.0], [-3.0, 1.0]])
    scale = np.array([1.0, 0.5])
    (v,) = Unstructured(2).descent_directions(slopes, scale)
    assert v @ slopes @ v < 0.0
    assert Diagonal(2).descent_directions(slopes, scale) == []
    (v,) = Diagonal(2).descent_directions(np.diag([1.0, -1.0]), scale)
    np.testing.assert_array_equal(v, [0.0, 0.5])
    assert Unstructured(2).descent_directions(np.eye(2), scale) == []
