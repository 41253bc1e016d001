"""The distribution of the largest of several correlated |t| statistics.

T_i = Z_i / s with standard normal Z of correlations rho and an independent chi-squared variable
df s^2. Dunnett's comparisons with a control and all other families of contrasts use P(max |T_i| >
t); each statistic may have its own df.

Correlations of the form rho_ij = a_i a_j (differences from a control whose means are uncorrelated)
make the Z_i independent given one normal variable, and the probability is a double integral of
smooth functions (Dunnett 1955, J. Amer. Statist. Assoc. 50), found here by the trapezoidal rule to
1e-10.

All others: write Z = C u with independent normal u, and u = r w with its length r and its direction
w. Then max |T_i| > t when r / s > t / m(w), with m(w) = max_i |c_i w|, and the probability given
the direction is a tail of an F distribution. The average over directions is taken by scrambled
Sobol points with a fixed seed (Genz and Bretz 2009, Computation of Multivariate Normal and t
Probabilities, section 4.1); replicates with different scramblings give its standard error. Where
products are near the correlations, as for a control in a design that is not quite balanced, only
the ratio of the two probabilities is sampled, which has a much smaller error.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln, ndtr, ndtri

from mixedfast.inference.distributions import f_tails, t_quantile, t_tails
from mixedfast.inference.log_tables import Table, log_integral, piecewise

__all__ = ["LargestT"]

#: Correlations are a product of two numbers up to this difference.
_PRODUCT = 1e-9
#: Largest a^2: the integrand over z is then as smooth as a normal distribution function with
#: standard deviation 0.14, which the step below resolves to 1e-12.
_LARGEST_SQUARE = 0.98
#: Step and end of the trapezoidal rule over z; the end is beyond that of the table below.
_Z_STEP, _Z_END = 0.09, 32.0
_Z = np.arange(-_Z_END, _Z_END, _Z_STEP)
_LOG_PHI = -0.5 * _Z**2 - 0.5 * np.log(2.0 * np.pi) + np.log(_Z_STEP)
#: The table of log P(max |Z_i| > c) reaches so far; larger values have a probability below 1e-100.
_END = 22.0
#: A probability of one would have the logarithm of zero beside it.
_ALMOST_ONE = 1.0 - 1e-16
#: Nodes over log s of a first look, and of the integral; df below one need so many.
_LOOK, _NODES = 400, 600
#: The integrand over log s falls by this factor, as a logarithm, from its maximum to the lower end.
_NEGLIGIBLE = 42.0
#: Replicates, and Sobol points of each, as powers of two: the work of one replicate, and the fewest
#: and most points. Standard errors of p values are below 2e-4 for up to 60 comparisons and below
#: 5e-4 for 400, in a second.
_REPLICATES, _WORK, _FEWEST_AND_MOST = 8, 22, (12, 16)
#: Bins of m(w), from zero to one: p values change by less than 1e-6 of themselves.
_BINS = 2048
#: Singular values of the correlations below this fraction of the largest are zero.
_RANK = 1e-10
#: Products of two numbers that are this close to all correlations help in their computation, after
#: so many rounds of least squares.
_NEAR, _ITERATIONS = 0.15, 20
#: Nodes of the interpolation of quantiles over 1/df, whose relative error is below 1e-6 from df of
#: two to infinity.
_DF_NODES = 12
#: Sobol points may be zero, which has no normal quantile.
_LEAST = 2.0**-40
#: Steps to a quantile, and the relative change that ends them.
_STEPS, _CHANGE = 40, 1e-11


class LargestT:
    """The largest of several |t| statistics.

    Parameters
    ----------
    correlation : (k, k) array

    Attributes
    ----------
    is_exact : bool
        Whether probabilities are computed by quadrature; otherwise by quasi-Monte Carlo.

    Examples
    --------
    >>> dunnett = LargestT(np.full((3, 3), 0.5) + 0.5 * np.eye(3))
    >>> dunnett.sf(np.array([2.5]), np.array([20.0])).round(6)
    array([0.054308])
    """

    def __init__(self, correlation: np.ndarray) -> None:
        self.k = len(correlation)
        factors = _product_factors(correlation)
        self.is_exact = factors is not None or self.k == 1
        near = None if self.is_exact else _nearest_factors(correlation)
        known = near if factors is None else factors
        self._table = None if known is None else _table(known)
        self._own: _Directions | None = None
        self._near: _Directions | None = None
        if not self.is_exact:
            self._own, self._near = _directions(correlation, near)

    def sf(self, t: np.ndarray, df: np.ndarray) -> np.ndarray:
        """Compute P(max |T_i| > t), elementwise; NaN where `t` or `df` is."""
        return self._sf(t, df)[0]

    def error(self, t: np.ndarray, df: np.ndarray) -> np.ndarray:
        """Compute the standard errors of `sf`: zero for quadrature."""
        return self._sf(t, df)[1]

    def _sf(self, t: np.ndarray, df: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        t, df = np.broadcast_arrays(np.abs(np.asarray(t, dtype=float)), np.asarray(df, dtype=float))
        tail, error = np.full(t.shape, np.nan), np.full(t.shape, np.nan)
        known = ~(np.isnan(t) | np.isnan(df))
        tail[known], error[known] = self._tails(t[known], df[known])
        return tail, error

    def _tails(self, t: np.ndarray, df: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute the probabilities and their standard errors, arrays (n,)."""
        if self.k == 1:
            return t_tails(t, df), np.zeros(len(t))
        exact = np.ones(len(t)) if self._table is None else np.exp(_over_s(self._table, t, df))
        if self._own is None:
            return exact, np.zeros(len(t))
        replicates = exact[:, None] * self._own.tails(t, df)
        if self._near is not None:
            replicates /= self._near.tails(t, df)
        error = replicates.std(axis=1, ddof=1) / np.sqrt(_REPLICATES)
        return np.minimum(replicates.mean(axis=1), 1.0), np.asarray(error)

    def isf(self, p: float, df: np.ndarray) -> np.ndarray:
        """Return the value with probability `p` above it, for each of the df; NaN where they are.

        Quantiles of quasi-Monte Carlo have its error; those of many df are interpolated over 1/df,
        with an error far below it.
        """
        df = np.asarray(df, dtype=float)
        out = np.full(df.shape, np.nan)
        known = ~np.isnan(df)
        every, where = np.unique(df[known], return_inverse=True)
        if self.is_exact or len(every) <= _DF_NODES:
            out[known] = self._quantiles(p, every)[where]
            return out
        low, high = 1.0 / every[-1], 1.0 / every[0]
        nodes = np.cos(np.pi * (np.arange(_DF_NODES) + 0.5) / _DF_NODES)
        at = low + 0.5 * (high - low) * (nodes + 1.0)
        curve = np.polynomial.Chebyshev.fit(
            at, np.log(self._quantiles(p, 1.0 / at)), _DF_NODES - 1, domain=[low, high]
        )
        out[known] = np.exp(curve(1.0 / every))[where]
        return out

    def _quantiles(self, p: float, df: np.ndarray) -> np.ndarray:
        """Find quantiles by regula falsi in log p over log t (Illinois variant)."""
        if self.k == 1 or not len(df):
            return t_quantile(1.0 - 0.5 * p, df)

        def excess(t: np.ndarray) -> np.ndarray:
            return np.asarray(np.log(self._tails(np.exp(t), df)[0]) - np.log(p))

        low = np.log(t_quantile(1.0 - 0.5 * p, df))  # one statistic alone
        high = np.log(t_quantile(1.0 - 0.5 * p / self.k, df))  # Bonferroni
        below, above = excess(low), excess(high)
        for _ in range(_STEPS):
            new = np.clip((low * above - high * below) / (above - below), low, high)
            new = np.where(np.isfinite(new), new, high)
            value = excess(new)
            left = value > 0.0
            above, below = np.where(left, 0.5 * above, value), np.where(left, value, 0.5 * below)
            moved = np.where(left, new - low, high - new)
            low, high = np.where(left, new, low), np.where(left, high, new)
            if (np.minimum(np.abs(moved), high - low) < _CHANGE).all() or not value.any():
                break
        return np.exp(new)


