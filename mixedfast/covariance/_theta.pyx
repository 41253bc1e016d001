"""Small dense algebra at one theta, on matrices of a few rows.

A search calls these functions a few times per evaluation. Every function has a NumPy twin of the
same name in ``tests/helpers/reference_kernels.py``.
"""

from libc.math cimport fabs, isfinite, sqrt
from libc.stdint cimport int64_t
from scipy.linalg.cython_lapack cimport dpotrf, dsyev, dtrtri

import numpy as np

#: Least divisor of quotients and scales of numbers that may be zero; far below any number in data.
SMALLEST_DIVISOR = 1e-300
cdef double smallest_divisor = SMALLEST_DIVISOR


def solve_normal_equations(const double[:, ::1] S):
    """Solve the normal equations of the fixed effects from S = [X y]'V0^-1[X y] (p+1,p+1).

    Returns
    -------
    tuple or None
        LX (p,p), the lower Cholesky factor of X'V0^-1 X; W = LX^-T (p,p), upper triangular; beta
        (p,); r, the norm of the residual. None when S is not numerically positive definite, or not
        finite.
    """
    cdef int n = <int>S.shape[0], p = n - 1, info = 0
    cdef int i, j
    cdef double residual, total
    if S.shape[1] != n or n < 1:
        raise ValueError("solve_normal_equations: S (p+1,p+1)")
    R, LX, W, beta = np.empty((n, n)), np.zeros((p, p)), np.zeros((p, p)), np.empty(p)
    cdef double[:, ::1] R_ = R, LX_ = LX, W_ = W
    cdef double[::1] beta_ = beta
    R_[:, :] = S
    # rows are columns to LAPACK: its upper triangle is the lower one here
    dpotrf("U", &n, &R_[0, 0], &n, &info)
    residual = R_[p, p]
    if info:
        return None
    for i in range(n):  # an infinity in S always reaches a pivot, but perhaps no other number
        if not isfinite(R_[i, i]):
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


def lower_inverse(const double[:, ::1] L):
    """Return L^-1 of a lower triangular L (k,k) without zeros on its diagonal."""
    cdef int64_t k = L.shape[0], i, j, c
    cdef double total
    if L.shape[1] != k:
        raise ValueError("lower_inverse: L (k,k)")
    out = np.zeros((k, k))
    cdef double[:, ::1] X = out
    with nogil:
        for j in range(k):
            X[j, j] = 1.0 / L[j, j]
            for i in range(j + 1, k):
                total = 0.0
                for c in range(j, i):
                    total -= L[i, c] * X[c, j]
                X[i, j] = total / L[i, i]
    return out


def solve_moment_equations(const double[:, ::1] equations, const double[::1] right, double rcond):
    """Solve equations E g = r (n,n) of least squares, E symmetric; g (n,).

    Scaled to a unit diagonal; unknowns without a positive diagonal element are zero. Eigenvalues
    below `rcond` times the largest in size count as zero, and g has the least norm.
    """
    cdef int n = <int>equations.shape[0], info = 0, lwork = 8 * n, i, j
    cdef double along, largest = 0.0
    if equations.shape[1] != n or right.shape[0] != n or not n:
        raise ValueError("solve_moment_equations: E (n,n), r (n,)")
    out, spare = np.zeros(n), np.empty(n * (n + 10))
    cdef double[::1] g = out, work = spare
    cdef double *scale = &work[0]
    cdef double *values = scale + n
    cdef double *vectors = values + n
    for i in range(n):
        scale[i] = 1.0 / sqrt(equations[i, i]) if equations[i, i] > 0.0 else 0.0
    for i in range(n):
        for j in range(n):
            vectors[i * n + j] = equations[i, j] * scale[i] * scale[j]
            if not isfinite(vectors[i * n + j]):
                raise np.linalg.LinAlgError("the moment equations are not finite")
    dsyev("V", "U", &n, vectors, &n, values, vectors + n * n, &lwork, &info)  # vectors are rows
    if info:
        raise np.linalg.LinAlgError("eigenvalues of the moment equations did not converge")
    for i in range(n):
        largest = max(largest, fabs(values[i]))
    for i in range(n):
        if not fabs(values[i]) > rcond * largest:
            continue
        along = 0.0
        for j in range(n):
            along += vectors[i * n + j] * scale[j] * right[j]
        along /= values[i]
        for j in range(n):
            g[j] += along * vectors[i * n + j] * scale[j]
    return out


