"""Fits with the rows available.

Residuals are summed again where sums over the rows have too few digits.
"""

from __future__ import annotations

import math

import numpy as np

from mixedfast._progress import Show
from mixedfast.crossprod.residual_products import (
    ResidualProducts,
    add_fixed_part,
    residual_products,
)
from mixedfast.crossprod.streaming import LazyRows, Stream
from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.types import Design
from mixedfast.estimation.fit import Fit, fit_crossproducts, unproven

__all__ = ["NO_RESIDUALS", "fit_rows"]

#: Residuals from a point far from the optimum are computed again there.
_MAX_REMAINDERS = 3
#: Message of a fit that is not called converged because the residuals are rounding.
NO_RESIDUALS = "the residuals are rounding errors alone"


def fit_rows(
    cp: CrossProducts,
    rows: Design | Stream | LazyRows,
    reml: bool = True,
    start: np.ndarray | None = None,
    engine: str = "auto",
    progress: Show = False,
    threads: int | None = None,
) -> Fit:
    """Fit a model, and read the rows once more where sums over them have too few digits.

    Parameters
    ----------
    cp : CrossProducts
    rows : Design, Stream or LazyRows
        Of these cross-products. A source that can be read only once is not read again.
    reml, start, engine, progress
        See `fit_crossproducts`.
    threads : int, optional
    """
    fit = fit_crossproducts(cp, reml, start, engine, progress)
    for _ in range(_MAX_REMAINDERS):
        if not fit.needs_rows or (isinstance(rows, Stream) and rows.source.once):
            break
        beta = fit.solution.beta
        effects = fit.system.engine.solve(
            [add_fixed_part(group.B, -beta) for group in fit.cp.groups]
        )
        remainder = _sum_residuals(fit.cp, rows, beta, effects, threads, progress)
        if remainder.rounding:
            return unproven(fit, NO_RESIDUALS)
        fit = fit_crossproducts(
            fit.cp, reml, fit.theta * _growth(fit, remainder), engine, progress, remainder
        )
    return fit


def _sum_residuals(
    cp: CrossProducts,
    rows: Design | Stream | LazyRows,
    gamma: np.ndarray,
    delta: list[np.ndarray],
    threads: int | None,
    progress: Show,
) -> ResidualProducts:
    """Sum the residuals of all rows, at once, batch by batch, or by a data base engine."""
    if isinstance(rows, LazyRows):
        return rows.residual_products(cp, gamma, delta)
    if isinstance(rows, Stream):
        return rows.total(
            lambda batch: residual_products(cp, batch, gamma, delta, 1),
            "reading once more",
            threads,
            progress,
        )
    return residual_products(cp, rows, gamma, delta, threads)


def _growth(fit: Fit, remainder: ResidualProducts) -> float:
    """Return the factor by which theta grows when residuals are summed from the rows.

    They have less variance than sums over the rows can show.
    """
    free = fit.cp.n - fit.cp.p - sum(group.n_levels * group.k for group in fit.cp.groups)
    if free <= 0:
        return 1.0
    return math.sqrt(max(1.0, (fit.solution.r2 / fit.nu) / (remainder.ww[-1, -1] / free)))
