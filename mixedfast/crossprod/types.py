"""Cross-products: all that a mixed model ever needs to know of the rows.

``[Z X y]'W[Z X y]``, n and the sum of log weights determine the likelihood, every test and every refit (docs/maths.md,
"Everything is a cross-product"). They add over rows, so partial cross-products from threads, files or machines add too.

Columns are shifted and scaled before they are multiplied: raw sums of squares of a response near 1e7 lose half
the digits of the residual sum of squares.
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
    """What tables and predictions need of the model and numbers do not; no rows.

    Parameters
    ----------
    formula, response : str
    x_names : tuple of str
        All columns of X, the linearly dependent ones included.
    fixed_terms : tuple of FixedTerm
        Which of all the columns each term of the fixed part owns.
    n_dropped : int
        Rows left out for missing values.
    missing : dict of str to int
        Missing values by variable.
    weighted : bool
    recipe : Recipe or None
        How to code new data like the old.
    library : {"pandas", "polars", "pyarrow"}
        What the data came in as, and tables of results are given back as.
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
        yield f"alias of a CrossProducts has {fields.alias.shape[1]} columns, and there are {len(fields.meta.x_names)}"
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
    """Everything a fit reads.

    Parameters
    ----------
    n : int
        Rows.
    xy : (p+1, p+1) array
        [X y]'W[X y] in the basis ``([X y] - shift) * scale``, X then times ``mix`` where there is one.
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
        c with Xc = 1 in the user's columns, for an intercept a unit vector; None when no shift was taken.
    sum_log_weights : float
    mix : (p, p) array or None
        See `Scaling`.
    unweighted : (c, c) array or None
        Products of [1 X Z] without weights, same basis (Z's columns group after group): means and variances over rows need
        them. None when `xy` and the groups say as much: no weights, and a constant.
    alias : (p, p_all) array or None
        How all columns of X follow from those kept, X_all = X_kept alias, user's basis; None when none was left out.
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
        """Columns of X, the response not counted."""
        return len(self.x_names)

    @cached_property
    def covariance(self) -> Covariance:
        """How theta makes the covariances of the random effects, in the shifted and scaled basis."""
        return Covariance(
            self.terms,
            tuple(g.k for g in self.groups),
            tuple(g.shift for g in self.groups),
            tuple(g.scale for g in self.groups),
            tuple(g.mix for g in self.groups),
        )

    @property
    def scaling(self) -> Scaling:
        """What the sums are in; further tables assembled in it add exactly."""
        return Scaling(
            self.shift, self.scale, tuple(g.scaling for g in self.groups), self.constant, self.mix
        )

    @property
    def intercept(self) -> int | None:
        """Position among the columns of X of the one that is the constant 1."""
        if self.constant is None or np.count_nonzero(self.constant) != 1:
            return None
        at = int(np.argmax(self.constant))
        return at if self.constant[at] == 1.0 else None

    @property
    def ones(self) -> np.ndarray | None:
        """The constant 1 in the internal columns of X, (p,); None when no shift was taken."""
        return self.scaling.ones

    def __repr__(self) -> str:
        groups = ", ".join(f"{group.name} {group.n_levels}" for group in self.groups)
        return f"<CrossProducts {self.meta.formula}; {self.n} rows; groups: {groups or 'none'}>"

    def __add__(self, other: CrossProducts) -> CrossProducts:
        """The cross-products of both tables' rows (see `mixedfast.crossprod.combine`)."""
        return add(self, other) if isinstance(other, CrossProducts) else NotImplemented

    def __radd__(self, other: int) -> CrossProducts:
        """Itself after zero, so that Python's ``sum`` adds a list of them."""
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
        >>> cp = mf.crossproducts("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
        >>> with TemporaryDirectory() as folder:
        ...     cp.save(f"{folder}/sleep")
        ...     mf.load(f"{folder}/sleep").n
        180
        """
        save(self, path)

    def small_cells(self, k: int = 5) -> Any:
        """Groups, pairs of groups, and categories within groups that have fewer than `k` rows: what to merge before sharing.

        Sums over one row are that row, and those over few can be worked out.

        Parameters
        ----------
        k : int

        Returns
        -------
        table
            In the library of the data: ``what`` is counted ("school", "school & sex"), the ``cell`` ("1224 & Male") and its
            ``rows``, fewest first. Within groups the categories with a main effect in the fixed part are counted, one variable
            at a time.

        Raises
        ------
        DataError
            When the sums are weighted: they then hold weights where others hold numbers of rows.

        Examples
        --------
        >>> import mixedfast as mf
        >>> table = {"y": [1.0, 3.0, 2.0, 5.0, 4.0, 4.5], "sex": list("FFMFMM"), "school": list("aaabbb")}
        >>> mf.crossproducts("y ~ sex + (1 | school)", table).small_cells(2)
                   what   cell  rows
        0  school & sex  a & M     1
        1  school & sex  b & F     1
        """
        return table_of(small_cells(self, k), self.meta.library, {"rows": int})
