"""Scans of one column of numbers: are they finite, and which integers occur?

Every function has a NumPy twin of the same name in ``tests/helpers/reference_kernels.py``.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

from mixedfast.data._kinds cimport MF_F32, MF_F64, kind_of, mf_kind

import numpy as np

cdef extern from "mf_codes.h" nogil:
    int mf_all_finite(const char *values, ptrdiff_t stride, int64_t n, mf_kind kind)
    int64_t mf_factorize(
        const char *values, ptrdiff_t stride, int64_t n, mf_kind kind, int64_t low, int64_t size,
        int32_t *codes, int32_t *table)
    void mf_mark_occurring(
        const char *values, ptrdiff_t stride, int64_t n, mf_kind kind, int64_t low, int64_t size,
        uint8_t *seen)


cdef const char *address_of(values) except? NULL:
    """Return where an array begins; it may be read-only."""
    return <const char *><size_t>values.__array_interface__["data"][0]


def all_finite(values):
    """Return whether every number of a float32 or float64 array (n,), any stride, is finite."""
    cdef int kind = kind_of(values) if values.ndim == 1 else -1
    cdef const char *at = address_of(values)
    cdef ptrdiff_t stride
    cdef int64_t n = values.shape[0]
    cdef int finite
    if kind not in (MF_F64, MF_F32):
        raise TypeError(
            f"all_finite takes float32 or float64 of one dimension, "
            f"not {values.dtype} of {values.ndim} dimensions")
    stride = values.strides[0]
    with nogil:
        finite = mf_all_finite(at, stride, n, <mf_kind>kind)
    return bool(finite)


cdef mf_kind kind_of_integers(values, int64_t size) except? MF_F64:
    """Check an array of integers and the size of their range; return the kind of the array."""
    cdef int kind = kind_of(values) if values.ndim == 1 else -1
    if kind in (-1, MF_F64, MF_F32):
        raise TypeError(
            f"integers to be numbered must be signed, uint8 or bool, and of one dimension, "
            f"not {values.dtype} of {values.ndim} dimensions")
    if not 0 <= size < 2**31:
        raise ValueError(f"a range of {size} integers; it must have 0 to 2**31 - 1")
    return <mf_kind>kind


def factorize_integers(values, int64_t low, int64_t size):
    """Number the integers low .. low + size - 1 that occur in an array (n,), in ascending order.

    Returns
    -------
    codes (n,) int32
        -1 for values outside the range.
    used (J,) int64
        The integers that occur.
    """
    cdef mf_kind kind = kind_of_integers(values, size)
    cdef const char *at = address_of(values)
    cdef ptrdiff_t stride = values.strides[0]
    cdef int64_t n = values.shape[0], found = 0
    codes, table = np.empty(n, dtype=np.int32), np.empty(size + 1, dtype=np.int32)
    cdef int32_t[::1] codes_ = codes, table_ = table
    with nogil:
        found = mf_factorize(at, stride, n, kind, low, size, &codes_[0] if n else NULL, &table_[0])
    if found == size:
        return codes, np.arange(size) + low
    return codes, np.flatnonzero(table[:size] >= 0) + low


def unique_integers(values, int64_t low, int64_t size):
    """Return the integers low .. low + size - 1 that occur in an array (n,), ascending: (J,)."""
    cdef mf_kind kind = kind_of_integers(values, size)
    cdef const char *at = address_of(values)
    cdef ptrdiff_t stride = values.strides[0]
    cdef int64_t n = values.shape[0]
    seen = np.empty(size + 1, dtype=np.uint8)
    cdef uint8_t[::1] seen_ = seen
    with nogil:
        mf_mark_occurring(at, stride, n, kind, low, size, &seen_[0])
    return np.flatnonzero(seen[:size]) + low
