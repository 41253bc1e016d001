"""Columns that others nearly determine: which of X's count, and a basis in which they are seen exactly.

One pass over the rows carries the sums of squares to 16 digits, so a column that is free by a millionth of its length
keeps four digits of what is its own, and by less none. Where a first pass finds such a column (a raw cubic of the
year, say), what the clear columns explain is taken out of it row by row and the sums are made again, as the
Gram-Schmidt steps of a QR decomposition do. Which columns count is then decided as R's ``lm`` and lme4 decide it.

The same is done within a correlated random term: a change of its columns by an invertible matrix is a change of what the
covariance is called, ``Z b = (Z R) (R^-1 b)``. Where slopes are nearly the same column the likelihood is a valley of
some 1e10 times its width, and a basis of what each has of its own makes it round again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mixedfast.crossprod.assemble import assemble
from mixedfast.crossprod.scaling import GroupScaling, Scaling
from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.types import Design

__all__ = [
    "LENGTH_TOLERANCE",
    "RANK_TOLERANCE",
    "independent_columns",
    "orthogonalized",
    "well_conditioned",
]

#: A column of X is dropped when what earlier columns leave of its sum of squares is below this fraction. Sums of
#: squares carry 16 digits, so a column that is free to 1e-5 of its length is still told from a dependent one.
RANK_TOLERANCE = 1e-10
#: Columns whose own part was seen row by row are kept down to this share of their whole length, as R's lm keeps them.
LENGTH_TOLERANCE = 1e-7
#: Below this share a pivot has fewer than eleven digits, and the deviance is rough to the search.
_DOUBTFUL = 1e-5
#: At or below this share a pivot is rounding: the column is a combination of the others.
_ROUNDING = 1e-15
#: The same for columns of a random term; rounding of large tables must not be taken for a column.
_ROUNDING_OF_SLOPES = 1e-13
#: Columns of a random term whose own part is shorter than this share of them are dependent: rows round by not much less.
_DEPENDENT = 1e-11
#: A mixed column of a random term with less than this share of the largest sum of squares is scaled again.
_SMALL = 1e-4
#: Each pass makes one more power of a raw polynomial clear; what eight leave is dropped by R too.
_MAX_PASSES = 8


def well_conditioned(design: Design, threads: int | None = None) -> CrossProducts:
    """Cross-products in which no column of X, and of no correlated random term, is nearly a combination of others.

    One pass over the rows where none was.

    Parameters
    ----------
    design, threads
        As for `mixedfast.crossprod.assemble.assemble`.

    Returns
    -------
    CrossProducts
        With ``mix`` (its own or a group's) where columns had to be taken apart.
    """
    return orthogonalized(
        assemble(design, threads), lambda scaling: assemble(design, threads, scaling)
    )


def orthogonalized(cp: CrossProducts, again: Callable[[Scaling], CrossProducts]) -> CrossProducts:
    """The same for rows that only their owner can read.

    Parameters
    ----------
    cp : CrossProducts
        Of a first pass.
    again : callable
        ``again(basis)`` sums all rows once more, in another basis.
    """
    for _ in range(_MAX_PASSES):
        scaling = _clearer_basis(cp)
        if scaling is None:
            break
        cp = again(scaling)
    return cp


def _clearer_basis(cp: CrossProducts) -> Scaling | None:
    """A basis in which what earlier clear columns explain is taken out of the doubtful ones; None when there are none."""
    clear, doubtful = _look(cp)
    groups = [_clearer_group(cp, g) for g in range(len(cp.groups))]
    if not len(doubtful) and not any(groups):
        return None
    scaling = replace(
        cp.scaling,
        groups=tuple(new or group.scaling for new, group in zip(groups, cp.groups, strict=True)),
    )
    if len(doubtful):
        mix, unit = _clearer(cp.xy[:-1, :-1], cp.mix, clear, doubtful)
        scaling = replace(scaling, scale=scaling.scale * np.append(unit, 1.0), mix=mix)
    return scaling


def _clearer_group(cp: CrossProducts, g: int) -> GroupScaling | None:
    """The same for the columns of Z of one grouping factor, each correlated term for itself."""
    group = cp.groups[g]
    square = group.A.sum(axis=0)
    mix, unit, changed = (
        np.eye(group.k) if group.mix is None else group.mix.copy(),
        np.ones(group.k),
        False,
    )
    for term in cp.terms:
        if term.group != g or not term.correlated or term.k == 1:
            continue
        own = slice(term.start, term.start + term.k)
        G = square[own, own]
        clear, doubtful, hidden = _apart(G, np.diag(G), _ROUNDING_OF_SLOPES)
        # what rounding of the sums may hide is looked at once: rows tell it from a column that others determine
        apart = doubtful + ([j for j in hidden if G[j, j] > 0.0] if group.mix is None else [])
        if apart:
            mix[own, own], unit[own] = _clearer(
                G, mix[own, own], np.array(clear, dtype=int), np.array(apart, dtype=int)
            )
            changed = True
        elif group.mix is not None and (again := _seen(G, mix[own, own])) is not None:
            mix[own, own], unit[own] = again
            changed = True
    return GroupScaling(group.shift, group.scale * unit, mix) if changed else None


def _seen(G: np.ndarray, mix: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """What the rows say of mixed columns: mix and unit as of `_clearer`, or None where all is well.

    A column with nothing of its own is put back as it was, and one whose size could not be foreseen is scaled.
    """
    back = np.linalg.inv(mix)
    whole, size = np.diag(back.T @ G @ back), np.diag(G)
    changed = mix.copy()
    for j in np.flatnonzero((mix != np.eye(len(mix))).any(axis=0)):
        if not size[j] > _DEPENDENT**2 * whole[j]:
            changed[:, j] = (
                2.0 ** np.round(0.5 * np.log2(size.max() / whole[j])) * np.eye(len(mix))[j]
            )
        elif size[j] < _SMALL * size.max():
            changed[:, j] *= 2.0 ** np.round(0.5 * np.log2(size.max() / size[j]))
    unit = np.diag(changed)
    return None if np.array_equal(changed, mix) else (changed / unit[:, None], unit)


def independent_columns(cp: CrossProducts) -> np.ndarray:
    """Positions of the columns of X that earlier columns do not determine.

    Those R's lm keeps, and beside an intercept those whose own part is clear about the mean, where R judges by the length
    about zero: the square of a year between 2000 and 2001 is 2e-8 of its length free of the year, and 6e-5 of its spread.
    """
    size, whole = _sizes(cp)
    enough = RANK_TOLERANCE * size
    if cp.mix is not None:
        enough = np.where(
            np.isfinite(size), np.minimum(enough, LENGTH_TOLERANCE**2 * whole), enough
        )
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
    counted = set(independent_columns(cp).tolist()) if cp.mix is not None else None
    size = np.diag(cp.xy)[:-1] if cp.mix is not None else _sizes(cp)[0]
    unmixed = np.zeros(cp.p) if cp.constant is None else cp.constant
    clear, doubtful, _ = _apart(cp.xy[:-1, :-1], size, _ROUNDING, unmixed != 0.0, counted)
    return np.array(clear, dtype=int), np.array(doubtful, dtype=int)


def _apart(
    products: np.ndarray,
    size: np.ndarray,
    rounding: float,
    unmixed: np.ndarray | None = None,
    counted: set[int] | None = None,
) -> tuple[list[int], list[int], list[int]]:
    """The same from products of the columns, the sizes to compare with, and which columns stay as they are, or count at all.

    The third list has those of which rounding leaves nothing.
    """
    G, clear, doubtful, hidden = products.copy(), [], [], []
    for j in range(len(G)):
        if not np.isfinite(size[j]) or not G[j, j] > rounding * size[j]:
            hidden.append(j)
            continue
        if G[j, j] > _DOUBTFUL * size[j] or (unmixed is not None and unmixed[j]):
            if counted is not None and j not in counted:
                continue
            clear.append(j)
        else:
            doubtful.append(j)
        G -= (
            np.outer(G[:, j], G[j]) / G[j, j]
        )  # a later column is not clear where a doubtful one makes it so
    return clear, doubtful, hidden


def _clearer(
    G: np.ndarray, old: np.ndarray | None, clear: np.ndarray, doubtful: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mixed again, and of unit diagonal: what earlier clear columns explain is taken out of the doubtful ones, (k,k).

    And what the columns are to be scaled by beside, (k,): mixing then does not change a determinant.
    """
    old = np.eye(len(G)) if old is None else old
    mix = old.copy()
    for j in doubtful:
        earlier = clear[clear < j]
        share = np.linalg.solve(G[np.ix_(earlier, earlier)], G[earlier, j])
        left = max(G[j, j] - G[j, earlier] @ share, _ROUNDING * G[j, j])
        mix[:, j] = (old[:, j] - old[:, earlier] @ share) * 2.0 ** np.round(
            0.5 * np.log2(G[j, j] / left)
        )
    unit = np.diag(mix)
    return mix / unit[:, None], unit
