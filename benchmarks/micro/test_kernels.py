"""How long the compiled kernels take, each alone: `make bench-kernels`."""

from __future__ import annotations

import numpy as np
import pytest

from mixedfast.crossprod import _sums
from mixedfast.design.columns import ColumnFactor
from mixedfast.engines import _levels

ROWS, GROUPS = 200_000, 2_000


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(1)


@pytest.fixture(scope="module")
def pool(rng):
    """Return an intercept and nine columns of doubles, shifted and scaled."""
    columns = [((), 0.0, 1.0)] + [
        ((ColumnFactor(rng.standard_normal(ROWS)),), 0.1, 0.9) for _ in range(9)
    ]
    return _sums.ColumnPool(columns, ROWS)


def codes(rng, levels):
    return rng.integers(0, levels, ROWS, dtype=np.int32)


def positions(*which):
    return np.array(which, dtype=np.int32)


def test_crossprod_of_the_fixed_part(benchmark, pool):
    benchmark(_sums.crossprod, pool, 0, ROWS, np.arange(10, dtype=np.int32), [])


@pytest.mark.parametrize("order", ["sorted", "unsorted"])
def test_crossprod_by_group(benchmark, pool, rng, order):
    group = codes(rng, GROUPS)
    if order == "sorted":
        group.sort()
    every = np.arange(10, dtype=np.int32)
    benchmark(_sums.crossprod, pool, 0, ROWS, every, [(group, GROUPS, positions(0, 1), every)])


def test_pairs(benchmark, rng):
    pool = _sums.ColumnPool([((), 0.0, 1.0)] * 2, ROWS)
    benchmark(_sums.pair_products, codes(rng, GROUPS), GROUPS, codes(rng, 500), 500, pool, 1, 1)


@pytest.fixture(scope="module", params=[1, 2, 4], ids="k={}".format)
def levels(request, rng):
    """Return A and T of 50,000 levels."""
    k = request.param
    roots = rng.standard_normal((50_000, k, k + 2))
    A, T = roots @ roots.transpose(0, 2, 1), np.empty((50_000, k, k))
    _levels.levels_factor(A, 0.5 * np.eye(k), T)
    return A, T, 0.5 * np.eye(k), rng.standard_normal((50_000, k, 5))


def test_levels_factor(benchmark, levels):
    A, T, lam, _ = levels
    benchmark(_levels.levels_factor, A, lam, T.copy())


def test_levels_multiply(benchmark, levels):
    benchmark(_levels.levels_multiply, levels[1], levels[3])


def test_levels_project(benchmark, levels):
    benchmark(_levels.levels_project, levels[0], levels[1], levels[3])


def test_levels_k(benchmark, levels):
    benchmark(_levels.levels_k, levels[0], levels[1])
