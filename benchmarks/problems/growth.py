"""Growth in three levels: occasions in children in schools, as in the egsingle study.

Raudenbush & Bryk 2002, ch. 8.
"""

from __future__ import annotations

import numpy as np

from benchmarks.model import Model, Random
from benchmarks.problems.base import Problem
from benchmarks.tables import Columns


def grown(rows: int, children: int, schools: int):
    """Return a maker of `rows` occasions.

    Children belong to one school each, and `child` is unique over schools.
    """

    def table(rng: np.random.Generator, scale: float) -> Columns:
        n, n_children, n_schools = (
            max(least, round(scale * m))
            for least, m in ((500, rows), (120, children), (12, schools))
        )
        n = max(n, 2 * n_children)
        # Two occasions at least for every child, the rest at random: four or five on average.
        twice, more = (
            np.repeat(np.arange(n_children), 2),
            rng.integers(n_children, size=n - 2 * n_children),
        )
        child = np.sort(np.concatenate([twice, more]))
        school = np.concatenate(
            [np.arange(n_schools), rng.integers(n_schools, size=n_children - n_schools)]
        )[child]
        occasion = np.arange(n) - np.searchsorted(child, child)
        year = np.minimum(occasion, 5) - 2.5
        in_child = rng.multivariate_normal([0, 0], [[0.64, 0.05], [0.05, 0.02]], n_children)[child]
        in_school = rng.multivariate_normal([0, 0], [[0.17, 0.02], [0.02, 0.01]], n_schools)[school]
        effect = in_child + in_school
        y = -0.8 + 0.76 * year + effect[:, 0] + effect[:, 1] * year + 0.55 * rng.standard_normal(n)
        return {
            "math": y,
            "year": year,
            "child": child.astype(np.int32),
            "school": school.astype(np.int32),
        }

    return table


INTERCEPTS = Model("math", ("year",), (Random("child"), Random("school")))
SLOPES = Model("math", ("year",), (Random("child", ("year",)), Random("school", ("year",))))
SMALL, LARGE = grown(7_230, 1_721, 60), grown(1_000_000, 200_000, 2_000)

PROBLEMS = [
    Problem(
        "P10a",
        "Growth: 7,230 rows, 1,721 children in 60 schools, intercepts",
        INTERCEPTS,
        SMALL,
        limit=20.0,
    ),
    Problem(
        "P10b",
        "Growth: the same 7,230 rows, correlated slopes at both levels",
        SLOPES,
        SMALL,
        limit=20.0,
    ),
    Problem(
        "P10c",
        "Growth: 1M rows, 200k children in 2k schools, intercepts",
        INTERCEPTS,
        LARGE,
        limit=30.0,
    ),
    Problem(
        "P10d",
        "Growth: the same 1M rows, correlated slopes at both levels",
        SLOPES,
        LARGE,
        limit=30.0,
    ),
]
