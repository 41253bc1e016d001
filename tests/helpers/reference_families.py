"""NumPy versions of the kernels of generalized linear mixed models, and their deviance by dense algebra.

`family_rows` uses mpmath-free textbook formulas from (mu, V) and their derivatives, the kernel
hazards; the two share no step. `DenseModel` has no engine, no grouping and no adjoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import special, stats

__all__ = [
    "DenseModel",
    "effects_add",
    "effects_cross",
    "effects_quadratic",
    "effects_sum",
    "family_rows",
    "finite_differences",
    "inverse_link",
]

Array = np.ndarray


def inverse_link(link: str, eta: Array) -> tuple[Array, Array, Array, Array]:
    """Means and three derivatives."""
    if link == "logit":
        m = special.expit(eta)
        v = m * (1 - m)
        return m, v, v * (1 - 2 * m), v * (1 - 6 * v)
    if link == "probit":
        f = stats.norm.pdf(eta)
        return stats.norm.cdf(eta), f, -eta * f, (eta**2 - 1) * f
    if link == "cloglog":
        x = np.exp(eta)
        g = np.exp(eta - x)
        return -np.expm1(-x), g, g * (1 - x), g * ((1 - x) ** 2 - x)
    if link == "cauchit":
        d = 1 + eta**2
        return (
            0.5 + np.arctan(eta) / np.pi,
            1 / (np.pi * d),
            -2 * eta / (np.pi * d**2),
            (6 * eta**2 - 2) / (np.pi * d**3),
        )
    if link == "log":
        m = np.exp(eta)
        return m, m, m, m
    if link == "inverse":
        return 1 / eta, -1 / eta**2, 2 / eta**3, -6 / eta**4
    if link == "sqrt":
        return eta**2, 2 * eta, np.full_like(eta, 2.0), np.zeros_like(eta)
    return eta, np.ones_like(eta), np.zeros_like(eta), np.zeros_like(eta)


def _variance(family: str, m: Array, extra: float) -> tuple[Array, Array, Array]:
    one = np.ones_like(m)
    return {
        "binomial": (m * (1 - m), 1 - 2 * m, -2 * one),
        "poisson": (m, one, 0 * one),
        "Gamma": (m**2, 2 * m, 2 * one),
        "inverse_gaussian": (m**3, 3 * m**2, 6 * m),
        "nbinom2": (m + m**2 / extra, 1 + 2 * m / extra, 2 * one / extra),
    }[family]


def _loglik(family: str, m: Array, y: Array, a: Array, extra: float) -> Array:
    """Compute the log likelihood without terms that do not depend on the mean."""
    if family == "binomial":
        return special.xlogy(y, m) + special.xlog1py(a - y, -m)
    if family == "poisson":
        return a * (special.xlogy(y, m) - m)
    if family == "Gamma":
        return -a * (np.log(m) + y / m)
    if family == "inverse_gaussian":
        return -a * (y - m) ** 2 / (2 * m**2 * y)
    return a * (special.xlogy(y, m) - (y + extra) * np.log(m + extra) + extra * np.log(extra))


def family_rows(
    family: str, link: str, eta: Array, y: Array, a: Array, extra: float, third: bool
) -> Array:
    m, m1, m2, m3 = inverse_link(link, eta)
    V, V1, V2 = _variance(family, m, extra)
    r = y - a * m if family == "binomial" else a * (y - m)
    q = m2 / V - m1**2 * V1 / V**2
    w = a * m1**2 / V
    out = [_loglik(family, m, y, a, extra), r * m1 / V, w, w - r * q]
    if third:
        dq = m3 / V - 3 * m1 * m2 * V1 / V**2 - m1**3 * V2 / V**2 + 2 * m1**3 * V1**2 / V**3
        dw = a * (2 * m1 * m2 / V - m1**3 * V1 / V**2)
        out += [dw, dw + a * m1 * q - r * dq]
    return np.array(out)


# -- rows and levels -------------------------------------------------------------------------------


def _columns(z: Array | None, n: int) -> Array:
    return np.ones((n, 1)) if z is None else z


def effects_add(codes: Array, z: Array | None, b: Array, out: Array) -> None:
    out += (_columns(z, len(out)) * b[codes]).sum(axis=1)


def effects_sum(codes: Array, count: int, z: Array | None, r: Array) -> Array:
    out = np.zeros((count, _columns(z, len(r)).shape[1]))
    np.add.at(out, codes, _columns(z, len(r)) * r[:, None])
    return out


def effects_cross(codes: Array, count: int, z: Array | None, y: Array | None, w: Array) -> Array:
    left, right = _columns(z, len(w)), _columns(y, len(w))
    out = np.zeros((count, left.shape[1], right.shape[1]))
    np.add.at(out, codes, w[:, None, None] * left[:, :, None] * right[:, None, :])
    return out


def effects_quadratic(
    codes: Array, z: Array | None, y: Array | None, Q: Array, scale: float, out: Array
) -> None:
    n = len(out)
    out += scale * np.einsum("ia,iab,ib->i", _columns(z, n), Q[codes], _columns(y, n))


# -- a whole model ---------------------------------------------------------------------------------


def finite_differences(f: Callable[[Array], float], x: Array, step: float = 1e-4) -> Array:
    """Fourth-order central differences."""
    out = np.empty_like(x)
    for i in range(len(x)):
        e = np.zeros_like(x)
        e[i] = step * max(1.0, abs(x[i]))
        out[i] = (8 * (f(x + e) - f(x - e)) - (f(x + 2 * e) - f(x - 2 * e))) / (12 * e[i])
    return out


class DenseModel:
    """Laplace's approximation with a dense Z Lambda, modes by Fisher scoring from zero.

    Parameters
    ----------
    family, link : str
    y, size : (n,) arrays
        As the kernel takes them.
    X : (n, p) array
    terms : sequence of (codes (n,), columns (n,k))
        Each with lower triangular relative factors of its own.
    offset : (n,) array
    extra : float
    """

    def __init__(
        self,
        family: str,
        link: str,
        y: Array,
        size: Array,
        X: Array,
        terms: Sequence[tuple[Array, Array]],
        offset: Array,
        extra: float = 0.0,
    ) -> None:
        self.family, self.link, self.y, self.size = family, link, y, size
        self.X, self.offset, self.extra = X, offset, extra
        self.Z, self.blocks = [], []
        for codes, columns in terms:
            J, k = codes.max() + 1, columns.shape[1]
            Z = np.zeros((len(y), J * k))
            for a in range(k):
                Z[np.arange(len(y)), codes * k + a] = columns[:, a]
            self.Z.append(Z)
            self.blocks.append((J, k))

    def _rows(self, eta: Array) -> Array:
        with np.errstate(all="ignore"):
            return family_rows(self.family, self.link, eta, self.y, self.size, self.extra, False)

    def modes(self, lambdas: Sequence[Array], beta: Array) -> tuple[Array, Array, Array]:
        """u, Z Lambda and eta at the modes."""
        ZL = np.hstack(
            [
                Z @ np.kron(np.eye(J), lam)
                for Z, lam, (J, _) in zip(self.Z, lambdas, self.blocks, strict=True)
            ]
        )
        fixed = self.X @ beta + self.offset
        u = np.zeros(ZL.shape[1])

        def J_of(u: Array) -> float:
            return float(-self._rows(fixed + ZL @ u)[0].sum() + 0.5 * u @ u)

        value = J_of(u)
        for _ in range(2000):
            _, s, w, _ = self._rows(fixed + ZL @ u)
            gradient = ZL.T @ s - u
            step = np.linalg.solve(ZL.T @ (w[:, None] * ZL) + np.eye(len(u)), gradient)
            if gradient @ step < 1e-22:
                break
            length = 1.0
            while not (new := J_of(u + length * step)) <= value + 1e-12 * abs(value):
                length /= 2
                if length < 1e-12:
                    return u, ZL, fixed + ZL @ u
            u, value = u + length * step, new
        return u, ZL, fixed + ZL @ u

    def deviance(self, lambdas: Sequence[Array], beta: Array, curvature: str = "expected") -> float:
        """-2 log likelihood without terms that do not depend on the linear predictor."""
        u, ZL, eta = self.modes(lambdas, beta)
        ll, _, w, h = self._rows(eta)
        weights = w if curvature == "expected" else h
        M = ZL.T @ (weights[:, None] * ZL) + np.eye(len(u))
        return float(-2 * ll.sum() + u @ u + np.linalg.slogdet(M)[1])
