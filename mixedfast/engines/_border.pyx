"""Several grouping factors: the largest is eliminated level by level, the rest is dense.

The loops are in csrc/mf_schur.c and csrc/mf_rest.c; dense blocks are factored by LAPACK. Here
shapes are checked and the GIL is released. `Border` has a NumPy twin of the same name in
``tests/helpers/reference_kernels.py``.
"""

from libc.math cimport isfinite, log
from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t
from scipy.linalg.cython_blas cimport dsymm, dtrsm
from scipy.linalg.cython_lapack cimport dpotrf, dpotri

import numpy as np

cdef extern from "mf_levels.h" nogil:
    int MF_MAX_K


# -- do the arrays of a Border belong together? ---------------------------------------------------


cdef int refuse(bint wrong, message) except -1:
    """Raise ValueError if something is wrong."""
    if wrong:
        raise ValueError(message)
    return 0


cdef int refuse_index(bint wrong, message) except -1:
    """Raise IndexError if an index array points outside its target."""
    if wrong:
        raise IndexError(message)
    return 0


ctypedef fused integer:
    int32_t
    int64_t


cdef bint within(const integer[:] values, int64_t low, int64_t high) noexcept:
    """Return whether all values lie in low .. high - 1."""
    cdef int64_t i
    cdef bint good = True
    for i in range(values.shape[0]):
        good &= low <= values[i] < high
    return good


cdef bint climbs(const int64_t[:] values, int64_t end) noexcept:
    """Return whether pointers ascend from 0 to `end`."""
    cdef int64_t i, n = values.shape[0]
    cdef bint good = n > 0 and values[0] == 0 and values[n - 1] == end
    for i in range(1, n):
        good &= values[i - 1] <= values[i]
    return good


cdef bint by_component(const int64_t[:] start, const int64_t[:] places) noexcept:
    """Return whether places in the dense blocks go from component to component in their order."""
    cdef int64_t i, c = 0, size = start[1] - start[0], end = size * size
    cdef bint good = True
    for i in range(places.shape[0]):
        while places[i] >= end:
            c += 1
            size = start[c + 1] - start[c]
            end += size * size
        good &= places[i] >= end - size * size
    return good


def check_border(
    const int64_t[:] ptr, const int32_t[:] cols, const double[:, :] vals,
    const int32_t[:] component, const int64_t[:] start, const int64_t[:] level_start,
    const int64_t[:] first, const int32_t[:] k_level, const int64_t[:] lambda_at,
    const int64_t[:] base_at, const double[:] base,
):
    """Check that the arrays of a `Border` fit together and point inside one another.

    The kernels trust them.

    Raises
    ------
    ValueError, IndexError
        The message names the array.
    """
    cdef int64_t n_levels = k_level.shape[0], n_components = start.shape[0] - 1
    cdef int64_t i, j, c, m = 0, before = 0, numbers = 0
    cdef bint good = True
    refuse(ptr.shape[0] == 0 or not climbs(ptr, ptr[ptr.shape[0] - 1]), "ptr must ascend from 0")
    refuse(cols.shape[0] != ptr[ptr.shape[0] - 1] or vals.shape[0] != cols.shape[0],
           "ptr must end at the number of cols and vals")
    refuse(component.shape[0] != ptr.shape[0] - 1, "component must have one entry per level of ptr")
    refuse(not 1 <= vals.shape[1] <= MF_MAX_K, f"vals must have 1 to {MF_MAX_K} columns")
    refuse_index(not within(k_level, 1, MF_MAX_K + 1), f"k_level must lie in 1..{MF_MAX_K}")
    for i in range(n_levels):
        m += k_level[i]
    # cols are 32-bit integers, and so are the sizes that BLAS takes
    refuse(m > INT32_MAX, f"{m} random effects remain once the largest factor is eliminated, "
                          "and at most 2**31 - 1 can")
    refuse(first.shape[0] != n_levels, "first and k_level must have one entry per level")
    refuse(lambda_at.shape[0] != n_levels, "lambda_at and k_level must have one entry per level")
    refuse(not climbs(start, m), f"start must ascend from 0 to {m}")
    refuse(not climbs(level_start, n_levels), f"level_start must ascend from 0 to {n_levels}")
    refuse(level_start.shape[0] != n_components + 1 or n_components < 1,
           "start and level_start must have one entry per component, and one more")
    for i in range(n_levels):
        good &= first[i] == before
        before += k_level[i]
    refuse(not good, "first must be the running sum of k_level")
    for c in range(n_components + 1):
        good &= start[c] == (first[level_start[c]] if level_start[c] < n_levels else m)
    refuse(not good, "level_start and start must cut at the same places")
    refuse_index(not within(component, 0, n_components),
                 f"component must lie in 0..{n_components - 1}")
    refuse_index(not within(lambda_at, 0, INT32_MAX), f"lambda_at must lie in 0..{INT32_MAX - 1}")
    for j in range(component.shape[0]):
        c = component[j]
        for i in range(ptr[j], ptr[j + 1]):
            good &= start[c] <= cols[i] < start[c + 1]
    refuse_index(not good, "cols must lie in the component of their level")
    for c in range(n_components):
        numbers += (start[c + 1] - start[c]) * (start[c + 1] - start[c])
    refuse(base_at.shape[0] != base.shape[0], "base_at and base must have the same length")
    refuse_index(not within(base_at, 0, numbers), f"base_at must lie in 0..{numbers - 1}")
    refuse_index(not by_component(start, base_at),
                 "base_at must go from component to component in their order")


