# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The search of `mixedfast.estimation.newton`, compiled, for models whose evaluations take microseconds.

One algorithm, written twice: the Python search calls an engine and serves every model; this one holds the whole
evaluation in a few small arrays and runs without Python and without the GIL. Both read their tolerances from
`mixedfast.estimation.newton`, and tests compare them step by step. Two kinds of model qualify:

*levels*   one grouping factor: M(theta) is block diagonal and is factored level by level (``mf_levels.h``).
*dense*    several grouping factors with few random effects in all: Z'WZ is one (q,q) matrix.

Notation of `mixedfast.estimation.pls`; with V0 = I + Z H Z', H = lambda lambda', and [X y] of p+1 columns

    K = Z'V0^-1 Z,   C = Z'V0^-1 [X y],   D = C_X L_X^-T,   v = C_y - C_X beta,   P = K - D D'
"""

from libc.math cimport NAN, exp, fabs, isfinite, isnan, log, sqrt
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset
from scipy.linalg.cython_blas cimport dgemm, dsyrk, dtrsm
from scipy.linalg.cython_lapack cimport dpotrf, dsyev, dtrtri

import numpy as np

cdef extern from "levels.h" nogil:
    int MF_MAX_K
    int64_t mf_levels_factor(int64_t, int32_t, const double *, const double *, double *, double *)
    void mf_levels_half(int64_t, int32_t, int32_t, const double *, const double *, double *)
    void mf_levels_project(int64_t, int32_t, int32_t, const double *, const double *, const double *, double *)
    void mf_levels_k(int64_t, int32_t, const double *, const double *, double *)

cdef extern from "moments.h" nogil:
    ctypedef struct mf_moments:
        double *K
        double *vv
        double *DD
        double *vKv
        double *vD
        double *KK
        double *KDD
        double *DxD
    int64_t mf_moments_work(int32_t, int32_t, int)
    void mf_level_moments(int64_t, int32_t, int32_t, const double *, const double *, const double *, const double *,
                          double *, const mf_moments *, double *)

cdef enum:
    MAX_GROUPS = 8
    MAX_TERMS = 16
    MAX_THETA = 64
    LOG_LENGTH = 128  # more than iterations and escapes together

#: Columns of Z of one factor, and numbers of factors, terms and elements of theta, that the arrays here have room for.
LIMITS = {"k": MF_MAX_K, "groups": MAX_GROUPS, "terms": MAX_TERMS, "theta": MAX_THETA}
#: No number that is divided by is taken for smaller.
cdef double TINY = 1e-300

#: How a search ended; `mixedfast.estimation.newton` has the words.
cdef enum Ending:
    CONVERGED = 0
    NO_WAY_DOWN = 1
    ITERATION_LIMIT = 2
    NOT_POSITIVE_DEFINITE = 3
    NOT_FINITE = 4


cdef struct Tolerances:  # see the constants of the same names in newton.py
    double decrement
    double remaining
    double certificate
    double rounding_decrement
    double nothing_left
    double singular
    double eigenvalue_floor
    double zero
    double criterion
    double shortest_rescaling
    double longest_rescaling
    int patience
    int iterations
    int halvings
    int escapes


cdef struct Model:
    bint dense
    bint reml
    int p
    int m
    int n_groups
    int n_terms
    int64_t q
    int64_t levels[MAX_GROUPS]
    int k[MAX_GROUPS]
    int64_t base[MAX_GROUPS]  # the group's first row of Z'WZ
    int square[MAX_GROUPS]  # where its (k,k) matrix begins among those of all groups
    int squares
    int64_t fourth[MAX_GROUPS][MAX_GROUPS]  # where the (k_g,k_g,k_h,k_h) array of two groups begins, g <= h
    int64_t fourths
    int group[MAX_THETA]
    int row[MAX_THETA]
    int column[MAX_THETA]
    int term_group[MAX_TERMS]
    int term_start[MAX_TERMS]
    int term_k[MAX_TERMS]
    int term_first[MAX_TERMS]
    int term_end[MAX_TERMS]
    bint term_correlated[MAX_TERMS]
    double nu
    double constant
    const double *A  # (J,k,k) of the only group, or (q,q)
    const double *base_B  # (q,p+1)
    const double *base_S  # (p+1,p+1)
    Tolerances tol


cdef struct Work:
    double *B  # (q,p+1): a copy, its last column that of the response at hand
    double *S0
    double *lam  # lambda of each group
    double *T
    double *W  # dense: A Lambda
    double *half  # U = L^-1 Lambda'B, (q,p+1)
    double *S
    double *LX
    double *whiten
    double *beta
    double *K
    double *C
    double *D
    double *P
    double *v
    double *trace  # sum_j of (Q0)_jj of each group
    double *vv
    double *DD
    double *G  # dd/dH of each group
    double *quad
    double *pairs  # tr(Q0 G Q0 G')
    double *second
    double *wide
    double *information  # average information of one factor, (k,k,k,k)
    double *vD
    double *DxD
    double *KDD
    double *sums_K
    double *moments
    double *gradient
    double *hessian
    double *step
    double *theta
    double *trial
    double *way_out
    double *scale
    double *values
    double *vectors
    double *lapack
    double *log  # (LOG_LENGTH,3)
    double *kept  # what an earlier search found
    double deviance
    double r2
    double ldL2
    double ldRX2
    int evaluations
    int rejected
    bint derived


cdef struct Found:
    double deviance
    double decrement
    double boundary
    bint converged
    int ending
    int iterations
    int logged


cdef double *cut(double *memory, int64_t *used, int64_t size) noexcept nogil:
    cdef double *at = NULL if memory == NULL else memory + used[0]
    used[0] += (size + 7) // 8 * 8
    return at


cdef int64_t lay_out(const Model *mo, Work *w, double *memory) noexcept nogil:
    """Cut the workspace into arrays; how many doubles it takes."""
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
    w.sums_K = cut(memory, &used, 0 if mo.dense else k * k)
    w.moments = cut(memory, &used, 0 if mo.dense else mf_moments_work(<int32_t>k, <int32_t>p, mo.reml))
    w.gradient = cut(memory, &used, m)
    w.hessian = cut(memory, &used, m * m)
    w.step = cut(memory, &used, m)
    w.theta = cut(memory, &used, m)
    w.trial = cut(memory, &used, m)
    w.way_out = cut(memory, &used, m)
    w.scale = cut(memory, &used, max(m, widest))
    w.values = cut(memory, &used, max(m, widest))
    w.vectors = cut(memory, &used, max(m * m, widest * widest))
    w.lapack = cut(memory, &used, 8 * max(m, widest) + 8)
    w.log = cut(memory, &used, 3 * LOG_LENGTH)
    w.kept = cut(memory, &used, 2 * m + m * m)
    return used


# -- one evaluation ------------------------------------------------------------------------------------------------


cdef void fill_lambdas(const Model *mo, const double *theta, double *lam) noexcept nogil:
    cdef int i, g
    memset(lam, 0, mo.squares * sizeof(double))
    for i in range(mo.m):
        g = mo.group[i]
        lam[mo.square[g] + mo.row[i] * mo.k[g] + mo.column[i]] = theta[i]


cdef void subtract_gram(int64_t rows, int n, const double *U, double *S) noexcept nogil:
    """Take U'U of U (rows,n) from S's lower triangle."""
    cdef int64_t r
    cdef int i, j
    cdef int length = <int>rows
    cdef double minus = -1.0, one = 1.0
    cdef const double *u = U
    if n > 8:  # LAPACK's upper triangle is the lower one here
        dsyrk("U", "N", &n, &length, &minus, <double *>U, &n, &one, S, &n)
        return
    for r in range(rows):
        for i in range(n):
            for j in range(i + 1):
                S[i * n + j] -= u[i] * u[j]
        u += n


cdef int reduce_levels(const Model *mo, Work *w) noexcept nogil:
    cdef double logdet = 0.0
    cdef int k = mo.k[0], p1 = mo.p + 1
    if mf_levels_factor(mo.levels[0], k, mo.A, w.lam, w.T, &logdet):
        return 1
    w.ldL2 = logdet
    mf_levels_half(mo.levels[0], k, p1, w.T, w.B, w.half)
    subtract_gram(mo.q, p1, w.half, w.S)
    return 0


cdef int reduce_dense(const Model *mo, Work *w) noexcept nogil:
    """L of M = Lambda'A Lambda + I into T, A Lambda into W, U = L^-1 Lambda'B into half; what U explains leaves S."""
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
    """L_X, W = L_X^-T, beta, r^2 and the deviance from S; 1 when S is not numerically positive definite."""
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
    """Solve the system at theta; 1 when it is not numerically positive definite there."""
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


# -- derivatives ---------------------------------------------------------------------------------------------------


cdef void sums_of_levels(const Model *mo, Work *w) noexcept nogil:
    """trace, vv, quad and pairs of the only factor, from sums over its levels."""
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
    cdef int64_t i, j
    for i in range(q):
        for j in range(i):
            M[j * q + i] = M[i * q + j]


cdef void project_dense(const Model *mo, Work *w) noexcept nogil:
    """K and C, D, v and P of all factors at once. W is used up."""
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
    """trace, vv, quad and pairs of every factor, and of every two."""
    cdef int64_t q = mo.q, i, j, at, row
    cdef int g, h, kg, kh, a, b, c, d
    cdef double total
    cdef double *out
    cdef double *wide
    project_dense(mo, w)
    cdef const double *Q0 = w.P if mo.reml else w.K
    for g in range(mo.n_groups):
        kg = mo.k[g]
        for a in range(kg):
            for b in range(kg):
                total = 0.0
                w.vv[mo.square[g] + a * kg + b] = 0.0
                for i in range(mo.levels[g]):
                    at = mo.base[g] + i * kg
                    total += Q0[(at + a) * q + at + b]
                    w.vv[mo.square[g] + a * kg + b] += w.v[at + a] * w.v[at + b]
                w.trace[mo.square[g] + a * kg + b] = total
    for h in range(mo.n_groups):
        kh = mo.k[h]
        for row in range(q):  # sum_j P[row, j c] v_j[d]
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
                                    out[((a * kg + b) * kh + c) * kh + d] += Q0[at + b * q + c] * Q0[at + a * q + d]


cdef void second_derivative(const Model *mo, const Work *w, int g, int h, bint exact, double *out) noexcept nogil:
    """d2d/dH_g dH_h by exact traces, or the average information; see `mixedfast.covariance._theta.second_derivative`."""
    cdef int kg = mo.k[g], kh = mo.k[h], a, b, c, d
    cdef int64_t first = mo.fourth[g][h]
    cdef int64_t x, y, z, t
    cdef double share = (2.0 if exact else 1.0) * mo.nu / w.r2, square = mo.nu / (w.r2 * w.r2), part
    for a in range(kg):
        for b in range(kg):
            for c in range(kh):
                for d in range(kh):
                    x, y = ((a * kg + b) * kh + c) * kh + d, ((b * kg + a) * kh + c) * kh + d
                    z, t = ((a * kg + b) * kh + d) * kh + c, ((b * kg + a) * kh + d) * kh + c
                    part = share * 0.25 * ((w.quad[first + x] + w.quad[first + y]) + (w.quad[first + z] + w.quad[first + t]))
                    part -= square * w.vv[mo.square[g] + a * kg + b] * w.vv[mo.square[h] + c * kh + d]
                    if exact:
                        part -= 0.25 * (
                            (w.pairs[first + x] + w.pairs[first + y]) + (w.pairs[first + z] + w.pairs[first + t])
                        )
                    out[x] = part


cdef void derive(const Model *mo, Work *w) noexcept nogil:
    """Gradient and exact Hessian in theta at the last theta evaluated."""
    cdef int i, j, g, h, kg, kh, b, c, d, row, column
    cdef double total, scale
    cdef const double *lam_g
    cdef const double *lam_h
    cdef const double *H
    cdef double left[64]  # MF_MAX_K is 8
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
                            H[((row * kg + b) * kh + c) * kh + d] + H[((b * kg + row) * kh + c) * kh + d]
                        )
            for j in range(mo.m):
                if mo.group[j] != h:
                    continue
                total = 0.0
                for d in range(kh):
                    total += (left[mo.row[j] * kh + d] + left[d * kh + mo.row[j]]) * lam_h[d * kh + mo.column[j]]
                if g == h and mo.column[j] == column:
                    total += 2.0 * w.G[mo.square[g] + row * kg + mo.row[j]]
                w.hessian[i * mo.m + j] = total
                w.hessian[j * mo.m + i] = total


# -- steps ---------------------------------------------------------------------------------------------------------


cdef double newton_step(const Model *mo, Work *w) noexcept nogil:
    """Descent step from |eigenvalues| of the scaled Hessian, and the decrease it predicts; NaN without eigenvalues."""
    cdef int m = mo.m, info = 0, lwork = 8 * mo.m, i, j
    cdef double along, largest = TINY, predicted = 0.0, size
    for i in range(m * m):
        if not isfinite(w.hessian[i]):
            return NAN
    for i in range(m):
        w.scale[i] = 1.0 / sqrt(max(fabs(w.hessian[i * m + i]), TINY))
        w.step[i] = 0.0
    for i in range(m):
        for j in range(m):
            w.vectors[i * m + j] = w.hessian[i * m + j] * w.scale[i] * w.scale[j]
    dsyev("V", "U", &m, w.vectors, &m, w.values, w.lapack, &lwork, &info)
    if info:
        return NAN
    for i in range(m):
        largest = max(largest, fabs(w.values[i]))
    for i in range(m):
        along = 0.0
        for j in range(m):
            along += w.vectors[i * m + j] * w.scale[j] * w.gradient[j]
        size = max(fabs(w.values[i]), mo.tol.eigenvalue_floor * largest)
        predicted += 0.5 * along * along / size
        for j in range(m):
            w.step[j] -= w.scale[j] * w.vectors[i * m + j] * along / size
    return predicted


cdef bint is_singular(const Model *mo, int term, const double *theta) noexcept nogil:
    """Whether a diagonal element of the term's lambda is as good as zero."""
    cdef int i
    for i in range(mo.term_first[term], mo.term_end[term]):
        if mo.row[i] == mo.column[i] and fabs(theta[i]) < mo.tol.singular:
            return True
    return False


