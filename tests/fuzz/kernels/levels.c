/* mf_levels_*: T, U, C and K of each level by dense algebra, for k up to 9 and singular lambda too.
 */
#include "dense.h"
#include "mf_levels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes in = {data, size, 0};
    int32_t k = 1 + (int32_t)below(&in, 9), r = 1 + (int32_t)below(&in, 4);
    int64_t J = 1 + below(&in, 4), kk = (int64_t)k * k;
    int broken = below(&in, 8) == 0; /* a level with a pivot that is not positive, or not finite */
    double *lambda = lower_triangle(&in, k), *A = nothing(J * kk), *B = numbers(&in, J * k * r);
    for (int64_t j = 0; j < J; j++) {
        double *block = gram(&in, 1 + below(&in, 4), k);
        memcpy(A + j * kk, block, (size_t)kk * sizeof *block);
        free(block);
    }
    int64_t bad = below(&in, J);
    if (broken) A[bad * kk] = below(&in, 2) ? -1e6 : NAN;
    double *T = nothing(J * kk), *U = nothing(J * k * r), *C = nothing(J * k * r),
           *K = nothing(J * kk), logdet = NAN;
    int64_t status = mf_levels_factor(J, k, A, lambda, T, &logdet);
    if (broken) {
        require(status == 0 || status == bad + 1, "the failing level is returned");
    } else {
        require(status == 0, "A is positive semidefinite: M is positive definite");
        mf_levels_multiply(J, k, r, T, B, U);
        mf_levels_project(J, k, r, A, T, B, C);
        mf_levels_k(J, k, A, T, K);
        double total = 0.0;
        for (int64_t j = 0; j < J; j++) {
            double *half = product(k, k, k, lambda, 1, A + j * kk, 0),
                   *M = product(k, k, k, half, 0, lambda, 0);
            double scale = largest(kk, M);
            for (int32_t a = 0; a < k; a++) M[a * k + a] += 1.0;
            double *L = root_of(k, M), *expected = zeros(kk);
            require(L != NULL, "plain M is positive definite");
            for (int32_t a = 0; a < k; a++) {
                total += 2.0 * log(L[a * k + a]);
                for (int32_t b = 0; b < k; b++) expected[a * k + b] = lambda[b * k + a];
            }
            solve_root(k, L, 0, k, expected);
            same(kk, T + j * kk, expected, scale, "T");
            /* the next steps start from the kernel's own T: T'T may be ill-conditioned, these steps
             * are not */
            double *TB = product(k, k, r, T + j * kk, 0, B + j * k * r, 0),
                   *TA = product(k, k, k, T + j * kk, 0, A + j * kk, 0);
            double *ATTA = product(k, k, k, TA, 1, TA, 0), *ATTB = product(k, k, r, TA, 1, TB, 0);
            same((int64_t)k * r, U + j * k * r, TB, scale * largest((int64_t)k * r, B), "U");
            double most = largest(kk, A + j * kk) * (1.0 + largest(kk, T + j * kk)) *
                          (1.0 + largest(kk, T + j * kk));
            for (int64_t i = 0; i < kk; i++)
                require(
                    close(K[j * kk + i], A[j * kk + i] - ATTA[i], most * largest(kk, A + j * kk)),
                    "K");
            for (int64_t i = 0; i < (int64_t)k * r; i++)
                require(close(C[j * k * r + i], B[j * k * r + i] - ATTB[i],
                              most * largest((int64_t)k * r, B)),
                        "C");
            free(ATTB);
            free(ATTA);
            free(TA);
            free(TB);
            free(expected);
            free(L);
            free(M);
            free(half);
        }
        require(close(logdet, total, fabs(total)), "the log-determinant");
    }
    free(K);
    free(C);
    free(U);
    free(T);
    free(B);
    free(A);
    free(lambda);
    return 0;
}