# -- shared work ----------------------------------------------------------------------------------


def at_once(part, work):
    """Do all of the work in one part."""
    part(0, work.size)


cdef int64_t largest_small(large) except -1:
    """Return the order of the largest component that LAPACK factors on one thread."""
    return np.iinfo(np.int64).max if large is None else large[0] - 1


cdef void swap_diagonal(double *D, int64_t size, double *other) noexcept nogil:
    """Exchange the diagonal of a block with numbers kept apart."""
    cdef int64_t i
    cdef double kept
    for i in range(size):
        kept = D[i + i * size]
        D[i + i * size] = other[i]
        other[i] = kept


#: What stands below the diagonal of the dense blocks: nothing that may be read, L, or Q.
cdef enum:
    NOTHING, FACTOR, INVERSE


cdef class Border:
    """A_1r, on the pattern of co-occurrence, and the dense rest with its Schur complement S.

    Parameters
    ----------
    ptr (J+1,) int64, cols (nnz,) int32, vals (nnz, k)
        A_1r by levels of the eliminated factor.
    component (J,) int32, start (C+1,) int64
        Connected components of the rest, and their columns.
    level_start (C+1,), first (L,), k_level (L,), lambda_at (L,)
        The levels of the remaining factors (csrc/mf_rest.h).
    base_at (e,) int64, base (e,)
        Entries of A_rr: places in the upper triangles of the dense blocks, and values.

    Notes
    -----
    Methods that take ``share`` call share(part, work): it must call part(first, last) for ranges
    that cover 0 .. len(work), on any threads; ``work`` is the relative cost of each item.
    ``large`` is (order, step), for components of that order and more: step(array, offset, n)
    treats the (n, n) square there in place, and returns 0 on success.

    Methods that read a factor or an inverse raise ValueError where there is none: before `factor`,
    after one that failed or was interrupted, and after `take`.
    """

    def __cinit__(
        self, const int64_t[::1] ptr, const int32_t[::1] cols, const double[:, ::1] vals,
        const int32_t[::1] component, const int64_t[::1] start, const int64_t[::1] level_start,
        const int64_t[::1] first, const int32_t[::1] k_level, const int64_t[::1] lambda_at,
        const int64_t[::1] base_at, const double[::1] base,
    ):
        cdef int64_t C = start.shape[0] - 1
        check_border(ptr, cols, vals, component, start, level_start, first, k_level, lambda_at,
                     base_at, base)
        sizes, met = np.diff(np.asarray(start)), np.diff(np.asarray(ptr))
        squares = np.asarray(k_level).astype(np.int64) ** 2
        offsets = np.concatenate([[0], np.cumsum(sizes.astype(np.int64) ** 2)]).astype(np.int64)
        cdef const int64_t[::1] offset = offsets
        self.m = start[C]
        self.n_components = C
        self.largest = sizes.max()
        self.sizes, self.offsets = sizes, offsets
        self.lambdas_size = int((np.asarray(lambda_at) + squares).max())
        self.blocks_size = int(squares.sum())
        place = np.arange(cols.shape[0]) - np.repeat(np.asarray(ptr)[:ptr.shape[0] - 1], met)
        self.column_work = np.bincount(np.asarray(cols), weights=place + 1.0, minlength=self.m)
        self.row_work = np.repeat(sizes, np.diff(np.asarray(level_start))).astype(np.float64)
        self.level_work = met.astype(np.float64) ** 2
        self.dense = np.empty(offsets[C])
        self.diagonal = np.empty(self.m)
        self.TV = np.empty((vals.shape[0], vals.shape[1]))
        self.dense_, self.diagonal_, self.TV_ = self.dense, self.diagonal, self.TV
        self.base_at, self.base, self.vals = base_at, base, vals
        self.keep = [ptr.base, cols.base, component.base, start.base, level_start.base, first.base,
                     k_level.base, lambda_at.base, offsets]
        self.border.n_levels = ptr.shape[0] - 1
        self.border.k = vals.shape[1]
        self.border.ptr = &ptr[0]
        self.border.cols = &cols[0] if cols.shape[0] else NULL
        self.border.vals = &vals[0, 0] if vals.shape[0] else NULL
        self.border.component = &component[0] if component.shape[0] else NULL
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

    cdef int check_levels(self, const double[:, :, ::1] blocks, message) except -1:
        """Raise ValueError unless there is one k x k block per eliminated level."""
        cdef int32_t k = self.border.k
        if blocks.shape[0] != self.border.n_levels or not blocks.shape[1] == blocks.shape[2] == k:
            raise ValueError(message)
        return 0

    @property
    def has_factor(self):
        return self.holds == FACTOR

    @property
    def has_inverse(self):
        return self.holds == INVERSE

    cdef int require(self, int held, name) except -1:
        """Raise ValueError unless the dense blocks hold what a method reads."""
        if self.holds == NOTHING or self.holds != held != NOTHING:
            wanted = "inverse" if held == INVERSE else "factor"
            raise ValueError(f"{name}: there is no {wanted} at this point")
        return 0

    def take(self, const double[:, ::1] vals, const double[::1] base):
        """Take other values of A_1r and A_rr on the same patterns; `factor` must follow."""
        if (vals.shape[0] != self.TV_.shape[0] or vals.shape[1] != self.border.k
                or base.shape[0] != self.base_at.shape[0]):
            raise ValueError("take: vals (nnz,k), base (e,)")
        self.holds = NOTHING
        self.vals, self.base = vals, base
        self.border.vals = &vals[0, 0] if vals.shape[0] else NULL

    # -- factor and inverse -----------------------------------------------------------------------

    def factor(
        self, const double[:, :, ::1] T, const double[::1] lambdas, share=at_once, large=None,
    ):
        """Factor M = lambda'S lambda + I, with S = A_rr - A_r1 T'T A_1r.

        S is kept above the diagonal of the dense blocks, the Cholesky factor L of M below. The step
        of ``large`` computes a Cholesky factor.

        Returns
        -------
        (float, int)
            log|M| and 0, or nan and 1 + the component that is not positive definite (nan and 1
            where M is not finite).
        """
        self.check_levels(T, "factor: T (J,k,k)")
        if lambdas.shape[0] < self.lambdas_size:
            raise ValueError(f"factor: lambdas needs {self.lambdas_size} numbers")
        self.holds = NOTHING
        self.lambdas = lambdas
        self.rest.lambdas = &self.lambdas[0]
        self.begin(T)
        share(self.reduce, self.column_work)
        share(self.scale, self.row_work)
        failed = self.factor_small(largest_small(large), False)
        for c in self.large_components(large):
            if failed:
                break
            failed = c + 1 if large[1](self.dense, self.offsets[c], self.sizes[c]) else 0
        if failed:
            return float("nan"), failed
        logdet = self.logdet()
        if not isfinite(logdet):  # LAPACK may factor NaN without a word
            return float("nan"), 1
        self.holds = FACTOR
        return logdet, 0

    cdef void begin(self, const double[:, :, ::1] T) noexcept:
        """Write A_rr above the diagonal, and compute T times A_1r."""
        cdef int64_t i
        with nogil:
            self.dense_[:] = 0.0
            for i in range(self.base_at.shape[0]):
                self.dense_[self.base_at[i]] = self.base[i]
            if self.TV_.shape[0]:
                mf_border_scale(&self.border, &T[0, 0, 0], &self.TV_[0, 0])

    def reduce(self, int64_t first, int64_t last):
        """Subtract A_r1 T'T A_1r from the columns first .. last - 1 of S."""
        if self.TV_.shape[0]:
            with nogil:
                mf_schur_update(&self.border, &self.TV_[0, 0], first, last, &self.dense_[0])

    def scale(self, int64_t first, int64_t last):
        """Compute the rows of the levels first .. last - 1 of lambda'S lambda + I."""
        with nogil:
            mf_rest_scale(&self.rest, first, last, &self.dense_[0], &self.diagonal_[0])

    cdef int64_t factor_small(self, int64_t largest, bint inverse) noexcept:
        """Factor (or invert, from the factor) the components of at most `largest` columns."""
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

    def large_components(self, large):
        """Return the components that the step of ``large`` takes."""
        return np.flatnonzero(self.sizes > largest_small(large)).tolist()

    cdef double logdet(self):
        """Return log|M| from the diagonal of L."""
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

    def invert(self, blocks, share=at_once, large=None):
        """Replace L by M^-1, and then by Q = lambda M^-1 lambda'.

        The step of ``large`` computes the inverse of L L' from L.

        Parameters
        ----------
        blocks : (sum of k*k over the levels,) array
            Filled with the diagonal blocks of M^-1.
        """
        cdef double[::1] out = blocks
        if out.shape[0] != self.blocks_size:
            raise ValueError("invert: blocks has the wrong length")
        self.require(FACTOR, "invert")
        self.holds = NOTHING
        failed = self.factor_small(largest_small(large), True)
        for c in self.large_components(large):
            failed = failed or large[1](self.dense, self.offsets[c], self.sizes[c])
        if failed:
            raise ValueError("invert: no factor to invert")
        with nogil:
            mf_rest_extract_blocks(&self.rest, &self.dense_[0], &out[0])
        share(self.sandwich, self.row_work)
        self.holds = INVERSE

    def sandwich(self, int64_t first, int64_t last):
        """Compute the columns of the levels first .. last - 1 of Q from those of M^-1."""
        with nogil:
            mf_rest_sandwich(&self.rest, first, last, &self.dense_[0])

    # -- solutions, with the factor ---------------------------------------------------------------

    def eliminate(self, const double[:, :, ::1] U, double[:, ::1] rest):
        """Subtract A_r1 T'U from the right-hand sides of the rest: rest (m,r), in place."""
        if (U.shape[0] != self.border.n_levels or U.shape[1] != self.border.k
                or rest.shape[0] != self.m or rest.shape[1] != U.shape[2]):
            raise ValueError("eliminate: U (J,k,r), rest (m,r)")
        self.require(NOTHING, "eliminate")
        if self.TV_.shape[0] and U.shape[2]:
            with nogil:
                mf_schur_rhs(
                    &self.border, &self.TV_[0, 0], U.shape[2], &U[0, 0, 0], &rest[0, 0])

    def forward_solve(self, const double[:, ::1] rows):
        """Return L^-1 lambda' rows, (m,r) in Fortran order."""
        out = self.scale_rows(rows, "forward_solve")
        self.solve_triangular(out, b"N")
        return out

    def solve(self, const double[:, ::1] rows):
        """Return Q rows = lambda L^-T L^-1 lambda' rows, (m,r)."""
        out = np.empty((self.m, rows.shape[1]))
        cdef double[:, ::1] out_ = out
        cdef double[::1, :] B = self.scale_rows(rows, "solve")
        self.solve_triangular(B, b"N")
        self.solve_triangular(B, b"T")
        if out.size:
            with nogil:
                mf_rest_multiply_lambda(&self.rest, rows.shape[1], &B[0, 0], &out_[0, 0])
        return out

    cdef scale_rows(self, const double[:, ::1] rows, name):
        """Return lambda' rows, in Fortran order."""
        if rows.shape[0] != self.m:
            raise ValueError(f"{name}: rows (m,r)")
        self.require(FACTOR, name)
        out = np.empty((self.m, rows.shape[1]), order="F")
        cdef double[::1, :] out_ = out
        if out.size:
            with nogil:
                mf_rest_multiply_lambda_t(&self.rest, rows.shape[1], &rows[0, 0], &out_[0, 0])
        return out

    cdef void solve_triangular(self, double[::1, :] B, char *transposed) noexcept:
        """Replace B by L^-1 B ("N") or L^-T B ("T")."""
        cdef int64_t c
        cdef int order, width = <int>B.shape[1], ld = <int>self.m
        cdef double one = 1.0
        if not width:
            return
        with nogil:
            for c in range(self.rest.n_components):
                order = <int>(self.rest.start[c + 1] - self.rest.start[c])
                dtrsm("L", "L", transposed, "N", &order, &width, &one,
                      &self.dense_[self.rest.offset[c]], &order, &B[self.rest.start[c], 0], &ld)

    def back_substitute(self, const double[:, :, ::1] B, const double[:, ::1] W):
        """Return the right-hand sides of the eliminated factor, B - A_1r W, (J,k,r)."""
        if (B.shape[0] != self.border.n_levels or B.shape[1] != self.border.k
                or W.shape[0] != self.m or W.shape[1] != B.shape[2]):
            raise ValueError("back_substitute: B (J,k,r), W (m,r)")
        out = np.empty((B.shape[0], B.shape[1], B.shape[2]))
        cdef double[:, :, ::1] out_ = out
        if out.size:
            with nogil:
                mf_border_back_substitute(
                    &self.border, B.shape[2], &B[0, 0, 0], &W[0, 0], &out_[0, 0, 0])
        return out

    def multiply(self, const double[::1, :] X, bint upper):
        """Return S X (upper) or Q X (lower, after `invert`) for X (m,r) in Fortran order."""
        cdef int64_t c, size
        cdef int order, width = <int>X.shape[1], ld = <int>self.m
        cdef double one = 1.0, zero = 0.0
        cdef double *D
        if X.shape[0] != self.m:
            raise ValueError("multiply: X (m,r)")
        self.require(NOTHING if upper else INVERSE, "multiply")
        out = np.empty((self.m, X.shape[1]), order="F")
        cdef double[::1, :] out_ = out
        if not width:
            return out
        with nogil:
            for c in range(self.rest.n_components):
                size = self.rest.start[c + 1] - self.rest.start[c]
                order = <int>size
                D = &self.dense_[self.rest.offset[c]]
                if upper:
                    swap_diagonal(D, size, &self.diagonal_[self.rest.start[c]])
                dsymm("L", "U" if upper else "L", &order, &width, &one, D, &order,
                      <double *>&X[self.rest.start[c], 0], &ld, &zero,
                      &out_[self.rest.start[c], 0], &ld)
                if upper:
                    swap_diagonal(D, size, &self.diagonal_[self.rest.start[c]])
        return out

    # -- blocks of Q and of K = Z'V^-1 Z ----------------------------------------------------------

    def blocks_q(self):
        """Return the diagonal blocks of Q, one after the other."""
        self.require(INVERSE, "blocks_q")
        blocks = np.empty(self.blocks_size)
        cdef double[::1] out = blocks
        with nogil:
            mf_rest_extract_blocks(&self.rest, &self.dense_[0], &out[0])
        return blocks

    def blocks_k(self, const double[::1] inverses, double[::1] blocks):
        """Replace the blocks that `invert` gave by those of K = lambda^-T (I - M^-1) lambda^-1.

        inverses: lambda^-1 of each factor, packed as `lambdas` were.
        """
        if blocks.shape[0] != self.blocks_size or inverses.shape[0] < self.lambdas_size:
            raise ValueError("blocks_k: inverses as lambdas, blocks k*k numbers per level")
        with nogil:
            mf_rest_blocks_k(&self.rest, &inverses[0], &blocks[0])

    def blocks_k_singular(self, const uint8_t[::1] wanted, double[::1] blocks):
        """Compute the diagonal blocks of K = S - S Q S for the levels wanted, for any lambda."""
        cdef int64_t n_levels = self.rest.level_start[self.rest.n_components]
        if wanted.shape[0] != n_levels or blocks.shape[0] != self.blocks_size:
            raise ValueError(
                "blocks_k_singular: wanted has one entry per level, blocks k*k numbers per level")
        self.require(INVERSE, "blocks_k_singular")
        cdef double[::1] work = np.empty(2 * self.largest)
        with nogil:
            mf_rest_blocks_k_singular(
                &self.rest, &self.dense_[0], &self.diagonal_[0], &wanted[0], &blocks[0], &work[0])

    def project(self, const double[:, :, ::1] A, const double[:, :, ::1] T):
        """Return H (nnz,k) = (I - A T'T) A_1r on the pattern of A_1r; T as given to `factor`."""
        self.check_levels(A, "project: A (J,k,k)")
        self.check_levels(T, "project: T (J,k,k)")
        self.require(NOTHING, "project")
        out = np.empty((self.TV_.shape[0], self.TV_.shape[1]))
        cdef double[:, ::1] H = out
        if H.shape[0]:
            with nogil:
                mf_border_project(
                    &self.border, &A[0, 0, 0], &T[0, 0, 0], &self.TV_[0, 0], &H[0, 0])
        return out

    def subtract_k(self, const double[:, ::1] H, double[:, :, ::1] K, share=at_once):
        """Subtract H_j Q H_j' from the blocks K_j (J,k,k) of the eliminated factor, in place."""

        def part(int64_t first, int64_t last):
            with nogil:
                mf_border_subtract_k(
                    &self.border, &H[0, 0], &self.dense_[0], first, last, &K[0, 0, 0])

        self.check_levels(K, "subtract_k: K (J,k,k)")
        if H.shape[0] != self.TV_.shape[0] or H.shape[1] != self.border.k:
            raise ValueError("subtract_k: H (nnz,k)")
        self.require(INVERSE, "subtract_k")
        if H.shape[0]:
            share(part, self.level_work)

    def cross(
        self, const double[:, :, ::1] A, const double[:, :, ::1] T, const double[:, :, ::1] B,
        const double[:, :, ::1] U, const double[:, ::1] v, const double[:, ::1] F, int32_t own,
    ):
        """Compute F'V_1^-1 F and [X y]'V_1^-1 Z F, with the eliminated factor as the only one.

        F has v spread (see `mixedfast.engines.layout.spread`) in its k*k columns from `own` on for
        the eliminated factor, and the rows `F` (m,width) for the rest. B (J,k,r) and U = T B are
        the products with [X y]; T as given to `factor`. The caller subtracts the part of Q.

        Returns
        -------
        F'V_1^-1 F (width, width), [X y]'V_1^-1 Z F (r, width), Z_r'V_1^-1 Z F (m, width)
        """
        cdef int32_t width = F.shape[1], r = B.shape[2], k = self.border.k
        cdef int64_t J = self.border.n_levels
        self.check_levels(A, "cross: A (J,k,k)")
        self.check_levels(T, "cross: T (J,k,k)")
        if not (B.shape[0] == U.shape[0] == J and B.shape[1] == U.shape[1] == k
                and U.shape[2] == r):
            raise ValueError("cross: B and U (J,k,r)")
        if (v.shape[0] != J or v.shape[1] != k or F.shape[0] != self.m
                or not 0 <= own <= width - k * k):
            raise ValueError("cross: v (J,k), F (m,width) with k*k columns from own on")
        self.require(NOTHING, "cross")
        rest, cross = np.zeros((self.m, width)), np.zeros((r, width))
        cdef double[:, ::1] rest_ = rest, cross_ = cross
        cdef double[::1] work = np.empty(mf_border_cross_work(k, width, r))
        if self.base.shape[0]:
            with nogil:
                mf_border_multiply_rest(
                    &self.border, self.base.shape[0], &self.base_at[0], &self.base[0], width,
                    &F[0, 0], &rest_[0, 0])
        FKF = np.dot(F.base.T, rest)
        cdef double[:, ::1] FKF_ = FKF
        cdef mf_spread spread
        if J and r:
            spread.width, spread.own, spread.r = width, own, r
            spread.A, spread.T = &A[0, 0, 0], &T[0, 0, 0]
            spread.TV = &self.TV_[0, 0] if self.TV_.shape[0] else NULL
            spread.B, spread.U, spread.v = &B[0, 0, 0], &U[0, 0, 0], &v[0, 0]
            spread.rest_F = &F[0, 0]
            with nogil:
                mf_border_cross(
                    &self.border, &spread, &FKF_[0, 0], &cross_[0, 0], &rest_[0, 0], &work[0])
        return FKF, cross, rest
