"""The blocked Cholesky factorization and inverse of `_dense`, in any cut, against dense algebra.

BLAS does the work, and no sanitizer sees into it: around the square, and above its diagonal, are
numbers that must stay as they are.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from harness import Choices, Numbers, compiled, fuzz, within

dense = compiled("engines/_blocked_cholesky")
IN_PARTS = ("factor_panel", "update_trailing", "multiply_panel", "invert_panel", "square_row")
WHOLE = ("factor_block", "invert_block", "square_block")
ODD = (-1, 0, 1, 2, 3, 7, 8, 1 << 16, (1 << 31) - 1, 1 << 31, 1 << 32, (1 << 63) - 1, -(1 << 63))


def cuts(choices: Choices, first: int, last: int) -> list[tuple[int, int]]:
    """Parts of first..last, one after another, some of them empty."""
    edges = sorted(
        [first, last, *(first + choices.below(last - first + 1) for _ in range(choices.below(3)))]
    )
    return list(pairwise(edges))


def share(
    choices: Choices,
    name: str,
    a: np.ndarray,
    at: int,
    n: int,
    block: tuple[int, int],
    first: int,
    last: int,
) -> None:
    """One step, its parts in any order: threads take them so."""
    parts = cuts(choices, first, last)
    for part in reversed(parts) if choices.below(2) else parts:
        getattr(dense, name)(a, at, n, *block, *part)


def blocks(choices: Choices, n: int) -> list[tuple[int, int]]:
    edges = sorted({0, n, *(choices.below(n + 1) for _ in range(choices.below(6)))})
    return [(k, end - k) for k, end in pairwise(edges)]


def factor(choices: Choices, a: np.ndarray, at: int, n: int) -> int:
    for k, b in blocks(choices, n):
        failed = dense.factor_block(a, at, n, k, b)
        if failed:
            return k + failed
        share(choices, "factor_panel", a, at, n, (k, b), k + b, n)
        share(choices, "update_trailing", a, at, n, (k, b), k + b, n)
    return 0


def invert(choices: Choices, a: np.ndarray, at: int, n: int) -> int:
    cut = blocks(choices, n)
    for k, b in reversed(cut):
        share(choices, "multiply_panel", a, at, n, (k, b), k, k + b)
        share(choices, "invert_panel", a, at, n, (k, b), k + b, n)
        failed = dense.invert_block(a, at, n, k, b)
        if failed:
            return k + failed
    for k, b in cut:
        share(choices, "square_row", a, at, n, (k, b), 0, k)
        dense.square_block(a, at, n, k, b)
    return 0


def factor_and_invert(choices: Choices, numbers: Numbers) -> None:
    n, at, after = choices.below(24), choices.below(5), choices.below(5)
    Z = numbers((choices.below(2 * n + 1), n))
    A = Z.T @ Z + (0.0, 1.0, -1.0)[choices.below(3)] * np.eye(n)
    a = np.full(at + n * n + after, np.nan)  # what is not to be read would show in what is
    square = a[at : at + n * n].reshape(n, n).T
    below = np.tril(np.ones((n, n), bool))
    square[below] = A[below]

    def elsewhere_untouched() -> bool:
        return bool(
            np.isnan(a[:at]).all()
            and np.isnan(a[at + n * n :]).all()
            and np.isnan(square[~below]).all()
        )

    failed = factor(choices, a, at, n)
    assert elsewhere_untouched()
    smallest, largest = np.linalg.eigvalsh(A)[[0, -1]] if n else (1.0, 1.0)
    if failed:
        assert smallest <= 1e-12 * max(largest, 1.0) and 1 <= failed <= n
        return
    L = np.where(below, square, 0.0)
    assert smallest >= -1e-12 * max(largest, 1.0) and (np.diag(L) > 0.0).all()
    assert within(L @ L.T, A, np.abs(L) @ np.abs(L.T) + np.abs(A), 2 * n)
    assert invert(choices, a, at, n) == 0
    assert elsewhere_untouched()
    # L^-1 has small residuals and L^-T L^-1 follows from it: what is off is off by the sizes of
    # these times the condition of L
    X = np.where(below, square, 0.0)
    X += np.tril(X, -1).T
    sizes = np.abs(np.linalg.inv(L)) if n else L
    chain = sizes.T @ sizes @ (np.abs(L) @ np.abs(L.T))
    assert within(X @ A, np.eye(n), chain @ chain + np.eye(n), 8 * n)


def any_arguments(choices: Choices, numbers: Numbers) -> None:
    """For any whole numbers: a step within the square, or a ValueError and nothing changed."""
    name = choices.one(IN_PARTS + WHOLE)
    length = choices.below(80)
    a = numbers((length,))
    before = a.copy()
    arguments = [
        choices.one(ODD) if choices.below(3) == 0 else choices.below(9)
        for _ in range(6 if name in IN_PARTS else 4)
    ]
    at, n, k, b, first, last = [*arguments, 0, 0][:6]
    good = (
        at >= 0
        and 0 <= n < 1 << 31
        and at + n * n <= length
        and 0 <= k <= k + b <= n
        and 0 <= first <= last <= n
    )
    good = good and b >= 0
    try:
        getattr(dense, name)(a, *arguments)
    except ValueError:
        assert not good, f"{name}{arguments!r} is within {length}"
        np.testing.assert_array_equal(a, before)
        return
    assert good, f"{name}{arguments!r} is not within {length}"
    np.testing.assert_array_equal(a[:at], before[:at])
    np.testing.assert_array_equal(a[at + n * n :], before[at + n * n :])


def one_input(data: bytes) -> None:
    choices = Choices(data)
    with np.errstate(all="ignore"):  # any numbers may be divided by each other
        (any_arguments if choices.below(4) == 0 else factor_and_invert)(choices, Numbers(data))


if __name__ == "__main__":
    fuzz(one_input)