cdef bint any_singular(const Model *mo, const double *theta) noexcept nogil:
    cdef int term
    for term in range(mo.n_terms):
        if is_singular(mo, term, theta):
            return True
    return False


cdef double rescaling(const Model *mo, Work *w, double *target) noexcept nogil:
    """The decrease that multiplying all of a term's theta by one number predicts; the theta it leads to."""
    cdef int term, i, best_term = -1
    cdef double slope, curvature, fall, best = 0.0, factor = 1.0
    memcpy(target, w.theta, mo.m * sizeof(double))
    for term in range(mo.n_terms):
        slope = 0.0
        for i in range(mo.term_first[term], mo.term_end[term]):
            slope += w.theta[i] * w.gradient[i]
        curvature = 2.0 * mo.levels[mo.term_group[term]] * mo.term_k[term]
        fall = 0.5 * slope * slope / curvature
        if fall > best:
            best, best_term = fall, term
            factor = exp(min(max(-8.0 * slope / curvature, mo.tol.shortest_rescaling), mo.tol.longest_rescaling))
    if best_term >= 0:
        for i in range(mo.term_first[best_term], mo.term_end[best_term]):
            target[i] *= factor
    return best


cdef void add_direction(int k, double *L, double *x) noexcept nogil:
    """L of L L' + x x', by plane rotations; x is used up."""
    cdef int i, j
    cdef double r, c, s, t
    for j in range(k):
        r = sqrt(L[j * k + j] * L[j * k + j] + x[j] * x[j])
        if r == 0.0:
            continue
        c, s = L[j * k + j] / r, x[j] / r
        for i in range(j, k):
            t = L[i * k + j]
            L[i * k + j] = c * t + s * x[i]
            x[i] = c * x[i] - s * t


