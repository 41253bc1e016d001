"""The CHOLMOD door against dense NumPy, and against scikit-sparse where it is installed."""

from __future__ import annotations

import doctest
import multiprocessing
import resource
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

cholmod = pytest.importorskip(
    "mixedfast.engines._cholmod", reason="mixedfast was built without CHOLMOD"
)
Factor = cholmod.Factor

# Matrices here have unit-order entries and condition numbers below about 1e4, so that 1e-10
# leaves two digits or more over what rounding can do.
TIGHT = {"rtol": 1e-10, "atol": 1e-10}
KINDS = ("simplicial", "supernodal") if cholmod.has_supernodal() else ("simplicial",)
needs_supernodal = pytest.mark.skipif(
    not cholmod.has_supernodal(), reason="this CHOLMOD has no supernodal module"
)


def lower_csc(dense):
    """Compressed columns of the lower triangle of a symmetric matrix: nonzeros and the diagonal."""
    n = dense.shape[0]
    keep = np.tril(dense != 0) | np.eye(n, dtype=bool)
    columns, rows = np.nonzero(keep.T)
    indptr = np.concatenate([[0], np.cumsum(keep.sum(axis=0))])
    return indptr, rows, dense[rows, columns]


def positive_definite(mask, rng):
    """Return a diagonally dominant matrix that is zero where the symmetric mask is false."""
    values = np.tril(rng.uniform(-1.0, 1.0, mask.shape) * mask, -1)
    dense = values + values.T
    return dense + np.diag(np.abs(dense).sum(axis=1) + rng.uniform(0.5, 2.0, len(dense)))


