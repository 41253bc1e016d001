"""Fixed effects and variances together: their covariance from the observed information.

lme4 calls it ``vcov(full = TRUE)``; statsmodels' ``cov_params`` is the same matrix. Variances are relative (divided by
sigma^2), because sigma is profiled out of the likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mixedfast.estimation.fit import Fit
from mixedfast.inference.ddf.variance_parameters import satterthwaite

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Joint", "joint", "variance_errors"]


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


class _Element(NamedTuple):
    """A variance or covariance relative to sigma^2: where it is in its term, its value, and how theta moves it."""

    name: str
    term: int
    a: int
    b: int
    value: float
    gradient: np.ndarray
    zero: bool


def _elements(fit: Fit) -> list[_Element]:
    """The elements of the terms' covariances, user's basis, in the order of `varcorr`: variances first, then covariances."""
    cov, lambdas = fit.covariance, fit.system.lambdas
    out = []
    for t, (term, H) in enumerate(zip(cov.terms, fit.relative, strict=True)):
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
            what = f"var_{columns[a]}" if a == b else f"cov_{columns[a]}.{columns[b]}"
            zero = bool(H[a, a] == 0.0 or H[b, b] == 0.0)
            out.append(
                _Element(
                    f"{what}|{group.name}", t, a, b, float(H[a, b]), cov.gradient(lambdas, G), zero
                )
            )
    return out


def variance_errors(fit: Fit) -> pd.DataFrame:
    """Standard errors of variances, standard deviations and correlations, by the delta method.

    From the observed information of (theta, sigma), in closed form; under REML of the restricted likelihood. They are
    symmetric where the likelihood is not: profiles and bootstraps give better intervals.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    DataFrame
        The rows of `varcorr`; ``group, name1, name2, variance_se, sd_se, corr_se``. A row with ``name2`` has the standard
        error of a covariance (in ``variance_se``) and of a correlation. NaN where a variance is estimated as zero.

    References
    ----------
    Lindstrom and Bates (1988), JASA 83(404).
    """
    import pandas as pd

    A, sigma2 = satterthwaite(fit).inverse, fit.sigma**2
    elements = _elements(fit)
    # sigma, in units of itself, moves every variance by twice its size
    moves = {(e.term, e.a, e.b): np.append(e.gradient, 2.0 * e.value) for e in elements}
    value = {(e.term, e.a, e.b): e.value for e in elements}

    def error(move: np.ndarray) -> float:
        return float(np.sqrt(move @ A @ move))

    rows = []
    for e in elements:
        term = fit.cp.terms[e.term]
        group = fit.cp.groups[term.group]
        names, own = group.names[term.start : term.start + term.k], moves[e.term, e.a, e.b]
        variance = sd = corr = np.nan
        if not e.zero:
            variance = sigma2 * error(own)
        if not e.zero and e.a == e.b:
            sd = fit.sigma * error(own) / (2.0 * np.sqrt(e.value))
        elif not e.zero:
            first, second = (e.term, e.a, e.a), (e.term, e.b, e.b)
            turn = own - 0.5 * e.value * (
                moves[first] / value[first] + moves[second] / value[second]
            )
            corr = error(turn) / np.sqrt(value[first] * value[second])
        rows.append(
            (group.name, names[e.a], None if e.a == e.b else names[e.b], variance, sd, corr)
        )
    residual = float(np.sqrt(A[-1, -1]))
    rows.append(("Residual", "", None, 2.0 * sigma2 * residual, fit.sigma * residual, np.nan))
    return pd.DataFrame(
        rows, columns=["group", "name1", "name2", "variance_se", "sd_se", "corr_se"]
    )


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
    system = fit.system
    sigma = np.sqrt(system.solution.r2 / system.nu)
    moves = [
        np.einsum("jas,jb->sab", d, w / sigma) for d, w in zip(system.D, system.v, strict=True)
    ]
    moves = [0.5 * (part + part.transpose(0, 2, 1)) for part in moves]
    by_theta = np.array(
        [cov.gradient(known.lambdas, [part[s] for part in moves]) for s in range(fit.cp.p)]
    )
    B = -fit.sigma * known.half @ by_theta.reshape(fit.cp.p, m)
    elements = _elements(fit)
    names = [element.name for element in elements]
    relative = [element.gradient for element in elements]
    zero = [element.zero for element in elements]
    J = np.vstack([B, np.array(relative)])
    vcov = J @ information @ J.T
    p = fit.cp.p
    vcov[:p, :p] += fit.vcov
    lost = p + np.flatnonzero(zero)
    vcov[lost, :] = vcov[:, lost] = np.nan
    return Joint((*fit.cp.x_names, *names), vcov)