def root_inside(const double[:, :] block, double low, double high):
    """Return L, L L' the symmetric block (k,k) with its eigenvalues brought between low and high.

    Only the lower triangle of the block is read.
    """
    cdef int k = <int>block.shape[0], info = 0, lwork = 8 * k, i, j, r
    cdef double total
    if block.shape[1] != k or not k:
        raise ValueError("root_inside: block (k,k)")
    root, spare = np.zeros((k, k)), np.empty(k * (k + 9))
    cdef double[:, ::1] L = root
    cdef double[::1] work = spare
    cdef double *values = &work[0]
    cdef double *vectors = values + k
    for i in range(k):
        for j in range(i + 1):
            vectors[i * k + j] = vectors[j * k + i] = block[i, j]
            if not isfinite(block[i, j]):
                raise np.linalg.LinAlgError("the block is not finite")
    dsyev("V", "U", &k, vectors, &k, values, vectors + k * k, &lwork, &info)  # vectors are rows
    if info:
        raise np.linalg.LinAlgError("eigenvalues of the block did not converge")
    for i in range(k):
        values[i] = min(max(values[i], low), high)
    for i in range(k):
        for j in range(i + 1):
            total = 0.0
            for r in range(k):
                total += vectors[r * k + i] * values[r] * vectors[r * k + j]
            L[i, j] = total
    for j in range(k):  # Cholesky, in place
        for r in range(j):
            for i in range(j, k):
                L[i, j] -= L[i, r] * L[j, r]
        total = sqrt(L[j, j])
        for i in range(j, k):
            L[i, j] /= total
    return root


def lower_roots(const double[:, :, ::1] roots):
    """Compute lower triangular L (N,k,k) with L L' = root root' and no negative diagonal.

    The rows of a root are reduced in turn, by an LQ factorization; a row that has nothing left
    contributes no column, which keeps the factor of a singular matrix unique.
    """
    cdef int64_t N = roots.shape[0], n
    cdef int k = <int>roots.shape[1], i, j, r, _again
    cdef double size, norm, along
    if roots.shape[2] != k:
        raise ValueError("lower_roots: roots (N,k,k)")
    out, spare = np.zeros((N, k, k)), np.zeros((k + 1, k))
    cdef double[:, :, ::1] L = out
    cdef double[:, ::1] basis = spare  # its last row is what is left of a row of the root
    with nogil:
        for n in range(N):
            for i in range(k):
                size = norm = 0.0
                for j in range(k):
                    basis[k, j] = roots[n, i, j]
                    size += roots[n, i, j] * roots[n, i, j]
                for _again in range(2):  # enough for orthogonality (Kahan and Parlett)
                    for r in range(i):
                        along = 0.0
                        for j in range(k):
                            along += basis[r, j] * basis[k, j]
                        for j in range(k):
                            basis[k, j] -= along * basis[r, j]
                for j in range(k):
                    norm += basis[k, j] * basis[k, j]
                size, norm = sqrt(size), sqrt(norm)
                for j in range(k):
                    basis[i, j] = basis[k, j] / norm if norm > 1e-14 * size else 0.0
                for r in range(i + 1):
                    for j in range(k):
                        L[n, i, r] += basis[r, j] * roots[n, i, j]
    return out


def newton_steps(
    const double[:, ::1] gradient, const double[:, :, ::1] hessian, double floor,
):
    """Return descent steps (N,m) and their predicted decreases (N,).

    Each Hessian is scaled to a unit diagonal, and its eigenvalues are replaced by their absolute
    values; those below `floor` times the largest are raised to it.

    Parameters
    ----------
    gradient (N,m), hessian (N,m,m)
    """
    cdef int N = <int>gradient.shape[0], m = <int>gradient.shape[1], n, info = 0
    cdef int64_t i
    if hessian.shape[0] != N or hessian.shape[1] != m or hessian.shape[2] != m:
        raise ValueError("newton_steps: gradient (N,m), hessian (N,m,m)")
    steps, decreases = np.zeros((N, m)), np.zeros(N)
    if not steps.size:
        return steps, decreases
    cdef const double *H = &hessian[0, 0, 0]
    for i in range(<int64_t>N * m * m):
        if not isfinite(H[i]):
            raise np.linalg.LinAlgError("the Hessian is not finite")
    cdef double[:, ::1] steps_ = steps
    cdef double[::1] decreases_ = decreases, work = np.empty(m * (m + 10))
    with nogil:
        for n in range(N):
            info = newton_step(
                m, &gradient[n, 0], &hessian[n, 0, 0], floor, &work[0], &steps_[n, 0],
                &decreases_[n])
            if info:
                break
    if info:
        raise np.linalg.LinAlgError("eigenvalues of the Hessian did not converge")
    return steps, decreases


