"""Well-known data sets, as they come with mixedfast.

The seed is not used; the scale keeps that share of the rows.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

import mixedfast as mf
from benchmarks.model import Model, Random
from benchmarks.problems.base import Problem
from benchmarks.tables import Columns


def dataset(name: str, group: str):
    """Return a maker of the table: at scales below one, the rows of the first levels of `group`."""

    def table(rng: np.random.Generator, scale: float) -> Columns:
        frame = mf.load_dataset(name)
        codes = frame[group].cat.codes.to_numpy()
        kept = frame[codes < max(20, round(scale * (codes.max() + 1)))]
        return {c: column(kept[c]) for c in kept}

    return table


def column(series: pd.Series) -> np.ndarray | pd.Categorical:
    if isinstance(series.dtype, pd.CategoricalDtype):
        return pd.Categorical(series.cat.remove_unused_categories())
    return series.to_numpy(float)


#: Seconds: lme4 takes four at most.
SMALL = 20.0
ALL = ("standard errors", "satterthwaite", "kenward-roger")

PROBLEMS = [
    Problem(
        "P1",
        "High School and Beyond: 7,185 students, 160 schools, correlated slope",
        Model("math", ("ses",), (Random("school", ("ses",)),)),
        dataset("hsb", "school"),
        ALL,
        limit=SMALL,
    ),
    Problem(
        "P3",
        "Penicillin: 144 rows, two crossed factors",
        Model("diameter", (), (Random("plate"), Random("sample"))),
        dataset("penicillin", "plate"),
        ALL,
        limit=SMALL,
    ),
    Problem(
        "P4",
        "Pastes: 60 rows, two nested factors",
        Model("strength", (), (Random("sample"), Random("batch"))),
        dataset("pastes", "batch"),
        ALL,
        limit=SMALL,
    ),
    Problem(
        "P6",
        "InstEval, REML: 73,421 rows, three crossed factors",
        Model("y", ("service",), (Random("s"), Random("d"), Random("dept"))),
        dataset("insteval", "s"),
        ("standard errors", "satterthwaite"),
        limit=SMALL,
    ),
    Problem(
        "P7",
        "InstEval, ML: 28 fixed effects, two crossed factors",
        Model("y", ("service", "dept", "service:dept"), (Random("s"), Random("d")), reml=False),
        dataset("insteval", "s"),
        limit=SMALL,
    ),
]
