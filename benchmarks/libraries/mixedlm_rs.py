"""mixedlm-rs (Rust), shaped like statsmodels: one grouping factor."""

from __future__ import annotations

import mixedlm_rs
import numpy as np
import pandas as pd

from benchmarks.model import Unsupported


def prepare(model, columns):
    if len(model.random) > 1:
        raise Unsupported("one grouping factor only")
    return pd.DataFrame(columns)


def run(model, data, task):
    (term,) = model.random
    m = mixedlm_rs.mixedlm(
        model.fixed_formula, data, groups=term.group, re_formula=" + ".join(("~1", *term.slopes))
    ).fit(reml=model.reml)
    return m, m.bse_fe


def answers(model, fitted):
    m, se = fitted
    return {
        "criterion": -2 * float(m.llf),
        "reml": bool(m.reml),
        "beta": np.asarray(m.fe_params).tolist(),
        "se": np.asarray(se).tolist(),
        "df": None,
        "variances": [np.asarray(m.cov_re).tolist()],
        "sigma2": float(m.scale),
        "evaluations": None,
        "converged": bool(m.converged),
    }
