"""Kenward and Roger's adjusted covariance, F statistic and degrees of freedom.

Kenward and Roger (1997), Biometrics 53. Computed once per fit.

All in the metric V^-1 (docs/maths.md, "What inference needs") with sigma = 1, and in coordinates of
beta where Phi = (X'V^-1 X)^-1 is the identity (``D = Z'V^-1 X L_X^-T``), so that the matrices are
small and well scaled for data in any units. No n x n matrix, no numerical derivative.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from mixedfast.covariance.relative import SMALLEST_DIVISOR
from mixedfast.estimation.fit import Fit, fit_crossproducts
from mixedfast.inference.ddf.information import covariance_root, jackknife_error
from mixedfast.inference.ddf.joint_hypothesis import std_errors, wald
from mixedfast.inference.ddf.trace_methods import KenwardRoger, PairTraces, pair_traces

__all__ = ["KenwardRogerTerms", "factor_and_df", "kenward_roger", "reml_fit"]

#: A2 is zero up to rounding when it is below this, relative to A1 or to one.
_NOTHING = 1e-14
#: A1 equals q A2 when they differ by no more than this fraction; rounding of both is about 1e-13.
_EQUAL = 1e-10
#: Distance of nu from 2 below which nu / (nu - 2) is not used, the value of pbkrtest.
_NEAR_TWO = 1e-2


def reml_fit(fit: Fit) -> Fit:
    """Return the fit itself under REML, otherwise the same model refitted by REML, memoised."""
    if fit.reml:
        return fit
    return fit.memo(
        "reml",
        lambda: fit_crossproducts(fit.cp, True, engine=fit.engine_wanted, remainder=fit.remainder),
    )


@dataclass(frozen=True, eq=False)
class KenwardRogerTerms:
    """The quantities of Kenward and Roger (1997), where Phi is the identity and sigma = 1.

    Parameters
    ----------
    fit : Fit
        A REML fit.
    half : (p, p) array
        Phi_user = sigma^2 half half'.
    adjusted : (p, p) array
        Phi_A in whitened coordinates.
    P : (r, p, p) array
        P_r for every variance parameter, the residual last.
    W : (r, r) array
        Asymptotic covariance of the variance parameters, from the expected information.
    resampled : tuple of KenwardRogerTerms
        The same without each batch of probes; empty when traces are exact.
    """

    fit: Fit
    half: np.ndarray
    adjusted: np.ndarray
    P: np.ndarray
    W: np.ndarray
    resampled: tuple[KenwardRogerTerms, ...] = ()

    @property
    def vcov(self) -> np.ndarray:
        """Adjusted covariance matrix of beta, user's units."""
        return self.fit.sigma**2 * self.half @ self.adjusted @ self.half.T

    def df_error(self, L: np.ndarray) -> float:
        """Compute the standard error of the df of L beta = rhs due to the probes; 0 without any."""
        return jackknife_error([terms.factor_and_df(L)[1] for terms in self.resampled])

    def std_errors(self, L: np.ndarray) -> np.ndarray:
        """Compute standard errors of L beta with the adjusted covariance, (r,)."""
        return std_errors(self.fit, L, self.adjusted)

    def wald(self, L: np.ndarray, difference: np.ndarray) -> float:
        """Compute the Wald statistic of independent rows L with the adjusted covariance.

        `difference` is L beta_hat - rhs at the REML estimates.
        """
        return wald(self.fit, L, difference, self.adjusted)

    def factor_and_df(self, L: np.ndarray) -> tuple[float, float]:
        """Compute the factor of F and the denominator df of independent rows L (q, p).

        Notes
        -----
        Kenward and Roger (1997), section 4, in the notation of Halekoh and Hojsgaard (2014, JSS
        59(9)).
        """
        rows = np.linalg.qr(self.half.T @ L.T)[0]  # Theta = rows rows'
        P = rows.T @ self.P @ rows
        traces = np.trace(P, axis1=1, axis2=2)
        A1 = float(traces @ self.W @ traces)
        A2 = float(np.einsum("rs,rij,sji->", self.W, P, P))
        return factor_and_df(len(L), A1, A2)


