"""Codings: the columns of a formula, with the names, terms and contrasts of formulaic.

When every factor of a formula is a column or ``C(column, ...)``, formulaic is given only a
*skeleton*, a few rows that cover every level. Each column is then a product of the arrays of the
data and of tables with one value per level. Other factors (``poly``, ``bs``, ``log(x)``) are
evaluated by formulaic on the rows (`mixedfast.design.model_matrix`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from mixedfast._stored import are_within, is_number, is_plain_value, stored
from mixedfast.data.categories import Categorical
from mixedfast.data.frames import ColumnData, Numeric
from mixedfast.design.columns import Column, ColumnFactor
from mixedfast.design.contrast_coding import Contrasts
from mixedfast.design.model_frame import Variables
from mixedfast.design.model_matrix import evaluate, kinds_of, materialize
from mixedfast.design.plain_coding import plain_columns
from mixedfast.errors import DataError
from mixedfast.formula.parser import plain_name
from mixedfast.formula.plain_terms import plain_terms
from mixedfast.formula.variables import (
    FactorInfo,
    factor_info,
    factors,
    is_plain,
    used_names,
)

__all__ = [
    "Coding",
    "FixedTerm",
    "apply_coding",
    "code",
    "code_shapes",
    "evaluate_expression",
    "products_of",
    "shape_of",
]


#: Names of the NumPy types of numbers and truth values.
_NUMBER_TYPES = frozenset(np.dtype(code).name for code in "?bBhHiIqQefd")


def _check_fixed_term(fields: Any) -> Iterator[str]:
    if len(fields.factors) != len(fields.kinds) or not set(fields.kinds) <= {
        "numeric",
        "categorical",
    }:
        yield "kinds of a FixedTerm are not one for each factor"


@stored("FixedTerm", relations=_check_fixed_term)
@dataclass(frozen=True)
class FixedTerm:
    """A term of a formula and its columns.

    Parameters
    ----------
    name : str
        As formulaic writes it: ``"Intercept"``, ``"ses"``, ``"sex:ses"``.
    columns : tuple of int
        Places among all columns of the formula, including linearly dependent ones.
    factors : tuple of str
        The factors multiplied in the term: ``("C(sex, contr.sum)", "ses")``.
    kinds : tuple of str
        ``"numeric"`` or ``"categorical"``, one per factor.
    variables : tuple of str
        The data columns of the term: ``("sex", "ses")``.
    """

    name: str
    columns: tuple[int, ...]
    factors: tuple[str, ...]
    kinds: tuple[str, ...]
    variables: tuple[str, ...]


def _check_shape(fields: Any) -> Iterator[str]:
    values = [value for _, value in fields.levels]
    numbers = all(isinstance(value, (bool, np.bool_)) or is_number(value) for value in values)
    if not (numbers or all(value is None or is_plain_value(value) for value in values)):
        yield "levels of a Shape are not plain values"
    if not fields.categorical and not (numbers and fields.dtype in _NUMBER_TYPES):
        yield f"a numeric Shape has the type {fields.dtype!r}"


@stored("Shape", relations=_check_shape)
@dataclass(frozen=True)
class Shape:
    """Kind and levels of a variable, which determine its coding.

    Parameters
    ----------
    name : str
    categorical : bool
    dtype : str
    levels : tuple of (str, label)
        Each with the name of its type: 1, 1.0 and True are equal in Python.
    """

    name: str
    categorical: bool
    dtype: str
    levels: tuple[tuple[str, Any], ...]

    def label_array(self) -> np.ndarray:
        """Return the levels as an array."""
        labels = [value for _, value in self.levels]
        if all(kind in ("int", "float", "bool") for kind, _ in self.levels):
            return np.asarray(labels)
        levels = np.empty(len(labels), dtype=object)
        levels[:] = labels
        return levels


@stored("Piece", arrays={"table": "finite c"})
@dataclass(frozen=True, eq=False)
class Piece:
    """A factor of a column: a variable, and the table in which its codes are looked up, if any."""

    variable: str
    table: np.ndarray | None


_STORED_FIELDS = {
    "formula": "str",
    "contrasts": "Contrasts",
    "shapes": "tuple[Shape, ...]",
    "typical": "Mapping[str, float]",
    "names": "tuple[str, ...]",
}


def _check_coding(fields: Any) -> Iterator[str]:
    terms = getattr(fields, "terms", ())
    if any(not are_within(term.columns, len(fields.names)) for term in terms):
        yield f"a term of a Coding points outside of its {len(fields.names)} columns"
    if hasattr(fields, "products") and len(fields.products) != len(fields.names):
        yield f"a Coding has {len(fields.products)} columns and {len(fields.names)} names"


@stored(
    "Coding",
    fields=(
        {
            **_STORED_FIELDS,
            "terms": "tuple[FixedTerm, ...]",
            "levels": "Mapping[str, np.ndarray]",
            "products": "tuple[tuple[Piece, ...], ...]",
        },
        {**_STORED_FIELDS, "state": "Mapping[str, Mapping[str, Any]]"},
    ),
    relations=_check_coding,
)
@dataclass(frozen=True, eq=False)
class Coding:
    """The columns of a formula for any rows; picklable, no rows.

    Parameters
    ----------
    formula : str
    names : tuple of str
        Names of the columns, as formulaic makes them.
    terms : tuple of FixedTerm
    levels : dict of str to ndarray
        The levels of each variable used as categories.
    products : tuple of tuple of Piece or None
        The columns as products, where every factor is plain.
    model_spec : formulaic.ModelSpec or None
        The recipe of formulaic (knots, centres), where some factor is not plain.
    contrasts : tuple
    shapes : tuple of Shape
        Kind and levels of every variable.
    typical : dict of str to float
        The mean of each numeric variable, where formulaic has the recipe: a value that every
        transform accepts.
    """

    formula: str
    names: tuple[str, ...]
    terms: tuple[FixedTerm, ...]
    levels: Mapping[str, np.ndarray]
    products: tuple[tuple[Piece, ...], ...] | None
    model_spec: Any
    contrasts: Contrasts
    shapes: tuple[Shape, ...] = ()
    typical: Mapping[str, float] = field(default_factory=dict)

    def __store__(self) -> dict[str, Any]:
        """Return the fields that are saved, with the state of the recipe of formulaic as data."""
        stored = {
            name: getattr(self, name)
            for name in ("formula", "contrasts", "shapes", "typical", "names")
        }
        if self.products is not None:
            return {**stored, "terms": self.terms, "levels": self.levels, "products": self.products}
        state = dict(self.model_spec.transform_state)
        try:  # restore it as from a file
            self.__restore__({**stored, "state": state})
        except DataError as error:  # categories of numbers, of which a typical row has one only
            what = f"{self.formula!r} makes categories out of numbers"
            raise DataError(f"{what}: this model can be pickled, not saved as data") from error
        return {**stored, "state": state}

    @classmethod
    def __restore__(cls, fields: dict[str, Any]) -> Coding:
        fields = dict(fields)
        if "products" in fields:
            return cls(**fields, model_spec=None)
        formula, contrasts = fields["formula"], fields["contrasts"]
        if any(contrast.value is None for _, contrast in contrasts):
            raise DataError(
                f"the contrasts of {formula!r} are objects: give them by name or as a matrix "
                "to save the model"
            )
        shapes, typical = fields["shapes"], fields["typical"]
        known = {shape.name for shape in shapes if shape.levels or shape.name in typical}
        if is_plain(formula) or known != set(used_names(formula)):
            raise DataError(f"the variables of {formula!r} are not those it was saved with")
        made = code_shapes(formula, shapes, contrasts, fields["state"], typical)
        if made.names != tuple(fields["names"]):
            raise DataError(
                f"the columns of {formula!r} are no longer made as they were saved: fit the "
                "model again"
            )
        return made


def code(
    formula: str, variables: Variables, contrasts: Contrasts = ()
) -> tuple[Coding, tuple[Column, ...]]:
    """Code a formula: its coding, and its columns on some rows.

    Raises
    ------
    FormulaError
        When formulaic cannot read or evaluate the formula.
    DataError
        When an evaluated column is not finite.
    """
    mine = tuple(pair for pair in contrasts if pair[0] in used_names(formula))
    if is_plain(formula):
        coding = _plain_coding(
            formula, tuple(shape_of(name, variables) for name in used_names(formula)), mine
        )
        return coding, _multiply(coding, variables)
    matrix, spec = materialize(formula, variables, mine)
    info = factors(formula)
    for factor, state in spec.factor_contrasts.items():
        if info[factor.expr].kind in ("column", "coded"):
            _require_all_levels(info[factor.expr], state, variables)
    coding = _coding(
        formula,
        tuple(shape_of(name, variables) for name in used_names(formula)),
        mine,
        spec,
        _typical(formula, variables),
    )
    return coding, _dense_columns(matrix, coding)


def code_shapes(
    formula: str,
    shapes: tuple[Shape, ...],
    contrasts: Contrasts,
    state: Mapping[str, Any],
    typical: Mapping[str, float],
) -> Coding:
    """Code a formula from kinds, levels and statistics of its variables, without rows.

    Parameters
    ----------
    formula : str
    shapes : tuple of Shape
        Of every variable in the formula, in the order of `used_names`.
    contrasts : tuple
    state : dict of str to dict
        Statistics of each transform that needs them, in the form of formulaic:
        ``{"scale(x)": {"center": 2.0, ...}}``.
    typical : dict of str to float
        A value of each numeric variable that every transform accepts.
    """
    mine = tuple(pair for pair in contrasts if pair[0] in used_names(formula))
    if is_plain(formula):
        return _plain_coding(formula, shapes, mine)
    variables = _skeleton(shapes, typical)
    _, spec = materialize(formula, variables, mine, state=state)
    return _coding(formula, shapes, mine, spec, typical)


def _coding(
    formula: str,
    shapes: tuple[Shape, ...],
    contrasts: Contrasts,
    spec: Any,
    typical: Mapping[str, float],
) -> Coding:
    levels = {shape.name: shape.label_array() for shape in shapes if shape.levels}
    return Coding(
        formula,
        tuple(spec.column_names),
        _terms(spec),
        levels,
        None,
        spec,
        contrasts,
        shapes,
        typical,
    )


def _typical(formula: str, variables: Variables) -> dict[str, float]:
    columns = {name: variables.columns[name] for name in used_names(formula)}
    return {
        name: float(column.values.mean())
        for name, column in columns.items()
        if isinstance(column, Numeric) and variables.n
    }


def apply_coding(coding: Coding, variables: Variables) -> tuple[Column, ...]:
    """Make the columns of a coding on other rows, whose codes have the levels of the coding."""
    if coding.products is not None:
        return _multiply(coding, variables)
    matrix, _ = materialize(coding.formula, variables, coding.contrasts, recipe=coding.model_spec)
    return _dense_columns(matrix, coding)


def evaluate_expression(expr: str, variables: Variables) -> np.ndarray:
    """Evaluate a response or an offset, (n,) float64: a column, or Python such as ``log(y)``.

    Raises
    ------
    FormulaError
        When formulaic cannot evaluate it.
    DataError
        When the result is not one finite number per row.
    """
    name = plain_name(expr)
    if name is not None:
        column = variables.columns[name]
        if isinstance(column, Categorical):
            raise DataError(
                f"column {name!r} holds categories where numbers are needed: convert it first"
            )
        return np.ascontiguousarray(column.values, dtype=np.float64)
    matrix, spec = evaluate(expr, variables)
    if matrix.shape != (variables.n, 1) or list(kinds_of(spec).values()) != ["numeric"]:
        raise DataError(f"{expr!r} does not give one number per row")
    values = np.ascontiguousarray(matrix[:, 0], dtype=np.float64)
    _require_finite(values, expr)
    return values


# --- the skeleton -----------------------------------------------------------------------------


def shape_of(name: str, variables: Variables) -> Shape:
    """Return kind and levels of a variable."""
    column = variables.columns[name]
    coded = variables.coded.get(name)
    levels = (
        tuple((type(v).__name__, v) for v in coded.levels.tolist()) if coded is not None else ()
    )
    dtype = column.values.dtype.name if isinstance(column, Numeric) else "category"
    return Shape(name, isinstance(column, Categorical), dtype, levels)


@lru_cache(maxsize=256)
def _plain_coding(formula: str, shapes: tuple[Shape, ...], contrasts: Contrasts) -> Coding:
    return _coding_of_names(formula, shapes, contrasts) or _skeleton_coding(
        formula, shapes, contrasts
    )


def _coding_of_names(
    formula: str, shapes: tuple[Shape, ...], contrasts: Contrasts
) -> Coding | None:
    """Code a formula of names without formulaic; None for other formulas and contrasts."""
    terms = plain_terms(formula)
    levels = {shape.name: shape.label_array() for shape in shapes if shape.levels}
    labels = {
        shape.name: levels[shape.name].tolist()
        for shape in shapes
        if shape.levels and (shape.categorical or shape.dtype == "bool")
    }
    if terms is None or contrasts or any(len(known) < 2 for known in labels.values()):
        return None
    columns = plain_columns(terms, labels)
    names = tuple(name for own in columns for name, _ in own)
    if len(set(names)) < len(names):
        return None
    made, places = [], itertools.count()
    for term, own in zip(terms, columns, strict=True):
        kinds = tuple("categorical" if name in labels else "numeric" for name in term)
        at = tuple(itertools.islice(places, len(own)))
        made.append(FixedTerm(":".join(term) or "Intercept", at, term, kinds, term))
    products = tuple(tuple(itertools.starmap(Piece, f)) for own in columns for _, f in own)
    return Coding(formula, names, tuple(made), levels, products, None, contrasts, shapes)


def _skeleton_coding(formula: str, shapes: tuple[Shape, ...], contrasts: Contrasts) -> Coding:
    """Code a formula by formulaic, on a few rows that have every level."""
    variables = _skeleton(shapes)
    _, spec = materialize(formula, variables, contrasts)
    levels = {
        shape.name: variables.coded[shape.name].levels
        for shape in shapes
        if shape.name in variables.coded
    }
    products = _products(formula, spec, variables)
    return Coding(
        formula, tuple(spec.column_names), _terms(spec), levels, products, None, contrasts, shapes
    )


def products_of(coding: Coding) -> tuple[tuple[Piece, ...], ...]:
    """Return every column as a product of pieces.

    A piece may be a Python expression that gives one number per row.

    Raises
    ------
    DataError
        When an expression gives categories.
    """
    if coding.products is not None:
        return coding.products
    return _products(coding.formula, coding.model_spec, _skeleton(coding.shapes, coding.typical))


def _products(formula: str, spec: Any, variables: Variables) -> tuple[tuple[Piece, ...], ...]:
    info = factors(formula)
    products: list[tuple[Piece, ...]] = []
    for structure in spec.structure:
        for scoped in structure.scoped_terms:
            choices = [
                _pieces(info[f.factor.expr], f.reduced, spec, variables) for f in scoped.factors
            ]
            # in formulaic the first factor varies fastest
            products += [
                tuple(reversed(chosen)) for chosen in itertools.product(*reversed(choices))
            ]
    return tuple(products)


def _skeleton(shapes: Sequence[Shape], typical: Mapping[str, float] | None = None) -> Variables:
    """Make a few rows that have every level of every variable at least once."""
    n = max([1, *(len(shape.levels) for shape in shapes)])
    columns: dict[str, ColumnData] = {}
    coded: dict[str, Categorical] = {}
    for shape in shapes:
        if shape.levels:
            levels = shape.label_array()
            coded[shape.name] = Categorical(
                np.resize(np.arange(len(levels), dtype=np.int32), n), levels
            )
        if shape.categorical:
            columns[shape.name] = coded[shape.name]
        elif shape.levels:
            columns[shape.name] = Numeric(
                np.resize(coded[shape.name].levels, n).astype(shape.dtype)
            )
        elif typical:
            columns[shape.name] = Numeric(np.full(n, typical[shape.name]).astype(shape.dtype))
        else:
            columns[shape.name] = Numeric(np.linspace(1.0, 2.0, n))
    return Variables(n, columns, coded)


def _pieces(info: FactorInfo, reduced: bool, spec: Any, variables: Variables) -> list[Piece]:
    """List the columns that a factor contributes to a product."""
    state = {factor.expr: state for factor, state in spec.factor_contrasts.items()}.get(info.expr)
    if info.kind == "python":
        if state is not None:
            raise DataError(
                f"{info.expr} makes categories from its argument: compute the column first"
            )
        return [Piece(info.expr, None)]
    name = info.variables[0]
    if state is None:
        return [Piece(name, None)]
    if len(state.levels) == 1 and reduced:
        return []
    _require_all_levels(info, state, variables)
    place = {level: i for i, level in enumerate(state.levels)}
    coding = np.asarray(state.get_coding_matrix(reduced_rank=reduced), dtype=np.float64)
    table = coding[[place[level] for level in variables.coded[name].levels.tolist()]]
    return [Piece(name, np.ascontiguousarray(table[:, j])) for j in range(table.shape[1])]


def _require_all_levels(info: FactorInfo, state: Any, variables: Variables) -> None:
    """Raise DataError when ``C(f, levels=...)`` leaves out a level that occurs."""
    name = info.variables[0]
    missing = [
        level for level in variables.coded[name].levels.tolist() if level not in set(state.levels)
    ]
    if missing:
        raise DataError(
            f"{info.expr} leaves out levels of {name!r} that occur in the data: {missing[:8]}"
        )


def _multiply(coding: Coding, variables: Variables) -> tuple[Column, ...]:
    assert coding.products is not None
    return tuple(tuple(_factor(piece, variables) for piece in pieces) for pieces in coding.products)


def _factor(piece: Piece, variables: Variables) -> ColumnFactor:
    if piece.table is not None:
        return ColumnFactor(variables.coded[piece.variable].codes, piece.table)
    column = variables.columns[piece.variable]
    assert isinstance(column, Numeric)
    return ColumnFactor(column.values)


# --- names and terms of formulaic -------------------------------------------------------------


def _dense_columns(matrix: np.ndarray, coding: Coding) -> tuple[Column, ...]:
    for j, name in enumerate(coding.names):
        _require_finite(matrix[:, j], name)
    constant = {j for term in coding.terms if not term.factors for j in term.columns}
    return tuple(
        () if j in constant else (ColumnFactor(matrix[:, j]),) for j in range(matrix.shape[1])
    )


def _require_finite(values: np.ndarray, name: str) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        raise DataError(
            f"{name!r} is not a finite number in {int((~finite).sum())} rows: "
            "check the column it is computed from (a logarithm of zero, say); to leave such rows "
            "out, compute the column first, with missing values there"
        )


def _terms(spec: Any) -> tuple[FixedTerm, ...]:
    kinds = kinds_of(spec)
    terms = []
    start = 0
    for structure in spec.structure:
        stop = start + len(structure.columns)
        factors = tuple(f.expr for f in structure.term.factors if f.expr != "1")
        info = [
            factor_info(f.expr, f.eval_method.value)
            for f in structure.term.factors
            if f.expr != "1"
        ]
        terms.append(
            FixedTerm(
                name=str(structure.term) if factors else "Intercept",
                columns=tuple(range(start, stop)),
                factors=factors,
                kinds=tuple(kinds.get(expr, "numeric") for expr in factors),
                variables=tuple(dict.fromkeys(name for one in info for name in one.variables)),
            )
        )
        start = stop
    for term in terms:
        _require_columns(term, spec)
    return tuple(terms)


def _require_columns(term: FixedTerm, spec: Any) -> None:
    """Raise DataError for a term of a factor with one level; formulaic makes no column of it."""
    if not term.factors or term.columns:
        return
    single = [
        f"{factor.expr} has one level only, {state.levels[0]!r}, in the rows used"
        for factor, state in spec.factor_contrasts.items()
        if factor.expr in term.factors and len(state.levels) == 1
    ]
    raise DataError(
        f"the term {term.name} has the same value in all rows ({'; '.join(single)}): "
        "leave it out of the formula"
    )
