"""The system of a small model: its deviance and exact derivatives at one theta, without Python.

The mathematics is that of `mixedfast.estimation.pls`, in arrays small enough that calls of Python
would take longer than the numbers. Two kinds of model qualify:

*levels*   one grouping factor: M(theta) is block diagonal and factored level by level
           (csrc/mf_levels.h).
*dense*    several grouping factors with few random effects in all: Z'WZ is one (q,q) matrix.

With V0 = I + Z H Z', H = lambda lambda', and [X y] of p+1 columns

    K = Z'V0^-1 Z,   C = Z'V0^-1 [X y],   D = C_X L_X^-T,   v = C_y - C_X beta,   P = K - D D'
"""

from libc.math cimport isfinite, log
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset
from scipy.linalg.cython_blas cimport dgemm, dsyrk, dtrsm
from scipy.linalg.cython_lapack cimport dpotrf, dtrtri

import numpy as np

cdef extern from "mf_levels.h" nogil:
    int64_t mf_levels_factor(
        int64_t n_levels, int32_t k, const double *A, const double *lambda_, double *T,
        double *logdet)
    void mf_levels_multiply(
        int64_t n_levels, int32_t k, int32_t r, const double *T, const double *B, double *U)
    void mf_levels_project(
        int64_t n_levels, int32_t k, int32_t r, const double *A, const double *T, const double *B,
        double *C)
    void mf_levels_k(
        int64_t n_levels, int32_t k, const double *A, const double *T, double *K)

cdef extern from "mf_moments.h" nogil:
    ctypedef struct mf_moments:
        double *K
        double *vv
        double *DD
        double *vKv
        double *vD
        double *KK
        double *KDD
        double *DxD
    int64_t mf_level_moments_work(int32_t k, int32_t p, int with_DxD)
    void mf_level_moments(
        int64_t n_levels, int32_t k, int32_t p, const double *K_blocks, const double *C,
        const double *W, const double *beta, double *v, const mf_moments *sums, double *work)

#: Columns of Z of one factor, factors, terms and elements of theta that the arrays have room for.
LIMITS = {"k": MAX_EFFECTS, "groups": MAX_GROUPS, "terms": MAX_TERMS, "theta": MAX_THETA}


cdef double *cut(double *memory, int64_t *used, int64_t size) noexcept nogil:
    cdef double *at = NULL if memory == NULL else memory + used[0]
    used[0] += (size + 7) // 8 * 8
    return at


