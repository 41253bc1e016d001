"""Cross-products with other columns in the random terms: linear combinations of those there are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mixedfast.covariance.relative import TermShape
from mixedfast.crossprod.blocks import GroupProducts, PairProducts
from mixedfast.crossprod.types import CrossProducts

__all__ = ["NewColumns", "constant_column", "selected", "with_columns"]


@dataclass(frozen=True, eq=False)
class NewColumns:
    """New columns of a random term in the smaller model: the old ones times ``matrix`` (k, k')."""

    matrix: np.ndarray
    names: tuple[str, ...]
    shift: np.ndarray
    scale: np.ndarray


def selected(cp: CrossProducts, term: TermShape, columns: list[int]) -> NewColumns:
    """Keep some columns of a random term."""
    group, places = cp.groups[term.group], [term.start + j for j in columns]
    return NewColumns(
        _unmixed(group, term)[:, columns],
        tuple(group.names[j] for j in places),
        group.shift[places],
        group.scale[places],
    )


def constant_column(cp: CrossProducts, term: TermShape, weights: np.ndarray) -> NewColumns:
    """Replace the columns of a factor by the constant.

    They are scaled but not shifted, because they span the intercept.
    """
    group = cp.groups[term.group]
    unscaled = weights / group.scale[term.start : term.start + term.k]
    return NewColumns(
        (_unmixed(group, term) @ unscaled)[:, None], ("Intercept",), np.zeros(1), np.ones(1)
    )


def _unmixed(group: GroupProducts, term: TermShape) -> np.ndarray:
    """Return U (k,k): the columns of the term times U are those before they were mixed."""
    if group.mix is None:
        return np.eye(term.k)
    own = slice(term.start, term.start + term.k)
    return np.asarray(np.linalg.inv(group.mix[own, own]))


def with_columns(cp: CrossProducts, columns: list[NewColumns]) -> CrossProducts:
    """Return the cross-products with new columns in the random terms.

    Terms and groups without a column are left out.
    """
    members = {
        g: sorted(
            (i for i, t in enumerate(cp.terms) if t.group == g), key=lambda i: cp.terms[i].start
        )
        for g in range(len(cp.groups))
    }
    kept = [g for g, own in members.items() if any(columns[i].names for i in own)]
    place = {g: new for new, g in enumerate(kept)}
    maps = {g: _block_diagonal([columns[i].matrix for i in members[g]]) for g in kept}
    starts = {
        i: sum(len(columns[j].names) for j in own[: own.index(i)])
        for own in members.values()
        for i in own
    }
    terms = tuple(
        replace(t, group=place[t.group], start=starts[i], k=len(columns[i].names))
        for i, t in enumerate(cp.terms)
        if columns[i].names
    )
    groups = tuple(_mapped(cp.groups[g], maps[g], [columns[i] for i in members[g]]) for g in kept)
    pairs = {
        (place[g], place[h]): PairProducts(
            pair.indptr, pair.indices, np.ascontiguousarray(maps[g].T @ pair.data @ maps[h])
        )
        for (g, h), pair in cp.pairs.items()
        if g in place and h in place
    }
    unweighted = cp.unweighted
    if unweighted is not None:
        M = _block_diagonal(
            [
                np.eye(1 + cp.p),
                *(maps[g] if g in place else np.empty((cp.groups[g].k, 0)) for g in members),
            ]
        )
        unweighted = M.T @ unweighted @ M
    return replace(cp, groups=groups, pairs=pairs, terms=terms, unweighted=unweighted)


def _mapped(group: GroupProducts, C: np.ndarray, columns: list[NewColumns]) -> GroupProducts:
    """Return the products of a group for its columns times C."""
    return replace(
        group,
        names=tuple(name for own in columns for name in own.names),
        A=np.ascontiguousarray(C.T @ group.A @ C),
        B=np.ascontiguousarray(C.T @ group.B),
        shift=np.concatenate([own.shift for own in columns]),
        scale=np.concatenate([own.scale for own in columns]),
        mix=None,
    )


def _block_diagonal(blocks: list[np.ndarray]) -> np.ndarray:
    """Place matrices along the diagonal of one."""
    rows, columns = np.cumsum([block.shape for block in blocks], axis=0).T
    out = np.zeros((rows[-1], columns[-1]))
    for block, row, column in zip(blocks, rows, columns, strict=True):
        out[row - len(block) : row, column - block.shape[1] : column] = block
    return out
