"""Nearly collinear columns: which columns of X are kept, and cross-products that show them exactly.

Sums of squares from one pass over the rows have 16 digits. Of a column whose distance from the
others is a millionth of its length they keep four digits of that distance, and of a closer column
fewer. Where a first pass finds such a column (a raw cubic of the year, say), the part of it that
the clear columns explain is subtracted row by row and the sums are made again, as in the
Gram-Schmidt steps of a QR decomposition. Which columns are kept is then decided as in ``lm`` of R
and in lme4.

The same is done within a correlated random term. An invertible change R of its columns only changes
the random effects, ``Z b = (Z R) (R^-1 b)``, and not the model. Where slopes are nearly collinear
the likelihood is a valley some 1e10 times longer than wide, and orthogonalized columns make it
round again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mixedfast._memo import of_object
from mixedfast.crossprod._pivots import column_sizes
from mixedfast.crossprod.assemble import assemble
from mixedfast.crossprod.pivots import CLEAR, COLLINEAR, HIDDEN, classify_columns
from mixedfast.crossprod.scaling import GroupScaling, Scaling
from mixedfast.crossprod.types import CrossProducts
from mixedfast.design.types import Design

__all__ = [
    "independent_columns",
    "orthogonalized",
    "well_conditioned",
]

#: A column of X is dropped when earlier columns leave less than this share of its sum of squares.
#: Sums of squares have 16 digits, so a column at a distance of 1e-5 of its length from the
#: others is still distinguished from a dependent one.
_RANK_TOLERANCE = 1e-10
#: Orthogonalized columns are kept down to this share of their length, as ``lm`` of R keeps them.
_LENGTH_TOLERANCE = 1e-7
#: A pivot below this share of the sum of squares has fewer than eleven digits, and the deviance is
#: rough to the search.
_NEARLY_COLLINEAR = 1e-5
#: A pivot at or below this share is rounding: the column is a combination of the others.
_ROUNDING = 1e-15
#: The same for columns of a random term, where rounding of large tables must not pass for a column.
_ROUNDING_OF_SLOPES = 1e-13
#: Columns of a random term closer to the others than this share of their length are dependent; the
#: rounding of rows is not much smaller.
_DEPENDENT = 1e-11
#: A mixed column of a random term is scaled again when its sum of squares is below this share of
#: the largest one.
_SMALL = 1e-4
#: Each pass makes one more power of a raw polynomial clear; R also drops the powers that eight
#: passes leave.
_MAX_PASSES = 8


def well_conditioned(design: Design, threads: int | None = None) -> CrossProducts:
    """Assemble cross-products without nearly collinear columns in X and in correlated random terms.

    One pass over the rows where there is no such column, otherwise some more.

    Parameters
    ----------
    design, threads
        As for `mixedfast.crossprod.assemble.assemble`.

    Returns
    -------
    CrossProducts
        With ``mix``, its own or that of a group, where columns were orthogonalized.
    """
    return orthogonalized(
        assemble(design, threads), lambda scaling: assemble(design, threads, scaling)
    )


def orthogonalized(cp: CrossProducts, again: Callable[[Scaling], CrossProducts]) -> CrossProducts:
    """Orthogonalize nearly collinear columns, with a function that sums the rows again.

    Parameters
    ----------
    cp : CrossProducts
        Of a first pass.
    again : callable
        ``again(scaling)`` sums all rows once more, in another scaling.
    """
    for _ in range(_MAX_PASSES):
        scaling = _orthogonal_scaling(cp)
        if scaling is None:
            break
        cp = again(scaling)
    return cp


def _orthogonal_scaling(cp: CrossProducts) -> Scaling | None:
    """Choose a scaling that orthogonalizes the nearly collinear columns; None if there are none."""
    clear, collinear = _classify_x(cp)
    groups = [_orthogonal_group(cp, g) for g in range(len(cp.groups))]
    if not len(collinear) and not any(groups):
        return None
    scaling = replace(
        cp.scaling,
        groups=tuple(new or group.scaling for new, group in zip(groups, cp.groups, strict=True)),
    )
    if len(collinear):
        mix, unit = _orthogonalize(cp.xy[:-1, :-1], cp.mix, clear, collinear)
        scaling = replace(scaling, scale=scaling.scale * np.append(unit, 1.0), mix=mix)
    return scaling


def _orthogonal_group(cp: CrossProducts, g: int) -> GroupScaling | None:
    """Choose such a scaling of the columns of Z of one grouping factor, term by term."""
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
        kinds = _classify(G, np.diag(G), _ROUNDING_OF_SLOPES)
        if group.mix is None and (kinds == CLEAR).all():
            continue
        tried = np.flatnonzero(kinds == COLLINEAR)
        if group.mix is None:
            # columns that rounding of the sums may hide are tried once: rows show if they depend
            hidden = np.flatnonzero((kinds == HIDDEN) & (np.diag(G) > 0.0))
            tried = np.concatenate([tried, hidden])
        if len(tried):
            mix[own, own], unit[own] = _orthogonalize(
                G, mix[own, own], np.flatnonzero(kinds == CLEAR), tried
            )
            changed = True
        elif group.mix is not None and (again := _corrected(G, mix[own, own])) is not None:
            mix[own, own], unit[own] = again
            changed = True
    return GroupScaling(group.shift, group.scale * unit, mix) if changed else None


def _corrected(G: np.ndarray, mix: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Correct the mix of columns whose sums are known by now.

    Return mix and unit as `_orthogonalize`. A dependent column is restored, and one of
    unforeseen size is scaled. None where no column is either.
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
    """Find the columns of X that are not linear combinations of earlier ones; their positions.

    These are the columns that ``lm`` of R keeps, and with an intercept a few more: R judges the
    distance from earlier columns by the length about zero, this function also by the length about
    the mean. The square of a year between 2000 and 2001 is at a distance from the year of 2e-8 of
    its length, and of 6e-5 of its spread.
    """
    size, whole = _sizes(cp)
    tolerance = _RANK_TOLERANCE * size
    if cp.mix is not None:
        # sums of the other columns have too few digits for the smaller tolerance
        smaller = _is_mixed(cp) & np.isfinite(size)
        tolerance = np.where(
            smaller, np.minimum(tolerance, _LENGTH_TOLERANCE**2 * whole), tolerance
        )
    kinds = classify_columns(cp.xy[:-1, :-1], tolerance, tolerance)
    return np.flatnonzero(kinds == CLEAR)


def _is_mixed(cp: CrossProducts) -> np.ndarray:
    """Return which columns of X have been orthogonalized, (p,) bool."""
    return np.zeros(cp.p, dtype=bool) if cp.mix is None else (cp.mix != np.eye(cp.p)).any(axis=0)


@of_object
def _sizes(cp: CrossProducts) -> tuple[np.ndarray, np.ndarray]:
    """Compute sums of squares of the unmixed columns of X about the mean and about zero, (p,) each.

    About the mean: infinite for a constant column beside an intercept, so that it is dropped.
    """
    G, ones = cp.xy[:-1, :-1], cp.ones
    if cp.mix is not None:
        back = np.linalg.inv(cp.mix)
        G = back.T @ G @ back
    if ones is None:
        size = np.diag(G).copy()
        return size, size
    at = cp.intercept
    shift = cp.shift[:-1] * cp.scale[:-1]
    return column_sizes(G, ones, shift, -1 if at is None else at, _RANK_TOLERANCE)


def _classify_x(cp: CrossProducts) -> tuple[np.ndarray, np.ndarray]:
    """Classify the columns of X: positions of the clear and of the nearly collinear ones."""
    counted = None
    if cp.mix is not None:
        counted = np.isin(np.arange(cp.p), independent_columns(cp))
    size = np.diag(cp.xy)[:-1] if cp.mix is not None else _sizes(cp)[0]
    unmixed = None if cp.constant is None else cp.constant != 0.0
    if cp.mix is not None:  # what rounding of the rows leaves of a dependent column is hidden
        size = np.where(
            _is_mixed(cp) & (size <= _LENGTH_TOLERANCE**2 * _sizes(cp)[1]), np.inf, size
        )
    kinds = _classify(cp.xy[:-1, :-1], size, _ROUNDING, unmixed, counted)
    return np.flatnonzero(kinds == CLEAR), np.flatnonzero(kinds == COLLINEAR)


def _classify(
    products: np.ndarray,
    size: np.ndarray,
    rounding: float,
    unmixed: np.ndarray | None = None,
    counted: np.ndarray | None = None,
) -> np.ndarray:
    """Classify columns from their products: clear, nearly collinear, or hidden by rounding.

    A nearly collinear column is eliminated from later ones too: one close to it is not clear.

    Parameters
    ----------
    products : (k, k) array
    size : (k,) array
        Sums of squares to compare the pivots with.
    rounding : float
        A pivot at or below this share is rounding.
    unmixed : (k,) bool array, optional
        Columns that cannot be mixed.
    counted : (k,) bool array, optional
        Columns that may be clear; default: all.
    """
    low, high = rounding * size, _NEARLY_COLLINEAR * size
    if unmixed is not None:
        high = np.where(unmixed, low, high)
    return classify_columns(products, low, high, counted)


def _orthogonalize(
    G: np.ndarray, old: np.ndarray | None, clear: np.ndarray, collinear: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Subtract from each nearly collinear column its projection on earlier clear columns.

    Returns
    -------
    mix : (k, k) array
        Of unit diagonal, so that mixing does not change a determinant.
    unit : (k,) array
        Factors of the scales.
    """
    old = np.eye(len(G)) if old is None else old
    mix = old.copy()
    for j in collinear:
        earlier = clear[clear < j]
        share = np.linalg.solve(G[np.ix_(earlier, earlier)], G[earlier, j])
        left = max(G[j, j] - G[j, earlier] @ share, _ROUNDING * G[j, j])
        mix[:, j] = (old[:, j] - old[:, earlier] @ share) * 2.0 ** np.round(
            0.5 * np.log2(G[j, j] / left)
        )
    unit = np.diag(mix)
    return mix / unit[:, None], unit
