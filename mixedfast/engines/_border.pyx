"""The door to the C kernels of several grouping factors: the dense rest that the largest is eliminated into.

Shapes are checked here and the GIL is released. Every function has a NumPy twin of the same name in ``_reference.py``; the
tests hold the two together.
"""

from libc.math cimport log
from libc.stdint cimport int32_t, int64_t, uint8_t
from scipy.linalg.cython_blas cimport dsymm, dtrsm
from scipy.linalg.cython_lapack cimport dpotrf, dpotri

import numpy as np

from mixedfast.engines._border_checks import check_border

cdef extern from "mf_levels.h" nogil:
    int MF_MAX_K

cdef extern from "mf_schur.h" nogil:
    ctypedef struct mf_border:
        int64_t n_levels
        int32_t k
        const int64_t *ptr
        const int32_t *cols
        const double *vals
        const int32_t *component
        const int64_t *start
        const int64_t *offset
    ctypedef struct mf_rest:
        int64_t n_components
        const int64_t *start
        const int64_t *offset
        const int64_t *level_start
        const int64_t *first
        const int32_t *k
        const int64_t *lambda_ "lambda"
        const double *lambdas
        int scalar
    void mf_border_scale(const mf_border *, const double *, double *)
    void mf_schur_update(const mf_border *, const double *, int64_t, int64_t, double *)
    void mf_schur_rhs(const mf_border *, const double *, int32_t, const double *, double *)
    void mf_border_back_substitute(const mf_border *, int32_t, const double *, const double *, double *)
    void mf_border_project(const mf_border *, const double *, const double *, const double *, double *)
    void mf_border_subtract_k(const mf_border *, const double *, const double *, int64_t, int64_t, double *)
    int64_t mf_border_cross_work(int32_t, int32_t, int32_t)
    ctypedef struct mf_spread:
        int32_t width
        int32_t own
        int32_t r
        const double *A
        const double *T
        const double *TV
        const double *B
        const double *U
        const double *v
        const double *rest_F
    void mf_border_cross(const mf_border *, const mf_spread *, double *, double *, double *, double *)
    void mf_border_multiply_rest(const mf_border *, int64_t, const int64_t *, const double *, int32_t, const double *, double *)
    void mf_rest_scale(const mf_rest *, int64_t, int64_t, double *, double *)
    void mf_rest_sandwich(const mf_rest *, int64_t, int64_t, double *)
    void mf_rest_multiply_lambda_t(const mf_rest *, int32_t, const double *, double *)
    void mf_rest_multiply_lambda(const mf_rest *, int32_t, const double *, double *)
    void mf_rest_extract_blocks(const mf_rest *, const double *, double *)
    void mf_rest_blocks_k(const mf_rest *, const double *, double *)
    void mf_rest_blocks_k_singular(const mf_rest *, const double *, const double *, const uint8_t *, double *,
                                 double *)

def share(workers, part, work):
    """Cut 0 .. len(work) into parts of equal work, one a worker, and have them done; without workers all at once."""
    if workers is None:
        part(0, work.size)
        return
    total = np.cumsum(work)
    aims = total[total.size - 1] * np.arange(1, workers.count) / workers.count if total.size else []
    workers.share(part, [0, *np.searchsorted(total, aims).tolist(), work.size])


cdef int64_t largest_small(workers) except -1:
    """The largest component that is left to one thread of LAPACK's."""
    return np.iinfo(np.int64).max if workers is None else workers.smallest - 1


