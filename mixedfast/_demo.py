"""The analysis this library grew from, start to end, on the data it ships.

Students' mathematics scores and socio-economic status in 160 high schools: describe, regress, see why
ordinary regression will not do, fit the mixed model, and ask which degrees of freedom to use. Every
number on the page is computed when it is printed.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mixedfast.report.number_format import decimals, p_value
from mixedfast.report.page import page_html, page_text
from mixedfast.report.sections import Cells, Grid, Heading, Section
from mixedfast.report.text import anova_grid, matrix_grid

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.results import LMMResult, OLSResult

__all__ = ["demo_html", "demo_sections", "demo_text"]

_TITLE = "Socio-economic status and mathematics"

_FORMULA = "math ~ 1 + ses + (1 + ses | school)"

#: A school leans to one side when at least this share of its residuals has one sign.
_LEANING = 2 / 3

_BINS = 10


def demo_text() -> str:
    """The whole analysis as text.

    Returns
    -------
    str

    Examples
    --------
    >>> print(demo_text()[:42])
    Socio-economic status and mathematics
    ====
    """
    return page_text(demo_sections())


def demo_html() -> str:
    """The whole analysis as one HTML page: what `demo_text` says, then the report of the mixed model with its pictures."""
    from mixedfast.report.html import document, report_body

    m = _model()
    report = Heading("7. The mixed model in full, with pictures")
    body = f"<article>\n{page_html([*demo_sections(m), report])}\n</article>\n{report_body(m)}"
    return document(_TITLE, body)


def _model() -> LMMResult:
    import mixedfast as mf

    return mf.lmer(_FORMULA, mf.load_dataset("hsb"))


def demo_sections(m: LMMResult | None = None) -> tuple[Section, ...]:
    """The whole analysis as sections of a page, for text or HTML; `m` is the mixed model if it is fitted already."""
    import mixedfast as mf
    from mixedfast.datasets import citation, load_dataset

    students = load_dataset("hsb")
    cases = mf.lm("math ~ ses", students)
    null = mf.lmer("math ~ 1 + (1 | school)", students)
    m = _model() if m is None else m
    return (
        Heading(_TITLE, 1),
        f"Data: {citation('hsb')}",
        *_outcome(students),
        *_case_level(cases),
        *_dependence(cases, students["school"].to_numpy()),
        *_school_level(students),
        *_mixed(m, null),
        *_which_df(m),
    )


def _compared(p: float) -> str:
    """A p-value after the letter p: ``< 2.2e-16`` or ``= 0.012``."""
    shown = p_value(p)
    return shown if shown.startswith("<") else f"= {shown}"


def _say(*sentences: str) -> str:
    return " ".join(sentences)


# --- before the mixed model ----------------------------------------------------------------------


def _outcome(students: pd.DataFrame) -> tuple[Section, ...]:
    from mixedfast.report.describe import correlation, describe

    statistics = describe(students["math"])
    names = Cells("", tuple(map(str, statistics.index)), left=True)
    values = Cells("math", tuple(decimals(statistics.tolist(), 2)))
    pair = correlation(students, ["ses", "math"])
    return (
        Heading("1. The outcome, and how it goes with socio-economic status"),
        Grid((names, values)),
        matrix_grid(pair, "Correlation:"),
        f"Students of higher status score {'higher' if pair.to_numpy()[0, 1] > 0 else 'lower'}.",
    )


def _case_level(cases: OLSResult) -> tuple[Section, ...]:
    f = cases.fstatistic
    return (
        Heading("2. Ordinary regression on the students"),
        *cases.summary().sections,
        anova_grid(cases.anova(), "Analysis of variance, response: math"),
        _say(
            f"Status explains {cases.r2().r2:.0%} of the variance of the scores:",
            f"F({f.df1}, {f.df2}) = {f.value:.4g}, p {_compared(f.p)}.",
            f"The test counts {cases.nobs} students as independent.",
        ),
    )


def _dependence(cases: OLSResult, school: np.ndarray) -> tuple[Section, ...]:
    """The residuals school by school: they are not independent."""
    codes = np.unique(school.astype(str), return_inverse=True)[1]
    sizes = np.bincount(codes)
    positive = np.bincount(codes, weights=cases.resid() > 0) / sizes
    leaning = int(np.sum(np.maximum(positive, 1 - positive) >= _LEANING))
    return (
        Heading("3. They are not independent: the residuals by school"),
        _histogram(positive),
        _say(
            f"In {leaning} of {len(sizes)} schools at least two thirds of the residuals have the same sign.",
            f"Were the signs independent, one would expect {_expected_leaning(sizes):.1f} such schools.",
        ),
        _say(
            f"The intraclass correlation of the residuals is {_intraclass(cases.resid(), codes):.3f};",
            "independence would make it zero.",
        ),
        _say(
            "Students of one school are alike beyond their status. The regression knows less than it thinks:",
            "its residual degrees of freedom are too many and its standard errors too small.",
        ),
    )


def _histogram(share: np.ndarray) -> Grid:
    counts, edges = np.histogram(share, bins=_BINS, range=(0, 1))
    labels = tuple(f"{low:.0%} to {high:.0%}" for low, high in pairwise(edges))
    return Grid(
        (
            Cells("Positive", labels),
            Cells("Schools", tuple(map(str, counts))),
            Cells("", tuple("#" * count for count in counts), left=True),
        ),
        "Schools by the share of their residuals that are positive:",
    )


def _expected_leaning(sizes: np.ndarray) -> float:
    """How many schools would lean to one side if each residual's sign were the toss of a coin."""
    from scipy.special import bdtr

    least = np.ceil(_LEANING * sizes)
    # more than half of the tosses, so the two sides cannot both happen
    return float(np.sum(2 * bdtr(sizes - least, sizes, 0.5)))


