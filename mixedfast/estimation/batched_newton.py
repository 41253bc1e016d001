"""Newton searches for many responses of one model at once.

Z'WZ and Z'WX are the same for every response, and a Newton iteration of a small model takes
microseconds, so that a loop over responses would spend its time in Python. `BatchedNewton` takes
the steps of R searches at once, in the formulas of `mixedfast.estimation.pls` with one more index
in front and by the rules of `mixedfast.estimation.steps`. Two classes factor M(theta): `OneFactor`
level by level, for one grouping factor of any size, and `Dense`, for several factors with few
random effects in all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from mixedfast.crossprod.new_response import Responses
from mixedfast.crossprod.types import CrossProducts
from mixedfast.engines import _levels
from mixedfast.engines.layout import dense_zz, spread
from mixedfast.estimation.fit import Fit
from mixedfast.estimation.steps import (
    MAX_HALVINGS,
    REFIT_TOLERANCE,
    expected_remaining,
    is_no_higher,
    is_small,
    newton_step,
    step_length,
    suffices,
)

__all__ = ["BatchedNewton", "BatchedOptima", "Dense", "OneFactor", "batched_newton"]

#: Iterations after which a search is left to `mixedfast.estimation.newton.minimize`: it is then
#: near a singular covariance, where it takes many more.
_MAX_ITERATIONS = 30
#: Random effects up to which several factors are one dense matrix: its cube costs no more than the
#: calls it saves.
_DENSE_EFFECTS = 64

Blocks = dict[tuple[int, int], np.ndarray]


class BatchedOptima(NamedTuple):
    """Ends of the searches: ``theta`` (R,m), ``sigma`` (R,), ``beta`` (R,p), ``converged`` (R,)."""

    theta: np.ndarray
    sigma: np.ndarray
    beta: np.ndarray
    converged: np.ndarray


class BatchedNewton(ABC):
    """Searches of R responses; the leading index r of every array is the response.

    Parameters
    ----------
    fit : Fit
    responses : Responses
    """

    def __init__(self, fit: Fit, responses: Responses) -> None:
        self.fit, self.cov, self.p = fit, fit.covariance, fit.cp.p
        R = len(responses.yy)
        self.G = np.empty((R, self.p + 1, self.p + 1))
        self.G[...] = fit.cp.xy
        self.G[:, :-1, -1] = self.G[:, -1, :-1] = responses.xy
        self.G[:, -1, -1] = responses.yy

    @staticmethod
    @abstractmethod
    def numbers_each(cp: CrossProducts) -> int:
        """Return the number of floating-point numbers that one search holds at a time."""

    @abstractmethod
    def _reduce(
        self, which: np.ndarray, theta: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Factor M of some searches.

        log|M| (R,), failures (R,), the factors T (R,...), and [X y]'V0^-1[X y] (R,p+1,p+1).
        """

    @abstractmethod
    def _second(
        self, which: np.ndarray, T: np.ndarray, beta: np.ndarray, whiten: np.ndarray, reml: bool
    ) -> tuple[list[np.ndarray], list[np.ndarray], Blocks, Blocks]:
        """Compute the sums over levels that derivatives need.

        sum_j (Q0)_jj (R,K,K) and sum_j v_j v_j' of each group, y'P0 G P0 G'P0 y and tr(Q0 G Q0 G')
        for g <= h.
        """

    @abstractmethod
    def _squares(self, T: np.ndarray, residual: np.ndarray) -> list[np.ndarray]:
        """Sum v_j v_j' over the levels of each group, (R,K,K), at one T for all.

        v = Z'V0^-1 [X y] residual
        """

    # -- the search -------------------------------------------------------------------------------

    def search(self) -> BatchedOptima:
        """Take Newton steps from the theta of the fit until each search ends."""
        R, m = len(self.G), len(self.fit.theta_internal)
        theta = np.tile(self.fit.theta_internal, (R, 1))
        deviance, S, T = self.factor(np.arange(R), theta)
        at = _Points(theta, deviance, S, T)
        predicted = np.full(R, np.inf)
        converged = np.zeros(R, dtype=bool)
        active, step = np.arange(R), np.empty((R, m))
        for _ in range(_MAX_ITERATIONS):
            solution = self.solve(S[active])
            gradient, hessian = self.derivatives(active, theta[active], T[active], *solution)
            step[active], decrease = newton_step(gradient, hessian)
            remaining = expected_remaining(decrease, predicted[active], exact=True)
            small = is_small(decrease, REFIT_TOLERANCE, deviance[active])
            last = small | (remaining < REFIT_TOLERANCE)
            predicted[active] = decrease
            moved = self._last_steps(active[last], at, step)
            converged[active[last]] = moved | small[last]
            active = self._descend(active[~last], at, step, predicted)
            if not active.size:
                break
        return self._optima(theta, S, converged)

    def _optima(self, theta: np.ndarray, S: np.ndarray, converged: np.ndarray) -> BatchedOptima:
        """Collect the estimates of the searches that converged; NaN for the others."""
        beta, sigma = np.full((len(S), self.p), np.nan), np.full(len(S), np.nan)
        if converged.any():
            beta[converged], r2, _ = self.solve(S[converged])
            sigma[converged] = np.sqrt(r2 / self.fit.nu)
        return BatchedOptima(theta, sigma, beta, converged)

    def scores(self) -> np.ndarray:
        """Compute the statistics of `Refits.scores`, (R, p + m + 1)."""
        theta = self.fit.theta_internal[None]
        T = self._reduce(np.arange(1), theta)[2][0]
        S = self.G - self._explained(T)
        residual = np.append(-self.fit.solution.beta, 1.0)
        e = S @ residual
        return np.column_stack(
            [e[:, :-1], self.cov.elements_of(self._squares(T, residual)), e @ residual]
        )

    @abstractmethod
    def _explained(self, T: np.ndarray) -> np.ndarray:
        """Compute [X y]'Z Lambda M^-1 Lambda'Z'[X y] of every response at one T, (R,p+1,p+1)."""

    def factor(
        self, which: np.ndarray, theta: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Compute deviances (R,), S (R,p+1,p+1) and T (R,...).

        Deviances are up to a constant, and infinite where M is not positive definite.
        """
        logdet, bad, T, S = self._reduce(which, theta)
        p = self.p
        S[bad] = np.eye(p + 1)
        sign, log_xx = np.linalg.slogdet(S[:, :p, :p])
        all_sign, log_all = np.linalg.slogdet(S)
        bad |= (sign <= 0) | (all_sign <= 0)
        deviance = logdet + (log_xx if self.fit.reml else 0.0) + self.fit.nu * (log_all - log_xx)
        return np.where(bad, np.inf, deviance), S, T

    def solve(self, S: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Solve for beta (R,p), r2 (R,) and L_X^-T (R,p,p)."""
        p = self.p
        whiten = np.linalg.inv(np.linalg.cholesky(S[:, :p, :p])).swapaxes(1, 2)
        half = np.einsum("rst,rs->rt", whiten, S[:, :p, p])
        return np.einsum("rst,rt->rs", whiten, half), S[:, p, p] - (half**2).sum(axis=1), whiten

    def derivatives(
        self,
        which: np.ndarray,
        theta: np.ndarray,
        T: np.ndarray,
        beta: np.ndarray,
        r2: np.ndarray,
        whiten: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute gradients (R,m) and exact Hessians (R,m,m) in theta."""
        nu = self.fit.nu
        own, vv, quadratic, traces = self._second(which, T, beta, whiten, self.fit.reml)
        G = [
            trace - (nu / r2)[:, None, None] * square for trace, square in zip(own, vv, strict=True)
        ]
        ratio = (1.0 / r2)[:, None, None, None, None]
        H = {}
        for (g, h), Q in quadratic.items():
            outer = np.einsum("rab,rcd->rabcd", vv[g], vv[h])
            second = nu * (2.0 * Q * ratio - outer * ratio**2) - traces[g, h]
            second = 0.5 * (second + second.swapaxes(1, 2))
            H[g, h] = 0.5 * (second + second.swapaxes(3, 4))
        lambdas = self.cov.lambdas(theta)
        return self.cov.gradient(lambdas, G), self.cov.hessian(lambdas, G, H)

    def _last_steps(self, which: np.ndarray, at: _Points, step: np.ndarray) -> np.ndarray:
        """Take full steps where the deviance does not rise; return where it did not."""
        trial = at.theta[which] + step[which]
        deviance, S, T = self.factor(which, trial)
        good = is_no_higher(deviance, at.deviance[which])
        at.move(which[good], trial[good], deviance[good], S[good], T[good])
        return good

    def _descend(
        self, which: np.ndarray, at: _Points, step: np.ndarray, predicted: np.ndarray
    ) -> np.ndarray:
        """Halve each step until its deviance falls enough; return the searches that moved."""
        length = step_length(at.theta[which], step[which])
        waiting = np.arange(len(which))
        for _ in range(MAX_HALVINGS):
            if not waiting.size:
                break
            who, part = which[waiting], length[waiting]
            trial = at.theta[who] + part[:, None] * step[who]
            deviance, S, T = self.factor(who, trial)
            good = suffices(deviance, at.deviance[who], predicted[who], part)
            at.move(who[good], trial[good], deviance[good], S[good], T[good])
            waiting = waiting[~good]
            length[waiting] *= 0.5
        return np.delete(which, waiting)


class _Points(NamedTuple):
    """The current points of all searches.

    ``theta`` (R,m), ``deviance`` (R,), S (R,p+1,p+1) and T (R,...).
    """

    theta: np.ndarray
    deviance: np.ndarray
    S: np.ndarray
    T: np.ndarray

    def move(self, which: np.ndarray, *values: np.ndarray) -> None:
        """Move some searches to other values, in place."""
        for part, value in zip(self, values, strict=True):
            part[which] = value


class OneFactor(BatchedNewton):
    """One grouping factor, level by level: T (R,J,k,k) with T'T = lambda M^-1 lambda'."""

    def __init__(self, fit: Fit, responses: Responses) -> None:
        super().__init__(fit, responses)
        group = fit.cp.groups[0]
        self.A = np.ascontiguousarray(group.A)
        self.B = np.empty((len(self.G), *group.B.shape))
        self.B[...] = group.B
        self.B[:, :, :, -1] = responses.zy[0]

    @staticmethod
    def numbers_each(cp: CrossProducts) -> int:
        group = cp.groups[0]
        return group.n_levels * group.k * (4 * group.k + 4 * (cp.p + 1))

    def _reduce(
        self, which: np.ndarray, theta: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        lambdas = self.cov.lambdas(theta)[0]
        T = np.empty((len(which), *self.A.shape))
        logdet, bad = np.empty(len(which)), np.zeros(len(which), dtype=bool)
        S = np.empty((len(which), self.p + 1, self.p + 1))
        for i, r in enumerate(which):
            logdet[i], status = _levels.levels_factor(self.A, lambdas[i], T[i])
            bad[i] = status != 0
            U = _levels.levels_multiply(T[i], self.B[r]).reshape(-1, self.p + 1)
            S[i] = self.G[r] - U.T @ U
        return logdet, bad, T, S

    def _explained(self, T: np.ndarray) -> np.ndarray:
        out = np.empty_like(self.G)
        for r, B in enumerate(self.B):
            U = _levels.levels_multiply(T, B).reshape(-1, self.p + 1)
            out[r] = U.T @ U
        return out

    def _squares(self, T: np.ndarray, residual: np.ndarray) -> list[np.ndarray]:
        v = _levels.levels_project(
            self.A, T, np.ascontiguousarray(np.moveaxis(self.B @ residual, 0, 2))
        )
        return [np.einsum("jar,jbr->rab", v, v)]

    def _second(
        self, which: np.ndarray, T: np.ndarray, beta: np.ndarray, whiten: np.ndarray, reml: bool
    ) -> tuple[list[np.ndarray], list[np.ndarray], Blocks, Blocks]:
        R, (J, k, _), p = len(which), self.A.shape, self.p
        K, C = np.empty((R, J, k, k)), np.empty((R, J, k, p + 1))
        for i, r in enumerate(which):
            K[i] = _levels.levels_k(self.A, T[i])
            C[i] = _levels.levels_project(self.A, T[i], self.B[r])
        D = C[..., :p] @ whiten[:, None]
        v = C[..., p] - (C[..., :p] @ beta[:, None, :, None])[..., 0]
        own = K.sum(axis=1)
        flat_K = K.reshape(R, J, k * k)
        # sum_j v_j[a] K_j[b,c] v_j[d], less the part X explains
        outer = np.einsum("rja,rjd->rjad", v, v).reshape(R, J, k * k)
        quadratic = (outer.swapaxes(1, 2) @ flat_K).reshape(R, k, k, k, k).transpose(0, 1, 3, 4, 2)
        cross = (v.swapaxes(1, 2) @ D.reshape(R, J, k * p)).reshape(R, k, k, p)
        quadratic = quadratic - np.einsum("rabs,rdcs->rabcd", cross, cross)
        traces = (flat_K.swapaxes(1, 2) @ flat_K).reshape(R, k, k, k, k).transpose(0, 3, 1, 2, 4)
        if reml:
            flat_D = D.transpose(0, 2, 1, 3).reshape(R, k, J * p)
            own = own - flat_D @ flat_D.swapaxes(1, 2)
            wide = D.reshape(R, J, k * p)
            squares = (wide.swapaxes(1, 2) @ wide).reshape(R, k, p, k, p)  # sum_j D_j[a,t] D_j[b,s]
            DD = np.einsum("rjds,rjas->rjda", D, D).reshape(R, J, k * k)
            once = (flat_K.swapaxes(1, 2) @ DD).reshape(R, k, k, k, k).transpose(0, 4, 1, 2, 3)
            both = once + once.transpose(0, 2, 1, 4, 3)
            traces = traces - both + np.einsum("ratbs,rdtcs->rabcd", squares, squares)
        return [own], [np.matmul(v.swapaxes(1, 2), v)], {(0, 0): quadratic}, {(0, 0): traces}


class Dense(BatchedNewton):
    """Several factors, Z'WZ as one (q,q) matrix: T (R,q,q) with T'T = Lambda M^-1 Lambda'."""

    def __init__(self, fit: Fit, responses: Responses) -> None:
        super().__init__(fit, responses)
        cp = fit.cp
        self.A, self.base = dense_zz(cp)
        q = len(self.A)
        self.B = np.empty((len(self.G), q, self.p + 1))
        self.B[...] = np.concatenate([group.B.reshape(-1, self.p + 1) for group in cp.groups])
        self.B[:, :, -1] = np.concatenate([zy.reshape(len(zy), -1) for zy in responses.zy], axis=1)

    @staticmethod
    def numbers_each(cp: CrossProducts) -> int:
        q = _effects(cp)
        return q * (6 * q + 4 * (cp.p + 1))

    def _big_lambda(self, theta: np.ndarray) -> np.ndarray:
        """Build Lambda of each search, (R,q,q)."""
        out = np.zeros((len(theta), *self.A.shape))
        for g, (group, block) in enumerate(
            zip(self.fit.cp.groups, self.cov.lambdas(theta), strict=True)
        ):
            own = self.base[g] + np.arange(group.n_levels * group.k).reshape(-1, group.k)
            out[:, own[:, :, None], own[:, None, :]] = block[:, None]
        return out

    def _reduce(
        self, which: np.ndarray, theta: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        big = self._big_lambda(theta)
        up = big.swapaxes(1, 2)
        L, bad = _cholesky(up @ self.A @ big + np.eye(len(self.A)))
        T = np.linalg.solve(L, up)
        U = T @ self.B[which]
        logdet = 2.0 * np.log(np.einsum("rii->ri", L)).sum(axis=1)
        return logdet, bad, T, self.G[which] - U.swapaxes(1, 2) @ U

    def _explained(self, T: np.ndarray) -> np.ndarray:
        U = T @ self.B
        return U.swapaxes(1, 2) @ U

    def _squares(self, T: np.ndarray, residual: np.ndarray) -> list[np.ndarray]:
        Ze = self.B @ residual
        v = Ze - (Ze @ T.T) @ (T @ self.A)
        return [part.swapaxes(1, 2) @ part for part in self._parts(v)]

    def _parts(self, v: np.ndarray) -> list[np.ndarray]:
        """Split (R,q) into one (R,J,K) array per group."""
        edges = [*self.base, v.shape[1]]
        return [
            v[:, edges[g] : edges[g + 1]].reshape(len(v), group.n_levels, group.k)
            for g, group in enumerate(self.fit.cp.groups)
        ]

    def _second(
        self, which: np.ndarray, T: np.ndarray, beta: np.ndarray, whiten: np.ndarray, reml: bool
    ) -> tuple[list[np.ndarray], list[np.ndarray], Blocks, Blocks]:
        p, B = self.p, self.B[which]
        TA = T @ self.A
        K = self.A - TA.swapaxes(1, 2) @ TA
        C = B - TA.swapaxes(1, 2) @ (T @ B)
        D = C[..., :p] @ whiten
        P = K - D @ D.swapaxes(1, 2)
        Q0 = P if reml else K
        v = self._parts(C[..., p] - (C[..., :p] @ beta[..., None])[..., 0])
        own, quadratic, traces = [], {}, {}
        wide = [
            spread(part.reshape(-1, part.shape[2])).reshape(len(part), -1, part.shape[2] ** 2)
            for part in v
        ]
        edges = [*self.base, K.shape[1]]
        inside = [slice(edges[g], edges[g + 1]) for g in range(len(v))]
        for h, right in enumerate(v):
            k_h = right.shape[2]
            Ph = P[:, :, inside[h]] @ wide[h]
            for g in range(h + 1):
                k_g = v[g].shape[2]
                both = wide[g].swapaxes(1, 2) @ Ph[:, inside[g]]
                quadratic[g, h] = both.reshape(-1, k_g, k_g, k_h, k_h).swapaxes(1, 2)
                block = Q0[:, inside[g], inside[h]].reshape(
                    len(which), -1, k_g, right.shape[1], k_h
                )
                flat = block.transpose(0, 2, 4, 1, 3).reshape(len(which), k_g * k_h, -1)
                traces[g, h] = (
                    (flat @ flat.swapaxes(1, 2))
                    .reshape(-1, k_g, k_h, k_g, k_h)
                    .transpose(0, 3, 1, 2, 4)
                )
                if g == h:
                    own.append(np.einsum("rjajb->rab", block))
        return own, [part.swapaxes(1, 2) @ part for part in v], quadratic, traces


def batched_newton(cp: CrossProducts) -> type[BatchedNewton] | None:
    """Choose how to batch the searches of a model; None when each is faster alone."""
    if len(cp.groups) == 1:
        return OneFactor
    return Dense if _effects(cp) <= _DENSE_EFFECTS else None


def _effects(cp: CrossProducts) -> int:
    """Count the random effects."""
    return sum(group.n_levels * group.k for group in cp.groups)


def _cholesky(M: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute lower Cholesky factors (R,q,q), and where there is none (R,).

    The factor is the identity there.
    """
    bad = np.zeros(len(M), dtype=bool)
    try:
        return np.linalg.cholesky(M), bad
    except np.linalg.LinAlgError:
        for r in range(len(M)):
            bad[r] = not np.linalg.eigvalsh(M[r])[0] > 0
    L = np.empty_like(M)
    L[bad] = np.eye(M.shape[1])
    L[~bad] = np.linalg.cholesky(M[~bad])
    return L, bad
