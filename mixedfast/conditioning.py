"""Columns of X that others nearly determine: which of them count, and a basis in which they are seen exactly.

One pass over the rows carries the sums of squares to 16 digits, so a column that is free by a millionth of its length
keeps four digits of what is its own, and by less none. Where a first pass finds such a column (a raw cubic of the
year, say), what the clear columns explain is taken out of it row by row and the sums are made again, as the
Gram-Schmidt steps of a QR decomposition do. Which columns count is then decided as R's ``lm`` and lme4 decide it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mixedfast.basis import Basis
from mixedfast.crossprod import CrossProducts, assemble
from mixedfast.design import Design

__all__ = ["LENGTH_TOLERANCE", "RANK_TOLERANCE", "identifiable", "taken_apart", "well_conditioned"]

#: A column of X is dropped when what earlier columns leave of its sum of squares is below this fraction. Sums of
#: squares carry 16 digits, so a column that is free to 1e-5 of its length is still told from a dependent one.
RANK_TOLERANCE = 1e-10
#: Columns whose own part was seen row by row are kept down to this share of their whole length, as R's lm keeps them.
LENGTH_TOLERANCE = 1e-7
#: Below this share a pivot has fewer than eleven digits, and the deviance is rough to the search.
_DOUBTFUL = 1e-5
#: At or below this share a pivot is rounding: the column is a combination of the others.
_ROUNDING = 1e-15
#: Each pass makes one more power of a raw polynomial clear; what eight leave is dropped by R too.
_MAX_PASSES = 8


def well_conditioned(design: Design, threads: int | None = None) -> CrossProducts:
    """Cross-products in which no column of X is nearly a combination of others; one pass over the rows where none was.

    Parameters
    ----------
    design, threads
        As for `mixedfast.crossprod.assemble`.

    Returns
    -------
    CrossProducts
        With ``mix`` where columns had to be taken apart.
    """
    return taken_apart(assemble(design, threads), lambda basis: assemble(design, threads, basis))


def taken_apart(cp: CrossProducts, again: Callable[[Basis], CrossProducts]) -> CrossProducts:
    """The same for rows that only their owner can read.

    Parameters
    ----------
    cp : CrossProducts
        Of a first pass.
    again : callable
        ``again(basis)`` sums all rows once more, in another basis.
    """
    for _ in range(_MAX_PASSES):
        clear, doubtful = _look(cp)
        if not len(doubtful):
            break
        cp = again(_clearer_basis(cp, clear, doubtful))
    return cp


def identifiable(cp: CrossProducts) -> np.ndarray:
    """Positions of the columns of X that earlier columns do not determine.

    Those R's lm keeps, and beside an intercept those whose own part is clear about the mean, where R judges by the length
    about zero: the square of a year between 2000 and 2001 is 2e-8 of its length free of the year, and 6e-5 of its spread.
    """
    size, whole = _sizes(cp)
    enough = RANK_TOLERANCE * size
    if cp.mix is not None:
        enough = np.where(np.isfinite(size), np.minimum(enough, LENGTH_TOLERANCE**2 * whole), enough)
    G = cp.xy[:-1, :-1].copy()
    kept = []
    for j in range(len(G)):
        if G[j, j] > enough[j]:
            kept.append(j)
            G -= np.outer(G[:, j], G[j]) / G[j, j]
    return np.array(kept, dtype=int)


def _sizes(cp: CrossProducts) -> tuple[np.ndarray, np.ndarray]:
    """Sums of squares of the columns of X as they were before they were mixed, about the mean and about zero, both (p,).

    About the mean: infinite for a constant beside an intercept, which says it all.
    """
    G, ones = cp.xy[:-1, :-1], cp.ones
    if cp.mix is not None:
        back = np.linalg.inv(cp.mix)
        G = back.T @ G @ back
    size = np.diag(G).copy()
    if ones is None:
        return size, size
    shift = cp.shift[:-1] * cp.scale[:-1]
    total = ones @ G
    whole = size + 2.0 * shift * total + shift**2 * float(total @ ones)
    at = cp.intercept
    if at is not None:
        own = G[at] / np.sqrt(G[at, at])
        about_mean = np.where(np.arange(len(size)) == at, size, size - own**2)
        about_mean[about_mean <= RANK_TOLERANCE * size] = np.inf
        size = about_mean
    return size, whole


def _look(cp: CrossProducts) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the columns whose own part is clear, and of those where it is neither clear nor rounding."""
    counted = set(identifiable(cp).tolist()) if cp.mix is not None else None
    size = np.diag(cp.xy)[:-1] if cp.mix is not None else _sizes(cp)[0]
    unmixed = np.zeros(cp.p) if cp.constant is None else cp.constant
    G = cp.xy[:-1, :-1].copy()
    clear, doubtful = [], []
    for j in range(len(G)):
        if not np.isfinite(size[j]) or not G[j, j] > _ROUNDING * size[j]:
            continue
        if G[j, j] > _DOUBTFUL * size[j] or unmixed[j] != 0.0:
            if counted is not None and j not in counted:
                continue
            clear.append(j)
        else:
            doubtful.append(j)
        G -= np.outer(G[:, j], G[j]) / G[j, j]  # a later column is not clear where a doubtful one makes it so
    return np.array(clear, dtype=int), np.array(doubtful, dtype=int)


def _clearer_basis(cp: CrossProducts, clear: np.ndarray, doubtful: np.ndarray) -> Basis:
    """A basis in which what earlier clear columns explain is taken out of the doubtful ones."""
    G = cp.xy[:-1, :-1]
    old = np.eye(cp.p) if cp.mix is None else cp.mix
    mix = old.copy()
    for j in doubtful:
        earlier = clear[clear < j]
        share = np.linalg.solve(G[np.ix_(earlier, earlier)], G[earlier, j])
        left = max(G[j, j] - G[j, earlier] @ share, _ROUNDING * G[j, j])
        mix[:, j] = (old[:, j] - old[:, earlier] @ share) * 2.0 ** np.round(0.5 * np.log2(G[j, j] / left))
    unit = np.diag(mix)  # kept in the scale, so that mixing does not change a determinant
    return replace(cp.basis, scale=cp.scale * np.append(unit, 1.0), mix=mix / unit[:, None])
