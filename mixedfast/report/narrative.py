"""A fit told in words, every sentence from the fit's own numbers.

For readers who know their subject and not the method. Nothing is said that the tables do not hold; where a sentence would
need care that a sentence cannot give (interactions, transformed variables), it is left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mixedfast.inference.diagnostics.r2_icc import by_group, variances
from mixedfast.report.number_format import decimals, p_value, significant

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.design.coding import FixedTerm
    from mixedfast.report.protocols import MixedModel

__all__ = [
    "Entry",
    "findings",
    "fit_told",
    "glossary",
    "lead",
    "methods_told",
    "notices",
    "number",
    "to_half_width",
    "usable",
]

#: A normal distribution holds this many standard deviations each way for 95 %.
_NORMAL_95 = 1.959963984540054

#: More decimals than this are hard to read.
_MOST_PLACES = 6


class Entry(NamedTuple):
    """A word of the glossary, what it means, and what it is in this model."""

    word: str
    meaning: str
    here: str = ""


def number(value: float, digits: int = 4) -> str:
    """A number in running text.

    Examples
    --------
    >>> number(12.66503), number(-0.109), number(7183.0), number(1e-12)
    ('12.67', '−0.109', '7183', '1e-12')
    """
    whole = math.isfinite(value) and abs(value) >= 10**digits
    text = f"{value:.0f}" if whole and abs(value) < 1e12 else significant([value], digits)[0]
    return text.replace("-", "−", 1) if text.startswith("-") else text


def to_half_width(values: Sequence[float], half_width: float) -> list[str]:
    """Numbers with common decimals, as many as show two digits of the half width of their interval.

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
    """A share as a percentage: 18 %, 0.4 %, 0 %."""
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


# --- what is asked -----------------------------------------------------------------------------------------


def lead(m: MixedModel) -> str:
    """One paragraph: what was modelled, on how many rows, how."""
    groups = _listed([f"{count:,} levels of {name}" for name, count in m.n_groups.items()])
    how = "restricted maximum likelihood (REML)" if m.reml else "maximum likelihood"
    dropped = (
        f" {m.n_dropped:,} more rows were left out because a value is missing."
        if m.n_dropped
        else ""
    )
    weights = (
        " Rows are weighted: a row's residual variance is the model's divided by its weight."
        if m.weights_used
        else ""
    )
    return f"A linear mixed model of {_response(m)} on {m.nobs:,} rows in {groups}, fitted by {how}.{dropped}{weights}"


# --- what was found ----------------------------------------------------------------------------------------


def findings(m: MixedModel, table: pd.DataFrame, level: float) -> list[str]:
    """The answers, a sentence each: where the variance lies, what predictors do, how much groups differ.

    Parameters
    ----------
    m : MixedModel
        With pandas tables.
    table : DataFrame
        Its ``coef_table`` at `level`.
    level : float
    """
    return [
        *_variance_told(m),
        *_coefficients_told(m, table, level),
        *_slopes_told(m),
        *_explained_told(m),
    ]


def _predictors(m: MixedModel) -> list[str]:
    return [term.name for term in m._fit.cp.meta.fixed_terms if term.variables]


def _left(m: MixedModel) -> str:
    """The variance that shares are of: what the predictors leave."""
    names = _predictors(m)
    if not names:
        return f"Of the variance of {_response(m)}"
    if len(names) > 3:
        return f"Of the variance of {_response(m)} that the predictors leave"
    return f"Of the variance of {_response(m)} that {_listed(names)} {'leave' if len(names) > 1 else 'leaves'}"


def _variance_told(m: MixedModel) -> list[str]:
    _, random, residual = variances(m._fit)
    total = random + residual
    shares = [
        f"{_share(value / total)} lies between one {group} and another"
        for group, value in by_group(m._fit).items()
    ]
    same = next(iter(m.n_groups)) if len(shares) == 1 else "groups"
    return [
        f"{_left(m)}, {', '.join(shares)}, and {_share(residual / total)} between rows of the same {same}."
    ]


