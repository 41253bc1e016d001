"""Every kernel against its NumPy twin, and what a kernel must refuse."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import reference_kernels as _reference
from helpers.borders import a_border
from hypothesis import given
from hypothesis import strategies as st

from mixedfast.covariance import _theta
from mixedfast.crossprod import _sums
from mixedfast.data import _codes
from mixedfast.design.columns import ColumnFactor
from mixedfast.engines import _border, _cooccurrence, _levels

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


# -- what a column holds ---------------------------------------------------------------------------------


@given(
    st.sampled_from(["f8", "f4"]),
    st.sampled_from([0, 1, 7, 4095, 4096, 4097, 9000]),
    st.sampled_from([1, 3, -2]),
    SEEDS,
)
def test_all_finite(kind, n, stride, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(scale=1e30, size=n * abs(stride)).astype(kind)[::stride]
    if n and seed % 2:
        values[rng.integers(n)] = rng.choice([np.nan, np.inf, -np.inf, -np.nan, np.finfo(kind).max])
    values.flags.writeable = False
    assert _codes.all_finite(values) is _reference.all_finite(values)


@given(st.sampled_from(NUMERIC[2:7]), ROWS, st.sampled_from([1, 3, -2]), SEEDS)
def test_number(kind, n, stride, seed):
    rng = np.random.default_rng(seed)
    least = 0 if kind == "u1" else -60
    values = rng.integers(least, least + 120, n * abs(stride)).astype(kind)[::stride]
    if seed % 3 == 0:
        values[...] = values % 4
    values.flags.writeable = False
    low, size = int(rng.integers(-70, 20)), int(rng.integers(0, 130))
    for ours, theirs in zip(
        _codes.factorize_integers(values, low, size),
        _reference.factorize_integers(values, low, size),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(
        _codes.unique_integers(values, low, size),
        _reference.unique_integers(values, low, size),
        strict=True,
    )


def test_number_at_the_ends_of_the_integers():
    ends = np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max, 0])
    for low in [*ends.tolist()[:1], np.iinfo(np.int64).max - 1]:
        for ours, theirs in zip(
            _codes.factorize_integers(ends, low, 2),
            _reference.factorize_integers(ends, low, 2),
            strict=True,
        ):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(
            _codes.unique_integers(ends, low, 2), _reference.unique_integers(ends, low, 2)
        )


def test_scans_refuse_what_they_cannot_read():
    for values in (
        np.zeros((2, 2)),
        np.zeros(3, dtype=np.int64),
        np.zeros(3, dtype=">f8"),
        np.zeros(3, dtype=complex),
    ):
        with pytest.raises(TypeError, match="all_finite"):
            _codes.all_finite(values)
    for values in (
        np.zeros(3),
        np.zeros((2, 2), dtype=np.int64),
        np.zeros(3, dtype=">i8"),
        np.zeros(3, dtype="u8"),
    ):
        for scan in (_codes.factorize_integers, _codes.unique_integers):
            with pytest.raises(TypeError, match="number"):
                scan(values, 0, 3)
    for size in (-1, 2**31):
        for scan in (_codes.factorize_integers, _codes.unique_integers):
            with pytest.raises(ValueError, match="range"):
                scan(np.zeros(3, dtype=np.int32), 0, size)


# -- columns ---------------------------------------------------------------------------------------------


def a_factor(rng, n, kind, stride):
    """A read-only factor of a kind, its rows `stride` apart in memory (backwards when negative)."""
    length = n * abs(stride)
    if kind == "coded":
        values, table = rng.integers(0, 4, length, dtype=np.int32), rng.normal(size=4)
    else:
        wide = rng.normal(size=length) if kind.startswith("f") else rng.integers(0, 2, length)
        values, table = wide.astype(kind), None
    values = values[::stride]
    values.flags.writeable = False
    return ColumnFactor(values, table)


@st.composite
def pools(draw):
    """The same pool for the kernels and for the twins."""
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


# -- cross-products --------------------------------------------------------------------------------------


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
    """Some distinct pairs of levels as indptr and indices."""
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


def test_pairs_refuse_what_does_not_fit():
    codes = np.zeros(10, dtype=np.int32)
    with pytest.raises(ValueError, match="lengths"):
        _sums.pair_products(codes, 1, codes[:9], 1, simple_pool(10), 1, 1)
    with pytest.raises(ValueError, match="lengths"):
        _sums.pair_products(codes, 1, codes, 1, simple_pool(9), 1, 1)
    with pytest.raises(ValueError, match="pool"):
        _sums.pair_products(codes, 1, codes, 1, simple_pool(10), 2, 1)


# -- one grouping factor ---------------------------------------------------------------------------------


@st.composite
def levels(draw):
    """A (J,k,k) of positive semidefinite blocks, some of deficient rank, and a lambda that may be singular."""
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


# -- several grouping factors ----------------------------------------------------------------------------


@st.composite
def borders(draw):
    rng = np.random.default_rng(draw(SEEDS))
    widths = draw(st.sampled_from([(1,), (2,), (1, 3), (2, 1, 4)]))
    J = draw(st.sampled_from([1, 2, 12]))
    return a_border(
        rng, draw(st.integers(1, 4)), draw(st.integers(1, 4)), widths, J, draw(st.booleans())
    ), rng


@given(borders(), st.sampled_from([1, 3]))
def test_border(made, r):
    case, rng = made
    fast, twin = _border.Border(*case.arguments), _reference.Border(*case.arguments)
    assert (fast.m, fast.n_components) == (twin.m, twin.n_components)
    logdet, failed = fast.factor(case.T, case.lambdas)
    expected, twin_failed = twin.factor(case.T, case.lambdas)
    assert failed == twin_failed == 0
    close(logdet, expected, SOLVED)

    U, rest = rng.normal(size=(case.J, case.k, r)), rng.normal(size=(case.m, r))
    expected = rest.copy()
    fast.eliminate(U, rest)
    twin.eliminate(U, expected)
    close(rest, expected)
    close(fast.forward_solve(rest), twin.forward_solve(rest), SOLVED)
    close(fast.solve(rest), twin.solve(rest), SOLVED)

    ours, theirs = np.empty(case.blocks), np.empty(case.blocks)
    fast.invert(ours)
    twin.invert(theirs)
    close(ours, theirs, SOLVED)
    back = rng.normal(size=len(case.lambdas))
    fast.blocks_k(back, ours)
    twin.blocks_k(back, theirs)
    close(ours, theirs, SOLVED)
    close(fast.blocks_q(), twin.blocks_q(), SOLVED)
    wanted = (rng.random(case.n_levels) < 0.7).astype(np.uint8)
    ours, theirs = np.zeros(case.blocks), np.zeros(case.blocks)
    fast.blocks_k_singular(wanted, ours)
    twin.blocks_k_singular(wanted, theirs)
    close(ours, theirs, SOLVED)

    X = np.asfortranarray(rng.normal(size=(case.m, r)))
    for upper in (True, False, True):  # the upper half is put back as it was
        close(fast.multiply(X, upper), twin.multiply(X, upper), SOLVED)
    B, W = rng.normal(size=(case.J, case.k, r)), rng.normal(size=(case.m, r))
    close(fast.back_substitute(B, W), twin.back_substitute(B, W))
    H = fast.project(case.A, case.T)
    close(H, twin.project(case.A, case.T))
    U, v = _reference.levels_multiply(case.T, B), rng.normal(size=(case.J, case.k))
    own = int(rng.integers(0, 4))
    F = rng.normal(size=(case.m, own + case.k**2 + int(rng.integers(0, 3))))
    F[:, own : own + case.k**2] = 0.0  # the eliminated factor's columns
    for part, expected in zip(
        fast.cross(case.A, case.T, B, U, v, F, own),
        twin.cross(case.A, case.T, B, U, v, F, own),
        strict=True,
    ):
        close(part, expected)
    K = rng.normal(size=(case.J, case.k, case.k))
    expected = K.copy()
    fast.subtract_k(H, K)
    twin.subtract_k(H, expected)
    close(K, expected, SOLVED)


def test_a_border_can_be_factored_again_and_again():
    case = a_border(np.random.default_rng(3), 2, 3, (2, 1), 9, False)
    fast = _border.Border(*case.arguments)
    once = fast.factor(case.T, case.lambdas)
    fast.invert(np.empty(case.blocks))
    assert fast.factor(case.T, 0.1 * case.lambdas) != once
    assert fast.factor(case.T, case.lambdas) == once


def test_a_border_takes_other_values():
    case, other = (a_border(np.random.default_rng(8), 2, 3, (2, 1), 9, False) for _ in range(2))
    rng = np.random.default_rng(9)
    vals, base = rng.normal(size=case.arguments[2].shape), 1.1 * case.arguments[-1]
    used = _border.Border(*case.arguments)
    used.factor(case.T, case.lambdas)
    used.invert(np.empty(case.blocks))
    used.take(0.1 * vals, base)
    arguments = (*other.arguments[:2], 0.1 * vals, *other.arguments[3:-1], base)
    new, twin = _border.Border(*arguments), _reference.Border(*case.arguments)
    twin.take(0.1 * vals, base)
    assert used.factor(case.T, case.lambdas) == new.factor(case.T, case.lambdas)
    close(used.factor(case.T, case.lambdas)[0], twin.factor(case.T, case.lambdas)[0], SOLVED)
    rows = rng.normal(size=(case.m, 2))
    assert np.array_equal(used.solve(rows), new.solve(rows))
    close(used.solve(rows), twin.solve(rows), SOLVED)


def test_the_component_that_is_not_positive_definite_is_named():
    case = a_border(np.random.default_rng(4), 1, 3, (1,), 6, False)
    sizes = np.diff(case.arguments[4])
    base = case.arguments[-1].copy()
    base[
        int((sizes[:1] * (sizes[:1] + 1) // 2).sum())
    ] = -1e6  # the first entry of the second component
    fast = _border.Border(*case.arguments[:-1], base)
    logdet, failed = fast.factor(case.T, np.ones_like(case.lambdas))
    assert np.isnan(logdet)
    assert failed == 2
    assert (
        _reference.Border(*case.arguments[:-1], base).factor(case.T, np.ones_like(case.lambdas))[1]
        == 2
    )


def test_zero_lambda_leaves_the_remainder_unscaled():
    case = a_border(np.random.default_rng(6), 2, 2, (2,), 5, False)
    fast, twin = _border.Border(*case.arguments), _reference.Border(*case.arguments)
    zero = np.zeros_like(case.lambdas)
    assert fast.factor(case.T, zero) == (0.0, 0)
    twin.factor(case.T, zero)
    blocks = np.empty(case.blocks)
    fast.invert(blocks)
    twin.invert(np.empty(case.blocks))
    close(fast.blocks_q(), np.zeros(case.blocks))
    every = np.ones(case.n_levels, dtype=np.uint8)
    ours, theirs = np.zeros(case.blocks), np.zeros(case.blocks)
    fast.blocks_k_singular(every, ours)
    twin.blocks_k_singular(every, theirs)
    close(ours, theirs)


def a_solved_border():
    case = a_border(np.random.default_rng(7), 2, 2, (2,), 5, False)
    fast = _border.Border(*case.arguments)
    fast.factor(case.T, case.lambdas)
    return case, fast


def wrong_calls(case, fast):
    """Calls of Border with one argument of the wrong shape."""
    zeros, J, k, m = np.zeros, case.J, case.k, case.m
    one, two = zeros((J, k, 1)), zeros((J, k, 2))
    return {
        "cross U": lambda: fast.cross(
            case.A, case.T, two, one, zeros((J, k)), zeros((m, k * k)), 0
        ),
        "cross v": lambda: fast.cross(
            case.A, case.T, one, one, zeros((J + 1, k)), zeros((m, k * k)), 0
        ),
        "cross own": lambda: fast.cross(
            case.A, case.T, one, one, zeros((J, k)), zeros((m, k * k)), 1
        ),
        "eliminate U": lambda: fast.eliminate(zeros((J + 1, k, 1)), zeros((m, 1))),
        "eliminate rest": lambda: fast.eliminate(zeros((J, k, 1)), zeros((m - 1, 1))),
        "eliminate width": lambda: fast.eliminate(zeros((J, k, 2)), zeros((m, 1))),
        "forward_solve": lambda: fast.forward_solve(zeros((m - 1, 1))),
        "forward_solve order": lambda: fast.forward_solve(zeros((m, 2), order="F")),
        "solve": lambda: fast.solve(zeros((m - 1, 1))),
        "blocks_k back": lambda: fast.blocks_k(case.lambdas[:-1].copy(), zeros(case.blocks)),
        "blocks_k blocks": lambda: fast.blocks_k(case.lambdas, zeros(case.blocks - 1)),
        "invert": lambda: fast.invert(zeros(case.blocks - 1)),
        "multiply": lambda: fast.multiply(zeros((m + 1, 1), order="F"), True),
        "back_substitute B": lambda: fast.back_substitute(zeros((J - 1, k, 1)), zeros((m, 1))),
        "back_substitute W": lambda: fast.back_substitute(zeros((J, k, 1)), zeros((m, 2))),
        "factor T": lambda: fast.factor(zeros((J - 1, k, k)), case.lambdas),
        "take vals": lambda: fast.take(zeros((1, k)), case.arguments[-1]),
        "take k": lambda: fast.take(case.arguments[2][:, 1:].copy(), case.arguments[-1]),
        "take base": lambda: fast.take(case.arguments[2], zeros(1)),
        "factor lambdas": lambda: fast.factor(case.T, case.lambdas[:-1].copy()),
        "eliminate k": lambda: fast.eliminate(zeros((J, k - 1, 1)), zeros((m, 1))),
        "back_substitute k": lambda: fast.back_substitute(zeros((J, k - 1, 1)), zeros((m, 1))),
        "project A": lambda: fast.project(zeros((J - 1, k, k)), case.T),
        "project T": lambda: fast.project(case.A, zeros((J, k - 1, k - 1))),
        "subtract_k H": lambda: fast.subtract_k(zeros((1, k)), zeros((J, k, k))),
        "subtract_k K": lambda: fast.subtract_k(fast.project(case.A, case.T), zeros((J - 1, k, k))),
        "blocks_k_singular wanted": lambda: fast.blocks_k_singular(
            zeros(1, np.uint8), zeros(case.blocks)
        ),
        "blocks_k_singular blocks": lambda: fast.blocks_k_singular(
            zeros(case.n_levels, np.uint8), zeros(1)
        ),
    }


@pytest.mark.parametrize("call", list(wrong_calls(*a_solved_border())))
def test_border_refuses_what_does_not_fit(call):
    with pytest.raises(ValueError, match=call.split()[0] + "|contiguous"):
        wrong_calls(*a_solved_border())[call]()


BORDER_ARGUMENTS = (
    "ptr",
    "cols",
    "vals",
    "component",
    "start",
    "level_start",
    "first",
    "k_level",
    "lambda_at",
    "base_at",
    "base",
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ptr", 10**6),
        ("ptr", -1),
        ("cols", -1),
        ("cols", 10**6),
        ("component", -1),
        ("component", 2),
        ("start", 10**6),
        ("level_start", 10**6),
        ("first", 10**6),
        ("k_level", 65),
        ("base_at", -1),
        ("base_at", 10**6),
        ("lambda_at", -1),
    ],
)
def test_border_refuses_an_index_out_of_range(name, value):
    case, _ = a_solved_border()
    arguments = dict(zip(BORDER_ARGUMENTS, (a.copy() for a in case.arguments), strict=True))
    arguments[name][-1] = value
    with pytest.raises((ValueError, IndexError), match=name):
        _border.Border(*arguments.values())


@pytest.mark.parametrize("name", ["cols", "component", "first", "k_level", "lambda_at", "base_at"])
def test_border_refuses_arrays_that_do_not_belong_together(name):
    case, _ = a_solved_border()
    arguments = dict(zip(BORDER_ARGUMENTS, case.arguments, strict=True))
    arguments[name] = arguments[name][:-1].copy()
    with pytest.raises((ValueError, IndexError), match=name):
        _border.Border(*arguments.values())


# -- one theta -------------------------------------------------------------------------------------------


def positive(rng, n):
    own = rng.normal(size=(n + 3, n))
    return own.T @ own


@given(st.sampled_from([1, 2, 3, 8]), SEEDS)
def test_solved(n, seed):
    S = positive(np.random.default_rng(seed), n)
    for ours, theirs in zip(
        _theta.solve_normal_equations(S), _reference.solve_normal_equations(S), strict=True
    ):
        close(ours, theirs, SOLVED)
    S[-1, -1] = -1.0
    assert _theta.solve_normal_equations(S) is None
    assert _reference.solve_normal_equations(S) is None
    S[-1, -1] = np.nan
    assert _theta.solve_normal_equations(S) is None


@given(st.sampled_from([1, 2, 3, 6]), st.sampled_from([1e-9, 0.3]), st.booleans(), SEEDS)
def test_newton_step(m, floor, definite, seed):
    rng = np.random.default_rng(seed)
    hessian = positive(rng, m)
    if not definite:
        hessian[0, 0] = -2.0
    gradient = rng.normal(size=m)
    step, promised = _theta.newton_step(gradient, hessian, floor)
    expected, expected_promise = _reference.newton_step(gradient, hessian, floor)
    close(step, expected, SOLVED)
    close(promised, expected_promise, SOLVED)


@given(st.integers(1, 6), SEEDS)
def test_lower_inverse(k, seed):
    rng = np.random.default_rng(seed)
    L = np.tril(rng.normal(size=(k, k)), -1) + np.diag(
        rng.choice([-1.0, 1.0], k) * rng.uniform(0.5, 2.0, k)
    )
    close(_theta.lower_inverse(L), _reference.lower_inverse(L), SOLVED)


@given(st.sampled_from([1, 2, 3]), st.sampled_from([1, 2, 3]), st.sampled_from([1, 4]), SEEDS)
def test_derivatives_in_theta(K_g, K_h, N, seed):
    rng = np.random.default_rng(seed)
    lambdas = [np.tril(rng.normal(size=(N, K, K))) for K in (K_g, K_h)]
    elements = [np.array(np.tril_indices(K), dtype=np.int64) for K in (K_g, K_h)]
    order, count = (
        rng.permutation(elements[0].shape[1] + elements[1].shape[1]),
        elements[0].shape[1],
    )
    places = [
        np.vstack([at, own])
        for at, own in zip((order[:count], order[count:]), elements, strict=True)
    ]
    G = [block + block.swapaxes(1, 2) for block in (rng.normal(size=(N, K, K)) for K in (K_g, K_h))]
    gradients = [np.empty((N, len(order))) for _ in range(2)]
    hessians = [np.empty((N, len(order), len(order))) for _ in range(2)]
    for module, gradient in zip((_theta, _reference), gradients, strict=True):
        for g in (0, 1):
            module.theta_gradient(lambdas[g], G[g], places[g], gradient)
    for g, h in ((0, 0), (0, 1), (1, 1)):
        H = rng.normal(size=(N, *lambdas[g].shape[1:], *lambdas[h].shape[1:]))
        H = H + H.transpose(0, 3, 4, 1, 2) if g == h else H
        for module, hessian in zip((_theta, _reference), hessians, strict=True):
            bend = G[g] if g == h else None
            module.theta_hessian(lambdas[g], lambdas[h], H, bend, places[g], places[h], hessian)
    close(*gradients)
    close(*hessians)


@given(st.sampled_from([1, 2, 3]), st.sampled_from([1, 2, 3]), st.booleans(), SEEDS)
def test_second_derivative(K_g, K_h, exact, seed):
    rng = np.random.default_rng(seed)
    shape = (K_g, K_g, K_h, K_h)
    Q, traces = rng.normal(size=shape), rng.normal(size=shape) if exact else None
    vv = [np.outer(v, v) for v in (rng.normal(size=K_g), rng.normal(size=K_h))]
    found = _theta.second_derivative(Q, *vv, traces, 17.0, 3.0)
    close(found, _reference.second_derivative(Q, *vv, traces, 17.0, 3.0))


def test_one_theta_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="solve_normal_equations"):
        _theta.solve_normal_equations(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="lower_inverse"):
        _theta.lower_inverse(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="newton_step"):
        _theta.newton_step(np.zeros(2), np.zeros((2, 3)), 1e-9)
    for hessian in (np.array([[np.nan]]), np.array([[np.inf]])):
        with pytest.raises(np.linalg.LinAlgError, match="finite"):
            _theta.newton_step(np.zeros(1), hessian, 1e-9)
    lam, H, places = (
        np.zeros((1, 2, 2)),
        np.zeros((1, 2, 2, 2, 2)),
        np.array([[0, 1], [0, 1], [0, 0]]),
    )
    row, square = np.empty((1, 2)), np.empty((1, 2, 2))
    with pytest.raises(ValueError, match="theta_gradient"):
        _theta.theta_gradient(lam, np.zeros((2, 2, 2)), places, row)
    with pytest.raises(ValueError, match="theta_hessian"):
        _theta.theta_hessian(lam, np.zeros((2, 2, 2)), H, None, places, places, square)
    with pytest.raises(ValueError, match="theta_hessian: G"):
        _theta.theta_hessian(lam, lam, H, np.zeros((1, 1, 1)), places, places, square)
    for wrong in (places + 1, -places, places[:2].copy()):
        with pytest.raises(IndexError, match="theta_gradient"):
            _theta.theta_gradient(lam, lam, wrong, row)
        with pytest.raises(IndexError, match="theta_hessian"):
            _theta.theta_hessian(lam, lam, H, None, places, wrong, square)
    for blocks, traces in ((np.zeros((2, 2, 1, 1)), None), (H[0], np.zeros((2, 2, 1, 1)))):
        with pytest.raises(ValueError, match="second_derivative"):
            _theta.second_derivative(blocks, lam[0], lam[0], traces, 1.0, 1.0)