cdef int64_t lay_out(const Model *mo, Work *w, double *memory) noexcept nogil:
    """Cut the workspace into arrays; return how many doubles it takes."""
    cdef int64_t used = 0, q = mo.q, p1 = mo.p + 1, p = mo.p, m = mo.m, k = mo.k[0]
    cdef int64_t blocks = q * q if mo.dense else mo.levels[0] * k * k
    cdef int64_t widest = 0
    cdef int g
    for g in range(mo.n_groups):
        widest = max(widest, <int64_t>mo.k[g])
    w.B = cut(memory, &used, q * p1)
    w.S0 = cut(memory, &used, p1 * p1)
    w.lam = cut(memory, &used, mo.squares)
    w.T = cut(memory, &used, blocks)
    w.W = cut(memory, &used, blocks if mo.dense else 0)
    w.half = cut(memory, &used, q * p1)
    w.S = cut(memory, &used, p1 * p1)
    w.LX = cut(memory, &used, p * p)
    w.whiten = cut(memory, &used, p * p)
    w.beta = cut(memory, &used, p)
    w.K = cut(memory, &used, blocks)
    w.C = cut(memory, &used, q * p1)
    w.D = cut(memory, &used, q * p if mo.dense else 0)
    w.P = cut(memory, &used, blocks if mo.dense else 0)
    w.v = cut(memory, &used, q)
    w.trace = cut(memory, &used, mo.squares)
    w.vv = cut(memory, &used, mo.squares)
    w.DD = cut(memory, &used, mo.squares)
    w.G = cut(memory, &used, mo.squares)
    w.quad = cut(memory, &used, mo.fourths)
    w.pairs = cut(memory, &used, mo.fourths)
    w.second = cut(memory, &used, mo.fourths)
    w.wide = cut(memory, &used, q * widest * widest if mo.dense else 0)
    w.information = cut(memory, &used, widest * widest * widest * widest)
    w.vD = cut(memory, &used, 0 if mo.dense else k * k * p)
    w.DxD = cut(memory, &used, 0 if mo.dense or not mo.reml else k * k * p * p)
    w.KDD = cut(memory, &used, 0 if mo.dense else k * k * k * k)
    w.sums_K = cut(memory, &used, mo.squares)
    w.moments = cut(
        memory, &used,
        0 if mo.dense else mf_level_moments_work(<int32_t>k, <int32_t>p, mo.reml))
    w.gradient = cut(memory, &used, m)
    w.hessian = cut(memory, &used, m * m)
    w.step = cut(memory, &used, m)
    w.theta = cut(memory, &used, m)
    w.trial = cut(memory, &used, m)
    w.way_out = cut(memory, &used, m)
    w.scale = cut(memory, &used, max(m, widest))
    w.values = cut(memory, &used, max(m, widest))
    w.vectors = cut(memory, &used, max(m * m, widest * widest))
    w.lapack = cut(memory, &used, (m + 10) * m + 8 * widest)
    w.log = cut(memory, &used, 3 * LOG_LENGTH)
    w.kept = cut(memory, &used, 2 * m + m * m)
    return used


cdef void fill_lambdas(const Model *mo, const double *theta, double *lam) noexcept nogil:
    """Write theta into the lambda of each group."""
    cdef int i, g
    memset(lam, 0, mo.squares * sizeof(double))
    for i in range(mo.m):
        g = mo.group[i]
        lam[mo.square[g] + mo.row[i] * mo.k[g] + mo.column[i]] = theta[i]


cdef void subtract_gram(int64_t rows, int n, const double *U, double *S) noexcept nogil:
    """Subtract U'U of U (rows,n) from the lower triangle of S."""
    cdef int64_t _row
    cdef int i, j
    cdef int length = <int>rows
    cdef double minus = -1.0, one = 1.0
    cdef const double *u = U
    if n > 8:  # LAPACK's upper triangle is the lower one here
        dsyrk("U", "N", &n, &length, &minus, <double *>U, &n, &one, S, &n)
        return
    for _row in range(rows):
        for i in range(n):
            for j in range(i + 1):
                S[i * n + j] -= u[i] * u[j]
        u += n


cdef int reduce_levels(const Model *mo, Work *w) noexcept nogil:
    """Factor the levels of the only factor, and subtract from S what its effects explain."""
    cdef double logdet = 0.0
    cdef int k = mo.k[0], p1 = mo.p + 1
    if mf_levels_factor(mo.levels[0], k, mo.A, w.lam, w.T, &logdet):
        return 1
    w.ldL2 = logdet
    mf_levels_multiply(mo.levels[0], k, p1, w.T, w.B, w.half)
    subtract_gram(mo.q, p1, w.half, w.S)
    return 0