cdef int newton_step(
    int m, const double *gradient, const double *hessian, double floor, double *work,
    double *step, double *decrease,
) noexcept nogil:
    """Compute one of `newton_steps` into a zero `step` (m,); return the status of LAPACK.

    Workspace: m (m + 10) numbers.
    """
    cdef int lwork = 8 * m, info = 0, i, j
    cdef double *scale = work
    cdef double *values = work + m
    cdef double *vectors = work + 2 * m
    work += 2 * m + m * m
    cdef double along, size, largest = smallest_divisor
    for i in range(m):
        scale[i] = 1.0 / sqrt(max(fabs(hessian[i * m + i]), smallest_divisor))
    for i in range(m):
        for j in range(m):
            vectors[i * m + j] = hessian[i * m + j] * scale[i] * scale[j]
    dsyev("V", "U", &m, vectors, &m, values, work, &lwork, &info)  # eigenvectors come as rows
    if info:
        return info
    for i in range(m):
        largest = max(largest, fabs(values[i]))
    decrease[0] = 0.0
    for i in range(m):
        along = 0.0
        for j in range(m):
            along += vectors[i * m + j] * scale[j] * gradient[j]
        size = max(fabs(values[i]), floor * largest)
        decrease[0] += 0.5 * along * along / size
        for j in range(m):
            step[j] -= scale[j] * vectors[i * m + j] * along / size
    return 0


cdef int check_places(const int64_t[:, ::1] places, int64_t size, int64_t K, name) except -1:
    """Raise IndexError unless places (3,m) point into theta (size,) and into lambda (K,K)."""
    cdef int64_t a, i
    cdef bint good = places.shape[0] == 3
    if good:
        for i in range(places.shape[1]):
            good &= 0 <= places[0, i] < size
            for a in range(1, 3):
                good &= 0 <= places[a, i] < K
    if not good:
        raise IndexError(f"{name}: places (3,m) within theta and the group's columns")
    return 0


def theta_gradient(
    const double[:, :, ::1] lambda_, const double[:, :, ::1] G, const int64_t[:, ::1] places,
    double[:, ::1] out,
):
    """Compute the derivatives in theta from those in H = lambda lambda', into out (N,n_theta).

    sum_ab G[a,b] (dH/dtheta_i)[a,b] = 2 (G lambda)[row,column] for symmetric G.

    Parameters
    ----------
    lambda_, G : (N,K,K)
    places : (3,m)
        Of each element of this group's lambda the position in theta, the row and the column.
    """
    cdef int64_t N = lambda_.shape[0], K = lambda_.shape[1], n, i, b, row, column
    cdef double total
    if not (lambda_.shape[2] == K == G.shape[1] == G.shape[2] and G.shape[0] == N == out.shape[0]):
        raise ValueError("theta_gradient: lambda, G (N,K,K), out (N,n_theta)")
    check_places(places, out.shape[1], K, "theta_gradient")
    with nogil:
        for n in range(N):
            for i in range(places.shape[1]):
                row, column, total = places[1, i], places[2, i], 0.0
                for b in range(K):
                    total += G[n, row, b] * lambda_[n, b, column]
                out[n, places[0, i]] = 2.0 * total


