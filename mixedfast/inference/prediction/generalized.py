"""Means, residuals and simulated responses of generalized linear mixed models."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixedfast.errors import ArgumentError
from mixedfast.estimation.glmm.cumulative import category_probabilities
from mixedfast.estimation.glmm.families import Family
from mixedfast.estimation.glmm.fit import GLMMFit
from mixedfast.inference.prediction.henderson import linear_predictor
from mixedfast.inference.prediction.row_tiles import ModelRows

__all__ = ["RESIDUALS", "average_of", "draw", "residuals", "simulated_eta"]

_NO_EXTRA = np.zeros(0)
RESIDUALS = ("deviance", "pearson", "response", "working", "quantile")
#: Nodes of the Gauss-Hermite rule for averages over the random effects: with a standard deviation
#: of 4 on the scale of the logit the error is 1e-5.
_NODES = 40


def average_of(
    mean: Callable[[np.ndarray], np.ndarray], eta: np.ndarray, variance: np.ndarray
) -> np.ndarray:
    """Average a function of the linear predictor over normal random effects, by quadrature.

    Parameters
    ----------
    mean : callable
        From linear predictors (n,) to (n,) or (n, C).
    eta : (n,) array
        Linear predictors without random effects.
    variance : (n,) array
        Of z'b.

    Examples
    --------
    >>> average_of(np.exp, np.zeros(1), np.ones(1)).round(4)
    array([1.6487])
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    scale = np.sqrt(variance)
    parts = (w * mean(eta + scale * node) for node, w in zip(nodes, weights, strict=True))
    return np.asarray(sum(parts) / weights.sum())


def residuals(
    family: Family,
    eta: np.ndarray,
    y: np.ndarray,
    size: np.ndarray,
    observed: np.ndarray,
    kind: str,
    seed: int | None = 0,
    extra: np.ndarray = _NO_EXTRA,
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
    extra : (r,) array
        Parameters of the family.
    """
    if family.is_ordered:
        return _of_categories(family, eta, y, kind, seed, extra)
    mu = family.mean(eta)
    if kind == "response":
        return observed - mu
    if kind == "working":
        return (observed - mu) / family.mean_slope(eta)
    if kind == "pearson":
        return (observed - mu) * np.sqrt(size / family.variance(mu, extra))
    if kind == "deviance":
        deviances = _unit_deviances(family, mu, y, size, extra)
        return np.sign(observed - mu) * np.sqrt(np.maximum(deviances, 0))
    if kind == "quantile":
        return _normal_quantiles(*_distribution(family, mu, y, size, extra), seed)
    raise ArgumentError(f"type={kind!r}: one of {', '.join(map(repr, RESIDUALS))}")


def _normal_quantiles(low: np.ndarray, high: np.ndarray, seed: int | None) -> np.ndarray:
    """Draw uniformly between the distribution functions below and at y; normal quantiles."""
    from scipy.special import ndtri

    u = low + np.random.default_rng(seed).random(len(low)) * (high - low)
    tiny = np.finfo(float).tiny
    return np.asarray(ndtri(np.clip(u, tiny, 1.0 - np.finfo(float).eps / 2)))


def _of_categories(
    family: Family, eta: np.ndarray, y: np.ndarray, kind: str, seed: int | None, extra: np.ndarray
) -> np.ndarray:
    """Compute quantile residuals of an ordered response; the other kinds need a mean."""
    if kind != "quantile":
        raise ArgumentError(
            f"type={kind!r}: ordered categories have no mean; use resid('quantile')"
        )
    below = np.cumsum(category_probabilities(family.link, eta, extra), axis=1)
    below = np.hstack([np.zeros((len(y), 1)), below])
    at, rows = y.astype(np.int64), np.arange(len(y))
    return _normal_quantiles(below[rows, at], below[rows, at + 1], seed)


def _unit_deviances(
    family: Family, mu: np.ndarray, y: np.ndarray, size: np.ndarray, extra: np.ndarray
) -> np.ndarray:
    """Compute the contributions to the deviance, twice the loss of log likelihood to the data."""
    from scipy.special import xlogy

    if family.name == "binomial":
        rest = size - y
        return np.asarray(
            2.0 * (xlogy(y, y / (size * mu)) + xlogy(rest, rest / (size * (1.0 - mu))))
        )
    if family.name == "Gamma":
        return 2.0 * size * ((y - mu) / mu - np.log(y / mu))
    if family.name == "inverse_gaussian":
        return size * (y - mu) ** 2 / (mu**2 * y)
    if family.name == "nbinom2":
        kappa = np.exp(extra[0])
        rest = (y + kappa) * np.log((y + kappa) / (mu + kappa))
        return np.asarray(2.0 * size * (xlogy(y, y / mu) - rest))
    return np.asarray(2.0 * size * (xlogy(y, y / mu) - (y - mu)))


def _distribution(
    family: Family, mu: np.ndarray, y: np.ndarray, size: np.ndarray, extra: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute P(Y < y) and P(Y <= y)."""
    if family.name in ("Gamma", "inverse_gaussian", "nbinom2"):
        from scipy import stats

        if family.name == "nbinom2":
            kappa = np.exp(extra[0])
            counts = stats.nbinom(kappa, kappa / (kappa + mu))
            return counts.cdf(y - 1.0), counts.cdf(y)
        phi = np.exp(extra[0]) / size
        known = (
            stats.gamma(1.0 / phi, scale=mu * phi)
            if family.name == "Gamma"
            else stats.invgauss(mu * phi, scale=1.0 / phi)
        )
        return known.cdf(y), known.cdf(y)
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


def draw(
    family: Family,
    eta: np.ndarray,
    size: np.ndarray,
    rng: np.random.Generator,
    extra: np.ndarray = _NO_EXTRA,
) -> np.ndarray:
    """Draw responses, (n,): successes out of `size`, counts, numbers, or codes of categories."""
    if family.is_ordered:
        below = np.cumsum(category_probabilities(family.link, eta, extra), axis=1)[:, :-1]
        return (rng.random(len(eta))[:, None] > below).sum(axis=1).astype(float)
    mu = family.mean(eta)
    if family.name == "nbinom2":
        kappa = np.exp(extra[0])
        return rng.negative_binomial(kappa, kappa / (kappa + mu)).astype(float)
    if family.name == "Gamma":
        phi = np.exp(extra[0])
        return rng.gamma(1.0 / phi, mu * phi)
    if family.name == "inverse_gaussian":
        return rng.wald(mu, 1.0 / np.exp(extra[0]))
    if family.name == "binomial":
        return rng.binomial(np.round(size).astype(int), np.clip(mu, 0.0, 1.0)).astype(float)
    return rng.poisson(mu).astype(float)
