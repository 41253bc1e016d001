"""What needs the rows again after a fit: fitted values and residuals."""

from __future__ import annotations

import numpy as np

from mixedfast.columns import evaluate
from mixedfast.design import Design
from mixedfast.fitting import Fit

__all__ = ["fitted", "population", "residuals"]


def population(fit: Fit, design: Design) -> np.ndarray:
    """X beta plus the offset, (n,)."""
    out = np.zeros(design.n) if design.offset is None else np.array(design.offset, dtype=float)
    for j, coefficient in zip(fit.cp.kept, fit.beta, strict=True):
        out += coefficient * evaluate(design.x[j], design.n)
    return out


def fitted(fit: Fit, design: Design) -> np.ndarray:
    """X beta + Z b plus the offset, (n,)."""
    out = population(fit, design)
    for term, shape in zip(design.terms, fit.cp.terms, strict=True):
        modes = fit.modes[shape.group]
        for a, column in enumerate(term.columns, shape.start):
            effect = modes[:, a][term.codes]
            out += effect * evaluate(column, design.n) if column else effect
    return out


def residuals(fit: Fit, design: Design, fitted_values: np.ndarray, kind: str) -> np.ndarray:
    """Residuals of one kind (see `LMMResult.resid`), (n,)."""
    if kind == "marginal":
        return design.y - population(fit, design)
    raw = design.y - fitted_values
    if kind == "response":
        return raw
    if kind not in ("pearson", "scaled"):
        raise ValueError(f'resid(type={kind!r}): one of "response", "pearson", "scaled", "marginal"')
    weighted = raw if design.weights is None else raw * np.sqrt(design.weights)
    return weighted if kind == "pearson" else weighted / fit.sigma
