"""Satterthwaite's degrees of freedom, from the observed information about theta and sigma.

All in the metric V^-1 (docs/maths.md, "What inference needs") with sigma = 1, and in coordinates of
beta where Phi = (X'V^-1 X)^-1 is the identity (``D = Z'V^-1 X L_X^-T``), so that the matrices are
small and well scaled for data in any units. No n x n matrix, no numerical derivative.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mixedfast.estimation.fit import Fit
from mixedfast.inference.ddf.information import (
    covariance_root,
    hessian_theta_sigma,
    jackknife_error,
)
from mixedfast.inference.ddf.trace_methods import PairTraces, Satterthwaite, pair_traces

__all__ = ["SatterthwaiteTerms", "satterthwaite"]

#: Directions with an eigenvalue of the Hessian up to this are not determined by the data (a
#: singular fit) and are left out of its inverse. lmerTest uses the same value.
EIGENVALUE_TOLERANCE = 1e-8
#: The curvature in a theta falls as 1/theta^2. Above this ratio it is measured in units of theta,
#: or it would count as zero.
LARGE_RATIO = 1e3


@dataclass(frozen=True, eq=False)
class SatterthwaiteTerms:
    """The quantities from which Satterthwaite's df are computed.

    Parameters
    ----------
    half : (p, p) array
        Phi_user = sigma^2 half half'.
    R : tuple of (K, K, p, p) arrays
        sum_j D_j[a]' D_j[b] of each group, D = Z'V^-1 X L_X^-T.
    lambdas : list of (K, K) arrays
    inverse : (m+1, m+1) array
        Asymptotic covariance of (theta, sigma), sigma in units of itself: twice the inverse Hessian
        of the deviance.
    n_dropped : int
        Eigenvalues of the Hessian left out of its inverse (0 at an interior optimum).
    resampled : tuple of SatterthwaiteTerms
        The same without each batch of probes; empty when traces are exact.
    """

    fit: Fit
    half: np.ndarray
    R: tuple[np.ndarray, ...]
    lambdas: list[np.ndarray]
    inverse: np.ndarray
    n_dropped: int
    resampled: tuple[SatterthwaiteTerms, ...] = ()

    def df(self, contrast: np.ndarray) -> float:
        """Compute the df of a contrast l, nu = 2 f^2 / (g'Ag) with f = l'Phi l and g its gradient.

        Kuznetsova et al. (2017), JSS 82(13), eq. 3.
        """
        ell = self.half.T @ contrast
        f = float(ell @ ell)
        M = [np.einsum("s,abst,t->ab", ell, R, ell) for R in self.R]
        g = np.append(self.fit.covariance.gradient(self.lambdas, M), 2.0 * f)
        spread = float(g @ self.inverse @ g)
        return 2.0 * f**2 / spread if spread > 0 else np.inf

    def joint_df(self, L: np.ndarray) -> float:
        """Compute the invariant df of independent rows L (q, p), nu = 2 q / A2.

        A2 = sum_mn A_mn tr(F_m F_n) with F_m the derivative of F = L Phi L' in parameter m, in
        coordinates of the rows where F = I: Kenward and Roger (1997), Biometrics 53, p. 986. The
        trace is the same in all such coordinates.
        """
        Q = np.linalg.qr(self.half.T @ L.T)[0]
        q = Q.shape[1]
        M = [np.einsum("si,abst,tj->ijab", Q, R, Q, optimize=True) for R in self.R]
        g = self.fit.covariance.gradient(
            [np.broadcast_to(block, (q, q, *block.shape)) for block in self.lambdas],
            [0.5 * (part + part.swapaxes(0, 1)) for part in M],
        )
        g = np.concatenate([g, 2.0 * np.eye(q)[..., None]], axis=2)
        A2 = float(np.einsum("ijm,mn,ijn->", g, self.inverse, g, optimize=True))
        return 2.0 * q / A2 if A2 > 0 else np.inf

    def df_error(self, contrast: np.ndarray) -> float:
        """Compute the standard error of `df` due to the probes; 0 without any."""
        return jackknife_error([terms.df(contrast) for terms in self.resampled])


def satterthwaite(fit: Fit, how: Satterthwaite | None = None) -> SatterthwaiteTerms:
    """Compute the quantities for Satterthwaite's df of a fit, memoised.

    At a singular fit the Hessian in (theta, sigma) is inverted on its positive eigenvalues only, as
    in lmerTest: a variance estimated as zero is then treated as known.

    Parameters
    ----------
    fit : Fit
    how : Satterthwaite, optional
        The method for traces; exact by default.

    Raises
    ------
    NotDefinedError
        When exact traces do not fit into memory.
    """
    method = how or Satterthwaite()
    method = replace(method, joint="eigenvectors")  # the quantities of both rules are the same
    return fit.memo(str(method), lambda: _satterthwaite(fit, method))


def _satterthwaite(fit: Fit, how: Satterthwaite) -> SatterthwaiteTerms:
    """Compute `satterthwaite` with traces of some method."""
    pairs = pair_traces(
        fit.system, how
    )  # first, because it raises when traces need too much memory
    half, R = covariance_root(fit), tuple(m.DxD for m in fit.system.moments(exact=True))
    theta = np.abs(fit.theta_internal)
    unit = np.append(np.where(theta > LARGE_RATIO, theta, 1.0), 1.0)

    def finish(part: PairTraces) -> SatterthwaiteTerms:
        """Complete the quantities with pair traces."""
        return SatterthwaiteTerms(
            fit, half, R, fit.system.lambdas, *_inverse(hessian_theta_sigma(fit, part), unit)
        )

    return replace(finish(pairs.mean), resampled=tuple(map(finish, pairs.without)))


def _inverse(hessian: np.ndarray, unit: np.ndarray) -> tuple[np.ndarray, int]:
    """Return twice the inverse Hessian on its positive eigenvalues, and the number of the others.

    Eigenvalues are those of the Hessian in these units.
    """
    values, vectors = np.linalg.eigh(hessian * np.outer(unit, unit))
    keep = values > EIGENVALUE_TOLERANCE
    vectors = unit[:, None] * vectors[:, keep]
    return 2.0 * (vectors / values[keep]) @ vectors.T, int((~keep).sum())
