"""Sums over rows: cross-products of the columns of [Z X y], and co-occurrence blocks.

The loops are in csrc/mf_crossprod.c, mf_columns.c and mf_pairs.c. Here shapes and indices are
checked, the GIL is released, and a status becomes an exception. Every function has a NumPy twin of
the same name in ``tests/helpers/reference_kernels.py``.
"""

from libc.math cimport fabs
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free, malloc

from mixedfast.data._kinds cimport (
    MF_BAD_CODE,
    MF_CODED,
    MF_NO_MEMORY,
    MF_OK,
    kind_of,
    mf_kind,
    mf_status,
)

from math import prod

import numpy as np

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
    mf_status mf_crossprod(
        const mf_column *columns, int32_t n_columns, int64_t first, int64_t last,
        const double *sqrt_weights, const int32_t *gram, int32_t n_gram, double *gram_sums,
        const mf_group *groups, int32_t n_groups, double *work)
    void mf_select_sums(
        const double *const *parts, int32_t n_parts, int64_t n_levels, int32_t all_rows,
        int32_t width, int32_t first_row, int32_t n_rows, const int32_t *columns,
        int32_t n_columns, double *out)

cdef extern from "mf_pairs.h" nogil:
    ctypedef struct mf_entry:
        pass
    mf_status mf_sort_pairs(
        const int32_t *left, int64_t n_left, const int32_t *right, int64_t n_right, int64_t n,
        mf_entry *entries, mf_entry *spare, const mf_entry **in_order, int64_t *indptr,
        int64_t *n_pairs)
    mf_status mf_sum_pairs(
        const mf_entry *in_order, int64_t n, const mf_column *columns, int32_t k_left,
        int32_t k_right, const double *sqrt_weights, int32_t *indices, double *data, double *work)


cdef int raise_for(mf_status status) except -1:
    """Raise the exception of a kernel's status."""
    if status == MF_BAD_CODE:
        raise ValueError("a grouping or category code is outside its range of levels")
    if status == MF_NO_MEMORY:
        raise MemoryError("workspace of a kernel")
    return 0


cdef int check_positions(const int32_t[::1] positions, int32_t size) except -1:
    """Raise IndexError unless there are positions and all of them lie in the pool."""
    cdef Py_ssize_t i
    if positions.shape[0] == 0:
        raise IndexError("a group names no column")
    for i in range(positions.shape[0]):
        if not 0 <= positions[i] < size:
            raise IndexError("a group names a column outside the pool")
    return 0