cdef class Border:
    """A_1r on the pattern of co-occurrence, and the dense remainder S it is eliminated into (see schur.h).

    Parameters
    ----------
    ptr (J+1,) int64, cols (nnz,) int32, vals (nnz, k) : A_1r by levels of the eliminated factor
    component (J,) int32, start (C+1,) int64 : connected components of the rest and their scalar columns
    level_start (C+1,), first (L,), k_level (L,), lambda_at (L,) : the levels of the remaining factors
    base_at (e,) int64, base (e,) : entries of A_rr as positions in the upper triangles of the dense blocks
    """

    cdef mf_border border
    cdef mf_rest rest
    cdef list keep
    cdef readonly object dense, diagonal
    cdef double[::1] dense_, diagonal_
    cdef const int64_t[::1] base_at
    cdef const double[::1] base
    cdef const double[::1] lambdas  # kept: `invert` reads it again
    cdef readonly int64_t m
    cdef readonly int64_t n_components
    cdef int64_t largest, blocks_size, lambdas_size
    cdef readonly object offsets, sizes
    cdef object column_work, met_work, level_size  # how much there is to do for a column, for a level met, for a level of the rest
    cdef readonly object TV
    cdef double[:, ::1] TV_
    cdef const double[:, ::1] vals

    def __cinit__(self, const int64_t[::1] ptr, const int32_t[::1] cols, const double[:, ::1] vals,
                  const int32_t[::1] component, const int64_t[::1] start, const int64_t[::1] level_start,
                  const int64_t[::1] first, const int32_t[::1] k_level, const int64_t[::1] lambda_at,
                  const int64_t[::1] base_at, const double[::1] base):
        cdef int64_t C = start.shape[0] - 1, c
        check_border(MF_MAX_K, ptr, cols, vals, component, start, level_start, first, k_level, lambda_at, base_at, base)
        sizes = np.diff(np.asarray(start))
        offset_array = np.concatenate([[0], np.cumsum(sizes.astype(np.int64) ** 2)]).astype(np.int64)
        cdef const int64_t[::1] offset = offset_array
        self.m = start[C]
        self.n_components = C
        self.largest = sizes.max()
        self.sizes, self.offsets = sizes, offset_array
        met = np.diff(np.asarray(ptr)).astype(np.float64)
        self.met_work, self.level_size = met * met, np.repeat(sizes, np.diff(np.asarray(level_start))).astype(np.float64)
        place = np.arange(cols.shape[0]) - np.repeat(np.asarray(ptr)[:ptr.shape[0] - 1], np.diff(np.asarray(ptr)))
        self.column_work = np.bincount(np.asarray(cols), weights=place + 1.0, minlength=self.m)
        self.dense = np.empty(offset_array[C])
        self.diagonal = np.empty(self.m)
        self.TV = np.empty((vals.shape[0], vals.shape[1]))
        self.dense_, self.diagonal_, self.TV_ = self.dense, self.diagonal, self.TV
        self.base_at, self.base, self.vals = base_at, base, vals
        self.keep = [ptr.base, cols.base, component.base, start.base, level_start.base, first.base, k_level.base,
                     lambda_at.base, offset_array]
        self.border.n_levels = ptr.shape[0] - 1
        self.border.k = vals.shape[1]
        self.border.ptr = &ptr[0]
        self.border.cols = &cols[0] if cols.shape[0] else NULL
        self.border.vals = &vals[0, 0] if vals.shape[0] else NULL
        self.border.component = &component[0]
        self.border.start = &start[0]
        self.border.offset = &offset[0]
        self.rest.n_components = C
        self.rest.start = &start[0]
        self.rest.offset = &offset[0]
        self.rest.level_start = &level_start[0]
        self.rest.first = &first[0]
        self.rest.k = &k_level[0]
        self.rest.lambda_ = &lambda_at[0]
        self.rest.scalar = bool(np.max(k_level) == 1)
        self.lambdas_size = int((np.asarray(lambda_at) + np.asarray(k_level).astype(np.int64) ** 2).max())
        self.blocks_size = int((np.asarray(k_level).astype(np.int64) ** 2).sum())

    def take(self, const double[:, ::1] vals, const double[::1] base):
        """Take other values of A_1r and A_rr on the patterns that are known; `factor` must follow."""
        if vals.shape[0] != self.TV_.shape[0] or vals.shape[1] != self.border.k or base.shape[0] != self.base_at.shape[0]:
            raise ValueError("take: vals (nnz,k), base (e,)")
        self.vals, self.base = vals, base
        self.border.vals = &vals[0, 0] if vals.shape[0] else NULL

    def factor(self, const double[:, :, ::1] T, const double[::1] lambdas, workers=None):
        """S = A_rr - A_r1 T'T A_1r above the diagonal, the Cholesky factor of lambda'S lambda + I below.

        ``workers`` (`mixedfast.engines.dense_cholesky.DenseWorkers`) share the columns of S and factor large components; without them
        one thread does all. Returns (log-determinant, 0), or (nan, 1 + component) when a component is not positive definite.
        """
        if T.shape[0] != self.border.n_levels or T.shape[1] != self.border.k or T.shape[2] != self.border.k:
            raise ValueError("factor: T (J,k,k)")
        if lambdas.shape[0] < self.lambdas_size:
            raise ValueError(f"factor: lambdas needs {self.lambdas_size} numbers")
        self.lambdas = lambdas
        self.rest.lambdas = &self.lambdas[0]
        self.begin(T)
        share(workers, self.reduce, self.column_work)
        share(workers, self.scale, self.level_size)
        failed = self.small(largest_small(workers), False)
        for c in self.large(workers):
            if failed:
                break
            failed = c + 1 if workers.factor(self.dense, self.offsets[c], self.sizes[c]) else 0
        if failed:
            return float("nan"), failed
        return self.logdet(), 0

    cdef void begin(self, const double[:, :, ::1] T) noexcept:
        """A_rr above the diagonal, T times A_1r."""
        cdef int64_t i
        with nogil:
            self.dense_[:] = 0.0
            for i in range(self.base_at.shape[0]):
                self.dense_[self.base_at[i]] = self.base[i]
            if self.TV_.shape[0]:
                mf_border_scale(&self.border, &T[0, 0, 0], &self.TV_[0, 0])

    def reduce(self, int64_t first, int64_t last):
        """Columns first..last of S: minus A_r1 T'T A_1r."""
        if self.TV_.shape[0]:
            with nogil:
                mf_schur_update(&self.border, &self.TV_[0, 0], first, last, &self.dense_[0])

    def scale(self, int64_t first, int64_t last):
        """The rows of the levels first..last of lambda'S lambda + I, below the diagonal."""
        with nogil:
            mf_rest_scale(&self.rest, first, last, &self.dense_[0], &self.diagonal_[0])

    cdef int64_t small(self, int64_t largest, bint inverse) noexcept:
        """Factor (or invert from the factor) the components of at most so many columns; 0, or 1 + the component that failed."""
        cdef int64_t c
        cdef int order, info = 0
        cdef double *D
        with nogil:
            for c in range(self.rest.n_components):
                order = <int>(self.rest.start[c + 1] - self.rest.start[c])
                if order > largest:
                    continue
                D = &self.dense_[self.rest.offset[c]]
                if inverse:
                    dpotri("L", &order, D, &order, &info)
                else:
                    dpotrf("L", &order, D, &order, &info)
                if info:
                    return c + 1
        return 0

    def large(self, workers):
        """The components that the workers take."""
        return np.flatnonzero(self.sizes > largest_small(workers)).tolist()

    cdef int check_levels(self, const double[:, :, ::1] blocks, message) except -1:
        if blocks.shape[0] != self.border.n_levels or blocks.shape[1] != self.border.k or blocks.shape[2] != self.border.k:
            raise ValueError(message)
        return 0

    cdef double logdet(self):
        cdef int64_t c, i, size
        cdef const double *D
        cdef double total = 0.0
        with nogil:
            for c in range(self.rest.n_components):
                size = self.rest.start[c + 1] - self.rest.start[c]
                D = &self.dense_[self.rest.offset[c]]
                for i in range(size):
                    total += log(D[i + i * size])
        return 2.0 * total

    def eliminate(self, const double[:, :, ::1] U, double[:, ::1] rest):
        """rest (m,r) -= A_r1 T'U, in place."""
        if U.shape[0] != self.border.n_levels or U.shape[1] != self.border.k or rest.shape[0] != self.m or rest.shape[1] != U.shape[2]:
            raise ValueError("eliminate: U (J,k,r), rest (m,r)")
        if self.TV_.shape[0]:
            with nogil:
                mf_schur_rhs(&self.border, &self.TV_[0, 0], U.shape[2], &U[0, 0, 0], &rest[0, 0])

    def forward_solve(self, const double[:, ::1] rows):
        """L^-1 lambda' rows (m,r), in Fortran order, with the factor of `factor`."""
        out = self.scaled(rows, "forward_solve")
        self.triangular(out, b"N")
        return out

    def solve(self, const double[:, ::1] rows):
        """Q rows = lambda L^-T L^-1 lambda' rows, (m,r), with the factor of `factor`."""
        out = np.empty((self.m, rows.shape[1]))
        cdef double[:, ::1] result = out
        cdef double[::1, :] B = self.scaled(rows, "solve")
        self.triangular(B, b"N")
        self.triangular(B, b"T")
        if out.size:
            with nogil:
                mf_rest_multiply_lambda(&self.rest, rows.shape[1], &B[0, 0], &result[0, 0])
        return out

    cdef scaled(self, const double[:, ::1] rows, name):
        """lambda' rows, in Fortran order."""
        if rows.shape[0] != self.m:
            raise ValueError(f"{name}: rows (m,r)")
        out = np.empty((self.m, rows.shape[1]), order="F")
        cdef double[::1, :] B = out
        if out.size:
            with nogil:
                mf_rest_multiply_lambda_t(&self.rest, rows.shape[1], &rows[0, 0], &B[0, 0])
        return out

    cdef void triangular(self, double[::1, :] B, char *transposed) noexcept:
        """L^-1 B ("N") or L^-T B ("T") in place."""
        cdef int64_t c
        cdef int order, width = <int>B.shape[1], ld = <int>self.m
        cdef double one = 1.0
        if not width:
            return
        with nogil:
            for c in range(self.rest.n_components):
                order = <int>(self.rest.start[c + 1] - self.rest.start[c])
                dtrsm("L", "L", transposed, "N", &order, &width, &one, &self.dense_[self.rest.offset[c]], &order,
                      &B[self.rest.start[c], 0], &ld)

    def invert(self, blocks, workers=None):
        """Below the diagonal: the inverse of lambda'S lambda + I, then Q = lambda (.)^-1 lambda'.

        `blocks` (sum of k*k over levels) gets the diagonal blocks of the inverse; ``workers`` as for `factor`.
        """
        cdef double[::1] out = blocks
        if out.shape[0] != self.blocks_size:
            raise ValueError("invert: blocks has the wrong length")
        failed = self.small(largest_small(workers), True)
        for c in self.large(workers):
            failed = failed or workers.invert(self.dense, self.offsets[c], self.sizes[c])
        if failed:
            raise ValueError("invert: no factor to invert")
        with nogil:
            mf_rest_extract_blocks(&self.rest, &self.dense_[0], &out[0])
        share(workers, self.sandwich, self.level_size)

    def sandwich(self, int64_t first, int64_t last):
        """The columns of the levels first..last of Q, from those of the inverse."""
        with nogil:
            mf_rest_sandwich(&self.rest, first, last, &self.dense_[0])

    def blocks_k(self, const double[::1] back, double[::1] blocks):
        """Diagonal blocks of K = back'(I - (.)^-1) back from those that `invert` gave, in place; back = lambda^-1, packed."""
        if blocks.shape[0] != self.blocks_size or back.shape[0] < self.lambdas_size:
            raise ValueError("blocks_k: back as lambdas, blocks k*k numbers a level")
        with nogil:
            mf_rest_blocks_k(&self.rest, &back[0], &blocks[0])

    def blocks_q(self):
        """Diagonal blocks of Q, one after the other."""
        blocks = np.empty(self.blocks_size)
        cdef double[::1] out = blocks
        with nogil:
            mf_rest_extract_blocks(&self.rest, &self.dense_[0], &out[0])
        return blocks

    def blocks_k_singular(self, const uint8_t[::1] wanted, double[::1] blocks):
        """Diagonal blocks of S - S Q S for the levels wanted."""
        if wanted.shape[0] != self.rest.level_start[self.rest.n_components] or blocks.shape[0] != self.blocks_size:
            raise ValueError("blocks_k_singular: wanted has one entry a level, blocks k*k numbers a level")
        cdef double[::1] work = np.empty(2 * self.largest)
        with nogil:
            mf_rest_blocks_k_singular(&self.rest, &self.dense_[0], &self.diagonal_[0], &wanted[0], &blocks[0], &work[0])

    def multiply(self, const double[::1, :] X, bint upper):
        """S X (upper) or Q X (lower), X (m,r) in Fortran order."""
        cdef int64_t c, i, size
        cdef int order, width = <int>X.shape[1], ld = <int>self.m
        cdef double one = 1.0, zero = 0.0, kept
        cdef double *D
        cdef const double *own
        if X.shape[0] != self.m:
            raise ValueError("multiply: X (m,r)")
        out = np.empty((self.m, X.shape[1]), order="F")
        cdef double[::1, :] Y = out
        with nogil:
            for c in range(self.rest.n_components):
                size = self.rest.start[c + 1] - self.rest.start[c]
                order = <int>size
                D = &self.dense_[self.rest.offset[c]]
                if upper:
                    swap_diagonal(D, size, &self.diagonal_[self.rest.start[c]])
                dsymm("L", "U" if upper else "L", &order, &width, &one, D, &order,
                      <double *>&X[self.rest.start[c], 0], &ld, &zero, &Y[self.rest.start[c], 0], &ld)
                if upper:
                    swap_diagonal(D, size, &self.diagonal_[self.rest.start[c]])
        return out

    def back_substitute(self, const double[:, :, ::1] B, const double[:, ::1] W):
        """B - A_1r W, (J,k,r)."""
        out = np.empty((B.shape[0], B.shape[1], B.shape[2]))
        cdef double[:, :, ::1] result = out
        if B.shape[0] != self.border.n_levels or B.shape[1] != self.border.k or W.shape[0] != self.m or W.shape[1] != B.shape[2]:
            raise ValueError("back_substitute: B (J,k,r), W (m,r)")
        with nogil:
            mf_border_back_substitute(&self.border, B.shape[2], &B[0, 0, 0], &W[0, 0], &result[0, 0, 0])
        return out

    def project(self, const double[:, :, ::1] A, const double[:, :, ::1] T):
        """H (nnz,k) = (I - A T'T) A_1r on the pattern of A_1r; T as last given to `factor`."""
        self.check_levels(A, "project: A (J,k,k)")
        self.check_levels(T, "project: T (J,k,k)")
        out = np.empty((self.TV_.shape[0], self.TV_.shape[1]))
        cdef double[:, ::1] H = out
        if H.shape[0]:
            with nogil:
                mf_border_project(&self.border, &A[0, 0, 0], &T[0, 0, 0], &self.TV_[0, 0], &H[0, 0])
        return out

    def cross(self, const double[:, :, ::1] A, const double[:, :, ::1] T, const double[:, :, ::1] B,
              const double[:, :, ::1] U, const double[:, ::1] v, const double[:, ::1] F, int32_t own):
        """F'KF (width,width) and [X y]'V0^-1 Z F (r,width) still without the part of Q, and what Q is to be seen from:
        Z_r'V_1^-1 Z F (m,width). F is v (J,k) spread (see `mixedfast.engines.layout.spread`) in the k*k columns from `own` on,
        and F (m,width) for the rest; B (J,k,r), U = T B, and T as last given to `factor`.
        """
        cdef int32_t width = F.shape[1], r = B.shape[2], k = self.border.k
        cdef int64_t J = self.border.n_levels
        self.check_levels(A, "cross: A (J,k,k)")
        self.check_levels(T, "cross: T (J,k,k)")
        if B.shape[0] != J or B.shape[1] != k or U.shape[0] != J or U.shape[1] != k or U.shape[2] != r:
            raise ValueError("cross: B and U (J,k,r)")
        if v.shape[0] != J or v.shape[1] != k or F.shape[0] != self.m or not 0 <= own <= width - k * k:
            raise ValueError("cross: v (J,k), F (m,width) with room for k*k columns from own on")
        rest, FB = np.zeros((self.m, width)), np.zeros((r, width))
        cdef double[:, ::1] rest_ = rest, cross_ = FB
        cdef double[::1] work = np.empty(mf_border_cross_work(k, width, r))
        if self.base.shape[0]:
            with nogil:
                mf_border_multiply_rest(&self.border, self.base.shape[0], &self.base_at[0], &self.base[0], width, &F[0, 0], &rest_[0, 0])
        FKF = np.dot(F.base.T, rest)
        cdef double[:, ::1] FKF_ = FKF
        cdef mf_spread spread
        if J and r:
            spread.width, spread.own, spread.r = width, own, r
            spread.A, spread.T, spread.TV = &A[0, 0, 0], &T[0, 0, 0], &self.TV_[0, 0] if self.TV_.shape[0] else NULL
            spread.B, spread.U, spread.v, spread.rest_F = &B[0, 0, 0], &U[0, 0, 0], &v[0, 0], &F[0, 0]
            with nogil:
                mf_border_cross(&self.border, &spread, &FKF_[0, 0], &cross_[0, 0], &rest_[0, 0], &work[0])
        return FKF, FB, rest

    def subtract_k(self, const double[:, ::1] H, double[:, :, ::1] K, workers=None):
        """K_j -= H_j Q H_j', in place; ``workers`` share the levels."""

        def part(int64_t first, int64_t last):
            with nogil:
                mf_border_subtract_k(&self.border, &H[0, 0], &self.dense_[0], first, last, &K[0, 0, 0])

        self.check_levels(K, "subtract_k: K (J,k,k)")
        if H.shape[0] != self.TV_.shape[0] or H.shape[1] != self.border.k:
            raise ValueError("subtract_k: H (nnz,k)")
        if H.shape[0]:
            share(workers, part, self.met_work)


cdef void swap_diagonal(double *D, int64_t size, double *other) noexcept nogil:
    cdef int64_t i
    cdef double kept
    for i in range(size):
        kept = D[i + i * size]
        D[i + i * size] = other[i]
        other[i] = kept