cdef int reduce_dense(const Model *mo, Work *w) noexcept nogil:
    """Factor M = Lambda'A Lambda + I, and subtract from S what the random effects explain.

    L goes to T, A Lambda to W, and U = L^-1 Lambda'B to half.
    """
    cdef int64_t q = mo.q, r, j, first
    cdef int g, k, a, b, c, n = <int>q, p1 = mo.p + 1, info = 0
    cdef double total, one = 1.0
    cdef const double *lam
    for g in range(mo.n_groups):
        k, lam = mo.k[g], w.lam + mo.square[g]
        for r in range(q):
            for j in range(mo.levels[g]):
                first = r * q + mo.base[g] + j * k
                for b in range(k):
                    total = 0.0
                    for c in range(b, k):
                        total += mo.A[first + c] * lam[c * k + b]
                    w.W[first + b] = total
    for g in range(mo.n_groups):
        k, lam = mo.k[g], w.lam + mo.square[g]
        for j in range(mo.levels[g]):
            first = mo.base[g] + j * k
            for a in range(k):
                for r in range(first + a + 1):  # M's lower triangle
                    total = 0.0
                    for c in range(a, k):
                        total += lam[c * k + a] * w.W[(first + c) * q + r]
                    w.T[(first + a) * q + r] = total
                w.T[(first + a) * q + first + a] += 1.0
                for r in range(p1):
                    total = 0.0
                    for c in range(a, k):
                        total += lam[c * k + a] * w.B[(first + c) * p1 + r]
                    w.half[(first + a) * p1 + r] = total
    dpotrf("U", &n, w.T, &n, &info)  # LAPACK's upper triangle is the lower one here
    if info:
        return 1
    w.ldL2 = 0.0
    for r in range(q):
        if not isfinite(w.T[r * q + r]):
            return 1
        w.ldL2 += 2.0 * log(w.T[r * q + r])
    dtrsm("R", "U", "N", "N", &p1, &n, &one, w.T, &n, w.half, &p1)
    subtract_gram(q, p1, w.half, w.S)
    return 0


cdef int finish(const Model *mo, Work *w) noexcept nogil:
    """Compute L_X, L_X^-T, beta, r^2 and the deviance from S.

    Return 1 when S is not numerically positive definite.
    """
    cdef int p = mo.p, n = mo.p + 1, info = 0, i, j
    cdef double residual, total
    dpotrf("U", &n, w.S, &n, &info)
    if info:
        return 1
    for i in range(n):
        if not isfinite(w.S[i * n + i]):
            return 1
    residual = w.S[p * n + p]
    w.ldRX2 = 0.0
    memset(w.LX, 0, p * p * sizeof(double))
    memset(w.whiten, 0, p * p * sizeof(double))
    for i in range(p):
        w.ldRX2 += log(w.S[i * n + i])
        for j in range(i + 1):
            w.LX[i * p + j] = w.S[i * n + j]
            w.whiten[j * p + i] = w.S[i * n + j]
    w.ldRX2 *= 2.0
    if p:
        dtrtri("L", "N", &p, w.whiten, &p, &info)
        if info:
            return 1
    for i in range(p - 1, -1, -1):
        total = w.S[p * n + i]
        for j in range(i + 1, p):
            total -= w.LX[j * p + i] * w.beta[j]
        w.beta[i] = total / w.LX[i * p + i]
    w.r2 = residual * residual
    w.deviance = w.ldL2 + 2.0 * mo.nu * log(residual) + mo.constant
    if mo.reml:
        w.deviance += w.ldRX2
    return 0


cdef int evaluate(const Model *mo, Work *w, const double *theta) noexcept nogil:
    """Solve the system at theta; return 1 when it is not numerically positive definite there."""
    cdef int n = mo.p + 1
    w.evaluations += 1
    w.derived = False
    fill_lambdas(mo, theta, w.lam)
    memcpy(w.S, w.S0, n * n * sizeof(double))
    if reduce_dense(mo, w) if mo.dense else reduce_levels(mo, w):
        w.rejected += 1
        return 1
    if finish(mo, w):
        w.rejected += 1
        return 1
    return 0


