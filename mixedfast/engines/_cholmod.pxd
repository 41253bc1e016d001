"""What mixedfast uses of CHOLMOD, and the selected inverse built on its factors.

Only the struct fields used are declared, so that the C compiler, which reads the real header,
lays the structs out. That is what makes one source compile from CHOLMOD 3.0 (SuiteSparse 5)
to 5.x (SuiteSparse 7). Integer arrays are `void *` here for the same reason: CHOLMOD calls
their element type `SuiteSparse_long` before version 4 and `int64_t` after it.
"""

from libc.stdint cimport int64_t


cdef extern from "cholmod.h" nogil:
    # xtype, itype, dtype of the objects we make: real, 64-bit indices, double.
    int CHOLMOD_PATTERN, CHOLMOD_REAL, CHOLMOD_LONG, CHOLMOD_DOUBLE
    # Common.status
    int CHOLMOD_OK, CHOLMOD_NOT_INSTALLED, CHOLMOD_OUT_OF_MEMORY, CHOLMOD_TOO_LARGE, CHOLMOD_NOT_POSDEF
    # Common.method[0].ordering
    int CHOLMOD_NATURAL, CHOLMOD_GIVEN, CHOLMOD_AMD, CHOLMOD_METIS
    # Common.supernodal
    int CHOLMOD_SIMPLICIAL, CHOLMOD_SUPERNODAL
    # systems of cholmod_l_solve2; with an LL' factor CHOLMOD_LDLt means LL'x = b
    int CHOLMOD_LDLt, CHOLMOD_L, CHOLMOD_Lt

    cdef struct cholmod_method_struct:
        int ordering

    ctypedef struct cholmod_common:
        int print_level "print"
        int try_catch                     # true: no error handler, no message
        int nmethods, postorder
        cholmod_method_struct method[1]
        int supernodal
        int final_asis, final_ll, final_pack
        int quick_return_if_not_posdef
        int useGPU
        int status
        double fl, lnz                    # flops and nonzeros of L, from the last analysis

    ctypedef struct cholmod_sparse:       # compressed columns
        size_t nrow, ncol, nzmax
        void *p
        void *i
        void *nz
        void *x
        void *z
        int stype                         # > 0: upper triangle stored, < 0: lower
        int itype, xtype, dtype
        int sorted, packed

    ctypedef struct cholmod_dense:        # column-major
        size_t nrow, ncol, nzmax, d
        void *x

    ctypedef struct cholmod_factor:
        size_t n, minor                   # minor < n: the column that had no positive pivot
        void *Perm
        void *p                           # simplicial: column starts, row indices, counts
        void *i
        void *nz
        void *x                           # values, simplicial or supernodal
        size_t nzmax
        size_t nsuper, xsize
        void *super                       # supernodal: see csrc/selinv.h
        void *pi
        void *px
        void *s
        int is_ll, is_super, xtype

    int cholmod_l_start(cholmod_common *)
    int cholmod_l_finish(cholmod_common *)
    int cholmod_l_version(int version[3])
    cholmod_factor *cholmod_l_analyze_p(
        cholmod_sparse *, void *perm, void *fset, size_t fsize, cholmod_common *)
    int cholmod_l_factorize(cholmod_sparse *, cholmod_factor *, cholmod_common *)
    int cholmod_l_free_factor(cholmod_factor **, cholmod_common *)
    cholmod_dense *cholmod_l_ensure_dense(
        cholmod_dense **, size_t nrow, size_t ncol, size_t d, int xtype, cholmod_common *)
    int cholmod_l_free_dense(cholmod_dense **, cholmod_common *)
    int cholmod_l_solve2(
        int system, cholmod_factor *, cholmod_dense *b, cholmod_sparse *b_set, cholmod_dense **x,
        cholmod_sparse **x_set, cholmod_dense **y, cholmod_dense **e, cholmod_common *)


cdef inline (double *, int64_t, int64_t) block_of(const cholmod_factor *factor, int64_t s) noexcept nogil:
    """Values of supernode s, and how many columns and rows it has."""
    cdef int64_t *first = <int64_t *> factor.super
    cdef int64_t *pi = <int64_t *> factor.pi
    cdef int64_t *px = <int64_t *> factor.px
    return (<double *> factor.x + px[s], first[s + 1] - first[s], pi[s + 1] - pi[s])


cdef inline (int64_t *, double *, int64_t) column_of(const cholmod_factor *factor, int64_t j, int64_t s) noexcept nogil:
    """Rows and values of column j of L, and how many; all of its supernode s's, or s < 0 where there are none."""
    cdef double *block
    cdef int64_t columns, rows, begin
    if s >= 0:
        block, columns, rows = block_of(factor, s)
        block += (j - (<int64_t *> factor.super)[s]) * rows
        return (<int64_t *> factor.s + (<int64_t *> factor.pi)[s], block, rows)
    begin = (<int64_t *> factor.p)[j]
    rows = (<int64_t *> factor.nz)[j]
    return (<int64_t *> factor.i + begin, <double *> factor.x + begin, rows)


cdef extern from "mf_selinv.h" nogil:
    ctypedef struct mf_selinv_blas:
        void (*dtrsm)(char *, char *, char *, char *, int *, int *, double *, double *, int *, double *,
                      int *) noexcept nogil
        void (*dsymm)(char *, char *, int *, int *, double *, double *, int *, double *, int *, double *,
                      double *, int *) noexcept nogil
        void (*dgemm)(char *, char *, int *, int *, int *, double *, double *, int *, double *, int *,
                      double *, double *, int *) noexcept nogil
        void (*dpotri)(char *, int *, double *, int *, int *) noexcept nogil

    ctypedef struct mf_selinv_supernodes:
        int64_t n_super
        const int64_t *super
        const int64_t *pi
        const int64_t *px
        const int64_t *rows
        const int64_t *owner

    void mf_selinv_simplicial(
        int64_t n, const int64_t *p, const int64_t *nz, const int64_t *row, const double *l, double *z,
        double *work)
    void mf_selinv_supernodal_sizes(const mf_selinv_supernodes *, int64_t *work, int64_t *index)
    int64_t mf_selinv_supernodal(
        const mf_selinv_supernodes *, const double *l, double *z, double *work, int64_t *index,
        const mf_selinv_blas *)
