"""statsmodels' MixedLM: nested intercepts are variance components.

Crossed factors need one group of all rows.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf

from benchmarks.model import Unsupported

#: With one group of all rows the covariance of y is a dense matrix: more rows than this are not
#: tried.
MOST_ROWS_IN_ONE_GROUP = 5_000


def prepare(model, columns):
    """Return the table, and the term whose group holds all others (None: one group of all rows)."""
    frame = pd.DataFrame(columns)
    if len(model.random) == 1:
        return frame, model.random[0]
    if any(term.slopes for term in model.random):
        raise Unsupported("no correlated slopes of a second factor")
    outer = next((term for term in model.random if holds_all(term, model, frame)), None)
    if outer is None:
        if len(frame) > MOST_ROWS_IN_ONE_GROUP:
            raise Unsupported("crossed factors only with a dense matrix of rows x rows")
        frame["everybody"] = 1
    return frame, outer


def holds_all(outer, model, frame):
    """Whether the other factors are nested in this one."""
    others = [term.group for term in model.random if term is not outer]
    return all(
        (frame.groupby(group, observed=True)[outer.group].nunique() == 1).all() for group in others
    )


def run(model, data, task):
    frame, outer = data
    inner = [term.group for term in model.random if term is not outer]
    m = smf.mixedlm(
        model.fixed_formula,
        frame,
        groups="everybody" if outer is None else outer.group,
        re_formula="0" if outer is None else " + ".join(("~1", *outer.slopes)),
        vc_formula={group: f"0 + C({group})" for group in inner} or None,
    ).fit(reml=model.reml)
    return m, m.bse_fe, outer


def answers(model, fitted):
    m, se, outer = fitted
    component = dict(zip(m.model.exog_vc.names, m.vcomp, strict=True)) if len(m.vcomp) else {}
    return {
        "criterion": -2 * float(m.llf),
        "reml": m.method == "REML",
        "beta": np.asarray(m.fe_params).tolist(),
        "se": np.asarray(se).tolist(),
        "df": None,
        "variances": [
            np.asarray(m.cov_re).tolist() if term is outer else [[float(component[term.group])]]
            for term in model.random
        ],
        "sigma2": float(m.scale),
        "evaluations": None,
        "converged": bool(m.converged),
    }
