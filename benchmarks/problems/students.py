"""One grouping factor with a correlated random slope: few large groups, and many small ones."""

from __future__ import annotations

import numpy as np

from benchmarks.model import Model, Random
from benchmarks.problems.base import Problem
from benchmarks.tables import Columns

COVARIATES = tuple(f"x{j}" for j in range(1, 9))


def grouped(
    rng: np.random.Generator, rows: int, groups: int, covariates: tuple[str, ...], group: str
) -> Columns:
    """Draw rows in random groups, every group at least once.

    A slope of the first covariate varies over them.
    """
    code = rng.permutation(
        np.concatenate([np.arange(groups), rng.integers(groups, size=rows - groups)])
    )
    x = {name: rng.standard_normal(rows) for name in covariates}
    intercepts, slopes = rng.multivariate_normal([0, 0], [[4.0, 0.3], [0.3, 0.25]], groups).T
    y = 10 + intercepts[code] + slopes[code] * x[covariates[0]] + 3 * rng.standard_normal(rows)
    for j, column in enumerate(x.values()):
        y += (0.5 - 0.1 * j) * column
    return {"y": y, group: code.astype(np.int32), **x}


def students(rng: np.random.Generator, scale: float) -> Columns:
    schools = max(20, round(10_000 * scale))
    return grouped(rng, 100 * schools, schools, COVARIATES, "school")


def many_groups(rng: np.random.Generator, scale: float) -> Columns:
    groups = max(50, round(125_066 * scale))
    return grouped(rng, 4 * groups, groups, ("x1",), "person")


STUDENTS = Model("y", COVARIATES, (Random("school", ("x1",)),))

PROBLEMS = [
    Problem(
        "P8",
        "1M students, 10k schools, 8 covariates, correlated slope",
        STUDENTS,
        students,
        ("standard errors", "satterthwaite"),
    ),
    Problem(
        "P8b",
        "500k rows, 125,066 groups, correlated slope",
        Model("y", ("x1",), (Random("person", ("x1",)),)),
        many_groups,
        limit=30.0,
    ),
]
