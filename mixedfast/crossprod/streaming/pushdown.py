"""Cross-products by GROUP BY: the engine that holds the rows sums them, and only sums travel.

For each grouping factor one row a level, for each pair of factors one row a pair of levels that occur together. Every column
of [Z X y] becomes an expression ``(column - shift) * scale`` in the engine's double precision, so its sums are as safe as
ours: shifts and scales come from the engine's own means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations, combinations_with_replacement
from typing import Any

import numpy as np

from mixedfast._memo import cached_property
from mixedfast.crossprod.blocks import GroupProducts, PairProducts
from mixedfast.crossprod.collinearity import taken_apart
from mixedfast.crossprod.residual_products import Remainder, is_rounding
from mixedfast.crossprod.scaling import Basis, GroupBasis, basis_from_moments, structural_constant
from mixedfast.crossprod.streaming.column_statistics import Moments, state_of
from mixedfast.crossprod.streaming.lazy_expressions import translate
from mixedfast.crossprod.streaming.plan import Facts, make_plan
from mixedfast.crossprod.streaming.requirements import Wanted, check_columns, given_levels, wanted
from mixedfast.crossprod.types import CrossProducts, Meta
from mixedfast.data.categories import Categorical, factorize, labels, recode
from mixedfast.data.frames import as_table
from mixedfast.data.lazy_frames import Expr, LazyFrame, literal, lookup
from mixedfast.design import checks
from mixedfast.design.build import formulas, without_dot
from mixedfast.design.coding import Coding, Piece, products_of
from mixedfast.design.columns import Column, Factor
from mixedfast.design.covariates import Covariate
from mixedfast.design.grouping import GroupRecipe, number_again
from mixedfast.design.request import Request
from mixedfast.design.types import Recipe
from mixedfast.errors import DataError
from mixedfast.formula.parser import plain_name
from mixedfast.formula.variables import expression_names, python_factors, used_names

__all__ = ["EngineRows", "push_down"]


def push_down(request: Request) -> tuple[CrossProducts, EngineRows]:
    """Sum the cross-products of a lazy frame in its engine; return them and the source of further sums.

    Raises
    ------
    DataError
        Also for a part of the formula that the engine cannot compute, by name, with what to do first.
    """
    frame = LazyFrame.of(request.data)
    spec = without_dot(request.spec, frame.names, request.weights)
    want = wanted(spec, request.weights, request.offset)
    check_columns(want, frame.names)
    given = given_levels(request.levels, frame.names)
    for name in want.columns:
        frame.require_usable(name)
    frame = frame.only(want.columns)
    for vector in (want.weights, want.offset, *spec.offsets):
        if vector in frame.names:
            frame.number(vector)
    for call in want.transforms:
        if call.function not in ("scale", "center", "standardize"):
            raise DataError(
                f"{call.text} cannot be computed by {frame.engine}: add its columns to the frame and use those"
            )
    rows, missing = frame.count_missing(want.columns)
    frame = frame.complete(want.columns) if missing else frame
    facts = _facts(want, frame, rows, missing, given)
    plan = make_plan(want, facts, request.contrasts, request.na_action, whole=request.whole)
    recipe = replace(plan.recipe, covariates=_covariates(want, frame, facts.n))
    rows_there = EngineRows(want, frame, recipe, facts)
    total = rows_there.products()
    return taken_apart(total, rows_there.products), rows_there


# --- what is known before anything is summed --------------------------------------------------------------


def _facts(
    want: Wanted,
    frame: LazyFrame,
    rows: int,
    missing: Mapping[str, int],
    given: Mapping[str, Sequence[Any]],
) -> Facts:
    is_category = {name: want.is_category(name, frame.kind(name)) for name in want.variables}
    keys = dict.fromkeys([*((name,) for name, coded in is_category.items() if coded), *want.groups])
    found = {key: frame.distinct(key) for key in keys}
    n = frame.count() if missing else rows
    numbers = [name for name in want.variables if frame.kind(name) != "text"]
    means = frame.sums({name: frame.number(name) for name in numbers}) if n else {}
    columns = {call.inside: translate(call.inside, frame, {}) for call in want.transforms}
    moments = _moments(frame, columns, n) if n else {}
    return Facts(
        n=n,
        n_dropped=rows - n,
        missing=want.told(missing),
        numbers={name: _dtype(frame, name, name in missing) for name in numbers},
        categories={
            name: _categorical(frame, name, found[name,][name], given, name in numbers)
            for name, coded in is_category.items()
            if coded
        },
        groups={
            key: {
                name: _categorical(frame, name, found[key][name], given, False, True)
                for name in key
            }
            for key in want.groups
        },
        typical={name: total / n for name, total in means.items()},
        state={call.text: state_of(call, moments[call.inside]) for call in want.transforms}
        if n
        else {},
    )


def _dtype(frame: LazyFrame, name: str, has_missing: bool) -> str:
    if frame.kind(name) == "boolean":
        return "bool"
    return "int64" if frame.is_integer(name) and not has_missing else "float64"


def _categorical(
    frame: LazyFrame,
    name: str,
    values: Sequence[Any],
    given: Mapping[str, Sequence[Any]],
    number: bool,
    group: bool = False,
) -> Categorical:
    """Values as categories under levels in the order that data in memory would have."""
    table = as_table({name: values})
    made = table.grouping(name) if group or not number else table.column(name)
    column = made if isinstance(made, Categorical) else factorize(made.values)
    order = given.get(name, frame.categories(name))
    if order is None:
        return column
    known = labels(list(order))
    codes = recode(column, known)
    if (codes < 0).any():
        unknown = sorted(values[i] for i in np.flatnonzero(codes < 0).tolist())[:8]
        raise DataError(
            f"column {name!r} has levels that are not among the {len(known)} known ones: {', '.join(map(repr, unknown))}; "
            f"name them all in levels=, or leave their rows out in the engine"
        )
    if name in given and len(codes) < len(known):  # a level that no row has stays: sums of zero
        codes = (
            np.concatenate([codes, np.setdiff1d(np.arange(len(known), dtype=np.int32), codes)])
            if not group
            else codes
        )
    return Categorical(codes, known)


def _covariates(want: Wanted, frame: LazyFrame, n: int) -> dict[str, Covariate]:
    """Means of the fixed part's numbers, and their values when there are two at most."""
    names = [
        *used_names(want.spec.fixed),
        *(name for expr in want.spec.offsets for name in expression_names(expr)),
    ]
    if want.offset is not None:
        names.append(want.offset)
    columns = {name: frame.number(name) for name in names if frame.kind(name) != "text"}
    if not columns:
        return {}
    ends = frame.extremes(columns)
    between = frame.sums(
        {
            name: frame.one_where((c > literal(ends[name][0])) & (c < literal(ends[name][1])))
            for name, c in columns.items()
        }
    )
    totals = frame.sums(columns)
    return {
        name: Covariate(totals[name] / n, () if between[name] else tuple(sorted(set(ends[name]))))
        for name in columns
    }


