#include "mf_levels.h"

#include <assert.h>
#include <math.h>

#include "mf_dispatch.h"

/* out (m, r) = X (m, m) B (m, r). */
MF_INLINE void multiply_block(int32_t m, int32_t r, const double *X, const double *B, double *out)
{
    for (int32_t a = 0; a < m; a++) {
        double *row = out + (int64_t)a * r;
        for (int32_t i = 0; i < r; i++) row[i] = X[a * m] * B[i];
        for (int32_t b = 1; b < m; b++)
            for (int32_t i = 0; i < r; i++) row[i] += X[a * m + b] * B[(int64_t)b * r + i];
    }
}

/* TA = T A, all k x k. */
MF_INLINE void multiply_square(int32_t k, const double *T, const double *A, double *TA)
{
    for (int32_t a = 0; a < k; a++)
        for (int32_t b = 0; b < k; b++) {
            double sum = 0.0;
            for (int32_t c = 0; c < k; c++) sum += T[a * k + c] * A[c * k + b];
            TA[a * k + b] = sum;
        }
}

/* Lower triangle of M = lambda' A lambda + I; A_lambda (k, k) is workspace. */
MF_INLINE void scale_block(int32_t k, const double *A, const double *lambda, double *A_lambda,
                           double *M)
{
    for (int32_t a = 0; a < k; a++)
        for (int32_t b = 0; b < k; b++) {
            double sum = 0.0;
            for (int32_t c = b; c < k; c++) sum += A[a * k + c] * lambda[c * k + b];
            A_lambda[a * k + b] = sum;
        }
    for (int32_t a = 0; a < k; a++)
        for (int32_t b = 0; b <= a; b++) {
            double sum = a == b ? 1.0 : 0.0;
            for (int32_t c = a; c < k; c++) sum += lambda[c * k + a] * A_lambda[c * k + b];
            M[a * k + b] = sum;
        }
}

/* The log of a product of pivots, with one logarithm per few dozen pivots. */
typedef struct {
    double product, total;
} log_product;

MF_INLINE void multiply_by(log_product *sum, double pivot)
{
    sum->product *= pivot;
    if (sum->product > 1e200 || sum->product < 1e-200) {
        sum->total += log(sum->product);
        sum->product = 1.0;
    }
}

/* Cholesky factor of M in its lower triangle; returns whether every pivot was positive and finite.
 */
MF_INLINE int factor_block(int32_t k, double *M, log_product *logdet)
{
    for (int32_t b = 0; b < k; b++) {
        double pivot = M[b * k + b];
        for (int32_t c = 0; c < b; c++) pivot -= M[b * k + c] * M[b * k + c];
        if (!(pivot > 0.0) || isinf(pivot)) return 0;
        multiply_by(logdet, pivot);
        double root = sqrt(pivot);
        M[b * k + b] = root;
        for (int32_t a = b + 1; a < k; a++) {
            double sum = M[a * k + b];
            for (int32_t c = 0; c < b; c++) sum -= M[a * k + c] * M[b * k + c];
            M[a * k + b] = sum / root;
        }
    }
    return 1;
}

MF_INLINE int64_t factor_body(int64_t n_levels, int32_t k, const double *A, const double *lambda,
                              double *T, double *logdet)
{
    log_product sum = {1.0, 0.0};
    double M[MF_MAX_K * MF_MAX_K];
    for (int64_t j = 0; j < n_levels; j++, A += k * k, T += k * k) {
        scale_block(k, A, lambda, T, M);
        if (!factor_block(k, M, &sum)) return j + 1;
        for (int32_t b = 0; b < k; b++)
            for (int32_t a = 0; a < k; a++) {
                double entry = lambda[b * k + a];
                for (int32_t c = 0; c < a; c++) entry -= M[a * k + c] * T[c * k + b];
                T[a * k + b] = entry / M[a * k + a];
            }
    }
    *logdet = sum.total + log(sum.product);
    return 0;
}

MF_INLINE void multiply_body(int64_t n_levels, int32_t k, int32_t r, const double *T,
                             const double *B, double *U)
{
    int64_t step = (int64_t)k * r;
    for (int64_t j = 0; j < n_levels; j++, T += k * k, B += step, U += step)
        multiply_block(k, r, T, B, U);
}

MF_INLINE void project_body(int64_t n_levels, int32_t k, int32_t r, const double *A,
                            const double *T, const double *B, double *C)
{
    double TA[MF_MAX_K * MF_MAX_K], P[MF_MAX_K * MF_MAX_K]; /* P = I - A T'T */
    int64_t step = (int64_t)k * r;
    for (int64_t j = 0; j < n_levels; j++, A += k * k, T += k * k, B += step, C += step) {
        multiply_square(k, T, A, TA);
        for (int32_t a = 0; a < k; a++)
            for (int32_t b = 0; b < k; b++) {
                double sum = a == b ? 1.0 : 0.0;
                for (int32_t c = 0; c < k; c++) sum -= TA[c * k + a] * T[c * k + b];
                P[a * k + b] = sum;
            }
        multiply_block(k, r, P, B, C);
    }
}

MF_INLINE void k_body(int64_t n_levels, int32_t k, const double *A, const double *T, double *K)
{
    double TA[MF_MAX_K * MF_MAX_K];
    for (int64_t j = 0; j < n_levels; j++, A += k * k, T += k * k, K += k * k) {
        multiply_square(k, T, A, TA);
        for (int32_t a = 0; a < k; a++)
            for (int32_t b = 0; b <= a; b++) {
                double sum = A[a * k + b];
                for (int32_t c = 0; c < k; c++) sum -= TA[c * k + a] * TA[c * k + b];
                K[a * k + b] = K[b * k + a] = sum;
            }
    }
}

int64_t mf_levels_factor(int64_t n_levels, int32_t k, const double *A, const double *lambda,
                         double *T, double *logdet)
{
    int64_t status = 0;
    assert(k <= MF_MAX_K);
    MF_DISPATCH(k, N, status = factor_body(n_levels, N, A, lambda, T, logdet));
    return status;
}

void mf_levels_multiply(int64_t n_levels, int32_t k, int32_t r, const double *T, const double *B,
                        double *U)
{
    MF_DISPATCH(k, N, multiply_body(n_levels, N, r, T, B, U));
}

void mf_levels_project(int64_t n_levels, int32_t k, int32_t r, const double *A, const double *T,
                       const double *B, double *C)
{
    assert(k <= MF_MAX_K);
    MF_DISPATCH(k, N, project_body(n_levels, N, r, A, T, B, C));
}

void mf_levels_k(int64_t n_levels, int32_t k, const double *A, const double *T, double *K)
{
    assert(k <= MF_MAX_K);
    MF_DISPATCH(k, N, k_body(n_levels, N, A, T, K));
}
