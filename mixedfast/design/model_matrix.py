"""Model matrices by formulaic: the variables in its form, and its matrix and recipe.

Names have the meaning they have in R: a variable of True and False is categorical, with two levels,
when it is used by its bare name, and numeric in arithmetic.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from mixedfast.data.frames import Numeric
from mixedfast.data.pandas_columns import pandas_column, pandas_table
from mixedfast.design.contrast_coding import Contrasts
from mixedfast.design.model_frame import Variables
from mixedfast.errors import DataError, FormulaError
from mixedfast.formula.expressions import functions, stateful_calls
from mixedfast.formula.parser import plain_name
from mixedfast.formula.variables import (
    bare_names,
    expression_names,
    factors,
    one_line,
    too_deep,
    used_names,
)

__all__ = ["evaluate", "kinds_of", "materialize"]


def materialize(
    formula: str,
    variables: Variables,
    contrasts: Contrasts = (),
    recipe: Any = None,
    state: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[np.ndarray, Any]:
    """Evaluate a formula by formulaic: the matrix (n, p) float64 and the recipe.

    Parameters
    ----------
    formula : str
    variables : Variables
    contrasts : tuple
        Of variables of the formula.
    recipe : formulaic.ModelSpec, optional
        Of this formula, from earlier rows.
    state : dict of str to dict, optional
        Statistics that transforms need, where they are known.

    Raises
    ------
    FormulaError
        When formulaic cannot evaluate the formula.
    DataError
        When an expression computes with a column of categories.
    """
    known = {call: dict(values) for call, values in (state or {}).items()}
    spec = formula if recipe is None else recipe
    return _matrix(
        spec, _frame(variables, formula, contrasts), _context(variables, formula, contrasts), known
    )


def evaluate(expr: str, variables: Variables) -> tuple[np.ndarray, Any]:
    """Evaluate Python on columns as `materialize`; True and False are numbers in it."""
    names = expression_names(expr)
    return _matrix(f"0 + {{{expr}}}", _table(variables, names, frozenset(names)), {}, {})


def kinds_of(recipe: Any) -> dict[str, str]:
    """Return for each factor whether formulaic coded it as "numeric" or "categorical"."""
    return {
        expr: "categorical" if state[0].value == "categorical" else "numeric"
        for expr, state in recipe.encoder_state.items()
    }


# --- the variables ----------------------------------------------------------------------------


def _frame(variables: Variables, formula: str, contrasts: Contrasts) -> Any:
    """Make a pandas frame of the variables of a formula, without those in the context."""
    aside = {*_truths(variables, formula), *(name for name, _ in contrasts)}
    kinds: dict[str, set[str]] = {}
    for info in factors(formula).values():
        for name in info.variables:
            kinds.setdefault(name, set()).add(info.kind)
    as_floats = frozenset(name for name, how in kinds.items() if how <= {"column", "python"})
    return _table(variables, [name for name in used_names(formula) if name not in aside], as_floats)


def _context(variables: Variables, formula: str, contrasts: Contrasts) -> dict[str, Any]:
    """Mark columns as categories: those with a contrast, and those of True and False."""
    from formulaic.transforms.contrasts import C

    marked = {
        name: C(pandas_column(column), None) for name, column in _truths(variables, formula).items()
    }
    return marked | {
        name: C(pandas_column(variables.columns[name]), contrast.value)
        for name, contrast in contrasts
    }


def _truths(variables: Variables, formula: str) -> dict[str, Numeric]:
    """Find the variables of True and False that a formula uses by their bare name."""
    found = {
        name: variables.columns[name] for name in bare_names(formula) if name in variables.coded
    }
    return {
        name: column
        for name, column in found.items()
        if isinstance(column, Numeric) and column.is_boolean
    }


def _table(variables: Variables, names: Sequence[str], as_floats: Collection[str]) -> Any:
    """Make a pandas frame of some variables; whole numbers in arithmetic become floats, as in R."""
    return pandas_table({name: variables.columns[name] for name in names}, variables.n, as_floats)


# --- the matrix -------------------------------------------------------------------------------


def _matrix(
    spec: Any, frame: Any, context: Mapping[str, Any], state: dict[str, dict[str, Any]]
) -> tuple[np.ndarray, Any]:
    """Evaluate a formula, with known statistics, or a recipe."""
    from formulaic.errors import FormulaicError

    text = spec if isinstance(spec, str) else str(spec.formula)
    factors(text)  # checks that the text has only expressions that may be evaluated
    _refuse_transforms_of_text(text, frame)
    try:
        # the caller reports a logarithm of zero with the name of the column; NumPy would warn
        # without it
        with np.errstate(all="ignore"):
            found = _model_matrix(spec, frame, {**functions(), **context}, state)
        values = np.asarray(found)
        matrix = values.real.astype(np.float64, order="F", copy=False)
    except RecursionError as error:
        raise too_deep(text) from error
    except (FormulaicError, LookupError, TypeError, ValueError) as error:
        _name_categories(text, frame, error)
        _name_values_out_of_range(text, frame, spec, error)
        _name_elements(text, error)
        # an error of NumPy as it puts the parts side by side
        if isinstance(error, ValueError) and not isinstance(error, FormulaicError):
            what = (
                f"a part of {text!r} does not give one value per row: it is an element or a slice "
                "of a column, say, or text"
            )
        else:
            what = (
                f"formulaic cannot evaluate {text!r}, whose parts must each give one value per "
                f"row: {one_line(error)}"
            )
        raise FormulaError(what) from error
    if np.iscomplexobj(values):
        shown = text.removeprefix("0 + {").removesuffix("}")  # an expression alone
        raise FormulaError(f"a part of {shown!r} has complex values, where real ones are needed")
    return matrix, found.model_spec


def _refuse_transforms_of_text(text: str, frame: Any) -> None:
    """Raise DataError for ``poly(f, 2)`` of categories: digits in text would count as numbers."""
    for expr, info in factors(text).items():
        for call in stateful_calls(expr) if info.kind == "python" else ():
            name = plain_name(call.inside)
            if name is not None and name in frame and frame[name].dtype == "category":
                raise _needs_numbers(name, call.text)


def _needs_numbers(name: str, expr: str) -> DataError:
    return DataError(
        f"column {name!r} holds categories where {expr!r} needs numbers: convert it first"
    )


def _name_categories(text: str, frame: Any, error: Exception) -> None:
    """Raise DataError when an expression that cannot be evaluated computes with categories."""
    for expr, info in factors(text).items():
        held = [
            name for name in info.variables if name in frame and frame[name].dtype == "category"
        ]
        if info.kind == "python" and held and not expr.startswith("C("):
            raise _needs_numbers(held[0], expr) from error


def _name_values_out_of_range(text: str, frame: Any, spec: Any, error: Exception) -> None:
    """Raise DataError when values lie outside the range on which a spline was made."""
    if "beyond upper and/or lower bounds" not in str(error):
        return
    made = {} if isinstance(spec, str) else spec.transform_state
    for expr, info in factors(text).items():
        calls = stateful_calls(expr) if info.kind == "python" else ()
        call = next((call for call in calls if call.function == "bs"), None)
        if call is None:
            continue
        # formulaic writes `my days` as my_days in the keys of its states
        key = re.sub("`([^`]*)`", lambda quoted: re.sub(r"\W", "_", quoted[1]), call.text)
        bounds = {**dict(call.arguments), **made.get(key, {})}
        low, high = bounds.get("lower_bound"), bounds.get("upper_bound")
        name = info.variables[0]
        values = np.asarray(frame[name], dtype=np.float64)
        if plain_name(call.inside) == name:
            below = np.zeros(len(values), bool) if low is None else values < low
            above = np.zeros(len(values), bool) if high is None else values > high
            if not (below | above).any():
                continue
            what = f"{name} = {values[np.argmax(below | above)]:.6g} lies"
        else:
            what = f"values of {call.inside} lie"
        raise DataError(
            f"{what} outside {'-inf' if low is None else f'{low:.6g}'} to "
            f"{'inf' if high is None else f'{high:.6g}'}, the range on which {expr} was made: "
            "leave such rows out, or write lower_bound=, upper_bound= or extrapolation='extend' "
            "into the formula"
        ) from error


def _name_elements(text: str, error: Exception) -> None:
    """Raise FormulaError when an expression takes an element of a column by a label."""
    cause = error.__cause__ or error
    if not isinstance(cause, LookupError):
        return
    for expr, info in factors(text).items():
        if info.kind == "python" and "[" in expr:
            raise FormulaError(
                f"{expr!r} takes an element of {info.variables[0]!r}, and each part of a formula "
                "must give one value per row: make the column first"
            ) from error


def _model_matrix(spec: Any, frame: Any, context: Mapping[str, Any], state: dict[str, Any]) -> Any:
    from formulaic import Formula

    if isinstance(spec, str):
        options = {"output": "numpy", "na_action": "ignore", "transform_state": state}
        return Formula(spec).get_model_matrix(frame, context=context, **options)
    return spec.get_model_matrix(frame, context=context)