cdef double leave_boundary(const Model *mo, Work *w, double *target) noexcept nogil:
    """The decrease that adding variance t v v' predicts where theta's own gradient is zero; the theta it leads to."""
    cdef int term, g, K, k, first, a, b, c, d, i, info = 0, lwork, tried
    cdef double best = 0.0, slope, bend, fall, length
    cdef double v[8]
    cdef double x[8]
    cdef double root[64]
    cdef const double *H
    cdef const double *G
    for term in range(mo.n_terms):
        if not is_singular(mo, term, w.theta):
            continue
        g, k, first = mo.term_group[term], mo.term_k[term], mo.term_start[term]
        K, G = mo.k[g], w.G + mo.square[mo.term_group[term]]
        H = w.information
        second_derivative(mo, w, g, g, False, w.information)
        for a in range(k):
            i = first + a
            w.scale[a] = 1.0 / sqrt(max(sqrt(fabs(H[((i * K + i) * K + i) * K + i])), TINY))
        if mo.term_correlated[term]:
            for a in range(k):
                for b in range(k):
                    w.vectors[a * k + b] = G[(first + a) * K + first + b] * w.scale[a] * w.scale[b]
            lwork = 8 * k
            dsyev("V", "U", &k, w.vectors, &k, w.values, w.lapack, &lwork, &info)
            if info:
                continue
        for tried in range(1 if mo.term_correlated[term] else k):
            if mo.term_correlated[term]:
                if not w.values[0] < 0.0:
                    break
                for a in range(k):
                    v[a] = w.scale[a] * w.vectors[a]
            else:
                if not G[(first + tried) * K + first + tried] < 0.0:
                    continue
                for a in range(k):
                    v[a] = w.scale[a] if a == tried else 0.0
            slope = bend = 0.0
            for a in range(k):
                for b in range(k):
                    slope += v[a] * v[b] * G[(first + a) * K + first + b]
                    for c in range(k):
                        for d in range(k):
                            bend += v[a] * v[b] * v[c] * v[d] * H[
                                (((first + a) * K + first + b) * K + first + c) * K + first + d
                            ]
            slope, bend = min(slope, 0.0), max(bend, TINY)
            fall = 0.5 * slope * slope / bend
            if fall > best:
                best, length = fall, sqrt(-slope / bend)
                memset(root, 0, k * k * sizeof(double))
                for i in range(mo.term_first[term], mo.term_end[term]):
                    root[(mo.row[i] - first) * k + mo.column[i] - first] = w.theta[i]
                for a in range(k):
                    x[a] = length * v[a]
                add_direction(k, root, x)
                memcpy(target, w.theta, mo.m * sizeof(double))
                for i in range(mo.term_first[term], mo.term_end[term]):
                    target[i] = root[(mo.row[i] - first) * k + mo.column[i] - first]
    return best