cdef void sums_of_levels(const Model *mo, Work *w) noexcept nogil:
    """Compute trace, vv, quad and pairs of the only factor, from sums over its levels."""
    cdef int k = mo.k[0], p = mo.p, a, b, c, d, s
    cdef int k2 = k * k, k3 = k * k * k
    cdef int64_t i, J = mo.levels[0]
    cdef double total
    cdef mf_moments sums
    mf_levels_k(J, k, mo.A, w.T, w.K)
    mf_levels_project(J, k, p + 1, mo.A, w.T, w.B, w.C)
    sums.K, sums.vv, sums.DD, sums.vKv, sums.vD = w.sums_K, w.vv, w.DD, w.quad, w.vD
    sums.KK = w.pairs
    sums.KDD = w.KDD if mo.reml else NULL
    sums.DxD = w.DxD if mo.reml else NULL
    mf_level_moments(J, k, p, w.K, w.C, w.whiten, w.beta, w.v, &sums, w.moments)
    for i in range(k2):
        w.trace[i] = w.sums_K[i] - (w.DD[i] if mo.reml else 0.0)
    for a in range(k):
        for b in range(k):
            for c in range(k):
                for d in range(k):
                    i = a * k3 + b * k2 + c * k + d
                    total = 0.0
                    for s in range(p):
                        total += w.vD[(a * k + b) * p + s] * w.vD[(d * k + c) * p + s]
                    w.quad[i] -= total
                    if mo.reml:
                        total = 0.0
                        for s in range(p * p):
                            total += w.DxD[(a * k + b) * p * p + s] * w.DxD[(d * k + c) * p * p + s]
                        w.pairs[i] -= w.KDD[i] + w.KDD[b * k3 + a * k2 + d * k + c] - total


cdef void mirror(int64_t q, double *M) noexcept nogil:
    """Copy the lower triangle of M (q,q) to the upper one."""
    cdef int64_t i, j
    for i in range(q):
        for j in range(i):
            M[j * q + i] = M[i * q + j]


cdef void project_dense(const Model *mo, Work *w) noexcept nogil:
    """Compute K, C, D, v and P of all factors at once; W is overwritten."""
    cdef int64_t q = mo.q, i, j
    cdef int n = <int>q, p = mo.p, p1 = mo.p + 1, s, t
    cdef double one = 1.0, minus = -1.0, total
    for i in range(q):  # (A Lambda)', then TA = L^-1 Lambda'A
        for j in range(i):
            total = w.W[i * q + j]
            w.W[i * q + j] = w.W[j * q + i]
            w.W[j * q + i] = total
    dtrsm("R", "U", "N", "N", &n, &n, &one, w.T, &n, w.W, &n)
    memcpy(w.K, mo.A, q * q * sizeof(double))
    dsyrk("U", "N", &n, &n, &minus, w.W, &n, &one, w.K, &n)
    memcpy(w.C, w.B, q * p1 * sizeof(double))
    dgemm("N", "T", &p1, &n, &n, &minus, w.half, &p1, w.W, &n, &one, w.C, &p1)
    for i in range(q):
        total = w.C[i * p1 + p]
        for s in range(p):
            w.D[i * p + s] = 0.0
        for t in range(p):
            total -= w.C[i * p1 + t] * w.beta[t]
            for s in range(t, p):
                w.D[i * p + s] += w.C[i * p1 + t] * w.whiten[t * p + s]
        w.v[i] = total
    memcpy(w.P, w.K, q * q * sizeof(double))
    if p:
        dsyrk("U", "T", &n, &p, &minus, w.D, &p, &one, w.P, &n)
    mirror(q, w.K)
    mirror(q, w.P)


