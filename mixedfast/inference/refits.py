"""Refits of one model to many responses.

With one grouping factor Z'WZ is the same small blocks for every response, and a Newton iteration costs microseconds: what a
loop over responses would pay for is Python. `_Together` therefore takes the steps of many searches at once, in the
formulas of `mixedfast.system` with one more index. Searches that end near a singular covariance, or do not end, are handed to
`mixedfast.optimize.minimize`, which alone knows how to certify them; so are all searches of models with several factors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfast import _kernels
from mixedfast.covariance import SINGULAR_TOLERANCE, Covariance
from mixedfast.engines import Engine
from mixedfast.fitting import Fit
from mixedfast.inference.draw import Responses
from mixedfast.optimize import minimize

__all__ = ["Refits", "numbers_per_refit", "refit"]

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
    """Estimates of R refits, internal basis.

    ``theta`` (R,m), ``sigma`` (R,), ``beta`` (R,p), ``converged`` (R,) bool; NaN where a search failed outright.
    ``scores`` (R, p + m + 1): what the score of every parameter, at the *fitted* parameters, is a linear function of. With
    e = y* - X beta there: X'V0^-1 e, the elements of sum_j v_j v_j' that theta moves (v = Z'V0^-1 e), and e'V0^-1 e.
    """

    theta: np.ndarray
    sigma: np.ndarray
    beta: np.ndarray
    converged: np.ndarray
    scores: np.ndarray


def refit(fit: Fit, responses: Responses) -> Refits:
    """Refit a model to drawn responses, each search starting at the fit's own theta.

    Parameters
    ----------
    fit : Fit
    responses : Responses

    Returns
    -------
    Refits
    """
    one_factor = len(fit.cp.groups) == 1
    R = len(responses.yy)
    out = _Together(fit, responses).search() if one_factor else _unsolved(fit, R)
    for r in np.flatnonzero(~out.converged):
        system = fit.new_system(cp=responses.crossproducts(fit.cp, int(r)))
        if not one_factor:
            out.scores[r] = _scores(fit, system.engine)
        found = minimize(system, out.theta[r], exact=one_factor)
        solution = system.solve(found.theta)
        out.converged[r] = found.converged and solution is not None
        if solution is not None:
            out.theta[r], out.beta[r] = found.theta, solution.beta
            out.sigma[r] = np.sqrt(solution.r2 / fit.nu)
    return out


def numbers_per_refit(fit: Fit) -> int:
    """Floating-point numbers one search of many keeps at a time."""
    group = fit.cp.groups[0]
    return group.n_levels * group.k * (4 * group.k + 4 * (fit.cp.p + 1))


def _unsolved(fit: Fit, R: int) -> Refits:
    p, m = fit.cp.p, len(fit.theta_internal)
    return Refits(
        np.tile(fit.theta_internal, (R, 1)), np.full(R, np.nan), np.full((R, p), np.nan), np.zeros(R, dtype=bool),
        np.full((R, p + m + 1), np.nan),
    )  # fmt: skip


def _elements(cov: Covariance, squares: list[np.ndarray]) -> np.ndarray:
    """The elements of one (..., K, K) array a group that theta moves, (..., m)."""
    parts = [squares[term.group][..., rows, columns] for term in cov.terms for rows, columns in [term.rows_columns]]
    return np.concatenate(parts, axis=-1)


def _scores(fit: Fit, engine: Engine) -> np.ndarray:
    """See `Refits`; one response, any engine."""
    factored = engine.factor(fit.covariance.lambdas(fit.theta_internal))
    if factored is None:  # M does not depend on the response, and the fit itself stands there
        raise ArithmeticError("the fit's own system is not positive definite")
    _, C = engine.project()
    residual = np.append(-fit.solution.beta, 1.0)
    e = factored[1] @ residual
    v = [c @ residual for c in C]
    return np.concatenate([e[:-1], _elements(fit.covariance, [u.T @ u for u in v]), [residual @ e]])


class _Together:
    """Many searches at once, one grouping factor. Leading index r of every array: the response."""

    def __init__(self, fit: Fit, responses: Responses) -> None:
        self.fit, self.cov = fit, fit.covariance
        self.group, self.p = fit.cp.groups[0], fit.cp.p
        R = len(responses.yy)
        self.A = np.ascontiguousarray(self.group.A)
        self.B = np.empty((R, *self.group.B.shape))
        self.B[...] = self.group.B
        self.B[:, :, :, -1] = responses.zy[0]
        self.G = np.empty((R, self.p + 1, self.p + 1))
        self.G[...] = fit.cp.xy
        self.G[:, :-1, -1] = self.G[:, -1, :-1] = responses.xy
        self.G[:, -1, -1] = responses.yy
        rows, columns = zip(*(term.rows_columns for term in self.cov.terms), strict=True)
        self.rows, self.columns = np.concatenate(rows), np.concatenate(columns)

    def search(self) -> Refits:
        """Newton steps from the fit's theta until each search ends."""
        fit = self.fit
        R, m = len(self.G), len(fit.theta_internal)
        out = _unsolved(fit, R)
        theta = out.theta
        deviance, S, T = self._factor(np.arange(R), theta)
        self._fill_scores(out, S, T)
        active = np.arange(R)
        step = np.empty((R, m))
        for _ in range(_MAX_ITERATIONS):
            solved = self._solve(S[active])
            gradient, hessian = self._derivatives(active, theta[active], T[active], *solved)
            step[active], decrement = _newton_steps(gradient, hessian)
            ends = decrement < np.maximum(_DECREMENT, 1e-15 * np.abs(deviance[active]))
            beta, r2 = solved[0][ends], solved[1][ends]
            out.beta[active[ends]], out.sigma[active[ends]] = beta, np.sqrt(r2 / fit.nu)
            out.converged[active[ends]] = True
            slope = np.einsum("ri,ri->r", gradient, step[active])[~ends]
            active = active[~ends]
            active = self._descend(active, theta, step, slope, deviance, S, T)
            if not active.size:
                break
        diagonal = np.abs(theta[:, self.cov.diagonal]).min(axis=1)
        out.converged[diagonal < _NEAR_SINGULAR] = False
        return out

    def _lambdas(self, theta: np.ndarray) -> np.ndarray:
        out = np.zeros((len(theta), self.group.k, self.group.k))
        out[:, self.rows, self.columns] = theta
        return out

    def _factor(self, which: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Deviances (up to a constant; infinite where not positive definite), S (R,p+1,p+1) and T (R,J,k,k)."""
        lambdas = self._lambdas(theta)
        T = np.empty((len(which), *self.A.shape))
        logdet, bad = np.empty(len(which)), np.zeros(len(which), dtype=bool)
        S = np.empty((len(which), self.p + 1, self.p + 1))
        for i, r in enumerate(which):
            logdet[i], status = _kernels.levels_factor(self.A, lambdas[i], T[i])
            bad[i] = status != 0
            U = _kernels.levels_half(T[i], self.B[r]).reshape(-1, self.p + 1)
            S[i] = self.G[r] - U.T @ U
        p = self.p
        S[bad] = np.eye(p + 1)
        sign, log_xx = np.linalg.slogdet(S[:, :p, :p])
        all_sign, log_all = np.linalg.slogdet(S)
        bad |= (sign <= 0) | (all_sign <= 0)
        deviance = logdet + (log_xx if self.fit.reml else 0.0) + self.fit.nu * (log_all - log_xx)
        return np.where(bad, np.inf, deviance), S, T

    def _solve(self, S: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """beta (R,p), r2 (R,) and L_X^-T (R,p,p)."""
        p = self.p
        whiten = np.linalg.inv(np.linalg.cholesky(S[:, :p, :p])).swapaxes(1, 2)
        half = np.einsum("rst,rs->rt", whiten, S[:, :p, p])
        return np.einsum("rst,rt->rs", whiten, half), S[:, p, p] - (half**2).sum(axis=1), whiten

    def _fill_scores(self, out: Refits, S: np.ndarray, T: np.ndarray) -> None:
        """See `Refits`; every search stands at the fit's theta, so any T is the one of all."""
        residual = np.append(-self.fit.solution.beta, 1.0)
        e = S @ residual
        Ze = np.ascontiguousarray(np.moveaxis(self.B @ residual, 0, 2))
        v = _kernels.levels_project(self.A, T[0], Ze)
        squares = np.einsum("jar,jbr->rab", v, v)
        out.scores[...] = np.column_stack([e[:, :-1], _elements(self.cov, [squares]), e @ residual])

    def _derivatives(
        self, which: np.ndarray, theta: np.ndarray, T: np.ndarray,
        beta: np.ndarray, r2: np.ndarray, whiten: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Gradients (R,m) and exact Hessians (R,m,m) in theta."""
        R, (J, k, _), p = len(which), self.A.shape, self.p
        nu, reml = self.fit.nu, self.fit.reml
        K, C = np.empty((R, J, k, k)), np.empty((R, J, k, p + 1))
        for i, r in enumerate(which):
            K[i] = _kernels.levels_k(self.A, T[i])
            C[i] = _kernels.levels_project(self.A, T[i], self.B[r])
        D = C[..., :p] @ whiten[:, None]
        v = C[..., p] - (C[..., :p] @ beta[:, None, :, None])[..., 0]
        vv = np.matmul(v.swapaxes(1, 2), v)
        flat_K = K.reshape(R, J, k * k)
        flat_D = D.transpose(0, 2, 1, 3).reshape(R, k, J * p)
        gradient_H = K.sum(axis=1) - (nu / r2)[:, None, None] * vv
        # sum_j v_j[a] K_j[b,c] v_j[d], less the part X explains
        outer = np.einsum("rja,rjd->rjad", v, v).reshape(R, J, k * k)
        quadratic = (outer.swapaxes(1, 2) @ flat_K).reshape(R, k, k, k, k).transpose(0, 1, 3, 4, 2)
        cross = (v.swapaxes(1, 2) @ D.reshape(R, J, k * p)).reshape(R, k, k, p)
        quadratic = quadratic - np.einsum("rabs,rdcs->rabcd", cross, cross)
        traces = (flat_K.swapaxes(1, 2) @ flat_K).reshape(R, k, k, k, k).transpose(0, 3, 1, 2, 4)
        if reml:
            gradient_H = gradient_H - flat_D @ flat_D.swapaxes(1, 2)
            wide = D.reshape(R, J, k * p)
            squares = (wide.swapaxes(1, 2) @ wide).reshape(R, k, p, k, p)  # sum_j D_j[a,t] D_j[b,s]
            DD = np.einsum("rjds,rjas->rjda", D, D).reshape(R, J, k * k)
            once = (flat_K.swapaxes(1, 2) @ DD).reshape(R, k, k, k, k).transpose(0, 4, 1, 2, 3)
            both = once + once.transpose(0, 2, 1, 4, 3)
            traces = traces - both + np.einsum("ratbs,rdtcs->rabcd", squares, squares)
        outer_vv = np.einsum("rab,rcd->rabcd", vv, vv)
        ratio = (1.0 / r2)[:, None, None, None, None]
        second = nu * (2.0 * quadratic * ratio - outer_vv * ratio**2) - traces
        second = 0.5 * (second + second.swapaxes(1, 2))
        second = 0.5 * (second + second.swapaxes(3, 4))
        return self._chain(theta, gradient_H, second)

    def _chain(self, theta: np.ndarray, G: np.ndarray, H: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From derivatives in H to derivatives in theta (`Covariance.gradient`, `Covariance.hessian`)."""
        lambdas = self._lambdas(theta)
        rows, columns = self.rows, self.columns
        gradient = 2.0 * (G @ lambdas)[:, rows, columns]
        part = np.einsum("rakcd,rdl->rakcl", np.einsum("rabcd,rbk->rakcd", H, lambdas), lambdas)
        hessian = 4.0 * part[:, rows[:, None], columns[:, None], rows, columns]
        hessian += 2.0 * G[:, rows[:, None], rows] * (columns[:, None] == columns)
        return gradient, hessian

    def _descend(
        self, active: np.ndarray, theta: np.ndarray, step: np.ndarray, slope: np.ndarray,
        deviance: np.ndarray, S: np.ndarray, T: np.ndarray,
    ) -> np.ndarray:  # fmt: skip
        """Halve each step until its deviance falls as Armijo asks; returns the searches that moved."""
        length = np.abs(step[active]).max(axis=1, initial=0.0)
        reach = np.maximum(1.0, 2.0 * np.abs(theta[active]).max(axis=1, initial=0.0))
        t = np.minimum(1.0, reach / np.maximum(length, 1e-300))
        waiting, moved = np.arange(len(active)), []
        for _ in range(_MAX_HALVINGS):
            if not waiting.size:
                break
            who = active[waiting]
            trial = theta[who] + t[waiting, None] * step[who]
            value, newS, newT = self._factor(who, trial)
            enough = deviance[who] + 1e-4 * t[waiting] * np.minimum(slope[waiting], 0.0) + 1e-14 * np.abs(deviance[who])
            good = value <= enough
            took = who[good]
            theta[took], deviance[took], S[took], T[took] = trial[good], value[good], newS[good], newT[good]
            moved.append(took)
            waiting = waiting[~good]
            t[waiting] *= 0.5
        return np.sort(np.concatenate(moved)) if moved else active[:0]


def _newton_steps(gradient: np.ndarray, hessian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Descent steps (R,m) and the fall each promises (R,), from the eigenvalues of the scaled Hessians."""
    diagonal = np.abs(np.einsum("rii->ri", hessian))
    scale = 1.0 / np.sqrt(np.maximum(diagonal, 1e-300))
    values, vectors = np.linalg.eigh(hessian * scale[:, :, None] * scale[:, None, :])
    size = np.abs(values)
    size = np.maximum(size, _FLOOR * np.maximum(size.max(axis=1, keepdims=True), 1e-300))
    along = np.einsum("rij,ri->rj", vectors, scale * gradient)
    return -scale * np.einsum("rij,rj->ri", vectors, along / size), 0.5 * (along**2 / size).sum(axis=1)