def mask_of(shape, n, rng):
    if shape == "diagonal":
        return np.eye(n, dtype=bool)
    if shape == "dense":
        return np.ones((n, n), dtype=bool)
    if shape == "arrow":
        mask = np.eye(n, dtype=bool)
        mask[:, 0] = mask[0, :] = True
        return mask
    if shape == "blocks":
        return np.equal.outer(np.arange(n) // 3, np.arange(n) // 3)
    half = rng.random((n, n)) < 3.0 / n
    return half | half.T


@st.composite
def matrices(draw, largest=40):
    n = draw(st.integers(1, largest))
    shape = draw(st.sampled_from(["diagonal", "dense", "arrow", "blocks", "random"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return positive_definite(mask_of(shape, n, rng), rng)


def factor_of(dense, **options):
    indptr, indices, data = lower_csc(dense)
    factor = Factor(len(dense), indptr, indices, **options)
    assert factor.factorize(data) == 0
    return factor


def dense_L(factor):
    indptr, indices, data = factor.factor_csc()
    L = np.zeros((factor.n, factor.n))
    L[indices, np.repeat(np.arange(factor.n), np.diff(indptr))] = data
    return L


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def example():
    rng = np.random.default_rng(7)
    return positive_definite(mask_of("random", 60, rng), rng)


@settings(max_examples=60, deadline=None)
@given(dense=matrices(), kind=st.sampled_from(KINDS))
def test_factor_logdet_solves_and_inverse_agree_with_numpy(dense, kind):
    n = len(dense)
    factor = factor_of(dense, kind=kind)
    permuted = dense[np.ix_(factor.perm, factor.perm)]
    L = np.linalg.cholesky(permuted)
    B = np.random.default_rng(n).normal(size=(n, 3))
    np.testing.assert_allclose(dense_L(factor), L, **TIGHT)
    np.testing.assert_allclose(factor.logdet(), np.linalg.slogdet(dense)[1], **TIGHT)
    np.testing.assert_allclose(factor.solve(B), np.linalg.solve(dense, B), **TIGHT)
    np.testing.assert_allclose(factor.solve(B, "L"), np.linalg.solve(L, B), **TIGHT)
    np.testing.assert_allclose(factor.solve(B, "Lt"), np.linalg.solve(L.T, B), **TIGHT)
    np.testing.assert_array_equal(factor.solve(B, "P"), B[factor.perm])
    np.testing.assert_array_equal(factor.solve(B[factor.perm], "Pt"), B)
    np.testing.assert_allclose(factor.half_solve(B), np.linalg.solve(L, B[factor.perm]), **TIGHT)
    np.testing.assert_allclose(
        factor.half_solve_t(B)[factor.perm], np.linalg.solve(L.T, B), **TIGHT
    )
    indptr, indices, _ = lower_csc(dense)
    columns = np.repeat(np.arange(n), np.diff(indptr))
    np.testing.assert_allclose(
        factor.selected_inverse(), np.linalg.inv(dense)[indices, columns], **TIGHT
    )


@needs_supernodal
def test_a_supernodal_tree_with_wide_and_narrow_supernodes():
    """Two dense blocks that meet in a dense border: the gather crosses several supernodes."""
    rng = np.random.default_rng(3)
    mask = np.zeros((150, 150), dtype=bool)
    mask[:60, :60] = mask[60:120, 60:120] = mask[120:, :] = mask[:, 120:] = True
    mask[:60:7, 125] = mask[125, :60:7] = False
    dense = positive_definite(mask, rng)
    factor = factor_of(dense, kind="supernodal")
    indptr, indices, _ = lower_csc(dense)
    columns = np.repeat(np.arange(150), np.diff(indptr))
    np.testing.assert_allclose(
        factor.selected_inverse(), np.linalg.inv(dense)[indices, columns], **TIGHT
    )
    np.testing.assert_allclose(factor.logdet(), np.linalg.slogdet(dense)[1], **TIGHT)


@settings(max_examples=30, deadline=None)
@given(dense=matrices(25), kind=st.sampled_from(KINDS), where=st.integers(0, 10**6))
def test_a_matrix_that_is_not_positive_definite_gives_its_column_and_does_no_harm(
    dense, kind, where
):
    indptr, indices, data = lower_csc(dense)
    factor = Factor(len(dense), indptr, indices, kind=kind)
    column = where % len(dense)
    for wrong in (-1.0, 0.0, np.nan):
        spoilt = data.copy()
        spoilt[indptr[column]] = wrong
        assert factor.factorize(spoilt) == column + 1
        with pytest.raises(cholmod.CholmodError, match="factorize"):
            factor.solve(np.ones(len(dense)))
        assert factor.factorize(data) == 0
        np.testing.assert_allclose(factor.solve(dense @ np.ones(len(dense))), 1.0, **TIGHT)


def test_new_values_replace_the_old_ones(example, kind):
    factor = factor_of(example, kind=kind)
    data = lower_csc(example)[2]
    first = factor.logdet(), factor.selected_inverse()
    assert factor.factorize(3.0 * data) == 0
    np.testing.assert_allclose(factor.logdet(), first[0] + 60 * np.log(3.0), **TIGHT)
    np.testing.assert_allclose(factor.selected_inverse(), first[1] / 3.0, **TIGHT)
    assert factor.factorize(data) == 0
    assert factor.logdet() == first[0]


@pytest.mark.parametrize(
    "make",
    [
        np.asfortranarray,
        lambda B: np.repeat(B, 2, axis=1)[:, ::2],
        lambda B: B[::-1].copy()[::-1],
        lambda B: B.tolist(),
    ],
)
def test_a_right_hand_side_may_have_any_strides_and_be_read_only(example, kind, make):
    factor = factor_of(example, kind=kind)
    B = np.random.default_rng(1).normal(size=(60, 4))
    given = make(B)
    if isinstance(given, np.ndarray):
        given.setflags(write=False)
    np.testing.assert_array_equal(factor.solve(given), factor.solve(B))
    np.testing.assert_allclose(factor.solve(B[:, 1]), factor.solve(B)[:, 1], rtol=1e-13, atol=1e-15)
    assert factor.solve(B[:, :0]).shape == (60, 0)


def test_data_may_be_strided_and_read_only(example, kind):
    indptr, indices, data = lower_csc(example)
    factor = Factor(60, indptr, indices, kind=kind)
    strided = np.repeat(data, 3)[::3]
    strided.setflags(write=False)
    assert factor.factorize(strided) == 0
    np.testing.assert_allclose(factor.logdet(), np.linalg.slogdet(example)[1], **TIGHT)


def test_out_is_filled_and_may_be_the_right_hand_side(example, kind):
    factor = factor_of(example, kind=kind)
    B = np.random.default_rng(1).normal(size=(60, 4))
    want = factor.solve(B)
    out = np.empty((60, 4))
    assert factor.solve(B, out=out) is out
    np.testing.assert_array_equal(out, want)
    assert factor.solve(B, out=B) is B
    np.testing.assert_array_equal(B, want)
    values = np.empty(len(lower_csc(example)[2]))
    assert factor.selected_inverse(out=values) is values
    np.testing.assert_array_equal(values, factor.selected_inverse())


def test_the_cheapest_ordering_is_kept():
    rng = np.random.default_rng(5)
    factor = factor_of(
        positive_definite(mask_of("random", 200, rng), rng), orderings=("natural", "amd")
    )
    costs = {c["ordering"]: (c["flops"], c["nnz"]) for c in factor.candidates}
    assert set(costs) == {"natural", "amd"}
    assert factor.ordering == min(costs, key=costs.__getitem__) == "amd"
    assert (factor.flops, factor.nnz_L) == costs["amd"]


def test_nothing_more_is_tried_once_there_is_no_fill():
    rng = np.random.default_rng(0)
    arrow = factor_of(positive_definite(mask_of("arrow", 30, rng), rng))
    assert [c["ordering"] for c in arrow.candidates] == ["amd"]
    assert arrow.nnz_L == 59


@pytest.mark.skipif(not cholmod.has_metis(), reason="this CHOLMOD has no METIS")
def test_metis_is_tried_by_default(example):
    assert [c["ordering"] for c in factor_of(example).candidates] == ["amd", "metis"]


def test_a_given_permutation_has_the_fill_it_must_have():
    rng = np.random.default_rng(0)
    dense = positive_definite(mask_of("arrow", 30, rng), rng)
    assert factor_of(dense, orderings="natural").nnz_L == 30 * 31 // 2  # the point first: full
    last = factor_of(dense, orderings="given", perm=np.arange(30)[::-1])
    assert last.nnz_L == 59
    assert sorted(last.perm) == list(range(30))


def test_kind_auto_goes_by_flops_for_each_nonzero():
    rng = np.random.default_rng(0)
    assert not factor_of(positive_definite(mask_of("arrow", 200, rng), rng)).is_supernodal
    full = factor_of(positive_definite(mask_of("dense", 200, rng), rng))
    assert full.flops / full.nnz_L > cholmod.SUPERNODAL_SWITCH
    assert full.is_supernodal == cholmod.has_supernodal()


@pytest.mark.skipif(cholmod.has_supernodal(), reason="this CHOLMOD has its supernodal module")
def test_a_supernodal_factor_is_refused_where_the_module_is_missing():
    with pytest.raises(cholmod.CholmodError, match="without its supernodal module"):
        factor_of(np.eye(3), kind="supernodal")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, [0], []), "n must be at least 1"),
        ((2, [0, 1], [0, 1]), "n \\+ 1 = 3 elements"),
        ((2, [0, 1, 3], [0, 1]), "run from 0 to len"),
        ((3, [0, 2, 1, 3], [0, 1, 2]), "decreases at column 1"),
        ((2, [0, 1, 2], [0, 5]), "row 5"),
        ((2, [0, 1, 2], [0, -1]), "row -1"),
        ((2, [0, 1, 1], [0]), "column 1 must begin with its diagonal"),
        ((2, [0, 1, 3], [0, 0, 1]), "column 1 must begin with its diagonal"),
        ((3, [0, 3, 4, 5], [0, 2, 1, 1, 2]), "column 0 are not sorted"),
        ((3, [0, 3, 4, 5], [0, 1, 1, 1, 2]), "column 0 are not sorted"),
        ((1, [0.0, 1.0], [0]), "indptr must be a vector of integers"),
        ((1, [0, 1], [[0]]), "indices must be a vector of integers"),
    ],
)
def test_a_wrong_pattern_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Factor(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "dense"}, "kind must be one of"),
        ({"orderings": ("colamd",)}, "orderings must be some of"),
        ({"orderings": ()}, "orderings must be some of"),
        ({"orderings": ("given",)}, "belong together"),
        ({"perm": [0, 1]}, "belong together"),
        ({"orderings": ("given",), "perm": [0, 0]}, "each of 0 .. 1 once"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        Factor(2, [0, 1, 2], [0, 1], **options)


def test_wrong_shapes_are_named(example):
    factor = factor_of(example)
    with pytest.raises(ValueError, match="data must have"):
        factor.factorize(np.ones(3))
    with pytest.raises(ValueError, match="60 rows"):
        factor.solve(np.ones(59))
    with pytest.raises(ValueError, match="out must be"):
        factor.solve(np.ones(60), out=np.ones((60, 1)))
    with pytest.raises(ValueError, match="out must have"):
        factor.selected_inverse(out=np.ones(3))
    with pytest.raises(ValueError, match="system must be"):
        factor.solve(np.ones(60), "D")


def test_nothing_is_read_from_a_factor_that_is_not_there():
    factor = Factor(2, [0, 1, 2], [0, 1])
    for read in (
        factor.logdet,
        factor.factor_csc,
        factor.selected_inverse,
        lambda: factor.solve(np.ones(2)),
    ):
        with pytest.raises(cholmod.CholmodError, match="there is no factor yet"):
            read()


def test_two_factors_work_in_two_threads(example, kind):
    data = lower_csc(example)[2]
    wrong = []

    def work(scale):
        factor = factor_of(example, kind=kind)
        want = np.linalg.solve(scale * example, np.ones(60))
        for _ in range(100):
            factor.factorize(scale * data)
            if not np.allclose(factor.solve(np.ones(60)), want, **TIGHT):
                wrong.append(scale)

    threads = [threading.Thread(target=work, args=(scale,)) for scale in (1.0, 2.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def growth(kind: str) -> int:
    """Return the growth of the peak memory in bytes over many factorizations and factors."""
    rng = np.random.default_rng(0)
    dense = positive_definite(mask_of("dense", 120, rng), rng)
    indptr, indices, data = lower_csc(dense)
    B = rng.normal(size=(120, 5))

    def rounds(count):
        factor = Factor(120, indptr, indices, kind=kind)
        for k in range(count):
            factor.factorize(data)
            factor.solve(B[:, : 1 + k % 5])
            if k % 10 == 0:
                factor.selected_inverse()

    def peak():
        scale = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale

    rounds(50)
    before = peak()
    rounds(2000)
    for _ in range(100):
        rounds(1)
    return peak() - before


@pytest.mark.exhaustive  # `make leaks` counts it over whole fits
@pytest.mark.skipif(sys.platform == "win32", reason="needs getrusage")
def test_memory_is_flat_over_refactorizations_and_over_factors(kind):
    """A right-hand side lost in each round would be 10 MB, a factor lost each time 6 MB.

    In a new process: the peak of this one may lie far above what it uses now.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(growth, (kind,)) < 4 * 2**20


def test_agrees_with_scikit_sparse(example, kind):
    sksparse = pytest.importorskip("sksparse.cholmod")
    from scipy.sparse import csc_matrix

    other = sksparse.cholesky(csc_matrix(example), mode=kind, ordering_method="amd")
    ours = factor_of(example, kind=kind, orderings="amd")
    B = np.random.default_rng(2).normal(size=(60, 3))
    np.testing.assert_allclose(ours.logdet(), other.logdet(), rtol=1e-13)
    np.testing.assert_allclose(ours.solve(B), other.solve_A(B), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(
        np.sort(np.diag(dense_L(ours))), np.sort(np.diag(other.L().toarray())), rtol=1e-12
    )
    # The orderings may differ by a postorder, so L is compared in theirs.
    same = factor_of(example, kind=kind, orderings="given", perm=other.P())
    if np.array_equal(same.perm, other.P()):
        np.testing.assert_allclose(dense_L(same), other.L().toarray(), rtol=1e-12, atol=1e-14)


def test_the_example_in_the_docstring_runs():
    finder = doctest.DocTestFinder().find(Factor, "Factor", module=False, globs={})
    runner = doctest.DocTestRunner()
    results = [runner.run(test) for test in finder]
    assert sum(r.attempted for r in results) > 3
    assert sum(r.failed for r in results) == 0


def test_version_is_three_numbers():
    assert len([int(part) for part in cholmod.version().split(".")]) == 3
