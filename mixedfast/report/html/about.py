"""Tables of a report that the printed summary does not have: rows, groups, and measures of fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mixedfast.report.number_format import significant
from mixedfast.report.sections import Cells, Grid

if TYPE_CHECKING:
    from mixedfast.report.protocols import MixedModel

__all__ = ["model_fit", "rows_and_groups"]


def rows_and_groups(m: MixedModel) -> list[Grid]:
    """Tabulate the response and the number of rows per level of each grouping factor.

    Without the rows, tabulate the numbers of levels alone.
    """
    names, counts = tuple(m.n_groups), tuple(f"{count:,}" for count in m.n_groups.values())
    columns = [Cells("Groups", names, left=True), Cells("Levels", counts)]
    design = m._design
    if design is None:
        return [Grid(tuple(columns))]
    codes = {term.group: term.codes for term in design.terms}
    sizes = [np.bincount(codes[name]) for name in names]
    for header, share in (("Fewest rows", 0.0), ("Median", 0.5), ("Most rows", 1.0)):
        columns.append(Cells(header, tuple(f"{np.quantile(size, share):,g}" for size in sizes)))
    y = design.y
    numbers = {"Mean": y.mean(), "Std.Dev.": y.std(ddof=1), "Smallest": y.min(), "Largest": y.max()}
    response = [
        Cells("Response", (m._fit.cp.meta.response,), left=True),
        Cells("Rows", (f"{m.nobs:,}",)),
        Cells("Left out", (f"{m.n_dropped:,}",)),
        *(Cells(header, tuple(significant([value], 4))) for header, value in numbers.items()),
    ]
    return [Grid(tuple(response)), Grid(tuple(columns))]


def model_fit(m: MixedModel) -> Grid:
    """Tabulate likelihood, criteria and shares of variance."""
    r2, icc = m.r2(), m.icc()
    rows = {
        "Log-likelihood" + (" (restricted)" if m.reml else ""): f"{m.loglik:.2f}",
        "Parameters": str(m.df_model),
        "AIC": f"{m.aic:.2f}",
        "BIC": f"{m.bic:.2f}",
        "R² of the predictors (marginal)": f"{r2.marginal:.3f}",
        "R² of predictors and groups (conditional)": f"{r2.conditional:.3f}",
        "Intraclass correlation": f"{icc.adjusted:.3f}",
    }
    return Grid((Cells("", tuple(rows), left=True), Cells("", tuple(rows.values()))))
