#include "mf_moments.h"

#include <string.h>

#include "mf_dispatch.h"

/* Symmetric k x k matrices are summed by their lower triangle, h = k (k + 1) / 2 numbers. The sums follow
 * one another: K, vv, DD (h each); v v' x K, K x K, K x D D' (h x h each); v x D (k, k p); D x D (k p, k p). */
typedef struct {
    int64_t h, kp, K, vv, DD, vKv, KK, KDD, vD, DxD, size;
} layout;

static layout lay_out(int32_t k, int32_t p, int third)
{
    layout at;
    at.h = (int64_t)k * (k + 1) / 2;
    at.kp = (int64_t)k * p;
    at.K = 0;
    at.vv = at.h;
    at.DD = 2 * at.h;
    at.vKv = 3 * at.h;
    at.KK = at.vKv + at.h * at.h;
    at.KDD = at.KK + at.h * at.h;
    at.vD = at.KDD + at.h * at.h;
    at.DxD = at.vD + k * at.kp;
    at.size = at.DxD + (third ? at.kp * at.kp : 0); /* by far the most, where there are many columns */
    return at;
}

int64_t mf_level_moments_work(int32_t k, int32_t p, int third)
{
    layout at = lay_out(k, p, third);
    return 2 * at.size + at.kp + 3 * at.h;
}

MF_INLINE void outer(int32_t m, int32_t n, const double *a, const double *b, double *MF_RESTRICT sums)
{
    for (int32_t i = 0; i < m; i++)
        for (int32_t l = 0; l < n; l++) sums[(int64_t)i * n + l] += a[i] * b[l];
}

MF_INLINE void run_body(int64_t n_levels, int32_t k, int32_t p, const double *K, const double *C, const double *W,
                     const double *beta, double *v, int pairs, int fixed, layout at, double *MF_RESTRICT sums, double *MF_RESTRICT D)
{
    const int32_t h = k * (k + 1) / 2, kp = k * p;
    double *pack_K = D + kp, *pack_v = pack_K + h, *pack_D = pack_v + h;
    for (int64_t j = 0; j < n_levels; j++, C += (int64_t)k * (p + 1), v += k) {
        for (int32_t a = 0; a < k; a++) {
            const double *c = C + (int64_t)a * (p + 1);
            double *d = D + (int64_t)a * p, rest = c[p];
            for (int32_t s = 0; s < p; s++) d[s] = 0.0;
            for (int32_t t = 0; t < p; t++) {
                rest -= c[t] * beta[t];
                for (int32_t s = t; s < p; s++) d[s] += c[t] * W[(int64_t)t * p + s];
            }
            v[a] = rest;
        }
        for (int32_t a = 0, i = 0; a < k; a++)
            for (int32_t b = 0; b <= a; b++, i++) {
                double dot = 0.0;
                for (int32_t s = 0; s < p; s++) dot += D[(int64_t)a * p + s] * D[(int64_t)b * p + s];
                pack_v[i] = v[a] * v[b];
                pack_D[i] = dot;
            }
        for (int32_t i = 0; i < h; i++) {
            sums[at.vv + i] += pack_v[i];
            sums[at.DD + i] += pack_D[i];
        }
        outer(k, kp, v, D, sums + at.vD);
        for (int32_t x = 0; fixed && x < kp; x++)
            for (int32_t y = 0; y <= x; y++) sums[at.DxD + (int64_t)x * kp + y] += D[x] * D[y];
        if (!K) continue;
        for (int32_t a = 0, i = 0; a < k; a++)
            for (int32_t b = 0; b <= a; b++, i++) {
                pack_K[i] = K[a * k + b];
                sums[at.K + i] += pack_K[i];
            }
        outer(h, h, pack_v, pack_K, sums + at.vKv);
        if (pairs) outer(h, h, pack_K, pack_K, sums + at.KK);
        if (fixed) outer(h, h, pack_K, pack_D, sums + at.KDD);
        K += k * k;
    }
}

MF_CLONES static void one_run(int64_t n_levels, int32_t k, int32_t p, const double *blocks, const double *C,
                              const double *W, const double *beta, double *v, int pairs, int fixed, layout at,
                              double *sums, double *D)
{
#define RUN(P) DISPATCH(k, run_body(n_levels, K, P, blocks, C, W, beta, v, pairs, fixed, at, sums, D))
    if (p == 2) { /* an intercept and a slope: loops over two columns cost more than what is in them */
        RUN(2);
    } else {
        RUN(p);
    }
#undef RUN
}

static int64_t lower(int32_t a, int32_t b) { return a >= b ? (int64_t)a * (a + 1) / 2 + b : (int64_t)b * (b + 1) / 2 + a; }

/* out[a,b,c,d] = sums[(a,d), (b,c)] or, turned, sums[(b,c), (a,d)]. */
static void spread(int32_t k, int turned, const double *sums, double *out)
{
    int64_t h = (int64_t)k * (k + 1) / 2;
    for (int32_t a = 0; a < k; a++)
        for (int32_t b = 0; b < k; b++)
            for (int32_t c = 0; c < k; c++)
                for (int32_t d = 0; d < k; d++)
                    *out++ = turned ? sums[lower(b, c) * h + lower(a, d)] : sums[lower(a, d) * h + lower(b, c)];
}

static void write_out(int32_t k, int32_t p, int with_blocks, layout at, const double *total, const mf_moments *sums)
{
    for (int32_t a = 0; a < k; a++)
        for (int32_t b = 0; b < k; b++) {
            sums->vv[a * k + b] = total[at.vv + lower(a, b)];
            sums->DD[a * k + b] = total[at.DD + lower(a, b)];
        }
    if (at.kp) memcpy(sums->vD, total + at.vD, (size_t)(k * at.kp) * sizeof *total);
    double *out = sums->DxD;
    for (int32_t a = 0; out && a < k; a++)
        for (int32_t b = 0; b < k; b++)
            for (int32_t t = 0; t < p; t++)
                for (int32_t s = 0; s < p; s++) {
                    int64_t x = (int64_t)a * p + t, y = (int64_t)b * p + s;
                    *out++ = total[at.DxD + (x >= y ? x * at.kp + y : y * at.kp + x)];
                }
    if (!with_blocks) return;
    for (int32_t a = 0; a < k; a++)
        for (int32_t b = 0; b < k; b++) sums->K[a * k + b] = total[at.K + lower(a, b)];
    spread(k, 0, total + at.vKv, sums->vKv);
    if (sums->KK) spread(k, 1, total + at.KK, sums->KK);
    if (sums->KDD) spread(k, 1, total + at.KDD, sums->KDD);
}

void mf_level_moments(int64_t n_levels, int32_t k, int32_t p, const double *blocks, const double *C,
                      const double *W, const double *beta, double *v, const mf_moments *sums, double *work)
{
    const layout at = lay_out(k, p, sums->DxD != NULL);
    double *total = work, *run = work + at.size, *D = work + 2 * at.size;
    memset(total, 0, (size_t)at.size * sizeof *total);
    for (int64_t first = 0; first < n_levels; first += MF_RUN) {
        int64_t count = n_levels - first < MF_RUN ? n_levels - first : MF_RUN;
        memset(run, 0, (size_t)at.size * sizeof *run);
        one_run(count, k, p, blocks ? blocks + first * k * k : NULL, C + first * k * (p + 1), W, beta, v + first * k,
                sums->KK != NULL, sums->DxD != NULL, at, run, D);
        for (int64_t i = 0; i < at.size; i++) total[i] += run[i];
    }
    write_out(k, p, blocks != NULL, at, total, sums);
}
