"""Fitted values and residuals of the rows used."""

from __future__ import annotations

import numpy as np

from mixedfast._validation import check_choice
from mixedfast.design.types import Design
from mixedfast.errors import ArgumentError
from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.inference.prediction.henderson import linear_predictor
from mixedfast.inference.prediction.leverage import free_share
from mixedfast.inference.prediction.row_tiles import rows_of_design

__all__ = ["RESIDUALS", "fitted", "population", "residuals"]

RESIDUALS = ("response", "pearson", "scaled", "standardized")


def population(fit: LinearFit, design: Design) -> np.ndarray:
    """Compute X beta plus the offset, (n,)."""
    nothing = [np.zeros(group.k, dtype=bool) for group in fit.cp.groups]
    return linear_predictor(fit, rows_of_design(fit.cp, design, nothing))


def fitted(fit: LinearFit, design: Design) -> np.ndarray:
    """Compute X beta + Z b plus the offset, (n,)."""
    return linear_predictor(fit, rows_of_design(fit.cp, design))


def residuals(
    fit: LinearFit,
    design: Design,
    fitted_values: np.ndarray,
    kind: str,
    hat: np.ndarray | None = None,
) -> np.ndarray:
    """Compute residuals of one kind from fitted values, (n,); see `LMMResult.resid`.

    Standardized residuals need the leverage `hat` (n,); they are NaN for a row of leverage 1.
    """
    check_choice("type", kind, RESIDUALS)
    raw = design.y - fitted_values
    if kind == "response":
        return raw
    weighted = raw if design.weights is None else raw * np.sqrt(design.weights)
    if kind == "pearson":
        return weighted
    if kind == "scaled":
        return weighted / fit.sigma
    if hat is None:
        raise ArgumentError("standardized residuals need the leverage of each row")
    return weighted / (fit.sigma * np.sqrt(free_share(hat)))
