"""Pivots of cross-products: which columns earlier ones leave something of.

The NumPy twin is in ``tests/helpers/reference_kernels.py``.
"""

import numpy as np

#: Kinds of columns: rounding has hidden what is left, or little is left, or enough, or it is left
#: out of the count.
HIDDEN, COLLINEAR, CLEAR, NOT_COUNTED = range(4)


def classify_columns(const double[:, :] products, const double[:] low, const double[:] high,
                     counted=None):
    """Compute `mixedfast.crossprod.pivots.classify_columns` for a few columns."""
    cdef Py_ssize_t k = products.shape[0], i, j, column
    cdef double ratio
    if products.shape[1] != k or low.shape[0] != k or high.shape[0] != k:
        raise ValueError("classify_columns: products (k,k), low and high (k,)")
    left, kinds = np.array(products, order="C"), np.zeros(k, dtype=np.int64)
    cdef double[:, ::1] G = left
    cdef long long[::1] kinds_ = kinds
    for column in range(k):
        if not G[column, column] > low[column]:
            continue
        if G[column, column] > high[column]:
            if counted is not None and not counted[column]:
                kinds_[column] = 3
                continue
            kinds_[column] = 2
        else:
            kinds_[column] = 1
        for i in range(column + 1, k):
            ratio = G[i, column] / G[column, column]
            for j in range(column + 1, k):
                G[i, j] -= ratio * G[column, j]
    return kinds
