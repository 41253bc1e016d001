"""Columns of [Z X y] for other Cython code (csrc/mf_columns.h says how a column is described)."""

from libc.stdint cimport int32_t, int64_t

from mixedfast.data._kinds cimport mf_kind, mf_status


cdef extern from "mf_columns.h" nogil:
    int MF_TILE                           # rows evaluated at a time
    ctypedef struct mf_factor:
        const char *values
        ptrdiff_t stride                  # bytes between rows
        mf_kind kind
        const double *table               # for MF_CODED
        int64_t table_length
    ctypedef struct mf_column:
        const mf_factor *factors
        int32_t n_factors                 # 0: the constant 1
        double shift, scale
    mf_status mf_evaluate(
        const mf_column *column, const int32_t *rows, int64_t first, int count,
        const double *sqrt_weights, double *out)


cdef class ColumnPool:
    cdef mf_column *columns               # (size)
    cdef mf_factor *factors               # of all columns, one after the other
    cdef readonly int32_t size
    cdef readonly int64_t n               # rows
    cdef const double *sqrt_weights       # (n), or NULL
    cdef list keep                        # arrays and tables that the pointers lead to
