"""A fit with the rows at hand: where sums over them have too few digits, what the effects leave of them is summed once more."""

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

__all__ = ["NOTHING_LEFT", "fit_rows"]

#: A remainder taken out far from the optimum is made again there.
_MAX_REMAINDERS = 3
#: What keeps a fit from being called converged though no step lowers its criterion.
NOTHING_LEFT = "nothing is left of the response"


def fit_rows(
    cp: CrossProducts,
    rows: Design | Stream | LazyRows,
    reml: bool = True,
    start: np.ndarray | None = None,
    engine: str = "auto",
    progress: Show = False,
    threads: int | None = None,
) -> Fit:
    """As `fit_crossproducts`, with the rows at hand: where sums over them have too few digits they are read once more.

    Parameters
    ----------
    cp : CrossProducts
    rows : Design, Stream or LazyRows
        Whose products they are. What can be read but once is not read again.
    reml, start, engine, progress
        As for `fit_crossproducts`.
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
        remainder = _taken_out(fit.cp, rows, beta, effects, threads, progress)
        if remainder.rounding:
            return unproven(fit, NOTHING_LEFT)
        fit = fit_crossproducts(
            fit.cp, reml, fit.theta * _growth(fit, remainder), engine, progress, remainder
        )
    return fit


def _taken_out(
    cp: CrossProducts,
    rows: Design | Stream | LazyRows,
    gamma: np.ndarray,
    delta: list[np.ndarray],
    threads: int | None,
    progress: Show,
) -> ResidualProducts:
    """What is left of all rows, at once, batch by batch, or by an engine."""
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
    """By what theta is to grow as the residuals of the rows have less variance than sums over them could show."""
    free = fit.cp.n - fit.cp.p - sum(group.n_levels * group.k for group in fit.cp.groups)
    if free <= 0:
        return 1.0
    return math.sqrt(max(1.0, (fit.solution.r2 / fit.nu) / (remainder.ww[-1, -1] / free)))
