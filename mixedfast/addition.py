"""Adding cross-products: rows of one table and rows of another, as if they had been read together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mixedfast.crossprod import CrossProducts, GroupProducts, PairProducts
from mixedfast.errors import DataError

__all__ = ["add"]


def add(a: CrossProducts, b: CrossProducts) -> CrossProducts:
    """Cross-products of the rows of both; b is brought into a's shifts and scales, new levels come after a's.

    Raises
    ------
    DataError
        When the two are not of the same model (formula, columns of X, columns of Z).
    """
    _check_same_model(a, b)
    R = _turn(a.shift, a.scale, b.shift, b.scale, a.intercept)
    Z = [_turn_group(a, b, g) for g in range(len(a.groups))]
    places = [_places(mine, theirs) for mine, theirs in zip(a.groups, b.groups, strict=True)]
    groups = tuple(
        _add_group(mine, theirs, place, side, R)
        for mine, theirs, place, side in zip(a.groups, b.groups, places, Z, strict=True)
    )
    size = [group.n_levels for group in groups]
    pairs = {
        (g, h): _add_pair(pair, b.pairs[g, h], size[g], size[h], places[g], places[h], Z[g], Z[h])
        for (g, h), pair in a.pairs.items()
    }
    return replace(
        a,
        n=a.n + b.n,
        xy=a.xy + R.T @ b.xy @ R,
        groups=groups,
        pairs=pairs,
        sum_log_weights=a.sum_log_weights + b.sum_log_weights,
        unweighted=_add_unweighted(a, b, R, Z),
        meta=replace(
            a.meta,
            n_dropped=a.meta.n_dropped + b.meta.n_dropped,
            missing={
                name: a.meta.missing.get(name, 0) + b.meta.missing.get(name, 0)
                for name in {**a.meta.missing, **b.meta.missing}
            },
        ),
    )


def _check_same_model(a: CrossProducts, b: CrossProducts) -> None:
    if a.meta.formula != b.meta.formula:
        raise DataError(f"cross-products of different models do not add: {a.meta.formula!r} and {b.meta.formula!r}")
    if a.x_names != b.x_names:
        odd = sorted(set(a.x_names) ^ set(b.x_names))
        raise DataError(f"the columns of X differ ({', '.join(odd)}): give both tables the same categories")
    if [g.names for g in a.groups] != [g.names for g in b.groups] or a.terms != b.terms:
        raise DataError("the random terms differ (their order follows the number of levels): give both tables all levels")
    if a.meta.weighted != b.meta.weighted:
        raise DataError("one side has weights and the other has none: give weights of one")


def _turn(
    shift_a: np.ndarray, scale_a: np.ndarray, shift_b: np.ndarray, scale_b: np.ndarray, constant: int | None
) -> np.ndarray:
    """R with columns_a = columns_b R; the constant column takes up the difference of the shifts."""
    R = np.diag(scale_a / scale_b)
    if constant is not None:
        R[constant] += (shift_b - shift_a) * scale_a
    return R


def _turn_group(a: CrossProducts, b: CrossProducts, g: int) -> np.ndarray:
    mine, theirs = a.groups[g], b.groups[g]
    R = np.diag(mine.scale / theirs.scale)
    for term in a.terms:
        if term.group == g:
            inside = slice(term.start, term.start + term.k)
            R[term.start, inside] += ((theirs.shift - mine.shift) * mine.scale)[inside]
    return R


def _places(mine: GroupProducts, theirs: GroupProducts) -> np.ndarray:
    """Where b's levels go: a's own positions, or new ones after them."""
    at = {level: i for i, level in enumerate(np.asarray(mine.levels).tolist())}
    return np.array([at.setdefault(level, len(at)) for level in np.asarray(theirs.levels).tolist()], dtype=np.int64)


def _add_group(
    mine: GroupProducts, theirs: GroupProducts, place: np.ndarray, side: np.ndarray, R: np.ndarray
) -> GroupProducts:
    size = max(mine.n_levels, int(place.max()) + 1)
    A, B = np.zeros((size, *mine.A.shape[1:])), np.zeros((size, *mine.B.shape[1:]))
    A[: mine.n_levels], B[: mine.n_levels] = mine.A, mine.B
    A[place] += side.T @ theirs.A @ side
    B[place] += side.T @ theirs.B @ R
    new = np.asarray(theirs.levels)[place >= mine.n_levels]
    return replace(mine, levels=np.concatenate([np.asarray(mine.levels), new]), A=A, B=B)


def _add_pair(
    mine: PairProducts, theirs: PairProducts, n_left: int, n_right: int, left: np.ndarray, right: np.ndarray,
    side_left: np.ndarray, side_right: np.ndarray,
) -> PairProducts:  # fmt: skip
    def rows(pair: PairProducts) -> np.ndarray:
        return np.repeat(np.arange(len(pair.indptr) - 1), np.diff(pair.indptr))

    keys = np.concatenate([rows(mine) * n_right + mine.indices, left[rows(theirs)] * n_right + right[theirs.indices]])
    blocks = np.concatenate([mine.data, side_left.T @ theirs.data @ side_right])
    distinct, at = np.unique(keys, return_inverse=True)
    data = np.zeros((len(distinct), *blocks.shape[1:]))
    np.add.at(data, at, blocks)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(distinct // n_right, minlength=n_left))]).astype(np.int64)
    return PairProducts(indptr, (distinct % n_right).astype(np.int32), data)


def _add_unweighted(a: CrossProducts, b: CrossProducts, R: np.ndarray, Z: Sequence[np.ndarray]) -> np.ndarray | None:
    if a.unweighted is None or b.unweighted is None:
        return None
    parts = [np.ones((1, 1)), R[:-1, :-1], *Z]
    turn = np.zeros(a.unweighted.shape)
    at = 0
    for part in parts:
        turn[at : at + len(part), at : at + len(part)] = part
        at += len(part)
    return a.unweighted + turn.T @ b.unweighted @ turn
