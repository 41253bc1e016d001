"""One fitted model used by several threads at once, or again after an interrupt.

Engines invert and solve in place: two calls must not overlap, and what a broken call left is not
read.
"""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from helpers.kernels import a_border

import mixedfast as mf
from mixedfast.engines import _border
from mixedfast.engines.turns import Turns
from mixedfast.errors import NotIdentifiedError

ENGINES = ["block", "cholmod"]


def a_fit(engine, singular=False):
    r = np.random.default_rng(3)
    d = pd.DataFrame({"x": r.normal(size=4000), "g": r.integers(0, 600, 4000)})
    d["h"] = r.integers(0, 600, 4000)  # a dense rest that is shared among threads
    d["y"] = d.x + r.normal(size=600)[d.g] + r.normal(size=4000)
    d["y"] += 0.0 if singular else r.normal(size=600)[d.h]
    fit = mf.lmer("y ~ x + (1 | g) + (1 | h)", d, engine=engine)._fit
    theta = fit.theta_internal * [1.0, 0.0] if singular else fit.theta_internal
    system = fit.new_system()
    system.solve_again(theta)
    return system


def readings(system):
    """Return the calls that read a factor in every way, by name."""
    cp, engine = system.cp, system.engine
    ones = [np.ones((group.n_levels, group.k, 3)) for group in cp.groups]
    vector = [np.ones((group.n_levels, group.k)) for group in cp.groups]
    some = np.arange(20)
    return {
        "blocks_k": lambda: engine.blocks_k(),
        "posterior_blocks": lambda: engine.posterior_blocks(),
        "posterior_pairs": lambda: [engine.posterior_pairs(0, 1, some, some)],
        "project": lambda: engine.project(),
        "solve": lambda: engine.solve(ones),
        "times_k": lambda: engine.times_k(ones),
        "cross_k": lambda: list(engine.cross_k(vector)),
    }


def close(found, expected):
    for one, other in zip(found, expected, strict=True):
        # before and after the inversion the same numbers come by another formula
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_that_use_one_fit_get_the_numbers_of_one_thread(engine):
    expected = {name: call() for name, call in readings(a_fit(engine)).items()}
    for _ in range(3):
        calls = readings(a_fit(engine))
        with ThreadPoolExecutor(8) as pool:
            jobs = [(name, pool.submit(call)) for name, call in [*calls.items()] * 4]
        for name, job in jobs:
            close(job.result(), expected[name])


class Interrupted(BaseException):
    pass


def interrupting(work, after):
    """Return a function that calls another and is interrupted before or after that."""

    def broken(*args, **kwargs):
        if after:
            work(*args, **kwargs)
        raise Interrupted

    return broken


class Proxy:
    """An object with one method replaced."""

    def __init__(self, whole, **replaced):
        self.__dict__.update(replaced, _whole=whole)

    def __getattr__(self, name):
        return getattr(self._whole, name)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", ["reduce", "invert", "blocks_k", "subtract_k"])
def test_a_block_fit_is_right_after_an_interrupt_at_any_step(step, after):
    expected = {name: call() for name, call in readings(a_fit("block")).items()}
    system = a_fit("block")
    whole = system.engine._border
    if step == "reduce":  # half of an inversion in place
        share = system.engine._share
        system.engine._share = interrupting(share, after)
    else:
        system.engine._border = Proxy(whole, **{step: interrupting(getattr(whole, step), after)})
    with pytest.raises(Interrupted):
        system.engine.blocks_k()
    if step == "reduce":
        system.engine._share = share
    system.engine._border = whole
    for name, call in readings(system).items():
        close(call(), expected[name])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_cholmod_fit_is_right_after_an_interrupt_at_other_lambdas(count):
    """K at a zero variance takes two factorizations at other lambdas, and one to restore."""
    expected = {name: call() for name, call in readings(a_fit("cholmod", True)).items()}
    system = a_fit("cholmod", True)
    whole, calls = system.engine._sparse, []

    def factorize(data):
        calls.append(data)
        if len(calls) == count:
            raise Interrupted
        return whole.factorize(data)

    system.engine._sparse = Proxy(whole, factorize=factorize)
    with pytest.raises(Interrupted):
        system.engine.blocks_k()
    system.engine._sparse = whole
    for name, call in readings(system).items():
        close(call(), expected[name])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_system_that_cannot_be_solved_is_an_error(engine):
    system = a_fit(engine)
    with pytest.raises(NotIdentifiedError, match="cannot be solved at its estimates"):
        system.solve_again(np.full(2, 1e200))


def reading_calls(case, border):
    zeros, J, k, m = np.zeros, case.J, case.k, case.m
    return {
        "eliminate": lambda: border.eliminate(zeros((J, k, 1)), zeros((m, 1))),
        "forward_solve": lambda: border.forward_solve(zeros((m, 1))),
        "solve": lambda: border.solve(zeros((m, 1))),
        "invert": lambda: border.invert(zeros(case.blocks)),
        "multiply S": lambda: border.multiply(zeros((m, 1), order="F"), True),
        "multiply Q": lambda: border.multiply(zeros((m, 1), order="F"), False),
        "blocks_q": lambda: border.blocks_q(),
        "blocks_k_singular": lambda: border.blocks_k_singular(
            zeros(case.n_levels, np.uint8), zeros(case.blocks)
        ),
        "project": lambda: border.project(case.A, case.T),
        "subtract_k": lambda: border.subtract_k(zeros_like_vals(case), zeros((J, k, k))),
        "cross": lambda: border.cross(
            case.A, case.T, zeros((J, k, 1)), zeros((J, k, 1)), zeros((J, k)), zeros((m, k * k)), 0
        ),
    }


def zeros_like_vals(case):
    return np.zeros_like(case.arguments[2])


def new_border():
    case = a_border(np.random.default_rng(7), 2, 2, (2,), 5, False)
    return case, _border.Border(*case.arguments)


ALL = list(reading_calls(*new_border()))


@pytest.mark.parametrize("state", ["new", "taken", "failed"])
@pytest.mark.parametrize("name", ALL)
def test_no_kernel_reads_a_factor_that_is_not_there(name, state):
    case, border = new_border()
    if state == "taken":
        border.factor(case.T, case.lambdas)
        border.take(case.arguments[2], case.arguments[-1])
    if state == "failed":
        assert border.factor(case.T, np.full_like(case.lambdas, np.nan))[1] > 0
    with pytest.raises(ValueError, match=f"^{name.split()[0]}: there is no"):
        reading_calls(case, border)[name]()


@pytest.mark.parametrize("name", ["forward_solve", "solve", "invert"])
def test_an_inverse_is_no_factor(name):
    case, border = new_border()
    border.factor(case.T, case.lambdas)
    border.invert(np.zeros(case.blocks))
    with pytest.raises(ValueError, match="there is no factor"):
        reading_calls(case, border)[name]()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_does_not_wait_for_a_thread_that_it_has_not():
    turns, inside, leave = Turns(), threading.Event(), threading.Event()

    def stay():
        inside.set()
        leave.wait(30)

    holder = threading.Thread(target=lambda: turns.take(stay))
    holder.start()
    inside.wait(30)
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # ends a child that waits
        os._exit(turns.take(lambda: 7))
    # the child ends although the thread of its parent is still inside
    status = os.waitpid(child, 0)[1]
    leave.set()
    holder.join()
    assert os.waitstatus_to_exitcode(status) == 7