cdef double way_out(const Model *mo, Work *w) noexcept nogil:
    """The larger of the two decreases that theta's Hessian does not see; `Work.way_out` is where it leads."""
    cdef double off = leave_boundary(mo, w, w.way_out), scaled
    cdef int i
    scaled = rescaling(mo, w, w.trial)
    if off >= scaled and off > 0.0:
        return off
    memcpy(w.way_out, w.trial, mo.m * sizeof(double))
    return scaled


cdef bint descend(const Model *mo, Work *w, const double *step, double slope) noexcept nogil:
    """Halve the step until the deviance falls as Armijo asks; where it never does, solve at theta again."""
    cdef int i, h
    cdef double longest = 0.0, reach = 0.0, t = 1.0, before = w.deviance, slack = 1e-14 * fabs(w.deviance)
    for i in range(mo.m):
        longest, reach = max(longest, fabs(step[i])), max(reach, fabs(w.theta[i]))
    longest /= max(1.0, 2.0 * reach)
    if longest > 1.0:
        t = 1.0 / longest
    for h in range(mo.tol.halvings):
        for i in range(mo.m):
            w.trial[i] = w.theta[i] + t * step[i]
        if evaluate(mo, w, w.trial) == 0 and w.deviance <= before + 1e-4 * t * min(slope, 0.0) + slack:
            memcpy(w.theta, w.trial, mo.m * sizeof(double))
            return True
        t *= 0.5
    evaluate(mo, w, w.theta)
    return False


