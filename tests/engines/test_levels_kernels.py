"""Kernels of one grouping factor, against their NumPy twins, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import reference_kernels as _reference
from helpers.kernels import SEEDS, SOLVED, close
from hypothesis import given
from hypothesis import strategies as st

from mixedfast.engines import _levels


@st.composite
def levels(draw):
    """Draw A (J,k,k) of positive semidefinite blocks, and lambda; both may be singular."""
    J, k, rng = (
        draw(st.sampled_from([0, 1, 2, 9])),
        draw(st.integers(1, 6)),
        np.random.default_rng(draw(SEEDS)),
    )
    roots = rng.normal(size=(J, draw(st.sampled_from([1, k + 2])), k))
    lam = np.tril(rng.normal(size=(k, k)))
    zero = draw(st.sampled_from(["none", "last", "first", "all"]))
    if zero != "none":
        lam[{"last": slice(k - 1, None), "first": slice(0, 1), "all": slice(None)}[zero]] = 0.0
    return roots.transpose(0, 2, 1) @ roots, lam, rng


@given(levels(), st.sampled_from([0, 1, 4]))
def test_levels(made, r):
    A, lam, rng = made
    T, expected = np.empty_like(A), np.empty_like(A)
    logdet, status = _levels.levels_factor(A, lam, T)
    expected_logdet, expected_status = _reference.levels_factor(A, lam, expected)
    assert status == expected_status == 0
    close(logdet, expected_logdet)
    close(T, expected, SOLVED)
    B = rng.normal(size=(*A.shape[:2], r))
    close(_levels.levels_multiply(T, B), _reference.levels_multiply(T, B))
    close(_levels.levels_project(A, T, B), _reference.levels_project(A, T, B))
    close(_levels.levels_k(A, T), _reference.levels_k(A, T))


@given(levels(), st.sampled_from([0, 1, 4]), st.booleans(), st.booleans(), st.booleans())
def test_moments(made, p, with_k, pairs, fixed):
    K, _, rng = made
    C, W, beta = (
        rng.normal(size=(*K.shape[:2], p + 1)),
        np.triu(rng.normal(size=(p, p))),
        rng.normal(size=p),
    )
    arguments = K if with_k else None, C, W, beta
    found, expected = (
        _levels.level_moments(*arguments, pairs, fixed),
        _reference.level_moments(*arguments, pairs, fixed),
    )
    for ours, twin in zip(found, expected, strict=True):
        close(ours, twin)


def test_moments_of_more_levels_than_a_run():
    rng = np.random.default_rng(5)
    arguments = (
        np.tile(np.eye(2), (2500, 1, 1)),
        rng.normal(size=(2500, 2, 3)),
        np.eye(2),
        rng.normal(size=2),
    )
    for ours, twin in zip(
        _levels.level_moments(*arguments, True, True),
        _reference.level_moments(*arguments, True, True),
        strict=True,
    ):
        close(ours, twin)


def test_levels_read_what_must_not_be_written():
    A, lam, B = np.eye(2)[None] * 3.0, np.eye(2), np.ones((1, 2, 1))
    for array in (A, lam, B):
        array.flags.writeable = False
    T = np.empty((1, 2, 2))
    _levels.levels_factor(A, lam, T)
    T.flags.writeable = False
    close(_levels.levels_multiply(T, B), _reference.levels_multiply(T, B))
    with pytest.raises(ValueError, match="read-only"):
        _levels.levels_factor(A, lam, T)


@pytest.mark.parametrize("bad", [-5.0, np.nan, np.inf])
def test_the_first_level_that_is_not_positive_definite_is_named(bad):
    A = np.tile(np.eye(2), (6, 1, 1))
    A[3, 1, 1] = bad
    assert _levels.levels_factor(A, np.eye(2), np.empty_like(A))[1] == 4
    assert _reference.levels_factor(A[:, :1, :1] * -5.0, np.eye(1), np.empty((6, 1, 1)))[1] == 1


def test_log_determinants_of_any_size_do_not_overflow():
    A = np.concatenate([np.full(300, 1e30), np.full(300, 1e-30)])[:, None, None]
    logdet, status = _levels.levels_factor(A, np.eye(1), np.empty_like(A))
    assert status == 0
    assert logdet == pytest.approx(np.log1p(A).sum(), rel=1e-13)


@pytest.mark.parametrize(
    ("kernel", "shapes"),
    [
        ("levels_factor", ((4, 2, 3), (2, 2), (4, 2, 2))),
        ("levels_factor", ((4, 2, 2), (3, 3), (4, 2, 2))),
        ("levels_factor", ((4, 2, 2), (2, 2), (3, 2, 2))),
        ("levels_factor", ((4, 2, 2), (2, 2), (4, 2, 3))),
        ("levels_factor", ((1, 65, 65), (65, 65), (1, 65, 65))),
        ("levels_multiply", ((4, 2, 2), (3, 2, 1))),
        ("levels_multiply", ((4, 2, 2), (4, 3, 1))),
        ("levels_multiply", ((4, 3, 2), (4, 3, 1))),
        ("levels_project", ((4, 2, 2), (4, 2, 2), (4, 3, 1))),
        ("levels_project", ((3, 2, 2), (4, 2, 2), (4, 2, 1))),
        ("levels_project", ((1, 65, 65), (1, 65, 65), (1, 65, 1))),
        ("levels_k", ((4, 2, 2), (4, 3, 3))),
        ("levels_k", ((3, 2, 2), (4, 2, 2))),
        ("levels_k", ((1, 65, 65), (1, 65, 65))),
    ],
)
def test_levels_refuse_what_does_not_fit(kernel, shapes):
    with pytest.raises(ValueError, match=f"{kernel}|more than"):
        getattr(_levels, kernel)(*(np.zeros(shape) for shape in shapes))
