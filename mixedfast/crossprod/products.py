"""Cross-products: all that a mixed model ever needs to know of the rows.

``[Z X y]'W[Z X y]``, n and the sum of log weights determine the likelihood, every test and every refit (docs/maths.md,
"Everything is a cross-product"). They add over rows, so partial cross-products from threads, files or machines add too.

Columns are shifted and scaled before they are multiplied: raw sums of squares of a response near 1e7 lose half
the digits of the residual sum of squares.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain, combinations
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast._memo import cached_property
from mixedfast._validation import check_threads
from mixedfast.covariance.relative import Covariance, TermShape
from mixedfast.crossprod import _sums
from mixedfast.crossprod.row_sums import RowSums, row_sums
from mixedfast.crossprod.scaling import (
    Basis,
    GroupBasis,
    adds_to_one,
    check_size,
    choose_basis,
    group_layout,
    response_column,
    x_in_basis,
    z_in_basis,
)
from mixedfast.data.storage import save
from mixedfast.errors import DataError

if TYPE_CHECKING:
    from mixedfast.crossprod.dummy_columns import Placed
    from mixedfast.crossprod.row_sums import Grouped
    from mixedfast.design.build import Design, Recipe
    from mixedfast.design.coding import FixedTerm
    from mixedfast.design.columns import Column

__all__ = [
    "CrossProducts",
    "GroupProducts",
    "Meta",
    "PairProducts",
    "Summed",
    "assemble",
    "sum_rows",
]

#: Columns kept that leave less than this share of the constant's sum of squares do add up to it.
CONSTANT_TOLERANCE = 1e-13


@dataclass(frozen=True, eq=False)
class GroupProducts:
    """Cross-products of one grouping factor (all terms on it side by side).

    ``A`` (J,K,K) holds Z_j'WZ_j, ``B`` (J,K,p+1) holds Z_j'W[X y], in the basis ``(z - shift) * scale``, times ``mix`` where
    there is one (see `GroupBasis`). Where no column of Z_j is the constant, ``sums`` (J,1+p) holds 1'W[1 X] of each level, for
    rules that ask what varies within levels.
    """

    name: str
    levels: Any
    names: tuple[str, ...]
    A: np.ndarray
    B: np.ndarray
    shift: np.ndarray
    scale: np.ndarray
    sums: np.ndarray | None = None
    mix: np.ndarray | None = None

    @property
    def basis(self) -> GroupBasis:
        return GroupBasis(self.shift, self.scale, self.mix)

    @property
    def n_levels(self) -> int:
        return self.A.shape[0]

    @property
    def k(self) -> int:
        return self.A.shape[1]


@dataclass(frozen=True, eq=False)
class PairProducts:
    """Z_g'WZ_h as block CSR: indptr (J_g+1), indices (nnz,) levels of h, data (nnz,K_g,K_h)."""

    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All three in the types that kernels read, whoever made them."""
        as_read = np.ascontiguousarray
        return (
            as_read(self.indptr, dtype=np.int64),
            as_read(self.indices, dtype=np.int32),
            as_read(self.data),
        )


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
        See `Basis`.
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
        See `Basis`.
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
    def basis(self) -> Basis:
        """What the sums are in; further tables assembled in it add exactly."""
        return Basis(
            self.shift, self.scale, tuple(g.basis for g in self.groups), self.constant, self.mix
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
        return self.basis.ones

    def __repr__(self) -> str:
        groups = ", ".join(f"{group.name} {group.n_levels}" for group in self.groups)
        return f"<CrossProducts {self.meta.formula}; {self.n} rows; groups: {groups or 'none'}>"

    def __add__(self, other: CrossProducts) -> CrossProducts:
        """The cross-products of both tables' rows (see `mixedfast.crossprod.combine`)."""
        from mixedfast.crossprod.combine import add

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
        from mixedfast.crossprod.disclosure import small_cells

        return small_cells(self, k)


