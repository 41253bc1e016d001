"""glmm (Rust): takes a pandas data frame.

Grouping identifiers are categories, whose codes it reads.
"""

from __future__ import annotations

import glmm
import numpy as np
import pandas as pd


def prepare(model, columns):
    groups = {term.group for term in model.random}
    return pd.DataFrame(
        {name: pd.Categorical(c) if name in groups else c for name, c in columns.items()}
    )


def run(model, data, task):
    return glmm.fit(
        data, model.formula, reml=model.reml, satterthwaite=task == "satterthwaite"
    ), task


def answers(model, fitted):
    fit, task = fitted
    return {
        "criterion": -2 * fit.loglik,
        "reml": bool(fit.reml),
        "beta": fit.beta.tolist(),
        "se": fit.se.tolist(),
        "df": list(map(float, fit.coef_df)) if task == "satterthwaite" else None,
        "variances": [symmetric(packed) for packed in fit.varcorr],
        "sigma2": fit.dispersion,
        "evaluations": int(fit.n_eval),
        "converged": bool(fit.converged),
    }


def symmetric(packed):
    """Return a matrix from the columns of its lower triangle."""
    k = round((np.sqrt(8 * len(packed) + 1) - 1) / 2)
    matrix = np.zeros((k, k))
    columns, rows = np.triu_indices(k)
    matrix[rows, columns] = matrix[columns, rows] = packed
    return matrix.tolist()
