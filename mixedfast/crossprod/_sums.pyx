"""The door to the C kernels: shapes are checked here, the GIL is released, a status becomes one exception.

Every function has a NumPy twin of the same name in ``_reference.py``; the tests hold the two together.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stddef cimport ptrdiff_t
from libc.stdlib cimport calloc, free, malloc

from math import prod

import numpy as np

cdef extern from "mf_columns.h" nogil:
    ctypedef struct mf_factor:
        const char *values
        ptrdiff_t stride
        int32_t kind
        const double *table
        int64_t table_length
    ctypedef struct mf_column:
        const mf_factor *factors
        int32_t n_factors
        double shift, scale
    int MF_TILE
    int mf_evaluate(const mf_column *, const int32_t *, int64_t, int, const double *, double *)

cdef extern from "mf_crossprod.h" nogil:
    ctypedef struct mf_group:
        const int32_t *const *codes
        const int64_t *n_levels
        int32_t n_codes
        int32_t n_columns
        const int32_t *columns
        int32_t n_right
        int32_t n_left
        const int32_t *left
        double *sums
    int MF_PADDED(int)
    int MF_SUMS(int)
    int mf_crossprod(const mf_column *, int32_t, int64_t, int64_t, const double *, const int32_t *, int32_t,
                     double *, const mf_group *, int32_t, double *)
    void mf_select_sums(const double *const *, int32_t, int64_t, int32_t, int32_t, int32_t, int32_t,
                   const int32_t *, int32_t, double *)

cdef extern from "mf_pairs.h" nogil:
    ctypedef struct mf_entry:
        pass
    int mf_sort_pairs(const int32_t *, int64_t, const int32_t *, int64_t, int64_t, mf_entry *, mf_entry *,
                      const mf_entry **, int64_t *, int64_t *)
    int mf_sum_pairs(const mf_entry *, int64_t, const mf_column *, int32_t, int32_t, const double *, int32_t *,
                     double *, double *)

_KINDS = {"f8": 0, "f4": 1, "i8": 2, "i4": 3, "i2": 4, "i1": 5, "u1": 6, "b1": 6}
_CODED = 7


cdef int check(int status) except -1:
    if status == 1:
        raise ValueError("a grouping or category code is outside its range of levels")
    if status == 3:
        raise MemoryError("a kernel's workspace")
    if status:
        raise ValueError(f"kernel status {status}")
    return 0


cdef int check_positions(const int32_t[::1] positions, int32_t size) except -1:
    if positions.shape[0] == 0 or np.min(positions) < 0 or np.max(positions) >= size:
        raise IndexError("a group names a column outside the pool")
    return 0


def aligned(int64_t size, make=np.empty):
    """An array of doubles that starts on a cache line: loads of eight then never straddle two."""
    spare = make(size + 8)
    return spare[-(spare.__array_interface__["data"][0] // 8) % 8:][:size]


cdef class ColumnPool:
    """Columns of [Z X y] as the C kernels read them; keeps the arrays behind them alive.

    Parameters
    ----------
    columns : sequence of (factors, shift, scale)
        ``factors`` is a sequence of objects with ``values`` and ``table`` (see `mixedfast.design.columns.Factor`).
    n : int
        Number of rows every factor must have.
    sqrt_weights : (n,) float64 array, optional
    """

    cdef mf_column *columns
    cdef mf_factor *factors
    cdef readonly int32_t size
    cdef readonly int64_t n
    cdef const double *sqrt_weights
    cdef list keep

    def __cinit__(self, columns, int64_t n, sqrt_weights=None):
        cdef Py_ssize_t total = sum(len(factors) for factors, _, _ in columns)
        cdef Py_ssize_t at = 0, i
        cdef const double[::1] weights, table
        self.keep = []
        self.size = len(columns)
        self.n = n
        self.columns = <mf_column *>calloc(max(self.size, 1), sizeof(mf_column))
        self.factors = <mf_factor *>calloc(max(total, 1), sizeof(mf_factor))
        if self.columns == NULL or self.factors == NULL:
            raise MemoryError("column descriptions")
        for i, (factors, shift, scale) in enumerate(columns):
            self.columns[i].factors = self.factors + at
            self.columns[i].n_factors = len(factors)
            self.columns[i].shift = shift
            self.columns[i].scale = scale
            for factor in factors:
                values = factor.values
                if values.ndim != 1 or values.shape[0] != n:
                    raise ValueError(f"a factor has shape {values.shape}, expected ({n},)")
                self.factors[at].values = <const char *><size_t>values.__array_interface__["data"][0]
                self.factors[at].stride = values.strides[0]
                if factor.table is None:
                    kind = _KINDS.get(values.dtype.str[1:])
                    if kind is None or values.dtype.str[0] == ">":
                        raise TypeError(f"a numeric factor has dtype {values.dtype}")
                    self.factors[at].kind = kind
                else:
                    if values.dtype != np.int32:
                        raise TypeError(f"codes have dtype {values.dtype}, expected int32")
                    lookup = np.ascontiguousarray(factor.table, dtype=np.float64)
                    table = lookup
                    self.factors[at].kind = _CODED
                    self.factors[at].table = &table[0] if table.shape[0] else NULL
                    self.factors[at].table_length = table.shape[0]
                    self.keep.append(lookup)
                self.keep.append(values)
                at += 1
        if sqrt_weights is not None:
            weights = sqrt_weights
            if weights.shape[0] != n:
                raise ValueError(f"weights have length {weights.shape[0]}, expected {n}")
            self.sqrt_weights = &weights[0] if n else NULL
            self.keep.append(sqrt_weights)

    def __dealloc__(self):
        free(self.columns)
        free(self.factors)

    def evaluate(self, int32_t column, rows=None):
        """Column `column` (shifted, scaled, weighted) at every row, or at the rows named (int32)."""
        cdef const int32_t[::1] index
        cdef int64_t first, count = self.n
        cdef const int32_t *at = NULL
        cdef int status = 0, part
        if not 0 <= column < self.size:
            raise IndexError(f"column {column} of {self.size}")
        if rows is not None:
            rows = np.ascontiguousarray(rows, dtype=np.int32)
            if rows.size and (rows.min() < 0 or rows.max() >= self.n):
                raise IndexError(f"rows must lie in 0..{self.n - 1}")
            index = rows
            count = index.shape[0]
            if count:
                at = &index[0]
        out = np.empty(count)
        cdef double[::1] view = out
        with nogil:
            first = 0
            while first < count and not status:
                part = <int>min(count - first, <int64_t>(1 << 20))
                status = mf_evaluate(&self.columns[column], at, first, part, self.sqrt_weights, &view[first])
                first += part
        check(status)
        return out


def crossprod(ColumnPool pool, int64_t first, int64_t last, const int32_t[::1] gram, groups):
    """Cross-products over rows first..last.

    Parameters
    ----------
    pool : ColumnPool
    gram : (c,) int32, columns of the pool that make up [X y]
    groups : list of (codes, n_levels, left (k,) int32, right (r,) int32)
        One grouping factor's codes (n,) int32 and number of levels, or tuples of several factors': sums are then kept for
        every cell, the last factor's level changing fastest.

    Returns
    -------
    (c, c) array, list of (levels or cells, k, r or a few more) arrays: what is past the r right columns means nothing
    """
    cdef Py_ssize_t n_groups = len(groups), g
    cdef mf_group *described = <mf_group *>calloc(max(n_groups, 1), sizeof(mf_group))
    cdef const int32_t[::1] codes, left, right
    cdef int32_t[::1] columns, left_at
    cdef size_t[::1] code_at
    cdef int64_t[::1] sizes
    cdef double[:, ::1] sums
    cdef double[::1] work
    cdef int64_t most = 0
    cdef int status = 0
    keep = []
    try:
        if described == NULL:
            raise MemoryError("cross-product workspace")
        if not 0 <= first <= last <= pool.n:
            raise ValueError(f"rows {first}..{last} of {pool.n}")
        if gram.shape[0] and (np.min(gram) < 0 or np.max(gram) >= pool.size):
            raise IndexError("gram names a column outside the pool")
        square = np.zeros((gram.shape[0], gram.shape[0]))
        totals = []
        for g in range(n_groups):
            factors, n_levels, left, right = groups[g]
            if not isinstance(factors, tuple):
                factors, n_levels = (factors,), (n_levels,)
            n_cells = prod(n_levels)
            if len(factors) != len(n_levels) or not factors or (len(factors) > 1 and n_cells >= 2**31):
                raise ValueError(f"{len(factors)} factors of {n_levels} levels")
            code_at, sizes = np.zeros(len(factors), dtype=np.uintp), np.array(n_levels, dtype=np.int64)
            for i, factor in enumerate(factors):
                codes = factor
                if codes.shape[0] != pool.n:
                    raise ValueError(f"grouping codes have length {codes.shape[0]}, expected {pool.n}")
                code_at[i] = <size_t>&codes[0] if codes.shape[0] else 0
            check_positions(left, pool.size)
            check_positions(right, pool.size)
            row = list(right)
            row += [c for c in dict.fromkeys(left) if c not in row]
            columns = np.array(row, dtype=np.int32)
            left_at = np.array([row.index(c) for c in left], dtype=np.int32)
            keep.append((columns, left_at, code_at, sizes))
            most = max(most, MF_PADDED(columns.shape[0]))
            shape = n_cells, left.shape[0], MF_SUMS(right.shape[0])
            total = aligned(prod(shape), np.zeros).reshape(shape)
            sums = total.reshape(-1, total.shape[2])
            totals.append(total)
            described[g].codes = <const int32_t *const *>&code_at[0]
            described[g].n_levels = &sizes[0]
            described[g].n_codes = len(factors)
            described[g].n_columns = columns.shape[0]
            described[g].columns = &columns[0]
            described[g].n_right = right.shape[0]
            described[g].n_left = left.shape[0]
            described[g].left = &left_at[0]
            described[g].sums = &sums[0, 0] if sums.shape[0] else NULL
        sums = square
        work = aligned((pool.size + most) * MF_TILE)
        with nogil:
            status = mf_crossprod(pool.columns, pool.size, first, last, pool.sqrt_weights,
                                  &gram[0] if gram.shape[0] else NULL, gram.shape[0],
                                  &sums[0, 0] if gram.shape[0] else NULL, described, n_groups, &work[0])
        check(status)
    finally:
        free(described)
    return square, totals


def select_sums(parts, int32_t first_row, int32_t end_row, const int32_t[::1] columns):
    """Some rows and columns of the sums of one group, added up over `parts` (from `crossprod`).

    Returns
    -------
    (n_levels, end_row - first_row, len(columns)) array
    """
    cdef int64_t n_levels = parts[0].shape[0]
    cdef int32_t all_rows = parts[0].shape[1], width = parts[0].shape[2], p, n_parts = len(parts)
    cdef const double[:, :, ::1] part
    cdef const double **pointers = <const double **>calloc(max(n_parts, 1), sizeof(double *))
    cdef double[:, :, ::1] sums
    try:
        if pointers == NULL:
            raise MemoryError("sums by level")
        if not 0 <= first_row < end_row <= all_rows:
            raise IndexError(f"rows {first_row}..{end_row} of {all_rows}")
        check_positions(columns, width)
        out = np.empty((n_levels, end_row - first_row, columns.shape[0]))
        sums = out
        for p in range(n_parts):
            part = parts[p]
            if part.shape[0] != n_levels or part.shape[1] != all_rows or part.shape[2] != width:
                raise ValueError(f"a part of {parts[p].shape}, expected ({n_levels}, {all_rows}, {width})")
            pointers[p] = &part[0, 0, 0] if n_levels else NULL
        if n_levels:
            with nogil:
                mf_select_sums(pointers, n_parts, n_levels, all_rows, width, first_row, end_row - first_row, &columns[0],
                          columns.shape[0], &sums[0, 0, 0])
    finally:
        free(pointers)
    return out


def pair_products(const int32_t[::1] left, int64_t n_left, const int32_t[::1] right, int64_t n_right, ColumnPool pool,
          int32_t k_left, int32_t k_right):
    """Co-occurrence blocks Z_left'W Z_right: (indptr (n_left+1) int64, indices int32, data (nnz, k_left, k_right)).

    The pool holds the k_left columns of the left factor, then the k_right of the right one.
    """
    cdef int64_t n = left.shape[0], found = 0
    cdef int status = 0
    if right.shape[0] != n or pool.n != n:
        raise ValueError(f"lengths differ: {n}, {right.shape[0]}, {pool.n}")
    if pool.size != k_left + k_right:
        raise ValueError(f"the pool has {pool.size} columns, expected {k_left} + {k_right}")
    if n >= 2**31:
        raise ValueError("more than 2**31 - 1 rows at once: give them in batches")
    if not (0 <= n_left <= 2**31 and 0 <= n_right <= 2**31):  # the sort's digits are counted for codes of 31 bits
        raise ValueError(f"pairs: {n_left} by {n_right} levels, and codes tell at most 2**31 apart")
    indptr, work = np.empty(n_left + 1, dtype=np.int64), aligned((k_left + k_right) * MF_TILE)
    cdef int64_t[::1] indptr_ = indptr
    cdef double[::1] work_ = work
    cdef mf_entry *entries = <mf_entry *>malloc(2 * max(n, 1) * sizeof(mf_entry))
    cdef const mf_entry *in_order = NULL
    cdef int32_t[::1] indices_
    cdef double[:, :, ::1] data_
    try:
        if entries == NULL:
            raise MemoryError(f"sorting {n} rows by pairs of levels")
        with nogil:
            status = mf_sort_pairs(&left[0] if n else NULL, n_left, &right[0] if n else NULL, n_right, n, entries,
                                   entries + n, &in_order, &indptr_[0], &found)
        check(status)
        indices, data = np.empty(found, dtype=np.int32), np.empty((found, k_left, k_right))
        indices_, data_ = indices, data
        if found:
            with nogil:
                status = mf_sum_pairs(in_order, n, pool.columns, k_left, k_right, pool.sqrt_weights, &indices_[0],
                                      &data_[0, 0, 0], &work_[0])
            check(status)
    finally:
        free(entries)
    return indptr, indices, data
