"""log|M| where standard deviations are far larger than the residual one.

The number of correct digits is found with exact whole numbers.

M = Lambda'Z'Z Lambda + I. With one factor it is diagonal and nothing cancels. With several, what
one factor explains is taken from another, and along sums of effects that make up for each other the
1 of I is left of numbers as large as theta^2 times the rows of a level.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

import mixedfast as mf
from mixedfast.estimation.fit import solve_at

N = 240


def data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    g = rng.integers(0, 12, N)
    return {
        "y": rng.normal(size=N),
        "g": g,
        "h": rng.integers(0, 8, N),
        "k": 3 * g + rng.integers(0, 3, N),
    }


def determinant(rows: list[list[int]]) -> int:
    """Return the determinant of a matrix of whole numbers, by Bareiss' elimination.

    Every division is exact.
    """
    rows, before = [list(row) for row in rows], 1
    for j in range(len(rows) - 1):
        for i in range(j + 1, len(rows)):
            for k in range(j + 1, len(rows)):
                rows[i][k] = (rows[i][k] * rows[j][j] - rows[i][j] * rows[j][k]) // before
        before = rows[j][j]
    return rows[-1][-1]


@cache
def exact_log_determinant(names: tuple[str, ...], theta: tuple[int, ...]) -> float:
    columns = [data()[name] for name in names]
    Z = np.hstack([(codes[:, None] == np.unique(codes)) * 1 for codes in columns])
    scale = [value for codes, value in zip(columns, theta, strict=True) for _ in np.unique(codes)]
    ZtZ = (Z.T @ Z).tolist()
    M = [[a * b * ZtZ[i][j] + (i == j) for j, b in enumerate(scale)] for i, a in enumerate(scale)]
    return math.log(determinant(M))


@pytest.mark.parametrize("engine", ["block", "cholmod"])
@pytest.mark.parametrize("power", [2, 4, 6])
@pytest.mark.parametrize("names", ["gh", "gk", "ghk"])
def test_what_is_lost_is_within_what_the_fit_says(names: str, power: int, engine: str) -> None:
    cp = mf.crossproducts("y ~ 1 + " + " + ".join(f"(1 | {name})" for name in names), data())
    order = [cp.groups[term.group].name for term in cp.terms]
    theta = [10**power * (i + 1) for i in range(len(order))]
    fit = solve_at(cp, np.array(theta, dtype=float), True, engine)
    exact = exact_log_determinant(tuple(order), tuple(theta))
    assert abs(fit.solution.ldL2 - exact) <= fit.resolution


@pytest.mark.parametrize("power", [2, 4, 6, 7])
def test_with_one_factor_nothing_is_lost(power: int) -> None:
    fit = solve_at(mf.crossproducts("y ~ 1 + (1 | g)", data()), np.array([10.0**power]), True)
    exact = exact_log_determinant(("g",), (10**power,))
    assert fit.solution.ldL2 == pytest.approx(
        exact, rel=12 * np.finfo(float).eps
    )  # twelve logarithms
