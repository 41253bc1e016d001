"""Refits of one model to many responses.

Z'WZ and Z'WX are the same for every response. Small models are searched by compiled code
(`mixedfast.estimation.small_search`); larger ones, and searches that do not converge there, by
`mixedfast.estimation.newton.minimize` on one engine: another response changes neither its pattern
nor its symbolic analysis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfast.crossprod.new_response import Responses
from mixedfast.engines.choose import choose
from mixedfast.engines.interface import Engine
from mixedfast.engines.layout import times_a
from mixedfast.errors import NotIdentifiedError
from mixedfast.estimation.fit import ELIMINATION, RESOLUTION, SMALL_SHARE, Fit, settle
from mixedfast.estimation.local_model import choose_model
from mixedfast.estimation.newton import minimize
from mixedfast.estimation.pls import PLSSystem, total
from mixedfast.estimation.small_search import refit_small, small_system
from mixedfast.estimation.steps import CERTIFICATE_TOLERANCE, REFIT_TOLERANCE

__all__ = ["Refits", "lacks_digits", "new_engine", "refit", "scores"]

#: Relative error of sums over rows.
_ROUNDING = ELIMINATION * float(np.finfo(float).eps)


@dataclass(frozen=True, eq=False)
class Refits:
    """Estimates of R refits, internal basis.

    ``theta`` (R,m), ``beta`` (R,p), ``LX`` (R,p,p), ``deviance`` (R,), ``r2`` (R,), ``converged``
    (R,) bool; NaN where a search failed outright.
    """

    theta: np.ndarray
    beta: np.ndarray
    LX: np.ndarray
    deviance: np.ndarray
    r2: np.ndarray
    converged: np.ndarray


def new_engine(fit: Fit) -> Engine:
    """Choose an engine for refits of this model.

    Searches that run at the same time need one each.
    """
    return choose(fit.cp, fit.engine_wanted)


def refit(
    fit: Fit, responses: Responses, engine: Engine, tolerance: float = REFIT_TOLERANCE
) -> Refits:
    """Refit a model to other responses, each search starting at the fit's own theta.

    Parameters
    ----------
    fit : Fit
    responses : Responses
    engine : Engine
        From `new_engine`; for searches that are not compiled.
    tolerance : float
        Predicted or expected decrease of the deviance with which searches end.
    """
    R, p = responses.xy.shape
    start = fit.theta_internal
    small = small_system(fit.cp, fit.reml) if fit.engine_wanted == "auto" else None
    if small is None:
        out = Refits(
            np.tile(start, (R, 1)),
            np.full((R, p), np.nan),
            np.full((R, p, p), np.nan),
            np.full(R, np.nan),
            np.full(R, np.nan),
            np.zeros(R, dtype=bool),
        )
    else:
        theta, beta, LX, deviance, r2, certificate = refit_small(small, responses, start, tolerance)
        # an engine searches where pivots have few digits, as in a single fit
        exact = _ROUNDING * _pivots(fit, theta) < RESOLUTION
        out = Refits(theta, beta, LX, deviance, r2, exact & (certificate < CERTIFICATE_TOLERANCE))
    for r in np.flatnonzero(~out.converged):
        engine.take(responses.crossproducts(fit.cp, int(r)))
        system = PLSSystem(engine.cp, engine, fit.reml)
        model = choose_model(system, exact=len(fit.cp.groups) == 1)
        try:
            alone = minimize(system, out.theta[r], model, tolerance=tolerance)
        except NotIdentifiedError:  # no theta solves the equations
            out.beta[r] = out.LX[r] = out.deviance[r] = out.r2[r] = np.nan
            continue
        out.theta[r] = settle(system, alone.theta, alone.deviance)
        solution = system.solution
        out.beta[r], out.LX[r] = solution.beta, solution.LX
        out.deviance[r], out.r2[r] = solution.deviance, solution.r2
        out.converged[r] = alone.converged
    return out


def lacks_digits(fit: Fit, responses: Responses, found: Refits) -> np.ndarray:
    """Return for which refits a single fit reads the rows again, or is not called converged.

    The rules of `Fit.needs_rows` and `Fit.resolution`, for all responses at once.

    Parameters
    ----------
    fit : Fit
    responses : Responses
    found : Refits
        Of these responses.

    Returns
    -------
    (R,) bool array
        True also where a search failed outright.
    """
    squares = np.diag(fit.cp.xy)[:-1]
    share = found.r2 / (responses.yy + found.beta**2 @ squares)
    hidden = np.zeros(len(share))
    if fit.reml:
        hidden = (np.linalg.inv(found.LX) ** 2).sum(axis=1) @ squares
    sums = fit.nu / share + hidden + _pivots(fit, found.theta)
    enough = (
        (_ROUNDING * hidden < RESOLUTION)
        & ((share > SMALL_SHARE) | (_ROUNDING * fit.nu < RESOLUTION * share))
        & (_ROUNDING * sums < CERTIFICATE_TOLERANCE)
    )
    return ~enough  # NaN is not enough


def _pivots(fit: Fit, theta: np.ndarray) -> np.ndarray:
    """Return `Fit._pivots` at each theta (R,m), (R,)."""
    out = np.zeros(len(theta))
    for group, lam in zip(fit.cp.groups, fit.covariance.lambdas(theta), strict=True):
        out += np.einsum("rac,rbc,ab->r", lam, lam, total(group.A))
    return out


def scores(fit: Fit, responses: Responses, engine: Engine) -> np.ndarray:
    """Compute statistics that the score of every parameter is linear in, at the fitted parameters.

    With e = y - X beta and v = Z'V0^-1 e they are X'V0^-1 e (p), the elements of sum_j v_j v_j' in
    the places of those of lambda (m), and e'V0^-1 e (1).

    Parameters
    ----------
    fit : Fit
    responses : Responses
    engine : Engine
        From `new_engine`.

    Returns
    -------
    (R, p + m + 1) array
    """
    beta, LX = fit.solution.beta, fit.solution.LX
    if engine.factor(fit.covariance.lambdas(fit.theta_internal)) is None:
        # M does not depend on the response, and it is positive definite at the fit
        raise ArithmeticError("the fit's own system is not positive definite")
    zy = [np.ascontiguousarray(own.transpose(1, 2, 0)) for own in responses.zy]
    solved = engine.solve(zy)
    explained = times_a(fit.cp, solved)
    of_x = [c[:, :, :-1] @ beta for c in engine.project()]
    v = [y - part - x[:, :, None] for y, part, x in zip(zy, explained, of_x, strict=True)]
    squares = [np.einsum("jar,jbr->rab", own, own) for own in v]
    xy, yy = responses.xy.copy(), responses.yy.copy()
    for group, y, part in zip(fit.cp.groups, zy, solved, strict=True):
        xy -= np.einsum("jas,jar->rs", group.B[:, :, :-1], part)
        yy -= np.einsum("jar,jar->r", y, part)
    half = LX.T @ beta
    return np.column_stack(
        [xy - LX @ half, fit.covariance.elements_of(squares), yy - 2.0 * xy @ beta + half @ half]
    )
