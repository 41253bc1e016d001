"""Pivots of cross-products: which columns earlier ones leave something of.

NumPy twins are in ``tests/helpers/reference_kernels.py``.
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


def column_sizes(const double[:, :] products, const double[:] ones, const double[:] shift,
                 int intercept, double tolerance):
    """Compute sums of squares of columns about the mean and about zero, (p,) each.

    Parameters
    ----------
    products : (p, p) array
        Of the shifted columns.
    ones : (p,) array
        The constant 1 in these columns.
    shift : (p,) array
        In units of the scaled columns.
    intercept : int
        The place of the constant column; -1 where there is none: both sums are then about zero.
    tolerance : float
        A column is constant, and its size infinite, when at most this share of its sum of squares
        is about the mean.
    """
    cdef Py_ssize_t p = products.shape[0], i, j
    cdef double total, n = 0.0, own
    if products.shape[1] != p or ones.shape[0] != p or shift.shape[0] != p or intercept >= p:
        raise ValueError("column_sizes: products (p,p), ones and shift (p,)")
    about_mean, about_zero = np.empty(p), np.empty(p)
    cdef double[::1] size = about_mean, whole = about_zero
    for j in range(p):
        total = 0.0
        for i in range(p):
            total += ones[i] * products[i, j]
        whole[j] = 2.0 * shift[j] * total
        n += total * ones[j]
    for j in range(p):
        size[j] = products[j, j]
        whole[j] += size[j] + shift[j] * shift[j] * n
        if intercept >= 0 and j != intercept:
            own = products[intercept, j]
            size[j] -= own * own / products[intercept, intercept]
            if size[j] <= tolerance * products[j, j]:
                size[j] = np.inf
    return about_mean, about_zero
