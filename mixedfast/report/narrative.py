"""A fit described in sentences, each from the numbers of the fit.

For readers who know their subject and not the method. The sentences repeat what the tables hold.
Where a sentence cannot be both short and right (interactions, transformed variables), there is
none.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mixedfast.inference.diagnostics.r2_icc import by_group, variances
from mixedfast.report.number_format import decimals, p_value, significant
from mixedfast.report.text import monte_carlo_note
from mixedfast.report.wording import counted, plural

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.design.coding import FixedTerm
    from mixedfast.report.protocols import MixedModel

__all__ = [
    "Entry",
    "convergence_sentences",
    "findings",
    "glossary",
    "lead",
    "methods_paragraph",
    "notices",
    "number",
    "to_half_width",
    "usable",
]

#: A normal distribution holds 95 % within this many standard deviations of its mean.
_NORMAL_95 = 1.959963984540054

#: More decimals than this are hard to read.
_MOST_PLACES = 6

#: A possible improvement of the deviance below this is reported as "less than" that.
_NEGLIGIBLE = 1e-6


class Entry(NamedTuple):
    """A term of the glossary, its meaning, and its value in this model."""

    term: str
    meaning: str
    here: str = ""


def number(value: float, digits: int = 4) -> str:
    """Format a number for running text.

    Examples
    --------
    >>> number(12.66503), number(-0.109), number(7183.0), number(1e-12)
    ('12.67', '−0.109', '7183', '1e-12')
    """
    whole = math.isfinite(value) and abs(value) >= 10**digits
    text = f"{value:.0f}" if whole and abs(value) < 1e12 else significant([value], digits)[0]
    return text.replace("-", "−", 1) if text.startswith("-") else text


def to_half_width(values: Sequence[float], half_width: float) -> list[str]:
    """Format numbers with as many decimals as show two digits of the half width of their interval.

    Examples
    --------
    >>> to_half_width([2.3598, 2.1300, 2.5895], 0.2298), to_half_width([1250.4, 1100.2], 150.2)
    (['2.36', '2.13', '2.59'], ['1250', '1100'])
    """
    places = (
        1 - math.floor(math.log10(half_width))
        if math.isfinite(half_width) and half_width > 0
        else _MOST_PLACES + 1
    )
    shown = (
        decimals(values, max(places, 0))
        if places <= _MOST_PLACES
        else [number(value) for value in values]
    )
    return [text.replace("-", "−", 1) if text.startswith("-") else text for text in shown]


def _share(value: float) -> str:
    """Format a share as a percentage: 18 %, 0.4 %, 0 %."""
    if value == 0:
        return "0 %"
    if value < 0.001:
        return "under 0.1 %"
    return f"{100 * value:.0f} %" if value >= 0.0995 else f"{100 * value:.1f} %"


def _p(value: float) -> str:
    shown = p_value(value, 2)
    return f"p < {shown[1:].strip()}" if shown.startswith("<") else f"p = {shown}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _response(m: MixedModel) -> str:
    return m._fit.cp.meta.response


def _groups(m: MixedModel) -> str:
    return _listed([counted(count, name) for name, count in m.n_groups.items()])


# --- the question ---------------------------------------------------------------------------------


def lead(m: MixedModel) -> str:
    """Describe the model in one paragraph: the response, the rows and groups, the method."""
    how = "restricted maximum likelihood (REML)" if m.reml else "maximum likelihood"
    dropped = (
        f" {m.n_dropped:,} more rows were left out because a value is missing."
        if m.n_dropped
        else ""
    )
    weights = (
        " Rows are weighted: the residual variance of a row is that of the model divided by its "
        "weight."
        if m.weights_used
        else ""
    )
    return (
        f"A linear mixed model of {_response(m)} for {m.nobs:,} rows in {_groups(m)}, fitted by "
        f"{how}.{dropped}{weights}"
    )


# --- the findings ---------------------------------------------------------------------------------


def findings(m: MixedModel, table: pd.DataFrame, level: float) -> list[str]:
    """Answer in sentences: variance components, effects of predictors, variation of slopes.

    Parameters
    ----------
    m : MixedModel
        With pandas tables.
    table : DataFrame
        Its ``coef_table`` at `level`.
    level : float
    """
    return [
        *_variance_sentences(m),
        *_coefficient_sentences(m, table, level),
        *_slope_sentences(m),
        *_explained_sentences(m),
    ]


def _predictors(m: MixedModel) -> list[str]:
    return [term.name for term in m._fit.cp.meta.fixed_terms if term.variables]


def _unexplained(m: MixedModel) -> str:
    """Name the variance that the shares refer to: the part that the predictors do not explain."""
    names = _predictors(m)
    if not names:
        return f"Of the variance of {_response(m)}"
    by = _listed(names) if len(names) <= 3 else "the predictors"
    return f"Of the variance of {_response(m)} that is not explained by {by}"


def _variance_sentences(m: MixedModel) -> list[str]:
    _, random, residual = variances(m._fit)
    total = random + residual
    between = by_group(m._fit)
    shares = [
        f"{_share(value / total)} is between {plural(name)}" for name, value in between.items()
    ]
    rest = f"within {plural(next(iter(between)))}" if len(between) == 1 else "residual"
    return [f"{_unexplained(m)}, {', '.join(shares)} and {_share(residual / total)} is {rest}."]


def _coefficient_sentences(m: MixedModel, table: pd.DataFrame, level: float) -> list[str]:
    """Write a sentence for each coefficient of a variable that enters untransformed and alone."""
    meta, response = m._fit.cp.meta, _response(m)
    sentences = []
    others = ", with the other predictors held constant" if len(_predictors(m)) > 1 else ""
    for term in _plain_terms(m):
        for column in term.columns:
            name = meta.x_names[column]
            row: dict[str, float] = dict(
                zip(table.columns, table.loc[[name]].to_numpy()[0].tolist(), strict=True)
            )
            if math.isnan(row["estimate"]):
                continue
            low, high = row["conf_low"], row["conf_high"]
            amount, *shown = to_half_width([abs(row["estimate"]), low, high], 0.5 * (high - low))
            up = row["estimate"] >= 0
            interval = f"{100 * level:g} % interval {shown[0]} to {shown[1]}, {_p(row['p_value'])}"
            if name == term.name:
                change = "increase" if up else "decrease"
                sentences.append(
                    f"A one-unit increase in {name} is associated with {_article(amount)} "
                    f"{amount}-unit {change} in {response} on average{others} ({interval})."
                )
            elif name.startswith(f"{term.name}[T."):
                category, reference = name[len(term.name) + 3 : -1], _reference(m, term.name)
                sentences.append(
                    f"{response} is {amount} {'higher' if up else 'lower'} on average for "
                    f"{term.name} = {category} than for {term.name} = {reference}{others} "
                    f"({interval})."
                )
    return sentences


def _article(amount: str) -> str:
    """Choose the article of a number as it is spoken: an 8.2-unit, an 11-unit, a 1-unit change."""
    whole = amount.partition(".")[0]
    return "an" if whole.startswith("8") or whole in ("11", "18") else "a"


def _plain_terms(m: MixedModel) -> list[FixedTerm]:
    """Find the terms that are one untransformed variable, which is in no other term.

    Of the other terms a sentence about one coefficient would mislead.
    """
    terms = m._fit.cp.meta.fixed_terms
    used = Counter(variable for term in terms for variable in set(term.variables))
    return [
        term
        for term in terms
        if len(term.factors) == 1 and term.factors == term.variables and used[term.factors[0]] == 1
    ]


def _reference(m: MixedModel, variable: str) -> str:
    recipe = m._fit.cp.meta.recipe
    levels = recipe.levels.get(variable) if recipe is not None else None
    return "the reference" if levels is None else str(levels[0])


def _slope_sentences(m: MixedModel) -> list[str]:
    """Describe how the slopes of the groups vary around the average slope."""
    sentences = []
    plain = {term.name for term in _plain_terms(m) if term.kinds == ("numeric",)}
    rows = m.varcorr
    for row in rows[rows["name2"].isna() & rows["name1"].isin(plain)].to_dict("records"):
        name, sd, groups = row["name1"], row["sd"], plural(row["group"])
        if math.isnan(m.params[name]):
            continue
        low, high = m.params[name] - _NORMAL_95 * sd, m.params[name] + _NORMAL_95 * sd
        if sd == 0:
            sentences.append(f"The slope of {name} is estimated to be the same in all {groups}.")
        else:
            average, *ends = to_half_width([m.params[name], low, high], 0.5 * (high - low))
            sentences.append(
                f"The slope of {name} is {average} on average and varies between {groups}: under "
                f"the normal distribution of the model it is between {ends[0]} and {ends[1]} for "
                "95 % of them."
            )
    return sentences


def _explained_sentences(m: MixedModel) -> list[str]:
    if not _predictors(m):
        return []
    r2 = m.r2()
    return [
        f"The predictors explain {_share(r2.marginal)} of the variance of {_response(m)}; "
        f"predictors and groups together explain {_share(r2.conditional)} (Nakagawa's R²)."
    ]


# --- convergence ----------------------------------------------------------------------------------


def convergence_sentences(m: MixedModel) -> list[str]:
    """Describe how the search for the estimates ended, and whether they can be used."""
    found = m.optimization
    sentences = []
    if "iterations" not in found:
        sentences.append("The variance parameters were given, not estimated.")
    elif m.converged:
        possible = max(found["decrement"], found["boundary_decrement"])
        left = "less than 0.000001" if possible < _NEGLIGIBLE else number(possible, 1)
        steps = _times(found["iterations"], "step")
        evaluations = _times(found["evaluations"], "evaluation")
        sentences.append(
            f"Converged after {steps} and {evaluations} of the likelihood. "
            f"Largest possible further improvement in the deviance: {left}."
        )
    return [*sentences, *monte_carlo_note(m), *notices(m)]


def _times(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def usable(m: MixedModel) -> bool:
    """Whether the estimates are those of an optimum, or at variance parameters that were given."""
    return m.converged or "iterations" not in m.optimization


def notices(m: MixedModel) -> list[str]:
    """List what readers must know before they use the estimates."""
    sentences = []
    sentences += [
        f"Not identified by the data: {what}. Standard errors and tests that depend on it are "
        "missing."
        for what in m.not_identified
    ]
    if not usable(m) and not m.not_identified:
        sentences.append(
            f"The search did not end at an optimum ({m.optimization['message']}): do not use these "
            "estimates. Try other starting values, rescale the predictors, or simplify the random "
            "effects."
        )
    if m.is_singular:
        sentences.append(
            "The fit is singular: a variance of the random effects is estimated as zero, or a "
            "correlation as one. The other estimates are valid, and a simpler random part would "
            "fit equally well."
        )
    if m.dropped_columns:
        sentences.append(
            f"Left out because other columns determine them: {', '.join(m.dropped_columns)}."
        )
    return sentences


def methods_paragraph(m: MixedModel, tests: str, version: str) -> str:
    """Write the sentences for the methods section of a paper.

    Parameters
    ----------
    m : MixedModel
    tests : str
        The degrees of freedom of the tests, in words.
    version : str
        Of the library.
    """
    how = "restricted maximum likelihood" if m.reml else "maximum likelihood"
    groups = _listed([f"{name} ({count:,} levels)" for name, count in m.n_groups.items()])
    return (
        f"A linear mixed-effects model of {_response(m)} with random effects of {groups} was "
        f"fitted to {m.nobs:,} rows by {how} with mixedfast {version} (formula in the notation of "
        f"lme4: {m.formula}). Tests of fixed effects use {tests}."
    )


# --- glossary -------------------------------------------------------------------------------------


def glossary(m: MixedModel, table: pd.DataFrame, ddf: str, level: float) -> list[Entry]:
    """Explain the terms of the tables, each with its value in this model."""
    response = _response(m)
    group = next(iter(m.n_groups))
    name = str(table.index[-1])
    row: dict[str, float] = dict(zip(table.columns, table.to_numpy()[-1].tolist(), strict=True))
    entries = [
        Entry(
            "Fixed effects",
            f"The part that is the same for all groups: how {response} depends on the predictors "
            "on average.",
        ),
        Entry(
            "Random effects",
            "The differences between groups. They are not estimated one by one, but as a "
            "distribution from which the groups in the data are a sample.",
            f"Here: {_groups(m)}.",
        ),
        Entry(
            "Standard deviation of a random effect",
            f"The typical distance of a group from the average, in units of {response} (of a "
            "slope: per unit of its variable).",
            _sds_here(m),
        ),
        Entry(
            "Residual standard deviation",
            "The typical distance of a row from the line of its own groups, in units of "
            f"{response}.",
            f"Here: {number(m.sigma)}.",
        ),
        Entry(
            "Intraclass correlation (ICC)",
            "The share of the variance not explained by the predictors that is between groups; "
            "equally, the correlation of two rows in the same groups.",
            f"Here: {number(m.icc().adjusted, 3)}. Near zero, ordinary regression is enough.",
        ),
        Entry(
            "Shrinkage",
            "A group with few rows carries little information, so the model moves its estimate "
            "towards the average. The estimate of a group with many rows hardly moves.",
            f"The picture of shrinkage shows it for {group}.",
        ),
        Entry(
            "Standard error and confidence interval",
            "The typical distance of an estimate from the true value in repeated samples. The "
            f"interval is built to contain the true value in {100 * level:g} % of them.",
            f"{name}: {number(row['estimate'])} with standard error {number(row['std_error'])}, "
            f"interval {number(row['conf_low'])} to {number(row['conf_high'])}.",
        ),
        Entry(
            "Degrees of freedom",
            "The number of independent pieces of information behind a test. In grouped data it is "
            "between the number of groups and the number of rows. There are several methods; the "
            "table above compares them.",
            f"{name}: {number(row['df'])} by {ddf}." if np.isfinite(row["df"]) else "",
        ),
        Entry(
            "p value",
            "The probability of an estimate at least this far from zero if the true value were "
            "zero. It is not the probability that the effect is zero, and it does not measure the "
            "size of the effect.",
            f"{name}: {_p(row['p_value'])}.",
        ),
    ]
    if m.reml:
        meaning = (
            "Restricted maximum likelihood: the variances are estimated from the likelihood after "
            "the fixed effects are removed, which corrects for the degrees of freedom that these "
            "use. It cannot compare models with different fixed effects: fit those by maximum "
            "likelihood (ML)."
        )
        entries.append(Entry("REML", meaning, f"Criterion here: {number(m.criterion, 6)}."))
    else:
        meaning = (
            "Criteria for comparing models of the same data; smaller is better. Both include a "
            "penalty for the number of parameters."
        )
        entries.append(
            Entry("AIC and BIC", meaning, f"Here: {number(m.aic, 6)} and {number(m.bic, 6)}.")
        )
    return entries


def _sds_here(m: MixedModel) -> str:
    rows = m.varcorr
    sds = rows[rows["name2"].isna() & (rows["group"] != "Residual")]
    listed = [
        f"{row['name1']} by {row['group']} {number(row['sd'])}" for row in sds.to_dict("records")
    ]
    return f"Here: {', '.join(listed)}."
