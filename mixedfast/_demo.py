"""The demonstration: a complete analysis of a data set of the package.

Students' mathematics scores and socio-economic status in 160 high schools: describe them, regress,
see why ordinary regression is not enough, fit the mixed model, and compare methods of degrees of
freedom. Every number on the page is computed when it is printed.
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

#: The residuals of a school lean to one side when at least this share of them has one sign.
_LEANING = 2 / 3

_BINS = 10

#: Times this the median absolute deviation of normal data estimates their standard deviation.
_MAD_SCALE = 1.4826


def demo_text() -> str:
    """Return the whole analysis as text.

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
    """Return the whole analysis as an HTML page: `demo_text` and the report of the mixed model."""
    from mixedfast.report.html import document, report_body

    m = _model()
    report = Heading("7. The mixed model in full, with pictures")
    body = f"<article>\n{page_html([*demo_sections(m), report])}\n</article>\n{report_body(m)}"
    return document(_TITLE, body)


def _model() -> LMMResult:
    import mixedfast as mf

    return mf.lmer(_FORMULA, mf.load_dataset("hsb"))


def demo_sections(m: LMMResult | None = None) -> tuple[Section, ...]:
    """Return the whole analysis as sections; `m` is the mixed model if it is fitted already."""
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
    """Format a p value after the letter p: ``< 2.2e-16`` or ``= 0.012``."""
    shown = p_value(p)
    return shown if shown.startswith("<") else f"= {shown}"


def _say(*sentences: str) -> str:
    return " ".join(sentences)


# --- before the mixed model ----------------------------------------------------------------------


def _outcome(students: pd.DataFrame) -> tuple[Section, ...]:
    statistics = _statistics(students["math"].to_numpy())
    names = Cells("", tuple(statistics), left=True)
    values = Cells("math", tuple(decimals(list(statistics.values()), 2)))
    pair = students[["ses", "math"]].corr()
    return (
        Heading("1. The outcome and its correlation with socio-economic status"),
        Grid((names, values)),
        matrix_grid(pair, "Correlation:"),
        f"Students of higher status score {'higher' if pair.to_numpy()[0, 1] > 0 else 'lower'}.",
    )


def _statistics(values: np.ndarray) -> dict[str, float]:
    """Compute the statistics of ``psych::describe`` in R.

    Skewness and kurtosis are central moments over powers of the standard deviation with divisor n -
    1, "type 3" of Joanes and Gill (1998, The Statistician 47).
    """
    from scipy import stats

    n, sd = len(values), float(values.std(ddof=1))
    shrunk = 1 - 1 / n
    return {
        "n": n,
        "mean": values.mean(),
        "sd": sd,
        "median": np.median(values),
        "trimmed": stats.trim_mean(values, 0.1),
        "mad": _MAD_SCALE * stats.median_abs_deviation(values),
        "min": values.min(),
        "max": values.max(),
        "range": np.ptp(values),
        "skew": stats.skew(values) * shrunk**1.5,
        "kurtosis": stats.kurtosis(values, fisher=False) * shrunk**2 - 3,
        "se": sd / np.sqrt(n),
    }


def _case_level(cases: OLSResult) -> tuple[Section, ...]:
    f = cases.fstatistic
    return (
        Heading("2. Ordinary regression on the students"),
        *cases.summary().sections,
        anova_grid(cases.anova(), "Analysis of variance, response: math"),
        _say(
            f"Status explains {cases.r2().r2:.0%} of the variance of the scores:",
            f"F({f.df1}, {f.df2}) = {f.value:.4g}, p {_compared(f.p)}.",
            f"The test treats the {cases.nobs} students as independent.",
        ),
    )


