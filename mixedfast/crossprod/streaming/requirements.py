"""Columns, levels and statistics that a streamed model requires."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from mixedfast.data.frames import no_column
from mixedfast.design.build import formulas, named_in, refuse_response_as_predictor
from mixedfast.errors import DataError
from mixedfast.formula.expressions import Stateful, stateful_calls
from mixedfast.formula.parser import ModelSpec
from mixedfast.formula.variables import (
    bare_names,
    coded_names,
    expression_names,
    python_factors,
    used_names,
)

__all__ = ["Requirements", "check_columns", "given_levels", "requirements_of"]


@dataclass(frozen=True)
class Requirements:
    """Columns and statistics that a model requires.

    Parameters
    ----------
    spec : ModelSpec
    weights, offset : str or None
        Names of columns.
    variables : tuple of str
        The columns in the formulas, including the response.
    under_c : frozenset of str
        Those inside ``C()``: categories of any type.
    bare : frozenset of str
        Those used by their bare name: categories if they are True and False.
    groups : tuple of tuple of str
        The columns of each distinct grouping factor.
    transforms : tuple of Stateful
        Calls that need statistics of a whole column.
    """

    spec: ModelSpec
    weights: str | None
    offset: str | None
    variables: tuple[str, ...]
    under_c: frozenset[str]
    bare: frozenset[str]
    groups: tuple[tuple[str, ...], ...]
    transforms: tuple[Stateful, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read; a row with a missing value in one of them is left out."""
        parts = [name for factors in self.groups for name in factors]
        vectors = [name for name in (self.weights, self.offset) if name is not None]
        return tuple(dict.fromkeys([*self.variables, *parts, *vectors]))

    def is_category(self, name: str, kind: str) -> bool:
        """Return whether a variable with a column of a kind ("number", "text") is categorical."""
        return (
            name in self.under_c
            or kind not in ("number", "boolean", "null")
            or (kind == "boolean" and name in self.bare)
        )

    def missing_by_role(self, missing: Mapping[str, int]) -> dict[str, int]:
        """Name the columns of weights and offset by their role in a count of missing values."""
        roles = {self.weights: "weights", self.offset: "offset"}
        own = {name for name in roles if name not in self.variables}
        return {roles[name] if name in own else name: count for name, count in missing.items()}


def requirements_of(spec: ModelSpec, weights: Any, offset: Any) -> Requirements:
    """List the columns and statistics that a model requires of streamed data.

    Raises
    ------
    DataError
        For weights or an offset given as an array, and for transforms whose statistics one pass
        cannot find.
    """
    for label, given in (("weights", weights), ("offset", offset)):
        if given is not None and not isinstance(given, str):
            raise DataError(
                f"{label} must be the name of a column here: the rows are not in memory"
            )
    refuse_response_as_predictor(spec)
    mentioned = [*expression_names(spec.response)]
    for formula in formulas(spec):
        mentioned += used_names(formula)
    for expr in spec.offsets:
        mentioned += expression_names(expr)
    transforms = {call.text: call for formula in formulas(spec) for call in transforms_of(formula)}
    for expr in (spec.response, *spec.offsets):
        for call in stateful_calls(expr) if expression_names(expr) != (expr,) else ():
            raise DataError(
                f"{call.text} in a response or an offset needs all rows at once: compute the "
                "column first"
            )
    return Requirements(
        spec,
        weights,
        offset,
        tuple(dict.fromkeys(mentioned)),
        named_in(spec, coded_names),
        named_in(spec, bare_names),
        tuple(dict.fromkeys(term.factors for term in spec.random)),
        tuple(transforms.values()),
    )


def check_columns(needs: Requirements, names: Sequence[str]) -> None:
    """Raise DataError unless the data have every column once; suggest close names."""
    for name in needs.columns:
        if name not in names:
            raise no_column(name, names)
        if list(names).count(name) > 1:
            raise DataError(f"the data have two columns {name!r}: rename or leave out one")


def given_levels(levels: Any, names: Sequence[str]) -> dict[str, list[Any]]:
    """Check the levels that a caller gives, by column.

    Raises
    ------
    DataError
        When they are not a dict of lists, or name an unknown column or a level twice.
    """
    if not isinstance(levels or {}, Mapping):
        raise DataError(f"levels={levels!r} must be a dict: {{column: [its levels]}}")
    for name in levels or {}:
        if name not in names:
            raise no_column(str(name), names)
    return {name: _level_array(name, values) for name, values in (levels or {}).items()}


def _level_array(name: str, values: Sequence[Any]) -> list[Any]:
    if hasattr(values, "to_pylist"):  # Arrow's arrays give Arrow's values
        values = values.to_pylist()
    unordered = isinstance(values, (str, Set)) or not isinstance(values, Iterable)
    if unordered or not (listed := list(values)):
        raise DataError(f"levels[{name!r}] must be a list of levels in their order")
    others = {
        kind for kind in set(map(type, listed)) if not issubclass(kind, (str, Real, np.bool_))
    }
    odd = [value for value in listed if type(value) in others or value != value]
    if odd:
        raise DataError(
            f"levels[{name!r}] holds {odd[0]!r}, which cannot be a level: levels are strings or "
            "numbers"
        )
    if len(set(listed)) < len(listed):
        raise DataError(f"levels[{name!r}] has a level twice")
    return listed


def transforms_of(formula: str) -> list[Stateful]:
    """List the transforms of a formula that need statistics.

    Transforms whose statistics one pass cannot find are refused by name.
    """
    found = [call for expr in python_factors(formula) for call in stateful_calls(expr)]
    for call in found:
        given = dict(call.arguments)
        if any(stateful_calls(call.inside)):
            raise DataError(
                f"{call.text} transforms a transform of a whole column: compute the inner one "
                "first and use its column"
            )
        if call.function == "bs" and given.get("df") is None:
            continue
        if call.function not in ("scale", "center", "standardize"):
            hint = "give its knots, bs(x, knots=[...]), or " if call.function == "bs" else ""
            raise DataError(
                f"{call.text} needs the whole column at once, and the rows are not in memory: "
                f"{hint}compute its columns first and use those"
            )
    return found
