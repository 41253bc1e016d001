"""The studentized range distribution, for many degrees of freedom at once.

R is the range of k independent standard normal variables, with density g_k and P(R > x) = Q_k(x),
and s^2 an independent chi-squared variable of df degrees of freedom over df, with density f and
distribution function F of s. Then

    P(R / s > q) = int_0^inf f(s) Q_k(q s) ds = int_0^inf F(s) g_k(q s) q ds,
    Q_k(x) = k int phi(z) {Phi(z)^(k-1) - [Phi(z) - Phi(z - x)]^(k-1)} dz,
    g_k(x) = k (k-1) int phi(z) phi(z - x) [Phi(z) - Phi(z - x)]^(k-2) dz

(Copenhaver and Holland 1988, J. Statist. Comput. Simul. 30). Q_k and g_k do not depend on df: they
are tabulated once for each k. What is left is one smooth integral over log s for each q and df, the
first form for many df, where f is narrow, the second for few, where f has a long tail. All
integrands are positive, so small probabilities keep their relative accuracy.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import gammainc, gammaln, log_ndtr, ndtri, stdtr, stdtrit

from mixedfast.inference.log_tables import Table, log_integral, piecewise

__all__ = ["isf", "sf"]

#: Step and end of the trapezoidal rule over z, whose integrands are as smooth as a normal density.
_Z_STEP, _Z_END = 0.09, 38.0
#: Tables reach so far. Larger ranges have a probability below 1e-300.
_LONGEST = 54.0
#: The first form from so many degrees of freedom.
_MANY = 30.0
#: Nodes of the integral over log s: of a first look, and between the places where its integrand is
#: negligible.
_LOOK, _NODES = 48, 144
#: The integrand over log s falls by this factor, as a logarithm, from its maximum to the lower end.
_NEGLIGIBLE = 42.0
#: Secant steps to a quantile, and the relative change that ends them.
_STEPS, _CHANGE = 30, 1e-12


class _Tables(NamedTuple):
    """log Q_k(x), and log g_k(x) - (k-2) log x, which has no singularity at zero."""

    tail: Table
    density: Table


def sf(q: npt.ArrayLike, k: int, df: npt.ArrayLike) -> np.ndarray:
    """Return P(range of k means / standard error > q), elementwise.

    Parameters
    ----------
    q : array_like
        Studentized ranges, not negative.
    k : int
        Number of means, at least 2.
    df : array_like
        Degrees of freedom, positive; infinite for known variances.

    Returns
    -------
    array
        To 1e-10; NaN where `q` or `df` is.

    Examples
    --------
    >>> sf([3.5, 3.5], 3, [10.0, np.inf]).round(6)
    array([0.077103, 0.035557])
    """
    q, df = np.broadcast_arrays(np.asarray(q, dtype=float), np.asarray(df, dtype=float))
    out = np.full(q.shape, np.nan)
    known = ~(np.isnan(q) | np.isnan(df))
    out[known] = np.exp(_log_sf(q[known], k, df[known]))
    return out


def isf(p: float, k: int, df: npt.ArrayLike) -> np.ndarray:
    """Return the studentized range with probability `p` above it, for each of the df.

    NaN where the df are.

    Examples
    --------
    >>> isf(0.05, 3, [10.0, np.inf]).round(5)
    array([3.87678, 3.31449])
    """
    df = np.asarray(df, dtype=float)
    known = ~np.isnan(df)
    every = df[known]
    # Bonferroni's quantile is above
    share = p / (k * (k - 1))
    t = np.where(np.isinf(every), -ndtri(share), -stdtrit(np.minimum(every, 1e300), share))
    new, old, target = np.log(np.sqrt(2.0) * t), np.log(np.sqrt(2.0) * t * 0.95), np.log(p)
    before = _log_sf(np.exp(old), k, every) - target
    for _ in range(_STEPS):
        value = _log_sf(np.exp(new), k, every) - target
        slope = (value - before) / np.where(new == old, 1.0, new - old)
        step = np.where(slope < 0.0, -value / np.where(slope < 0.0, slope, -1.0), 0.0)
        old, before, new = new, value, new + np.clip(step, -1.0, 1.0)
        if (np.abs(step) <= _CHANGE).all():
            break
    out = np.full(df.shape, np.nan)
    out[known] = np.exp(new)
    return out


def _log_sf(q: np.ndarray, k: int, df: np.ndarray) -> np.ndarray:
    """Compute log P(R / s > q), arrays (n,)."""
    if k == 2:  # Student's t
        with np.errstate(divide="ignore"):
            return np.log(2.0 * stdtr(df, -q / np.sqrt(2.0)))
    if not q.size:
        return np.empty(0)
    tables = _tables(k)
    out = np.where(q > 0.0, _tail(tables, q), 0.0)
    many = np.isfinite(df) & (q > 0.0) & (df >= _MANY)
    few = (q > 0.0) & (df < _MANY)
    if many.any():
        out[many] = _over_density(tables, q[many], df[many])
    if few.any():
        out[few] = _over_distribution(tables, k, q[few], df[few])
    return np.minimum(out, 0.0)


def _over_density(tables: _Tables, q: np.ndarray, df: np.ndarray) -> np.ndarray:
    """Integrate f(s) Q(q s), as a logarithm.

    f is narrow about the s where it and Q are largest together.
    """

    def log_integrand(t: np.ndarray) -> np.ndarray:
        nu = df[:, None]
        return nu * t - 0.5 * nu * np.exp(2.0 * t) + _tail(tables, q[:, None] * np.exp(t))

    reach = 10.0 / np.sqrt(df)
    # where log Q is -x^2/4 the integrand is largest here, where Q is 1 at t = 0
    lowest = 0.5 * np.log(df / (df + 0.5 * q**2))
    constant = np.log(2.0) + 0.5 * df * np.log(0.5 * df) - gammaln(0.5 * df)
    return constant + log_integral(log_integrand, lowest - reach, reach, _LOOK, _NODES)


def _over_distribution(tables: _Tables, k: int, q: np.ndarray, df: np.ndarray) -> np.ndarray:
    """Integrate F(s) g(q s), as a logarithm: g is narrow about the median range, F is smooth."""

    def log_integrand(t: np.ndarray) -> np.ndarray:
        x = q[:, None] * np.exp(t)
        below = gammainc(0.5 * df[:, None], 0.5 * df[:, None] * np.exp(2.0 * t))
        with np.errstate(divide="ignore"):
            return np.log(below) + _density(tables, k, x) + np.log(x)

    last = np.log(40.0 / q)
    first = np.minimum(np.log(1.0 / q), 0.0) - _NEGLIGIBLE / (k - 1.0 + df)
    return log_integral(log_integrand, first, last, _LOOK, _NODES)


def _tail(tables: _Tables, x: np.ndarray) -> np.ndarray:
    """Look up log Q(x); beyond the table it falls as the square of x."""
    inside = np.minimum(x, _LONGEST)
    return tables.tail(inside) - 0.25 * (x**2 - inside**2)


def _density(tables: _Tables, k: int, x: np.ndarray) -> np.ndarray:
    """Look up log g(x); beyond the table it falls as the square of x."""
    inside = np.minimum(x, _LONGEST)
    return tables.density(inside) + (k - 2) * np.log(x) - 0.25 * (x**2 - inside**2)


@lru_cache(maxsize=64)
def _tables(k: int) -> _Tables:
    """Tabulate the range of k variables."""

    def values_at(x: np.ndarray) -> np.ndarray:
        tail, density = _range_at(x, k)
        return np.array([tail, density - (k - 2) * np.log(x)])

    return _Tables(*piecewise(values_at, _LONGEST))


def _range_at(x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute log Q_k and log g_k at x (n,)."""
    z = np.arange(-_Z_END, _Z_END, _Z_STEP)
    log_phi, log_below = -0.5 * z**2 - 0.5 * np.log(2.0 * np.pi), log_ndtr(z)
    share = np.exp(log_ndtr(z - x[:, None]) - log_below)  # Phi(z - x) / Phi(z)
    with np.errstate(
        divide="ignore"
    ):  # nothing lies between z - x and z where they round to one number
        inside = np.log1p(-share)
        outside = np.log(-np.expm1((k - 1) * inside))
    tail = np.log(k) + log_phi + (k - 1) * log_below + outside
    density = (
        np.log(k * (k - 1.0)) + log_phi - 0.5 * (z - x[:, None]) ** 2 - 0.5 * np.log(2.0 * np.pi)
    ) + (k - 2) * (log_below + inside)
    return _log_sum(tail), _log_sum(density)


def _log_sum(log_f: np.ndarray) -> np.ndarray:
    """Integrate exp(log_f) over z, as a logarithm, (n,z) -> (n,)."""
    top = log_f.max(axis=1)
    return top + np.log(np.exp(log_f - top[:, None]).sum(axis=1) * _Z_STEP)
