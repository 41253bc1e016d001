"""Kernels on a column: whether it is finite, and which whole numbers it holds.

Every function has a NumPy twin of the same name in ``tests/helpers/reference_kernels.py``.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stddef cimport ptrdiff_t

import numpy as np

cdef extern from "mf_codes.h" nogil:
    int mf_all_finite(const char *, ptrdiff_t, int64_t, int)
    int64_t mf_factorize(const char *, ptrdiff_t, int64_t, int, int64_t, int64_t, int32_t *, int32_t *)
    void mf_mark_occurring(const char *, ptrdiff_t, int64_t, int, int64_t, int64_t, uint8_t *)

_KINDS = {"f8": 0, "f4": 1, "i8": 2, "i4": 3, "i2": 4, "i1": 5, "u1": 6, "b1": 6}


def all_finite(values):
    """Return whether all numbers of a float32 or float64 array (n,), of any stride, are finite."""
    cdef int kind = -1 if values.ndim != 1 else _KINDS.get(values.dtype.str[1:], -1)
    cdef const char *at = <const char *><size_t>values.__array_interface__["data"][0]
    cdef ptrdiff_t stride = values.strides[0]
    cdef int64_t n = values.shape[0]
    cdef int finite
    if kind not in (0, 1) or values.dtype.str[0] == ">":
        raise TypeError(f"all_finite: dtype {values.dtype}, {values.ndim} dimensions")
    with nogil:
        finite = mf_all_finite(at, stride, n, kind)
    return bool(finite)


cdef int kind_of_integers(values, int64_t size) except -1:
    """Return the kind of an array of whole numbers; raise for others and for too large a range."""
    cdef int kind = -1 if values.ndim != 1 else _KINDS.get(values.dtype.str[1:], -1)
    if kind < 2 or values.dtype.str[0] == ">":
        raise TypeError(f"dtype {values.dtype}, {values.ndim} dimensions: not whole numbers of a kind that kernels read")
    if not 0 <= size < 2**31:
        raise ValueError(f"a range of {size} values")
    return kind


def factorize_integers(values, int64_t low, int64_t size):
    """Number the integers low .. low + size - 1 that occur in an array (n,), in order.

    Returns
    -------
    codes (n,) int32
        -1 for values outside the range.
    used (J,) int64
        The integers that occur.
    """
    cdef int kind = kind_of_integers(values, size)
    cdef const char *at = <const char *><size_t>values.__array_interface__["data"][0]
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
    """Return the integers (J,) among low .. low + size - 1 that occur in an array (n,), in order."""
    cdef int kind = kind_of_integers(values, size)
    cdef const char *at = <const char *><size_t>values.__array_interface__["data"][0]
    cdef ptrdiff_t stride = values.strides[0]
    cdef int64_t n = values.shape[0]
    seen = np.empty(size + 1, dtype=np.uint8)
    cdef uint8_t[::1] seen_ = seen
    with nogil:
        mf_mark_occurring(at, stride, n, kind, low, size, &seen_[0])
    return np.flatnonzero(seen[:size]) + low
