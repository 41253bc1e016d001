"""A report of a fit in one HTML file that loads nothing: tables, pictures, and a glossary."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._validation import check_kind
from mixedfast._versions import __version__
from mixedfast.errors import MissingLibraryError
from mixedfast.inference.ddf.methods import METHODS
from mixedfast.inference.hypotheses.coefficients import MethodTests, tests_by_method
from mixedfast.inference.intervals.bootstrap_intervals import Replicates, bootstrap_limits
from mixedfast.inference.intervals.profile import LikelihoodProfile, profile_limits
from mixedfast.report import narrative
from mixedfast.report.html.about import model_fit, rows_and_groups
from mixedfast.report.html.frame import document
from mixedfast.report.html.pictures import bootstrap_html, pictures_html, profile_html
from mixedfast.report.html.regression import regression_html
from mixedfast.report.number_format import STARS_LEGEND, decimals, p_values, significant, stars
from mixedfast.report.page import page_html
from mixedfast.report.sections import Cells, Grid, Section
from mixedfast.report.text import anova_grid, ddf_words, random_grid

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.report.protocols import MixedModel

__all__ = ["document", "regression_html", "report_body", "report_html"]

_LEVEL = 0.95

#: With several grouping factors Kenward and Roger's method needs a dense matrix of this order; a
#: report leaves out larger ones.
_MOST_DENSE = 4000

#: More decimals than this are hard to read.
_MOST_DECIMALS = 7

#: Number of coefficients that fit beside each other.
_BESIDE = 4

_PART_TITLES = {
    "answers": "In words",
    "data": "The data",
    "fixed": "Fixed effects",
    "random": "Random effects",
    "whole": "Model fit",
    "ddf": "Comparison of degrees of freedom",
    "intervals": "Confidence intervals of all parameters",
    "pictures": "Pictures",
    "fit": "Convergence",
    "methods": "For a methods section",
    "glossary": "Glossary",
}


def report_html(
    m: MixedModel,
    title: str | None = None,
    ddf: str = "satterthwaite",
    pictures: bool = True,
    profile: LikelihoodProfile | None = None,
    bootstrap: Replicates | None = None,
) -> str:
    """Build the report as one HTML document; see ``LMMResult.to_html``."""
    heading = m.formula if title is None else title
    check_kind("title", heading, str, "text")
    return document(
        heading, f"<h1>{escape(heading)}</h1>\n{report_body(m, ddf, pictures, profile, bootstrap)}"
    )


def report_body(
    m: MixedModel,
    ddf: str = "satterthwaite",
    pictures: bool = True,
    profile: LikelihoodProfile | None = None,
    bootstrap: Replicates | None = None,
) -> str:
    """Build the sections of a report, without the document around them.

    Parameters
    ----------
    m : MixedModel
        With pandas tables.
    ddf : str
        For the tests of the tables.
    pictures : bool
    profile, bootstrap : optional
        Shown as intervals when given.
    """
    table = m.coef_table(ddf, _LEVEL)
    usable = narrative.usable(m)
    parts = {
        "answers": _items(narrative.findings(m, table, _LEVEL)) if usable else "",
        "data": page_html(rows_and_groups(m)),
        "fixed": page_html(_fixed(m, table, ddf)),
        "random": page_html([replace(random_grid(m.varcorr, m.nobs, m.n_groups), heading="")]),
        "whole": page_html([model_fit(m)]),
        "ddf": _ddf(m),
        "intervals": _profiled(profile, pictures) + _bootstrapped(bootstrap, pictures),
        "pictures": _drawn(pictures_html, m) if pictures else "",
        "fit": _fit(m),
        "methods": f"<p>{prose(narrative.methods_paragraph(m, _tests(ddf), __version__))}</p>"
        if usable
        else "",
        "glossary": _glossary(m, table, ddf),
    }
    shown = {name: part for name, part in parts.items() if part}
    links = "".join(f'<li><a href="#{name}">{_PART_TITLES[name]}</a></li>' for name in shown)
    sections = "\n".join(
        f'<section id="{name}">\n<h2>{_PART_TITLES[name]}</h2>\n{part}\n</section>'
        for name, part in shown.items()
    )
    notices = "".join(
        f'<p class="notice" role="note">{prose(notice)}</p>\n' for notice in narrative.notices(m)
    )
    return (
        f'<p class="lead">{prose(narrative.lead(m))}</p>\n{notices}<p>Formula: '
        f"<code>{escape(m.formula)}</code></p>\n<nav "
        f'aria-label="Contents"><ul>{links}</ul></nav>\n<main>\n{sections}\n</main>\n<footer><p '
        f'class="soft">Made by mixedfast {escape(__version__)}. This page loads nothing from '
        "elsewhere.</p></footer>"
    )


def prose(text: str) -> str:
    """Escape a sentence for HTML; a number and its per cent sign stay on one line."""
    return escape(text).replace(" %", "&nbsp;%")


def _items(sentences: list[str]) -> str:
    return (
        f"<ul>{''.join(f'<li>{prose(sentence)}</li>' for sentence in sentences)}</ul>"
        if sentences
        else ""
    )


def _paragraphs(sentences: list[str]) -> str:
    return "\n".join(f"<p>{prose(sentence)}</p>" for sentence in sentences)


def _tests(ddf: str) -> str:
    return "the normal distribution" if ddf == "asymptotic" else ddf_words(ddf)


# --- tables ---------------------------------------------------------------------------------------


def _fixed(m: MixedModel, table: pd.DataFrame, ddf: str) -> list[Section]:
    """Tabulate the coefficients with intervals, then the F tests of the terms."""
    letter = "z" if ddf == "asymptotic" else "t"
    headers = {
        "estimate": "Estimate",
        "std_error": "Std. Error",
        "conf_low": f"{100 * _LEVEL:g} % from",
        "conf_high": f"{100 * _LEVEL:g} % to",
    }
    p = table["p_value"].tolist()
    columns = [
        Cells("", tuple(map(str, table.index)), left=True),
        *(Cells(header, _like_errors(table, name)) for name, header in headers.items()),
        Cells("df", tuple(decimals(table["df"].tolist(), 2))),
        Cells(f"{letter} value", tuple(decimals(table["statistic"].tolist(), 2))),
        Cells(f"Pr(>|{letter}|)", tuple(p_values(p))),
        Cells("", tuple(map(stars, p)), left=True),
    ]
    sections: list[Section] = [Grid(tuple(columns), "Coefficients:", STARS_LEGEND)]
    if any(term.variables for term in m._fit.cp.meta.fixed_terms):
        sections.append(anova_grid(m.anova("III", ddf), f"F tests of the terms (type III, {ddf}):"))
    return sections


def _like_errors(table: pd.DataFrame, name: str) -> tuple[str, ...]:
    """Format a column in decimals that show four digits of the smallest standard error.

    In powers of ten if those would be many decimals.
    """
    errors = table["std_error"].to_numpy(dtype=float)
    smallest = np.nanmin(errors, initial=np.inf, where=errors > 0)
    places = 3 - math.floor(math.log10(smallest)) if np.isfinite(smallest) else 4
    values = table[name].tolist()
    return tuple(
        decimals(values, max(places, 0)) if places <= _MOST_DECIMALS else significant(values, 4)
    )


def _ddf(m: MixedModel) -> str:
    """Tabulate degrees of freedom and p values by every method."""
    methods, notes = list(METHODS), []
    counts = sorted(m.n_groups.values())
    if len(counts) > 1 and sum(counts[:-1]) > _MOST_DENSE:
        methods.remove("kenward-roger")
        notes.append(
            f"Kenward-Roger is left out: it is slow for {sum(counts):,} levels of several factors; "
            'coef_table("kenward-roger") computes it.'
        )
    found = tests_by_method(m._fit, tuple(methods))
    notes += [
        tests.note if tests.note.startswith(tests.method) else f"{tests.method}: {tests.note}"
        for tests in found
        if tests.note
    ]
    shown = [tests for tests in found if not np.isnan(tests.df).all()]
    below = "".join(f'<p class="soft">{escape(note.rstrip("."))}.</p>' for note in notes)
    return page_html(_side_by_side(shown, list(m._fit.cp.x_names))) + below


def _side_by_side(found: list[MethodTests], terms: list[str]) -> list[Section]:
    """Lay out one row per method, or one per coefficient where there are many coefficients."""

    def cells(values: list[float], what: str) -> tuple[str, ...]:
        return (
            tuple(p_values(values, 3))
            if what == "p"
            else tuple(significant([round(value, 2) for value in values], 6))
        )

    methods = [tests.method for tests in found]
    df = np.array([tests.df for tests in found]).T
    p = np.array([tests.p_value for tests in found]).T
    if len(terms) <= _BESIDE:
        columns = [
            Cells(f"{term}: {what}", cells(values[i].tolist(), what))
            for i, term in enumerate(terms)
            for what, values in (("df", df), ("p", p))
        ]
        return [Grid((Cells("", tuple(methods), left=True), *columns))]
    names = Cells("", tuple(terms), left=True)
    return [
        Grid(
            (
                names,
                *(
                    Cells(method, cells(values[:, j].tolist(), what))
                    for j, method in enumerate(methods)
                ),
            ),
            heading,
        )
        for what, values, heading in (("df", df, "Degrees of freedom:"), ("p", p, "p values:"))
    ]


# --- the rest -------------------------------------------------------------------------------------


def _profiled(profile: LikelihoodProfile | None, pictures: bool) -> str:
    if profile is None:
        return ""
    check_kind("profile", profile, LikelihoodProfile, "what m.profile() gave")
    heading = "By profile likelihood (maximum likelihood estimates):"
    table = _interval_table(profile.estimates.items(), profile_limits(profile, _LEVEL), heading)
    return page_html([table]) + (_drawn(profile_html, profile, _LEVEL) if pictures else "")


def _bootstrapped(bootstrap: Replicates | None, pictures: bool) -> str:
    if bootstrap is None:
        return ""
    check_kind("bootstrap", bootstrap, Replicates, "what m.bootstrap() gave")
    estimates = zip(bootstrap.names, bootstrap.estimates.tolist(), strict=True)
    counts = f"{bootstrap.n_done:,} replicates, {bootstrap.n_singular:,} of them singular"
    heading = f"By parametric bootstrap ({counts}):"
    table = _interval_table(estimates, bootstrap_limits(bootstrap, _LEVEL), heading)
    return page_html([table]) + (_drawn(bootstrap_html, bootstrap, _LEVEL) if pictures else "")


def _interval_table(estimates: Iterable[tuple[str, float]], ends: np.ndarray, heading: str) -> Grid:
    """Tabulate one row per parameter, each in digits of its own, for parameters differ in scale."""
    names, values = zip(*estimates, strict=True)
    rows = [significant([value, *own], 4) for value, own in zip(values, ends.tolist(), strict=True)]
    headers = ("Estimate", f"{100 * _LEVEL:g} % from", f"{100 * _LEVEL:g} % to")
    columns = (Cells(header, tuple(row[i] for row in rows)) for i, header in enumerate(headers))
    return Grid((Cells("", names, left=True), *columns), heading)


def _drawn(draw: Callable[..., str], *what: Any) -> str:
    try:
        return draw(*what)
    except MissingLibraryError as error:
        return f"<p>Not drawn: {escape(str(error))}.</p>"


def _fit(m: MixedModel) -> str:
    """Describe the search for the estimates, with its log folded away."""
    found = m.optimization
    sentences = _paragraphs(narrative.convergence_sentences(m))
    facts = [
        (
            "Criterion",
            f"{'REML criterion' if m.reml else 'Deviance'} {narrative.number(m.criterion, 7)}",
        ),
        ("Engine", _engine(found["engine"])),
    ]
    if "log" not in found:
        return f"{sentences}\n{_facts(facts)}"
    facts += [
        ("Largest gradient", narrative.number(found["max_gradient"], 2)),
        ("Smallest curvature", narrative.number(found["min_hessian_eigenvalue"], 3)),
        ("Rejected steps", str(found["rejected"])),
    ]
    numbers, deviance, predicted = zip(*found["log"], strict=True)
    log = Grid(
        (
            Cells("Evaluation", tuple(map(str, numbers))),
            Cells("Criterion", tuple(f"{value:.6f}" for value in deviance)),
            Cells("Predicted decrease", tuple(f"{value:.2g}" for value in predicted)),
        )
    )
    details = f"<details><summary>The search step by step</summary>{page_html([log])}</details>"
    return f"{sentences}\n{_facts(facts)}\n{details}"


def _engine(described: dict[str, object]) -> str:
    """Describe the engine, its name first."""
    rest = "; ".join(
        f"{key.replace('_', ' ')}: {value}" for key, value in described.items() if key != "engine"
    )
    name = str(described["engine"])
    return f"{name} ({rest})" if rest else name


def _facts(facts: list[tuple[str, str]]) -> str:
    names, values = zip(*facts, strict=True)
    return page_html([Grid((Cells("", names, left=True), Cells("", values, left=True)))])


def _glossary(m: MixedModel, table: pd.DataFrame, ddf: str) -> str:
    entries = narrative.glossary(m, table, ddf, _LEVEL)
    listed = "".join(
        f"<dt>{escape(entry.term)}</dt><dd>{prose(entry.meaning)}</dd>"
        + (f'<dd class="here">{prose(entry.here)}</dd>' if entry.here else "")
        for entry in entries
    )
    return f"<dl>{listed}</dl>"
