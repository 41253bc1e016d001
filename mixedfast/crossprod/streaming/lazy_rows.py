"""Rows in a lazy engine (DuckDB, polars, Dask, Spark), and the queries that sum them.

One query for [X y], one per grouping factor with one row per level, and one per pair of factors
with one row per pair of levels that occur together. Only these sums travel. Shifts and scales
come from the engine's own means.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import chain, combinations, combinations_with_replacement
from operator import add, sub
from typing import Any

import numpy as np

from mixedfast._memo import cached_property
from mixedfast.crossprod.blocks import GroupProducts, PairProducts
from mixedfast.crossprod.residual_products import ResidualProducts, is_rounding
from mixedfast.crossprod.scaling import Scaling, scaling_from_moments, structural_constant
from mixedfast.crossprod.streaming.lazy_columns import (
    LazyColumns,
    first_alike,
    product,
    scaled_xy,
    scaled_z,
    shapes_of_columns,
)
from mixedfast.crossprod.streaming.lazy_facts import check_values, column_moments
from mixedfast.crossprod.streaming.plan import GlobalFacts
from mixedfast.crossprod.streaming.requirements import Requirements
from mixedfast.crossprod.types import CrossProducts, Meta
from mixedfast.data.frames import as_table
from mixedfast.data.lazy_frames import Expr, LazyFrame, literal
from mixedfast.design.grouping import GroupRecipe, apply_numbering
from mixedfast.design.types import Recipe
from mixedfast.errors import DataError

__all__ = ["LazyRows"]


@dataclass(frozen=True, eq=False)
class LazyRows:
    """The complete rows of a lazy frame, and how a model codes them.

    Parameters
    ----------
    needs : Requirements
    frame : LazyFrame
    recipe : Recipe
    facts : GlobalFacts
    """

    needs: Requirements
    frame: LazyFrame
    recipe: Recipe
    facts: GlobalFacts

    @cached_property
    def columns(self) -> LazyColumns:
        """The columns of [X y Z]."""
        return LazyColumns(self.needs, self.frame, self.recipe, self.facts.state)

    @property
    def groups(self) -> list[GroupRecipe]:
        """The numbering of each grouping factor."""
        return [self.recipe.groups[members[0]] for members in self.recipe.terms_by_group]

    def products(self, scaling: Scaling | None = None) -> CrossProducts:
        """Query the cross-products.

        Parameters
        ----------
        scaling : Scaling, optional
            Shifts and scales; default: chosen from means and spreads, after the values have been
            checked.
        """
        columns = self.columns
        if scaling is None:
            check_values(self.needs, self.frame, self.facts, columns.weight)
            scaling = self._scaling()
        xy = scaled_xy(columns.x, columns.y, scaling)
        z = [scaled_z(own, group) for own, group in zip(columns.z, scaling.groups, strict=True)]
        unweighted = None
        if columns.weight is not None or scaling.constant is None:
            plain = [literal(1.0), *xy[:-1], *chain.from_iterable(z)]
            unweighted = _gram(self.frame, plain, None)
        log_weights = 0.0
        if columns.weight is not None:
            log_weights = self.frame.sums({"w": columns.weight.log()})["w"]
        spec, fixed = self.needs.spec, self.recipe.fixed
        return CrossProducts(
            n=self.facts.n,
            xy=_gram(self.frame, xy, columns.weight),
            shift=scaling.shift,
            scale=scaling.scale,
            groups=tuple(self._group(g, z[g], xy, scaling) for g in range(len(z))),
            pairs={(g, h): self._pair(g, h, z[g], z[h]) for g, h in combinations(range(len(z)), 2)},
            terms=self.recipe.term_shapes,
            x_names=fixed.names,
            kept=np.arange(len(fixed.names)),
            constant=scaling.constant,
            mix=scaling.mix,
            sum_log_weights=log_weights,
            unweighted=unweighted,
            meta=Meta(
                spec.formula,
                spec.response,
                fixed.names,
                fixed.terms,
                self.facts.n_dropped,
                dict(self.facts.missing),
                columns.weight is not None,
                self.recipe,
            ),
        )

    def residual_products(
        self, cp: CrossProducts, gamma: np.ndarray, delta: Sequence[np.ndarray]
    ) -> ResidualProducts:
        """Query the products of the rows after effects near the fitted ones are subtracted.

        The effects go to the engine as one small table per grouping factor, joined by its levels
        (see `mixedfast.crossprod.residual_products.residual_products`).
        """
        frame, p, weight = self.frame, cp.p, self.columns.weight
        z = [
            scaled_z(own, group.scaling)
            for own, group in zip(self.columns.z, cp.groups, strict=True)
        ]
        *x, y = scaled_xy([self.columns.x[j] for j in cp.kept], self.columns.y, cp.scaling)
        fixed = [c * literal(float(b)) for c, b in zip(x, gamma, strict=True)]
        residuals = [*x, reduce(sub, [y, *fixed])]
        for group, own_z, effects in zip(self.groups, z, delta, strict=True):
            keys = frame.distinct(group.factors)
            by_level = effects[self._codes(group, keys)].reshape(-1, effects[0].size).T
            frame, joined = frame.with_table(keys, by_level)
            for a, column in enumerate(own_z):
                residuals = [w - column * joined[a * (p + 1) + j] for j, w in enumerate(residuals)]
        frame, W = frame.with_columns(residuals)
        absolute = [c.abs() * literal(abs(float(b))) for c, b in zip(x, gamma, strict=True)]
        size = reduce(add, [y.abs(), *absolute])
        sizes = frame.sums({"rest": W[-1] * W[-1], "terms": size * size})
        zw = []
        for group, own_z in zip(self.groups, z, strict=True):
            wanted = [product(a, w, weight) for a in own_z for w in W]
            keys, sums = frame.group_sums(group.factors, wanted)
            zw.append(np.zeros((len(group.levels), len(own_z), p + 1)))
            zw[-1][self._codes(group, keys)] = sums.reshape(-1, len(own_z), p + 1)
        rounding = is_rounding(sizes["rest"], sizes["terms"])
        return ResidualProducts(gamma, tuple(delta), tuple(zw), _gram(frame, W, weight), rounding)

    def _scaling(self) -> Scaling:
        """Choose shifts and scales from means and spreads of the columns."""
        columns, n = self.columns, self.facts.n
        named = {f"x{i}": c for i, c in enumerate([*columns.x, columns.y]) if c is not None}
        named |= {
            f"z{g}.{i}": c
            for g, own in enumerate(columns.z)
            for i, c in enumerate(own)
            if c is not None
        }
        moments = column_moments(self.frame, named, n)

        def spreads(prefix: str, count: int) -> Iterator[tuple[float, float] | None]:
            for i in range(count):
                found = moments.get(f"{prefix}{i}")
                yield None if found is None else (found.mean, found.squares / found.n)

        unit = 1.0
        if columns.weight is not None:
            mean_log = self.frame.sums({"w": columns.weight.log()})["w"] / n
            unit = float(2.0 ** -np.round(0.5 * mean_log / math.log(2.0)))
        shifted = [[False] * len(own) for own in columns.z]
        for term in self.recipe.term_shapes:
            if term.correlated and term.k > 1 and columns.z[term.group][term.start] is None:
                shifted[term.group][term.start : term.start + term.k] = [True] * term.k
        return scaling_from_moments(
            list(spreads("x", len(columns.x) + 1)),
            structural_constant(shapes_of_columns(self.recipe.fixed)),
            [(list(spreads(f"z{g}.", len(own))), own) for g, own in enumerate(shifted)],
            unit,
        )

    def _group(
        self, g: int, z: Sequence[Expr], xy: Sequence[Expr], scaling: Scaling
    ) -> GroupProducts:
        """Query Z_j'WZ_j and Z_j'W[X y], and 1'W[1 X] where Z has no constant, by level."""
        group, own = self.groups[g], scaling.groups[g]
        k, p1 = len(z), len(xy)
        columns = [*xy, literal(1.0), *z]
        one, of_z = p1, range(p1 + 1, p1 + 1 + k)
        squares = list(combinations_with_replacement(range(k), 2))
        wanted = [(of_z[i], of_z[j]) for i, j in squares]
        wanted += [(a, b) for a in of_z for b in range(p1)]
        no_constant = all(column is not None for column in self.columns.z[g])
        if no_constant:
            wanted += [(one, b) for b in (one, *range(p1 - 1))]
        same = first_alike(self.recipe, g, scaling)
        queried = [tuple(sorted((same[a], same[b]))) for a, b in wanted]
        once = list(dict.fromkeys(queried))
        weight = self.columns.weight
        keys, found = self.frame.group_sums(
            group.factors, [product(columns[a], columns[b], weight) for a, b in once]
        )
        sums = found[:, [once.index(pair) for pair in queried]]
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
        members = self.recipe.terms_by_group[g]
        names = tuple(name for t in members for name in self.recipe.random[t].names)
        return GroupProducts(
            group.label, group.levels, names, A, B, own.shift, own.scale, level_sums, own.mix
        )

    def _pair(self, g: int, h: int, left: Sequence[Expr], right: Sequence[Expr]) -> PairProducts:
        """Query Z_g'WZ_h of every pair of levels that occur together."""
        one, other = self.groups[g], self.groups[h]
        both = tuple(dict.fromkeys([*one.factors, *other.factors]))
        wanted = [product(a, b, self.columns.weight) for a in left for b in right]
        keys, sums = self.frame.group_sums(both, wanted)
        rows, columns = self._codes(one, keys), self._codes(other, keys)
        order = np.lexsort((columns, rows))
        data = sums[order].reshape(-1, len(left), len(right))
        return PairProducts.of_blocks(rows[order], columns[order], data, len(one.levels))

    def _codes(self, group: GroupRecipe, keys: Mapping[str, Sequence[Any]]) -> np.ndarray:
        """Return the level of each key."""
        columns = {name: as_table({name: keys[name]}).grouping(name) for name in group.factors}
        codes = apply_numbering(group, columns)
        if len(codes) and codes.min() < 0:
            raise DataError(
                f"the rows changed while they were read: {group.label!r} has groups it did not "
                "have before"
            )
        return codes


def _gram(frame: LazyFrame, columns: Sequence[Expr], weight: Expr | None) -> np.ndarray:
    """Query the products of all columns with each other, (c, c)."""
    places = list(combinations_with_replacement(range(len(columns)), 2))
    found = frame.sums({f"{i},{j}": product(columns[i], columns[j], weight) for i, j in places})
    out = np.empty((len(columns), len(columns)))
    for i, j in places:
        out[i, j] = out[j, i] = found[f"{i},{j}"]
    return out