cdef void sums_of_dense(const Model *mo, Work *w) noexcept nogil:
    """Compute trace, vv, quad and pairs of every factor, and of every two."""
    cdef int64_t q = mo.q, i, j, at, row
    cdef int g, h, kg, kh, a, b, c, d, entry
    cdef double *out
    cdef double *wide
    project_dense(mo, w)
    cdef const double *Q0 = w.P if mo.reml else w.K
    for g in range(mo.n_groups):
        kg = mo.k[g]
        for a in range(kg):
            for b in range(kg):
                entry = mo.square[g] + a * kg + b
                w.trace[entry] = w.vv[entry] = w.sums_K[entry] = 0.0
                for i in range(mo.levels[g]):
                    at = mo.base[g] + i * kg
                    w.trace[entry] += Q0[(at + a) * q + at + b]
                    w.sums_K[entry] += w.K[(at + a) * q + at + b]
                    w.vv[entry] += w.v[at + a] * w.v[at + b]
    for h in range(mo.n_groups):
        kh = mo.k[h]
        for row in range(q):  # the sum over j of P[row, j c] v_j[d]
            wide = w.wide + row * kh * kh
            memset(wide, 0, kh * kh * sizeof(double))
            for j in range(mo.levels[h]):
                at = mo.base[h] + j * kh
                for c in range(kh):
                    for d in range(kh):
                        wide[c * kh + d] += w.P[row * q + at + c] * w.v[at + d]
        for g in range(h + 1):
            kg = mo.k[g]
            out = w.quad + mo.fourth[g][h]
            memset(out, 0, kg * kg * kh * kh * sizeof(double))
            for i in range(mo.levels[g]):
                at = mo.base[g] + i * kg
                for a in range(kg):
                    for b in range(kg):
                        wide = w.wide + (at + b) * kh * kh
                        for c in range(kh * kh):
                            out[(a * kg + b) * kh * kh + c] += w.v[at + a] * wide[c]
            out = w.pairs + mo.fourth[g][h]
            memset(out, 0, kg * kg * kh * kh * sizeof(double))
            for i in range(mo.levels[g]):
                for j in range(mo.levels[h]):
                    at = (mo.base[g] + i * kg) * q + mo.base[h] + j * kh
                    for a in range(kg):
                        for b in range(kg):
                            for c in range(kh):
                                for d in range(kh):
                                    out[((a * kg + b) * kh + c) * kh + d] += (
                                        Q0[at + b * q + c] * Q0[at + a * q + d])


cdef inline double mean_of_four(
    const double *at, int64_t x, int64_t y, int64_t z, int64_t t
) noexcept nogil:
    """Average four elements, in an order that keeps the result symmetric."""
    return 0.25 * ((at[x] + at[y]) + (at[z] + at[t]))


cdef void second_derivative(
    const Model *mo, const Work *w, int g, int h, bint exact, double *out
) noexcept nogil:
    """Compute d2d/dH_g dH_h by exact traces, or the average information.

    See `mixedfast.covariance._theta.second_derivative`.
    """
    cdef int kg = mo.k[g], kh = mo.k[h], a, b, c, d
    cdef int64_t first = mo.fourth[g][h]
    cdef int64_t x, y, z, t
    cdef double share = (2.0 if exact else 1.0) * mo.nu / w.r2, square = mo.nu / (w.r2 * w.r2)
    cdef double part
    cdef const double *vv_g = w.vv + mo.square[g]
    cdef const double *vv_h = w.vv + mo.square[h]
    for a in range(kg):
        for b in range(kg):
            for c in range(kh):
                for d in range(kh):
                    x, y = ((a * kg + b) * kh + c) * kh + d, ((b * kg + a) * kh + c) * kh + d
                    z, t = ((a * kg + b) * kh + d) * kh + c, ((b * kg + a) * kh + d) * kh + c
                    part = share * mean_of_four(w.quad + first, x, y, z, t)
                    part -= square * vv_g[a * kg + b] * vv_h[c * kh + d]
                    if exact:
                        part -= mean_of_four(w.pairs + first, x, y, z, t)
                    out[x] = part