# --- correlations that are products -------------------------------------------------------------


def _product_factors(correlation: np.ndarray) -> np.ndarray | None:
    """Find a with rho_ij = a_i a_j off the diagonal, (k,); None when there is none.

    Signs do not matter: max |T_i| is the same for -T_i.
    """
    k = len(correlation)
    if k == 1:
        return None
    if k == 2:
        a = np.array([1.0, np.sign(correlation[0, 1]) or 1.0]) * np.sqrt(abs(correlation[0, 1]))
    else:
        off = np.abs(correlation - np.diag(np.diag(correlation)))
        i = int(off.sum(axis=1).argmax())
        others = np.delete(np.arange(k), i)
        j = others[off[i, others].argmax()]
        rest = np.array([n for n in others if n != j])
        n = rest[(off[i, rest] * off[j, rest]).argmax()]
        if off[j, n] <= _PRODUCT:
            return np.zeros(k) if off.max() <= _PRODUCT else None
        square = correlation[i, j] * correlation[i, n] / correlation[j, n]
        if square <= 0.0:
            return None
        a = correlation[i] / np.sqrt(square)
        a[i] = np.sqrt(square)
    gap = np.outer(a, a) - correlation
    np.fill_diagonal(gap, 0.0)
    fits = np.abs(gap).max() <= _PRODUCT and (a**2).max() <= _LARGEST_SQUARE
    return a if fits else None