cdef bint is_stalled(const Model *mo, const double *log, int n) noexcept nogil:
    """Whether the predicted decrease is small and has not halved in the last iterations."""
    cdef int i, patience = mo.tol.patience
    cdef double largest = 0.0, late = 1e308, early = 1e308
    if n <= patience:
        return False
    for i in range(n):
        if i >= n - patience:
            largest, late = max(largest, log[3 * i + 2]), min(late, log[3 * i + 2])
        else:
            early = min(early, log[3 * i + 2])
    return largest <= mo.tol.rounding_decrement and late > 0.5 * early


cdef Found ended(const Model *mo, Work *w, int ending, double predicted, double boundary, int iterations, int logged) noexcept nogil:
    cdef Found f
    f.deviance, f.decrement, f.boundary = w.deviance, predicted, boundary
    f.converged = max(predicted, boundary) < mo.tol.certificate
    f.ending, f.iterations, f.logged = ending, iterations, logged
    return f


cdef Found search(const Model *mo, Work *w, double tolerance) noexcept nogil:
    """Minimize the deviance from `Work.theta`; the system is left solved where the search ends."""
    cdef int iterations = 0, escapes = 0, logged = 0, i
    cdef double predicted = 1e308, before, remaining, boundary, slope, rate
    cdef bint small, inside, stationary
    if evaluate(mo, w, w.theta):
        for i in range(mo.m):
            w.theta[i] = 1.0 if mo.row[i] == mo.column[i] else 0.0
        if evaluate(mo, w, w.theta):
            return ended(mo, w, NOT_POSITIVE_DEFINITE, NAN, NAN, 0, 0)
    while True:
        derive(mo, w)
        before = predicted
        predicted = newton_step(mo, w)
        if isnan(predicted):
            return ended(mo, w, NOT_FINITE, NAN, NAN, iterations, logged)
        remaining = 1e308
        if 0.0 < predicted < before < 1e308 and predicted < mo.tol.certificate:
            rate = predicted / before
            remaining = predicted * rate * rate
        if logged < LOG_LENGTH:
            w.log[3 * logged], w.log[3 * logged + 1], w.log[3 * logged + 2] = w.evaluations, w.deviance, predicted
            logged += 1
        small = predicted < max(tolerance, 1e-16 * fabs(w.deviance))
        inside = not any_singular(mo, w.theta)
        stationary = predicted < mo.tol.nothing_left or (small and not inside) or is_stalled(mo, w.log, logged)
        if not stationary and inside and (small or remaining < mo.tol.remaining):
            boundary = way_out(mo, w)
            if boundary < mo.tol.certificate:
                return last_step(mo, w, predicted, boundary, iterations, logged)
            stationary = True
        if not stationary:
            if iterations == mo.tol.iterations:
                return ended(mo, w, ITERATION_LIMIT, predicted, way_out(mo, w), iterations, logged)
            slope = 0.0
            for i in range(mo.m):
                slope += w.gradient[i] * w.step[i]
            if descend(mo, w, w.step, slope):
                iterations += 1
                continue
            derive(mo, w)
        boundary = way_out(mo, w)
        if boundary < mo.tol.certificate or escapes == mo.tol.escapes:
            return ended(mo, w, CONVERGED if stationary else NO_WAY_DOWN, predicted, boundary, iterations, logged)
        escapes += 1
        for i in range(mo.m):
            w.step[i] = w.way_out[i] - w.theta[i]
        if not descend(mo, w, w.step, 0.0):
            derive(mo, w)
            return ended(mo, w, CONVERGED if stationary else NO_WAY_DOWN, predicted, boundary, iterations, logged)
        iterations += 1
        predicted = 1e308  # nothing is expected from before the jump


