"""Formulas as in statsmodels: Python in the namespace of the caller, columns in patsy's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast.errors import DataError, FormulaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FixedPart",
    "drop_missing",
    "evaluate",
    "is_one_sided",
    "matrix",
    "namespace",
    "parsed",
    "variables",
]


class FixedPart:
    """The right-hand side of a formula: its columns now, and on new data.

    Parameters
    ----------
    spec : formulaic.ModelSpec
    order : (p,) int array
        The columns of formulaic in the order of patsy.
    context : mapping
        Names a formula may use besides columns. Not pickled, because user functions often cannot
        be.
    """

    def __init__(self, spec: Any, order: np.ndarray, context: Mapping[str, Any]) -> None:
        self._spec, self._order, self._context = spec, order, context

    @property
    def names(self) -> list[str]:
        columns = list(self._spec.column_names)
        return [columns[i] for i in self._order]

    @property
    def terms(self) -> dict[str, list[int]]:
        """Positions, in patsy's order, of the columns of each term."""
        place = np.argsort(self._order)
        found = {
            "Intercept" if str(term) == "1" else str(term): sorted(place[list(columns)].tolist())
            for term, columns in self._spec.term_indices.items()
        }
        return dict(sorted(found.items(), key=lambda item: item[1]))

    def on(self, data: pd.DataFrame) -> pd.DataFrame:
        """Evaluate the columns on new data; rows with a missing value are NaN."""
        found = matrix(self._spec, data, self._context)
        return found.iloc[:, self._order]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_context": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _context={"np": np})


def namespace(depth: int, eval_env: Any = None) -> Mapping[str, Any]:
    """Collect the variables of the caller, `depth` frames up, that a formula may use.

    ``eval_env`` as in statsmodels: -1 for none, a number of further frames to go up, a mapping, or
    a patsy environment.
    """
    from formulaic.utils.context import capture_context

    if eval_env is None or (isinstance(eval_env, int) and eval_env >= 0):
        found: Mapping[str, Any] = capture_context(depth + 1 + (eval_env or 0))
        return found
    if isinstance(eval_env, Mapping):
        return eval_env
    if eval_env == -1:
        return {}
    if hasattr(eval_env, "namespace"):  # patsy.EvalEnvironment
        return {name: eval_env.namespace[name] for part in eval_env._namespaces for name in part}
    raise FormulaError(
        f"eval_env={eval_env!r}: None, -1, a number of frames, a dict or a patsy environment"
    )


def is_one_sided(formula: Any) -> str:
    """Strip the tilde of a formula such as ``"1 + x"`` or ``"~ 1 + x"``.

    Raises
    ------
    FormulaError
        When it is not a string, or has a left-hand side.
    """
    if not isinstance(formula, str):
        raise FormulaError(f"a formula is a string such as '1 + x', not {type(formula).__name__}")
    text = formula.strip()
    text = text[1:] if text.startswith("~") else text
    if "~" in text:
        raise FormulaError(f"{formula!r} has a left-hand side: write the random part only")
    return text.strip()


def variables(formula: str, data: pd.DataFrame) -> list[str]:
    """List the columns of the data that a formula uses, in the order of the data."""
    wanted = set(map(str, parsed(formula).required_variables))
    return [name for name in data.columns if name in wanted]


def drop_missing(
    data: pd.DataFrame,
    groups: np.ndarray,
    names: Sequence[str],
    missing: str,
    group_name: str = "groups",
) -> np.ndarray:
    """Find the complete rows, bool (n,).

    Raises
    ------
    DataError
        When a row has a missing value and `missing` is not ``"drop"``.
    """
    import pandas as pd

    absent = {name: pd.isna(data[name]).to_numpy() for name in dict.fromkeys(names)}
    absent[group_name] = pd.isna(groups)
    keep = ~np.logical_or.reduce(list(absent.values()))
    if missing != "drop" and not keep.all():
        counts = ", ".join(
            f"{name!r} {int(mask.sum())}" for name, mask in absent.items() if mask.any()
        )
        raise DataError(f'missing values ({counts}): pass missing="drop" to leave those rows out')
    return keep


