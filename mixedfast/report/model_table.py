"""Tables of several models side by side, as in papers.

One column per model: estimates with their standard errors below, variances and correlations of the
random effects, then numbers of observations and measures of fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixedfast._validation import check_flag, check_level, check_names
from mixedfast.errors import ArgumentError, DataError
from mixedfast.report.number_format import p_rounded
from mixedfast.report.page import Page
from mixedfast.report.sections import Cells, Grid
from mixedfast.report.text import ddf_words
from mixedfast.report.wording import plural

if TYPE_CHECKING:
    import pandas as pd

    from mixedfast.inference.ddf.methods import DDF
    from mixedfast.report.protocols import Model

__all__ = ["SHOWN", "fit_statistics", "maketables_coefficients", "merged", "table"]

#: What `show` may name: below each estimate, then the blocks of rows.
_BELOW = ("std_error", "statistic", "p_value", "conf_int")
_BLOCKS = (
    "variance",
    "sd",
    "corr",
    "nobs",
    "groups",
    "icc",
    "r2",
    "criterion",
    "loglik",
    "aic",
    "bic",
)
SHOWN = ("std_error", "variance", "corr", "nobs", "groups", "icc", "r2", "criterion", "aic")

#: A row has at least this many decimals; more than `_MOST_DECIMALS` become a power of ten.
_LEAST_DECIMALS = 2
_MOST_DECIMALS = 6

_STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
_STARS_NOTE = "* p < .05, ** p < .01, *** p < .001."


@dataclass(frozen=True)
class _Row:
    """A row of the table: a label and one text per model, empty where a model lacks it."""

    label: str
    cells: tuple[str, ...]


def table(
    *models: Model,
    names: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    stars: bool = False,
    show: str | Sequence[str] = SHOWN,
    ddf: DDF | None = None,
    level: float = 0.95,
    heading: str = "",
) -> Page:
    """Make a table of several models, one column per model.

    Parameters
    ----------
    *models : results of `lmer`, `glmer` or `lm`
    names : sequence of str, optional
        Column headers; "Model 1", "Model 2" and so on by default.
    labels : mapping, optional
        Name -> label for coefficients, variables and grouping factors:
        ``{"ses": "Status", "school": "School"}``.
    stars : bool
        Mark small p values: ``*`` below .05, ``**`` below .01, ``***`` below .001.
    show : str or sequence of str
        Below each estimate: ``"std_error"``, ``"statistic"``, ``"p_value"``, ``"conf_int"``. Rows:
        ``"variance"`` or ``"sd"`` of the random effects, ``"corr"`` (their correlations),
        ``"nobs"``, ``"groups"``, ``"icc"``, ``"r2"``, ``"criterion"``, ``"loglik"``, ``"aic"``,
        ``"bic"``.
    ddf : str, optional
        Degrees of freedom of tests and intervals; each kind of model has its own default.
    level : float
        Of confidence intervals.
    heading : str
        Title of the table.

    Returns
    -------
    Page
        ``print`` it, show it in a notebook, or take ``to_html()``, ``to_latex()`` (booktabs),
        ``to_markdown()`` or ``to_docx(path)``.

    Raises
    ------
    DataError
        When a model is not a result of this package.
    ArgumentError
        When `names` has another length than the models, or `show` has an unknown name.

    Examples
    --------
    >>> import mixedfast as mf
    >>> hsb = mf.load_dataset("hsb")
    >>> null = mf.lmer("math ~ 1 + (1 | school)", hsb)
    >>> full = mf.lmer("math ~ ses + (ses | school)", hsb)
    >>> print(mf.table(null, full, names=["Null", "Status"]))
    Outcome: math
                                 Null    Status
    Fixed effects
      Intercept                 12.64     12.67
                               (0.24)    (0.19)
      ses                                  2.39
                                         (0.12)
    Variances
      school: Intercept          8.61      4.83
      school: ses                          0.41
      Residual                  39.15     36.83
    Correlations
      school: Intercept, ses              -0.11
    Model
      Observations              7,185     7,185
      Schools                     160       160
      ICC                        0.18      0.12
      R2, marginal               0.00      0.08
      R2, conditional            0.18      0.19
      REML criterion         47,116.8  46,640.4
      AIC                    47,122.8  46,652.4
    Standard errors in brackets. AIC from REML compares only models with the same fixed effects.
    """
    wanted = _checked(models, names, stars, show)
    check_level(level)
    heads = [f"Model {i + 1}" for i in range(len(models))] if names is None else list(names)
    named = _Labels(labels or {})
    tables = [_coefficients(m, ddf, level) for m in models]
    blocks = [
        ("Fixed effects", _fixed_rows(tables, wanted, stars, named)),
        *_random_blocks(models, wanted, named),
        ("Model", _statistic_rows(models, wanted, named)),
    ]
    note = _note(models, heads, wanted, stars, ddf, level)
    outcomes = [m.formula.split("~")[0].strip() for m in models]
    if len(set(outcomes)) > 1:
        blocks.insert(0, ("", [_Row("Outcome", tuple(map(named, outcomes)))]))
    elif not heading:
        heading = f"Outcome: {named(outcomes[0])}"
    return Page([_grid(heads, blocks, heading, note)])


def _checked(
    models: Sequence[Model], names: Sequence[str] | None, stars: bool, show: str | Sequence[str]
) -> tuple[str, ...]:
    if not models:
        raise ArgumentError("mf.table needs at least one model: mf.table(m1, m2)")
    for place, m in enumerate(models, 1):
        if not hasattr(m, "coef_table"):
            raise DataError(
                f"mf.table: argument {place} is a {type(m).__name__}, not a fitted model; give "
                "models one by one, mf.table(m1, m2), or a list as mf.table(*models)"
            )
    if names is not None and (isinstance(names, str) or len(names) != len(models)):
        raise ArgumentError(
            f"mf.table(names=...): {len(models)} names are needed, one for each model"
        )
    check_flag("stars", stars)
    wanted = tuple(check_names("show", show))
    for name in wanted:
        if name not in (*_BELOW, *_BLOCKS):
            raise ArgumentError(
                f"mf.table(show={name!r}): known are {', '.join((*_BELOW, *_BLOCKS))}"
            )
    return wanted


@dataclass(frozen=True)
class _Labels:
    """Labels that the caller gave, also for the parts of an interaction."""

    given: Mapping[str, str]

    def __call__(self, name: str) -> str:
        if name in self.given:
            return self.given[name]
        if ":" in name:
            return " × ".join(self(part) for part in name.split(":")) if self.given else name
        return name


# --- the fixed part ------------------------------------------------------------------------------


def _coefficients(m: Model, ddf: DDF | None, level: float) -> dict[str, dict[str, float]]:
    plain = m._in_pandas()
    frame = plain.coef_table(level=level) if ddf is None else plain.coef_table(ddf, level)
    rows = zip(frame.index, frame.to_dict("records"), strict=True)
    return {str(term): {str(name): float(row[name]) for name in row} for term, row in rows}


def _fixed_rows(
    tables: Sequence[Mapping[str, Mapping[str, float]]],
    wanted: Sequence[str],
    stars: bool,
    named: _Labels,
) -> list[_Row]:
    rows = []
    for term in merged(map(list, tables)):
        found = [table.get(term) for table in tables]
        places = _places([row["std_error"] for row in found if row is not None])
        marks = [_star(row["p_value"]) if stars and row is not None else "" for row in found]
        width = max(map(len, marks))
        estimates = tuple(
            "" if row is None else f"{_fixed(row['estimate'], places)}{mark:{width}}"
            for row, mark in zip(found, marks, strict=True)
        )
        rows.append(_Row(named(term), estimates))
        for kind in (name for name in wanted if name in _BELOW):
            below = ("" if row is None else _under(row, kind, places, width) for row in found)
            rows.append(_Row("", tuple(below)))
    return rows


def merged(lists: Iterable[Sequence[str]]) -> list[str]:
    """Merge lists of names; a new name follows the name before it in its own list.

    Examples
    --------
    >>> merged([["Intercept", "ses"], ["Intercept", "sex", "ses", "ses:sex"]])
    ['Intercept', 'sex', 'ses', 'ses:sex']
    """
    out: list[str] = []
    for names in lists:
        place = 0
        for name in names:
            if name in out:
                place = out.index(name) + 1
            else:
                out.insert(place, name)
                place += 1
    return out


def _places(sizes: Sequence[float]) -> int:
    """Choose the decimals of a row.

    The largest of `sizes` shows two significant digits, the smallest one.
    """
    known = [size for size in sizes if math.isfinite(size) and size > 0]
    if not known:
        return _LEAST_DECIMALS
    first = [-math.floor(math.log10(size)) for size in (max(known), min(known))]
    return max(_LEAST_DECIMALS, first[0] + 1, first[1])


def _fixed(value: float, places: int) -> str:
    if not math.isfinite(value):
        return "not estimated" if math.isnan(value) else str(value)
    if places > _MOST_DECIMALS:
        return f"{value:.2e}"
    return f"{round(value, places) + 0.0:,.{places}f}"


def _under(row: Mapping[str, float], kind: str, places: int, width: int) -> str:
    if math.isnan(row["estimate"]):
        return ""
    pad = " " * max(0, width - 1)
    if kind == "std_error":
        return f"({_fixed(row['std_error'], places)}){pad}"
    if kind == "conf_int":
        ends = (_fixed(row[end], places) for end in ("conf_low", "conf_high"))
        return f"[{', '.join(ends)}]{pad}"
    if kind == "p_value":
        return f"p {p_rounded(row['p_value'], equals=True)}{pad}"
    letter = "z" if math.isinf(row.get("df", math.inf)) else "t"
    return f"{letter} = {row['statistic']:.2f}{pad}"


def _star(p_value: float) -> str:
    return next((mark for limit, mark in _STARS if p_value < limit), "")


# --- the random part -----------------------------------------------------------------------------


def _random_blocks(
    models: Sequence[Model], wanted: Sequence[str], named: _Labels
) -> list[tuple[str, list[_Row]]]:
    parts = [_random_numbers(m, named) for m in models]
    kinds = (("variance", "Variances"), ("sd", "Standard deviations"), ("corr", "Correlations"))
    return [
        (title, _number_rows([part[kind] for part in parts]))
        for kind, title in kinds
        if kind in wanted
    ]


def _random_numbers(m: Model, named: _Labels) -> dict[str, dict[str, float]]:
    """Return variances, standard deviations and correlations by label, ``Residual`` last."""
    out: dict[str, dict[str, float]] = {"variance": {}, "sd": {}, "corr": {}}
    varcorr = getattr(m._in_pandas(), "varcorr", None)
    if varcorr is None:
        out["variance"]["Residual"], out["sd"]["Residual"] = m.sigma**2, m.sigma
        return out
    for row in varcorr.to_dict("records"):
        names = [row[key] for key in ("name1", "name2") if isinstance(row[key], str) and row[key]]
        label = named(row["group"])
        if names:
            label = f"{label}: {', '.join(map(named, names))}"
        if len(names) == 2:
            out["corr"][label] = row["corr"]
        else:
            out["variance"][label], out["sd"][label] = row["variance"], row["sd"]
    return out


def _number_rows(columns: Sequence[Mapping[str, float]]) -> list[_Row]:
    labels = [label for label in merged(map(list, columns)) if label != "Residual"]
    if any("Residual" in column for column in columns):
        labels.append("Residual")
    rows = []
    for label in labels:
        sizes = [abs(column[label]) for column in columns if column.get(label)]
        places = min(_places(sizes), _MOST_DECIMALS)
        cells = (_fixed(column[label], places) if label in column else "" for column in columns)
        rows.append(_Row(label, tuple(cells)))
    return rows


# --- numbers of observations and measures of fit -------------------------------------------------


def fit_statistics(m: Model) -> dict[str, tuple[str, float]]:
    """Return the measures of a model that tables show: key -> label and number.

    Keys are ``nobs``, one ``n_<group>`` per grouping factor, ``icc``, ``r2_marginal`` and
    ``r2_conditional`` (``r2`` and ``r2_adjusted`` for a regression), ``reml`` or ``deviance``,
    ``loglik``, ``aic`` and ``bic``.
    """
    out: dict[str, tuple[str, float]] = {"nobs": ("Observations", m.nobs)}
    for group, count in m.n_groups.items():
        out[f"n_{group}"] = (_capital(plural(group)), count)
    measures = m._measures()
    for key, label in (
        ("icc", "ICC"),
        ("r2", "R2"),
        ("r2_adjusted", "R2, adjusted"),
        ("r2_marginal", "R2, marginal"),
        ("r2_conditional", "R2, conditional"),
    ):
        if key in measures:
            out[key] = (label, measures[key])
    if m.n_groups:
        out["reml" if m.reml else "deviance"] = (
            "REML criterion" if m.reml else "Deviance",
            m.criterion,
        )
    out |= {
        "loglik": ("Log-likelihood", m.loglik),
        "aic": ("AIC", m.aic),
        "bic": ("BIC", m.bic),
    }
    return out


def maketables_coefficients(m: Model) -> pd.DataFrame:
    """Return the coefficients as the maketables package reads them: ``b, se, t, p`` and limits."""
    names = {
        "estimate": "b",
        "std_error": "se",
        "statistic": "t",
        "p_value": "p",
        "conf_low": "ci95l",
        "conf_high": "ci95u",
    }
    return m._in_pandas().coef_table().rename(columns=names)[list(names.values())]


#: Which of the statistics each name of `show` stands for.
_KIND: dict[str, Callable[[str], bool]] = {
    "nobs": lambda key: key == "nobs",
    "groups": lambda key: key.startswith("n_"),
    "icc": lambda key: key == "icc",
    "r2": lambda key: key.startswith("r2"),
    "criterion": lambda key: key in ("reml", "deviance"),
    "loglik": lambda key: key == "loglik",
    "aic": lambda key: key == "aic",
    "bic": lambda key: key == "bic",
}


def _statistic_rows(models: Sequence[Model], wanted: Sequence[str], named: _Labels) -> list[_Row]:
    found = [fit_statistics(m) for m in models]
    keys = merged([list(statistics) for statistics in found])
    return [
        _Row(
            _statistic_label(key, found, named),
            tuple(_statistic(key, statistics) for statistics in found),
        )
        for kind in _BLOCKS
        if kind in wanted and kind in _KIND
        for key in keys
        if _KIND[kind](key)
    ]


def _statistic_label(
    key: str, found: Sequence[Mapping[str, tuple[str, float]]], named: _Labels
) -> str:
    group = key.removeprefix("n_")
    if key.startswith("n_") and group in named.given:
        return f"{named(group)} (number)"
    return next(statistics[key][0] for statistics in found if key in statistics)


def _statistic(key: str, statistics: Mapping[str, tuple[str, float]]) -> str:
    if key not in statistics:
        return ""
    value = statistics[key][1]
    if key == "nobs" or key.startswith("n_"):
        return f"{int(value):,}"
    return f"{value:,.2f}" if key.startswith(("icc", "r2")) else f"{value:,.1f}"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


# --- the page ------------------------------------------------------------------------------------


def _grid(
    heads: Sequence[str], blocks: Sequence[tuple[str, Sequence[_Row]]], heading: str, note: str
) -> Grid:
    labels: list[str] = []
    cells: list[list[str]] = [[] for _ in heads]
    rules: list[int] = []
    for title, rows in blocks:
        if not rows:
            continue
        rules += [len(labels)] if labels else []
        if title:
            labels.append(title)
            for column in cells:
                column.append("")
        for row in rows:
            labels.append(f"  {row.label}" if title and row.label else row.label)
            for column, text in zip(cells, row.cells, strict=True):
                column.append(text)
    columns = [
        Cells(str(head), tuple(_aligned(column)), center=True)
        for head, column in zip(heads, cells, strict=True)
    ]
    return Grid((Cells("", tuple(labels), left=True), *columns), heading, note, tuple(rules))


def _aligned(cells: Sequence[str]) -> list[str]:
    """Pad numbers so that their last digits stand below each other where brackets follow some."""
    if not any(cell.rstrip().endswith((")", "]")) for cell in cells):
        return list(cells)
    return [cell if not cell or cell.rstrip()[-1] in ")]*" else f"{cell} " for cell in cells]


def _note(
    models: Sequence[Model],
    heads: Sequence[str],
    wanted: Sequence[str],
    stars: bool,
    ddf: DDF | None,
    level: float,
) -> str:
    words = {
        "std_error": "Standard errors in brackets.",
        "conf_int": f"{100 * level:g} % confidence intervals in square brackets.",
    }
    parts = [words[name] for name in wanted if name in words]
    if stars:
        parts.append(_STARS_NOTE)
    if ddf is not None and (stars or {"conf_int", "p_value"} & set(wanted)):
        parts.append(f"Tests with {ddf_words(ddf)}.")
    if {"aic", "bic"} & set(wanted) and any(m.reml and m.n_groups for m in models):
        parts.append("AIC from REML compares only models with the same fixed effects.")
    if len({m.nobs for m in models}) > 1:
        parts.append("The models are fitted to different numbers of observations.")
    parts += _fit_warnings(models, heads)
    return " ".join(parts)


def _fit_warnings(models: Sequence[Model], heads: Sequence[str]) -> list[str]:
    """Name the models with a singular fit and those that did not converge."""
    measures = [m._measures() for m in models]
    out = []
    for problem, key, bad in (
        ("Singular fit", "singular", True),
        ("Not converged, do not use", "converged", False),
    ):
        found = [head for head, own in zip(heads, measures, strict=True) if own.get(key) is bad]
        out += [f"{problem}: {', '.join(found)}."] if found else []
    return out
