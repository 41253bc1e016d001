"""The part of CHOLMOD that mixedfast uses.

Only fields that are used are declared: the C compiler reads the real header and lays the structs
out, so that one source compiles from CHOLMOD 3.0 (SuiteSparse 5) to 5.x (SuiteSparse 7). Integer
arrays are `void *` here for the same reason: CHOLMOD calls their element type `SuiteSparse_long`
before version 4 and `int64_t` from there on.
"""

from libc.stdint cimport int64_t


cdef extern from "cholmod.h" nogil:
    # xtype, itype and dtype of the objects made here: real, 64-bit indices, double
    int CHOLMOD_PATTERN, CHOLMOD_REAL, CHOLMOD_LONG, CHOLMOD_DOUBLE
    # Common.status
    int CHOLMOD_NOT_INSTALLED, CHOLMOD_OUT_OF_MEMORY, CHOLMOD_TOO_LARGE
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
        void *super                       # supernodal: see csrc/mf_selinv.h
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


cdef inline (double *, int64_t, int64_t) block_of(
    const cholmod_factor *factor, int64_t s,
) noexcept nogil:
    """Return the values of supernode s and its numbers of columns and rows."""
    cdef int64_t *first = <int64_t *> factor.super
    cdef int64_t *pi = <int64_t *> factor.pi
    cdef int64_t *px = <int64_t *> factor.px
    return (<double *> factor.x + px[s], first[s + 1] - first[s], pi[s + 1] - pi[s])


cdef inline (int64_t *, double *, int64_t) column_of(
    const cholmod_factor *factor, int64_t j, int64_t s,
) noexcept nogil:
    """Return the rows and the values of column j of L, and their number.

    s: the supernode of the column, whose rows all count; below 0 in a simplicial factor.
    """
    cdef double *block
    cdef int64_t _columns, rows, begin
    if s >= 0:
        block, _columns, rows = block_of(factor, s)
        block += (j - (<int64_t *> factor.super)[s]) * rows
        return (<int64_t *> factor.s + (<int64_t *> factor.pi)[s], block, rows)
    begin = (<int64_t *> factor.p)[j]
    rows = (<int64_t *> factor.nz)[j]
    return (<int64_t *> factor.i + begin, <double *> factor.x + begin, rows)
