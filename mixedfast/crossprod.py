"""Cross-products: all that a mixed model ever needs to know of the rows.

``[Z X y]'W[Z X y]``, n and the sum of log weights determine the likelihood, every test and every refit
(MATH.md section 2). They add over rows, so partial cross-products from threads, files or machines add too.

Columns are shifted and scaled before they are multiplied: raw sums of squares of a response near 1e7 lose half
the digits of the residual sum of squares.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfast import _kernels
from mixedfast.columns import Factor
from mixedfast.covariance import Covariance, TermShape
from mixedfast.errors import DataError
from mixedfast.storage import save

if TYPE_CHECKING:
    from mixedfast.coding import FixedTerm
    from mixedfast.columns import Column
    from mixedfast.design import Design, Recipe

__all__ = ["CrossProducts", "GroupProducts", "Meta", "PairProducts", "assemble"]

#: The basis of a column, by the arrays it is made of.
Known = dict[tuple[int, ...], tuple[float, float]]
#: A grouping factor as the kernel takes it: codes, number of levels, columns on either side.
Described = tuple[np.ndarray, int, np.ndarray, np.ndarray]

#: Rows looked at to choose shifts and scales. They need only be near the mean and the spread.
_SAMPLE = 1024
#: Below this many rows a thread, starting threads costs more than it saves.
_ROWS_PER_THREAD = 50_000


@dataclass(frozen=True, eq=False)
class GroupProducts:
    """Cross-products of one grouping factor (all terms on it side by side).

    ``A`` (J,K,K) holds Z_j'WZ_j, ``B`` (J,K,p+1) holds Z_j'W[X y], in the basis ``(z - shift) * scale``.
    """

    name: str
    levels: Any
    names: tuple[str, ...]
    A: np.ndarray
    B: np.ndarray
    shift: np.ndarray
    scale: np.ndarray

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


@dataclass(frozen=True, eq=False)
class CrossProducts:
    """Everything a fit reads.

    Parameters
    ----------
    n : int
        Rows.
    xy : (p+1, p+1) array
        [X y]'W[X y] in the basis ``([X y] - shift) * scale``.
    shift, scale : (p+1,) arrays
        Shifts are zero when there is no intercept to take them up.
    groups : tuple of GroupProducts
        Most levels first.
    pairs : dict (g, h) -> PairProducts, g < h
    terms : tuple of TermShape
    x_names : (p,) names of the columns of X
    kept : (p,) int array
        Their places among all columns (`Meta.x_names`); fewer after `keep`.
    intercept : int or None
        Position of the intercept among the columns of X.
    sum_log_weights : float
    unweighted : (c, c) array or None
        Products of [1 X Z] without weights, same basis (Z's columns group after group): means and variances over rows need
        them. None when `xy` and the groups say as much: no weights and an intercept.
    alias : (p, p_all) array or None
        How all columns of X follow from those kept, X_all = X_kept alias, user's basis; None before `keep` leaves any out.
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
    intercept: int | None
    sum_log_weights: float = 0.0
    unweighted: np.ndarray | None = None
    alias: np.ndarray | None = None
    meta: Meta = field(default_factory=Meta)

    @property
    def p(self) -> int:
        return len(self.x_names)

    @property
    def covariance(self) -> Covariance:
        return Covariance(
            self.terms,
            tuple(g.k for g in self.groups),
            tuple(g.shift for g in self.groups),
            tuple(g.scale for g in self.groups),
        )

    def __add__(self, other: CrossProducts) -> CrossProducts:
        """The cross-products of both tables' rows (see `mixedfast.addition`)."""
        from mixedfast.addition import add

        return add(self, other)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the cross-products to a file that `mixedfast.load` reads."""
        save(self, path)

    def keep(self, columns: np.ndarray) -> CrossProducts:
        """The same with only some columns of X (positions, ascending)."""
        if len(columns) == self.p:
            return self
        both = np.append(columns, self.p)
        X = self.xy[:-1, :-1]
        internal = np.linalg.solve(X[np.ix_(columns, columns)], X[columns])
        intercept = None if self.intercept is None else int(np.flatnonzero(columns == self.intercept)[0])
        fewer = replace(
            self,
            xy=np.ascontiguousarray(self.xy[np.ix_(both, both)]),
            shift=self.shift[both],
            scale=self.scale[both],
            groups=tuple(replace(g, B=np.ascontiguousarray(g.B[:, :, both])) for g in self.groups),
            x_names=tuple(self.x_names[i] for i in columns),
            kept=self.kept[columns],
            unweighted=None if self.unweighted is None else self._keep_unweighted(self.unweighted, columns),
            intercept=intercept,
        )
        alias = fewer.beta_transform() @ np.linalg.solve(self.beta_transform().T, internal.T).T
        return replace(fewer, alias=alias)

    def _keep_unweighted(self, products: np.ndarray, columns: np.ndarray) -> np.ndarray:
        stay = np.concatenate([[0], 1 + columns, np.arange(1 + self.p, len(products))])
        return np.ascontiguousarray(products[np.ix_(stay, stay)])

    def row_moments(self) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """Means (p,) and covariances (p,p; divisor n - 1) of the columns of X over rows, and mean of zz' (K,K) of each group.

        Internal basis, every row counted once whatever its weight.
        """
        if self.unweighted is None:
            total, square = self.xy[self.intercept, :-1], self.xy[:-1, :-1]
            zz = [g.A.sum(axis=0) / self.n for g in self.groups]
        else:
            total, square = self.unweighted[0, 1 : self.p + 1], self.unweighted[1 : self.p + 1, 1 : self.p + 1]
            ends = 1 + self.p + np.concatenate([[0], np.cumsum([g.k for g in self.groups])])
            zz = [self.unweighted[a:b, a:b] / self.n for a, b in pairwise(ends)]
        mean = total / self.n
        return mean, (square - self.n * np.outer(mean, mean)) / (self.n - 1), zz

    def column_means(self) -> np.ndarray:
        """Means over rows of the columns of X in the user's units, (p,)."""
        return self.row_moments()[0] / self.scale[:-1] + self.shift[:-1]

    def beta_transform(self) -> np.ndarray:
        """T (p, p) with beta_user = T beta_internal (before the shift and scale of y)."""
        T = np.diag(self.scale[:-1])
        if self.intercept is not None:
            T[self.intercept] -= self.shift[:-1] * self.scale[:-1]
            T[self.intercept, self.intercept] = 1.0
        return T

    def to_user_beta(self, beta: np.ndarray) -> np.ndarray:
        """Coefficients of the user's columns and response, from those of the internal basis."""
        out = self.beta_transform() @ beta / self.scale[-1]
        if self.intercept is not None:
            out[self.intercept] += self.shift[-1]
        return out


class _Pool:
    """Distinct (column, shift, scale) triples, each evaluated once a tile."""

    def __init__(self) -> None:
        self.columns: list[tuple[Column, float, float]] = []
        self._seen: dict[Any, int] = {}

    def add(self, column: Column, shift: float, scale: float) -> int:
        key = (tuple((id(f.values), id(f.table)) for f in column), shift, scale)
        at = self._seen.get(key)
        if at is None:
            at = self._seen[key] = len(self.columns)
            self.columns.append((column, shift, scale))
        return at


def _scale_of(values: np.ndarray, shifted: bool) -> tuple[float, float]:
    """(shift, scale) of a column from a sample of it; scales are powers of two, so that scaling is exact."""
    if values.size == 0:
        return 0.0, 1.0
    shift = float(values.mean()) if shifted else 0.0
    with np.errstate(over="ignore"):
        spread = float(np.sqrt(np.mean((values - shift) ** 2)))
    if not np.isfinite(spread):
        raise DataError("values are so large that their squares overflow: rescale the variable")
    if spread <= 1e-12 * abs(shift):  # constant as far as the sample shows: no spread to scale by
        spread = abs(shift)
        shift = shift if shifted else 0.0
    return shift, float(2.0 ** -np.round(np.log2(spread))) if spread > 0 else 1.0


def _sample_rows(n: int) -> np.ndarray:
    return np.arange(0, n, max(1, n // _SAMPLE), dtype=np.int32)


def assemble(design: Design, threads: int | None = None) -> CrossProducts:
    """Read the rows of a design once and return their cross-products.

    Parameters
    ----------
    design : Design
    threads : int, optional
        Threads over chunks of rows; default: the machine's cores, fewer for few rows. The sums are the same bits
        for the same number of threads.

    Returns
    -------
    CrossProducts
    """
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise DataError(f"threads={threads!r} must be a whole number from 1")
    n = design.n
    rows = _sample_rows(n)
    y = design.y if design.offset is None else design.y - design.offset
    x_columns: list[Column] = [*design.x, (Factor(np.ascontiguousarray(y)),)]
    intercept = next((i for i, column in enumerate(design.x) if not column), None)
    sampler = _kernels.ColumnPool([(c, 0.0, 1.0) for c in x_columns], n)
    basis = [
        (0.0, 1.0) if i == intercept else _scale_of(sampler.evaluate(i, rows), intercept is not None)
        for i in range(len(x_columns))
    ]
    pool = _Pool()
    gram = np.array([pool.add(c, *b) for c, b in zip(x_columns, basis, strict=True)], dtype=np.int32)

    groups = _group_layout(design)
    z_columns: list[list[int]] = []
    z_basis: list[list[tuple[float, float]]] = []
    terms: list[TermShape] = []
    known = {tuple(id(f.values) for f in c) + tuple(id(f.table) for f in c): b for c, b in zip(x_columns, basis, strict=True)}
    for g, members in enumerate(groups):
        positions: list[int] = []
        chosen: list[tuple[float, float]] = []
        for t in members:
            term = design.terms[t]
            centred = term.correlated and len(term.columns) > 1 and not term.columns[0]
            terms.append(TermShape(g, len(positions), len(term.columns), term.correlated))
            for column in term.columns:
                b = (0.0, 1.0) if not column else _term_basis(column, centred, intercept, known, n, rows)
                chosen.append(b)
                positions.append(pool.add(column, *b))
        z_columns.append(positions)
        z_basis.append(chosen)
    order = np.argsort([t for members in groups for t in members], kind="stable")

    sqrt_weights = None if design.weights is None else np.sqrt(design.weights)
    columns = _kernels.ColumnPool(pool.columns, n, sqrt_weights)
    described = []
    for members, positions in zip(groups, z_columns, strict=True):
        term = design.terms[members[0]]
        left = np.array(positions, dtype=np.int32)
        extra = [i for i in dict.fromkeys(positions) if i not in set(gram.tolist())]
        right = np.concatenate([gram, np.array(extra, dtype=np.int32)]) if extra else gram
        described.append((term.codes, len(term.levels), left, right))
    xy, sums = _threaded(columns, n, gram, described, threads)

    products = []
    p1 = len(gram)
    for members, (_, _, left, right), total, own in zip(groups, described, sums, z_basis, strict=True):
        where = {int(c): i for i, c in reversed(list(enumerate(right)))}
        A = np.ascontiguousarray(total[:, :, [where[int(c)] for c in left]])
        B = total if total.shape[2] == p1 else np.ascontiguousarray(total[:, :, :p1])
        shift, scale = np.array(own, dtype=float).T.copy()
        first = design.terms[members[0]]
        names = tuple(name for t in members for name in design.terms[t].names)
        products.append(GroupProducts(first.group, first.levels, names, A, B, shift, scale))
    pairs = {}
    for g in range(len(groups)):
        for h in range(g + 1, len(groups)):
            left_term, right_term = design.terms[groups[g][0]], design.terms[groups[h][0]]
            described_pair = [pool.columns[c] for c in (*z_columns[g], *z_columns[h])]
            pairs[g, h] = PairProducts(
                *_kernels.pairs(
                    left_term.codes, len(left_term.levels), right_term.codes, len(right_term.levels),
                    _kernels.ColumnPool(described_pair, n, sqrt_weights), len(z_columns[g]), len(z_columns[h]),
                )
            )
    unweighted = None
    if sqrt_weights is not None or intercept is None:
        wanted = [pool.add((), 0.0, 1.0), *gram[:-1].tolist(), *(c for positions in z_columns for c in positions)]
        plain = _kernels.ColumnPool(pool.columns, n)
        unweighted = _threaded(plain, n, np.array(wanted, dtype=np.int32), [], threads)[0]
    shift, scale = np.array(basis, dtype=float).T.copy()
    return CrossProducts(
        n=n,
        xy=xy,
        shift=shift,
        scale=scale,
        groups=tuple(products),
        pairs=pairs,
        terms=tuple(terms[i] for i in order),
        x_names=design.x_names,
        kept=np.arange(len(design.x_names)),
        intercept=intercept,
        sum_log_weights=0.0 if design.weights is None else float(np.log(design.weights).sum()),
        unweighted=unweighted,
        meta=Meta(
            design.spec.formula, design.response_name, design.all_x_names, design.fixed_terms, design.n_dropped,
            dict(design.missing), design.weights is not None, design.recipe, design.library,
        ),
    )  # fmt: skip


def _group_layout(design: Design) -> list[list[int]]:
    """Terms by grouping factor: lists of positions in design.terms, factors in the order they first appear."""
    layout: dict[str, list[int]] = {}
    for i, term in enumerate(design.terms):
        layout.setdefault(term.group, []).append(i)
    return list(layout.values())


def _term_basis(
    column: Column, centred: bool, intercept: int | None, known: Known, n: int, rows: np.ndarray
) -> tuple[float, float]:
    """Basis of a column of Z: X's own when the column is in X too (so that its products are shared)."""
    if centred == (intercept is not None):
        shared = known.get(tuple(id(f.values) for f in column) + tuple(id(f.table) for f in column))
        if shared is not None:
            return shared
    return _scale_of(_kernels.ColumnPool([(column, 0.0, 1.0)], n).evaluate(0, rows), centred)


def _threaded(
    pool: _kernels.ColumnPool, n: int, gram: np.ndarray, groups: list[Described], threads: int | None
) -> tuple[np.ndarray, list[np.ndarray]]:
    count = min(threads or os.cpu_count() or 1, max(1, n // _ROWS_PER_THREAD))
    if count == 1:
        return _kernels.crossprod(pool, 0, n, gram, groups)
    edges = [n * i // count for i in range(count + 1)]
    with ThreadPoolExecutor(count) as workers:
        parts = list(workers.map(lambda i: _kernels.crossprod(pool, edges[i], edges[i + 1], gram, groups), range(count)))
    xy, sums = parts[0]
    for other_xy, other_sums in parts[1:]:
        xy += other_xy
        for mine, theirs in zip(sums, other_sums, strict=True):
            mine += theirs
    return xy, sums
