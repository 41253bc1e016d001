/* mf_level_moments: each sum over levels by its definition. */
#include "dense.h"
#include "mf_moments.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes in = {data, size, 0};
    int32_t k = 1 + (int32_t)below(&in, 5), p = (int32_t)below(&in, 4);
    int64_t J = below(&in, 64) == 63 ? 1025 + below(&in, 100) : 1 + below(&in, 6),
            kk = (int64_t)k * k, kp = (int64_t)k * p;
    /* without K its sums are left alone */
    int with_K = below(&in, 4) != 3, with_KK = (int)below(&in, 2), with_DxD = (int)below(&in, 2);
    double *K = nothing(J * kk), *C = numbers(&in, J * k * (p + 1)),
           *W = numbers(&in, (int64_t)p * p), *beta = numbers(&in, p);
    for (int64_t j = 0; j < J; j++) {
        double *block = gram(&in, 2, k);
        memcpy(K + j * kk, block, (size_t)kk * sizeof *block);
        free(block);
    }
    for (int32_t t = 0; t < p; t++)
        for (int32_t s = 0; s < t; s++) W[t * p + s] = 0.0;
    double *v = nothing(J * k), *work = nothing(mf_level_moments_work(k, p, with_DxD));
    mf_moments sums = {nothing(kk),
                       nothing(kk),
                       nothing(kk),
                       nothing(kk * kk),
                       nothing(k * kp),
                       with_K && with_KK ? nothing(kk * kk) : NULL,
                       with_K && with_DxD ? nothing(kk * kk) : NULL,
                       with_DxD ? nothing(kp * kp) : NULL};
    mf_level_moments(J, k, p, with_K ? K : NULL, C, W, beta, v, &sums, work);

    double *D = zeros(J * kp), *E = zeros(J * kk);
    for (int64_t j = 0; j < J; j++)
        for (int32_t a = 0; a < k; a++) {
            const double *c = C + (j * k + a) * (p + 1);
            double rest = c[p];
            for (int32_t t = 0; t < p; t++) {
                rest -= c[t] * beta[t];
                for (int32_t s = 0; s < p; s++) D[j * kp + a * p + s] += c[t] * W[t * p + s];
            }
            require(v[j * k + a] == rest, "v");
        }
    for (int64_t j = 0; j < J; j++)
        for (int32_t a = 0; a < k; a++)
            for (int32_t b = 0; b < k; b++)
                for (int32_t s = 0; s < p; s++)
                    E[j * kk + a * k + b] += D[j * kp + a * p + s] * D[j * kp + b * p + s];
#define SUM(WHAT, OURS, TERM)                                               \
    do {                                                                    \
        double sum = 0.0, size_ = 0.0;                                      \
        for (int64_t j = 0; j < J; j++) sum += (TERM), size_ += fabs(TERM); \
        require(close((OURS), sum, size_), WHAT);                           \
    } while (0)
#define K_(a, b) K[j * kk + (a) * k + (b)]
#define E_(a, b) E[j * kk + (a) * k + (b)]
#define D_(a, s) D[j * kp + (a) * p + (s)]
#define V_(a) v[j * k + (a)]
    for (int32_t a = 0; a < k; a++)
        for (int32_t b = 0; b < k; b++) {
            if (with_K) SUM("K", sums.K[a * k + b], K_(a, b));
            SUM("vv", sums.vv[a * k + b], V_(a) * V_(b));
            SUM("DD", sums.DD[a * k + b], E_(a, b));
            for (int32_t s = 0; s < p; s++)
                SUM("vD", sums.vD[(a * k + b) * p + s], V_(a) * D_(b, s));
            for (int32_t c = 0; with_K && c < k; c++)
                for (int32_t d = 0; d < k; d++) {
                    int64_t at = ((a * k + b) * k + c) * k + d;
                    SUM("vKv", sums.vKv[at], V_(a) * K_(b, c) * V_(d));
                    if (with_KK) SUM("KK", sums.KK[at], K_(b, c) * K_(a, d));
                    if (with_DxD) SUM("KDD", sums.KDD[at], K_(b, c) * E_(a, d));
                }
            for (int32_t t = 0; with_DxD && t < p; t++)
                for (int32_t s = 0; s < p; s++)
                    SUM("DxD", sums.DxD[((a * k + b) * p + t) * p + s], D_(a, t) * D_(b, s));
        }
    double *made[] = {K,       C,        W,       beta,    v,        work,     sums.K, sums.vv,
                      sums.DD, sums.vKv, sums.vD, sums.KK, sums.KDD, sums.DxD, D,      E};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) free(made[i]);
    return 0;
}
