"""Printed pages of models, in the layout of lme4, lmerTest and ``lm`` in R.

A page is a list of sections (`mixedfast.report.sections`), which `mixedfast.report.page` formats.
Functions here lay out the numbers of a result; they compute nothing about the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._validation import check_kind
from mixedfast.data.frames_out import as_pandas
from mixedfast.errors import DataError
from mixedfast.inference.ddf.cluster_robust import ClusterRobust
from mixedfast.report.number_format import (
    STARS_LEGEND,
    chop,
    decimals,
    p_value,
    p_values,
    significant,
    stars,
)
from mixedfast.report.page import Page, page_text
from mixedfast.report.sections import RULE, Cells, Grid, Section

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.inference.ddf.methods import DDF
    from mixedfast.report.protocols import GeneralizedModel, LeastSquaresModel, MixedModel

__all__ = [
    "Summary",
    "anova_grid",
    "anova_text",
    "coefficient_grid",
    "correlation_section",
    "ddf_words",
    "likelihood_grid",
    "matrix_grid",
    "monte_carlo_note",
    "ols_page",
    "page",
    "random_grid",
    "row_notes",
]

#: The correlations of more coefficients than this would fill the screen.
_MOST_CORRELATIONS = 12

_DDF_WORDS = {
    "residual": "residual degrees of freedom",
    "group": "groups minus predictors minus one as degrees of freedom",
    "hlm": "the HLM program's degrees of freedom",
    "inner-outer": "inner-outer degrees of freedom",
    "between-within": "between-within degrees of freedom",
    "containment": "containment degrees of freedom",
    "satterthwaite": "Satterthwaite's degrees of freedom",
    "kenward-roger": "Kenward and Roger's degrees of freedom",
}

_HEADERS = {
    "df": "Df",
    "sum_sq": "Sum Sq",
    "mean_sq": "Mean Sq",
    "num_df": "NumDF",
    "den_df": "DenDF",
    "f_value": "F value",
    "chisq": "Chisq",
    "loglik": "logLik",
    "aic": "AIC",
    "bic": "BIC",
    "statistic": "Statistic",
}


# --- parts of pages ------------------------------------------------------------------------------


def _labels(names: Iterable[Any], header: str = "") -> Cells:
    return Cells(header, tuple(map(str, names)), left=True)


def _star_cells(values: Sequence[float]) -> Cells:
    return Cells("", tuple(map(stars, values)), left=True)


def _quantile_grid(residuals: np.ndarray, heading: str) -> Grid:
    """Lay out five quantiles of the residuals."""
    values = chop(np.quantile(residuals, [0, 0.25, 0.5, 0.75, 1]).tolist(), 5)
    names = ("Min", "1Q", "Median", "3Q", "Max")
    shown = significant(values, 4)
    return Grid(
        tuple(Cells(name, (text,)) for name, text in zip(names, shown, strict=True)), heading
    )


def coefficient_grid(
    table: pd.DataFrame, heading: str, letter: str, with_df: bool, tests: bool
) -> Grid:
    """Lay out estimates, standard errors and their tests.

    Parameters
    ----------
    table : DataFrame
        From ``coef_table``.
    heading : str
    letter : str
        ``"t"`` or ``"z"``.
    with_df, tests : bool
        Whether to show the degrees of freedom, and the p-values.
    """
    scale = ["estimate", "std_error", *(["df"] if with_df else [])]
    # the same decimals for the whole block, so that estimates compare with their errors
    block = significant(table[scale].to_numpy(dtype=float).T.ravel().tolist(), 4)
    n = len(table)
    headers = ("Estimate", "Std. Error", "df")
    columns = [Cells(headers[j], tuple(block[j * n : (j + 1) * n])) for j in range(len(scale))]
    ratios = [round(value, 3) for value in table["statistic"].tolist()]
    columns.append(Cells(f"{letter} value", tuple(significant(ratios, 4))))
    note = ""
    if tests:
        values = table["p_value"].tolist()
        columns += [Cells(f"Pr(>|{letter}|)", tuple(p_values(values))), _star_cells(values)]
        note = f"{RULE}{STARS_LEGEND}"
    return Grid((_labels(table.index), *columns), heading, note)


def matrix_grid(frame: pd.DataFrame, heading: str = "", digits: int = 7) -> Grid:
    """Lay out a square table of numbers, such as a correlation matrix, with names on both sides."""
    columns = (
        Cells(str(name), tuple(significant(frame[name].tolist(), digits))) for name in frame.columns
    )
    return Grid((_labels(frame.index), *columns), heading)


def anova_grid(frame: pd.DataFrame, heading: str, p_header: str = "Pr(>F)") -> Grid:
    """Lay out an analysis-of-variance or likelihood-ratio table as R prints it.

    Parameters
    ----------
    frame : DataFrame, terms or models as index
        Columns ``p_value``, ``f_value`` or ``chisq`` and any others: degrees of freedom, sums of
        squares. A missing value leaves its cell blank; a column of strings is aligned left.
    heading : str
    p_header : str
        Header of the p values; ``Pr(>Chisq)`` when there is a column ``chisq``.
    """
    p_header = "Pr(>Chisq)" if "chisq" in frame.columns else p_header
    columns = [
        _anova_cells(name, frame[name].tolist(), p_header) for name in map(str, frame.columns)
    ]
    note = ""
    if "p_value" in frame.columns:
        columns.insert(
            list(frame.columns).index("p_value") + 1, _star_cells(frame["p_value"].tolist())
        )
        note = f"{RULE}{STARS_LEGEND}"
    return Grid((_labels(frame.index), *columns), heading, note)


def _anova_cells(name: str, values: list[Any], p_header: str) -> Cells:
    """Lay out one column of an analysis of variance: p values, test statistics or amounts."""
    if any(isinstance(value, str | bool) for value in values):
        return _labels(("" if value is None or value != value else value for value in values), name)
    if name == "p_value":
        shown = p_values(values, 4)
    elif name in ("f_value", "chisq", "statistic"):
        shown = significant([round(value, 4) for value in values], 5)
    else:
        shown = significant(chop(values, 5), 5)
    blank = ("" if math.isnan(value) else text for value, text in zip(values, shown, strict=True))
    return Cells(p_header if name == "p_value" else _HEADERS.get(name, name), tuple(blank))


def page(table: Any, heading: str = "") -> Page:
    """Format a table of results as a page, with the digits of R, in text, HTML, Markdown or LaTeX.

    Parameters
    ----------
    table : DataFrame or pyarrow Table
        From methods such as ``coef_table``, ``anova``, ``tidy`` or ``emmeans(...).to_frame``, in
        any library.
    heading : str

    Returns
    -------
    Page
        ``print`` it, show it in a notebook, or take ``to_markdown()`` and ``to_latex()``.

    Raises
    ------
    DataError
        When `table` is not a table.

    Examples
    --------
    >>> import mixedfast as mf
    >>> m = mf.lmer("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> print(mf.page(m.anova("II"), "Type II:"))
    Type II:
         Sum Sq Mean Sq NumDF DenDF F value    Pr(>F)
    Days  30031   30031     1    17  45.853 3.264e-06 ***
    ---
    Signif. codes: 0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1
    """
    import pandas as pd

    if hasattr(table, "summary"):
        raise DataError(
            "mf.page formats a table, such as m.coef_table(); the page of a model is m.summary()"
        )
    check_kind("heading", heading, str, "text")
    frame, first = as_pandas(table), ""
    if frame.index.nlevels > 1 or (
        frame.index.name is None and isinstance(frame.index, pd.RangeIndex)
    ):
        flat = frame.reset_index(drop=frame.index.nlevels == 1)
        frame, first = flat.set_index(flat.columns[0]), str(flat.columns[0])
    grid = anova_grid(frame, heading, "Pr(>F)" if "f_value" in frame else "Pr(>|t|)")
    return Page(
        (replace(grid, columns=(replace(grid.columns[0], header=first), *grid.columns[1:])),)
    )


def anova_text(frame: pd.DataFrame, heading: str) -> str:
    """Format the table of `anova_grid` as text.

    Parameters
    ----------
    frame : DataFrame, terms or models as index
    heading : str

    Examples
    --------
    >>> import pandas as pd
    >>> numbers = {"df": [1, 8], "sum_sq": [9.0, 4.0], "f_value": [18.0, float("nan")]}
    >>> table = pd.DataFrame(numbers, index=["x", "Residuals"])
    >>> print(anova_text(table, "Analysis of variance, response: y"))
    Analysis of variance, response: y
              Df Sum Sq F value
    x          1      9      18
    Residuals  8      4
    """
    return page_text((anova_grid(frame, heading),))


def row_notes(n_dropped: int, dropped_columns: Sequence[str]) -> list[str]:
    """Write notes on rows and columns left out of the model."""
    notes = []
    if n_dropped:
        notes.append(f"{n_dropped} row{'s' if n_dropped > 1 else ''} left out: missing values.")
    if dropped_columns:
        notes.append(
            f"Left out, a linear combination of other columns: {', '.join(dropped_columns)}."
        )
    return notes


# --- the mixed model -----------------------------------------------------------------------------


class Summary(Page):
    """The page of a mixed model.

    Parameters
    ----------
    m : LMMResult
    ddf : str or None
        The method of the denominator degrees of freedom; None leaves tests out.
    """

    def __init__(self, m: MixedModel, ddf: DDF | None = "satterthwaite") -> None:
        super().__init__(_lmm_sections(m, ddf))


def _lmm_sections(m: MixedModel, ddf: DDF | None) -> list[Section]:
    parts: list[Section | None] = [
        _lmm_title(m, ddf),
        _criterion(m),
        _scaled_residuals(m),
        random_grid(m.varcorr, m.nobs, m.n_groups),
        _fixed_grid(m, ddf),
        correlation_section(m.vcov()),
        "\n".join(_lmm_notes(m, ddf)) or None,
    ]
    return [part for part in parts if part is not None]


def _lmm_title(m: MixedModel, ddf: DDF | None) -> str:
    how = "REML" if m.reml else "maximum likelihood"
    tests = {"None": "", "asymptotic": "; large-sample z tests"}.get(
        str(ddf), f"; t tests with {ddf_words(ddf)}"
    )
    weights = "\nWeights: precision weights" if m.weights_used else ""
    return f"Linear mixed model fit by {how}{tests}\nFormula: {m.formula}{weights}"


def ddf_words(ddf: DDF | None) -> str:
    """Name a method of degrees of freedom in words."""
    if isinstance(ddf, ClusterRobust):
        return (
            f"standard errors robust to clusters ({ddf.kind}, {ddf.n_clusters} clusters of "
            f"{ddf.cluster}) and Satterthwaite's degrees of freedom"
        )
    name, _, how = str(ddf).partition(" (")
    return _DDF_WORDS.get(name, f"{name} degrees of freedom") + (f" ({how}" if how else "")


def _criterion(m: MixedModel) -> Section:
    """Lay out the REML criterion, or under ML the likelihood and the information criteria."""
    if m.reml:
        return f"REML criterion at the optimum: {m.criterion:.1f}"
    return likelihood_grid(m)


def likelihood_grid(m: MixedModel | GeneralizedModel) -> Grid:
    """Lay out the information criteria and the likelihood."""
    numbers = {"AIC": m.aic, "BIC": m.bic, "logLik": m.loglik, "deviance": m.criterion}
    cells = [Cells(name, (f"{value:.1f}",)) for name, value in numbers.items()]
    return Grid((*cells, Cells("df.resid", (str(m.nobs - m.df_model),))))


def _scaled_residuals(m: MixedModel) -> Section:
    """Lay out quantiles of the scaled residuals, or say why there are none."""
    if m.is_streamed:  # reading the rows again would take as long as the fit
        return (
            "Scaled residuals: not shown because the rows are not in memory "
            "(resid() and augment_to() read them again)."
        )
    try:
        residuals = m.resid(type="scaled")
    except DataError:  # fitted from cross-products, or unpickled: the rows are elsewhere
        return (
            "Scaled residuals: not shown because this result was made without the rows of the data."
        )
    return _quantile_grid(residuals, "Scaled residuals:")


def random_grid(varcorr: pd.DataFrame, nobs: int, n_groups: Mapping[str, int]) -> Grid:
    """Lay out variances, standard deviations and correlations of the random effects."""
    rows = _random_rows(varcorr)
    columns = [
        _labels([group for group, *_ in rows], "Groups"),
        _labels([name for _, name, *_ in rows], "Name"),
        Cells("Variance", tuple(significant([variance for _, _, variance, _, _ in rows], 4))),
        Cells("Std.Dev.", tuple(significant([sd for *_, sd, _ in rows], 4))),
    ]
    if any(correlations for *_, correlations in rows):
        shown = (" ".join(f"{text:>5}" for text in decimals(row[-1], 2)) for row in rows)
        columns.append(Cells("Corr", tuple(shown), left=True))
    groups = "; ".join(f"{name}, {count}" for name, count in n_groups.items())
    return Grid(tuple(columns), "Random effects:", f"Number of obs: {nobs}, groups: {groups}")


def _random_rows(varcorr: pd.DataFrame) -> list[tuple[str, str, float, float, list[float]]]:
    """List group, name, variance, standard deviation and correlations with the rows above.

    The group is named on the first row of a set of correlated effects only, so an uncorrelated
    effect (``||``) names its group again.
    """
    records = varcorr.to_dict("records")
    pairs = {
        (r["group"], frozenset((r["name1"], r["name2"]))): r["corr"]
        for r in records
        if _is_covariance(r)
    }
    rows: list[tuple[str, str, float, float, list[float]]] = []
    group, names = "", list[str]()
    for record in (r for r in records if not _is_covariance(r)):
        name = record["name1"] if isinstance(record["name1"], str) else ""
        found = [pairs.get((record["group"], frozenset((other, name)))) for other in names]
        correlations = [value for value in found if value is not None]
        joined = bool(correlations) and record["group"] == group
        group, names = record["group"], [*names, name] if joined else [name]
        shown = "" if joined else group
        rows.append((shown, name, record["variance"], record["sd"], correlations if joined else []))
    return rows


def _is_covariance(record: Mapping[Any, Any]) -> bool:
    return isinstance(record["name2"], str) and record["name2"] != ""


def _fixed_grid(m: MixedModel, ddf: DDF | None) -> Grid:
    """Lay out the fixed effects; without a method of degrees of freedom, no tests either."""
    table = m.coef_table(ddf=ddf or "asymptotic")
    letter = "z" if ddf == "asymptotic" else "t"
    return coefficient_grid(
        table,
        "Fixed effects:",
        letter,
        with_df=ddf not in (None, "asymptotic"),
        tests=ddf is not None,
    )


def correlation_section(vcov: pd.DataFrame) -> Section | None:
    """Lay out the lower triangle of the correlations of the coefficients; None for a single one."""
    names = [str(name) for name in vcov.index]
    if len(names) < 2:
        return None
    if len(names) > _MOST_CORRELATIONS:
        return (
            f"Correlation of fixed effects: not shown for {len(names)} coefficients; "
            "vcov() has the covariances."
        )
    covariance = vcov.to_numpy(dtype=float)
    sds = np.sqrt(np.diag(covariance))
    shown = [decimals(row, 3) for row in (covariance / np.outer(sds, sds)).tolist()]
    below = range(1, len(names))
    columns = (
        Cells(_abbreviate(names[j], 6), tuple(shown[i][j] if j < i else "" for i in below))
        for j in range(len(names) - 1)
    )
    labels = _labels([_abbreviate(names[i], 11) for i in below])
    return Grid((labels, *columns), "Correlation of fixed effects:")


def _abbreviate(name: str, length: int) -> str:
    """Shorten a name: drop its last small vowels, then its last small letters, then its end."""
    for droppable in ("aeiou", "abcdefghijklmnopqrstuvwxyz"):
        for position in range(len(name) - 1, 0, -1):
            if len(name) > length and name[position] in droppable and name[position - 1].isalnum():
                name = name[:position] + name[position + 1 :]
    return name[:length]


def _lmm_notes(m: MixedModel, ddf: DDF | None) -> list[str]:
    """Write the notes that a reader of the page must know about the data and the fit."""
    notes = row_notes(m.n_dropped, m.dropped_columns)
    name = str(ddf).partition(" (")[0]
    if m.is_singular:
        notes.append(
            "Singular fit: a variance is estimated as zero, or a correlation as one. "
            "The estimates are valid; a simpler random part fits equally well."
        )
        if name == "satterthwaite":
            notes.append(
                "Satterthwaite's degrees of freedom treat a variance estimated as zero as known, "
                "as in lmerTest."
            )
        if name == "kenward-roger":
            notes.append(
                "Kenward and Roger's degrees of freedom treat a variance estimated as zero as "
                "estimated, as in pbkrtest."
            )
    if name == "kenward-roger" and not m.reml:
        notes.append("Kenward and Roger's tests are those of the same model refitted by REML.")
    notes += monte_carlo_note(m)
    notes += [
        f"Not identified: {what}. Standard errors and tests that depend on it are NaN."
        for what in m.not_identified
    ]
    if not m.converged and not m.not_identified:
        notes.append(
            "The optimizer stopped before it reached an optimum: do not use these estimates."
        )
    return notes


def monte_carlo_note(m: MixedModel) -> list[str]:
    """Write the sentence on the Monte-Carlo error of a fit with estimated traces, in a list."""
    error = m.optimization.get("monte_carlo") if m.engine == "krylov" else None
    if error is None or not error["probes"]:
        return []
    return [
        f"Traces are Monte-Carlo estimates from {error['probes']:,} probes: the error of the "
        f"variance parameters is at most {error['ratio']:.1e} of their standard errors, that of "
        f"the deviance about {error['deviance_se']:.1e}."
    ]


# --- ordinary regression -------------------------------------------------------------------------


def ols_page(lm: LeastSquaresModel, ddf: DDF = "residual") -> Page:
    """Lay out the page of a regression by least squares, like that of ``lm`` in R.

    Parameters
    ----------
    lm : LeastSquaresModel
    ddf : str
    """
    weighted = lm.weights_used
    robust = isinstance(ddf, ClusterRobust)
    tests = f"; {ddf_words(ddf)}" if robust else ""
    parts: list[Section] = [
        f"Linear model fit by {'weighted ' if weighted else ''}least squares{tests}\nFormula: "
        f"{lm.formula}",
        coefficient_grid(
            lm.coef_table(ddf),
            "Coefficients:",
            "z" if ddf == "asymptotic" else "t",
            with_df=robust,
            tests=True,
        ),
        "\n".join(_ols_fit_lines(lm)),
    ]
    if lm._design is not None:  # without the rows there are no residuals to show
        parts.insert(
            1,
            _quantile_grid(
                lm.resid("pearson"), "Weighted residuals:" if weighted else "Residuals:"
            ),
        )
    notes = row_notes(lm.n_dropped, lm.dropped_columns)
    if robust:
        notes.append("The F-statistic is that of independent errors with equal variances.")
    return Page([*parts, "\n".join(notes)] if notes else parts)


def _ols_fit_lines(lm: LeastSquaresModel) -> list[str]:
    lines = [f"Residual standard error: {lm.sigma:.4g} on {lm.df_resid} degrees of freedom"]
    if lm.fstatistic.df1 > 0:
        f = lm.fstatistic
        lines += [
            f"Multiple R-squared: {lm.r2().r2:.4g}, Adjusted R-squared: {lm.r2().adjusted:.4g}",
            f"F-statistic: {f.value:.4g} on {f.df1} and {f.df2} DF, p-value: {p_value(f.p)}",
        ]
    return lines