def factor_and_df(q: int, A1: float, A2: float) -> tuple[float, float]:
    """Compute the factor of F, lambda, and the df, nu, from A1 and A2.

    The formulas of Kenward and Roger (1997, p. 987),

        nu = 4 + (q + 2) / (q rho - 1),      rho = ((1 - A2/q) / v1)^2 v0 / (q v2),
        lambda = nu (1 - A2/q) / (nu - 2),   v0 = 1 + c1 B, v1 = 1 - c2 B, v2 = 1 - c3 B,

    have singularities where nu is finite: at v2 = 0 (nu = 4), and where A1 = q A2, also at A2 = q
    (nu = 2), with v1 = 1 - A2/q = 0. With e = 1 - A2/q and h = e - v1, which is zero where
    A1 = q A2, they are

        nu = 4 + (q + 2) v2 v1^2 / (e^2 (q + 2) B / d + v2 h (2 e - h)),

    for v0 - v2 = (q + 2) B / d. Where h = 0 they reduce to nu = 2 q / A2 and lambda = 1. This is so
    for every single contrast.
    """
    if max(1.0, abs(A1)) * _NOTHING >= A2:  # no uncertainty from estimated variances
        return 1.0, np.inf
    if q == 1 or abs(q * A2 - A1) <= _EQUAL * q * A2:
        return 1.0, 2.0 * q / A2
    t = A1 / A2
    B = (t + 6.0) * A2 / (2.0 * q)
    g = ((q + 1) * t - (q + 4)) / (q + 2)
    d = 3.0 * q + 2.0 * (1.0 - g)
    e = 1.0 - A2 / q
    h = A2 * (q - t) * ((q + 1) * t - 2.0) / (2.0 * q * d * (q + 2))
    v1, v2 = e - h, 1.0 - (q + 2 - g) / d * B
    nu = 4.0 + (q + 2) * v2 * v1**2 / (e**2 * (q + 2) * B / d + v2 * h * (2.0 * e - h))
    # F with 2 df has no mean to match: its factor is left at 1, as in pbkrtest
    return (nu * e / (nu - 2.0) if abs(nu - 2.0) > _NEAR_TWO else 1.0), nu


def kenward_roger(fit: Fit, how: KenwardRoger | None = None) -> KenwardRogerTerms:
    """Compute the quantities of Kenward and Roger, memoised.

    They are those of the REML refit when the fit is by ML.

    Parameters
    ----------
    fit : Fit
    how : KenwardRoger, optional
        The method for traces; exact by default.

    Raises
    ------
    NotDefinedError
        When exact traces do not fit into memory.
    """
    source, method = reml_fit(fit), how or KenwardRoger()
    return source.memo(str(method), lambda: _kenward_roger(source, method))


def _elements(fit: Fit) -> list[tuple[int, np.ndarray]]:
    """List (group, E) of every free element of every Sigma.

    V = sum gamma_r Z (I x E_r) Z' + sigma^2 I.
    """
    out = []
    for term in fit.covariance.terms:
        for a, b in zip(*term.rows_columns, strict=True):
            E = np.zeros((fit.cp.groups[term.group].k,) * 2)
            E[a, b] = E[b, a] = 1.0
            out.append((term.group, E))
    return out


class _Pieces(NamedTuple):
    """The exact input of `_finish`, which also takes the pair traces."""

    elements: list[tuple[int, np.ndarray]]
    gamma: np.ndarray
    P: np.ndarray
    Q: np.ndarray
    trace: np.ndarray