@dataclass(frozen=True, eq=False)
class Summed:
    """Sums over some rows, on their way to cross-products: those of further rows in the same basis add as they are.

    Parameters
    ----------
    n : int
        Rows.
    rows : RowSums
        Of [X y] and by level of each grouping factor.
    unweighted : RowSums or None
        Of [1 X Z] without weights, where `CrossProducts.unweighted` is wanted.
    pairs : dict (g, h) -> PairProducts, g < h
    sum_log_weights : float
    basis : Basis
    groups : tuple of (name, levels, names)
        The grouping factors, and Z's columns.
    terms : tuple of TermShape
    x_names : tuple of str
    meta : Meta
    """

    n: int
    rows: RowSums
    unweighted: RowSums | None
    pairs: dict[tuple[int, int], PairProducts]
    sum_log_weights: float
    basis: Basis
    groups: tuple[tuple[str, Any, tuple[str, ...]], ...]
    terms: tuple[TermShape, ...]
    x_names: tuple[str, ...]
    meta: Meta

    def products(self) -> CrossProducts:
        """The cross-products of the rows summed so far."""
        basis = self.basis
        xy, sums = self.rows.products()
        check_size((*self.x_names, self.meta.response), np.diagonal(xy))
        products = []
        for (name, levels, names), (A, B), own in zip(self.groups, sums, basis.groups, strict=True):
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
            shift=basis.shift,
            scale=basis.scale,
            groups=tuple(products),
            pairs=self.pairs,
            terms=self.terms,
            x_names=self.x_names,
            kept=np.arange(len(self.x_names)),
            constant=basis.constant,
            mix=basis.mix,
            sum_log_weights=self.sum_log_weights,
            unweighted=None if self.unweighted is None else self.unweighted.products()[0],
            meta=self.meta,
        )


def assemble(
    design: Design, threads: int | None = None, basis: Basis | None = None
) -> CrossProducts:
    """Read the rows of a design once and return their cross-products.

    Parameters
    ----------
    design : Design
        The groups are numbered as its terms say: levels that no row has get sums of zero.
    threads : int, optional
        Threads over chunks of rows; default: the cores this process may use, fewer for few rows. The sums are the same bits
        for the same number of threads.
    basis : Basis, optional
        Shifts and scales; default: chosen from a sample of the rows. Cross-products of batches in one basis add exactly.

    Returns
    -------
    CrossProducts

    Raises
    ------
    ArgumentError
        When ``threads`` is no whole number from 1.
    DataError
        When squares overflow, or the basis relies on columns of X adding up to 1
        that do not do so here.
    """
    return sum_rows(design, threads, basis).products()


def sum_rows(
    design: Design, threads: int | None = None, basis: Basis | None = None, worth: int | None = None
) -> Summed:
    """What `assemble` makes cross-products of.

    Parameters
    ----------
    worth : int, optional
        See `mixedfast.crossprod.row_sums.row_sums`: batches whose sums are to add need one number.
    """
    threads = check_threads(threads)
    n = design.n
    if basis is None:
        basis = choose_basis(design)
    elif basis.constant is not None and not adds_to_one(design, basis.constant):
        raise DataError(
            "the basis shifts columns, and the columns of X that add up to 1 in it do not do so in these rows"
        )
    own_y = (response_column(design), basis.shift[-1], basis.scale[-1])
    columns = [*x_in_basis(design.x, n, basis), own_y]
    layout = group_layout(design)
    z_columns: list[list[Placed]] = []
    terms: list[TermShape] = []
    groups: list[Grouped] = []
    for g, members in enumerate(layout):
        own: list[Column] = []
        for term in (design.terms[t] for t in members):
            terms.append(TermShape(g, len(own), len(term.columns), term.correlated))
            own += term.columns
        z_columns.append(z_in_basis(own, n, basis.groups[g]))
        first = design.terms[members[0]]
        on_left = z_columns[g] if () in own else [*z_columns[g], ((), 0.0, 1.0)]
        groups.append((first.codes, len(first.levels), on_left))
    order = np.argsort([t for members in layout for t in members], kind="stable")

    sqrt_weights = None if design.weights is None else np.sqrt(design.weights)
    rows = row_sums(columns, groups, n, sqrt_weights, threads, worth)
    pairs = {}
    for g, h in combinations(range(len(layout)), 2):
        left_term, right_term = design.terms[layout[g][0]], design.terms[layout[h][0]]
        both = _sums.ColumnPool([*z_columns[g], *z_columns[h]], n, sqrt_weights)
        pairs[g, h] = PairProducts(
            *_sums.pairs(
                left_term.codes,
                len(left_term.levels),
                right_term.codes,
                len(right_term.levels),
                both,
                len(z_columns[g]),
                len(z_columns[h]),
            )
        )
    unweighted = None
    if sqrt_weights is not None or basis.constant is None:
        wanted = [((), 0.0, 1.0), *columns[:-1], *(column for own in z_columns for column in own)]
        unweighted = row_sums(wanted, [], n, None, threads, worth)
    named = [
        (design.terms[members[0]], [design.terms[t].names for t in members]) for members in layout
    ]
    return Summed(
        n=n,
        rows=rows,
        unweighted=unweighted,
        pairs=pairs,
        sum_log_weights=0.0 if design.weights is None else float(np.log(design.weights).sum()),
        basis=basis,
        groups=tuple(
            (first.group, first.levels, tuple(chain.from_iterable(names))) for first, names in named
        ),
        terms=tuple(terms[i] for i in order),
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
