"""Several grouping factors, for other Cython code: csrc/mf_schur.h, csrc/mf_rest.h and `Border`."""

from libc.stdint cimport int32_t, int64_t, uint8_t


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
    ctypedef struct mf_spread:
        int32_t width, own, r
        const double *A
        const double *T
        const double *TV
        const double *B
        const double *U
        const double *v
        const double *rest_F
    void mf_border_scale(const mf_border *border, const double *T, double *TV)
    void mf_schur_update(
        const mf_border *border, const double *TV, int64_t first_column, int64_t last_column,
        double *dense)
    void mf_schur_rhs(
        const mf_border *border, const double *TV, int32_t r, const double *U, double *rest)
    void mf_border_back_substitute(
        const mf_border *border, int32_t r, const double *B, const double *W, double *out)
    void mf_border_project(
        const mf_border *border, const double *A, const double *T, const double *TV, double *H)
    void mf_border_subtract_k(
        const mf_border *border, const double *H, const double *dense, int64_t first_level,
        int64_t last_level, double *K)
    int64_t mf_border_cross_work(int32_t k, int32_t width, int32_t r)
    void mf_border_cross(
        const mf_border *border, const mf_spread *spread, double *FKF, double *cross, double *rest,
        double *work)
    void mf_border_multiply_rest(
        const mf_border *border, int64_t count, const int64_t *at, const double *values,
        int32_t width, const double *F, double *out)

cdef extern from "mf_rest.h" nogil:
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
    void mf_rest_scale(
        const mf_rest *rest, int64_t first_level, int64_t last_level, double *dense,
        double *diagonal)
    void mf_rest_sandwich(
        const mf_rest *rest, int64_t first_level, int64_t last_level, double *dense)
    void mf_rest_multiply_lambda_t(
        const mf_rest *rest, int32_t r, const double *rows, double *out)
    void mf_rest_multiply_lambda(
        const mf_rest *rest, int32_t r, const double *columns, double *out)
    void mf_rest_extract_blocks(const mf_rest *rest, const double *dense, double *blocks)
    void mf_rest_blocks_k(const mf_rest *rest, const double *inverses, double *blocks)
    void mf_rest_blocks_k_singular(
        const mf_rest *rest, const double *dense, const double *diagonal, const uint8_t *wanted,
        double *blocks, double *work)


cdef class Border:
    cdef mf_border border                 # A_1r; its pointers lead to arrays below and in `keep`
    cdef mf_rest rest                     # the levels of the rest
    cdef list keep
    cdef const double[:, ::1] vals        # (nnz, k): values of A_1r
    cdef const int64_t[::1] base_at       # (e): places of the entries of A_rr in `dense`
    cdef const double[::1] base           # (e): their values
    cdef const double[::1] lambdas        # given to `factor`; `invert` reads it again
    cdef readonly object dense            # all dense blocks: S above the diagonal, its factor below
    cdef readonly object diagonal         # (m): the diagonal of S
    cdef readonly object TV               # (nnz, k): T times A_1r
    cdef double[::1] dense_, diagonal_
    cdef double[:, ::1] TV_
    cdef readonly int64_t m               # columns of the rest
    cdef readonly int64_t n_components
    cdef readonly object offsets, sizes   # where each dense block begins, and its order
    cdef int holds                        # what stands below the diagonal of `dense`
    cdef int64_t largest                  # order of the largest block
    cdef int64_t blocks_size              # numbers of the diagonal blocks of all levels
    cdef int64_t lambdas_size             # least length of `lambdas`
    cdef object column_work               # work of each column of S in `factor`
    cdef object row_work                  # work of the rows of each level of the rest
    cdef object level_work                # work of each eliminated level in `subtract_k`

    cdef void begin(self, const double[:, :, ::1] T) noexcept
    # 0, or 1 + the component that is not positive definite (or has no inverse)
    cdef int64_t factor_small(self, int64_t largest, bint inverse) noexcept
    cdef double logdet(self)
    cdef int require(self, int held, name) except -1
    cdef scale_rows(self, const double[:, ::1] rows, name)
    cdef void solve_triangular(self, double[::1, :] B, char *transposed) noexcept
    cdef int check_levels(self, const double[:, :, ::1] blocks, message) except -1
