"""Tests of responses drawn from a model, for the power of a study."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mixedfast.crossprod.new_response import with_response
from mixedfast.design.types import Design
from mixedfast.estimation.fit import Fit
from mixedfast.estimation.fit_rows import fit_rows
from mixedfast.inference.ddf.methods import DDF, f_test
from mixedfast.inference.prediction.simulate import simulate_old

__all__ = ["binomial_interval", "simulated_tests"]


def simulated_tests(
    truth: Fit, design: Design, L: np.ndarray, rhs: np.ndarray, n: int, seed: int | None, ddf: DDF
) -> Iterator[tuple[float, bool, bool]]:
    """Draw responses from a model, fit it to each, and test L beta = rhs.

    Parameters
    ----------
    truth : Fit
        The model at the parameters to draw from.
    design : Design
    L : (r, p) array
    rhs : (r,) array
    n : int
        Draws.
    seed : int, optional
        Draw r depends only on the seed and r.
    ddf : str or TraceMethod

    Yields
    ------
    (p value, converged, singular) of each draw
    """
    kept = [np.zeros(group.k, dtype=bool) for group in truth.cp.groups]  # all effects are drawn
    for y in simulate_old(truth, design, n, seed, kept).T:
        drawn = replace(design, y=np.ascontiguousarray(y))
        cp = with_response(truth.cp, drawn)
        fit = fit_rows(cp, drawn, truth.reml, engine=truth.engine_wanted)
        converged = fit.optimum is None or fit.optimum.converged
        yield f_test(fit, L, rhs, ddf).p_value, converged, any(fit.singular_terms)


def binomial_interval(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Compute the exact confidence interval of a probability.

    Clopper and Pearson (1934, *Biometrika* 26), from quantiles of beta distributions.

    Examples
    --------
    >>> [round(end, 4) for end in binomial_interval(8, 10)]
    [0.4439, 0.9748]
    """
    from scipy.special import betaincinv

    tail = 0.5 * (1.0 - level)
    failures = trials - successes
    low = float(betaincinv(successes, failures + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, failures, 1.0 - tail)) if failures else 1.0
    return low, high
