"""A whole model by dense algebra: the n x n covariance matrix and the textbook formulas.

It shares no code with the package, which does not call it either; only tests do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from helpers.reference_kernels import product_of

__all__ = ["DenseModel", "DenseSolution", "KenwardRoger", "dense_model"]

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class DenseSolution:
    """The model at one theta; ``modes`` (J,K) and ``posterior`` (J,K,K) a group."""

    deviance: float
    beta: Array
    sigma: float
    vcov: Array
    modes: list[Array]
    posterior: list[Array]


@dataclass(frozen=True, eq=False)
class KenwardRoger:
    """Return Phi (p,p), the adjusted matrix ``vcov``, P (r,p,p) and W (r,r).

    The names are those of Kenward and Roger (1997).
    """

    Phi: Array
    vcov: Array
    P: Array
    W: Array

    def f_test(self, L: Array, difference: Array) -> tuple[float, float]:
        """Scaled F and its denominator df for L (q,p) of full row rank."""
        q, Phi = len(L), self.Phi
        F = float(difference @ np.linalg.solve(L @ self.vcov @ L.T, difference)) / q
        Theta = L.T @ np.linalg.inv(L @ Phi @ L.T) @ L
        parts = [Theta @ Phi @ P @ Phi for P in self.P]
        A1 = sum(
            w * np.trace(parts[i]) * np.trace(parts[j]) for (i, j), w in np.ndenumerate(self.W)
        )
        A2 = sum(w * np.trace(parts[i] @ parts[j]) for (i, j), w in np.ndenumerate(self.W))
        B = (A1 + 6.0 * A2) / (2.0 * q)
        g = ((q + 1.0) * A1 - (q + 4.0) * A2) / ((q + 2.0) * A2)
        c1, c2, c3 = (c / (3.0 * q + 2.0 * (1.0 - g)) for c in (g, q - g, q + 2.0 - g))
        mean = 1.0 / (1.0 - A2 / q)
        variance = (2.0 / q) * (1.0 + c1 * B) / ((1.0 - c2 * B) ** 2 * (1.0 - c3 * B))
        rho = variance / (2.0 * mean**2)
        df = 4.0 + (q + 2.0) / (q * rho - 1.0)
        return float(df / (mean * (df - 2.0)) * F), float(df)


@dataclass(frozen=True, eq=False)
class DenseModel:
    """A linear mixed model by n x n matrices.

    V = sigma^2 (W^-1 + sum_g Z_g (I x lambda_g lambda_g') Z_g').

    Parameters
    ----------
    y : (n,) array
        The offset subtracted.
    X : (n, p) array
    Z : tuple of (n, J, K) arrays
        One a grouping factor: row, level, column.
    terms : tuple of (group, start, k, correlated)
        Which columns of which factor a term owns, in theta's order.
    weights : (n,) array
    reml : bool

    Examples
    --------
    >>> Z = np.repeat(np.eye(2), 2, axis=0)[:, :, None]
    >>> model = DenseModel(np.arange(4.0), np.ones((4, 1)), (Z,), ((0, 0, 1, True),), np.ones(4), True)
    >>> model.solve(np.array([1.0])).beta
    array([1.5])
    """

    y: Array
    X: Array
    Z: tuple[Array, ...]
    terms: tuple[tuple[int, int, int, bool], ...]
    weights: Array
    reml: bool

    # theta -> lambda -> V and its derivatives

    @property
    def _places(self) -> list[tuple[int, int, int]]:
        """(group, row, column) of every theta: lambda column by column, or its diagonal."""
        return [
            (group, start + row, start + column)
            for group, start, k, correlated in self.terms
            for column in range(k)
            for row in (range(column, k) if correlated else [column])
        ]

    def lambdas(self, theta: Array) -> list[Array]:
        """lambda (K,K) of each group."""
        out = [np.zeros((z.shape[2],) * 2) for z in self.Z]
        for value, (group, row, column) in zip(theta, self._places, strict=True):
            out[group][row, column] = value
        return out

    def _spread(self, group: int, H: Array) -> Array:
        """Z (I x H) Z', (n,n)."""
        out: Array = np.einsum("ija,ab,ljb->il", self.Z[group], H, self.Z[group], optimize=True)
        return out

    def relative_covariance(self, theta: Array) -> Array:
        """V / sigma^2, (n,n)."""
        V = np.diag(1.0 / self.weights)
        for g, lam in enumerate(self.lambdas(theta)):
            V += self._spread(g, lam @ lam.T)
        return V

    def _derivatives(
        self, theta: Array, sigma: float
    ) -> tuple[list[Array], dict[tuple[int, int], Array]]:
        """First and second derivatives of V in (theta, sigma)."""
        lambdas, places, m = self.lambdas(theta), self._places, len(theta)
        units = []
        for group, row, column in places:
            unit = np.zeros_like(lambdas[group])
            unit[row, column] = 1.0
            units.append(unit)
        slopes = [
            self._spread(g, unit @ lambdas[g].T + lambdas[g] @ unit.T)
            for (g, _, _), unit in zip(places, units, strict=True)
        ]
        V0 = self.relative_covariance(theta)
        first = [sigma**2 * slope for slope in slopes] + [2.0 * sigma * V0]
        second = {(m, m): 2.0 * V0}
        for i in range(m):
            second[i, m] = second[m, i] = 2.0 * sigma * slopes[i]
            for j in range(m):
                if places[i][0] == places[j][0]:
                    bend = units[i] @ units[j].T + units[j] @ units[i].T
                    second[i, j] = sigma**2 * self._spread(places[i][0], bend)
                else:
                    second[i, j] = np.zeros_like(V0)
        return first, second

    def _projector(self, V: Array) -> tuple[Array, Array, Array]:
        """V^-1, Phi = (X'V^-1X)^-1 and P = V^-1 - V^-1 X Phi X'V^-1."""
        inverse = np.linalg.inv(V)
        inverse = 0.5 * (inverse + inverse.T)
        Phi = np.linalg.inv(self.X.T @ inverse @ self.X)
        half = inverse @ self.X
        return inverse, Phi, inverse - half @ Phi @ half.T

    # the model at theta

    @property
    def nu(self) -> int:
        return len(self.y) - (self.X.shape[1] if self.reml else 0)

    def solve(self, theta: Array) -> DenseSolution:
        """Profiled criterion, estimates and conditional modes at theta."""
        V0 = self.relative_covariance(theta)
        inverse, Phi, P = self._projector(V0)
        sigma2 = float(self.y @ P @ self.y) / self.nu
        deviance = np.linalg.slogdet(V0)[1] + self.nu * (1.0 + np.log(2.0 * np.pi * sigma2))
        if self.reml:
            deviance -= np.linalg.slogdet(Phi)[1]
        modes, posterior = [], []
        for Z, lam in zip(self.Z, self.lambdas(theta), strict=True):
            H = lam @ lam.T
            K = np.einsum("ija,il,ljb->jab", Z, inverse, Z, optimize=True)
            modes.append(np.einsum("ab,ijb,i->ja", H, Z, P @ self.y, optimize=True))
            posterior.append(sigma2 * (H - H @ K @ H))
        beta = Phi @ self.X.T @ inverse @ self.y
        return DenseSolution(
            float(deviance), beta, float(np.sqrt(sigma2)), sigma2 * Phi, modes, posterior
        )

    def gradient(self, theta: Array) -> Array:
        """d deviance / d theta, (m,): at the profiled sigma it is the partial derivative."""
        return self._score(theta, self.solve(theta).sigma)[:-1]

    def hessian(self, theta: Array) -> Array:
        """Second derivatives of the profiled deviance, (m,m)."""
        full = self.information(theta, self.solve(theta).sigma)
        out: Array = full[:-1, :-1] - np.outer(full[:-1, -1], full[-1, :-1]) / full[-1, -1]
        return out

    def _score(self, theta: Array, sigma: float) -> Array:
        first, _ = self._derivatives(theta, sigma)
        inverse, _, P = self._projector(sigma**2 * self.relative_covariance(theta))
        Q, Py = (P if self.reml else inverse), P @ self.y
        return np.array([np.sum(Q * V) - Py @ V @ Py for V in first])

    def information(self, theta: Array, sigma: float) -> Array:
        """Hessian of -2 log L in (theta, sigma), (m+1, m+1)."""
        first, second = self._derivatives(theta, sigma)
        inverse, _, P = self._projector(sigma**2 * self.relative_covariance(theta))
        Q, Py = (P if self.reml else inverse), P @ self.y
        out = np.empty((len(first),) * 2)
        for i, j in np.ndindex(out.shape):
            bend, left, right = second[i, j], first[i], first[j]
            out[i, j] = np.sum(Q * bend) - Py @ bend @ Py - np.sum((Q @ left) * (Q @ right).T)
            out[i, j] += 2.0 * Py @ left @ P @ right @ Py
        return out

    # inference

    def satterthwaite(self, theta: Array, sigma: float, contrast: Array) -> float:
        """Return the Satterthwaite df of a contrast l.

        nu = 2 f^2 / (g'Ag) with f = l'Phi l, g its gradient in (theta, sigma), and A twice the
        inverse Hessian.
        """
        first, _ = self._derivatives(theta, sigma)
        inverse, Phi, _ = self._projector(sigma**2 * self.relative_covariance(theta))
        direction = inverse @ self.X @ Phi @ contrast
        g = np.array([direction @ V @ direction for V in first])
        f = float(contrast @ Phi @ contrast)
        return float(2.0 * f**2 / (g @ (2.0 * np.linalg.inv(self.information(theta, sigma))) @ g))

    def kenward_roger(self, theta: Array, sigma: float) -> KenwardRoger:
        """Return every P_r, Q_rs and T_rs.

        They come from the n x n derivatives G_r of V in the covariances and sigma^2.
        """
        G = []
        for group, row, column in self._places:
            E = np.zeros((self.Z[group].shape[2],) * 2)
            E[row, column] = E[column, row] = 1.0
            G.append(self._spread(group, E))
        G.append(np.diag(1.0 / self.weights))
        inverse, Phi, _ = self._projector(sigma**2 * self.relative_covariance(theta))
        VX = inverse @ self.X
        count, p = len(G), self.X.shape[1]
        P = np.array([-VX.T @ g @ VX for g in G])
        information, Q = np.empty((count, count)), np.empty((count, count, p, p))
        for r, s in np.ndindex(count, count):
            Q[r, s] = VX.T @ G[r] @ inverse @ G[s] @ VX
            T = np.trace(inverse @ G[r] @ inverse @ G[s])
            information[r, s] = (
                T - 2.0 * np.trace(Phi @ Q[r, s]) + np.trace(Phi @ P[r] @ Phi @ P[s])
            )
        W = 2.0 * np.linalg.inv(information)
        middle = sum(W[r, s] * (Q[r, s] - P[r] @ Phi @ P[s]) for r, s in np.ndindex(count, count))
        return KenwardRoger(Phi, Phi + 2.0 * Phi @ middle @ Phi, P, W)


def dense_model(design: Any, reml: bool = True) -> DenseModel:
    """Return the dense model of a design, factors in the order of their terms."""
    names = list(dict.fromkeys(term.group for term in design.terms))
    widths = dict.fromkeys(names, 0)
    columns: dict[str, list[Array]] = {name: [] for name in names}
    terms = []
    for term in design.terms:
        k = len(term.columns)
        terms.append((names.index(term.group), widths[term.group], k, bool(term.correlated)))
        widths[term.group] += k
        columns[term.group] += [product_of(column, design.n) for column in term.columns]
    Z = []
    for name in names:
        term = next(t for t in design.terms if t.group == name)
        member = np.equal.outer(term.codes, np.arange(len(term.levels))).astype(float)
        Z.append(member[:, :, None] * np.column_stack(columns[name])[:, None, :])
    y = design.y if design.offset is None else design.y - design.offset
    X = (
        np.array([product_of(column, design.n) for column in design.x])
        .reshape(len(design.x), design.n)
        .T
    )
    weights = np.ones(design.n) if design.weights is None else design.weights
    return DenseModel(y, X, tuple(Z), tuple(terms), weights, reml)
