"""mixedfast, from a pandas data frame."""

from __future__ import annotations

import pandas as pd

import mixedfast as mf


def prepare(model, columns):
    return pd.DataFrame(columns)


def run(model, data, task):
    m = mf.lmer(model.formula, data, REML=model.reml)
    if task == "standard errors":
        return m, m.bse, None
    table = m.coef_table(task)
    return m, table.std_error, table.df


def answers(model, fitted):
    m, se, df = fitted
    return {
        "criterion": m.criterion,
        "reml": m.reml,
        "beta": m.params.tolist(),
        "se": se.tolist(),
        "df": None if df is None else df.tolist(),
        "variances": [covariance(m.varcorr, term) for term in model.random],
        "sigma2": m.sigma**2,
        "evaluations": m.optimization["evaluations"],
        "converged": m.converged,
        "engine": m.optimization["engine"],
    }


def covariance(varcorr, term):
    names = ("Intercept", *term.slopes)
    mine = varcorr[varcorr.group == term.group]
    value = {
        frozenset((a, a if pd.isna(b) else b)): v
        for a, b, v in zip(mine.name1, mine.name2, mine.variance, strict=True)
    }
    return [[value[frozenset((a, b))] for b in names] for a in names]
