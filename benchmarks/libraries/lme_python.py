"""lme-python (Rust): takes a polars data frame.

Grouping identifiers are strings, the only kind it groups by.
"""

from __future__ import annotations

import lme_python
import numpy as np
import pandas as pd
import polars as pl


def prepare(model, columns):
    groups = {term.group for term in model.random}

    def column(name, values):
        if isinstance(values, pd.Categorical):
            return pl.Series(name, np.asarray(values).astype(str))
        return (
            pl.Series(name, values).cast(pl.String) if name in groups else pl.Series(name, values)
        )

    return pl.DataFrame([column(name, values) for name, values in columns.items()])


def run(model, data, task):
    m = lme_python.lmer(model.formula, data, reml=model.reml)
    if task == "satterthwaite":
        m.with_satterthwaite(data)
    if task == "kenward-roger":
        m.with_kenward_roger(data)
    return (
        m,
        m.beta_se,
        {"satterthwaite": m.satterthwaite_dfs, "kenward-roger": m.kenward_roger_dfs}.get(task),
    )


def answers(model, fitted):
    m, se, df = fitted
    value = {(group, frozenset((a, b))): v for group, a, b, v, _ in m.var_corr}

    def covariance(term):
        names = ("(Intercept)", *term.slopes)
        return [[value[term.group, frozenset((a, b))] for b in names] for a in names]

    return {
        "criterion": m.reml_criterion if model.reml else -2 * m.log_likelihood,
        "reml": m.reml_criterion is not None,
        "beta": m.coefficients,
        "se": se,
        "df": df,
        "variances": [covariance(term) for term in model.random],
        "sigma2": m.sigma2,
        "evaluations": m.iterations,
        "converged": bool(m.converged),
    }
