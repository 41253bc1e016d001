"""Means, residuals and simulated responses of generalized linear mixed models."""

from __future__ import annotations

import numpy as np

from mixedfast.errors import ArgumentError
from mixedfast.estimation.glmm.families import Family
from mixedfast.estimation.glmm.fit import GLMMFit
from mixedfast.inference.prediction.henderson import linear_predictor
from mixedfast.inference.prediction.row_tiles import ModelRows

__all__ = ["RESIDUALS", "average_mean", "draw", "residuals", "simulated_eta"]

RESIDUALS = ("deviance", "pearson", "response", "working", "quantile")
#: Nodes of the Gauss-Hermite rule for averages over the random effects: with a standard deviation
#: of 4 on the scale of the logit the error is 1e-5.
_NODES = 40


def average_mean(family: Family, eta: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Average the mean over normal random effects, by Gauss-Hermite quadrature.

    Parameters
    ----------
    family : Family
    eta : (n,) array
        Linear predictors without random effects.
    variance : (n,) array
        Of z'b.

    Examples
    --------
    >>> average_mean(Family("poisson", "log"), np.zeros(1), np.ones(1)).round(4)
    array([1.6487])
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    at = eta[:, None] + np.sqrt(variance)[:, None] * nodes
    return np.asarray(family.mean(at) @ (weights / weights.sum()))


def residuals(
    family: Family,
    eta: np.ndarray,
    y: np.ndarray,
    size: np.ndarray,
    observed: np.ndarray,
    kind: str,
    seed: int | None = 0,
) -> np.ndarray:
    """Compute residuals at linear predictors.

    Parameters
    ----------
    family : Family
    eta : (n,) array
    y, size, observed : (n,) arrays
        See `mixedfast.estimation.glmm.responses.Response`.
    kind : str
        One of `RESIDUALS`. Deviance residuals are signed roots of the contributions to the
        deviance, Pearson residuals are in units of the standard deviation, working residuals on
        the scale of the link. Quantile residuals are standard normal under the model: the normal
        quantile of the distribution function, drawn uniformly over the jump at y (Dunn and Smyth
        1996, *J. Comput. Graph. Stat.* 5).
    seed : int, optional
        Of the draws for quantile residuals.
    """
    mu = family.mean(eta)
    if kind == "response":
        return observed - mu
    if kind == "working":
        return (observed - mu) / family.mean_slope(eta)
    if kind == "pearson":
        return (observed - mu) * np.sqrt(size / family.variance(mu))
    if kind == "deviance":
        return np.sign(observed - mu) * np.sqrt(np.maximum(_unit_deviances(family, mu, y, size), 0))
    if kind == "quantile":
        from scipy.special import ndtri

        low, high = _distribution(family, mu, y, size)
        u = low + np.random.default_rng(seed).random(len(y)) * (high - low)
        tiny = np.finfo(float).tiny
        return np.asarray(ndtri(np.clip(u, tiny, 1.0 - np.finfo(float).eps / 2)))
    raise ArgumentError(f"type={kind!r}: one of {', '.join(map(repr, RESIDUALS))}")


def _unit_deviances(family: Family, mu: np.ndarray, y: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Compute the contributions to the deviance, twice the loss of log likelihood to the data."""
    from scipy.special import xlogy

    if family.name == "binomial":
        rest = size - y
        return np.asarray(
            2.0 * (xlogy(y, y / (size * mu)) + xlogy(rest, rest / (size * (1.0 - mu))))
        )
    return np.asarray(2.0 * size * (xlogy(y, y / mu) - (y - mu)))


def _distribution(
    family: Family, mu: np.ndarray, y: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute P(Y < y) and P(Y <= y)."""
    from scipy.special import bdtr, pdtr

    if family.name == "binomial":
        trials, count = np.round(size).astype(int), np.round(y).astype(int)
        below = np.where(count > 0, bdtr(np.maximum(count - 1, 0), trials, mu), 0.0)
        return below, np.where(count >= trials, 1.0, bdtr(count, trials, mu))
    return np.where(y > 0, pdtr(np.maximum(y - 1, 0), mu), 0.0), pdtr(y, mu)


def simulated_eta(
    fit: GLMMFit, fixed: ModelRows, drawn: ModelRows, rng: np.random.Generator
) -> np.ndarray:
    """Draw random effects and return linear predictors, (n,).

    Parameters
    ----------
    fit : GLMMFit
    fixed : ModelRows
        With the random effects that are kept.
    drawn : ModelRows
        With those that are drawn.
    rng : Generator
    """
    eta = linear_predictor(fit, fixed)
    effects = {
        g: rng.standard_normal((fit.cp.groups[g].n_levels, fit.cp.groups[g].k)) @ fit.lambdas[g].T
        for g in drawn.groups
    }
    for tile in drawn.tiles():
        for g, Z, codes in zip(drawn.groups, tile.Z, tile.codes, strict=True):
            eta[tile.where] += np.einsum("ia,ia->i", Z, effects[g][codes])
    return eta


def draw(family: Family, eta: np.ndarray, size: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw responses, (n,): successes out of `size`, or counts."""
    mu = family.mean(eta)
    if family.name == "binomial":
        return rng.binomial(np.round(size).astype(int), np.clip(mu, 0.0, 1.0)).astype(float)
    return rng.poisson(mu).astype(float)
