"""Fixed effects and variances together: their covariance from the observed information.

lme4 calls it ``vcov(full = TRUE)``; statsmodels' ``cov_params`` is the same matrix. Variances are relative (divided by
sigma^2), because sigma is profiled out of the likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfast.fitting import Fit
from mixedfast.inference.varpar import _whitened, satterthwaite

__all__ = ["Joint", "joint"]


@dataclass(frozen=True, eq=False)
class Joint:
    """The covariance of all estimates but sigma.

    Parameters
    ----------
    names : tuple of str, length p + r
        The identifiable coefficients, then ``var_ses|school`` and ``cov_Intercept.ses|school`` in the order of `varcorr`.
    vcov : (p + r, p + r) array
        Rows of variances estimated as zero, and of covariances with them, are NaN: they have no standard error.
    """

    names: tuple[str, ...]
    vcov: np.ndarray


def joint(fit: Fit) -> Joint:
    """Covariance of beta and of the relative variances, memoised.

    Both are functions of the data through the profiled likelihood of theta: beta moves with theta by
    ``dbeta = -Phi X'V^-1 dV V^-1 (y - X beta)``, and the variances are ``lambda lambda'``. So with C the inverse
    observed information of theta, Cov(beta) = Phi + B C B', and so on for the rest; in an interior optimum that is the
    inverse of the whole negative Hessian (Lindstrom and Bates 1988, JASA 83(404), section 4).

    Returns
    -------
    Joint
    """
    return fit.memo("joint", lambda: _joint(fit))


def _joint(fit: Fit) -> Joint:
    known = satterthwaite(fit)
    cov, m = fit.covariance, fit.covariance.n_theta
    information = known.inverse[:m, :m]
    _, D, v = _whitened(fit.system)
    moves = [np.einsum("jas,jb->sab", d, w) for d, w in zip(D, v, strict=True)]
    moves = [0.5 * (part + part.transpose(0, 2, 1)) for part in moves]
    by_theta = np.array([cov.gradient(known.lambdas, [part[s] for part in moves]) for s in range(fit.cp.p)])
    B = -fit.sigma * known.half @ by_theta.reshape(fit.cp.p, m)
    names, relative, zero = [], [], []
    for term, H in zip(cov.terms, fit.relative, strict=True):
        group = fit.cp.groups[term.group]
        columns = group.names[term.start : term.start + term.k]
        places = [(a, a) for a in range(term.k)]
        if term.correlated:
            places += [(a, b) for a in range(term.k) for b in range(a + 1, term.k)]
        for a, b in places:
            back = fit._back[term.group]
            outer = np.outer(back[term.start + a], back[term.start + b])
            G = [np.zeros((size, size)) for size in cov.sizes]
            G[term.group] = 0.5 * (outer + outer.T)
            relative.append(cov.gradient(known.lambdas, G))
            zero.append(H[a, a] == 0.0 or H[b, b] == 0.0)
            what = f"var_{columns[a]}" if a == b else f"cov_{columns[a]}.{columns[b]}"
            names.append(f"{what}|{group.name}")
    J = np.vstack([B, np.array(relative)])
    vcov = J @ information @ J.T
    p = fit.cp.p
    vcov[:p, :p] += fit.vcov
    lost = p + np.flatnonzero(zero)
    vcov[lost, :] = vcov[:, lost] = np.nan
    return Joint((*fit.cp.x_names, *names), vcov)
