"""mixedlm (Rust and SciPy), from a pandas data frame; grouping identifiers as categories."""

from __future__ import annotations

import mixedlm
import numpy as np
import pandas as pd
from mixedlm.inference.ddf import kenward_roger_df, satterthwaite_df


def prepare(model, columns):
    groups = {term.group for term in model.random}
    return pd.DataFrame(
        {name: pd.Categorical(c) if name in groups else c for name, c in columns.items()}
    )


def run(model, data, task):
    m = mixedlm.lmer(model.formula, data, REML=model.reml)
    se = np.sqrt(np.diag(m.vcov()))
    if task == "standard errors":
        return m, se, None
    df = satterthwaite_df(m) if task == "satterthwaite" else kenward_roger_df(m)
    return m, se, df


def answers(model, fitted):
    m, se, df = fitted
    groups = m.VarCorr().groups
    return {
        "criterion": float(m.REMLcrit() if m.REML else m.get_deviance()),
        "reml": bool(m.REML),
        "beta": np.asarray(m.beta).tolist(),
        "se": se.tolist(),
        "df": None if df is None else np.asarray(df.df).tolist(),
        "variances": [np.asarray(groups[term.group].cov).tolist() for term in model.random],
        "sigma2": float(m.sigma) ** 2,
        "evaluations": int(m.function_evals),
        "converged": bool(m.converged),
    }
