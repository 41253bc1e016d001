"""The printed page of a generalized linear mixed model, in the layout of lme4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixedfast.report.page import Page
from mixedfast.report.sections import Cells, Grid, Section
from mixedfast.report.text import (
    coefficient_grid,
    correlation_section,
    ddf_words,
    likelihood_grid,
    random_grid,
    row_notes,
)

if TYPE_CHECKING:
    from mixedfast.inference.ddf.methods import DDF
    from mixedfast.report.protocols import GeneralizedModel

__all__ = ["glmm_page"]

#: What the parameter of the variance is called, by family.
_DISPERSIONS = {
    "Gamma": "Dispersion phi (variance phi mu^2)",
    "inverse_gaussian": "Dispersion phi (variance phi mu^3)",
    "nbinom2": "Dispersion kappa (variance mu + mu^2 / kappa)",
}


def glmm_page(m: GeneralizedModel, ddf: DDF | None) -> Page:
    """Lay out the page of a generalized linear mixed model."""
    nodes = f"quadrature, {m.n_agq} nodes"
    how = nodes if m.n_agq > 1 else "Laplace approximation"
    tests = {"None": "", "asymptotic": "; z tests"}.get(
        str(ddf), f"; t tests with {ddf_words(ddf)}"
    )
    title = (
        f"Generalized linear mixed model fit by maximum likelihood ({how}){tests}\n"
        f"Family: {m.family} ({m.link})\nFormula: {m.formula}"
    )
    table = m.coef_table(ddf=ddf or "asymptotic")
    letter = "z" if ddf in (None, "asymptotic") else "t"
    with_df = ddf not in (None, "asymptotic")
    notes = row_notes(m.n_dropped, m.dropped_columns)
    if m.is_singular:
        notes.append(
            "Singular fit: a variance is estimated as zero, or a correlation as one. The estimates "
            "are valid; a simpler random part fits equally well."
        )
    if not m.converged:
        notes.append(f"Not converged: {m.optimization['message']}.")
    notes += [f"{sentence[0].upper()}{sentence[1:]}." for sentence in m.not_identified]
    parts: list[Section | None] = [
        title,
        likelihood_grid(m),
        random_grid(m.varcorr, m.nobs, m.n_groups),
        _dispersion_line(m),
        coefficient_grid(table, "Fixed effects:", letter, with_df, tests=ddf is not None),
        _threshold_grid(m),
        correlation_section(m.vcov()),
        "\n".join(notes) or None,
    ]
    return Page([part for part in parts if part is not None])


def _dispersion_line(m: GeneralizedModel) -> Section | None:
    """Write the dispersion, or kappa, of a family that has one."""
    if m.family not in _DISPERSIONS:
        return None
    return f"{_DISPERSIONS[m.family]}: {m.dispersion:.4g}"


def _threshold_grid(m: GeneralizedModel) -> Section | None:
    """Lay out the thresholds of a cumulative model."""
    if not len(m.thresholds):
        return None
    names = tuple(str(name) for name in m.thresholds.index)
    values = tuple(f"{value:.4f}" for value in m.thresholds)
    return Grid((Cells("", names, left=True), Cells("Estimate", values)), "Thresholds:")