cdef Found last_step(const Model *mo, Work *w, double predicted, double boundary, int iterations, int logged) noexcept nogil:
    """The full step, unless the deviance rises by more than rounding could make it."""
    cdef double before = w.deviance
    cdef int i, ending
    for i in range(mo.m):
        w.trial[i] = w.theta[i] + w.step[i]
    if evaluate(mo, w, w.trial) == 0 and w.deviance <= before + 1e-12 * fabs(before):
        memcpy(w.theta, w.trial, mo.m * sizeof(double))
        return ended(mo, w, CONVERGED, predicted, boundary, iterations + 1, logged)
    evaluate(mo, w, w.theta)
    ending = CONVERGED if predicted < mo.tol.certificate else NO_WAY_DOWN
    return ended(mo, w, ending, predicted, boundary, iterations + 1, logged)


cdef void settle(const Model *mo, Work *w) noexcept nogil:
    """No negative diagonal in lambda, and what is zero but for rounding set to zero where the deviance allows it."""
    cdef int i, j
    cdef double before = w.deviance
    cdef bint changed = False
    for j in range(mo.m):
        if mo.row[j] == mo.column[j] and w.theta[j] < 0.0:
            for i in range(mo.m):
                if mo.group[i] == mo.group[j] and mo.column[i] == mo.column[j]:
                    w.theta[i] = -w.theta[i]
    for i in range(mo.m):
        w.trial[i] = 0.0 if fabs(w.theta[i]) < mo.tol.zero else w.theta[i]
        changed |= w.trial[i] != w.theta[i]
    if not changed:
        return
    if evaluate(mo, w, w.trial) == 0 and w.deviance <= before + 1e-12 * fabs(before):
        memcpy(w.theta, w.trial, mo.m * sizeof(double))
        return
    evaluate(mo, w, w.theta)


cdef Found search_twice(const Model *mo, Work *w, double tolerance) noexcept nogil:
    """A search, and where it ends on the boundary another from lambda = I: the lower of the two optima."""
    cdef Found first = search(mo, w, tolerance), second
    cdef int i
    cdef double *theta = w.kept
    if first.ending >= NOT_POSITIVE_DEFINITE or not any_singular(mo, w.theta):
        return first
    memcpy(theta, w.theta, mo.m * sizeof(double))
    for i in range(mo.m):
        w.theta[i] = 1.0 if mo.row[i] == mo.column[i] else 0.0
    second = search(mo, w, tolerance)
    if second.ending < NOT_POSITIVE_DEFINITE and second.deviance < first.deviance - mo.tol.criterion:
        return second
    memcpy(w.theta, theta, mo.m * sizeof(double))
    evaluate(mo, w, w.theta)
    return first


# -- the door ------------------------------------------------------------------------------------------------------