def _dependence(cases: OLSResult, school: np.ndarray) -> tuple[Section, ...]:
    """Show that the residuals of a school are not independent."""
    codes = np.unique(school.astype(str), return_inverse=True)[1]
    sizes = np.bincount(codes)
    positive = np.bincount(codes, weights=cases.resid() > 0) / sizes
    leaning = int(np.sum(np.maximum(positive, 1 - positive) >= _LEANING))
    return (
        Heading("3. They are not independent: the residuals by school"),
        _histogram(positive),
        _say(
            f"In {leaning} of {len(sizes)} schools at least two thirds of the residuals have the "
            "same sign.",
            f"If the signs were independent, {_expected_leaning(sizes):.1f} such schools would be "
            "expected.",
        ),
        _say(
            "The intraclass correlation of the residuals is "
            f"{_intraclass(cases.resid(), codes):.3f};",
            "for independent residuals it would be about zero.",
        ),
        _say(
            "Students in the same school are more alike than their status alone explains, so they "
            "carry less",
            "information than the same number of unrelated students. The residual degrees of "
            "freedom of the",
            "regression are too many and its standard errors too small.",
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
    """Compute the expected number of leaning schools if signs were tosses of a coin."""
    from scipy.special import bdtr

    least = np.ceil(_LEANING * sizes)
    # more than half of the tosses, so the two sides cannot both happen
    return float(np.sum(2 * bdtr(sizes - least, sizes, 0.5)))


def _intraclass(values: np.ndarray, codes: np.ndarray) -> float:
    """Compute the intraclass correlation of grouped values from the one-way analysis of variance.

    Source: Donner (1986), International Statistical Review 54, section 2: the estimator for unequal
    groups.
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
        Heading("4. A first solution: regression on the school means"),
        *fit.summary().sections,
        _say(
            f"Between schools status explains {fit.r2().r2:.0%} of the variance, with "
            f"{fit.df_resid} residual",
            "degrees of freedom. But the differences between students within a school are lost, "
            "and all",
            "schools have the same weight, with few or many students.",
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
        Heading("5. A better solution: a mixed model"),
        "Each school has its own line, drawn from a population of lines.",
        *m.summary().sections,
        _say(
            "A student of average status (ses = 0) in an average school is expected to score "
            f"{m.params['Intercept']:.2f};",
            f"a one-unit increase in status is associated with a {status:.2f}-point increase in "
            "mathematics.",
        ),
        _say(
            f"Variance within schools: {residual:.4f}. Variance between schools: {school:.4f} of "
            "the intercept,",
            f"{slope:.4f} of the slope.",
        ),
        _say(
            "How much do schools vary? Without status in the model, the share of the variance "
            "between",
            "schools (the intraclass correlation) is "
            f"{null_school / (null_school + null_residual):.3f}.",
            "For students of average status, in the model above, it is "
            f"{school / (school + residual):.3f}.",
        ),
        _say(
            f"Does the slope vary? It is {status:.2f} on average, and for 95% of schools it is "
            "between",
            f"{status - spread:.2f} and {status + spread:.2f}.",
        ),
        anova_grid(table, "Analysis of variance (type III, Satterthwaite's degrees of freedom):"),
        _say(
            "F is the mean square over the residual variance:",
            f"{table['mean_sq']['ses']:.0f} / {residual:.4f} = {table['f_value']['ses']:.1f}.",
        ),
    )


def _variance(m: LMMResult, group: str, place: int = 0) -> float:
    """Return the variance at a given place among those of a group."""
    rows = m.varcorr[(m.varcorr["group"] == group) & m.varcorr["name2"].isna()]
    return float(rows["variance"].iloc[place])


def _which_df(m: LMMResult) -> tuple[Section, ...]:
    """Compare the methods of degrees of freedom."""
    table = m.ddf_table().reset_index()
    of_status = table[table["term"] == "ses"]
    return (
        Heading("6. Which degrees of freedom?"),
        _say(
            "F compares with the residual variance within schools, but how many independent "
            "observations",
            "does the test rest on? At most the number of students, at least the number of "
            "schools. Each",
            "method gives its own number:",
        ),
        anova_grid(table.set_index("term")[["method", "df", "p_value"]], "", p_header="Pr(>|t|)"),
        _say(
            f"The largest p value for ses is {p_value(float(of_status['p_value'].max()))}: here "
            "the choice does",
            "not matter. With few groups it can decide.",
        ),
    )
