"""The columns of [X y Z] as expressions of a lazy frame, shifted and scaled in double precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add, mul
from typing import Any

import numpy as np

from mixedfast._memo import cached_property
from mixedfast.crossprod.scaling import GroupScaling, Scaling
from mixedfast.crossprod.streaming.lazy_expressions import translate
from mixedfast.crossprod.streaming.requirements import Requirements
from mixedfast.data.lazy_frames import Expr, LazyFrame, literal, lookup
from mixedfast.design.coding import Coding, Piece, products_of
from mixedfast.design.columns import Column, ColumnFactor
from mixedfast.design.types import Recipe
from mixedfast.formula.parser import plain_name

__all__ = ["LazyColumns", "first_alike", "product", "scaled_xy", "scaled_z", "shapes_of_columns"]


@dataclass(frozen=True, eq=False)
class LazyColumns:
    """The columns of [X y Z] in the user's units.

    Parameters
    ----------
    needs : Requirements
    frame : LazyFrame
    recipe : Recipe
    state : dict of str to dict
        Statistics of the transforms that need them.
    """

    needs: Requirements
    frame: LazyFrame
    recipe: Recipe
    state: Mapping[str, Mapping[str, Any]]

    @cached_property
    def x(self) -> list[Expr | None]:
        """The columns of X; None for the constant."""
        return self._columns(self.recipe.fixed)

    @cached_property
    def y(self) -> Expr:
        """The response less the offsets."""
        spec = self.needs.spec
        total = self._number(spec.response)
        for expr in spec.offsets:
            total = total - self._number(expr)
        return total if self.needs.offset is None else total - self.frame.number(self.needs.offset)

    @cached_property
    def z(self) -> list[list[Expr | None]]:
        """The columns of Z by grouping factor; None for the constant."""
        return [
            [column for t in members for column in self._columns(self.recipe.random[t])]
            for members in self.recipe.terms_by_group
        ]

    @cached_property
    def weight(self) -> Expr | None:
        """The weights, where there are any."""
        return None if self.needs.weights is None else self.frame.number(self.needs.weights)

    def _columns(self, coding: Coding) -> list[Expr | None]:
        return [
            reduce(mul, [self._piece(piece, coding) for piece in pieces]) if pieces else None
            for pieces in products_of(coding)
        ]

    def _piece(self, piece: Piece, coding: Coding) -> Expr:
        if piece.table is None:
            return self._number(piece.variable)
        levels = coding.levels[piece.variable].tolist()
        return lookup(self.frame.label(piece.variable), levels, piece.table.tolist())

    def _number(self, expr: str) -> Expr:
        # a column first: read as an expression, the name " x" would lose its blank
        name = expr if expr in self.frame.names else plain_name(expr)
        if name is None:
            return translate(expr, self.frame, self.state)
        return self.frame.number(name)


def scaled_xy(x: Sequence[Expr | None], y: Expr, scaling: Scaling) -> list[Expr]:
    """Shift, scale and mix [X y]."""
    *own, response = _scaled([*x, y], scaling.shift, scaling.scale)
    return [*(own if scaling.mix is None else _mixed(own, scaling.mix)), response]


def scaled_z(z: Sequence[Expr | None], group: GroupScaling) -> list[Expr]:
    """Shift, scale and mix the columns of Z of one grouping factor."""
    own = _scaled(z, group.shift, group.scale)
    return own if group.mix is None else _mixed(own, group.mix)


def _scaled(columns: Sequence[Expr | None], shift: np.ndarray, scale: np.ndarray) -> list[Expr]:
    return [
        literal(float(s)) if c is None else (c - literal(float(m))) * literal(float(s))
        for c, m, s in zip(columns, shift, scale, strict=True)
    ]


def _mixed(columns: Sequence[Expr], mix: np.ndarray) -> list[Expr]:
    """Multiply the columns by `mix` (see `Scaling`)."""
    return [
        reduce(
            add,
            [columns[k] * literal(float(mix[k, j])) for k in np.flatnonzero(mix[:, j]).tolist()],
        )
        for j in range(len(columns))
    ]


def product(a: Expr, b: Expr, weight: Expr | None) -> Expr:
    """Multiply two columns and the weight."""
    return a * b if weight is None else a * b * weight


def first_alike(recipe: Recipe, g: int, scaling: Scaling) -> list[int]:
    """Return for each of the columns [X y 1 Z_g] the position of the first one equal to it.

    Most columns of Z are columns of X too, and their sums need not be queried twice.
    """
    constant: tuple[Any, ...] = ((), 0.0, 1.0)
    x = _identities([recipe.fixed], scaling.shift[:-1], scaling.scale[:-1], scaling.mix)
    own = scaling.groups[g]
    codings = [recipe.random[t] for t in recipe.terms_by_group[g]]
    z = _identities(codings, own.shift, own.scale, own.mix)
    first: dict[Any, int] = {}
    return [
        i if key is None else first.setdefault(key, i)
        for i, key in enumerate([*x, None, constant, *z])
    ]


def _identities(
    codings: Sequence[Coding], shift: np.ndarray, scale: np.ndarray, mix: np.ndarray | None
) -> list[Any]:
    """Return a key for each column: the variables and tables multiplied, shift and scale.

    None for each where columns are mixed.
    """
    if mix is not None:
        return [None] * len(shift)
    products = [
        tuple(
            (piece.variable, None if piece.table is None else tuple(piece.table))
            for piece in pieces
        )
        for coding in codings
        for pieces in products_of(coding)
    ]
    return [
        (factors, float(m), float(s)) for factors, m, s in zip(products, shift, scale, strict=True)
    ]


def shapes_of_columns(coding: Coding) -> list[Column]:
    """Return the columns of a coding on no rows: the structure of X without its numbers."""
    values: dict[str, np.ndarray] = {}
    return [
        tuple(
            ColumnFactor(values.setdefault(piece.variable, np.empty(0, np.int32)), piece.table)
            for piece in pieces
        )
        for pieces in products_of(coding)
    ]