cdef void derive(const Model *mo, Work *w) noexcept nogil:
    """Compute the gradient and the exact Hessian in theta at the last theta evaluated."""
    cdef int i, j, g, h, kg, kh, b, c, d, row, column
    cdef double total, scale
    cdef const double *lam_g
    cdef const double *lam_h
    cdef const double *H
    cdef double left[MAX_EFFECTS * MAX_EFFECTS]
    if w.derived:
        return
    w.derived = True
    if mo.dense:
        sums_of_dense(mo, w)
    else:
        sums_of_levels(mo, w)
    scale = mo.nu / w.r2
    for i in range(mo.squares):
        w.G[i] = w.trace[i] - scale * w.vv[i]
    for h in range(mo.n_groups):
        for g in range(h + 1):
            second_derivative(mo, w, g, h, True, w.second + mo.fourth[g][h])
    for i in range(mo.m):
        g, row, column = mo.group[i], mo.row[i], mo.column[i]
        kg, lam_g = mo.k[g], w.lam + mo.square[g]
        total = 0.0
        for b in range(kg):
            total += w.G[mo.square[g] + row * kg + b] * lam_g[b * kg + column]
        w.gradient[i] = 2.0 * total
        for h in range(g, mo.n_groups):
            kh, lam_h, H = mo.k[h], w.lam + mo.square[h], w.second + mo.fourth[g][h]
            memset(left, 0, kh * kh * sizeof(double))
            for b in range(kg):  # dH = e_row lambda_column' + lambda_column e_row'
                scale = lam_g[b * kg + column]
                for c in range(kh):
                    for d in range(kh):
                        left[c * kh + d] += scale * (
                            H[((row * kg + b) * kh + c) * kh + d]
                            + H[((b * kg + row) * kh + c) * kh + d])
            for j in range(mo.m):
                if mo.group[j] != h:
                    continue
                total = 0.0
                for d in range(kh):
                    total += lam_h[d * kh + mo.column[j]] * (
                        left[mo.row[j] * kh + d] + left[d * kh + mo.row[j]])
                if g == h and mo.column[j] == column:
                    total += 2.0 * w.G[mo.square[g] + row * kg + mo.row[j]]
                w.hessian[i * mo.m + j] = total
                w.hessian[j * mo.m + i] = total


cdef void write_response(
    const Model *mo, Work *w, const double *Zy, const double *Xy, double yy
) noexcept nogil:
    """Take another response: Z'Wy (q,), X'Wy (p,) and y'Wy."""
    cdef int64_t i, p1 = mo.p + 1
    for i in range(mo.q):
        w.B[i * p1 + mo.p] = Zy[i]
    for i in range(mo.p):
        w.S0[i * p1 + mo.p] = Xy[i]
        w.S0[mo.p * p1 + i] = Xy[i]
    w.S0[mo.p * p1 + mo.p] = yy


