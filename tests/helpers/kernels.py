"""Sizes, seeds and tolerances of the tests of kernels, and random arguments for them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from helpers import reference_kernels as _reference
from hypothesis import strategies as st

from mixedfast.design.columns import ColumnFactor

#: Sums of a few hundred products of order one, added in another order.
ROUNDING = 1e-12

#: After a Cholesky factor of matrices with a condition number below 1e4.
SOLVED = 1e-9

NUMERIC = ("f8", "f4", "i8", "i4", "i2", "i1", "u1", "?")

#: Zero to one row, and one less, as many and one more than a tile of 256 rows.
ROWS = st.sampled_from([0, 1, 2, 17, 255, 256, 257, 600])

SEEDS = st.integers(0, 2**32 - 1)


def close(ours, theirs, tolerance=ROUNDING):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    scale = max(1.0, np.abs(theirs).max(initial=0.0))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale)


# -- columns ---------------------------------------------------------------------------------------


def a_factor(rng, n, kind, stride):
    """Return a read-only factor of a kind.

    Its rows are `stride` apart in memory, backwards when negative.
    """
    length = n * abs(stride)
    if kind == "coded":
        values, table = rng.integers(0, 4, length, dtype=np.int32), rng.normal(size=4)
    else:
        wide = rng.normal(size=length) if kind.startswith("f") else rng.integers(0, 2, length)
        values, table = wide.astype(kind), None
    values = values[::stride]
    values.flags.writeable = False
    return ColumnFactor(values, table)


def a_border(rng, k, components, widths, J, singular):
    """Arguments of Border, T of the eliminated factor, its A, and the lambdas of the rest.

    A = Z'Z with random Z, so that everything stays positive definite whatever lambda is. Level i of
    the rest has widths[i % len(widths)] columns; each component has two or three levels.
    """
    sizes = rng.integers(2, 4, components)
    k_level = np.array([widths[i % len(widths)] for i in range(sizes.sum())], dtype=np.int32)
    first = np.concatenate([[0], np.cumsum(k_level)[:-1]]).astype(np.int64)
    m = int(k_level.sum())
    level_start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    start = np.append(first, m)[level_start].astype(np.int64)
    component = rng.integers(0, components, J).astype(np.int32)
    ptr, cols, vals, A = [0], [], [], np.empty((J, k, k))
    A_rr = np.zeros((m, m))
    for c in range(components):
        own = rng.normal(size=(3, start[c + 1] - start[c]))
        A_rr[start[c] : start[c + 1], start[c] : start[c + 1]] = own.T @ own
    for j, c in enumerate(component):
        touched = np.flatnonzero(rng.random(start[c + 1] - start[c]) < 0.6) + start[c]
        Z, right = rng.normal(size=(5, k)), rng.normal(size=(5, len(touched)))
        A[j] = Z.T @ Z
        A_rr[np.ix_(touched, touched)] += right.T @ right
        cols += touched.tolist()
        vals += (Z.T @ right).T.tolist()
        ptr.append(len(cols))
    size = np.diff(start)
    offset = np.concatenate([[0], np.cumsum(size**2)])
    base_at, base = [], []
    for c in range(components):
        for row, column in zip(*np.triu_indices(size[c]), strict=True):
            base_at.append(offset[c] + row + column * size[c])
            base.append(A_rr[start[c] + row, start[c] + column])
    lam = {width: np.tril(rng.normal(size=(width, width))) for width in widths}
    if singular:
        lam[widths[0]][0] = 0.0
    place = dict(zip(lam, np.concatenate([[0], np.cumsum([w * w for w in lam])[:-1]]), strict=True))
    arguments = (
        np.array(ptr, dtype=np.int64),
        np.array(cols, dtype=np.int32),
        np.array(vals).reshape(-1, k),
        component,
        start,
        level_start,
        first,
        k_level,
        np.array([place[w] for w in k_level.tolist()], dtype=np.int64),
        np.array(base_at, dtype=np.int64),
        np.array(base),
    )
    T = np.empty_like(A)
    _reference.levels_factor(A, np.tril(rng.normal(size=(k, k))), T)
    return SimpleNamespace(
        arguments=arguments,
        A=A,
        T=T,
        lambdas=np.concatenate([block.ravel() for block in lam.values()]),
        m=m,
        J=J,
        k=k,
        n_levels=len(k_level),
        blocks=int((k_level.astype(int) ** 2).sum()),
    )
