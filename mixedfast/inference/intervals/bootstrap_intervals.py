"""Confidence intervals from bootstrap replicates: percentile, basic and BCa.

The acceleration of BCa is a sixth of the skewness of the score in the least favourable direction,
Efron's definition for parametric models (1987, JASA 82). That score is the regression of the
replicates' estimates on their scores at the fitted parameters. The usual substitute, a jackknife
over groups, would need each group's y'y, which cross-products do not keep.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from mixedfast._validation import check_choice, check_level
from mixedfast.errors import ArgumentError
from mixedfast.inference.intervals.parameters import Parameter

__all__ = ["INTERVALS", "Replicates", "bootstrap_limits"]

INTERVALS = ("percentile", "basic", "bca")


@dataclass(frozen=True, eq=False)
class Replicates:
    """Estimates from the replicates of a parametric bootstrap.

    Parameters
    ----------
    parameters : tuple of Parameter
    estimates : (P,) array
        Of the fit itself.
    replicates : (n_done, P) array
        A correlation is NaN in replicates where one of its variances is zero.
    requested : int
        Replicates requested.
    n_singular : int
        Converged replicates with a singular covariance matrix.
    converged : (n_done,) bool array
        Rows of replicates that did not converge are kept; NaN where the search failed outright.
    scores : (n_done, s) array or None
        Sufficient statistics of the score at the fitted parameters, for the acceleration of BCa
        intervals.
    """

    parameters: tuple[Parameter, ...]
    estimates: np.ndarray
    replicates: np.ndarray
    requested: int
    n_singular: int
    converged: np.ndarray
    scores: np.ndarray | None = None

    @property
    def n_done(self) -> int:
        """Replicates finished; fewer than requested after an interruption."""
        return len(self.replicates)

    @property
    def n_failed(self) -> int:
        """Replicates whose search did not converge."""
        return int((~self.converged).sum())

    @property
    def names(self) -> list[str]:
        """Names of the parameters, as in ``to_frame``."""
        return [p.name for p in self.parameters]


def bootstrap_limits(
    found: Replicates, level: float = 0.95, type: str = "percentile"
) -> np.ndarray:
    """Compute intervals from the converged replicates.

    Parameters
    ----------
    found : Replicates
    level : float
    type : {"percentile", "basic", "bca"}

    Returns
    -------
    (P, 2) array
        NaN where no replicate has a value.

    Raises
    ------
    ArgumentError
        For an unknown type or level, or "bca" without scores.
    """
    check_choice("type", type, INTERVALS)
    check_level(level)
    if type == "bca" and found.scores is None:
        raise ArgumentError(
            'type="bca" needs the scores that bootstrap() keeps; row_space_bootstrap() has none'
        )
    tail = 0.5 * (1.0 - level)
    ends = [_limits(found, i, tail, type) for i in range(len(found.parameters))]
    return np.array(ends, dtype=float).reshape(-1, 2)


def _limits(found: Replicates, i: int, tail: float, type: str) -> np.ndarray:
    """Compute the interval of parameter i, (2,)."""
    usable = found.converged & np.isfinite(found.replicates[:, i])
    values, estimate = found.replicates[usable, i], float(found.estimates[i])
    if not len(values):
        return np.full(2, np.nan)
    if type == "basic":
        reflected = 2.0 * estimate - np.quantile(values, [1.0 - tail, tail])
        return np.clip(reflected, *found.parameters[i].bounds)
    if type == "percentile":
        return np.quantile(values, [tail, 1.0 - tail])
    assert found.scores is not None
    at = _bca_tails(values, estimate, _acceleration(values, found.scores[usable]), tail)
    return np.quantile(values, at) if np.isfinite(at).all() else np.full(2, np.nan)


def _bca_tails(values: np.ndarray, estimate: float, acceleration: float, tail: float) -> np.ndarray:
    """Compute the probabilities whose quantiles are the ends of the BCa interval, (2,)."""
    normal = NormalDist()
    below = (np.sum(values < estimate) + 0.5 * np.sum(values == estimate)) / len(values)
    if not 0.0 < below < 1.0:  # an estimate outside all replicates: the bias correction is infinite
        return np.array([np.nan, np.nan])
    bias = normal.inv_cdf(float(below))
    out = []
    for part in (tail, 1.0 - tail):
        z = bias + normal.inv_cdf(part)
        out.append(normal.cdf(bias + z / (1.0 - acceleration * z)))
    return np.array(out)


def _acceleration(values: np.ndarray, scores: np.ndarray) -> float:
    """Compute a sixth of the skewness of the part of the estimates that is linear in the scores."""
    centred = scores - scores.mean(axis=0)
    spread = centred.std(axis=0)
    centred = centred[:, spread > 0] / spread[spread > 0]
    fitted = centred @ np.linalg.lstsq(centred, values - values.mean(), rcond=1e-10)[0]
    variance = float((fitted**2).mean())
    return float((fitted**3).mean()) / (6.0 * variance**1.5) if variance > 0 else 0.0
