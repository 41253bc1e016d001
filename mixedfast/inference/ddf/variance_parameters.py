"""Information about the variance parameters, and how the covariance of beta depends on them. Once per fit, memoised.

All in the metric V^-1 (docs/maths.md, "What inference needs") with sigma = 1, and in coordinates of beta where
Phi = (X'V^-1 X)^-1 is the identity (``D = Z'V^-1 X L_X^-T``): P, Q and T are then small, well scaled matrices whatever the
units of the data. No n x n matrix, no numerical derivative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from mixedfast.estimation.fit import Fit, fit_crossproducts
from mixedfast.estimation.pls import in_pairs
from mixedfast.inference.ddf.trace_methods import (
    KenwardRoger,
    PairTraces,
    Satterthwaite,
    pair_traces,
)

__all__ = [
    "KenwardRogerTerms",
    "SatterthwaiteTerms",
    "kenward_roger",
    "reml_fit",
    "satterthwaite",
    "standard_errors",
]

#: Eigenvalues of the Hessian at or below this are directions the data say nothing about (a singular fit): they are left
#: out of its inverse. lmerTest uses the same value.
EIGENVALUE_TOLERANCE = 1e-8
#: The curvature in a theta falls as 1/theta^2. Past this ratio it is measured in units of theta, lest it count as zero.
LARGE_RATIO = 1e3


@dataclass(frozen=True, eq=False)
class SatterthwaiteTerms:
    """What Satterthwaite's df needs.

    Parameters
    ----------
    half : (p, p) array
        Phi_user = sigma^2 half half'.
    R : tuple of (K, K, p, p) arrays
        sum_j D_j[a]' D_j[b] of each group, D = Z'V^-1 X L_X^-T.
    lambdas : list of (K, K) arrays
    inverse : (m+1, m+1) array
        Asymptotic covariance of (theta, sigma), sigma in units of itself: twice the inverse Hessian of the deviance.
    n_dropped : int
        Eigenvalues of the Hessian left out (0 at an interior optimum).
    resampled : tuple of SatterthwaiteTerms
        The same from all batches of probes but one; empty when traces are exact.
    """

    fit: Fit
    half: np.ndarray
    R: tuple[np.ndarray, ...]
    lambdas: list[np.ndarray]
    inverse: np.ndarray
    n_dropped: int
    resampled: tuple[SatterthwaiteTerms, ...] = ()

    def df(self, contrast: np.ndarray) -> float:
        """nu = 2 f^2 / (g'Ag) with f = l'Phi l and g its gradient (Kuznetsova et al. 2017, JSS 82(13), eq. 3)."""
        ell = self.half.T @ contrast
        f = float(ell @ ell)
        M = [np.einsum("s,abst,t->ab", ell, R, ell) for R in self.R]
        g = np.append(self.fit.covariance.gradient(self.lambdas, M), 2.0 * f)
        spread = float(g @ self.inverse @ g)
        return 2.0 * f**2 / spread if spread > 0 else np.inf

    def df_error(self, contrast: np.ndarray) -> float:
        """Standard error of `df` from the probes; 0 when traces are exact."""
        return _jackknife([terms.df(contrast) for terms in self.resampled])


def _jackknife(without: Sequence[float]) -> float:
    """Standard error from the values found without each of some batches (Tukey 1958)."""
    if not without:
        return 0.0
    values = np.array(without)
    return float(np.sqrt((len(values) - 1) * values.var()))


def _half(fit: Fit) -> np.ndarray:
    return fit.cp.basis.beta_transform() @ np.linalg.inv(fit.solution.LX).T


def hessian_theta_sigma(fit: Fit, pairs: PairTraces | None = None) -> np.ndarray:
    """Hessian of the deviance in (theta, sigma), (m+1, m+1), sigma in units of its estimate.

    Exact unless the pair traces given are not: observed information, no differences. The row of sigma needs no traces of its
    own because V is linear in the variances and P V P = P: tr(P V P G) = tr(P G).
    """
    system = fit.system
    cov = fit.covariance
    sigma2 = system.solution.r2 / system.nu
    sums = system.moments(exact=True)
    vv = [m.vv / sigma2 for m in sums]
    trace = system.trace_sums()
    G = [t - w for t, w in zip(trace, vv, strict=True)]
    quadratic, traces = system.quadratic_blocks(), system.trace_blocks(pairs)
    blocks = in_pairs({key: 2.0 * Q / sigma2 - traces[key] for key, Q in quadratic.items()})
    m = cov.n_theta
    out = np.empty((m + 1, m + 1))
    out[:m, :m] = cov.hessian(system.lambdas, G, blocks)
    mixed = cov.gradient(
        system.lambdas, [2.0 * (2.0 * w - t) for t, w in zip(trace, vv, strict=True)]
    )
    out[:m, m] = out[m, :m] = mixed
    out[m, m] = 4.0 * system.nu
    return out


def satterthwaite(fit: Fit, how: Satterthwaite | None = None) -> SatterthwaiteTerms:
    """Satterthwaite's ingredients of a fit, memoised.

    At a singular fit the Hessian in (theta, sigma) is inverted on its positive eigenvalues only, as lmerTest does: a variance
    estimated as zero then counts as known.

    Parameters
    ----------
    fit : Fit
    how : Satterthwaite, optional
        How traces are found; exact by default.

    Raises
    ------
    NotDefinedError
        When exact traces do not fit into memory.
    """
    method = how or Satterthwaite()

    return fit.memo(str(method), lambda: _satterthwaite(fit, method))


def _satterthwaite(fit: Fit, how: Satterthwaite) -> SatterthwaiteTerms:
    pairs = pair_traces(fit.system, how)  # first: it tells whether all this can be done
    half, R = _half(fit), tuple(m.DxD for m in fit.system.moments(exact=True))
    theta = np.abs(fit.theta_internal)
    unit = np.append(np.where(theta > LARGE_RATIO, theta, 1.0), 1.0)

    def finish(part: PairTraces) -> SatterthwaiteTerms:
        return SatterthwaiteTerms(
            fit, half, R, fit.system.lambdas, *_inverse(hessian_theta_sigma(fit, part), unit)
        )

    return replace(finish(pairs.mean), resampled=tuple(map(finish, pairs.without)))


def _inverse(hessian: np.ndarray, unit: np.ndarray) -> tuple[np.ndarray, int]:
    """Twice the inverse Hessian on its positive eigenvalues in these units, and how many were left out."""
    values, vectors = np.linalg.eigh(hessian * np.outer(unit, unit))
    keep = values > EIGENVALUE_TOLERANCE
    vectors = unit[:, None] * vectors[:, keep]
    return 2.0 * (vectors / values[keep]) @ vectors.T, int((~keep).sum())


def reml_fit(fit: Fit) -> Fit:
    """The fit itself under REML; otherwise the same model refitted by REML, memoised."""
    if fit.reml:
        return fit
    return fit.memo(
        "reml",
        lambda: fit_crossproducts(fit.cp, True, engine=fit.engine_wanted, remainder=fit.remainder),
    )


@dataclass(frozen=True, eq=False)
class KenwardRogerTerms:
    """Kenward and Roger's (1997) ingredients, in coordinates where Phi is the identity and sigma = 1.

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
        The same from all batches of probes but one; empty when traces are exact.
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
        """Standard error of the df of L beta = rhs from the probes; 0 when traces are exact."""
        return _jackknife([terms.f_test(L, np.zeros(len(L)))[1] for terms in self.resampled])

    def f_test(self, L: np.ndarray, difference: np.ndarray) -> tuple[float, float]:
        """Scaled F statistic of L beta = rhs and its denominator df.

        Parameters
        ----------
        L : (q, p) array of full row rank, user's basis
        difference : (q,) array
            L beta_hat - rhs, at the REML estimates.

        Notes
        -----
        Kenward and Roger (1997), section 4, in the notation of Halekoh and Hojsgaard (2014, JSS 59(9)).
        """
        q = len(L)
        ell = L @ self.half
        unscaled = (
            float(difference @ np.linalg.solve(ell @ self.adjusted @ ell.T, difference))
            / q
            / self.fit.sigma**2
        )
        Theta = ell.T @ np.linalg.solve(ell @ ell.T, ell)
        TP = Theta @ self.P
        traces = np.trace(TP, axis1=1, axis2=2)
        A1 = float(traces @ self.W @ traces)
        A2 = float(np.einsum("rs,rij,sji->", self.W, TP, TP))
        if (
            1e-14 * max(1.0, abs(A1)) >= A2
        ):  # the covariance of beta does not depend on estimated variances
            return unscaled, np.inf
        return _scaled_f(unscaled, q, A1, A2)


def _scaled_f(unscaled: float, q: int, A1: float, A2: float) -> tuple[float, float]:
    """lambda F and nu from A1 and A2 (Kenward and Roger 1997, p. 987)."""
    B = (A1 + 6.0 * A2) / (2.0 * q)
    g = ((q + 1) * A1 - (q + 4) * A2) / ((q + 2) * A2)
    d = 3.0 * q + 2.0 * (1.0 - g)
    c1, c2, c3 = g / d, (q - g) / d, (q + 2 - g) / d
    e_star = 1.0 / (1.0 - A2 / q)
    v0, v1, v2 = 1.0 + c1 * B, 1.0 - c2 * B, 1.0 - c3 * B
    # both vanish together on balanced designs; their ratio is then one
    ratio = (1.0 - A2 / q) / v1 if abs(v1) > 1e-10 else 1.0
    rho = (1.0 / q) * ratio**2 * v0 / v2
    nu = 4.0 + (q + 2) / (q * rho - 1.0)
    scale = nu / (e_star * (nu - 2.0)) if abs(nu - 2.0) > 1e-2 else 1.0
    return scale * unscaled, nu


def kenward_roger(fit: Fit, how: KenwardRoger | None = None) -> KenwardRogerTerms:
    """Kenward-Roger ingredients, memoised; of the REML refit when the fit is by ML.

    Parameters
    ----------
    fit : Fit
    how : KenwardRoger, optional
        How traces are found; exact by default.

    Raises
    ------
    NotDefinedError
        When exact traces do not fit into memory.
    """
    source, method = reml_fit(fit), how or KenwardRoger()
    return source.memo(str(method), lambda: _kenward_roger(source, method))


def _elements(fit: Fit) -> list[tuple[int, np.ndarray]]:
    """(group, E) of every free element of every Sigma: V = sum gamma_r Z (I x E_r) Z' + sigma^2 I."""
    out = []
    for term in fit.covariance.terms:
        for a, b in zip(*term.rows_columns, strict=True):
            E = np.zeros((fit.cp.groups[term.group].k,) * 2)
            E[a, b] = E[b, a] = 1.0
            out.append((term.group, E))
    return out


class _Pieces(NamedTuple):
    """What `_finish` needs beside the pair traces: all of it exact."""

    elements: list[tuple[int, np.ndarray]]
    gamma: np.ndarray
    P: np.ndarray
    Q: np.ndarray
    trace: np.ndarray


def _kenward_roger(fit: Fit, how: KenwardRoger) -> KenwardRogerTerms:
    pairs = pair_traces(fit.system, how)  # first: it tells whether all this can be done
    pieces = _pieces(fit)

    def finish(part: PairTraces) -> KenwardRogerTerms:
        return _finish(fit, pieces, part)

    return replace(finish(pairs.mean), resampled=tuple(map(finish, pairs.without)))


def _pieces(fit: Fit) -> _Pieces:
    """P and Q of Kenward and Roger (1997) by every element of every Sigma, the residual last, and tr(V0^-1 G)."""
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
    """T, the expected information and the adjusted covariance, from the pair traces U."""
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
    return KenwardRogerTerms(fit, _half(fit), 0.5 * (adjusted + adjusted.T), P, W)


def _symmetric_inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a symmetric matrix after scaling to unit diagonal; on its positive eigenvalues when singular."""
    scale = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(matrix)), 1e-300))
    values, vectors = np.linalg.eigh(matrix * np.outer(scale, scale))
    keep = values > 1e-12 * values.max()
    return np.outer(scale, scale) * ((vectors[:, keep] / values[keep]) @ vectors[:, keep].T)


def standard_errors(fit: Fit) -> np.ndarray:
    """Standard errors of theta and sigma, (m+1,), from the observed information; user's basis.

    NaN where the information is singular (a variance at zero).
    """
    s = satterthwaite(fit)
    out = np.sqrt(np.diag(s.inverse))
    out[-1] *= fit.sigma
    return np.where(out > 0, out, np.nan)