def evaluate(
    formula: str, data: pd.DataFrame, context: Mapping[str, Any]
) -> tuple[np.ndarray, str, np.ndarray, FixedPart]:
    """Evaluate a formula: response (n,), its name, X (n, p), and the fixed part for new data.

    Raises
    ------
    FormulaError
        When the formula cannot be read or evaluated, or its left side is not one numeric column.
    """
    if not isinstance(formula, str) or "~" not in formula:
        raise FormulaError(f"{formula!r} has no '~': write response ~ predictors")
    found = matrix(formula, data, context)
    if not hasattr(found, "lhs"):
        raise FormulaError(f"{formula!r} has no response before '~'")
    left, right = found.lhs, found.rhs
    if left.shape[1] != 1:
        raise FormulaError(
            f"the response of {formula!r} gives {left.shape[1]} columns: it must be one numeric "
            "column"
        )
    spec = right.model_spec
    order = _patsy_order(spec, formula)
    values = np.asarray(right, dtype=float)[:, order]
    return (
        np.asarray(left, dtype=float)[:, 0],
        str(left.columns[0]),
        values,
        FixedPart(spec, order, context),
    )


def matrix(
    spec: Any, data: pd.DataFrame, context: Mapping[str, Any], output: str = "pandas"
) -> Any:
    """Evaluate a formula, or its specification from an earlier evaluation, by formulaic."""
    from formulaic import ModelSpec, ModelSpecs, model_matrix
    from formulaic.errors import FormulaicError

    data = _categories_for_bool(spec, data)
    try:
        if isinstance(spec, (ModelSpec, ModelSpecs)):
            return spec.get_model_matrix(data, context=context, na_action="ignore")
        return model_matrix(spec, data, context=context, na_action="ignore", output=output)
    except (FormulaicError, ValueError, SyntaxError, TypeError) as error:
        text = spec if isinstance(spec, str) else str(spec.formula)
        raise FormulaError(f"cannot evaluate {text!r}: {error}") from error


def _categories_for_bool(spec: Any, data: pd.DataFrame) -> pd.DataFrame:
    """Convert boolean columns that are terms of a formula to categories, as patsy does."""
    import pandas as pd

    terms = parsed(spec) if isinstance(spec, str) else spec.formula
    sides = [terms.lhs, terms.rhs] if hasattr(terms, "lhs") else [terms]
    factors = {factor for side in sides for term in side for factor in term.factors}
    alone = {f.expr for f in factors if f.eval_method.value == "lookup"}
    calls = [f.expr for f in factors if f.eval_method.value == "python"]
    inside = {str(name) for call in calls for name in parsed(f"0 + {call}").required_variables}
    found = {name for name in alone - inside if name in data.columns and data[name].dtype == bool}
    return (
        data.assign(**{name: pd.Categorical(data[name], [False, True]) for name in found})
        if found
        else data
    )


def parsed(formula: str, **options: Any) -> Any:
    """Parse a formula into the terms of formulaic.

    Raises
    ------
    FormulaError
        When it cannot be read.
    """
    from formulaic import Formula
    from formulaic.errors import FormulaicError

    try:
        return Formula(formula, **options)
    except (FormulaicError, SyntaxError) as error:
        raise FormulaError(f"cannot read {formula!r}: {error}") from error


def _patsy_order(spec: Any, formula: str) -> np.ndarray:
    """Compute the positions of the columns of formulaic in the order of patsy.

    Patsy sorts terms into buckets by the numeric factors they share, the bucket without any first,
    the others in the order of the formula; inside a bucket by degree. formulaic sorts by degree
    alone. The terms of a power count as written with lower degrees first.
    """
    numeric = {expr for expr, state in spec.encoder_state.items() if state[0].value == "numerical"}
    ordering = "degree" if _has_power(formula) else "none"
    written = {str(term): i for i, term in enumerate(parsed(formula, _ordering=ordering).rhs)}
    buckets: dict[frozenset[str], int] = {frozenset(): -1}
    for term in sorted(spec.term_indices, key=lambda term: written[str(term)]):
        buckets.setdefault(_numeric_factors(term, numeric), len(buckets))
    ranked = sorted(
        spec.term_indices.items(),
        key=lambda item: (
            buckets[_numeric_factors(item[0], numeric)],
            item[0].degree,
            written[str(item[0])],
        ),
    )
    return np.array([column for _, columns in ranked for column in columns], dtype=int)


def _has_power(formula: str) -> bool:
    """Whether the formula multiplies terms by ``**``, outside of function calls."""
    from formulaic.parser import DefaultFormulaParser

    tokens = DefaultFormulaParser().get_tokens(formula)
    return any(token.kind.value == "operator" and token.token in ("**", "^") for token in tokens)


def _numeric_factors(term: Any, numeric: set[str]) -> frozenset[str]:
    return frozenset(factor.expr for factor in term.factors) & numeric
