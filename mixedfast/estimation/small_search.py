"""Searches of small models by compiled code, where calls of Python would take most of the time.

`SmallSearch` and `EngineSearch` are two ways to search a model, behind one interface: the second
runs `mixedfast.estimation.newton` on an engine.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np

from mixedfast._scipy_blas import scipy_blas
from mixedfast.covariance.relative import (
    SINGULAR_TOLERANCE,
    Covariance,
    TermShape,
)
from mixedfast.crossprod.new_response import Responses
from mixedfast.crossprod.types import CrossProducts
from mixedfast.engines.interface import unsolvable
from mixedfast.engines.layout import dense_zz
from mixedfast.estimation import boundary, newton, steps
from mixedfast.estimation.local_model import DirectModel, LocalModel, choose_model
from mixedfast.estimation.newton import DECREMENT_TOLERANCE, Optimum, minimize, undefined
from mixedfast.estimation.pls import PLSSystem, Solution, deviance_constant

with scipy_blas():
    from mixedfast.estimation import _small_search
    from mixedfast.estimation._small_system import LIMITS, SmallSystem

__all__ = [
    "CRITERION_TOLERANCE",
    "ZERO_TOLERANCE",
    "EngineSearch",
    "Search",
    "SmallSearch",
    "refit_small",
    "small_system",
]

#: Elements of theta (columns of Z of order one) below this are set to zero when the deviance does
#: not rise. lme4 checks its bounds at the same distance.
ZERO_TOLERANCE = 1e-5
#: Difference of the deviance below which two optima are the same.
CRITERION_TOLERANCE = 1e-7
#: Random effects of all factors up to which several factors are one dense matrix. A search of 200
#: takes 10 ms, as long as one of the block engine.
_DENSE_EFFECTS = 200
#: Fixed effects, and numbers that C takes, up to which a search is small.
_FIXED_EFFECTS, _NUMBERS = 64, 500_000
#: Messages of an `Optimum`, in the order of `Ending` in _small_search.pyx.
ENDINGS = (newton.CONVERGED, newton.NO_WAY_DOWN, newton.ITERATION_LIMIT)
_NOT_POSITIVE_DEFINITE = 3

_small_search.set_tolerances(
    {
        "certificate": steps.CERTIFICATE_TOLERANCE,
        "converging": steps.CONVERGING,
        "rounding_decrement": newton.ROUNDING_DECREMENT,
        "no_decrease": newton.NO_DECREASE,
        "invisible": steps.INVISIBLE,
        "sufficient": steps.SUFFICIENT,
        "rounding": steps.ROUNDING,
        "any_rounding": steps.ANY_ROUNDING,
        "singular": SINGULAR_TOLERANCE,
        "eigenvalue_floor": steps.EIGENVALUE_FLOOR,
        "zero": ZERO_TOLERANCE,
        "criterion": CRITERION_TOLERANCE,
        "shortest_rescaling": boundary.LONGEST_RESCALING[0],
        "longest_rescaling": boundary.LONGEST_RESCALING[1],
        "boundary_rounding": boundary.ROUNDING,
        "largest_variance": boundary.LARGEST_VARIANCE,
        "patience": newton.PATIENCE,
        "iterations": newton.MAX_ITERATIONS,
        "halvings": steps.MAX_HALVINGS,
        "escapes": newton.MAX_ESCAPES,
    }
)


class Search(Protocol):
    """A model that can be searched from several starting values.

    ``solution`` belongs to ``theta``, where it was solved last.
    """

    @property
    def theta(self) -> np.ndarray: ...
    @property
    def solution(self) -> Solution: ...
    @property
    def cp(self) -> CrossProducts: ...
    @property
    def reml(self) -> bool: ...
    @property
    def covariance(self) -> Covariance: ...

    def minimize(self, start: np.ndarray, exact: bool) -> Optimum:
        """Minimize the criterion; `exact` asks for the exact Hessian where there is a choice."""

    def solve(self, theta: np.ndarray) -> Solution | None:
        """Solve at theta; None where the system is not positive definite."""

    def solve_again(self, theta: np.ndarray) -> Solution:
        """Solve at a theta where the system was positive definite before."""


class EngineSearch:
    """Searches by `mixedfast.estimation.newton.minimize`.

    Parameters
    ----------
    system : PLSSystem
    remaining : float
        Where searches end.
    """

    def __init__(self, system: PLSSystem, remaining: float) -> None:
        self.system, self.remaining = system, remaining
        self.cp, self.reml, self.covariance = system.cp, system.reml, system.covariance
        self.solve, self.solve_again = system.solve, system.solve_again

    @property
    def theta(self) -> np.ndarray:
        """The theta solved last."""
        return self.system.theta

    @property
    def solution(self) -> Solution:
        """The solution there."""
        return self.system.solution

    def minimize(self, start: np.ndarray, exact: bool) -> Optimum:
        return self.by_model(start, choose_model(self.system, exact))

    def exactly(self, start: np.ndarray) -> Optimum:
        """Minimize with the exact Hessian, whatever it costs."""
        return self.by_model(start, DirectModel(exact=True))

    def by_model(self, start: np.ndarray, model: LocalModel[PLSSystem]) -> Optimum:
        """Minimize with steps of a given quadratic model."""
        return minimize(self.system, start, model, remaining=self.remaining)


class SmallSearch:
    """Searches by `_small_search.minimize`.

    Parameters
    ----------
    cp : CrossProducts
    reml : bool
    system : SmallSystem
        From `small_system`.
    remaining : float
        Where searches end.
    """

    theta: np.ndarray
    solution: Solution

    def __init__(
        self, cp: CrossProducts, reml: bool, system: SmallSystem, remaining: float
    ) -> None:
        self.cp, self.reml, self.covariance = cp, reml, cp.covariance
        self.system, self.remaining = system, remaining

    def minimize(self, start: np.ndarray, exact: bool) -> Optimum:
        theta, gradient, hessian, solved, decrement, off, converged, ending, *counts, log = (
            _small_search.minimize(self.system, start, DECREMENT_TOLERANCE, self.remaining)
        )
        if ending == _NOT_POSITIVE_DEFINITE:
            raise undefined()
        if ending > _NOT_POSITIVE_DEFINITE:
            raise np.linalg.LinAlgError("the Hessian is not finite")
        self._take(theta, solved)
        evaluations, rejected, iterations = counts
        return Optimum(
            theta=theta,
            deviance=solved[0],
            gradient=gradient,
            hessian=hessian,
            decrement=decrement,
            boundary_decrement=off,
            foreseen=False,
            converged=converged,
            message=ENDINGS[ending],
            evaluations=evaluations,
            rejected=rejected,
            iterations=iterations,
            kind="exact",
            log=tuple((int(n), value, fall) for n, value, fall in log.tolist()),
        )

    def solve(self, theta: np.ndarray) -> Solution | None:
        solved = self.system.solve(theta)
        return None if solved is None else self._take(theta, solved)

    def solve_again(self, theta: np.ndarray) -> Solution:
        solution = self.solve(theta)
        if solution is None:
            raise unsolvable()
        return solution

    def _take(
        self, theta: np.ndarray, solved: tuple[float, float, float, float, np.ndarray, np.ndarray]
    ) -> Solution:
        """Keep the solution at a theta."""
        deviance, r2, ldL2, ldRX2, beta, LX = solved
        self.theta, self.solution = theta, Solution(deviance, beta, r2, LX, ldL2, ldRX2)
        return self.solution


def small_system(cp: CrossProducts, reml: bool) -> SmallSystem | None:
    """Make the compiled system of a model; None for a model that is not small.

    Small are models with one grouping factor of not too many levels, and models with several
    factors that have few random effects in all.
    """
    groups, m = cp.groups, cp.covariance.n_theta
    q = sum(group.n_levels * group.k for group in groups)
    if (
        cp.p > _FIXED_EFFECTS
        or q * (cp.p + 1) > _NUMBERS
        or (len(groups) > 1 and q > _DENSE_EFFECTS)
        or max(group.k for group in groups) > LIMITS["k"]
        or len(groups) > LIMITS["groups"]
        or len(cp.terms) > LIMITS["terms"]
        or m > LIMITS["theta"]
        or not all(term.structure.is_elementary for term in cp.terms)
    ):
        return None
    elements, terms = _places(tuple(cp.terms))
    if len(groups) == 1:
        A, B = groups[0].A, groups[0].B.reshape(q, -1)
    else:
        A = dense_zz(cp)[0]
        B = np.concatenate([group.B.reshape(-1, cp.p + 1) for group in groups])
    nu = float(cp.n - cp.p if reml else cp.n)
    return SmallSystem(
        np.ascontiguousarray(A),
        np.ascontiguousarray(B),
        np.ascontiguousarray(cp.xy),
        [group.n_levels for group in groups],
        [group.k for group in groups],
        elements,
        terms,
        nu,
        deviance_constant(cp, reml),
        reml,
    )


def refit_small(
    system: SmallSystem, responses: Responses, start: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Search for every response from one theta.

    Parameters
    ----------
    system : SmallSystem
    responses : Responses
    start : (m,) array
    tolerance : float
        Predicted or expected decrease with which searches end.

    Returns
    -------
    theta (R,m), beta (R,p), LX (R,p,p), deviance (R,), r^2 (R,), certificate (R,)
        The certificate is infinite for searches that did not end at a stationary point.
    """
    R = len(responses.yy)
    Zy = np.concatenate([own.reshape(R, -1) for own in responses.zy], axis=1)
    *found, certificate, ending = _small_search.refit(
        system,
        np.ascontiguousarray(Zy),
        np.ascontiguousarray(responses.xy),
        np.ascontiguousarray(responses.yy),
        start,
        tolerance,
        tolerance,
    )
    theta, beta, LX, deviance, r2 = found
    return theta, beta, LX, deviance, r2, np.where(ending == 0, certificate, np.inf)


@lru_cache(maxsize=256)
def _places(terms: tuple[TermShape, ...]) -> tuple[np.ndarray, np.ndarray]:
    """List the elements of theta (3,m) and the terms (t,6) as `SmallSystem` takes them."""
    elements = [
        np.vstack([np.full(term.structure.size, term.group), *term.rows_columns]) for term in terms
    ]
    ends = np.cumsum([term.structure.size for term in terms])
    table = [
        (term.group, term.start, term.k, end - term.structure.size, end, int(term.correlated))
        for term, end in zip(terms, ends, strict=True)
    ]
    return np.hstack(elements).astype(np.int64), np.array(table, dtype=np.int64)
