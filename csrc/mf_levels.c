#include "mf_levels.h"

#include "mf_dispatch.h"

#include <math.h>

MF_INLINE int64_t factor_body(int64_t n_levels, int32_t k, const double *A, const double *lambda, double *T,
                           double *logdet)
{
    double product = 1.0, total = 0.0;
    double M[MF_MAX_K * MF_MAX_K];
    for (int64_t j = 0; j < n_levels; j++, A += k * k, T += k * k) {
        /* T holds A lambda for a moment, then lambda' A lambda goes to M's lower triangle */
        for (int32_t a = 0; a < k; a++)
            for (int32_t b = 0; b < k; b++) {
                double sum = 0.0;
                for (int32_t c = b; c < k; c++) sum += A[a * k + c] * lambda[c * k + b];
                T[a * k + b] = sum;
            }
        for (int32_t a = 0; a < k; a++)
            for (int32_t b = 0; b <= a; b++) {
                double sum = a == b ? 1.0 : 0.0;
                for (int32_t c = a; c < k; c++) sum += lambda[c * k + a] * T[c * k + b];
                M[a * k + b] = sum;
            }
        for (int32_t b = 0; b < k; b++) {
            double pivot = M[b * k + b];
            for (int32_t c = 0; c < b; c++) pivot -= M[b * k + c] * M[b * k + c];
            if (!(pivot > 0.0) || isinf(pivot)) return j + 1;
            /* log of products: one log in a few dozen pivots instead of one each */
            product *= pivot;
            if (product > 1e200 || product < 1e-200) {
                total += log(product);
                product = 1.0;
            }
            double root = sqrt(pivot);
            M[b * k + b] = root;
            for (int32_t a = b + 1; a < k; a++) {
                double sum = M[a * k + b];
                for (int32_t c = 0; c < b; c++) sum -= M[a * k + c] * M[b * k + c];
                M[a * k + b] = sum / root;
            }
        }
        for (int32_t b = 0; b < k; b++)
            for (int32_t a = 0; a < k; a++) {
                double sum = lambda[b * k + a]; /* (lambda')_ab */
                for (int32_t c = 0; c < a; c++) sum -= M[a * k + c] * T[c * k + b];
                T[a * k + b] = sum / M[a * k + a];
            }
    }
    *logdet = total + log(product);
    return 0;
}

MF_INLINE void half_body(int64_t n_levels, int32_t k, int32_t r, const double *T, const double *B, double *U)
{
    for (int64_t j = 0; j < n_levels; j++, T += k * k, B += (int64_t)k * r, U += (int64_t)k * r)
        for (int32_t a = 0; a < k; a++) {
            double *u = U + (int64_t)a * r;
            for (int32_t i = 0; i < r; i++) u[i] = T[a * k] * B[i];
            for (int32_t b = 1; b < k; b++)
                for (int32_t i = 0; i < r; i++) u[i] += T[a * k + b] * B[(int64_t)b * r + i];
        }
}

MF_INLINE void project_body(int64_t n_levels, int32_t k, int32_t r, const double *A, const double *T,
                         const double *B, double *C)
{
    double TA[MF_MAX_K * MF_MAX_K], P[MF_MAX_K * MF_MAX_K];
    for (int64_t j = 0; j < n_levels; j++, A += k * k, T += k * k, B += (int64_t)k * r, C += (int64_t)k * r) {
        for (int32_t a = 0; a < k; a++)
            for (int32_t b = 0; b < k; b++) {
                double sum = 0.0;
                for (int32_t c = 0; c < k; c++) sum += T[a * k + c] * A[c * k + b];
                TA[a * k + b] = sum;
            }
        for (int32_t a = 0; a < k; a++)
            for (int32_t b = 0; b < k; b++) {
                double sum = a == b ? 1.0 : 0.0;
                for (int32_t c = 0; c < k; c++) sum -= TA[c * k + a] * T[c * k + b];
                P[a * k + b] = sum;
            }
        for (int32_t a = 0; a < k; a++) {
            double *c = C + (int64_t)a * r;
            for (int32_t i = 0; i < r; i++) c[i] = P[a * k] * B[i];
            for (int32_t b = 1; b < k; b++)
                for (int32_t i = 0; i < r; i++) c[i] += P[a * k + b] * B[(int64_t)b * r + i];
        }
    }
}

MF_INLINE void k_body(int64_t n_levels, int32_t k, const double *A, const double *T, double *D)
{
    double TA[MF_MAX_K * MF_MAX_K];
    for (int64_t j = 0; j < n_levels; j++, A += k * k, T += k * k, D += k * k) {
        for (int32_t a = 0; a < k; a++)
            for (int32_t b = 0; b < k; b++) {
                double sum = 0.0;
                for (int32_t c = 0; c < k; c++) sum += T[a * k + c] * A[c * k + b];
                TA[a * k + b] = sum;
            }
        for (int32_t a = 0; a < k; a++)
            for (int32_t b = 0; b <= a; b++) {
                double sum = A[a * k + b];
                for (int32_t c = 0; c < k; c++) sum -= TA[c * k + a] * TA[c * k + b];
                D[a * k + b] = D[b * k + a] = sum;
            }
    }
}

int64_t mf_levels_factor(int64_t n_levels, int32_t k, const double *A, const double *lambda, double *T,
                         double *logdet)
{
    int64_t status = 0;
    DISPATCH(k, status = factor_body(n_levels, K, A, lambda, T, logdet));
    return status;
}

void mf_levels_multiply(int64_t n_levels, int32_t k, int32_t r, const double *T, const double *B, double *U)
{
    DISPATCH(k, half_body(n_levels, K, r, T, B, U));
}

void mf_levels_project(int64_t n_levels, int32_t k, int32_t r, const double *A, const double *T,
                       const double *B, double *C)
{
    DISPATCH(k, project_body(n_levels, K, r, A, T, B, C));
}

void mf_levels_k(int64_t n_levels, int32_t k, const double *A, const double *T, double *D)
{
    DISPATCH(k, k_body(n_levels, K, A, T, D));
}
