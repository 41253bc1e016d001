# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The small dense algebra of one theta: what a search does a few times an evaluation on matrices of a few rows.

Every function has a NumPy twin of the same name in ``_reference.py``.
"""

from libc.math cimport fabs, isfinite, sqrt
from libc.stdint cimport int64_t
from scipy.linalg.cython_lapack cimport dpotrf, dsyev, dtrtri

import numpy as np


def solved(const double[:, ::1] S):
    """What [X y]'V0^-1[X y] (p+1,p+1) says of X and y, or None when it is not numerically positive definite.

    Returns
    -------
    LX (p,p) lower Cholesky factor of X'V0^-1 X, W = LX^-T (p,p) upper triangular, beta (p,), r = the residual's norm.
    """
    cdef int n = <int>S.shape[0], p = n - 1, info = 0
    cdef int i, j
    cdef double residual, total
    if S.shape[1] != n or n < 1:
        raise ValueError("solved: S (p+1,p+1)")
    R, LX, W, beta = np.empty((n, n)), np.zeros((p, p)), np.zeros((p, p)), np.empty(p)
    cdef double[:, ::1] R_ = R, LX_ = LX, W_ = W
    cdef double[::1] beta_ = beta
    R_[:, :] = S
    dpotrf("U", &n, &R_[0, 0], &n, &info)  # rows are LAPACK's columns: its upper triangle is the lower one here
    residual = R_[p, p]
    if info or not isfinite(residual):
        return None
    for i in range(p):
        for j in range(i + 1):
            LX_[i, j] = W_[j, i] = R_[i, j]
    if p:
        dtrtri("L", "N", &p, &W_[0, 0], &p, &info)
        if info:
            return None
    for i in range(p - 1, -1, -1):
        total = R_[p, i]
        for j in range(i + 1, p):
            total -= LX_[j, i] * beta_[j]
        beta_[i] = total / LX_[i, i]
    return LX, W, beta, residual


def newton_step(const double[::1] gradient, const double[:, ::1] hessian, double floor):
    """A descent step (m,) and the decrease it promises, from the sizes of the eigenvalues of the scaled Hessian; those below
    `floor` times the largest are raised to it."""
    cdef int m = <int>gradient.shape[0], info = 0, lwork = max(1, 8 * <int>gradient.shape[0])
    cdef int i, j
    cdef double along, largest = 1e-300, promised = 0.0, size
    if hessian.shape[0] != m or hessian.shape[1] != m:
        raise ValueError("newton_step: gradient (m,), hessian (m,m)")
    for i in range(m):
        for j in range(m):
            if not isfinite(hessian[i, j]):
                raise np.linalg.LinAlgError("the Hessian is not finite")
    step = np.zeros(m)
    cdef double[::1] step_ = step, scale = np.empty(m), values = np.empty(m), work = np.empty(lwork)
    cdef double[:, ::1] vectors = np.empty((m, m))  # eigenvectors come as rows
    if m == 0:
        return step, 0.0
    for i in range(m):
        scale[i] = 1.0 / sqrt(max(fabs(hessian[i, i]), 1e-300))
    for i in range(m):
        for j in range(m):
            vectors[i, j] = hessian[i, j] * scale[i] * scale[j]
    dsyev("V", "U", &m, &vectors[0, 0], &m, &values[0], &work[0], &lwork, &info)
    if info:
        raise np.linalg.LinAlgError("eigenvalues of the Hessian did not converge")
    for i in range(m):
        largest = max(largest, fabs(values[i]))
    for i in range(m):
        along = 0.0
        for j in range(m):
            along += vectors[i, j] * scale[j] * gradient[j]
        size = max(fabs(values[i]), floor * largest)
        promised += 0.5 * along * along / size
        for j in range(m):
            step_[j] -= scale[j] * vectors[i, j] * along / size
    return step, promised


cdef bint within(const int64_t[:, ::1] places, int64_t K):
    cdef int64_t a, i
    cdef bint good = places.shape[0] == 2
    if good:
        for a in range(2):
            for i in range(places.shape[1]):
                good &= 0 <= places[a, i] < K
    return good


def theta_hessian(const double[:, :, ::1] lambda_g, const double[:, :, ::1] lambda_h, const double[:, :, :, :, ::1] H,
                  const int64_t[:, ::1] places_g, const int64_t[:, ::1] places_h):
    """sum_abcd H[a,b,c,d] (dH_g/dtheta_i)[a,b] (dH_h/dtheta_j)[c,d] for H_g = lambda_g lambda_g', (N,m_g,m_h).

    lambda (N,K,K), H (N,K_g,K_g,K_h,K_h), places (2,m): row and column of each theta within its group.
    """
    cdef int64_t N = H.shape[0], Kg = H.shape[1], Kh = H.shape[3], mg = places_g.shape[1], mh = places_h.shape[1]
    cdef int64_t n, i, j, b, c, d, row, column
    cdef double total, scale
    if not (H.shape[2] == Kg == lambda_g.shape[1] == lambda_g.shape[2] and H.shape[4] == Kh == lambda_h.shape[1]
            == lambda_h.shape[2] and lambda_g.shape[0] == N == lambda_h.shape[0]):
        raise ValueError("theta_hessian: lambda (N,K,K) of two groups, H (N,K,K,k,k)")
    if not (within(places_g, Kg) and within(places_h, Kh)):
        raise IndexError("theta_hessian: places (2,m) within the group's columns")
    out = np.empty((N, mg, mh))
    cdef double[:, :, ::1] out_ = out
    cdef double[:, ::1] left = np.empty((Kh, Kh))
    with nogil:
        for n in range(N):
            for i in range(mg):
                row, column = places_g[0, i], places_g[1, i]
                left[:, :] = 0.0
                for b in range(Kg):  # dH = e_row lambda_column' + lambda_column e_row'
                    scale = lambda_g[n, b, column]
                    for c in range(Kh):
                        for d in range(Kh):
                            left[c, d] += scale * (H[n, row, b, c, d] + H[n, b, row, c, d])
                for j in range(mh):
                    total = 0.0
                    for d in range(Kh):
                        scale = lambda_h[n, d, places_h[1, j]]
                        total += (left[places_h[0, j], d] + left[d, places_h[0, j]]) * scale
                    out_[n, i, j] = total
    return out
