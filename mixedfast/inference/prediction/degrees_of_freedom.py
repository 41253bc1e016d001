"""Degrees of freedom of predictions, from the uncertainty of the variance of their error.

The error of x'beta^ + z'b^ as a prediction of x'beta + z'b has variance sigma^2 f, f = (x,
z)C^-1(x, z)' with C of Henderson's equations. Satterthwaite's nu = 2 f^2 / (g'Ag) needs the
gradient of sigma^2 f in the variances. With H the relative prior covariance, E = L_X^-1 (x -
X'V0^-1 Z H z) and D = Z'V0^-1 X L_X^-T,

    df / dH_g = sum_j e_j e_j',    e = (I - K H) z - D E

with e = H^-1 times the part of b in Henderson's equations

(differentiate C^-1; no division by H). Effects with their prior variance add z z'. Without random
effects e = -D E, which is the gradient for a contrast (Kuznetsova et al. 2017, JSS 82(13), eq. 3).
SAS does the same for predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from mixedfast._progress import bar
from mixedfast.errors import NotDefinedError
from mixedfast.estimation.fit import Fit
from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.inference.ddf.methods import DDF, method_for, t_test
from mixedfast.inference.ddf.satterthwaite import SatterthwaiteTerms, satterthwaite
from mixedfast.inference.ddf.trace_methods import Satterthwaite, warn_if_long
from mixedfast.inference.prediction.henderson import henderson_blocks
from mixedfast.inference.prediction.predict import FindDF
from mixedfast.inference.prediction.row_tiles import ModelRows, Tile

__all__ = ["df_finder"]

#: Numbers in memory at a time for rows that each need a product with K (32 MB).
_NUMBERS = 4_000_000


def df_finder(fit: LinearFit, ddf: DDF, interval: str | None, population: bool) -> FindDF | None:
    """Return the function that computes df of predictions; None for the normal distribution.

    Parameters
    ----------
    fit : LinearFit
    ddf : str or TraceMethod
    interval : {None, "confidence", "prediction"}
    population : bool
        Whether predictions are x'beta alone, without random effects.

    Raises
    ------
    NotDefinedError
        For methods defined for coefficients only, where random effects or new observations are
        predicted; for the method of Kenward and Roger of an ML fit.
    """
    chosen = method_for(fit, ddf)
    if chosen.name == "asymptotic":
        return None
    if not isinstance(fit, Fit):
        return lambda rows, others, noise: (None, np.array(float(fit.nu)))
    if ddf == "satterthwaite" or isinstance(ddf, Satterthwaite):
        terms = satterthwaite(fit, None if isinstance(ddf, str) else ddf)
        return lambda rows, others, noise: (None, _satterthwaite(fit, terms, rows, others, noise))
    if interval == "prediction" or not population:
        raise NotDefinedError(
            f"predict(ddf={ddf!r}) is defined for x'beta alone (re=False with a confidence "
            "interval): for random effects and "
            'new observations use ddf="satterthwaite" or "asymptotic"'
        )
    if chosen.fit(fit) is not fit:
        raise NotDefinedError(
            f"predict(ddf={ddf!r}) needs a fit by REML: m.update(REML=True).predict(...)"
        )
    return lambda rows, others, noise: _as_contrasts(fit, ddf, rows)


def _as_contrasts(fit: Fit, ddf: DDF, rows: ModelRows) -> tuple[np.ndarray, np.ndarray]:
    """Compute standard errors and df of x'beta by any method, once for each distinct row of X."""
    W = henderson_blocks(fit).W
    to_user = np.linalg.inv(fit.cp.scaling.beta_transform() @ W)
    E = np.concatenate([np.empty((0, fit.cp.p)), *(tile.X @ W for tile in rows.tiles())])
    contrasts, where = np.unique(E, axis=0, return_inverse=True)
    if not len(contrasts):
        return np.empty(0), np.empty(0)
    found = t_test(fit, contrasts @ to_user, 0.0, ddf)
    return found["std_error"][where.ravel()], found["df"][where.ravel()]


def _satterthwaite(
    fit: Fit,
    terms: SatterthwaiteTerms,
    rows: ModelRows,
    others: ModelRows | None,
    noise: np.ndarray | float,
) -> np.ndarray:
    """Compute nu of every row, (n,)."""
    out = np.empty(rows.n)
    with bar(rows.n, "degrees of freedom", unit=" rows") as advance:
        for where, f, squares in _gradients(fit, terms, rows):
            if others is not None:
                f += noise if np.ndim(noise) == 0 else np.asarray(noise)[where]
                for g, Z in _prior(others, where):
                    squares[g] += Z[:, :, None] * Z[:, None, :]
                    f += np.einsum("ia,ab,ib->i", Z, henderson_blocks(fit).H[g], Z)
            theta = fit.covariance.gradient(
                [np.broadcast_to(lam, (len(f), *lam.shape)) for lam in terms.lambdas], squares
            )
            gradient = np.column_stack([theta, 2.0 * f])
            spread = np.einsum("ir,rs,is->i", gradient, terms.inverse, gradient)
            out[where] = np.divide(
                2.0 * f**2, spread, out=np.full(len(f), np.inf), where=spread > 0
            )
            advance(len(f))
    return out


