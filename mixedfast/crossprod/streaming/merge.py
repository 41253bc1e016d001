"""Addition of the sums of batches coded by one plan: same levels, same scaling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixedfast.crossprod.assemble import PartialSums
from mixedfast.crossprod.blocks import PairProducts
from mixedfast.design.covariates import merge

__all__ = ["add_in_place"]


def add_in_place(a: PartialSums, b: PartialSums) -> PartialSums:
    """Add b to a, in the memory of a where possible; a must not be used afterwards.

    Parameters
    ----------
    a, b : PartialSums
        Of batches coded by one plan.
    """
    a.rows.take_up(b.rows)
    if a.unweighted is not None and b.unweighted is not None:
        a.unweighted.take_up(b.unweighted)
    names = dict.fromkeys([*a.meta.missing, *b.meta.missing])
    recipe = b.meta.recipe if not a.n else a.meta.recipe
    if a.n and b.n and recipe is not None and b.meta.recipe is not None:
        recipe = replace(
            recipe, covariates=merge(recipe.covariates, a.n, b.meta.recipe.covariates, b.n)
        )
    return replace(
        a,
        n=a.n + b.n,
        pairs={
            key: _add_pairs(pair, b.pairs[key], len(b.groups[key[1]][1]))
            for key, pair in a.pairs.items()
        },
        sum_log_weights=a.sum_log_weights + b.sum_log_weights,
        meta=replace(
            a.meta,
            n_dropped=a.meta.n_dropped + b.meta.n_dropped,
            missing={
                name: a.meta.missing.get(name, 0) + b.meta.missing.get(name, 0) for name in names
            },
            recipe=recipe,
        ),
    )


def _add_pairs(a: PairProducts, b: PairProducts, n_right: int) -> PairProducts:
    if np.array_equal(a.indptr, b.indptr) and np.array_equal(a.indices, b.indices):
        a.data[...] += b.data
        return a
    known, keys = _keys(a, n_right), _keys(b, n_right)
    at = np.searchsorted(known, keys)
    new = np.append(known, -1)[at] != keys
    a.data[at[~new]] += b.data[~new]  # each pair occurs once
    if not new.any():
        return a
    at, rows = at[new], keys[new] // n_right
    more = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(a.indptr) - 1))])
    return PairProducts(
        a.indptr + more,
        np.insert(a.indices, at, b.indices[new]),
        np.insert(a.data, at, b.data[new], axis=0),
    )


def _keys(pair: PairProducts, n_right: int) -> np.ndarray:
    """Return a number for each pair of levels, ascending."""
    return pair.rows * n_right + pair.indices