def _coefficients_told(m: MixedModel, table: pd.DataFrame, level: float) -> list[str]:
    """A sentence for each coefficient of a variable that enters plainly and alone."""
    meta = m._fit.cp.meta
    told = []
    others = ", the other predictors being equal" if len(_predictors(m)) > 1 else ""
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
            more = "more" if row["estimate"] >= 0 else "less"
            known = f"{100 * level:g} % interval {shown[0]} to {shown[1]}, {_p(row['p_value'])}"
            if name == term.name:
                told.append(
                    f"One unit more of {name} goes with {amount} {more} {_response(m)} on average{others} ({known})."
                )
            elif name.startswith(f"{term.name}[T."):
                reference = _reference(m, term.name)
                told.append(
                    f"{term.name} = {name[len(term.name) + 3 : -1]} has {amount} {more} {_response(m)} than "
                    f"{term.name} = {reference} on average{others} ({known})."
                )
    return told


def _plain_terms(m: MixedModel) -> list[FixedTerm]:
    """Terms that are one variable as it is, in no other term: of others, a sentence about one coefficient would mislead."""
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


def _slopes_told(m: MixedModel) -> list[str]:
    """How much the groups' slopes spread around the average one."""
    told = []
    plain = {term.name for term in _plain_terms(m) if term.kinds == ("numeric",)}
    rows = m.varcorr
    for row in rows[rows["name2"].isna() & rows["name1"].isin(plain)].to_dict("records"):
        name, sd = row["name1"], row["sd"]
        if math.isnan(m.params[name]):
            continue
        low, high = m.params[name] - _NORMAL_95 * sd, m.params[name] + _NORMAL_95 * sd
        if sd == 0:
            told.append(
                f"The slope of {name} does not differ between levels of {row['group']}, as far as these data tell."
            )
        else:
            average, *ends = to_half_width([m.params[name], low, high], 0.5 * (high - low))
            told.append(
                f"The slope of {name} is {average} on average and differs from one {row['group']} to another: "
                f"for 95 % of them it lies between {ends[0]} and {ends[1]}, by the model's normal distribution."
            )
    return told


def _explained_told(m: MixedModel) -> list[str]:
    if not _predictors(m):
        return []
    r2 = m.r2()
    return [
        f"The predictors account for {_share(r2.marginal)} of the variance of {_response(m)}, predictors and groups together "
        f"for {_share(r2.conditional)} (Nakagawa's R²)."
    ]


# --- how the fit went --------------------------------------------------------------------------------------


def fit_told(m: MixedModel) -> list[str]:
    """How the search for the estimates went, and whether they can be used."""
    found = m.optimization
    told = []
    if "iterations" not in found:
        told.append("The variance parameters were given, not searched for.")
    elif m.converged:
        promised = max(found["decrement"], found["boundary_decrement"])
        left = "less than a millionth" if promised < 1e-6 else number(promised, 1)
        told.append(
            f"The search ended at an optimum after {found['iterations']} steps and {found['evaluations']} evaluations of the "
            f"likelihood. By its curvature there, the deviance could still fall by {left}; a whole unit would begin to matter."
        )
    return [*told, *notices(m)]


def usable(m: MixedModel) -> bool:
    """Whether the estimates are those of an optimum, or at variance parameters that were given."""
    return m.converged or "iterations" not in m.optimization


def notices(m: MixedModel) -> list[str]:
    """What one must know before one uses the estimates."""
    told = []
    if not usable(m):
        told.append(
            f"The search did not end at an optimum ({m.optimization['message']}): do not use these estimates. Try other "
            "starting values, rescale the predictors, or simplify the random effects."
        )
    if m.is_singular:
        told.append(
            "The fit is singular: a variance of the random effects is estimated as zero, or a correlation as one. The data "
            "hold no sign of that part of the model. The other estimates stand, and a simpler random part would fit as well."
        )
    if m.dropped_columns:
        told.append(
            f"Left out because other columns determine them: {', '.join(m.dropped_columns)}."
        )
    return told