def _moments(frame: LazyFrame, columns: Mapping[str, Expr], n: int) -> dict[str, Moments]:
    """Mean and squares about the mean, in two queries: squares about zero would lose digits."""
    if not columns:
        return {}
    means = {name: total / n for name, total in frame.sums(columns).items()}
    squares = frame.sums(
        {name: _square(column - literal(means[name])) for name, column in columns.items()}
    )
    return {name: Moments(n, means[name], squares[name], math.nan, math.nan) for name in columns}


def _square(column: Expr) -> Expr:
    return column * column


# --- the sums ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class EngineRows:
    """Rows that an engine holds, and the queries of one model."""

    want: Wanted
    frame: LazyFrame
    recipe: Recipe
    facts: Facts

    @cached_property
    def x(self) -> list[Expr | None]:
        """The columns of X; None for the constant."""
        return self._columns(self.recipe.fixed)

    @cached_property
    def y(self) -> Expr:
        spec = self.want.spec
        total = self._number(spec.response)
        for expr in spec.offsets:
            total = total - self._number(expr)
        return total if self.want.offset is None else total - self.frame.number(self.want.offset)

    @cached_property
    def layout(self) -> list[list[int]]:
        """Positions of the random terms by grouping factor."""
        return self.recipe.terms_by_group

    @cached_property
    def z(self) -> list[list[Expr | None]]:
        """The columns of Z by grouping factor."""
        return [
            [column for t in members for column in self._columns(self.recipe.random[t])]
            for members in self.layout
        ]

    @cached_property
    def weight(self) -> Expr | None:
        return None if self.want.weights is None else self.frame.number(self.want.weights)

    def products(self, basis: Basis | None = None) -> CrossProducts:
        if basis is None:
            self._require_finite()
            basis = self._basis()
        ones = literal(1.0)
        xy = _xy_in_basis(self.x, self.y, basis)
        z = [_z_in_basis(own, group) for own, group in zip(self.z, basis.groups, strict=True)]
        groups = tuple(self._group(g, z[g], xy, basis) for g in range(len(z)))
        pairs = {(g, h): self._pair(g, h, z[g], z[h]) for g, h in combinations(range(len(z)), 2)}
        unweighted = None
        if self.weight is not None or basis.constant is None:
            unweighted = self._gram([ones, *xy[:-1], *(c for own in z for c in own)], None)
        spec, recipe = self.want.spec, self.recipe
        log_weights = 0.0
        if self.weight is not None:
            log_weights = self.frame.sums({"w": self.weight.log()})["w"]
        return CrossProducts(
            n=self.facts.n,
            xy=self._gram(xy, self.weight),
            shift=basis.shift,
            scale=basis.scale,
            groups=groups,
            pairs=pairs,
            terms=recipe.term_shapes,
            x_names=recipe.fixed.names,
            kept=np.arange(len(recipe.fixed.names)),
            constant=basis.constant,
            mix=basis.mix,
            sum_log_weights=log_weights,
            unweighted=unweighted,
            meta=Meta(
                spec.formula,
                spec.response,
                recipe.fixed.names,
                recipe.fixed.terms,
                self.facts.n_dropped,
                dict(self.facts.missing),
                self.weight is not None,
                recipe,
            ),
        )

    def take_out(
        self, cp: CrossProducts, gamma: np.ndarray, delta: Sequence[np.ndarray]
    ) -> Remainder:
        """What is left of the rows once effects are taken out of them (see `mixedfast.crossprod.residual_products.take_out`).

        The effects go to the engine as a small table a grouping factor, joined by its levels.
        """
        frame, p = self.frame, cp.p
        z = [_z_in_basis(own, group.basis) for own, group in zip(self.z, cp.groups, strict=True)]
        *x, y = _xy_in_basis([self.x[j] for j in cp.kept], self.y, cp.basis)
        left = [
            *x,
            reduce(
                lambda a, b: a - b,
                [y, *(c * literal(float(b)) for c, b in zip(x, gamma, strict=True))],
            ),
        ]
        for g, taken in enumerate(delta):
            group = self.recipe.groups[self.layout[g][0]]
            keys = frame.distinct(group.factors)
            frame, own = frame.with_table(
                keys, taken[self._codes(group, keys)].reshape(-1, taken[0].size).T
            )
            for a, column in enumerate(z[g]):
                left = [w - column * own[a * (p + 1) + j] for j, w in enumerate(left)]
        frame, W = frame.with_columns(left)
        rest = replace(self, frame=frame)
        size = reduce(
            lambda a, b: a + b,
            [y.abs(), *(c.abs() * literal(abs(float(b))) for c, b in zip(x, gamma, strict=True))],
        )
        sizes = frame.sums({"rest": _square(W[-1]), "terms": _square(size)})
        zw = []
        for g, own in enumerate(z):
            group = self.recipe.groups[self.layout[g][0]]
            keys, sums = frame.group_sums(
                group.factors, [_product(a, w, self.weight) for a in own for w in W]
            )
            zw.append(np.zeros((len(group.levels), len(own), p + 1)))
            zw[-1][self._codes(group, keys)] = sums.reshape(-1, len(own), p + 1)
        rounding = is_rounding(sizes["rest"], sizes["terms"])
        return Remainder(gamma, tuple(delta), tuple(zw), rest._gram(W, self.weight), rounding)

    def _columns(self, coding: Coding) -> list[Expr | None]:
        return [
            reduce(lambda a, b: a * b, [self._piece(piece, coding) for piece in pieces])
            if pieces
            else None
            for pieces in products_of(coding)
        ]

    def _piece(self, piece: Piece, coding: Coding) -> Expr:
        if piece.table is None:
            return self._number(piece.variable)
        return lookup(
            self.frame.label(piece.variable),
            coding.levels[piece.variable].tolist(),
            piece.table.tolist(),
        )

    def _number(self, expr: str) -> Expr:
        name = plain_name(expr)
        if name is None and expr in self.frame.names:
            name = expr
        return (
            self.frame.number(name)
            if name is not None
            else translate(expr, self.frame, self.facts.state)
        )

    def _require_finite(self) -> None:
        """What data in memory are refused for: infinities, logarithms of zero, weights that are not positive."""
        spec = self.want.spec
        numbers = {name: self.frame.number(name) for name in self.facts.numbers}
        vectors = [name for name in (self.want.weights, self.want.offset) if name is not None]
        numbers |= {name: self.frame.number(name) for name in vectors}
        expressions = [expr for expr in (spec.response, *spec.offsets) if plain_name(expr) is None]
        expressions += [expr for formula in formulas(spec) for expr in python_factors(formula)]
        numbers |= {expr: translate(expr, self.frame, self.facts.state) for expr in expressions}
        for name, count in self.frame.sums(
            {name: self.frame.not_finite(column) for name, column in numbers.items()}
        ).items():
            if count:
                raise DataError(
                    f"{name!r} is not a finite number in {int(count)} rows: check the column (or what it is made from)"
                )
        if self.weight is not None:
            wrong = int(
                self.frame.sums({"w": self.frame.one_where(self.weight <= literal(0.0))})["w"]
            )
            if wrong:
                raise DataError(
                    f"weights must be positive; {wrong} are zero or negative: drop those rows"
                )
            checks.weight_range(*self.frame.extremes({"w": self.weight})["w"])

    def _basis(self) -> Basis:
        named = {f"x{i}": c for i, c in enumerate([*self.x, self.y]) if c is not None}
        named |= {
            f"z{g}.{i}": c
            for g, own in enumerate(self.z)
            for i, c in enumerate(own)
            if c is not None
        }
        moments = _moments(self.frame, named, self.facts.n)

        def of(prefix: str, count: int) -> list[tuple[float, float] | None]:
            found = [moments.get(f"{prefix}{i}") for i in range(count)]
            return [None if m is None else (m.mean, m.squares / m.n) for m in found]

        unit = 1.0
        if self.weight is not None:
            mean_log = self.frame.sums({"w": self.weight.log()})["w"] / self.facts.n
            unit = float(2.0 ** -np.round(0.5 * mean_log / math.log(2.0)))
        centred = [[False] * len(own) for own in self.z]
        for term in self.recipe.term_shapes:
            if term.correlated and term.k > 1 and self.z[term.group][term.start] is None:
                centred[term.group][term.start : term.start + term.k] = [True] * term.k
        return basis_from_moments(
            of("x", len(self.x) + 1),
            structural_constant(_as_columns(self.recipe.fixed)),
            [
                (of(f"z{g}.", len(own)), free)
                for g, (own, free) in enumerate(zip(self.z, centred, strict=True))
            ],
            unit,
        )

    def _gram(self, columns: Sequence[Expr], weight: Expr | None) -> np.ndarray:
        places = list(combinations_with_replacement(range(len(columns)), 2))
        found = self.frame.sums(
            {f"{i},{j}": _product(columns[i], columns[j], weight) for i, j in places}
        )
        out = np.empty((len(columns), len(columns)))
        for i, j in places:
            out[i, j] = out[j, i] = found[f"{i},{j}"]
        return out

    def _group(self, g: int, z: Sequence[Expr], xy: Sequence[Expr], basis: Basis) -> GroupProducts:
        """One GROUP BY: Z_j'WZ_j, Z_j'W[X y], and 1'W[1 X] where Z has no constant."""
        group = self.recipe.groups[self.layout[g][0]]
        k, p1 = len(z), len(xy)
        columns = [*xy, literal(1.0), *z]
        one, of_z = p1, range(p1 + 1, p1 + 1 + k)
        squares = list(combinations_with_replacement(range(k), 2))
        wanted_sums = [(of_z[i], of_z[j]) for i, j in squares]
        wanted_sums += [(a, b) for a in of_z for b in range(p1)]
        no_constant = all(column is not None for column in self.z[g])
        if no_constant:
            wanted_sums += [(one, b) for b in (one, *range(p1 - 1))]
        # most columns of Z are columns of X too: a sum that stands in several places is asked for once
        same = self._first_alike(g, basis)
        asked = [tuple(sorted((same[a], same[b]))) for a, b in wanted_sums]
        once = list(dict.fromkeys(asked))
        keys, found = self.frame.group_sums(
            group.factors, [_product(columns[a], columns[b], self.weight) for a, b in once]
        )
        sums = found[:, [once.index(pair) for pair in asked]]
        places = self._codes(group, keys)
        J = len(group.levels)
        A, B = np.zeros((J, k, k)), np.zeros((J, k, p1))
        for at, (i, j) in enumerate(squares):
            A[places, i, j] = A[places, j, i] = sums[:, at]
        B[places] = sums[:, len(squares) : len(squares) + k * p1].reshape(-1, k, p1)
        level_sums = None
        if no_constant:
            level_sums = np.zeros((J, p1))
            level_sums[places] = sums[:, len(squares) + k * p1 :]
        names = tuple(name for t in self.layout[g] for name in self.recipe.random[t].names)
        own = basis.groups[g]
        return GroupProducts(
            group.label, group.levels, names, A, B, own.shift, own.scale, level_sums, own.mix
        )

    def _first_alike(self, g: int, basis: Basis) -> list[int]:
        """For each of the columns [X y 1 Z_g] in this basis the first that is the same."""
        constant: tuple[Any, ...] = ((), 0.0, 1.0)
        x, own = (
            _keys([self.recipe.fixed], basis.shift[:-1], basis.scale[:-1], basis.mix),
            basis.groups[g],
        )
        z = _keys([self.recipe.random[t] for t in self.layout[g]], own.shift, own.scale, own.mix)
        first: dict[Any, int] = {}
        return [
            i if key is None else first.setdefault(key, i)
            for i, key in enumerate([*x, None, constant, *z])
        ]

    def _pair(self, g: int, h: int, left: Sequence[Expr], right: Sequence[Expr]) -> PairProducts:
        """One GROUP BY both factors: Z_g'WZ_h of every pair of levels that occur together."""
        one, other = (self.recipe.groups[self.layout[side][0]] for side in (g, h))
        both = tuple(dict.fromkeys([*one.factors, *other.factors]))
        keys, sums = self.frame.group_sums(
            both, [_product(a, b, self.weight) for a in left for b in right]
        )
        rows, columns = self._codes(one, keys), self._codes(other, keys)
        order = np.lexsort((columns, rows))
        data = sums[order].reshape(-1, len(left), len(right))
        return PairProducts.of_blocks(rows[order], columns[order], data, len(one.levels))

    def _codes(self, group: GroupRecipe, keys: Mapping[str, Sequence[Any]]) -> np.ndarray:
        codes = number_again(
            group, {name: as_table({name: keys[name]}).grouping(name) for name in group.factors}
        )
        if len(codes) and codes.min() < 0:
            raise DataError(
                f"the rows changed while they were read: {group.label!r} has groups it did not have before"
            )
        return codes


