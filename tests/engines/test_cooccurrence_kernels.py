"""Kernels of pairs of levels that occur together, against their NumPy twins."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import reference_kernels as _reference
from helpers.kernels import SEEDS, close
from hypothesis import given
from hypothesis import strategies as st

from mixedfast.engines import _cooccurrence


@given(
    st.sampled_from([1, 2, 3, 5]),
    st.sampled_from([1, 2]),
    st.sampled_from([0, 1, 4]),
    st.integers(0, 30),
    SEEDS,
)
def test_products_with_pairs(k_left, k_right, r, n, seed):
    rng = np.random.default_rng(seed)
    pattern = a_pattern(rng, 7, 5, n)
    data = rng.normal(size=(len(pattern[1]), k_left, k_right))
    F = rng.normal(size=(7, k_left, r)), rng.normal(size=(5, k_right, r))
    ours, theirs = ([f.copy() for f in F] for _ in range(2))  # products are added to what is there
    _cooccurrence.pairs_multiply(*pattern, data, *F, *ours)
    _reference.pairs_multiply(*pattern, data, *F, *theirs)
    for mine, twin in zip(ours, theirs, strict=True):
        close(mine, twin)


@given(
    st.sampled_from([1, 2, 3]),
    st.sampled_from([1, 2]),
    st.sampled_from([0, 1, 4]),
    st.integers(0, 30),
    SEEDS,
)
def test_moments_of_pairs(k_left, k_right, p, n, seed):
    rng = np.random.default_rng(seed)
    pattern = a_pattern(rng, 7, 5, n)
    data = rng.normal(size=(len(pattern[1]), k_left, k_right))
    D = rng.normal(size=(7, k_left, p)), rng.normal(size=(5, k_right, p))
    for ours, theirs in zip(
        _cooccurrence.pairs_moments(*pattern, data, *D),
        _reference.pairs_moments(*pattern, data, *D),
        strict=True,
    ):
        close(ours, theirs)


def a_pattern(rng, n_left, n_right, n):
    """Return some distinct pairs of levels as indptr and indices."""
    distinct = np.unique(rng.integers(0, n_left * n_right, n))
    indptr = np.searchsorted(distinct // n_right, np.arange(n_left + 1)).astype(np.int64)
    return indptr, (distinct % n_right).astype(np.int32)


@given(st.lists(st.integers(0, 9), min_size=2, max_size=3), st.integers(0, 9), SEEDS)
def test_components(sizes, n, seed):
    rng = np.random.default_rng(seed)
    each = [(g, h) for h in range(len(sizes)) for g in range(h) if sizes[g] * sizes[h]]
    pairs = [(g, h, *a_pattern(rng, sizes[g], sizes[h], n)) for g, h in each]
    labels, count = _cooccurrence.connected_components(sizes, pairs)
    expected, expected_count = _reference.connected_components(sizes, pairs)
    np.testing.assert_array_equal(labels, expected)
    assert count == expected_count


def test_a_long_chain_is_one_component():
    """Levels i of one factor meet i and i + 1 of the other: the deepest tree there can be."""
    n = 20_000
    indptr = np.arange(0, 2 * n + 1, 2)
    indices = np.repeat(np.arange(n, dtype=np.int32), 2)[::-1].copy() + np.tile(
        np.array([0, 1], dtype=np.int32), n
    )
    labels, count = _cooccurrence.connected_components([n, n + 1], [(0, 1, indptr, indices)])
    assert count == 1
    assert not labels.any()


@pytest.mark.parametrize(
    "broken", ["indptr start", "indptr falls", "indptr end", "indices", "negative", "length"]
)
def test_a_pattern_that_points_outside_is_refused(broken):
    indptr, indices = np.array([0, 1, 3]), np.array([0, 1, 2], dtype=np.int32)
    if broken == "length":
        indptr = indptr[:2].copy()
    elif broken.startswith("indptr"):
        indptr[{"start": 0, "falls": 1, "end": 2}[broken.split()[1]]] = 4
    else:
        indices[1] = -1 if broken == "negative" else 3
    F, G = np.zeros((2, 1, 1)), np.zeros((3, 1, 1))
    with pytest.raises(IndexError, match="pattern"):
        _cooccurrence.pairs_multiply(indptr, indices, np.zeros((3, 1, 1)), F, G, F, G)
    with pytest.raises(IndexError, match="pattern"):
        _cooccurrence.pairs_moments(indptr, indices, np.zeros((3, 1, 1)), F, G)
    with pytest.raises(IndexError, match="pattern"):
        _cooccurrence.connected_components([2, 3], [(0, 1, indptr, indices)])


@pytest.mark.parametrize("which", range(5))
def test_products_with_pairs_refuse_what_does_not_fit(which):
    arguments = [
        np.zeros((3, 2, 1)),
        np.zeros((2, 2, 4)),
        np.zeros((3, 1, 4)),
        np.zeros((2, 2, 4)),
        np.zeros((3, 1, 4)),
    ]
    arguments[which] = arguments[which][:, :, :-1].copy() if which else np.zeros((2, 2, 1))
    with pytest.raises(ValueError, match="pairs_multiply"):
        _cooccurrence.pairs_multiply(
            np.array([0, 1, 3]), np.array([0, 1, 2], dtype=np.int32), *arguments
        )


@pytest.mark.parametrize("which", range(3))
def test_moments_of_pairs_refuse_what_does_not_fit(which):
    arguments = [np.zeros((3, 2, 1)), np.zeros((2, 2, 4)), np.zeros((3, 1, 4))]
    arguments[which] = arguments[which][:, :, :-1].copy() if which else np.zeros((2, 2, 1))
    with pytest.raises(ValueError, match="pairs_moments"):
        _cooccurrence.pairs_moments(
            np.array([0, 1, 3]), np.array([0, 1, 2], dtype=np.int32), *arguments
        )