def aligned(int64_t size, make=np.empty):
    """Return an array of doubles that begins on a cache line, so that no load straddles two."""
    spare = make(size + 8)
    skip = -(spare.__array_interface__["data"][0] // 8) % 8
    return spare[skip:skip + size]


cdef class ColumnPool:
    """Columns of [Z X y] as the kernels read them.

    Parameters
    ----------
    columns : sequence of (factors, shift, scale)
        ``factors`` is a sequence of objects with ``values`` and ``table``
        (see `mixedfast.design.columns`).
    n : int
        Number of rows of every factor.
    sqrt_weights : (n,) float64 array, optional

    Notes
    -----
    The arrays are read in place and kept alive by the pool.
    """

    def __cinit__(self, columns, int64_t n, sqrt_weights=None):
        cdef Py_ssize_t total = sum(len(factors) for factors, _, _ in columns)
        cdef Py_ssize_t at = 0, i
        cdef const double[::1] weights
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
                describe_factor(factor, n, &self.factors[at], self.keep)
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
        """Return a column (shifted, scaled, weighted) at every row, or at given rows (int32)."""
        cdef const int32_t[::1] index
        cdef int64_t first = 0, count = self.n
        cdef const int32_t *at = NULL
        cdef mf_status status = MF_OK
        cdef int part
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
        cdef double[::1] out_ = out
        with nogil:
            while first < count and status == MF_OK:
                part = <int>min(count - first, <int64_t>(1 << 20))
                status = mf_evaluate(
                    &self.columns[column], at, first, part, self.sqrt_weights, &out_[first])
                first += part
        raise_for(status)
        return out


cdef int describe_factor(factor, int64_t n, mf_factor *described, list keep) except -1:
    """Describe one factor of a column for C; the arrays that must stay alive go to `keep`."""
    cdef const double[::1] table
    cdef int kind
    values = factor.values
    if values.ndim != 1 or values.shape[0] != n:
        raise ValueError(f"a factor has shape {values.shape}, expected ({n},)")
    described.values = <const char *><size_t>values.__array_interface__["data"][0]
    described.stride = values.strides[0]
    keep.append(values)
    if factor.table is None:
        kind = kind_of(values)
        if kind < 0:
            raise TypeError(f"a numeric factor has dtype {values.dtype}")
        described.kind = <mf_kind>kind
        return 0
    if values.dtype != np.int32:
        raise TypeError(f"codes have dtype {values.dtype}, expected int32")
    lookup = np.ascontiguousarray(factor.table, dtype=np.float64)
    table = lookup
    described.kind = MF_CODED
    described.table = &table[0] if table.shape[0] else NULL
    described.table_length = table.shape[0]
    keep.append(lookup)
    return 0


cdef class Groups:
    """Grouping factors, or cells of several, as mf_crossprod reads them, and their sums."""

    cdef mf_group *described
    cdef readonly int32_t count
    cdef readonly int64_t widest          # columns of the widest row, padded
    cdef readonly list sums               # (levels or cells, k, r and padding) of each group
    cdef list keep

    def __cinit__(self, ColumnPool pool, groups):
        cdef Py_ssize_t g
        self.count = len(groups)
        self.sums, self.keep = [], []
        self.described = <mf_group *>calloc(max(self.count, 1), sizeof(mf_group))
        if self.described == NULL:
            raise MemoryError("cross-product workspace")
        for g in range(self.count):
            factors, n_levels, left, right = groups[g]
            if not isinstance(factors, tuple):
                factors, n_levels = (factors,), (n_levels,)
            self.point_to_codes(pool.n, &self.described[g], factors, n_levels)
            self.point_to_columns(pool.size, &self.described[g], left, right)
            self.make_room(&self.described[g], prod(n_levels))

    def __dealloc__(self):
        free(self.described)

    cdef int point_to_codes(self, int64_t n, mf_group *group, factors, n_levels) except -1:
        cdef const int32_t[::1] codes
        cdef size_t[::1] addresses = np.zeros(len(factors), dtype=np.uintp)
        cdef int64_t[::1] sizes = np.array(n_levels, dtype=np.int64)
        too_many = len(factors) > 1 and prod(n_levels) >= 2**31
        if len(factors) != len(n_levels) or not factors or too_many:
            raise ValueError(f"{len(factors)} factors of {n_levels} levels")
        for i, factor in enumerate(factors):
            codes = factor
            if codes.shape[0] != n:
                raise ValueError(f"grouping codes have length {codes.shape[0]}, expected {n}")
            addresses[i] = <size_t>&codes[0] if codes.shape[0] else 0
        group.codes = <const int32_t *const *>&addresses[0]
        group.n_levels = &sizes[0]
        group.n_codes = len(factors)
        self.keep += [factors, addresses, sizes]
        return 0

    cdef int point_to_columns(
        self, int32_t size, mf_group *group, const int32_t[::1] left, const int32_t[::1] right,
    ) except -1:
        cdef int32_t[::1] columns, left_at
        check_positions(left, size)
        check_positions(right, size)
        row = list(right)
        row += [c for c in dict.fromkeys(left) if c not in row]
        columns = np.array(row, dtype=np.int32)
        left_at = np.array([row.index(c) for c in left], dtype=np.int32)
        group.n_columns = columns.shape[0]
        group.columns = &columns[0]
        group.n_right = right.shape[0]
        group.n_left = left.shape[0]
        group.left = &left_at[0]
        self.widest = max(self.widest, MF_PADDED(group.n_columns))
        self.keep += [columns, left_at]
        return 0

    cdef int make_room(self, mf_group *group, n_cells) except -1:
        shape = n_cells, group.n_left, MF_SUMS(group.n_right)
        sums = aligned(prod(shape), np.zeros).reshape(shape)
        cdef double[:, ::1] rows = sums.reshape(-1, shape[2])
        group.sums = &rows[0, 0] if rows.shape[0] else NULL
        self.sums.append(sums)
        return 0


def sample_moments(const double[:] values):
    """Summarize a sample of a column (n,), at least one number.

    Returns
    -------
    widest : float
        Largest absolute value.
    mean, variance : float
        The variance with divisor n.
    low, middle, high : float
        The numbers at n // 4, n // 2 and 3 n // 4 in ascending order.
    """
    cdef Py_ssize_t n = values.shape[0], i
    cdef double widest = 0.0, mean, variance = 0.0, low, middle, high
    if not n:
        raise ValueError("sample_moments: no values")
    copied = np.array(values)
    cdef double[::1] sorted_ = copied
    mean = np.add.reduce(copied) / n  # by pairs, which rounds less than one after another
    with nogil:
        for i in range(n):
            widest = max(widest, fabs(sorted_[i]))
            variance += (sorted_[i] - mean) * (sorted_[i] - mean)
        variance /= n
        middle = select(&sorted_[0], 0, n, n // 2)
        low = select(&sorted_[0], 0, n // 2 + 1, n // 4)
        high = select(&sorted_[0], n // 2, n, 3 * n // 4)
    return widest, mean, variance, low, middle, high


cdef double select(double *x, Py_ssize_t first, Py_ssize_t end, Py_ssize_t k) noexcept nogil:
    """Move the numbers of x[first:end] so that the k-th of the array is in its place; return it."""
    cdef Py_ssize_t i, j
    cdef double pivot
    end -= 1
    while first < end:
        pivot = x[first + (end - first) // 2]
        i, j = first, end
        while i <= j:
            while x[i] < pivot:
                i += 1
            while pivot < x[j]:
                j -= 1
            if i <= j:
                x[i], x[j] = x[j], x[i]
                i += 1
                j -= 1
        if k <= j:
            end = j
        elif k >= i:
            first = i
        else:
            break
    return x[k]


def crossprod(ColumnPool pool, int64_t first, int64_t last, const int32_t[::1] gram, groups):
    """Compute the cross-products of rows first .. last - 1.

    Parameters
    ----------
    pool : ColumnPool
    gram : (c,) int32
        Columns of the pool that make up [X y].
    groups : list of (codes, n_levels, left (k,) int32, right (r,) int32)
        Codes (n,) int32 and number of levels of one grouping factor, or tuples of those of several
        factors: sums are then kept for every cell, the level of the last factor changing fastest.

    Returns
    -------
    (c, c) array
        [X y]'W[X y].
    list of (levels or cells, k, r or a few more) arrays
        Sums of left times right; what follows the r right columns is padding without meaning.
    """
    cdef mf_status status
    cdef double[:, ::1] sums
    cdef double[::1] work
    cdef Groups described
    if not 0 <= first <= last <= pool.n:
        raise ValueError(f"rows {first}..{last} of {pool.n}")
    if gram.shape[0]:
        check_positions(gram, pool.size)
    described = Groups(pool, groups)
    square = np.zeros((gram.shape[0], gram.shape[0]))
    sums = square
    work = aligned(max((pool.size + described.widest) * MF_TILE, 1))
    with nogil:
        status = mf_crossprod(
            pool.columns, pool.size, first, last, pool.sqrt_weights,
            &gram[0] if gram.shape[0] else NULL, gram.shape[0],
            &sums[0, 0] if gram.shape[0] else NULL, described.described, described.count, &work[0])
    raise_for(status)
    return square, described.sums


def select_sums(parts, int32_t first_row, int32_t end_row, const int32_t[::1] columns):
    """Read out some rows and columns of the sums of one group, added up over `parts`.

    Parameters
    ----------
    parts : sequence of (n_levels, k, width) arrays
        Sums of the same group from several calls of `crossprod`.

    Returns
    -------
    (n_levels, end_row - first_row, len(columns)) array
    """
    cdef int64_t n_levels = parts[0].shape[0]
    cdef int32_t all_rows = parts[0].shape[1], width = parts[0].shape[2], p, n_parts = len(parts)
    cdef const double[:, :, ::1] part
    cdef double[:, :, ::1] out_
    cdef size_t[::1] pointers
    if not 0 <= first_row < end_row <= all_rows:
        raise IndexError(f"rows {first_row}..{end_row} of {all_rows}")
    check_positions(columns, width)
    out = np.empty((n_levels, end_row - first_row, columns.shape[0]))
    if not n_levels:
        return out
    pointers = np.empty(n_parts, dtype=np.uintp)
    for p in range(n_parts):
        part = parts[p]
        if part.shape[0] != n_levels or part.shape[1] != all_rows or part.shape[2] != width:
            raise ValueError(
                f"a part of {parts[p].shape}, expected ({n_levels}, {all_rows}, {width})")
        pointers[p] = <size_t>&part[0, 0, 0]
    out_ = out
    with nogil:
        mf_select_sums(
            <const double *const *>&pointers[0], n_parts, n_levels, all_rows, width, first_row,
            end_row - first_row, &columns[0], columns.shape[0], &out_[0, 0, 0])
    return out


def pair_products(
    const int32_t[::1] left, int64_t n_left, const int32_t[::1] right, int64_t n_right,
    ColumnPool pool, int32_t k_left, int32_t k_right,
):
    """Compute the co-occurrence blocks Z_left'W Z_right of two factors, as block CSR.

    Parameters
    ----------
    left, right : (n,) int32
        Codes, below n_left and n_right.
    pool : ColumnPool
        The k_left columns of the left factor, then the k_right of the right one.

    Returns
    -------
    indptr (n_left + 1,) int64, indices (nnz,) int32, data (nnz, k_left, k_right)
    """
    cdef int64_t n = left.shape[0], found = 0
    cdef mf_status status
    if right.shape[0] != n or pool.n != n:
        raise ValueError(f"lengths differ: {n}, {right.shape[0]}, {pool.n}")
    if pool.size != k_left + k_right:
        raise ValueError(f"the pool has {pool.size} columns, expected {k_left} + {k_right}")
    if n >= 2**31:
        raise ValueError("more than 2**31 - 1 rows at once: give them in batches")
    if not (0 <= n_left <= 2**31 and 0 <= n_right <= 2**31):
        raise ValueError(f"{n_left} by {n_right} levels, and codes distinguish at most 2**31")
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
            status = mf_sort_pairs(
                &left[0] if n else NULL, n_left, &right[0] if n else NULL, n_right, n, entries,
                entries + n, &in_order, &indptr_[0], &found)
        raise_for(status)
        indices, data = np.empty(found, dtype=np.int32), np.empty((found, k_left, k_right))
        indices_, data_ = indices, data
        if found:
            with nogil:
                status = mf_sum_pairs(
                    in_order, n, pool.columns, k_left, k_right, pool.sqrt_weights, &indices_[0],
                    &data_[0, 0, 0], &work_[0])
            raise_for(status)
    finally:
        free(entries)
    return indptr, indices, data