def _intraclass(values: np.ndarray, codes: np.ndarray) -> float:
    """Intraclass correlation of grouped values, from the one-way analysis of variance.

    Source: Donner (1986), International Statistical Review 54, section 2: the estimator for unequal groups.
    """
    sizes = np.bincount(codes)
    means = np.bincount(codes, weights=values) / sizes
    n, groups = len(values), len(sizes)
    between = float(sizes @ (means - values.mean()) ** 2) / (groups - 1)
    within = float(np.sum((values - means[codes]) ** 2)) / (n - groups)
    typical_size = (n - float(sizes @ sizes) / n) / (groups - 1)
    return (between - within) / (between + (typical_size - 1) * within)


def _school_level(students: pd.DataFrame) -> tuple[Section, ...]:
    import mixedfast as mf

    means = students.groupby("school", observed=True)[["math", "ses"]].mean()
    schools = means.rename(columns={"math": "mean_math", "ses": "mean_ses"}).reset_index()
    fit = mf.lm("mean_math ~ mean_ses", schools)
    return (
        Heading("4. One way out: regression on the school means"),
        *fit.summary().sections,
        _say(
            f"Between schools status explains {fit.r2().r2:.0%} of the variance, and {fit.df_resid} residual",
            "degrees of freedom are honest. But what happens within a school is gone, and a school",
            "counts the same whether few or many of its students were asked.",
        ),
    )


# --- the mixed model -----------------------------------------------------------------------------


def _mixed(m: LMMResult, null: LMMResult) -> tuple[Section, ...]:
    school, slope, residual = (
        _variance(m, *place) for place in (("school", 0), ("school", 1), ("Residual", 0))
    )
    null_school, null_residual = _variance(null, "school"), _variance(null, "Residual")
    table = m.anova()
    status, spread = float(m.params["ses"]), 1.96 * np.sqrt(slope)
    return (
        Heading("5. The better way: a mixed model"),
        "Each school has its own line, drawn from a population of lines.",
        *m.summary().sections,
        _say(
            f"A student of average status (ses = 0) in an average school is expected to score {m.params['Intercept']:.2f};",
            f"one point of status more goes with {status:.2f} points more in mathematics.",
        ),
        _say(
            f"Variance within schools: {residual:.4f}. Between schools: {school:.4f} in the level at average",
            f"status, {slope:.4f} in the slope.",
        ),
        _say(
            "How much do schools vary? Without status in the model, the share of the variance that lies",
            "between schools (the intraclass correlation) is",
            f"{null_school / (null_school + null_residual):.3f}.",
            f"For students of average status, in the model above, it is {school / (school + residual):.3f}.",
        ),
        _say(
            f"Does the slope vary? It is {status:.2f} on average, and for 95% of schools it lies between",
            f"{status - spread:.2f} and {status + spread:.2f}.",
        ),
        anova_grid(table, "Analysis of variance (type III, Satterthwaite's degrees of freedom):"),
        _say(
            "F is the mean square over the residual variance:",
            f"{table['mean_sq']['ses']:.0f} / {residual:.4f} = {table['f_value']['ses']:.1f}.",
        ),
    )


def _variance(m: LMMResult, group: str, place: int = 0) -> float:
    """The variance in a given place among those of a group."""
    rows = m.varcorr[(m.varcorr["group"] == group) & m.varcorr["name2"].isna()]
    return float(rows["variance"].iloc[place])


def _which_df(m: LMMResult) -> tuple[Section, ...]:
    """The question the slides end on."""
    table = m.ddf_table().reset_index()
    of_status = table[table["term"] == "ses"]
    return (
        Heading("6. Which degrees of freedom?"),
        _say(
            "The residual variance within schools is the right yardstick, but how many independent",
            "observations stand behind it? At best all students count, at worst only the schools do.",
            "Each rule of the field has its answer:",
        ),
        anova_grid(table.set_index("term")[["method", "df", "p_value"]], "", p_header="Pr(>|t|)"),
        _say(
            f"The largest p-value for ses is {p_value(float(of_status['p_value'].max()))}:",
            "here it does not matter. With few groups it can make all the difference.",
        ),
    )
