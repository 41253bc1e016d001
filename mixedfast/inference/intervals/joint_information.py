"""Covariance of fixed effects and variances together, from the observed information.

lme4 calls it ``vcov(full = TRUE)``; statsmodels' ``cov_params`` is the same matrix. Variances are
relative (divided by sigma^2), because sigma is profiled out of the likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mixedfast.estimation.fit import Fit
from mixedfast.inference.ddf.flat_directions import flat_directions
from mixedfast.inference.ddf.satterthwaite import satterthwaite

__all__ = ["JointInformation", "VarianceErrors", "joint_information", "variance_errors"]

#: Share of the terms of a sum below which the sum is rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class JointInformation:
    """The covariance of all estimates but sigma.

    Parameters
    ----------
    names : tuple of str, length p + r
        The identifiable coefficients, then ``var_ses|school`` and ``cov_Intercept.ses|school`` in
        the order of `varcorr`.
    vcov : (p + r, p + r) array
        Rows of variances estimated as zero, and of covariances with them, are NaN: they have no
        standard error.
    """

    names: tuple[str, ...]
    vcov: np.ndarray


class VarianceErrors(NamedTuple):
    """Standard errors of one row of `varcorr`.

    NaN where a variance is estimated as zero or not identified.

    With `name2` of a covariance (`variance_se`) and a correlation, otherwise of a variance and a
    standard deviation.
    """

    group: str
    name1: str
    name2: str | None
    variance_se: float
    sd_se: float
    corr_se: float


class _Element(NamedTuple):
    """A variance or covariance over sigma^2: position in its term, value, gradient in theta."""

    name: str
    term: int
    a: int
    b: int
    value: float
    gradient: np.ndarray
    zero: bool


def _elements(fit: Fit) -> list[_Element]:
    """List variances and covariances, user's basis, in the order of `varcorr`."""
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
                    f"{what}|{fit.cp.term_groups[t]}",
                    t,
                    a,
                    b,
                    float(H[a, b]),
                    cov.gradient(lambdas, G),
                    zero,
                )
            )
    return out


def variance_errors(fit: Fit) -> list[VarianceErrors]:
    """Compute standard errors of the values in `varcorr` by the delta method.

    From the observed information of (theta, sigma) in closed form, under REML of the restricted
    likelihood. They are symmetric where the likelihood is not: profiles and bootstraps give better
    intervals.

    References
    ----------
    Lindstrom and Bates (1988), JASA 83(404).
    """
    A, sigma2 = satterthwaite(fit).inverse, fit.sigma**2
    elements = _elements(fit)
    # gradients in (theta, sigma), sigma in units of itself: it changes every variance by twice its
    # size
    gradients = {(e.term, e.a, e.b): np.append(e.gradient, 2.0 * e.value) for e in elements}
    value = {(e.term, e.a, e.b): e.value for e in elements}

    def error(gradient: np.ndarray) -> float:
        """Return the standard error of a function with this gradient."""
        return float(np.sqrt(gradient @ A @ gradient))

    out = []
    for e in elements:
        term = fit.cp.terms[e.term]
        group = fit.cp.groups[term.group]
        names, own = group.names[term.start : term.start + term.k], gradients[e.term, e.a, e.b]
        variance = sd = corr = np.nan
        if _is_flat(fit, e):
            name2 = None if e.a == e.b else names[e.b]
            out.append(
                VarianceErrors(
                    fit.cp.term_groups[e.term], names[e.a], name2, np.nan, np.nan, np.nan
                )
            )
            continue
        if not e.zero:
            variance = sigma2 * error(own)
        if not e.zero and e.a == e.b:
            sd = fit.sigma * error(own) / (2.0 * np.sqrt(e.value))
        elif not e.zero:
            first, second = (e.term, e.a, e.a), (e.term, e.b, e.b)
            gradient = own - 0.5 * e.value * (
                gradients[first] / value[first] + gradients[second] / value[second]
            )
            corr = error(gradient) / np.sqrt(value[first] * value[second])
        name2 = None if e.a == e.b else names[e.b]
        out.append(
            VarianceErrors(fit.cp.term_groups[e.term], names[e.a], name2, variance, sd, corr)
        )
    residual = float(np.sqrt(A[-1, -1]))
    out.append(
        VarianceErrors("Residual", "", None, 2.0 * sigma2 * residual, fit.sigma * residual, np.nan)
    )
    return out


def _is_flat(fit: Fit, element: _Element) -> bool:
    """Return whether a variance or covariance changes along a direction that is not identified."""
    term = fit.cp.terms[element.term]
    inside = slice(term.start, term.start + term.k)
    back = fit._back[term.group][inside, inside]
    for direction in flat_directions(fit):
        change = back @ direction.by_group[term.group][inside, inside] @ back.T
        sizes = np.abs(back) @ np.abs(direction.by_group[term.group][inside, inside])
        size = (sizes @ np.abs(back).T)[element.a, element.b]
        if abs(change[element.a, element.b]) > _ROUNDING * size:
            return True
    return False


def joint_information(fit: Fit) -> JointInformation:
    """Compute the covariance of beta and of the relative variances, memoised.

    Both are functions of the data through the profiled likelihood of theta: beta changes with theta
    by ``dbeta = -Phi X'V^-1 dV V^-1 (y - X beta)``, and the variances are ``lambda lambda'``. With
    C the inverse observed information of theta, Cov(beta) = Phi + B C B', and likewise for the
    rest; at an interior optimum this is the inverse of the whole negative Hessian (Lindstrom and
    Bates 1988, JASA 83(404), section 4).
    """
    return fit.memo("joint information", lambda: _joint_information(fit))


def _joint_information(fit: Fit) -> JointInformation:
    """Compute `joint_information`."""
    terms = satterthwaite(fit)
    cov, m = fit.covariance, fit.covariance.n_theta
    information = terms.inverse[:m, :m]
    system = fit.system
    sigma = np.sqrt(system.solution.r2 / system.nu)
    products = [
        np.einsum("jas,jb->sab", d, w / sigma) for d, w in zip(system.D, system.v, strict=True)
    ]
    products = [0.5 * (part + part.transpose(0, 2, 1)) for part in products]
    by_theta = np.array(
        [cov.gradient(terms.lambdas, [part[s] for part in products]) for s in range(fit.cp.p)]
    )
    B = -fit.sigma * terms.half @ by_theta.reshape(fit.cp.p, m)
    elements = _elements(fit)
    J = np.vstack([B, np.array([element.gradient for element in elements])])
    vcov = J @ information @ J.T
    p = fit.cp.p
    vcov[:p, :p] += fit.vcov
    zero = p + np.flatnonzero([element.zero for element in elements])
    vcov[zero, :] = vcov[:, zero] = np.nan
    return JointInformation((*fit.cp.x_names, *(element.name for element in elements)), vcov)