def theta_hessian(
    const double[:, :, ::1] lambda_g, const double[:, :, ::1] lambda_h,
    const double[:, :, :, :, ::1] H, G, const int64_t[:, ::1] places_g,
    const int64_t[:, ::1] places_h, double[:, :, ::1] out,
):
    """Compute second derivatives in theta from those in H_g = lambda_g lambda_g' and H_h.

    sum_abcd H[a,b,c,d] (dH_g/dtheta_i)[a,b] (dH_h/dtheta_j)[c,d] goes to out (N,n_theta,n_theta)
    and its mirror image. With G (N,K,K), for h = g, sum_ab G[a,b] (d2H_g/dtheta_i dtheta_j)[a,b] is
    added.

    Parameters
    ----------
    lambda_g (N,K,K), lambda_h (N,k,k), H (N,K,K,k,k)
    places_g, places_h : (3,m)
        As for `theta_gradient`.
    """
    cdef int64_t N = H.shape[0], Kg = H.shape[1], Kh = H.shape[3]
    cdef int64_t mg = places_g.shape[1], mh = places_h.shape[1]
    cdef int64_t n, i, j, b, c, d, row, column
    cdef double total, scale
    cdef const double[:, :, ::1] curvature = G
    cdef bint curved = G is not None
    if not (H.shape[2] == Kg == lambda_g.shape[1] == lambda_g.shape[2]
            and H.shape[4] == Kh == lambda_h.shape[1] == lambda_h.shape[2]
            and lambda_g.shape[0] == N == lambda_h.shape[0] == out.shape[0]
            and out.shape[1] == out.shape[2]):
        raise ValueError(
            "theta_hessian: lambda (N,K,K) of two groups, H (N,K,K,k,k), out (N,n_theta,n_theta)")
    if curved and not (curvature.shape[0] == N
                       and curvature.shape[1] == curvature.shape[2] == Kg == Kh):
        raise ValueError("theta_hessian: G (N,K,K)")
    check_places(places_g, out.shape[1], Kg, "theta_hessian")
    check_places(places_h, out.shape[1], Kh, "theta_hessian")
    cdef double[:, ::1] left = np.empty((Kh, Kh))
    with nogil:
        for n in range(N):
            for i in range(mg):
                row, column = places_g[1, i], places_g[2, i]
                left[:, :] = 0.0
                for b in range(Kg):  # dH = e_row lambda_column' + lambda_column e_row'
                    scale = lambda_g[n, b, column]
                    for c in range(Kh):
                        for d in range(Kh):
                            left[c, d] += scale * (H[n, row, b, c, d] + H[n, b, row, c, d])
                for j in range(mh):
                    total = 0.0
                    for d in range(Kh):
                        scale = lambda_h[n, d, places_h[2, j]]
                        total += (left[places_h[1, j], d] + left[d, places_h[1, j]]) * scale
                    if curved and places_h[2, j] == column:
                        total += 2.0 * curvature[n, row, places_h[1, j]]
                    out[n, places_h[0, j], places_g[0, i]] = total
                    out[n, places_g[0, i], places_h[0, j]] = total


def second_derivative(
    const double[:, :, :, :] Q, const double[:, ::1] vv_g, const double[:, ::1] vv_h, traces,
    double nu, double r2,
):
    """Return d2d/dH_g dH_h (K,K,k,k), symmetric in a, b and in c, d.

    With traces T: nu (2 Q / r^2 - vv vv / r^4) - T. Without, the average information:
    nu (Q / r^2 - vv vv / r^4).
    """
    cdef int64_t Kg = Q.shape[0], Kh = Q.shape[2], a, b, c, d
    cdef const double[:, :, :, :] T = traces
    cdef bint exact = traces is not None
    cdef double share = (2.0 if exact else 1.0) * nu / r2, square = nu / (r2 * r2), part
    if not (Q.shape[1] == Kg == vv_g.shape[0] == vv_g.shape[1]
            and Q.shape[3] == Kh == vv_h.shape[0] == vv_h.shape[1]):
        raise ValueError("second_derivative: Q (K,K,k,k), vv (K,K) and (k,k)")
    if exact and not (T.shape[0] == T.shape[1] == Kg and T.shape[2] == T.shape[3] == Kh):
        raise ValueError("second_derivative: T (K,K,k,k)")
    out = np.empty((Kg, Kg, Kh, Kh))
    cdef double[:, :, :, ::1] out_ = out
    with nogil:
        for a in range(Kg):
            for b in range(Kg):
                for c in range(Kh):
                    for d in range(Kh):
                        part = share * 0.25 * (
                            (Q[a, b, c, d] + Q[b, a, c, d]) + (Q[a, b, d, c] + Q[b, a, d, c]))
                        part -= square * vv_g[a, b] * vv_h[c, d]
                        if exact:
                            part -= 0.25 * (
                                (T[a, b, c, d] + T[b, a, c, d]) + (T[a, b, d, c] + T[b, a, d, c]))
                        out_[a, b, c, d] = part
    return out
