"""Coefficient tables: one row a fixed effect, with any df method, or with all of them side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mixedfast.errors import NotDefinedError
from mixedfast.estimation.linear_fit import LinearFit
from mixedfast.inference.ddf.methods import DDF, METHODS, boundary_note, t_test

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["coef_table", "ddf_table", "wald_intervals"]


def coef_table(fit: LinearFit, ddf: DDF = "satterthwaite", level: float = 0.95) -> pd.DataFrame:
    """t tests of all fixed effects; columns that could not be identified stay as rows of NaN.

    With df from random probes there is a last column, ``df_std_error``.
    """
    import pandas as pd

    meta = fit.cp.meta
    tests = t_test(fit, np.eye(fit.cp.p), 0.0, ddf, level)
    out = pd.DataFrame(np.nan, index=pd.Index(list(meta.x_names), name="term"), columns=list(tests))
    out.iloc[fit.cp.kept] = np.column_stack(list(tests.values()))
    return out


def ddf_table(fit: LinearFit, methods: tuple[str, ...] = METHODS) -> pd.DataFrame:
    """df and p value of every fixed effect by every method.

    Returns
    -------
    DataFrame
        Index ``(term, method)``, columns ``df, p_value, note``; where a method is not defined for the design the numbers are
        NaN and the note says why. At a singular fit the note is the rule that was used.
    """
    import pandas as pd

    rows = []
    for name in methods:
        try:
            tests, note = t_test(fit, np.eye(fit.cp.p), 0.0, name), boundary_note(fit, name)
        except NotDefinedError as error:
            tests, note = (
                {"df": np.full(fit.cp.p, np.nan), "p_value": np.full(fit.cp.p, np.nan)},
                str(error),
            )
        for i, term in enumerate(fit.cp.x_names):
            rows.append((term, name, tests["df"][i], tests["p_value"][i], note))
    frame = pd.DataFrame(rows, columns=["term", "method", "df", "p_value", "note"])
    order = {term: i for i, term in enumerate(fit.cp.x_names)}
    frame = frame.sort_values("term", key=lambda column: column.map(order), kind="stable")
    return frame.set_index(["term", "method"])


def wald_intervals(fit: LinearFit, level: float, ddf: DDF) -> pd.DataFrame:
    """Wald intervals of the fixed effects, columns ``conf_low, conf_high``."""
    return coef_table(fit, ddf, level)[["conf_low", "conf_high"]]
