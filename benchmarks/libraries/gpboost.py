"""GPBoost: maximum likelihood and uncorrelated effects only.

It takes matrices, which are made before the clock starts.
"""

from __future__ import annotations

import gpboost as gpb
import numpy as np
import pandas as pd

from benchmarks.model import Unsupported


def prepare(model, columns):
    if any(term.slopes for term in model.random):
        raise Unsupported("slopes are uncorrelated with intercepts")
    groups = np.column_stack([np.asarray(columns[term.group]) for term in model.random])
    return columns[model.response].astype(float), design(model, columns), groups


def design(model, columns):
    """X with treatment contrasts, columns in the order of R's model.matrix."""
    rows = len(columns[model.response])

    def coded(name):
        values = columns[name]
        if isinstance(values, pd.Categorical):
            return (values.codes[:, None] == np.arange(1, len(values.categories))).astype(float)
        return np.asarray(values, float)[:, None]

    def term(expression):
        parts = [coded(name) for name in expression.split(":")]
        # The first factor's levels run fastest.
        return parts[0] if len(parts) == 1 else np.einsum("ni,nj->nji", *parts).reshape(rows, -1)

    return np.column_stack([np.ones(rows), *map(term, model.fixed)])


def run(model, data, task):
    y, X, groups = data
    m = gpb.GPModel(group_data=groups, likelihood="gaussian")
    m.fit(y=y, X=X)
    return m, m.get_coef(std_err=True, format_pandas=False)


def answers(model, fitted):
    m, (beta, se) = fitted
    sigma2, *variances = np.ravel(m.get_cov_pars(format_pandas=False))
    return {
        "criterion": 2 * float(m.get_current_neg_log_likelihood()),
        "reml": False,
        "beta": beta.tolist(),
        "se": se.tolist(),
        "df": None,
        "variances": [[[float(v)]] for v in variances],
        "sigma2": float(sigma2),
        "evaluations": None,
        "converged": None,
    }
