"""Least squares in numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mixedfast._stored import stored
from mixedfast.crossprod.collinearity import independent_columns, well_conditioned
from mixedfast.crossprod.subset import keep_columns
from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.columns import matrix
from mixedfast.design.types import Design
from mixedfast.errors import DataError

__all__ = ["LeastSquares", "least_squares"]


def _check_least_squares(fields: Any) -> Iterator[str]:
    if len(fields.beta) != fields.cp.p:
        yield f"a LeastSquares has {len(fields.beta)} coefficients, and its model {fields.cp.p}"


@stored(
    "LeastSquares", arrays={"beta": "finite p", "vcov": "real p p"}, relations=_check_least_squares
)
@dataclass(frozen=True, eq=False)
class LeastSquares:
    """A solved regression, without its rows; a `LinearFit`.

    Parameters
    ----------
    cp : CrossProducts
        Of the columns that could be estimated, p of them: names, terms and coding; tests of types
        II and III read sums from it.
    beta : (p,) array
    vcov : (p, p) array
    rss : float
        Weighted residual sum of squares.
    explained : float
        The model's sum of squares, around the mean when there is an intercept.
    sequential : tuple of (str, int, float)
        Term, degrees of freedom and sum of squares, each term after those before it; the intercept
        apart.
    has_intercept : bool
    sum_log_weights : float
    """

    cp: CrossProducts
    beta: np.ndarray
    vcov: np.ndarray
    rss: float
    explained: float
    sequential: tuple[tuple[str, int, float], ...]
    has_intercept: bool
    sum_log_weights: float
    _memo: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def nu(self) -> int:
        """Residual degrees of freedom."""
        return self.cp.n - self.cp.p

    @property
    def sigma(self) -> float:
        return float(np.sqrt(self.rss / self.nu))

    @property
    def beta_internal(self) -> np.ndarray:
        """Coefficients of the shifted and scaled columns of X, in units of the response, (p,)."""
        basis = self.cp.scaling
        moved = 0.0 if basis.constant is None else basis.shift[-1] * basis.constant
        return np.linalg.solve(basis.beta_transform(), self.beta - moved)

    @property
    def whitening(self) -> np.ndarray:
        """W (p,p) with ``|x W|^2 = x' Phi x`` for a row x of the scaled columns.

        W = L^-T with L L' = X'WX.
        """
        return np.linalg.inv(np.linalg.cholesky(self.cp.xy[:-1, :-1])).T

    @property
    def deviance(self) -> float:
        """-2 log likelihood at its maximum (the variance estimated with divisor n)."""
        n = self.cp.n
        return float(n * (np.log(2 * np.pi * self.rss / n) + 1) - self.sum_log_weights)

    @property
    def reml(self) -> bool:
        return False

    @property
    def theta(self) -> np.ndarray:
        """Of no random effects, (0,)."""
        return np.empty(0)

    @property
    def singular_terms(self) -> tuple[bool, ...]:
        return ()

    def memo(self, name: str, make: Callable[[], Any]) -> Any:
        """Return the result of `make`, computed once per fit."""
        if name not in self._memo:
            self._memo[name] = make()
        return self._memo[name]


def least_squares(design: Design) -> LeastSquares:
    """Least squares by QR of the weighted columns that can be estimated.

    Raises
    ------
    DataError
        When no residual degree of freedom is left.
    """
    from scipy.linalg import solve_triangular

    x = matrix(design.x, design.n)
    y = design.y if design.offset is None else design.y - design.offset
    w = np.ones(design.n) if design.weights is None else design.weights
    root = np.sqrt(w)
    cp = well_conditioned(design)
    kept = independent_columns(cp)
    if design.n <= len(kept):
        raise DataError(
            f"{design.n} rows for {len(kept)} coefficients leave none to estimate the error "
            "variance"
        )
    q, r = np.linalg.qr(x[:, kept] * root[:, None])
    effects = q.T @ (root * y)
    beta = solve_triangular(r, effects)
    r_inverse = solve_triangular(r, np.eye(len(kept)))
    fitted = x[:, kept] @ beta
    rss = float(w @ (y - fitted) ** 2)
    center = np.average(fitted, weights=w) if design.has_intercept else 0.0
    return LeastSquares(
        cp=keep_columns(cp, kept),
        beta=beta,
        vcov=r_inverse @ r_inverse.T * (rss / (design.n - len(kept))),
        rss=rss,
        explained=float(w @ (fitted - center) ** 2),
        sequential=tuple(_sequential(design, kept.tolist(), effects)),
        has_intercept=design.has_intercept,
        sum_log_weights=float(np.log(w).sum()),
    )


def _sequential(
    design: Design, kept: list[int], effects: np.ndarray
) -> list[tuple[str, int, float]]:
    """Compute sequential sums of squares of the terms, the intercept apart.

    Term, degrees of freedom and sum of squares of each term with a column that is kept. `effects`
    is the response along the orthonormal columns of Q.
    """
    place = {column: i for i, column in enumerate(kept)}
    rows = []
    for term in design.fixed_terms:
        owned = [place[column] for column in term.columns if column in place]
        if owned and design.x[term.columns[0]] != ():
            rows.append((term.name, len(owned), float(np.sum(effects[owned] ** 2))))
    return rows
