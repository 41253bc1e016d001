"""formulaic at work: variables as it takes them, and the matrix and recipe it gives back.

A name means what it means in R: True and False by their bare name are a category of two levels, and numbers in arithmetic.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from mixedfast.data.frames import Numeric
from mixedfast.data.pandas_columns import pandas_column, pandas_table
from mixedfast.design.contrast_coding import Contrasts
from mixedfast.design.model_frame import Variables
from mixedfast.errors import DataError, FormulaError
from mixedfast.formula.expressions import functions
from mixedfast.formula.variables import bare_names, expression_names, factors, one_line, used_names

__all__ = ["evaluate", "kinds_of", "materialize"]


def materialize(
    formula: str,
    rows: Variables,
    contrasts: Contrasts = (),
    recipe: Any = None,
    state: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[np.ndarray, Any]:
    """formulaic's matrix of some rows (n, p) float64, and its recipe.

    Parameters
    ----------
    formula : str
    rows : Variables
    contrasts : tuple
        Of variables that the formula uses.
    recipe : formulaic.ModelSpec, optional
        Made earlier of this formula, to be followed again.
    state : dict of str to dict, optional
        Statistics that transforms need, where they are known.

    Raises
    ------
    FormulaError
        When formulaic cannot evaluate the formula.
    DataError
        When it cannot for a column of categories that is reckoned with.
    """
    known = {call: dict(values) for call, values in (state or {}).items()}
    spec = formula if recipe is None else recipe
    return _matrix(
        spec, _frame(rows, formula, contrasts), _context(rows, formula, contrasts), known
    )


def evaluate(expr: str, rows: Variables) -> tuple[np.ndarray, Any]:
    """As `materialize`, of Python on columns that are numbers there, True and False among them."""
    names = expression_names(expr)
    return _matrix(f"0 + {{{expr}}}", _table(rows, names, frozenset(names)), {}, {})


def kinds_of(recipe: Any) -> dict[str, str]:
    """What formulaic took each factor for: "numeric" or "categorical"."""
    return {
        expr: "categorical" if state[0].value == "categorical" else "numeric"
        for expr, state in recipe.encoder_state.items()
    }


# --- the variables ---------------------------------------------------------------------------------------


def _frame(rows: Variables, formula: str, contrasts: Contrasts) -> Any:
    """The variables of a formula as a pandas frame, without those that come by the context."""
    aside = {*_truths(rows, formula), *(name for name, _ in contrasts)}
    kinds: dict[str, set[str]] = {}
    for info in factors(formula).values():
        for name in info.variables:
            kinds.setdefault(name, set()).add(info.kind)
    reckoned = frozenset(name for name, how in kinds.items() if how <= {"column", "python"})
    return _table(rows, [name for name in used_names(formula) if name not in aside], reckoned)


def _context(rows: Variables, formula: str, contrasts: Contrasts) -> dict[str, Any]:
    """Columns marked as categories: those with a contrast given, and True and False, which stay 1 and 0 in arithmetic."""
    from formulaic.transforms.contrasts import C

    marked = {
        name: C(pandas_column(column), None) for name, column in _truths(rows, formula).items()
    }
    return marked | {
        name: C(pandas_column(rows.columns[name]), contrast.value) for name, contrast in contrasts
    }


def _truths(rows: Variables, formula: str) -> dict[str, Numeric]:
    """The variables of True and False that a formula uses by their bare name."""
    found = {name: rows.columns[name] for name in bare_names(formula) if name in rows.coded}
    return {
        name: column
        for name, column in found.items()
        if isinstance(column, Numeric) and column.is_boolean
    }


def _table(rows: Variables, names: Sequence[str], reckoned: Collection[str]) -> Any:
    """Some variables as a pandas frame; whole numbers that are reckoned with as floats, as in R."""
    return pandas_table({name: rows.columns[name] for name in names}, rows.n, reckoned)


# --- the matrix ------------------------------------------------------------------------------------------


def _matrix(
    spec: Any, frame: Any, context: Mapping[str, Any], state: dict[str, dict[str, Any]]
) -> tuple[np.ndarray, Any]:
    """The matrix of a formula (with known statistics) or of a recipe made earlier."""
    from formulaic.errors import FormulaicError

    text = spec if isinstance(spec, str) else str(spec.formula)
    factors(text)  # whatever road it came by, nothing is evaluated that was not looked through
    try:
        # a logarithm of zero is reported by the caller with the column's name, which NumPy's own warning lacks
        with np.errstate(all="ignore"):
            found = _asked(spec, frame, {**functions(), **context}, state)
        matrix = np.asarray(found, dtype=np.float64, order="F")
    except (FormulaicError, LookupError, TypeError, ValueError) as error:
        _name_categories(text, frame, error)
        if isinstance(error, ValueError) and not isinstance(
            error, FormulaicError
        ):  # NumPy's, as parts are put side by side
            what = f"a part of {text!r} does not give one value a row: it is an element or a slice of a column, say, or text"
        else:
            what = f"formulaic cannot evaluate {text!r}, whose parts must each give one value a row: {one_line(error)}"
        raise FormulaError(what) from error
    return matrix, found.model_spec


def _name_categories(text: str, frame: Any, error: Exception) -> None:
    """Raise DataError when an expression that could not be evaluated reckons with a column of categories."""
    for expr, info in factors(text).items():
        held = [
            name for name in info.variables if name in frame and frame[name].dtype == "category"
        ]
        if info.kind == "python" and held and not expr.startswith("C("):
            raise DataError(
                f"column {held[0]!r} holds categories where {expr!r} needs numbers: convert it "
                "first"
            ) from error


def _asked(spec: Any, frame: Any, context: Mapping[str, Any], state: dict[str, Any]) -> Any:
    from formulaic import Formula

    if isinstance(spec, str):
        options = {"output": "numpy", "na_action": "ignore", "transform_state": state}
        return Formula(spec).get_model_matrix(frame, context=context, **options)
    return spec.get_model_matrix(frame, context=context)