def _table(a: np.ndarray) -> Table:
    """Tabulate log P(max |Z_i| > c) of normal variables with correlations a_i a_j."""
    spread = np.sqrt(1.0 - a**2)

    def values_at(c: np.ndarray) -> np.ndarray:
        limit = c[:, None, None]
        az = a * _Z[:, None]
        outside = ndtr((az - limit) / spread) + ndtr(-(az + limit) / spread)
        inside = np.log1p(-np.minimum(outside, _ALMOST_ONE)).sum(axis=2)
        with np.errstate(divide="ignore"):
            log_f = np.log(-np.expm1(inside)) + _LOG_PHI
        top = log_f.max(axis=1, keepdims=True)
        return np.asarray(top[:, 0] + np.log(np.exp(log_f - top).sum(axis=1)))[None]

    return piecewise(values_at, _END)[0]


def _log_tail(table: Table, c: np.ndarray) -> np.ndarray:
    """Look up log P(max |Z_i| > c); beyond the table it falls as the square of c."""
    inside = np.minimum(c, _END)
    return np.asarray(np.minimum(table(inside), 0.0) - 0.5 * (c**2 - inside**2))


def _over_s(table: Table, t: np.ndarray, df: np.ndarray) -> np.ndarray:
    """Compute log P(max |Z_i| / s > t), arrays (n,)."""
    out = _log_tail(table, t)
    finite = np.isfinite(df)
    if finite.any():
        q, nu = t[finite], df[finite]

        def log_integrand(x: np.ndarray) -> np.ndarray:
            v = nu[:, None]
            return v * x - 0.5 * v * np.exp(2.0 * x) + _log_tail(table, q[:, None] * np.exp(x))

        reach = 10.0 / np.sqrt(nu)
        # where log P is -c^2/2 the integrand is largest here, where P is 1 at zero; to the left it
        # falls as s^df
        lowest = 0.5 * np.log(nu / (nu + q**2)) - reach - _NEGLIGIBLE / nu
        constant = np.log(2.0) + 0.5 * nu * np.log(0.5 * nu) - gammaln(0.5 * nu)
        out[finite] = constant + log_integral(log_integrand, lowest, reach, _LOOK, _NODES)
    return np.minimum(out, 0.0)