def _kenward_roger(fit: Fit, how: KenwardRoger) -> KenwardRogerTerms:
    """Compute `kenward_roger` with traces of some method."""
    pairs = pair_traces(
        fit.system, how
    )  # first, because it raises when traces need too much memory
    pieces = _pieces(fit)

    def finish(part: PairTraces) -> KenwardRogerTerms:
        """Complete the quantities with pair traces."""
        return _finish(fit, pieces, part)

    return replace(finish(pairs.mean), resampled=tuple(map(finish, pairs.without)))


def _pieces(fit: Fit) -> _Pieces:
    """Compute P, Q and tr(V0^-1 G) for every element of every Sigma, the residual last."""
    K, D, p = fit.system.K, fit.system.D, fit.cp.p
    elements = _elements(fit)
    H = [block @ block.T for block in fit.system.lambdas]
    gamma = np.array([H[g][np.nonzero(E)].sum() / np.count_nonzero(E) for g, E in elements])
    count = len(elements)
    R = [np.einsum("jas,jbt->abst", d, d, optimize=True) for d in D]
    P = np.empty((count + 1, p, p))
    for r, (g, E) in enumerate(elements):
        P[r] = -np.einsum("ab,abst->st", E, R[g])
    Q = np.empty((count + 1, count + 1, p, p))
    for s, (h, E) in enumerate(elements):
        KED = fit.system.traces.times_k(
            [
                np.einsum("ab,jbs->jas", E, D[h]) if g == h else np.zeros_like(D[g])
                for g in range(len(D))
            ]
        )
        for r, (g, F) in enumerate(elements):
            Q[r, s] = np.einsum("jas,ab,jbt->st", D[g], F, KED[g], optimize=True)
    # the row of sigma^2: V = sum gamma G, so every sum over rows collapses
    P[count] = -np.eye(p) - np.einsum("r,rst->st", gamma, P[:count])
    for r in range(count):
        Q[r, count] = -P[r] - np.einsum("s,sij->ij", gamma, Q[r, :count])
        Q[count, r] = Q[r, count].T
    Q[count, count] = -P[count] - np.einsum("s,sij->ij", gamma, Q[count, :count])
    trace = np.array([np.einsum("ab,jab->", E, K[g]) for g, E in elements])
    return _Pieces(elements, gamma, P, Q, trace)


def _finish(fit: Fit, pieces: _Pieces, U: PairTraces) -> KenwardRogerTerms:
    """Compute T, the expected information and the adjusted covariance from the pair traces U."""
    elements, gamma, P, Q, trace = pieces
    count = len(elements)
    T = np.empty((count + 1, count + 1))
    for r, (g, E) in enumerate(elements):
        for s, (h, F) in enumerate(elements):
            block = U[g, h] if g <= h else U[h, g].transpose(2, 3, 0, 1)
            T[r, s] = np.einsum("ab,abcd,cd->", E, block, F)
    T[:count, count] = T[count, :count] = trace - T[:count, :count] @ gamma
    T[count, count] = (fit.cp.n - gamma @ trace) - gamma @ T[count, :count]
    information = T - 2.0 * np.einsum("rsii->rs", Q) + np.einsum("rij,sji->rs", P, P)
    W = 2.0 * _symmetric_inverse(information)
    middle = np.einsum("rs,rsij->ij", W, Q) - np.einsum("rs,rij,sjk->ik", W, P, P, optimize=True)
    adjusted = np.eye(fit.cp.p) + 2.0 * middle
    return KenwardRogerTerms(fit, covariance_root(fit), 0.5 * (adjusted + adjusted.T), P, W)


def _symmetric_inverse(matrix: np.ndarray) -> np.ndarray:
    """Invert a symmetric matrix scaled to unit diagonal, on its positive eigenvalues."""
    scale = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(matrix)), SMALLEST_DIVISOR))
    values, vectors = np.linalg.eigh(matrix * np.outer(scale, scale))
    keep = values > 1e-12 * values.max()
    return np.outer(scale, scale) * ((vectors[:, keep] / values[keep]) @ vectors[:, keep].T)
