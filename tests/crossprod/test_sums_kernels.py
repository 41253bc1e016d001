"""Kernels of columns and cross-products, against their NumPy twins, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import reference_kernels as _reference
from helpers.kernels import NUMERIC, ROWS, SEEDS, a_factor, close
from hypothesis import given
from hypothesis import strategies as st

from mixedfast.crossprod import _sums
from mixedfast.design.columns import ColumnFactor


@st.composite
def pools(draw):
    """Return the same pool for the kernels and for the twins."""
    count, rng = draw(ROWS), np.random.default_rng(draw(SEEDS))
    kinds = st.lists(st.sampled_from([*NUMERIC, "coded"]), max_size=3)
    described = [
        (
            tuple(
                a_factor(rng, count, kind, draw(st.sampled_from([1, 2, -1])))
                for kind in draw(kinds)
            ),
            draw(st.sampled_from([0.0, 0.7])),
            draw(st.sampled_from([1.0, 0.25])),
        )
        for _ in range(draw(st.integers(1, 5)))
    ]
    weights = np.sqrt(rng.uniform(0.1, 3.0, count)) if draw(st.booleans()) else None
    fast = _sums.ColumnPool(described, count, weights)
    return fast, _reference.ColumnPool(described, count, weights), rng


@given(pools())
def test_columns_are_evaluated(made):
    fast, twin, rng = made
    assert (fast.n, fast.size) == (twin.n, twin.size)
    rows = rng.integers(0, max(fast.n, 1), min(fast.n, 40), dtype=np.int32)
    for column in range(fast.size):
        np.testing.assert_array_equal(fast.evaluate(column), twin.evaluate(column))
        np.testing.assert_array_equal(fast.evaluate(column, rows), twin.evaluate(column, rows))


@pytest.mark.parametrize("kind", [*NUMERIC, "coded"])
@pytest.mark.parametrize("stride", [1, 3, -2])
def test_every_kind_of_factor_is_read_in_place(kind, stride):
    factor = a_factor(np.random.default_rng(5), 200, kind, stride)
    columns = [((factor,), 0.0, 1.0), ((factor, factor), 0.5, 2.0)]
    fast, twin = _sums.ColumnPool(columns, 200), _reference.ColumnPool(columns, 200)
    for column in range(2):
        np.testing.assert_array_equal(fast.evaluate(column), twin.evaluate(column))


def test_a_pool_keeps_its_arrays_alive():
    pool = _sums.ColumnPool(
        [((ColumnFactor(np.arange(1000.0)),), 0.0, 1.0)], 1000, np.full(1000, 2.0)
    )
    rubbish = [np.full(1000, np.nan) for _ in range(200)]  # takes the memory of anything let go
    np.testing.assert_array_equal(pool.evaluate(0), 2.0 * np.arange(1000.0))
    assert len(rubbish) == 200


@pytest.mark.parametrize("code", [-1, 4, 2**31 - 1, -(2**31)])
def test_a_category_code_outside_its_table_is_refused(code):
    codes = np.zeros(300, dtype=np.int32)
    codes[250] = code
    pool = _sums.ColumnPool([((ColumnFactor(codes, np.ones(4)),), 0.0, 1.0)], 300)
    with pytest.raises(ValueError, match="code"):
        pool.evaluate(0)
    with pytest.raises(ValueError, match="code"):
        _sums.crossprod(pool, 0, 300, np.zeros(1, dtype=np.int32), [])


@pytest.mark.parametrize(
    ("values", "table", "error"),
    [
        (np.zeros(9), None, ValueError),
        (np.zeros((10, 1)), None, ValueError),
        (np.zeros(10, dtype=">f8"), None, TypeError),
        (np.zeros(10, dtype="f2"), None, TypeError),
        (np.zeros(10, dtype="u4"), None, TypeError),
        (np.zeros(10, dtype=complex), None, TypeError),
        (np.zeros(10, dtype=object), None, TypeError),
        (np.zeros(10, dtype=np.int64), np.ones(1), TypeError),
    ],
)
def test_a_factor_of_the_wrong_shape_or_type_is_refused(values, table, error):
    with pytest.raises(error, match=r"factor|codes"):
        _sums.ColumnPool([((ColumnFactor(values, table),), 0.0, 1.0)], 10)


def test_weights_and_positions_outside_a_pool_are_refused():
    column = [((), 0.0, 1.0)]
    with pytest.raises(ValueError, match="weights"):
        _sums.ColumnPool(column, 10, np.ones(9))
    with pytest.raises(ValueError, match="contiguous"):
        _sums.ColumnPool(column, 10, np.ones(20)[::2])
    pool = _sums.ColumnPool(column, 10)
    for position in (-1, 1):
        with pytest.raises(IndexError):
            pool.evaluate(position)
    for row in (-1, 10):
        with pytest.raises(IndexError):
            pool.evaluate(0, np.array([row], dtype=np.int32))


@given(pools(), st.data())
def test_crossprod(made, data):
    fast, twin, rng = made

    def draw(size, most):
        return np.array(
            data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=most)), dtype=np.int32
        )

    groups = []
    for n_levels in data.draw(st.lists(st.sampled_from([1, 3, 40]), max_size=2)):
        codes = rng.integers(0, n_levels, fast.n, dtype=np.int32)
        if data.draw(st.booleans()):  # runs of rows of one level, which are summed another way
            codes.sort()
        codes.flags.writeable = False
        if data.draw(st.booleans()):  # cells of several factors
            more = tuple(rng.integers(0, size, fast.n, dtype=np.int32) for size in (5, 2))
            codes, n_levels = (codes, *more), (n_levels, 5, 2)
        groups.append((codes, n_levels, draw(fast.size, 6), draw(fast.size, 18)))
    first = data.draw(st.integers(0, fast.n))
    last = data.draw(st.integers(first, fast.n))
    gram = draw(fast.size, 7)
    square, sums = _sums.crossprod(fast, first, last, gram, groups)
    expected, expected_sums = _reference.crossprod(twin, first, last, gram, groups)
    close(square, expected)
    np.testing.assert_array_equal(square, square.T)
    for ours, theirs, (_, _, left, right) in zip(sums, expected_sums, groups, strict=True):
        close(ours[:, :, : len(right)], theirs)
        parts, columns, end = (
            data.draw(st.integers(1, 3)),
            draw(len(right), 4),
            data.draw(st.integers(1, len(left))),
        )
        close(
            _sums.select_sums([ours] * parts, end - 1, end, columns),
            _reference.select_sums([theirs] * parts, end - 1, end, columns),
        )


def test_picked_refuses_what_does_not_fit():
    total = np.zeros((5, 2, 4))
    for parts in ([total, total[:4]], [total, total[:, :1].copy()], [total[:, :, ::2]]):
        with pytest.raises(ValueError, match=r"part|contiguous"):
            _sums.select_sums(parts, 0, 2, positions(0))
    for first, end, columns in (
        (0, 3, positions(0)),
        (1, 1, positions(0)),
        (0, 2, positions(4)),
        (0, 2, positions()),
    ):
        with pytest.raises(IndexError):
            _sums.select_sums([total], first, end, columns)


def simple_pool(n, columns=2):
    values = np.linspace(-1.0, 1.0, n)
    return _sums.ColumnPool([((ColumnFactor(values + c),), 0.0, 1.0) for c in range(columns)], n)


def positions(*which):
    return np.array(which, dtype=np.int32)


@pytest.mark.parametrize("code", [-1, 3, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("row", [0, 256, 299])
def test_crossprod_refuses_a_group_code_out_of_range(code, row):
    codes = np.zeros(300, dtype=np.int32)
    codes[row] = code
    with pytest.raises(ValueError, match="code"):
        _sums.crossprod(
            simple_pool(300), 0, 300, positions(0), [(codes, 3, positions(0), positions(1))]
        )


@pytest.mark.parametrize("code", [-1, 3, 2**31 - 1, -(2**31)])
def test_crossprod_refuses_a_code_of_a_cell_out_of_range(code):
    good, codes = np.zeros(300, dtype=np.int32), np.zeros(300, dtype=np.int32)
    codes[270] = code
    for factors in ((codes, good), (good, codes)):
        with pytest.raises(ValueError, match="code"):
            _sums.crossprod(
                simple_pool(300),
                0,
                300,
                positions(0),
                [(factors, (3, 3), positions(0), positions(1))],
            )


def test_crossprod_refuses_factors_that_make_no_cells():
    pool, codes = simple_pool(10), np.zeros(10, dtype=np.int32)
    for factors, n_levels in (((), ()), ((codes, codes), (3,)), ((codes, codes), (2**16, 2**15))):
        with pytest.raises(ValueError, match="factors"):
            _sums.crossprod(
                pool, 0, 10, positions(0), [(factors, n_levels, positions(0), positions(1))]
            )
    with pytest.raises(ValueError, match="length"):
        _sums.crossprod(
            pool, 0, 10, positions(0), [((codes, codes[:9]), (3, 3), positions(0), positions(1))]
        )


def test_crossprod_refuses_what_does_not_fit():
    pool, codes = simple_pool(10), np.zeros(10, dtype=np.int32)
    for first, last in ((-1, 5), (0, 11), (6, 5)):
        with pytest.raises(ValueError, match="rows"):
            _sums.crossprod(pool, first, last, positions(0), [])
    for gram in (positions(2), positions(-1)):
        with pytest.raises(IndexError):
            _sums.crossprod(pool, 0, 10, gram, [])
    for left, right in (
        (positions(2), positions(0)),
        (positions(0), positions(-1)),
        (positions(), positions(0)),
    ):
        with pytest.raises(IndexError):
            _sums.crossprod(pool, 0, 10, positions(0), [(codes, 1, left, right)])
    with pytest.raises(ValueError, match="length"):
        _sums.crossprod(pool, 0, 10, positions(0), [(codes[:9], 1, positions(0), positions(1))])
    with pytest.raises(ValueError, match=r"dtype|mismatch"):
        _sums.crossprod(
            pool, 0, 10, positions(0), [(codes.astype(np.int64), 1, positions(0), positions(1))]
        )


@given(
    ROWS,
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([1, 4, 5000]),
    st.sampled_from([1, 5, 2**23]),
    SEEDS,
)
def test_pairs(n, k_left, k_right, n_left, n_right, seed):
    rng = np.random.default_rng(seed)
    columns = [((a_factor(rng, n, "f8", 1),), 0.1, 0.5) for _ in range(k_left + k_right)]
    left, right = (
        rng.integers(0, n_left, n, dtype=np.int32),
        rng.integers(0, n_right, n, dtype=np.int32),
    )
    if seed % 3 == 0:  # in order already, as nested data often are
        left.sort()
        right = (left // 3 % n_right).astype(np.int32)
    weights = np.sqrt(rng.uniform(0.5, 2.0, n))
    arguments = (left, n_left, right, n_right)
    indptr, indices, data = _sums.pair_products(
        *arguments, _sums.ColumnPool(columns, n, weights), k_left, k_right
    )
    expected = _reference.pair_products(
        *arguments, _reference.ColumnPool(columns, n, weights), k_left, k_right
    )
    np.testing.assert_array_equal(indptr, expected[0])
    np.testing.assert_array_equal(indices, expected[1])
    close(data, expected[2])


@pytest.mark.parametrize("code", [-1, 3, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("side", ["left", "right"])
def test_pairs_refuse_a_code_out_of_range(code, side):
    codes = {"left": np.zeros(200, dtype=np.int32), "right": np.zeros(200, dtype=np.int32)}
    codes[side][150] = code
    with pytest.raises(ValueError, match="code"):
        _sums.pair_products(codes["left"], 3, codes["right"], 3, simple_pool(200), 1, 1)


def test_pairs_refuse_what_does_not_fit():
    codes = np.zeros(10, dtype=np.int32)
    with pytest.raises(ValueError, match="lengths"):
        _sums.pair_products(codes, 1, codes[:9], 1, simple_pool(10), 1, 1)
    with pytest.raises(ValueError, match="lengths"):
        _sums.pair_products(codes, 1, codes, 1, simple_pool(9), 1, 1)
    with pytest.raises(ValueError, match="pool"):
        _sums.pair_products(codes, 1, codes, 1, simple_pool(10), 2, 1)
