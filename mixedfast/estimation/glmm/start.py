"""Starting values: coefficients without random effects, and moments of the working response."""

from __future__ import annotations

import numpy as np

from mixedfast.estimation.glmm.dispersion import first_extra, refined_extra
from mixedfast.estimation.glmm.families import Family
from mixedfast.estimation.glmm.rows import GLMMRows
from mixedfast.estimation.starting_values import starting_theta

__all__ = ["first_point", "glm_beta"]

#: Rows that determine the coefficients well enough to start from.
_MOST_ROWS = 100_000
#: Steps of Fisher scoring, and the change of the log likelihood, relative to it, that ends them.
_MAX_STEPS, _TOLERANCE = 25, 1e-6
_MAX_HALVINGS = 20
#: A linear predictor this large is separated data, or nearly so: a start need not go on.
_LARGEST_ETA = 30.0


def first_point(family: Family, rows: GLMMRows) -> np.ndarray:
    """Choose (theta, beta, extra) to start from, internal basis.

    beta of the model without random effects; theta from moments of its working response, as for a
    linear mixed model.
    """
    extra = first_extra(family, rows.y, rows.size)
    beta = glm_beta(family, rows, extra)
    fixed = rows.fixed(beta)
    if family.name != "cumulative":
        extra = refined_extra(family, extra, family.mean(fixed), rows.y, rows.size)
    now = family.rows(fixed, rows.y, rows.size, extra)
    w = np.where(now.w > 0.0, now.w, np.finfo(float).tiny)
    working = fixed + now.s / w - (0.0 if rows.offset is None else rows.offset)
    return np.concatenate([starting_theta(rows.products(w, working)), beta, extra])


def glm_beta(family: Family, rows: GLMMRows, extra: np.ndarray) -> np.ndarray:
    """Estimate beta of the model without random effects by Fisher scoring, (p,).

    From at most 100,000 rows. Where the family is not defined at the start, as may happen with a
    link that does not fit its range, the start is the best constant that is.
    """
    part = slice(None, None, -(-rows.n // _MOST_ROWS))
    X, y, size = rows.X[part], rows.y[part], rows.size[part]
    offset = np.zeros(len(y)) if rows.offset is None else rows.offset[part]
    eta = family.first_eta(y, size)
    beta, value = np.zeros(X.shape[1]), -np.inf
    for _ in range(_MAX_STEPS):
        now = family.rows(eta, y, size, extra)
        w = np.where(np.isfinite(now.w) & (now.w > 0.0), now.w, 0.0)
        working = np.where(w > 0.0, eta - offset + now.s / np.where(w > 0.0, w, 1.0), 0.0)
        root = np.sqrt(w)
        target = np.linalg.lstsq(X * root[:, None], working * root, rcond=None)[0]
        step, moved = target - beta, False
        for _ in range(_MAX_HALVINGS):
            eta = X @ (beta + step) + offset
            new = float(family.rows(eta, y, size, extra).l.sum())
            if np.isfinite(new) and new >= value:
                moved = True
                break
            step = 0.5 * step
        if not moved:
            break
        beta = beta + step
        done = new - value <= _TOLERANCE * (1.0 + abs(new))
        value = new
        if done or np.abs(eta - offset).max(initial=0.0) > _LARGEST_ETA:
            break
    return beta
