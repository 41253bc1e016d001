"""Cross-products of a model, the sufficient statistics of its rows.

They add over rows, so partial cross-products from threads, files or machines add too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from mixedfast._stored import are_within, stored
from mixedfast.crossprod.blocks import check_pairs_and_terms, check_products
from mixedfast.crossprod.combine import add
from mixedfast.crossprod.disclosure import small_cells
from mixedfast.crossprod.sums import Meta, Sums
from mixedfast.data.frames_out import table_of
from mixedfast.data.storage import save

__all__ = ["CrossProducts", "Meta"]


def _check_cross_products(fields: Any) -> Iterator[str]:
    p, groups = len(fields.shift) - 1, fields.groups
    if len(fields.x_names) != p or len(set(fields.x_names)) != p:
        yield f"a CrossProducts has {p} columns of X and {len(set(fields.x_names))} names"
    if bool((np.diff(fields.kept.astype(np.int64)) <= 0).any()) or not are_within(
        fields.kept, len(fields.meta.x_names)
    ):
        yield f"kept of a CrossProducts are not among {len(fields.meta.x_names)} columns, ascending"
    if fields.alias is not None and fields.alias.shape[1] != len(fields.meta.x_names):
        yield (
            f"alias of a CrossProducts has {fields.alias.shape[1]} columns, and there are "
            f"{len(fields.meta.x_names)}"
        )
    if any(group.B.shape[2] != p + 1 for group in groups) or len(
        {group.name for group in groups}
    ) != len(groups):
        yield "the groups of a CrossProducts are of another model, or one is there twice"
    if fields.unweighted is not None and len(fields.unweighted) != 1 + p + sum(
        group.k for group in groups
    ):
        yield f"unweighted of a CrossProducts has {len(fields.unweighted)} columns"
    sizes = [(group.n_levels, group.k) for group in groups]
    yield from check_pairs_and_terms("CrossProducts", fields, sizes)
    yield from check_products("CrossProducts", fields)


@stored(
    "CrossProducts",
    arrays={
        "xy": "finite p+1 p+1",
        "shift": "finite p+1",
        "scale": "positive p+1",
        "kept": "places p",
        "constant": "finite p",
        "mix": "finite p p",
        "unweighted": "finite c c",
        "alias": "finite p a",
    },
    relations=_check_cross_products,
    whole=True,
)
@dataclass(frozen=True, eq=False, repr=False)
class CrossProducts(Sums):
    """Sums over rows that determine a fit.

    Parameters
    ----------
    n : int
        Number of rows.
    xy : (p+1, p+1) array
        [X y]'W[X y] with the columns ``([X y] - shift) * scale``; X is then multiplied by ``mix``
        where there is one.
    shift, scale : (p+1,) arrays
        See `Scaling`.
    groups : tuple of GroupProducts
        Most levels first.
    pairs : dict (g, h) -> PairProducts, g < h
    terms : tuple of TermShape
    x_names : (p,) names of the columns of X
    kept : (p,) int array
        Their places among all columns (`Meta.x_names`); fewer after
        `mixedfast.crossprod.subset.keep_columns`.
    constant : (p,) array or None
        c with Xc = 1 in the user's columns, for an intercept a unit vector; None when no column is
        shifted.
    sum_log_weights : float
    mix : (p, p) array or None
        See `Scaling`.
    unweighted : (c, c) array or None
        Products of [1 X Z] without weights, in the same scaling, the columns of Z group after
        group. They give means and variances over rows. None without weights and with a constant:
        `xy` and the groups then hold the same numbers.
    alias : (p, p_all) array or None
        All columns of X from those kept, X_all = X_kept alias, user's basis; None when no column
        was left out.
    meta : Meta
    """

    def __repr__(self) -> str:
        groups = ", ".join(f"{group.name} {group.n_levels}" for group in self.groups)
        return f"<CrossProducts {self.meta.formula}; {self.n} rows; groups: {groups or 'none'}>"

    def __add__(self, other: CrossProducts) -> CrossProducts:
        """Add the rows of another table (see `mixedfast.crossprod.combine.add`)."""
        return add(self, other) if isinstance(other, CrossProducts) else NotImplemented

    def __radd__(self, other: int) -> CrossProducts:
        """Return the cross-products for 0, the start of Python's ``sum``."""
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def save(self, path: str | PathLike[str]) -> None:
        """Write the cross-products to a file that `mixedfast.load` reads.

        Parameters
        ----------
        path : str or path

        Examples
        --------
        >>> import mixedfast as mf
        >>> from tempfile import TemporaryDirectory
        >>> data = mf.load_dataset("sleepstudy")
        >>> cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", data)
        >>> with TemporaryDirectory() as folder:
        ...     cp.save(f"{folder}/sleep")
        ...     mf.load(f"{folder}/sleep").n
        180
        """
        save(self, path)

    def small_cells(self, k: int = 5) -> Any:
        """List the groups, pairs of groups and categories within groups with fewer than `k` rows.

        Merge or drop them before you share the sums: the sum over one row is that row, and a few
        rows can be computed from their sums.

        Parameters
        ----------
        k : int

        Returns
        -------
        table
            In the library of the data, one row per cell, fewest rows first: ``what`` names the
            factors ("school", "school & sex"), ``cell`` their levels ("1224 & Male"), ``rows`` is
            the number of rows. Within groups the categories with a main effect in the fixed part
            are counted, one variable at a time.

        Raises
        ------
        DataError
            When the sums are weighted: they then hold sums of weights, not numbers of rows.

        Examples
        --------
        >>> import mixedfast as mf
        >>> table = {
        ...     "y": [1.0, 3.0, 2.0, 5.0, 4.0, 4.5],
        ...     "sex": list("FFMFMM"),
        ...     "school": list("aaabbb"),
        ... }
        >>> mf.crossproducts("y ~ sex + (1 | school)", table).small_cells(2)
                   what   cell  rows
        0  school & sex  a & M     1
        1  school & sex  b & F     1
        """
        return table_of(small_cells(self, k), self.meta.library, {"rows": int})