cdef class SmallSystem:
    """One model, and its system at the theta solved last.

    Parameters
    ----------
    A : (J,k,k) array of the only factor, or Z'WZ (q,q) of several
    B : (q,p+1) array
        Z'W[X y].
    S : (p+1,p+1) array
        [X y]'W[X y].
    levels, k : sequences of int
        Levels, and columns of Z, of each factor.
    elements : (3,m) int array
        Factor, row and column in lambda of each element of theta.
    terms : (t,6) int array
        Of each term: factor, first column, number of columns, first element of theta, end of its
        elements, whether its effects are correlated.
    nu : float
        Divisor of the residual sum of squares.
    constant : float
        Added to the deviance.
    reml : bool
    """

    def __init__(
        self, A, B, S, levels, k, elements, terms, double nu, double constant, bint reml
    ):
        cdef int g, h, i
        cdef int64_t q = 0, fourths = 0
        cdef Model *mo = &self.mo
        self.A, self.B, self.S = A.reshape(-1), B, S
        mo.n_groups, mo.n_terms, mo.m = len(levels), len(terms), elements.shape[1]
        mo.p, mo.nu, mo.constant = S.shape[0] - 1, nu, constant
        mo.dense, mo.reml = mo.n_groups > 1, reml
        if not (
            0 < mo.n_groups <= MAX_GROUPS and mo.n_terms <= MAX_TERMS and mo.m <= MAX_THETA
            and all(0 < each <= MAX_EFFECTS for each in k)
        ):
            raise ValueError("SmallSystem: more factors, terms or effects than there is room for")
        mo.squares = 0
        for g in range(mo.n_groups):
            mo.levels[g], mo.k[g], mo.base[g], mo.square[g] = levels[g], k[g], q, mo.squares
            q += mo.levels[g] * mo.k[g]
            mo.squares += mo.k[g] * mo.k[g]
        for h in range(mo.n_groups):
            for g in range(h + 1):
                mo.fourth[g][h] = fourths
                fourths += mo.k[g] * mo.k[g] * mo.k[h] * mo.k[h]
        mo.q, mo.fourths = q, fourths
        size = q * q if mo.dense else mo.levels[0] * mo.k[0] * mo.k[0]
        shapes = (B.shape[0], B.shape[1], S.shape[1]) == (q, mo.p + 1, mo.p + 1)
        if self.A.shape[0] != size or not shapes or q < 1:
            raise ValueError("SmallSystem: A (J,k,k) or (q,q), B (q,p+1), S (p+1,p+1)")
        for i in range(mo.m):
            mo.group[i], mo.row[i], mo.column[i] = elements[0, i], elements[1, i], elements[2, i]
            if not (
                0 <= mo.group[i] < mo.n_groups
                and 0 <= mo.column[i] <= mo.row[i] < mo.k[mo.group[i]]
            ):
                raise IndexError("SmallSystem: elements of theta outside of their lambda")
        for i in range(mo.n_terms):
            mo.term_group[i], mo.term_start[i], mo.term_k[i] = terms[i, 0], terms[i, 1], terms[i, 2]
            mo.term_first[i], mo.term_end[i] = terms[i, 3], terms[i, 4]
            mo.term_correlated[i] = terms[i, 5]
            if not (
                0 <= mo.term_group[i] < mo.n_groups and 0 <= mo.term_start[i] and 0 < mo.term_k[i]
                and mo.term_start[i] + mo.term_k[i] <= mo.k[mo.term_group[i]]
                and 0 <= mo.term_first[i] <= mo.term_end[i] <= mo.m
            ):
                raise IndexError("SmallSystem: terms outside of their factor")
        self.memory = np.empty(lay_out(mo, &self.w, NULL))
        lay_out(mo, &self.w, &self.memory[0])
        mo.A = &self.A[0]
        memcpy(self.w.B, &self.B[0, 0], q * (mo.p + 1) * sizeof(double))
        memcpy(self.w.S0, &self.S[0, 0], (mo.p + 1) * (mo.p + 1) * sizeof(double))

    cdef int start(self, const double[::1] theta) except -1:
        """Copy theta to where searches begin."""
        if theta.shape[0] != self.mo.m:
            raise ValueError("theta (m,)")
        memcpy(self.w.theta, &theta[0], self.mo.m * sizeof(double))
        return 0

    def solve(self, theta):
        """Solve at theta.

        Returns
        -------
        tuple or None
            Deviance, r^2, log|M|, log|X'V0^-1X|, beta (p,) and L_X (p,p); None where the system is
            not numerically positive definite.
        """
        self.start(theta)
        cdef int failed
        with nogil:
            failed = evaluate(&self.mo, &self.w, self.w.theta)
        return None if failed else self.solution()

    cdef solution(self):
        """Return what `solve` returns, of the theta solved last."""
        cdef int p = self.mo.p
        return (
            self.w.deviance, self.w.r2, self.w.ldL2, self.w.ldRX2,
            copied(self.w.beta, p), copied(self.w.LX, p * p).reshape(p, p),
        )

    def derivatives(self, theta):
        """Return the gradient (m,) and the exact Hessian (m,m) at theta."""
        if self.solve(theta) is None:
            raise ValueError("not positive definite at this theta")
        cdef int m = self.mo.m
        with nogil:
            derive(&self.mo, &self.w)
        return copied(self.w.gradient, m), copied(self.w.hessian, m * m).reshape(m, m)


cdef copied(const double *at, int64_t size):
    """Copy numbers to a new array (size,)."""
    out = np.empty(size)
    cdef double[::1] view = out
    if size:
        memcpy(&view[0], at, size * sizeof(double))
    return out
