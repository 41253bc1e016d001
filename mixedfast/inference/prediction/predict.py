"""Predictions for rows of the fit and new rows, with the joint uncertainty of beta and b."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast.data.frames import Table
from mixedfast.design.new_data import code_new_data
from mixedfast.design.types import Design, Recipe
from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.inference.prediction.henderson import (
    linear_predictor,
    prior_variance,
    relative_variance,
)
from mixedfast.inference.prediction.new_levels import known_levels
from mixedfast.inference.prediction.row_tiles import ModelRows, rows_of_design, rows_of_new

if TYPE_CHECKING:
    pass

__all__ = ["INTERVALS", "FindDF", "Prediction", "new_variance", "predict_new", "predict_old"]

FindDF = Callable[
    [ModelRows, "ModelRows | None", "np.ndarray | float"], "tuple[np.ndarray | None, np.ndarray]"
]
"""(rows, effects with their prior variance, relative residual variance) -> (standard errors, df).

The second argument and the standard errors may be None.
"""

INTERVALS = (None, "confidence", "prediction")

_REMEDY = (
    "Set allow_new_levels=True to predict them with random effects of zero, or re=False for "
    "predictions without random effects"
)


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predictions with their uncertainty.

    Parameters
    ----------
    fit : (n,) array
    se : (n,) array or None
        Standard errors of `fit`.
    spread : (n,) array or None
        Standard deviations of new observations about `fit`.
    df : (n,) array, array () of one number for all rows, or None
        Of the t distribution of intervals; None for the normal distribution.
    """

    fit: np.ndarray
    se: np.ndarray | None = None
    spread: np.ndarray | None = None
    df: np.ndarray | None = None

    def among(self, n: int, where: Any, known: np.ndarray | bool = True) -> Prediction:
        """Place the predictions among n rows; NaN in the others and where a group is unknown."""

        def spread_out(values: np.ndarray) -> np.ndarray:
            """Place values among n rows."""
            out = np.full(n, np.nan)
            out[where] = np.where(known, values, np.nan)
            return out

        parts = (
            part if part is None or part.ndim == 0 else spread_out(part)
            for part in (self.se, self.spread, self.df)
        )
        return Prediction(spread_out(self.fit), *parts)


def predict_old(
    fit: LinearFit,
    design: Design,
    chosen: list[np.ndarray],
    se: bool,
    spread: bool,
    find_df: FindDF | None = None,
) -> Prediction:
    """Predict for the rows of the fit.

    Parameters
    ----------
    fit : LinearFit
    design : Design
    chosen : list of (K,) bool arrays
        See `chosen_effects`.
    se, spread : bool
        Whether to compute standard errors, and standard deviations of new observations.
    find_df : callable, optional
        Computes degrees of freedom (see `FindDF`).
    """
    rows = rows_of_design(fit.cp, design, chosen)
    others = rows_of_design(fit.cp, design, [~own for own in chosen]) if spread else None
    return _predicted(fit, rows, others, design.weights, se, find_df)


def predict_new(
    fit: LinearFit,
    recipe: Recipe,
    table: Table,
    chosen: list[np.ndarray],
    allow_new_levels: bool,
    se: bool,
    spread: bool,
    weights: np.ndarray | None = None,
    find_df: FindDF | None = None,
    offset: np.ndarray | None = None,
) -> Prediction:
    """Predict for new rows; NaN where a variable of the model is missing.

    Parameters
    ----------
    fit : LinearFit
    recipe : Recipe
    table : Table
    chosen : list of (K,) bool arrays
        See `chosen_effects`.
    allow_new_levels : bool
        Levels that are not in the fit, including missing ones, then have effects of zero and their
        prior variance.
    se, spread : bool
    weights : (n,) array, optional
        Of new observations: their residual variance is sigma^2 / weight.
    find_df : callable, optional
        Computes degrees of freedom (see `FindDF`).
    offset : (n,) array, optional
        In place of the column of the fit.

    Raises
    ------
    DataError
        For a missing column or a new level; the message names it.
    """
    grouped = [t for t, shape in enumerate(fit.cp.terms) if chosen[shape.group].any()]
    effects = range(len(fit.cp.terms)) if spread else grouped
    new = code_new_data(recipe, table, grouped, effects, offset)
    kept = np.arange(table.n) if new.kept_rows is None else new.kept_rows
    known = np.ones(new.n, dtype=bool)
    if not allow_new_levels:
        for t in grouped:
            known &= known_levels(new, recipe, table, kept, t, _REMEDY)
    rows = rows_of_new(fit.cp, new, chosen)
    others = rows_of_new(fit.cp, new, [~own for own in chosen]) if spread else None
    found = _predicted(fit, rows, others, None if weights is None else weights[kept], se, find_df)
    return found.among(table.n, kept, known)


def new_variance(
    fit: LinearFit,
    recipe: Recipe,
    table: Table,
    chosen: list[np.ndarray],
    offset: np.ndarray | None = None,
) -> np.ndarray:
    """Compute the prior variance of z'b of new rows over sigma^2, (n,); NaN for missing values.

    Parameters
    ----------
    fit, recipe, table, chosen, offset
        As for `predict_new`; groups may be new.
    """
    new = code_new_data(recipe, table, [], range(len(fit.cp.terms)), offset)
    kept = np.arange(table.n) if new.kept_rows is None else new.kept_rows
    out = np.full(table.n, np.nan)
    out[kept] = prior_variance(fit, rows_of_new(fit.cp, new, chosen))
    return out


def _predicted(
    fit: LinearFit,
    rows: ModelRows,
    others: ModelRows | None,
    weights: np.ndarray | None,
    se: bool,
    find_df: FindDF | None,
) -> Prediction:
    """Predict for rows of either kind; effects in `others` have their prior variance."""
    values = linear_predictor(fit, rows)
    if not se and others is None:
        return Prediction(values)
    of_beta, of_b = relative_variance(fit, rows)
    error = of_beta + of_b
    noise = 1.0 if weights is None else 1.0 / weights
    std_error = fit.sigma * np.sqrt(error)
    spread = df = None
    if find_df is not None:
        adjusted, df = find_df(rows, others, noise)
        std_error = std_error if adjusted is None else adjusted
    if others is not None:
        spread = fit.sigma * np.sqrt(error + prior_variance(fit, others) + noise)
    return Prediction(values, std_error, spread, df)