def methods_told(m: MixedModel, tests: str, version: str) -> str:
    """Sentences for the methods section of a paper.

    Parameters
    ----------
    m : MixedModel
    tests : str
        Whose degrees of freedom the tests have, in words.
    version : str
        Of the library.
    """
    how = "restricted maximum likelihood" if m.reml else "maximum likelihood"
    groups = _listed([f"{name} ({count:,} levels)" for name, count in m.n_groups.items()])
    return (
        f"A linear mixed-effects model of {_response(m)} with random effects of {groups} was fitted to {m.nobs:,} rows by "
        f"{how} with mixedfast {version} (formula in the notation of lme4: {m.formula}). Tests of fixed effects use {tests}."
    )


# --- what the words mean -----------------------------------------------------------------------------------


def glossary(m: MixedModel, table: pd.DataFrame, ddf: str, level: float) -> list[Entry]:
    """The words of the tables, each with what it is in this model."""
    response = _response(m)
    group = next(iter(m.n_groups))
    name = str(table.index[-1])
    row: dict[str, float] = dict(zip(table.columns, table.to_numpy()[-1].tolist(), strict=True))
    entries = [
        Entry(
            "Fixed effects",
            f"What holds for all groups: how {response} goes with the predictors on average.",
        ),
        Entry(
            "Random effects",
            "How groups differ from that average. They are not estimated one by one but as a distribution, of which the groups "
            "in the data are a sample.",
            f"Here: {_listed([f'{c:,} levels of {g}' for g, c in m.n_groups.items()])}.",
        ),
        Entry(
            "Standard deviation of a random effect",
            f"How far groups typically lie from the average, in units of {response} (a slope: per unit of its variable).",
            _sds_here(m),
        ),
        Entry(
            "Residual standard deviation",
            f"How far rows typically lie from their own groups' line, in units of {response}.",
            f"Here: {number(m.sigma)}.",
        ),
        Entry(
            "Intraclass correlation (ICC)",
            "The share of the variance left by the predictors that lies between groups; equally, how alike two rows of the "
            "same groups are.",
            f"Here: {number(m.icc().adjusted, 3)}. Near zero, ordinary regression would do.",
        ),
        Entry(
            "Shrinkage",
            "A group with few rows says little by itself, so the model moves its estimate towards the average; a group with "
            "many rows stays where it is.",
            f"The picture of shrinkage shows it for {group}.",
        ),
        Entry(
            "Standard error and interval",
            "How far an estimate would typically be from the truth in repeated samples; the interval is built to hold the "
            f"truth in {100 * level:g} % of them.",
            f"{name}: {number(row['estimate'])} with standard error {number(row['std_error'])}, "
            f"interval {number(row['conf_low'])} to {number(row['conf_high'])}.",
        ),
        Entry(
            "Degrees of freedom",
            "How many independent pieces of information a test stands on. With groups that lies somewhere between the number "
            "of groups and the number of rows, and there are several rules; the table above has them side by side.",
            f"{name}: {number(row['df'])} by {ddf}." if np.isfinite(row["df"]) else "",
        ),
        Entry(
            "p value",
            "How often an estimate this far from zero would come about if the truth were zero. It is not the probability that "
            "the effect is zero, and says nothing of the effect's size.",
            f"{name}: {_p(row['p_value'])}.",
        ),
    ]
    if m.reml:
        meaning = (
            "The likelihood that the variances are judged by, after the fixed effects are taken out; it makes up for the "
            "degrees of freedom that they cost. Models with different fixed effects cannot be compared by it: fit them by "
            "maximum likelihood (ML)."
        )
        entries.append(Entry("REML", meaning, f"Criterion here: {number(m.criterion, 6)}."))
    else:
        meaning = "Smaller is better; each pays for the number of parameters. They compare models of the same data."
        entries.append(
            Entry("AIC and BIC", meaning, f"Here: {number(m.aic, 6)} and {number(m.bic, 6)}.")
        )
    return entries


def _sds_here(m: MixedModel) -> str:
    rows = m.varcorr
    sds = rows[rows["name2"].isna() & (rows["group"] != "Residual")]
    told = [
        f"{row['name1']} by {row['group']} {number(row['sd'])}" for row in sds.to_dict("records")
    ]
    return f"Here: {', '.join(told)}."