# --- all other correlations ----------------------------------------------------------------------


class _Directions(NamedTuple):
    """The distribution of m(w) = max |c_i w| over directions w in `rank` dimensions.

    centres : (bins,) array
        Values of m(w): the means of the bins over all replicates.
    shares : (replicates, bins) array
    """

    rank: int
    centres: np.ndarray
    shares: np.ndarray

    def tails(self, t: np.ndarray, df: np.ndarray) -> np.ndarray:
        """Average P(max |T_i| > t) over the directions of each replicate, (n, replicates)."""
        ratio = (t[:, None] / self.centres) ** 2 / self.rank
        return np.asarray(f_tails(ratio, self.rank, df[:, None]) @ self.shares.T)


def _directions(
    correlation: np.ndarray, near: np.ndarray | None
) -> tuple[_Directions, _Directions | None]:
    """Sample directions, for these correlations and for products `near` them.

    Both use the same points and symmetric square roots, so their errors are nearly the same, and
    the ratio of the two is far more accurate than either.
    """
    from scipy.stats import qmc

    if near is None:
        U, size, _ = np.linalg.svd(correlation, hermitian=True)
        rank = int((size > _RANK * size[0]).sum())
        roots = [U[:, :rank] * np.sqrt(size[:rank])]
    else:
        rank = len(correlation)
        other = np.outer(near, near)
        np.fill_diagonal(other, 1.0)
        roots = [_square_root(correlation), _square_root(other)]
    n = 2 ** int(np.clip(_WORK - np.log2(len(correlation)), *_FEWEST_AND_MOST))
    sums, shares = np.zeros((len(roots), _BINS)), np.zeros((len(roots), _REPLICATES, _BINS))
    for replicate in range(_REPLICATES):
        points = qmc.Sobol(rank, seed=replicate).random(n)
        u = ndtri(np.clip(points, _LEAST, 1.0 - _LEAST))
        length = np.sqrt((u**2).sum(axis=1))
        for i, root in enumerate(roots):
            largest = np.abs(u @ root.T).max(axis=1) / length
            place = np.minimum((largest * _BINS).astype(int), _BINS - 1)
            sums[i] += np.bincount(place, largest, _BINS)
            shares[i, replicate] = np.bincount(place, minlength=_BINS)
    found = []
    for total, share in zip(sums, shares, strict=True):
        used = share.any(axis=0)
        centres = total[used] / share[:, used].sum(axis=0)
        found.append(_Directions(rank, centres, share[:, used] / n))
    return found[0], found[1] if len(found) > 1 else None


def _square_root(correlation: np.ndarray) -> np.ndarray:
    """Return the symmetric square root of correlations."""
    size, U = np.linalg.eigh(correlation)
    return np.asarray((U * np.sqrt(np.maximum(size, 0.0))) @ U.T)


def _nearest_factors(correlation: np.ndarray) -> np.ndarray | None:
    """Find a whose products are near the correlations by least squares; None if none are near."""
    off = correlation - np.diag(np.diag(correlation))
    a = np.sign(off[np.abs(off).sum(axis=1).argmax()])
    a[np.abs(off).sum(axis=1).argmax()] = 1.0
    a = a * np.sqrt(np.abs(off).mean())
    for _ in range(_ITERATIONS):
        for i in range(len(a)):
            square = (a**2).sum() - a[i] ** 2
            a[i] = off[i] @ a / square if square > 0.0 else 0.0
    a = np.clip(a, -np.sqrt(_LARGEST_SQUARE), np.sqrt(_LARGEST_SQUARE))
    gap = np.outer(a, a) - off
    np.fill_diagonal(gap, 0.0)
    return a if np.abs(gap).max() <= _NEAR else None
