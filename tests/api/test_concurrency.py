"""Fits from many threads and processes at once, in forked children, and interrupted ones."""

from __future__ import annotations

import ctypes
import hashlib
import multiprocessing
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from helpers.blas import blas_threads

import mixedfast as mf
from mixedfast.engines import threads
from mixedfast.engines.threads import Workers, one_blas_thread

# catch_warnings inside a thread would change the filters of the others
pytestmark = pytest.mark.filterwarnings("ignore::mixedfast.SingularFitWarning")

#: The promise for another number of threads: sums over rows in another order.
OTHER_THREADS = 1e-10


def a_table(n=40_000, seed=0):
    """Return a table with two crossed factors.

    The second has enough levels for a dense remainder that is shared among threads.
    """
    rng = np.random.default_rng(seed)
    g, h, x = rng.integers(0, 900, n), rng.integers(0, 600, n), rng.normal(size=n)
    y = 1.0 + x + rng.normal(size=900)[g] + rng.normal(size=600)[h] + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "g": g, "h": h, "s": rng.integers(0, 40, n).astype(str)})


MODELS = [
    ("y ~ x + (1 | g)", "block"),
    ("y ~ x + (x | s)", "block"),
    ("y ~ x + (1 | g) + (1 | h)", "block"),
    ("y ~ poly(x, 2) + (1 | s) + (1 | h)", "cholmod"),
]


def bits(table, formula, engine, threads=None):
    """Return a digest of all numbers of a fit, to the last bit."""
    m = mf.lmer(formula, table, engine=engine, threads=threads)
    parts = (m.theta, m.params, m.bse, m.ranef()[next(iter(m.n_groups))], [m.criterion, m.sigma])
    return hashlib.sha256(
        b"".join(np.ascontiguousarray(part, dtype=float).tobytes() for part in parts)
    ).hexdigest()


def all_bits(seed):
    table = a_table(seed=seed)
    return [bits(table, *model) for model in MODELS]


@pytest.fixture(scope="module")
def alone():
    return all_bits(0)


def test_the_same_bits_from_eight_threads_at_once(alone):
    table = a_table()
    jobs = [model for model in MODELS for _ in range(4)]
    random.Random(1).shuffle(jobs)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda model: bits(table, *model), jobs))
    expected = dict(zip(MODELS, alone, strict=True))
    assert found == [expected[model] for model in jobs]


def test_the_same_bits_again(alone):
    assert all_bits(0) == alone


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(m, marks=pytest.mark.exhaustive if m == "spawn" else ())
        for m in ("fork", "spawn")
        if m in multiprocessing.get_all_start_methods()
    ],
)
def test_the_same_bits_from_processes(method, alone):
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map_async(all_bits, [0, 0]).get(timeout=120) == [alone, alone]


def test_other_numbers_of_threads():
    table = a_table()
    for formula, engine in (MODELS[0], *MODELS[2:]):
        one, *others = [
            mf.lmer(formula, table, engine=engine, threads=threads) for threads in (1, 2, 3, 7)
        ]
        for other in others:
            assert other.criterion == pytest.approx(one.criterion, rel=OTHER_THREADS)
            assert other.params.to_numpy() == pytest.approx(
                one.params.to_numpy(), rel=OTHER_THREADS, abs=OTHER_THREADS
            )


def test_one_result_used_from_many_threads():
    m = mf.lmer("y ~ x + (1 | h)", a_table(4_000))
    calls = [
        lambda r: r.coef_table(ddf="kenward-roger"),
        lambda r: r.anova(),
        lambda r: r.confint(method="profile"),
        lambda r: r.bootstrap(20, seed=3).to_frame(),
        lambda r: r.ranef()["h"],
        lambda r: r.varcorr,
    ]
    fresh = mf.lmer("y ~ x + (1 | h)", a_table(4_000))
    expected = [call(fresh) for call in calls]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda call: call(m), calls * 3))
    for i, frame in enumerate(found):
        pd.testing.assert_frame_equal(frame, expected[i % len(calls)], rtol=1e-12)


def test_saves_to_one_place_from_many_threads(tmp_path):
    """Each write is all of a file: whoever reads meanwhile reads a whole one."""
    m = mf.lmer("y ~ x + (1 | h)", a_table(4_000))
    m.save(tmp_path / "m")

    def again(i):
        if i % 2:
            m.save(tmp_path / "m")
        return mf.load(tmp_path / "m").criterion

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(again, range(80))) == {m.criterion}
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


# -- forks -----------------------------------------------------------------------------------------


def in_a_child(work):
    """Return the result of `work` in a forked child, which has ten seconds."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=lambda: theirs.send(work()))
    child.start()
    try:
        assert ours.poll(30), "the child hangs"
        return ours.recv()
    finally:
        child.kill()
        child.join()


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@needs_fork
def test_a_fork_while_another_thread_is_inside():
    before = blas_threads()
    inside, leave = threading.Event(), threading.Event()

    def other():
        with one_blas_thread():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait()
    try:
        assert in_a_child(blas_threads) == before
        with one_blas_thread():
            assert set(in_a_child(blas_threads)) == {1}
    finally:
        leave.set()
        thread.join()
    assert blas_threads() == before


@needs_fork
def test_forks_in_the_midst_of_fits():
    """Half of such children hung on a lock that Python's own cached_property has before 3.12."""
    table, stop = a_table(2_000), threading.Event()
    expected = [bits(table, *model) for model in MODELS]

    def other():
        while not stop.is_set():
            bits(table, *MODELS[0])

    threads = [threading.Thread(target=other) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(8):
            assert in_a_child(lambda: [bits(table, *model) for model in MODELS]) == expected
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@needs_fork
def test_workers_in_a_forked_child():
    shared = Workers(3)
    done = []
    shared.share(lambda first, last: done.append(first), [0, 1, 2, 3])

    def again():
        done.clear()
        shared.share(lambda first, last: done.append(first), [0, 1, 2, 3])
        return sorted(done)

    assert in_a_child(again) == [0, 1, 2]


# -- interruptions ---------------------------------------------------------------------------------

#: Python ignores, and reports, an interrupt that falls into a destructor or into the garbage
#: collector's callbacks.
may_be_ignored = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@may_be_ignored
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers on this system")
def test_interrupted_at_any_time():
    """Interrupt fits eighty times: afterwards BLAS is as before, and a fit gives the same bits."""
    table, before = a_table(3_000), blas_threads()
    expected = [bits(table, *model) for model in MODELS]
    rng = random.Random(5)

    def interrupt(signum, stack):
        raise KeyboardInterrupt

    old, interrupted = signal.signal(signal.SIGALRM, interrupt), 0
    try:
        for i in range(80):
            try:
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-4, 2e-2))
                bits(table, *MODELS[i % 3])
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert interrupted > 10
    assert not threads._setting.uses
    assert blas_threads() == before
    assert [bits(table, *model) for model in MODELS] == expected


@may_be_ignored
def test_a_thread_that_is_interrupted():
    """An exception raised in a fit's thread from outside, at any time."""
    table, before = a_table(3_000), blas_threads()
    rng, ended = random.Random(6), []

    def work():
        try:
            while True:
                bits(table, *MODELS[0])
        except KeyboardInterrupt:
            ended.append(True)

    for _ in range(10):
        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(rng.uniform(0.0, 0.02))
        while thread.is_alive():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident), ctypes.py_object(KeyboardInterrupt)
            )
            thread.join(0.05)
    assert ended
    assert not threads._setting.uses
    assert blas_threads() == before
