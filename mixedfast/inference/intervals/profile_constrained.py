"""Maximum likelihood with one parameter fixed: the points of a likelihood profile.

A coefficient is fixed by a linear map of the columns [X y]. With ``c'beta = value``,
``X beta = X N delta + X b0``, so the model is that of ``y - X b0`` on ``X N``, and every
cross-product of it is a product of the old ones (`PLSSystem.columns`).

A standard deviation or a correlation is fixed by coordinates in which it stands alone (`Chart`).
With column a of a term first in the order, the lower triangular root of its covariance begins with
``sd_a``; with a and b first, its first two rows are ``(sd_a, 0)`` and
``sd_b (rho, sqrt(1 - rho^2))``. The root is linear in the other coordinates, which are free:

    Sigma_g = L L',  L = L0 + sum_i x_i E_i,  sigma^2 = exp(2 tau)
    d(x, tau) = log|V0| + n log(2 pi sigma^2) + r^2 / sigma^2,   V0 = I + Z (Sigma / sigma^2) Z'
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixedfast.covariance.relative import lower_cholesky, lower_root
from mixedfast.crossprod.types import CrossProducts
from mixedfast.engines.interface import Engine
from mixedfast.errors import NotIdentifiedError
from mixedfast.estimation.criterion import Derivatives, Escape
from mixedfast.estimation.local_model import DirectModel
from mixedfast.estimation.newton import CONVERGED, minimize
from mixedfast.estimation.pls import PLSSystem
from mixedfast.estimation.steps import REFIT_TOLERANCE
from mixedfast.inference.intervals.parameters import Parameter, covariance_root, transform

__all__ = [
    "Chart",
    "Point",
    "chart_of",
    "coefficient_slope",
    "fix_coefficient",
    "minimize_on_chart",
]

#: Free diagonal elements start no closer to zero than this times sigma (columns of Z of order one):
#: at exactly zero the deviance is stationary, whatever the data.
_INSIDE = 0.05


# -- a fixed coefficient --------------------------------------------------------------------------


def fix_coefficient(
    cp: CrossProducts, engine: Engine, j: int, value: float
) -> tuple[PLSSystem, np.ndarray]:
    """Make the ML system of the model with coefficient j (in units of the data) fixed at a value.

    Parameters
    ----------
    cp : CrossProducts
    engine : Engine
        Of `cp`; systems that are used one after the other may share it.

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
    others = CrossProducts(
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
    return PLSSystem(others, engine, reml=False, columns=M), direction


def coefficient_slope(system: PLSSystem, direction: np.ndarray) -> float:
    """Compute d deviance / d value at the last theta solved.

    By the envelope theorem: theta and the other coefficients are optimal.
    """
    columns = system.columns
    assert columns is not None
    # (-b, 1): the residual y - X b as a combination of [X y]
    residual = columns @ np.append(-system.solution.beta, 1.0)
    score = system.products[:-1] @ residual
    return float(-2.0 * system.nu * (direction @ score) / system.solution.r2)


# -- a fixed standard deviation or correlation ----------------------------------------------------


@dataclass(frozen=True, eq=False)
class Chart:
    """Free coordinates of all covariances, with one parameter fixed.

    Parameters
    ----------
    base : list of (K, K) arrays
        L0 of each group, internal basis, units of the internal y.
    directions : list of (f, K, K) arrays
        E_i of each group, zero where coordinate i belongs to another group.
    by_value : list of (K, K) arrays
        dL / d(fixed value) of each group; for a correlation, divided by the coordinate `pivot`.
    lower : (f,) array
        0 for coordinates that may not change sign (that would change the sign of a fixed
        correlation), else -inf.
    start : (f,) array
    inside : (f,) array
        Coordinates that are diagonal elements start at least this far from zero; 0 for the others.
    log_sigma : float or None
        tau when sigma is fixed.
    pivot : int
        The coordinate that a correlation multiplies; -1 when none.
    """

    base: list[np.ndarray]
    directions: list[np.ndarray]
    by_value: list[np.ndarray]
    lower: np.ndarray
    start: np.ndarray
    inside: np.ndarray
    log_sigma: float | None
    pivot: int

    def roots(self, x: np.ndarray) -> list[np.ndarray]:
        """Compute L of each group at coordinates x (f,)."""
        return [
            L0 + np.tensordot(x, E, 1) for L0, E in zip(self.base, self.directions, strict=True)
        ]


def _order(term_k: int, first: Sequence[int]) -> list[int]:
    """Order the columns of a term so that some come first."""
    return [*first, *(i for i in range(term_k) if i not in first)]


def chart_of(
    cp: CrossProducts, parameter: Parameter, value: float, theta: np.ndarray, sigma: float
) -> Chart:
    """Choose coordinates with `parameter` (sd, cor or sigma) fixed at `value`.

    They start at internal (theta, sigma).
    """
    cov, y_scale = cp.covariance, float(cp.scale[-1])
    base = [np.zeros((size, size)) for size in cov.sizes]
    by_value = [np.zeros((size, size)) for size in cov.sizes]
    free: list[tuple[int, np.ndarray]] = []  # group, E
    lower, start, inside = [], [], []
    pivot = -1
    for t, term in enumerate(cp.terms):
        is_own = parameter.term == t
        first = (
            ()
            if not is_own
            else (parameter.a,)
            if parameter.kind == "sd"
            else (parameter.b, parameter.a)
        )
        order = _order(term.k, first)
        own = slice(term.start, term.start + term.k)
        to_internal = transform(cov, term)[:, order] * y_scale
        root = covariance_root(cp, term, theta, np.asarray(sigma))[order]
        L = lower_cholesky(root) if term.correlated else root[:, order]
        # a coordinate of column i in the data is of order one in the internal basis times this
        unit = sigma / y_scale * cov.scale[term.group][own][order]

        def embed(
            block: np.ndarray,
            group: int = term.group,
            own: slice = own,
            to_internal: np.ndarray = to_internal,
            order: list[int] = order,
            correlated: bool = term.correlated,
        ) -> np.ndarray:
            out = np.zeros_like(base[group])
            # the columns of a diagonal root return to their places; those of a triangular root have
            # none
            columns = np.argsort(order) if not correlated else np.arange(len(order))
            out[own, own] = (to_internal @ block)[:, columns]
            return out

        skip: set[tuple[int, int]] = set()
        if is_own and parameter.kind == "sd":
            fixed = np.zeros((term.k, term.k))
            fixed[0, 0] = 1.0
            by_value[term.group] += embed(fixed)
            base[term.group] += value * embed(fixed)
            skip = {(0, 0)}
        if is_own and parameter.kind == "cor":
            pair, turning = np.zeros((term.k, term.k)), np.zeros((term.k, term.k))
            rest = math.sqrt(max(0.0, 1.0 - value**2))
            pair[1, 0], pair[1, 1] = value, rest
            turning[1, 0], turning[1, 1] = 1.0, -value / rest if rest > 0 else -np.inf
            pivot = len(free)
            # at a correlation of one the slope is NaN, which `ChartCriterion.slope` returns
            with np.errstate(invalid="ignore"):
                by_value[term.group] += (
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
            lower.append(0.0 if is_own and parameter.kind == "cor" and i == j == 0 else -np.inf)
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
        by_value,
        np.array(lower),
        np.array(start),
        np.array(inside),
        log_sigma,
        pivot,
    )


# -- the search -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Point:
    """The best fit with one parameter fixed.

    ``theta`` and ``sigma`` are internal, ``slope`` is d deviance / d value.
    """

    deviance: float
    slope: float
    theta: np.ndarray
    sigma: float
    coordinates: np.ndarray


class ChartCriterion:
    """The ML deviance of one chart, a `Criterion` of its coordinates.

    The last coordinate is tau unless sigma is fixed.

    Parameters
    ----------
    system : PLSSystem
        Of maximum likelihood.
    chart : Chart
    """

    is_interior = True
    safe_start = None

    def __init__(self, system: PLSSystem, chart: Chart) -> None:
        self.system, self.chart = system, chart
        self.evaluations = self.rejected = 0
        cp = system.cp
        self._constant = (
            cp.n * (math.log(2.0 * math.pi) - 2.0 * math.log(cp.scale[-1])) - cp.sum_log_weights
        )
        self.lower = chart.lower if chart.log_sigma is not None else np.append(chart.lower, -np.inf)

    def _split(self, x: np.ndarray) -> tuple[np.ndarray, float]:
        """Split coordinates into those of the chart and tau."""
        return (
            (x, self.chart.log_sigma)
            if self.chart.log_sigma is not None
            else (x[:-1], float(x[-1]))
        )

    def value(self, x: np.ndarray) -> float:
        """Compute the deviance; infinite where the system is not positive definite."""
        self.evaluations += 1
        self.x = x
        self._coordinates, self.tau = self._split(x)
        self.roots, tau = self.chart.roots(self._coordinates), self.tau
        relative = [lower_root(L) * math.exp(-tau) for L in self.roots]
        self.theta = self.system.covariance.theta_of(relative)
        solution = self.system.solve(self.theta)
        if solution is None:
            self.rejected += 1
            return math.inf
        n = self.system.cp.n
        return solution.ldL2 + 2.0 * n * tau + solution.r2 * math.exp(-2.0 * tau) + self._constant

    def escape(self) -> Escape:
        """Return no way down: nothing is hidden from the derivatives on a chart."""
        return Escape(0.0, self.x)

    def _blocks(self) -> list[np.ndarray]:
        """Compute dd/dH_g at fixed sigma."""
        K, v = self.system.K, self.system.v
        return [
            k.sum(axis=0) - math.exp(-2.0 * self.tau) * (u.T @ u) for k, u in zip(K, v, strict=True)
        ]

    def slope(self) -> float:
        """Compute d deviance / d(fixed value).

        NaN at a correlation of one, where it need not exist.
        """
        shrink = math.exp(-2.0 * self.tau)
        if self.chart.log_sigma is not None:
            return (
                self._tau_slope(self._blocks())
                / math.exp(self.tau)
                * float(self.system.cp.scale[-1])
            )
        factor = 1.0 if self.chart.pivot < 0 else float(self._coordinates[self.chart.pivot])
        parts = zip(self._blocks(), self.roots, self.chart.by_value, strict=True)
        return float(
            sum(2.0 * shrink * factor * np.einsum("ab,ac,bc->", G, M, L) for G, L, M in parts)
        )

    def _tau_slope(self, blocks: list[np.ndarray]) -> float:
        """Compute d deviance / d tau from `_blocks`."""
        shrink = math.exp(-2.0 * self.tau)
        through_h = sum(
            float(np.einsum("ab,ac,bc->", G, L, L)) for G, L in zip(blocks, self.roots, strict=True)
        )
        return 2.0 * self.system.cp.n - 2.0 * shrink * (self.system.solution.r2 + through_h)

    def derivatives(self, exact: bool) -> Derivatives:
        """Compute the gradient and the Hessian, exact or with average information in H."""
        shrink = math.exp(-2.0 * self.tau)
        G, Q = self._blocks(), self.system.quadratic_blocks()
        traces = self.system.trace_blocks() if exact else None
        v = self.system.v
        free_tau = self.chart.log_sigma is None
        f = len(self.x)
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
        return Derivatives(gradient, 0.5 * (hessian + hessian.T))


def minimize_on_chart(
    system: PLSSystem, chart: Chart, sigma: float, guess: np.ndarray | None = None
) -> Point | None:
    """Find the best fit on a chart.

    Parameters
    ----------
    system : PLSSystem
        Of maximum likelihood.
    chart : Chart
    sigma : float
        Internal residual standard deviation to start from.
    guess : array, optional
        Coordinates to start from (``Point.coordinates`` of a neighbour); those of the chart by
        default.

    Returns
    -------
    Point or None
        None when the search finds no optimum.
    """
    criterion = ChartCriterion(system, chart)
    own = chart.start if chart.log_sigma is not None else np.append(chart.start, math.log(sigma))
    start = own.copy() if guess is None else np.maximum(guess, criterion.lower)
    near = np.flatnonzero(np.abs(start[: len(chart.inside)]) < chart.inside)
    start[near] = chart.inside[near]
    model = DirectModel(exact=len(system.cp.groups) == 1)
    try:
        found = minimize(criterion, start, model, REFIT_TOLERANCE, REFIT_TOLERANCE)
    except NotIdentifiedError:  # not positive definite at the start
        return None
    if found.message != CONVERGED:
        return None
    sigma = math.exp(criterion.tau)
    return Point(found.deviance, criterion.slope(), criterion.theta, sigma, found.theta)
