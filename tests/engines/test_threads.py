"""Dense factors and inverses shared among threads, and who else sees that BLAS works on one."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from helpers.blas import blas_threads
from helpers.kernels import a_border
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfast.engines import _blocked_cholesky, _border, threads
from mixedfast.engines.dense_cholesky import DenseWorkers
from mixedfast.engines.threads import Workers, on_one_blas_thread, one_blas_thread

#: Condition numbers up to some hundreds: a backward stable method keeps all but three digits.
STABLE = 1e-11


def a_matrix(n, seed):
    root = np.random.default_rng(seed).normal(size=(n, n + 5))
    return root @ root.T / n + np.eye(n)


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([1, 2, 127, 128, 129, 300, 600]), st.integers(1, 3), st.integers(0, 2**32 - 1)
)
def test_factor_and_inverse(n, count, seed):
    M, before = a_matrix(n, seed), 3
    a = np.concatenate(
        [np.full(before, 7.0), np.tril(M).ravel(order="F"), [7.0]]
    )  # nothing above the diagonal is read
    workers = DenseWorkers(count)
    square = a[before:-1].reshape(n, n, order="F")
    assert workers.factor(a, before, n) == 0
    np.testing.assert_allclose(np.tril(square), np.linalg.cholesky(M), rtol=0, atol=STABLE)
    assert workers.invert(a, before, n) == 0
    np.testing.assert_allclose(np.tril(square), np.tril(np.linalg.inv(M)), rtol=0, atol=STABLE)
    assert np.all(np.triu(square, 1) == 0)
    assert a[:before].tolist() == [7.0] * before
    assert a[-1] == 7.0


@pytest.mark.parametrize("column", [0, 1, 200, 299])
def test_the_column_that_is_not_positive_is_named(column):
    M = a_matrix(300, 1)
    M[column, column] = -1.0
    assert DenseWorkers(2).factor(M.ravel(order="F"), 0, 300) == column + 1


def test_a_factor_with_a_zero_on_its_diagonal_has_no_inverse():
    L = np.tril(a_matrix(300, 2))
    L[150, 150] = 0.0
    assert DenseWorkers(2).invert(L.ravel(order="F"), 0, 300) == 151


def test_one_worker_or_three():
    M = a_matrix(700, 3)
    results = []
    for count in (1, 3):
        a = M.ravel(order="F")
        DenseWorkers(count).factor(a, 0, 700)
        results.append(np.tril(a.reshape(700, 700, order="F")))
    np.testing.assert_allclose(results[0], results[1], rtol=0, atol=STABLE)


def test_parts_outside_the_square_are_refused():
    a = np.zeros(16)
    for arguments in [(a, 1, 4, 0, 1), (a, 0, 4, 3, 2), (a, -1, 3, 0, 1), (a, 0, 4, -1, 1)]:
        with pytest.raises(ValueError, match="outside"):
            _blocked_cholesky.factor_block(*arguments)
    with pytest.raises(ValueError, match="outside"):
        _blocked_cholesky.factor_panel(a, 0, 4, 0, 1, 2, 5)


def test_a_border_with_workers_is_the_border_without():
    case = a_border(np.random.default_rng(11), 2, 6, (2, 1), 40, False)
    alone, shared = _border.Border(*case.arguments), _border.Border(*case.arguments)
    workers = DenseWorkers(3)
    assert 0 < len(shared.large_components((4, workers.factor))) < shared.n_components
    np.testing.assert_allclose(
        shared.factor(case.T, case.lambdas, workers.share_evenly, (4, workers.factor)),
        alone.factor(case.T, case.lambdas),
        rtol=STABLE,
    )
    blocks, expected = np.empty(case.blocks), np.empty(case.blocks)
    shared.invert(blocks, workers.share_evenly, (4, workers.invert))
    alone.invert(expected)
    np.testing.assert_allclose(blocks, expected, rtol=0, atol=STABLE)
    np.testing.assert_allclose(shared.blocks_q(), alone.blocks_q(), rtol=0, atol=STABLE)
    H = alone.project(case.A, case.T)
    K, left = np.zeros((case.J, case.k, case.k)), np.zeros((case.J, case.k, case.k))
    shared.subtract_k(H, K, workers.share_evenly)
    alone.subtract_k(H, left)
    np.testing.assert_allclose(K, left, rtol=0, atol=STABLE * max(1.0, np.abs(left).max()))


def test_an_error_in_one_part_is_raised_after_all_have_ended():
    ended = []

    def work(first, last):
        if first == 0:
            raise ArithmeticError("the first part")
        ended.append((first, last))

    with pytest.raises(ArithmeticError, match="the first part"):
        Workers(3).share(work, [0, 1, 2, 3])
    assert sorted(ended) == [(1, 2), (2, 3)]


def in_a_thread(work):
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_the_setting_comes_back():
    before = blas_threads()
    with one_blas_thread():
        assert set(blas_threads()) == {1}
        with one_blas_thread():
            assert set(blas_threads()) == {1}
        assert set(blas_threads()) == {1}  # the inner one does not end the outer one's
    assert blas_threads() == before
    with pytest.raises(KeyboardInterrupt), one_blas_thread():
        raise KeyboardInterrupt
    assert blas_threads() == before


def test_a_function_inside_takes_its_caller_s_stay_or_its_own():
    before = blas_threads()

    @on_one_blas_thread
    def work(inner=None):
        return set(blas_threads()) | (inner() if inner else set())

    assert work() == {1}
    assert blas_threads() == before
    assert work(inner=work) == {1}
    assert blas_threads() == before
    with one_blas_thread():
        assert work() == {1} == in_a_thread(work)  # another thread's stay is its own
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


def test_every_thread_can_have_it_in_turn():
    before = blas_threads()

    def inside():
        with one_blas_thread():
            return blas_threads()

    for _ in range(3):
        assert set(inside()) == {1}
        assert set(in_a_thread(inside)) == {1}
    assert blas_threads() == before


def test_the_setting_comes_back_when_the_last_has_left():
    before = blas_threads()
    entered, leave = threading.Event(), threading.Event()

    def second():
        with one_blas_thread():
            entered.set()
            leave.wait()

    thread = threading.Thread(target=second)
    try:
        with one_blas_thread():
            thread.start()
            entered.wait()
        assert set(blas_threads()) == {1}  # the other's bits must not depend on when we leave
    finally:
        leave.set()
        thread.join()
    assert blas_threads() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_has_threads_of_its_own():
    workers, M = DenseWorkers(2), a_matrix(600, 5)
    a = M.ravel(order="F")
    assert workers.factor(a.copy(), 0, 600) == 0
    child = os.fork()
    if child == 0:  # leave at once: the parent's tests are none of ours
        with one_blas_thread():
            os._exit(workers.factor(a, 0, 600) + 10 * (set(blas_threads()) != {1}))
    assert os.waitpid(child, 0)[1] == 0


def test_small_work_leaves_the_setting_alone_and_other_work_does_not():
    seen = []

    @threads.on_one_blas_thread
    def step():
        seen.append([library.num_threads for library in threads._blas()])

    @threads.on_one_blas_thread_unless(lambda small: small)
    def work(small):
        step()
        return threads._setting.is_used_here()

    before = [library.num_threads for library in threads._blas()]
    assert work(True)
    assert work(False)
    assert not threads._setting.is_used_here()
    assert seen == [before, [1] * len(before)]