def _prior(others: ModelRows, where: slice) -> Iterator[tuple[int, np.ndarray]]:
    """Generate (group, Z) of the effects with their prior variance, for some rows."""
    for tile in others.tiles(within=where):
        yield from zip(others.groups, tile.Z, strict=True)


def _gradients(
    fit: Fit, terms: SatterthwaiteTerms, rows: ModelRows
) -> Iterator[tuple[slice, np.ndarray, list[np.ndarray]]]:
    """Generate, for some rows at a time, slice, f (m,) and sum_j e_j e_j' (m,K,K) of each group."""
    blocks, traces = henderson_blocks(fit), fit.system.traces
    D, one_factor = fit.system.D, len(fit.cp.groups) == 1
    effects = sum(group.n_levels * group.k for group in fit.cp.groups)
    solves = bool(rows.groups) and not one_factor
    size = max(1, _NUMBERS // effects) if solves else rows.n
    if solves:
        warn_if_long(
            f"satterthwaite: solves with all {effects:,} random effects for each of {rows.n:,} "
            "predictions",
            rows.n * traces.product_operations(),
            '. ddf="asymptotic" needs none, and neither do predictions without random effects '
            "(re=False).",
        )
    for tile in rows.tiles(size):
        E = tile.X @ blocks.W
        f = np.zeros(len(E))
        for g, Z, codes in zip(rows.groups, tile.Z, tile.codes, strict=True):
            E -= np.einsum("ia,ias->is", Z * (codes >= 0)[:, None], blocks.P[g][codes])
        f += np.einsum("is,is->i", E, E)
        explained = [np.einsum("is,abst,it->iab", E, R, E, optimize=True) for R in terms.R]
        if not rows.groups:
            squares = explained
        elif one_factor:
            squares = [_one_factor(fit, tile, D[0], E, f, explained[0])]
        else:
            squares = _many_factors(tile, list(rows.groups), D, E, f, blocks.H, traces.times_k)
        for g, Z, codes in zip(rows.groups, tile.Z, tile.codes, strict=True):
            unknown = np.where((codes < 0)[:, None], Z, 0.0)
            f += np.einsum("ia,ab,ib->i", unknown, blocks.H[g], unknown)
            squares[g] += unknown[:, :, None] * unknown[:, None, :]
        yield tile.where, f, squares


def _one_factor(
    fit: Fit, tile: Tile, D: np.ndarray, E: np.ndarray, f: np.ndarray, explained: np.ndarray
) -> np.ndarray:
    """Compute sum_j e_j e_j' with K block diagonal, and add z'(H - H K H)z to f.

    e_j = -D_j E but for the level of the row itself.
    """
    codes, H, K = tile.codes[0], henderson_blocks(fit).H[0], fit.system.K[0]
    Z = np.where((codes >= 0)[:, None], tile.Z[0], 0.0)
    Hz = Z @ H
    w = Z - np.einsum("iab,ib->ia", K[codes], Hz)
    f += np.einsum("ia,ia->i", Hz, w)
    DE = np.einsum("ias,is->ia", D[codes], E)
    cross = w[:, :, None] * DE[:, None, :]
    return explained + w[:, :, None] * w[:, None, :] - cross - cross.swapaxes(1, 2)


def _many_factors(
    tile: Tile,
    groups: list[int],
    D: list[np.ndarray],
    E: np.ndarray,
    f: np.ndarray,
    H: list[np.ndarray],
    times_k: Callable[[list[np.ndarray]], list[np.ndarray]],
) -> list[np.ndarray]:
    """Compute sum_j e_j e_j' of every group with one product with K per row.

    z'(H - H K H)z is added to f.
    """
    m = len(E)
    z = [np.zeros((len(d), d.shape[1], m)) for d in D]
    for g, Z, codes in zip(groups, tile.Z, tile.codes, strict=True):
        known = np.flatnonzero(codes >= 0)
        z[g][codes[known], :, known] = Z[known]
    Hz = [np.einsum("ab,jbi->jai", h, own) for h, own in zip(H, z, strict=True)]
    w = [own - back for own, back in zip(z, times_k(Hz), strict=True)]
    for own, left in zip(Hz, w, strict=True):
        f += np.einsum("jai,jai->i", own, left)
    e = [own - np.einsum("jas,is->jai", d, E) for own, d in zip(w, D, strict=True)]
    return [np.einsum("jai,jbi->iab", own, own) for own in e]