cdef class SmallSystem:
    """One model, small enough for the compiled search.

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
        Factor, row and column of lambda of each element of theta.
    terms : (t,6) int array
        Of each term: factor, first column, number of columns, first element of theta, end, whether correlated.
    nu : float
        Divisor of the residual sum of squares.
    constant : float
        What is added to the deviance.
    reml : bool
    tolerances : sequence of 15 numbers
        In the order of ``Tolerances``; see `mixedfast.estimation.newton`.
    """

    cdef Model mo
    cdef Work w
    cdef double[::1] memory
    cdef const double[::1] A
    cdef const double[:, ::1] B
    cdef const double[:, ::1] S

    def __init__(self, A, B, S, levels, k, elements, terms, double nu, double constant, bint reml, tolerances):
        cdef int g, h, i
        cdef int64_t q = 0, fourths = 0
        cdef Model *mo = &self.mo
        self.A, self.B, self.S = A.reshape(-1), B, S
        mo.n_groups, mo.n_terms, mo.m, mo.p = len(levels), len(terms), elements.shape[1], S.shape[0] - 1
        mo.dense, mo.reml, mo.nu, mo.constant = mo.n_groups > 1, reml, nu, constant
        if not (
            0 < mo.n_groups <= MAX_GROUPS and mo.n_terms <= MAX_TERMS and mo.m <= MAX_THETA
            and all(0 < each <= MF_MAX_K for each in k)
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
        if self.A.shape[0] != size or B.shape[0] != q or B.shape[1] != mo.p + 1 or S.shape[1] != mo.p + 1:
            raise ValueError("SmallSystem: A (J,k,k) or (q,q), B (q,p+1), S (p+1,p+1)")
        for i in range(mo.m):
            mo.group[i], mo.row[i], mo.column[i] = elements[0, i], elements[1, i], elements[2, i]
            if not (0 <= mo.group[i] < mo.n_groups and 0 <= mo.column[i] <= mo.row[i] < mo.k[mo.group[i]]):
                raise IndexError("SmallSystem: elements of theta outside of their lambda")
        for i in range(mo.n_terms):
            mo.term_group[i], mo.term_start[i], mo.term_k[i] = terms[i, 0], terms[i, 1], terms[i, 2]
            mo.term_first[i], mo.term_end[i], mo.term_correlated[i] = terms[i, 3], terms[i, 4], terms[i, 5]
            if not (
                0 <= mo.term_group[i] < mo.n_groups and 0 <= mo.term_start[i] and 0 < mo.term_k[i]
                and mo.term_start[i] + mo.term_k[i] <= mo.k[mo.term_group[i]]
                and 0 <= mo.term_first[i] <= mo.term_end[i] <= mo.m
            ):
                raise IndexError("SmallSystem: terms outside of their factor")
        self.set_tolerances(tolerances)
        self.memory = np.empty(lay_out(mo, &self.w, NULL))
        lay_out(mo, &self.w, &self.memory[0])
        mo.A = &self.A[0]
        memcpy(self.w.B, &self.B[0, 0], q * (mo.p + 1) * sizeof(double))
        memcpy(self.w.S0, &self.S[0, 0], (mo.p + 1) * (mo.p + 1) * sizeof(double))

    def set_tolerances(self, values):
        cdef Tolerances *t = &self.mo.tol
        (
            t.decrement, t.remaining, t.certificate, t.rounding_decrement, t.nothing_left, t.singular,
            t.eigenvalue_floor, t.zero, t.criterion, t.shortest_rescaling, t.longest_rescaling,
            t.patience, t.iterations, t.halvings, t.escapes,
        ) = values

    def set_response(self, const double[::1] Zy, const double[::1] Xy, double yy):
        """Take another response: Z'Wy (q,), X'Wy (p,) and y'Wy."""
        cdef int64_t i, p1 = self.mo.p + 1
        if Zy.shape[0] != self.mo.q or Xy.shape[0] != self.mo.p:
            raise ValueError("set_response: Zy (q,), Xy (p,)")
        write_response(&self.mo, &self.w, &Zy[0], &Xy[0] if self.mo.p else NULL, yy)

    def _start(self, const double[::1] theta):
        if theta.shape[0] != self.mo.m:
            raise ValueError("theta (m,)")
        memcpy(self.w.theta, &theta[0], self.mo.m * sizeof(double))

    def solve(self, theta):
        """Deviance, r^2, log|M|, log|X'V0^-1X|, beta (p,) and L_X (p,p) at theta; None where there is no solution."""
        self._start(theta)
        cdef int failed
        with nogil:
            failed = evaluate(&self.mo, &self.w, self.w.theta)
        return None if failed else self._solution()

    def _solution(self):
        cdef int p = self.mo.p
        return (
            self.w.deviance, self.w.r2, self.w.ldL2, self.w.ldRX2,
            self._copy(self.w.beta, p), self._copy(self.w.LX, p * p).reshape(p, p),
        )

    cdef _copy(self, const double *at, int64_t size):
        out = np.empty(size)
        cdef double[::1] view = out
        if size:
            memcpy(&view[0], at, size * sizeof(double))
        return out

    def derivatives(self, theta):
        """Gradient (m,) and exact Hessian (m,m) at theta."""
        if self.solve(theta) is None:
            raise ValueError("not positive definite at this theta")
        cdef int m = self.mo.m
        with nogil:
            derive(&self.mo, &self.w)
        return self._copy(self.w.gradient, m), self._copy(self.w.hessian, m * m).reshape(m, m)

    def minimize(self, theta, tolerance):
        """Search from theta.

        Returns
        -------
        theta, gradient (m,), Hessian (m,m), solution (see `solve`), decrement, boundary decrement, converged,
        ending (see `Ending`), evaluations, rejected, iterations, log (n,3)
        """
        cdef Found found
        cdef double enough = tolerance
        cdef int m = self.mo.m
        self._start(theta)
        self.w.evaluations = self.w.rejected = 0
        with nogil:
            found = search(&self.mo, &self.w, enough)
        return (
            self._copy(self.w.theta, m), self._copy(self.w.gradient, m),
            self._copy(self.w.hessian, m * m).reshape(m, m), self._solution(), found.decrement, found.boundary,
            bool(found.converged), found.ending, self.w.evaluations, self.w.rejected, found.iterations,
            self._copy(self.w.log, 3 * found.logged).reshape(-1, 3),
        )

    def refit(self, const double[:, ::1] Zy, const double[:, ::1] Xy, const double[::1] yy, theta, tolerance):
        """Search for every response from one theta: (R,m) theta, (R,p) beta, (R,) deviance, r^2, certificate, ending.

        Zy (R,q), Xy (R,p), yy (R,). The certificate is the larger of the two decrements.
        """
        cdef int64_t r, R = yy.shape[0]
        cdef int m = self.mo.m, p = self.mo.p
        cdef Found found
        cdef double enough = tolerance
        if Zy.shape[0] != R or Xy.shape[0] != R or Zy.shape[1] != self.mo.q or Xy.shape[1] != p or len(theta) != m:
            raise ValueError("refit: Zy (R,q), Xy (R,p), yy (R,), theta (m,)")
        thetas, betas = np.empty((R, m)), np.full((R, p), np.nan)
        deviances, squares, certificates = np.full(R, np.nan), np.full(R, np.nan), np.full(R, np.nan)
        endings = np.empty(R, dtype=np.int32)
        cdef double[:, ::1] thetas_ = thetas, betas_ = betas
        cdef double[::1] deviances_ = deviances, squares_ = squares, certificates_ = certificates
        cdef int32_t[::1] endings_ = endings
        cdef const double[::1] start = theta
        with nogil:
            for r in range(R):
                write_response(&self.mo, &self.w, &Zy[r, 0], &Xy[r, 0] if p else NULL, yy[r])
                memcpy(self.w.theta, &start[0], m * sizeof(double))
                found = search_twice(&self.mo, &self.w, enough)
                endings_[r] = found.ending
                if found.ending >= NOT_POSITIVE_DEFINITE:
                    memcpy(&thetas_[r, 0], &start[0], m * sizeof(double))
                    continue
                settle(&self.mo, &self.w)
                memcpy(&thetas_[r, 0], self.w.theta, m * sizeof(double))
                if p:
                    memcpy(&betas_[r, 0], self.w.beta, p * sizeof(double))
                deviances_[r], squares_[r] = self.w.deviance, self.w.r2
                certificates_[r] = max(found.decrement, found.boundary)
        return thetas, betas, deviances, squares, certificates, endings


cdef void write_response(const Model *mo, Work *w, const double *Zy, const double *Xy, double yy) noexcept nogil:
    cdef int64_t i, p1 = mo.p + 1
    for i in range(mo.q):
        w.B[i * p1 + mo.p] = Zy[i]
    for i in range(mo.p):
        w.S0[i * p1 + mo.p] = Xy[i]
        w.S0[mo.p * p1 + i] = Xy[i]
    w.S0[mo.p * p1 + mo.p] = yy