def _scaled(columns: Sequence[Expr | None], shift: np.ndarray, scale: np.ndarray) -> list[Expr]:
    return [
        literal(float(s)) if c is None else (c - literal(float(m))) * literal(float(s))
        for c, m, s in zip(columns, shift, scale, strict=True)
    ]


def _keys(
    codings: Sequence[Coding], shift: np.ndarray, scale: np.ndarray, mix: np.ndarray | None
) -> list[Any]:
    """What tells columns apart: what they are products of, their shift and their scale; None for each where they are mixed."""
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
        (made_of, float(m), float(s)) for made_of, m, s in zip(products, shift, scale, strict=True)
    ]


def _xy_in_basis(x: Sequence[Expr | None], y: Expr, basis: Basis) -> list[Expr]:
    """[X y] shifted, scaled and mixed."""
    *own, response = _scaled([*x, y], basis.shift, basis.scale)
    return [*(own if basis.mix is None else _mixed(own, basis.mix)), response]


def _z_in_basis(z: Sequence[Expr | None], group: GroupBasis) -> list[Expr]:
    """The same for the columns of Z of one grouping factor."""
    own = _scaled(z, group.shift, group.scale)
    return own if group.mix is None else _mixed(own, group.mix)


def _mixed(x: Sequence[Expr], mix: np.ndarray) -> list[Expr]:
    """The columns times `mix` (see `Basis`)."""
    return [
        reduce(
            lambda a, b: a + b,
            [x[k] * literal(float(mix[k, j])) for k in np.flatnonzero(mix[:, j]).tolist()],
        )
        for j in range(len(x))
    ]


def _product(a: Expr, b: Expr, weight: Expr | None) -> Expr:
    return a * b if weight is None else a * b * weight


def _as_columns(coding: Coding) -> list[Column]:
    """The columns of a coding on no rows: what they are made of."""
    values: dict[str, np.ndarray] = {}
    return [
        tuple(
            Factor(values.setdefault(piece.variable, np.empty(0, np.int32)), piece.table)
            for piece in pieces
        )
        for pieces in products_of(coding)
    ]
