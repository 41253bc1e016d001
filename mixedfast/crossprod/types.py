"""Cross-products of a model, the sufficient statistics of its rows.

``[Z X y]'W[Z X y]``, n and the sum of log weights determine the likelihood, every test and every
refit (docs/maths.md, "Everything is a cross-product"). They add over rows, so partial
cross-products from threads, files or machines add too.

Columns are shifted and scaled before they are multiplied: raw sums of squares of a response near
1e7 lose half the digits of the residual sum of squares.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._memo import cached_property
from mixedfast._stored import are_within, stored
from mixedfast.covariance.relative import Covariance, TermShape
from mixedfast.crossprod.blocks import GroupProducts, PairProducts, check_pairs_and_terms
from mixedfast.crossprod.combine import add
from mixedfast.crossprod.disclosure import small_cells
from mixedfast.crossprod.scaling import Scaling
from mixedfast.data.frames_out import table_of
from mixedfast.data.storage import save

if TYPE_CHECKING:
    from mixedfast.design.coding import FixedTerm
    from mixedfast.design.types import Recipe

__all__ = ["CrossProducts", "Meta"]


def _check_meta(fields: Any) -> Iterator[str]:
    if any(not are_within(term.columns, len(fields.x_names)) for term in fields.fixed_terms):
        yield f"a term of a Meta points outside of its {len(fields.x_names)} columns"
    if fields.library not in ("pandas", "polars", "pyarrow"):
        yield f"library of a Meta is {fields.library!r}"


@stored("Meta", relations=_check_meta)
@dataclass(frozen=True, eq=False)
class Meta:
    """Names, terms and recipe of a model, for tables and predictions; no rows.

    Parameters
    ----------
    formula, response : str
    x_names : tuple of str
        All columns of X, the linearly dependent ones included.
    fixed_terms : tuple of FixedTerm
        The columns of each term of the fixed part.
    n_dropped : int
        Rows left out for missing values.
    missing : dict of str to int
        Missing values by variable.
    weighted : bool
    recipe : Recipe or None
        Codes new data as the data of the fit were coded.
    library : {"pandas", "polars", "pyarrow"}
        The library of the data, and of the tables of results.
    """

    formula: str = ""
    response: str = "y"
    x_names: tuple[str, ...] = ()
    fixed_terms: tuple[FixedTerm, ...] = ()
    n_dropped: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    weighted: bool = False
    recipe: Recipe | None = None
    library: str = "pandas"


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
class CrossProducts:
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

    n: int
    xy: np.ndarray
    shift: np.ndarray
    scale: np.ndarray
    groups: tuple[GroupProducts, ...]
    pairs: dict[tuple[int, int], PairProducts]
    terms: tuple[TermShape, ...]
    x_names: tuple[str, ...]
    kept: np.ndarray
    constant: np.ndarray | None
    mix: np.ndarray | None = None
    sum_log_weights: float = 0.0
    unweighted: np.ndarray | None = None
    alias: np.ndarray | None = None
    meta: Meta = field(default_factory=Meta)

    @property
    def p(self) -> int:
        """Number of columns of X."""
        return len(self.x_names)

    @cached_property
    def covariance(self) -> Covariance:
        """The map from theta to the covariances of the random effects, internal basis."""
        return Covariance(
            self.terms,
            tuple(g.k for g in self.groups),
            tuple(g.shift for g in self.groups),
            tuple(g.scale for g in self.groups),
            tuple(g.mix for g in self.groups),
        )

    @property
    def scaling(self) -> Scaling:
        """Shifts and scales of the columns; further rows in the same scaling add exactly."""
        return Scaling(
            self.shift, self.scale, tuple(g.scaling for g in self.groups), self.constant, self.mix
        )

    @property
    def intercept(self) -> int | None:
        """Position of the constant 1 among the columns of X."""
        if self.constant is None or np.count_nonzero(self.constant) != 1:
            return None
        at = int(np.argmax(self.constant))
        return at if self.constant[at] == 1.0 else None

    @property
    def ones(self) -> np.ndarray | None:
        """The constant 1 in the internal columns of X, (p,); None when no column is shifted."""
        return self.scaling.ones

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
