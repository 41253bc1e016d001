"""Predictions for old rows and new, with the uncertainty of beta and b together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from mixedfast.design import Design, Recipe
from mixedfast.errors import DataError
from mixedfast.fitting import Fit
from mixedfast.frames import Table
from mixedfast.newdata import NewData, apply
from mixedfast.rowwise.joint import linear_predictor, prior_variance, relative_variance
from mixedfast.rowwise.tiles import ModelRows, rows_of_design, rows_of_new

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["INTERVALS", "Prediction", "predict_new", "predict_old"]

INTERVALS = (None, "confidence", "prediction")

#: Groups named in an error message.
_NAMED = 8


@dataclass(frozen=True, eq=False)
class Prediction:
    """``fit`` (n,), and when asked for ``se`` (n,): of the fit; ``spread`` (n,): of a new observation about the fit."""

    fit: np.ndarray
    se: np.ndarray | None = None
    spread: np.ndarray | None = None

    def to_frame(self, interval: str | None, level: float, index: Any = None) -> pd.DataFrame:
        """Columns ``fit, se`` and, for an interval, normal limits ``lower, upper``."""
        import pandas as pd

        columns = {"fit": self.fit, "se": self.se}
        if interval is not None:
            width = self.se if interval == "confidence" else self.spread
            half = float(ndtri(0.5 + 0.5 * level)) * np.asarray(width)
            columns |= {"lower": self.fit - half, "upper": self.fit + half}
        return pd.DataFrame(columns, index=index)


def predict_old(fit: Fit, design: Design, chosen: list[np.ndarray], se: bool, spread: bool) -> Prediction:
    """Predictions for the rows a model was fitted to.

    Parameters
    ----------
    fit : Fit
    design : Design
    chosen : list of (K,) bool arrays
        See `chosen_effects`.
    se, spread : bool
        Whether to find standard errors, and standard deviations of new observations.
    """
    rows = rows_of_design(fit.cp, design, chosen)
    others = rows_of_design(fit.cp, design, [~own for own in chosen]) if spread else None
    return _predicted(fit, rows, others, design.weights, se)


def predict_new(
    fit: Fit, recipe: Recipe, table: Table, chosen: list[np.ndarray], allow_new_levels: bool, se: bool, spread: bool,
    weights: np.ndarray | None = None,
) -> Prediction:  # fmt: skip
    """Predictions for new rows; NaN where a value they need is missing.

    Parameters
    ----------
    fit : Fit
    recipe : Recipe
    table : Table
    chosen : list of (K,) bool arrays
        See `chosen_effects`.
    allow_new_levels : bool
        Levels that the fit does not know, missing ones too, then have effects of zero and their prior variance.
    se, spread : bool
    weights : (n,) array, optional
        Of new observations: their residual variance is sigma^2 / weight.

    Raises
    ------
    DataError
        Names the column that is missing or the level that is new.
    """
    grouped = [t for t, shape in enumerate(fit.cp.terms) if chosen[shape.group].any()]
    new = apply(recipe, table, grouped, range(len(fit.cp.terms)) if spread else grouped)
    kept = np.arange(table.n) if new.kept_rows is None else new.kept_rows
    known = np.ones(new.n, dtype=bool)
    if not allow_new_levels:
        for t in grouped:
            known &= _known_levels(new, recipe, table, kept, t)
    rows = rows_of_new(fit.cp, new, chosen)
    others = rows_of_new(fit.cp, new, [~own for own in chosen]) if spread else None
    found = _predicted(fit, rows, others, None if weights is None else weights[kept], se)

    def spread_out(values: np.ndarray | None) -> np.ndarray | None:
        if values is None:
            return None
        out = np.full(table.n, np.nan)
        out[kept] = np.where(known, values, np.nan)
        return out

    whole = spread_out(found.fit)
    assert whole is not None
    return Prediction(whole, spread_out(found.se), spread_out(found.spread))


def _predicted(fit: Fit, rows: ModelRows, others: ModelRows | None, weights: np.ndarray | None, se: bool) -> Prediction:
    values = linear_predictor(fit, rows)
    if not se and others is None:
        return Prediction(values)
    of_beta, of_b = relative_variance(fit, rows)
    error = of_beta + of_b
    spread = None
    if others is not None:
        noise = 1.0 if weights is None else 1.0 / weights
        spread = fit.sigma * np.sqrt(error + prior_variance(fit, others) + noise)
    return Prediction(values, fit.sigma * np.sqrt(error), spread)


def _known_levels(new: NewData, recipe: Recipe, table: Table, kept: np.ndarray, t: int) -> np.ndarray:
    """Rows whose group in term t is known; a missing group is unknown, a new one an error."""
    codes = new.terms[t][0]
    missing = np.zeros(new.n, dtype=bool)
    for name in recipe.groups[t].factors:
        missing |= table.grouping(name).codes[kept] < 0
    strange = np.flatnonzero((codes < 0) & ~missing)
    if len(strange):
        names = _labels(recipe, table, kept[strange], t)
        if _other_type(recipe, table, t):
            raise DataError(
                f"{recipe.groups[t].label!r} holds numbers where the fit had text, or text where it had numbers ({names[0]}, "
                f"known: {recipe.groups[t].levels[0]!r}): convert the column"
            )
        more = ", ..." if len(names) > _NAMED else ""
        raise DataError(
            f"{recipe.groups[t].label!r} has levels the fit never saw: {', '.join(names[:_NAMED])}{more} (first in row "
            f"{kept[strange[0]]} of the new data, counted from 0). Set allow_new_levels=True to predict them with random "
            "effects of zero, or re=False for predictions without random effects"
        )
    return ~missing


def _other_type(recipe: Recipe, table: Table, t: int) -> bool:
    """Whether a column has numbers where the fit had text, or the other way round."""
    parts = zip(recipe.groups[t].factors, recipe.groups[t].part_levels, strict=True)
    return any(_is_text(table.grouping(name).levels) != _is_text(levels) for name, levels in parts)


def _is_text(levels: np.ndarray) -> bool:
    return any(isinstance(level, str) for level in levels[:1].tolist())


def _labels(recipe: Recipe, table: Table, rows: np.ndarray, t: int) -> list[str]:
    """Distinct labels of the groups of some rows, in order of appearance."""
    parts = []
    for name in recipe.groups[t].factors:
        column = table.grouping(name)
        parts.append([str(level) for level in np.asarray(column.levels, dtype=object)[column.codes[rows]]])
    return list(dict.fromkeys(":".join(both) for both in zip(*parts, strict=True)))
