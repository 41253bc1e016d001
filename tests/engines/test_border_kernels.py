"""Kernels of several grouping factors, against their NumPy twins, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import reference_kernels as _reference
from helpers.kernels import SEEDS, SOLVED, a_border, close
from hypothesis import given
from hypothesis import strategies as st

from mixedfast.engines import _border


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
    """Return calls of Border with one argument of the wrong shape."""
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
