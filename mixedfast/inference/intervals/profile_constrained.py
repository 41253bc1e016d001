"""Maximum likelihood with one parameter held at a value: what a likelihood profile is made of.

A coefficient is held by a linear map of the columns [X y]: with ``c'beta = value``, ``X beta = X N delta + X b0``, so the model
is that of ``y - X b0`` on ``X N``, and every cross-product of it is a product of the old ones (`PLSSystem.columns`).

A standard deviation or a correlation is held by choosing coordinates in which it stands alone (`Chart`). With column a of a
term first in the order, the lower triangular root of its covariance begins with ``sd_a``; with a and b first, its first two
rows are ``(sd_a, 0)`` and ``sd_b (rho, sqrt(1 - rho^2))``. What is left is free, and linear in its coordinates:

    Sigma_g = L L',  L = L0 + sum_i x_i E_i,  sigma^2 = exp(2 tau)
    d(x, tau) = log|V0| + n log(2 pi sigma^2) + r^2 / sigma^2,        V0 = I + Z (Sigma / sigma^2) Z'
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixedfast.covariance.relative import lower_cholesky, lower_root
from mixedfast.crossprod.types import CrossProducts
from mixedfast.engines import Engine
from mixedfast.estimation.pls import PLSSystem
from mixedfast.inference.intervals.parameters import Parameter, covariance_root, transform

__all__ = ["Chart", "Point", "chart_of", "hold_coefficient", "minimize_held"]

#: The search ends when a quadratic model promises a fall of the deviance smaller than this. zeta = sqrt(fall of the
#: deviance) then carries an error of 1e-9 / (2 zeta), far below what interpolation leaves.
_DECREMENT = 1e-9
_MAX_ITERATIONS = 60
_MAX_HALVINGS = 25
_FLOOR = 1e-9
#: Free diagonal elements start no closer to zero than this times sigma (columns of Z of order one): at exactly zero the
#: deviance is stationary, whatever the data say.
_INSIDE = 0.05


# -- a coefficient held --------------------------------------------------------------------------------------------


def hold_coefficient(
    cp: CrossProducts, engine: Engine, j: int, value: float
) -> tuple[PLSSystem, np.ndarray]:
    """The ML system of the model with coefficient j (user's units) held at a value.

    Parameters
    ----------
    cp : CrossProducts
    engine : Engine
        Of `cp`; may be shared by systems that are used one after the other.

    Returns
    -------
    system : PLSSystem
        With one coefficient fewer.
    direction : (p,) array
        d b0 / d value: the internal coefficients move along it as the value does.
    """
    p = cp.p
    c = cp.scaling.beta_transform()[j] / cp.scale[-1]
    offset = 0.0 if cp.constant is None else float(cp.shift[-1] * cp.constant[j])
    direction = c / (c @ c)
    orthogonal = np.linalg.qr(np.column_stack([c, np.eye(p)]))[0][:, 1:p]
    M = np.zeros((p + 1, p))
    M[:p, : p - 1] = orthogonal
    M[:p, -1] = -direction * (value - offset)
    M[p, -1] = 1.0
    left = CrossProducts(
        n=cp.n,
        xy=M.T @ cp.xy @ M,
        shift=np.zeros(p),
        scale=np.append(np.ones(p - 1), cp.scale[-1]),
        groups=cp.groups,
        pairs=cp.pairs,
        terms=cp.terms,
        x_names=cp.x_names[: p - 1],
        kept=cp.kept[: p - 1],
        constant=None,
        sum_log_weights=cp.sum_log_weights,
    )
    return PLSSystem(left, engine, reml=False, columns=M), direction


def coefficient_slope(system: PLSSystem, direction: np.ndarray) -> float:
    """d deviance / d value at the last theta solved (envelope theorem: theta and the other coefficients are optimal)."""
    columns = system.columns
    assert columns is not None
    # (-b, 1): the residual y - X b as a combination of [X y]
    residual = columns @ np.append(-system.solution.beta, 1.0)
    score = system.products[:-1] @ residual
    return float(-2.0 * system.nu * (direction @ score) / system.solution.r2)


# -- a standard deviation or a correlation held --------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Chart:
    """Free coordinates of all covariances, one parameter held.

    Parameters
    ----------
    base : list of (K, K) arrays
        L0 of each group, internal basis, units of the internal y.
    directions : list of (f, K, K) arrays
        E_i of each group, zero where coordinate i belongs to another group.
    moving : list of (K, K) arrays
        dL / d(value held) of each group, at fixed coordinates, as (constant part); a correlation's is ``t`` times it.
    lower : (f,) array
        0 for coordinates that may not turn sign (they would turn the sign of the correlation held), else -inf.
    start : (f,) array
    inside : (f,) array
        Coordinates that are diagonal elements start at least this far from zero; 0 for the others.
    log_sigma : float or None
        tau when sigma is held.
    pivot : int
        The coordinate t that a correlation multiplies; -1 when none.
    """

    base: list[np.ndarray]
    directions: list[np.ndarray]
    moving: list[np.ndarray]
    lower: np.ndarray
    start: np.ndarray
    inside: np.ndarray
    log_sigma: float | None
    pivot: int

    def roots(self, x: np.ndarray) -> list[np.ndarray]:
        return [
            L0 + np.tensordot(x, E, 1) for L0, E in zip(self.base, self.directions, strict=True)
        ]


def _order(term_k: int, first: Sequence[int]) -> list[int]:
    return [*first, *(i for i in range(term_k) if i not in first)]


def chart_of(
    cp: CrossProducts, parameter: Parameter, value: float, theta: np.ndarray, sigma: float
) -> Chart:
    """Coordinates with `parameter` (sd, cor or sigma) held at `value`, starting at internal (theta, sigma)."""
    cov, y_scale = cp.covariance, float(cp.scale[-1])
    base = [np.zeros((size, size)) for size in cov.sizes]
    moving = [np.zeros((size, size)) for size in cov.sizes]
    free: list[tuple[int, np.ndarray]] = []  # group, E
    lower, start, inside = [], [], []
    pivot = -1
    for t, term in enumerate(cp.terms):
        mine = parameter.term == t
        first = (
            ()
            if not mine
            else (parameter.a,)
            if parameter.kind == "sd"
            else (parameter.b, parameter.a)
        )
        order = _order(term.k, first)
        own = slice(term.start, term.start + term.k)
        toward = transform(cov, term)[:, order] * y_scale
        root = covariance_root(cp, term, theta, np.asarray(sigma))[order]
        L = lower_cholesky(root) if term.correlated else root[:, order]
        # a coordinate of the user's column i is of order one in the internal basis times this
        unit = sigma / y_scale * cov.scale[term.group][own][order]

        def embed(
            block: np.ndarray,
            group: int = term.group,
            own: slice = own,
            toward: np.ndarray = toward,
            order: list[int] = order,
            correlated: bool = term.correlated,
        ) -> np.ndarray:
            out = np.zeros_like(base[group])
            # the columns of a diagonal root go back to their places; of a triangular one they have none
            columns = np.argsort(order) if not correlated else np.arange(len(order))
            out[own, own] = (toward @ block)[:, columns]
            return out

        skip: set[tuple[int, int]] = set()
        if mine and parameter.kind == "sd":
            held = np.zeros((term.k, term.k))
            held[0, 0] = 1.0
            moving[term.group] += embed(held)
            base[term.group] += value * embed(held)
            skip = {(0, 0)}
        if mine and parameter.kind == "cor":
            pair, turning = np.zeros((term.k, term.k)), np.zeros((term.k, term.k))
            rest = math.sqrt(max(0.0, 1.0 - value**2))
            pair[1, 0], pair[1, 1] = value, rest
            turning[1, 0], turning[1, 1] = 1.0, -value / rest if rest > 0 else -np.inf
            pivot = len(free)
            with np.errstate(
                invalid="ignore"
            ):  # at a correlation of one the slope is asked for and refused later
                moving[term.group] += (
                    embed(turning) if rest > 0 else np.full_like(base[term.group], np.nan)
                )
            free.append((term.group, embed(pair)))
            lower.append(0.0)
            start.append(float(np.hypot(L[1, 0], L[1, 1])))
            inside.append(_INSIDE * unit[1])
            skip = {(1, 0), (1, 1)}
        rows, columns = term.rows_columns
        for i, j in zip((rows - term.start).tolist(), (columns - term.start).tolist(), strict=True):
            if (i, j) in skip:
                continue
            element = np.zeros((term.k, term.k))
            element[i, j] = 1.0
            free.append((term.group, embed(element)))
            lower.append(0.0 if mine and parameter.kind == "cor" and i == j == 0 else -np.inf)
            start.append(float(L[i, j]))
            inside.append(_INSIDE * unit[i] if i == j else 0.0)
    directions = []
    for g, size in enumerate(cov.sizes):
        E = [block if group == g else np.zeros((size, size)) for group, block in free]
        directions.append(np.array(E).reshape(len(free), size, size))
    log_sigma = math.log(value * y_scale) if parameter.kind == "sigma" else None
    return Chart(
        base,
        directions,
        moving,
        np.array(lower),
        np.array(start),
        np.array(inside),
        log_sigma,
        pivot,
    )


# -- the search ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Point:
    """The best fit with one parameter held: ``theta`` and ``sigma`` are internal, ``slope`` is d deviance / d value."""

    deviance: float
    slope: float
    theta: np.ndarray
    sigma: float
    coordinates: np.ndarray


class _Held:
    """The deviance of one chart, its gradient and Hessian. The last coordinate is tau unless sigma is held."""

    def __init__(self, system: PLSSystem, chart: Chart) -> None:
        self.system, self.chart = system, chart
        cp = system.cp
        self._constant = (
            cp.n * (math.log(2.0 * math.pi) - 2.0 * math.log(cp.scale[-1])) - cp.sum_log_weights
        )
        self._exact = len(cp.groups) == 1
        self.lower = chart.lower if chart.log_sigma is not None else np.append(chart.lower, -np.inf)

    def _split(self, x: np.ndarray) -> tuple[np.ndarray, float]:
        return (
            (x, self.chart.log_sigma)
            if self.chart.log_sigma is not None
            else (x[:-1], float(x[-1]))
        )

    def value(self, x: np.ndarray) -> float:
        """The deviance; infinity where the system is not positive definite."""
        coordinates, tau = self._split(x)
        self.roots = self.chart.roots(coordinates)
        self.tau = tau
        relative = [lower_root(L) * math.exp(-tau) for L in self.roots]
        self.theta = self.system.covariance.theta_of(relative)
        solution = self.system.solve(self.theta)
        if solution is None:
            return math.inf
        n = self.system.cp.n
        return solution.ldL2 + 2.0 * n * tau + solution.r2 * math.exp(-2.0 * tau) + self._constant

    def _blocks(self) -> list[np.ndarray]:
        """dd/dH_g at fixed sigma."""
        K, v = self.system.K, self.system.v
        return [
            k.sum(axis=0) - math.exp(-2.0 * self.tau) * (u.T @ u) for k, u in zip(K, v, strict=True)
        ]

    def slope(self) -> float:
        """d deviance / d value held; NaN at a correlation of one, where it need not exist."""
        shrink = math.exp(-2.0 * self.tau)
        if self.chart.log_sigma is not None:
            return (
                self._tau_slope(self._blocks())
                / math.exp(self.tau)
                * float(self.system.cp.scale[-1])
            )
        factor = 1.0 if self.chart.pivot < 0 else float(self._coordinates[self.chart.pivot])
        parts = zip(self._blocks(), self.roots, self.chart.moving, strict=True)
        return float(
            sum(2.0 * shrink * factor * np.einsum("ab,ac,bc->", G, M, L) for G, L, M in parts)
        )

    def _tau_slope(self, blocks: list[np.ndarray]) -> float:
        shrink = math.exp(-2.0 * self.tau)
        through_h = sum(
            float(np.einsum("ab,ac,bc->", G, L, L)) for G, L in zip(blocks, self.roots, strict=True)
        )
        return 2.0 * self.system.cp.n - 2.0 * shrink * (self.system.solution.r2 + through_h)

    def derivatives(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient and Hessian (exact for one grouping factor, else with average information in H)."""
        self._coordinates, tau = self._split(x)
        shrink = math.exp(-2.0 * tau)
        G, Q = self._blocks(), self.system.quadratic_blocks()
        traces = self.system.trace_blocks() if self._exact else None
        v = self.system.v
        free_tau = self.chart.log_sigma is None
        f = len(x)
        J: list[np.ndarray] = []
        gradient, hessian = np.zeros(f), np.zeros((f, f))
        for g, (L, E) in enumerate(zip(self.roots, self.chart.directions, strict=True)):
            half = shrink * np.einsum("iac,bc->iab", E, L)
            move = half + half.transpose(0, 2, 1)  # dH_g / dx_i
            curve = 2.0 * shrink * np.einsum("ab,iac,jbc->ij", G[g], E, E)  # G : d2H_g / dx_i dx_j
            m = len(E)
            hessian[:m, :m] += curve
            if free_tau:
                move = np.concatenate([move, -2.0 * shrink * (L @ L.T)[None]])
                mixed = -2.0 * np.einsum("iab,ab->i", move[:-1], G[g])
                hessian[:m, m] += mixed
                hessian[m, :m] += mixed
                hessian[m, m] += 4.0 * shrink * float(np.einsum("ab,ab->", L @ L.T, G[g]))
                # r^2 / sigma^2 also moves with sigma directly
                direct = 2.0 * shrink * np.einsum("iab,ja,jb->i", move, v[g], v[g])
                hessian[:, m] += direct
                hessian[m, :] += direct
            gradient += np.einsum("iab,ab->i", move, G[g])
            J.append(move)
        for (g, h), quadratic in Q.items():
            second = 2.0 * shrink * quadratic - traces[g, h] if traces else shrink * quadratic
            part = np.einsum("iab,abcd,jcd->ij", J[g], second, J[h])
            hessian += part if g == h else part + part.T
        if free_tau:
            gradient[-1] += 2.0 * self.system.cp.n - 2.0 * shrink * self.system.solution.r2
            hessian[-1, -1] += 4.0 * shrink * self.system.solution.r2
        return gradient, 0.5 * (hessian + hessian.T)


def minimize_held(
    system: PLSSystem, chart: Chart, sigma: float, guess: np.ndarray | None = None
) -> Point | None:
    """The best fit on a chart, by a Newton method that keeps to its lower bounds.

    Parameters
    ----------
    system : PLSSystem
        Of maximum likelihood.
    chart : Chart
    sigma : float
        Internal residual standard deviation to start from.
    guess : array, optional
        Coordinates to start from (``Point.coordinates`` of a neighbour); the chart's own by default.

    Returns
    -------
    Point or None
        None when the search does not end.
    """
    problem = _Held(system, chart)
    own = chart.start if chart.log_sigma is not None else np.append(chart.start, math.log(sigma))
    x = own.copy() if guess is None else np.maximum(guess, problem.lower)
    near = np.flatnonzero(np.abs(x[: len(chart.inside)]) < chart.inside)
    x[near] = chart.inside[near]
    value = problem.value(x)
    if not math.isfinite(value):
        return None
    for _ in range(_MAX_ITERATIONS):
        gradient, hessian = problem.derivatives(x)
        step, decrement = _bounded_step(x, gradient, hessian, problem.lower)
        if decrement < max(_DECREMENT, 1e-14 * abs(value)):
            return Point(value, problem.slope(), problem.theta, math.exp(problem.tau), x)
        moved = _descend(problem, x, value, step, float(gradient @ step))
        if moved is None:
            return None
        x, value = moved
    return None


def _bounded_step(
    x: np.ndarray, gradient: np.ndarray, hessian: np.ndarray, lower: np.ndarray
) -> tuple[np.ndarray, float]:
    """A descent step that leaves coordinates at their bound when the deviance pushes them there, and its promise."""
    free = np.flatnonzero((x > lower) | (gradient < 0))
    step = np.zeros_like(x)
    if not free.size:
        return step, 0.0
    H, g = hessian[np.ix_(free, free)], gradient[free]
    scale = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(H)), 1e-300))
    values, vectors = np.linalg.eigh(H * np.outer(scale, scale))
    size = np.maximum(np.abs(values), _FLOOR * max(float(np.abs(values).max()), 1e-300))
    along = vectors.T @ (scale * g)
    step[free] = -scale * (vectors @ (along / size))
    return step, float(0.5 * (along**2 / size).sum())


def _descend(
    problem: _Held, x: np.ndarray, value: float, step: np.ndarray, slope: float
) -> tuple[np.ndarray, float] | None:
    """Halve the step until the deviance falls as Armijo asks, clipped at the bounds."""
    longest = np.abs(step).max() / max(1.0, 2.0 * np.abs(x).max())
    t = min(1.0, 1.0 / longest) if longest > 0 else 1.0
    for _ in range(_MAX_HALVINGS):
        trial = np.maximum(x + t * step, problem.lower)
        found = problem.value(trial)
        if found <= value + 1e-4 * t * min(slope, 0.0) + 1e-13 * abs(value):
            return trial, found
        t *= 0.5
    return None
