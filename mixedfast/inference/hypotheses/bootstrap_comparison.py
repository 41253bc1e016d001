"""Likelihood-ratio tests of nested models by parametric bootstrap.

Halekoh & Højsgaard (2014, *Journal of Statistical Software* 59(9), section 5): responses are drawn
from the smaller model, and both models are fitted to each. The p value is the share of draws whose
statistic is at least as large as the observed one, which counts as a draw itself.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixedfast._progress import Show, bar
from mixedfast.crossprod.new_response import with_response
from mixedfast.design.types import Design
from mixedfast.estimation.fit import Fit, fit_crossproducts
from mixedfast.estimation.least_squares import least_squares
from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.inference.prediction.simulate import simulate_old

__all__ = ["bootstrap_p_value", "null_statistics"]

#: Statistics closer than this share count as equal: the searches of both models end with errors.
_EQUAL = 1e-6


def null_statistics(
    small: LinearFit,
    large: LinearFit,
    designs: tuple[Design, Design],
    n: int,
    seed: int | None,
    progress: Show = "auto",
) -> np.ndarray:
    """Draw likelihood-ratio statistics under the smaller model, (n,).

    Parameters
    ----------
    small, large : LinearFit
        By maximum likelihood.
    designs : tuple of Design
        The rows of both.
    n : int
    seed : int, optional
        Draw r depends only on the seed and r.
    progress : {"auto", True, False}
    """
    kept = [np.zeros(group.k, dtype=bool) for group in small.cp.groups]  # all effects are drawn
    out = np.empty(n)
    with bar(n, "bootstrap", progress) as advance:
        for r, y in enumerate(simulate_old(small, designs[0], n, seed, kept).T):
            lower, upper = (
                _deviance(fit, design, y)
                for fit, design in zip((small, large), designs, strict=True)
            )
            out[r] = max(lower - upper, 0.0)
            advance(1)
    return out


def bootstrap_p_value(observed: float, drawn: np.ndarray) -> float:
    """Return the p value of a statistic among draws under the null hypothesis.

    Examples
    --------
    >>> import numpy as np
    >>> bootstrap_p_value(3.0, np.array([1.0, 2.0, 4.0]))
    0.5
    """
    reached = int((drawn >= observed * (1.0 - _EQUAL)).sum())
    return (1 + reached) / (1 + len(drawn))


def _deviance(fit: LinearFit, design: Design, y: np.ndarray) -> float:
    """Fit a model by maximum likelihood to another response and return the deviance."""
    other = replace(design, y=y)
    if not isinstance(fit, Fit):
        return float(least_squares(other).deviance)
    cp = with_response(fit.cp, other)
    return float(fit_crossproducts(cp, False, fit.theta, fit.engine_wanted).deviance)
