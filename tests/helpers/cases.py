"""The referee's values and the tables they were made on.

``golden(name)`` is a model fitted by lme4, ``topic(name)`` a file about one subject (fixed theta, emmeans),
``frame(dataset)`` the rows. ``rename`` turns R's coefficient names into formulaic's.
"""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import mixedfast as mf

HERE = Path(__file__).parent.parent
GOLDEN = HERE / "golden"

CONTRAST_MARKS = {"contr.sum": "S", "contr.helmert": "H"}
"""Formulaic's letter in a coefficient name, by the contrast's name in R and in formulaic."""

POLYNOMIAL = r"\.[LQC]|\^\d+"
"""What R and formulaic call the columns of a polynomial contrast."""


# ---- values ------------------------------------------------------------------------------------


def golden_names() -> list[str]:
    """Names of all models with golden values, in alphabetical order."""
    return sorted(path.stem for path in GOLDEN.glob("*.json"))


def _read(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def golden(name: str) -> dict[str, Any]:
    """Values of one model; lists are lists even where R wrote a single number."""
    record = _read(GOLDEN / f"{name}.json")
    record["theta"] = _as_list(record["theta"])
    record["ranef"] = {
        group: {**b, "names": _as_list(b["names"]), "sumsq": _as_list(b["sumsq"])}
        for group, b in record["ranef"].items()
    }
    record["condvar"] = {group: _as_matrix(v) for group, v in record["condvar"].items()}
    record.setdefault("formula_py", to_py(record["formula"]))
    return record


def topic(name: str) -> dict[str, Any]:
    """Values on one subject, by case: contests, emmeans, everyday, fixed_theta, lrt, nlme_df."""
    return _read(GOLDEN / "topics" / f"{name}.json")


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _as_matrix(value: Any) -> list[list[float]]:
    return value if isinstance(value, list) else [[value]]


# ---- rows --------------------------------------------------------------------------------------


def frame(dataset: str) -> pd.DataFrame:
    """Rows of a data set, categorical columns with their levels in R's order; a fresh copy."""
    return _frame(dataset).copy()


@cache
def _frame(dataset: str) -> pd.DataFrame:
    if dataset == "hsb":
        students, schools = _frame("hsb_students"), _frame("hsb_schools")
        return students.join(schools.set_index("school"), on="school", validate="many_to_one")
    levels = _read(GOLDEN / "data" / "categorical.json")[dataset]
    rows = pd.read_csv(_path(dataset), dtype=dict.fromkeys(levels, str))
    return rows.assign(
        **{column: _categorical(rows[column], given) for column, given in levels.items()}
    )


def _path(dataset: str) -> Path:
    own = GOLDEN / "data" / f"{dataset}.csv.gz"
    if own.exists():
        return own
    return Path(str(files("mixedfast"))) / "data" / "samples" / f"{dataset}.csv.gz"


def _categorical(values: pd.Series, given: list[str] | None) -> pd.Series:
    """Levels as given; else in numeric order when all are whole numbers; else in byte order."""
    found = list(values.dropna().unique())
    key = int if all(level.isdigit() for level in found) else str
    return values.astype(pd.CategoricalDtype(given or sorted(found, key=key)))


# ---- names -------------------------------------------------------------------------------------


def to_py(formula: str) -> str:
    """R's formula in formulaic's grammar (contrasts aside: those cases carry ``formula_py``)."""
    return formula.replace("^", "**")


def rename(term: str, name: str) -> str:
    """Formulaic's name of a fixed coefficient that R calls `term` in the golden model `name`."""
    return renamed([*golden(name)["fixef"], term], name)[-1]


def renamed(terms: list[str], name: str) -> list[str]:
    """Formulaic's names of the coefficients of one model matrix of a golden model.

    The names are read together: a factor is coded by its cells (``f[a]``) when its first level is
    there, by differences from the first level (``f[T.b]``) otherwise.
    """
    case = golden(name)
    return rename_all(terms, case["dataset"], contrasts_of(case))


def rename_all(
    terms: list[str], dataset: str, contrasts: dict[str, str] | None = None
) -> list[str]:
    """As `renamed`, for any model on a data set."""
    levels = {column: list(values.cat.categories) for column, values in _factors(dataset).items()}
    cells = {
        column
        for column, own in levels.items()
        if {f"{column}{own[0]}", f"{column}{own[0].upper()}"} & set(terms)
    }

    def whole(term: str) -> str:
        return ":".join(_rename_part(part, levels, cells, contrasts or {}) for part in _split(term))

    return [whole(term) for term in terms]


def rename_term(term: str, name: str) -> str:
    """Formulaic's name of a whole term, as in an analysis of variance."""
    contrasts = contrasts_of(golden(name))
    return ":".join(_coded(part, contrasts) for part in _split(term))


def contrasts_of(case: dict[str, Any]) -> dict[str, str]:
    """Columns with contrasts of their own: column → contrast's name."""
    given = case.get("contrasts")
    return given if isinstance(given, dict) else {}


def _factors(dataset: str) -> dict[str, pd.Series]:
    rows = _frame(dataset)
    found = {str(column): rows[column] for column in rows.select_dtypes("category")}
    truths = {str(column): rows[column].astype(str) for column in rows.select_dtypes("bool")}
    return found | {
        column: values.astype(pd.CategoricalDtype(["False", "True"]))
        for column, values in truths.items()
    }


def _split(term: str) -> list[str]:
    return term.split(":")


def _coded(part: str, contrasts: dict[str, str]) -> str:
    """One variable of a term: ``f`` → ``C(f, contr.sum)``, ``I(x^2)`` → ``I(x ** 2)``."""
    if part in contrasts:
        return f"C({part}, {contrasts[part]})"
    made_here = re.fullmatch(r"factor\((\w+)\)", part)
    return f"C({made_here[1]})" if made_here else part.replace("^", " ** ")


def _rename_part(
    part: str, levels: dict[str, list[str]], cells: set[str], contrasts: dict[str, str]
) -> str:
    if part == "(Intercept)":
        return "Intercept"
    made_here = re.fullmatch(r"(factor\(\w+\))(.+)", part)
    if made_here:
        return f"{_coded(made_here[1], {})}[T.{made_here[2]}]"
    for column, own in levels.items():
        rest = part.removeprefix(column)
        rest = rest.capitalize() if own == ["False", "True"] else rest  # R says TRUE
        if (
            contrasts.get(column) == "contr.poly"
            and part.startswith(column)
            and re.fullmatch(POLYNOMIAL, rest)
        ):
            return f"{_coded(column, contrasts)}[{rest}]"
        if column in contrasts and part.startswith(column) and rest.isdigit():
            return (
                f"{_coded(column, contrasts)}[{_contrast_label(contrasts[column], int(rest), own)}]"
            )
        if part.startswith(column) and rest in own:
            return f"{column}[{rest}]" if column in cells else f"{column}[T.{rest}]"
    return _coded(part, {})


def _contrast_label(contrast: str, number: int, levels: list[str]) -> str:
    """Return the level by which formulaic names a column of a contrast that R numbers.

    Column i of a sum contrast is level i, of a Helmert contrast level i + 1.
    """
    level = levels[number - 1] if contrast == "contr.sum" else levels[number]
    return f"{CONTRAST_MARKS[contrast]}.{level}"


# ---- fits --------------------------------------------------------------------------------------

#: R stopped short of the optimum here, at a singular fit; `hsb_factors_best` has R's best.
STOPPED_SHORT = {"hsb_factors"}


def fitted_model(name: str, **options: Any) -> mf.LMMResult:
    """Fit a golden model; a singular fit must say so, as the others must not."""
    record = golden(name)
    options = {"REML": record["REML"], "weights": record.get("weights")} | options
    singular = record["singular"] and name not in STOPPED_SHORT
    with pytest.warns(mf.SingularFitWarning) if singular else nullcontext():
        return mf.lmer(record["formula_py"], frame(record["dataset"]), **options)


@cache
def shared_model(name: str) -> mf.LMMResult:
    """Fit a golden model once in this process, for tests that leave the result as it is."""
    return fitted_model(name)
