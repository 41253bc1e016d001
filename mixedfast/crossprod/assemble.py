"""One pass over the rows of a design: sums by column and by group, and their cross-products."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._stored import is_array_of, stored
from mixedfast._validation import check_threads
from mixedfast.covariance.relative import TermShape
from mixedfast.crossprod import _sums
from mixedfast.crossprod.blocks import GroupProducts, PairProducts, check_pairs_and_terms
from mixedfast.crossprod.pool import CONSTANT, Placed, pool_of
from mixedfast.crossprod.row_sums import RowSums, row_sums
from mixedfast.crossprod.scaling import Scaling, adds_to_one, check_size, choose_scaling
from mixedfast.crossprod.types import CrossProducts, Meta
from mixedfast.errors import DataError

if TYPE_CHECKING:
    from mixedfast.design.types import Design

__all__ = ["PartialSums", "assemble", "sum_rows"]


def _check_summed(fields: Any) -> Iterator[str]:
    p, groups = len(fields.x_names), fields.groups
    if len(fields.scaling.shift) != p + 1 or len(set(fields.x_names)) != p:
        yield (
            f"a Summed has {len(fields.scaling.shift) - 1} columns of X and "
            f"{len(set(fields.x_names))} names"
        )
    if not all(
        isinstance(levels, np.ndarray) and is_array_of("labels", levels) for _, levels, _ in groups
    ):
        yield "levels of a Summed are not distinct labels"
        return
    widths = [len(names) for _, _, names in groups]
    if (
        fields.rows.n_groups != len(groups)
        or [len(group.shift) for group in fields.scaling.groups] != widths
    ):
        yield "the sums of a Summed are of other groups"
    yield from check_pairs_and_terms(
        "Summed", fields, [(len(levels), len(names)) for _, levels, names in groups]
    )


@stored("Summed", renamed={"scaling": "basis"}, relations=_check_summed)
@dataclass(frozen=True, eq=False)
class PartialSums:
    """Sums over some rows, to which those of further rows in the same scaling are added in place.

    Parameters
    ----------
    n : int
        Number of rows.
    rows : RowSums
        Of [X y], and by level of each grouping factor.
    unweighted : RowSums or None
        Of [1 X Z] without weights, where `CrossProducts.unweighted` needs them.
    pairs : dict (g, h) -> PairProducts, g < h
    sum_log_weights : float
    scaling : Scaling
    groups : tuple of (name, levels, names)
        The grouping factors, their levels, and the names of the columns of Z.
    terms : tuple of TermShape
    x_names : tuple of str
    meta : Meta
    """

    n: int
    rows: RowSums
    unweighted: RowSums | None
    pairs: dict[tuple[int, int], PairProducts]
    sum_log_weights: float
    scaling: Scaling
    groups: tuple[tuple[str, Any, tuple[str, ...]], ...]
    terms: tuple[TermShape, ...]
    x_names: tuple[str, ...]
    meta: Meta

    def products(self) -> CrossProducts:
        """Make the cross-products of the rows summed so far."""
        scaling = self.scaling
        xy, sums = self.rows.products()
        check_size((*self.x_names, self.meta.response), np.diagonal(xy))
        products = []
        for (name, levels, names), (A, B), own in zip(
            self.groups, sums, scaling.groups, strict=True
        ):
            k, level_sums = len(own.shift), None
            if A.shape[1] > k:
                level_sums = np.concatenate([A[:, k, k:], B[:, k, :-1]], axis=1)
                A, B = np.ascontiguousarray(A[:, :k, :k]), np.ascontiguousarray(B[:, :k])
            check_size(names, np.einsum("jaa->a", A))
            products.append(
                GroupProducts(name, levels, names, A, B, own.shift, own.scale, level_sums, own.mix)
            )
        return CrossProducts(
            n=self.n,
            xy=xy,
            shift=scaling.shift,
            scale=scaling.scale,
            groups=tuple(products),
            pairs=self.pairs,
            terms=self.terms,
            x_names=self.x_names,
            kept=np.arange(len(self.x_names)),
            constant=scaling.constant,
            mix=scaling.mix,
            sum_log_weights=self.sum_log_weights,
            unweighted=None if self.unweighted is None else self.unweighted.products()[0],
            meta=self.meta,
        )


def assemble(
    design: Design, threads: int | None = None, scaling: Scaling | None = None
) -> CrossProducts:
    """Sum the cross-products of the rows of a design, in one pass.

    Parameters
    ----------
    design : Design
        Levels of its grouping factors without rows get sums of zero.
    threads : int, optional
        Threads over chunks of rows; default: the cores this process may use, fewer for few rows.
        The same number of threads gives the same bits.
    scaling : Scaling, optional
        Shifts and scales; default: chosen from a sample of the rows. Cross-products of batches in
        one scaling add exactly.

    Returns
    -------
    CrossProducts

    Raises
    ------
    ArgumentError
        When ``threads`` is not a whole number from 1.
    DataError
        When squares overflow, or the scaling shifts columns and the columns of X that add up to 1
        in it do not do so in these rows.
    """
    return sum_rows(design, threads, scaling).products()


def sum_rows(
    design: Design,
    threads: int | None = None,
    scaling: Scaling | None = None,
    worth: int | None = None,
) -> PartialSums:
    """Sum the rows of a design, as `assemble`, without multiplying out the sums by cell.

    Parameters
    ----------
    design, threads, scaling
        As for `assemble`.
    worth : int, optional
        See `mixedfast.crossprod.row_sums.row_sums`; the same for all batches that are to add.
    """
    threads = check_threads(threads)
    n = design.n
    if scaling is None:
        scaling = choose_scaling(design)
    elif scaling.constant is not None and not adds_to_one(design, scaling.constant):
        raise DataError(
            "the scaling shifts columns, but the columns of X that add up to 1 in it do "
            "not add up to 1 in these rows"
        )
    pool = pool_of(design, scaling)
    columns, z = pool.at(pool.xy), [pool.at(places) for places in pool.z]
    rows = row_sums(
        columns,
        [
            (codes, n_levels, own if _has_constant(own) else [*own, CONSTANT])
            for (codes, n_levels), own in zip(pool.groups, z, strict=True)
        ],
        n,
        pool.sqrt_weights,
        threads,
        worth,
    )
    pairs = {
        (g, h): PairProducts(
            *_sums.pair_products(
                *pool.groups[g],
                *pool.groups[h],
                pool.kernel([*z[g], *z[h]]),
                len(z[g]),
                len(z[h]),
            )
        )
        for g, h in combinations(range(len(z)), 2)
    }
    unweighted = None
    if design.weights is not None or scaling.constant is None:
        unweighted = row_sums(
            [CONSTANT, *columns[:-1], *chain.from_iterable(z)], [], n, None, threads, worth
        )
    named = [
        (design.terms[members[0]], [design.terms[t].names for t in members])
        for members in design.recipe.terms_by_group
    ]
    return PartialSums(
        n=n,
        rows=rows,
        unweighted=unweighted,
        pairs=pairs,
        sum_log_weights=0.0 if design.weights is None else float(np.log(design.weights).sum()),
        scaling=scaling,
        groups=tuple(
            (first.group, first.levels, tuple(chain.from_iterable(names))) for first, names in named
        ),
        terms=design.recipe.term_shapes,
        x_names=design.x_names,
        meta=Meta(
            design.spec.formula,
            design.response_name,
            design.all_x_names,
            design.fixed_terms,
            design.n_dropped,
            dict(design.missing),
            design.weights is not None,
            design.recipe,
            design.library,
        ),
    )


def _has_constant(columns: list[Placed]) -> bool:
    return any(not column for column, _, _ in columns)
