"""Values of lme4 and glmmTMB for generalized linear mixed models (tests/golden/glmm/README.md)."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from helpers.cases import GOLDEN

__all__ = ["frame", "golden", "names"]

HERE = GOLDEN / "glmm"


def names(*families: str, n_agq: bool | None = None) -> list[str]:
    """Names of the models of some families; `n_agq` selects those with quadrature, or without."""
    return [
        path.stem
        for path in sorted(HERE.glob("*.json"))
        for case in [golden(path.stem)]
        if case["family"] in families and (n_agq is None or n_agq == (case["n_agq"] > 1))
    ]


def golden(name: str) -> dict[str, Any]:
    """Values of one model; theta is a list, names of coefficients are formulaic's."""
    case: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text())
    if "theta" in case:
        case["theta"] = np.atleast_1d(case["theta"]).tolist()
    return case


def frame(dataset: str) -> pd.DataFrame:
    """Rows of a data set, categorical columns with their levels in R's order; a fresh copy."""
    return _frame(dataset).copy()


@cache
def _frame(dataset: str) -> pd.DataFrame:
    levels = json.loads((HERE / "data" / "categorical.json").read_text())[dataset]
    rows = pd.read_csv(HERE / "data" / f"{dataset}.csv.gz", dtype=dict.fromkeys(levels, str))
    return rows.assign(
        **{
            column: rows[column].astype(pd.CategoricalDtype([str(level) for level in own]))
            for column, own in levels.items()
        }
    )
