"""Refits of one model to many responses.

Small models and models with one grouping factor are searched in batches
(`mixedfast.estimation.batched_newton`). Searches that end near a singular covariance, or do not
end, are left to `mixedfast.estimation.newton.minimize`, which certifies them; so are all searches
of larger models with several factors. These share one engine: another response changes neither its
pattern nor its symbolic analysis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfast.covariance.relative import SINGULAR_TOLERANCE
from mixedfast.crossprod.new_response import Responses
from mixedfast.engines.choose import choose
from mixedfast.engines.interface import Engine, unsolvable
from mixedfast.estimation.batched_newton import batched_newton
from mixedfast.estimation.fit import Fit, settle
from mixedfast.estimation.local_model import choose_model
from mixedfast.estimation.newton import minimize
from mixedfast.estimation.pls import PLSSystem
from mixedfast.estimation.steps import REFIT_TOLERANCE

__all__ = ["Refits", "new_engine", "numbers_per_refit", "refit"]

#: Diagonal elements of lambda below this: the search leaves the batch for one with a certificate.
_NEAR_SINGULAR = 100.0 * SINGULAR_TOLERANCE


@dataclass(frozen=True, eq=False)
class Refits:
    """Estimates of R refits, internal basis.

    ``theta`` (R,m), ``sigma`` (R,), ``beta`` (R,p), ``converged`` (R,) bool; NaN where a search
    failed outright. ``scores`` (R, p + m + 1): statistics that the score of every parameter, at the
    *fitted* parameters, is linear in. With e = y* - X beta there: X'V0^-1 e, the elements of sum_j
    v_j v_j' in the places of those of lambda (v = Z'V0^-1 e), and e'V0^-1 e.
    """

    theta: np.ndarray
    sigma: np.ndarray
    beta: np.ndarray
    converged: np.ndarray
    scores: np.ndarray


def new_engine(fit: Fit) -> Engine:
    """Choose an engine for refits of this model.

    Searches that run at the same time need one each.
    """
    return choose(fit.cp, fit.engine_wanted)


def refit(fit: Fit, responses: Responses, engine: Engine) -> Refits:
    """Refit a model to drawn responses, each search starting at the fit's own theta.

    Parameters
    ----------
    fit : Fit
    responses : Responses
    engine : Engine
        From `new_engine`; for searches outside of a batch.

    Returns
    -------
    Refits
    """
    batched = batched_newton(fit.cp)
    if batched is None:
        out = _unsolved(fit, len(responses.yy))
    else:
        searches = batched(fit, responses)
        found = searches.search()
        regular = (
            np.abs(fit.covariance.elements(found.theta)[:, fit.covariance.diagonal]).min(axis=1)
            >= _NEAR_SINGULAR
        )
        out = Refits(*found._replace(converged=found.converged & regular), searches.scores())
    for r in np.flatnonzero(~out.converged):
        engine.take(responses.crossproducts(fit.cp, int(r)))
        if batched is None:
            out.scores[r] = _scores(fit, engine)
        system = PLSSystem(engine.cp, engine, fit.reml)
        model = choose_model(system, exact=len(fit.cp.groups) == 1)
        alone = minimize(system, out.theta[r], model, tolerance=REFIT_TOLERANCE)
        out.theta[r] = settle(system, alone.theta, alone.deviance)
        out.beta[r], out.sigma[r] = system.solution.beta, np.sqrt(system.solution.r2 / fit.nu)
        out.converged[r] = alone.converged
    return out


def numbers_per_refit(fit: Fit) -> int:
    """Return the number of floating-point numbers that a search in a batch holds.

    0 without batches.
    """
    batched = batched_newton(fit.cp)
    return 0 if batched is None else batched.numbers_each(fit.cp)


def _unsolved(fit: Fit, R: int) -> Refits:
    """Make refits that start at theta of the fit."""
    p, m = fit.cp.p, len(fit.theta_internal)
    return Refits(
        np.tile(fit.theta_internal, (R, 1)),
        np.full(R, np.nan),
        np.full((R, p), np.nan),
        np.zeros(R, dtype=bool),
        np.full((R, p + m + 1), np.nan),
    )


def _scores(fit: Fit, engine: Engine) -> np.ndarray:
    """Compute `Refits.scores` of one response with any engine."""
    factored = engine.factor(fit.covariance.lambdas(fit.theta_internal))
    if factored is None:  # M does not depend on the response
        raise unsolvable()
    residual = np.append(-fit.solution.beta, 1.0)
    e = factored[1] @ residual
    v = [c[:, :, 0] for c in engine.project(residual[:, None])]
    return np.concatenate(
        [e[:-1], fit.covariance.elements_of([u.T @ u for u in v]), [residual @ e]]
    )
