"""Two crossed factors whose levels occur as often as Zipf's law says."""

from __future__ import annotations

import numpy as np

from benchmarks.model import Model, Random
from benchmarks.problems.base import Problem
from benchmarks.tables import Columns


def zipf(rng: np.random.Generator, rows: int, levels: int) -> np.ndarray:
    """Draw codes of `levels` levels, the r-th most common with weight 1/r.

    Every level occurs, and labels are in no order.
    """
    weight = np.cumsum(1 / np.arange(1, levels + 1))
    drawn = np.searchsorted(weight, rng.random(rows - levels) * weight[-1])
    codes = rng.permutation(np.concatenate([np.arange(levels), drawn]))
    return rng.permutation(levels).astype(np.int32)[codes]


def rated(rows: int, users: int, items: int):
    """Return a maker of `rows` ratings of `items` items by `users` users."""

    def table(rng: np.random.Generator, scale: float) -> Columns:
        n, n_users, n_items = (
            max(least, round(scale * m)) for least, m in ((2000, rows), (100, users), (50, items))
        )
        user, item = zipf(rng, n, n_users), zipf(rng, n, n_items)
        hour = rng.uniform(0, 1, n)
        y = (
            3
            + 0.2 * hour
            + 0.6 * rng.standard_normal(n_users)[user]
            + 0.4 * rng.standard_normal(n_items)[item]
        )
        return {"rating": y + rng.standard_normal(n), "hour": hour, "user": user, "item": item}

    return table


RATINGS = Model("rating", ("hour",), (Random("user"), Random("item")))

PROBLEMS = [
    Problem(
        "P9",
        "1M ratings, 20k users x 5k items, Zipf degrees",
        RATINGS,
        rated(1_000_000, 20_000, 5_000),
    ),
    Problem(
        "P11",
        "5M ratings, 50k users x 10k items, Zipf degrees",
        RATINGS,
        rated(5_000_000, 50_000, 10_000),
        libraries=("mixedfast",),
        note="On two cores, once and on a table of this shape: lme4 889 s, glmm 665 s (10 GB), mixedlm over 900 s.",
    ),
]
