#include "mf_moments.h"

#include <string.h>

#include "mf_dispatch.h"

/* Where each sum begins in the workspace. Symmetric k x k matrices are summed by their lower
 * triangle, h = k (k + 1) / 2 numbers: K, vv, DD (h each); v v' x K, K x K, K x D D' (h, h);
 * v x D (k, kp), D x D (kp, kp). */
typedef struct {
    int64_t h, kp, K, vv, DD, vKv, KK, KDD, vD, DxD, size;
} layout;

static layout lay_out(int32_t k, int32_t p, int with_DxD)
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
    at.size = at.DxD + (with_DxD ? at.kp * at.kp : 0); /* the largest, with many columns */
    return at;
}

int64_t mf_level_moments_work(int32_t k, int32_t p, int with_DxD)
{
    layout at = lay_out(k, p, with_DxD);
    return 2 * at.size + at.kp + 3 * at.h;
}

/* sums (m, n) += a b' */
MF_INLINE void add_outer(int32_t m, int32_t n, const double *a, const double *b,
                         double *MF_RESTRICT sums)
{
    for (int32_t i = 0; i < m; i++)
        for (int32_t l = 0; l < n; l++) sums[(int64_t)i * n + l] += a[i] * b[l];
}

/* Add the levels of one run. D (kp) and, behind it, packed triangles are workspace. */
MF_INLINE void run_body(int64_t n_levels, int32_t k, int32_t p, const double *K, const double *C,
                        const double *W, const double *beta, double *v, int with_KK, int with_DxD,
                        layout at, double *MF_RESTRICT sums, double *MF_RESTRICT D)
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
                for (int32_t s = 0; s < p; s++)
                    dot += D[(int64_t)a * p + s] * D[(int64_t)b * p + s];
                pack_v[i] = v[a] * v[b];
                pack_D[i] = dot;
            }
        for (int32_t i = 0; i < h; i++) {
            sums[at.vv + i] += pack_v[i];
            sums[at.DD + i] += pack_D[i];
        }
        add_outer(k, kp, v, D, sums + at.vD);
        for (int32_t x = 0; with_DxD && x < kp; x++)
            for (int32_t y = 0; y <= x; y++) sums[at.DxD + (int64_t)x * kp + y] += D[x] * D[y];
        if (!K) continue;
        for (int32_t a = 0, i = 0; a < k; a++)
            for (int32_t b = 0; b <= a; b++, i++) {
                pack_K[i] = K[a * k + b];
                sums[at.K + i] += pack_K[i];
            }
        add_outer(h, h, pack_v, pack_K, sums + at.vKv);
        if (with_KK) add_outer(h, h, pack_K, pack_K, sums + at.KK);
        if (with_DxD) add_outer(h, h, pack_K, pack_D, sums + at.KDD);
        K += k * k;
    }
}

/* With p == 2, an intercept and a slope, loops over p cost more than their bodies: unrolled. */
MF_CLONES static void add_run(int64_t n_levels, int32_t k, int32_t p, const double *K,
                              const double *C, const double *W, const double *beta, double *v,
                              int with_KK, int with_DxD, layout at, double *sums, double *D)
{
    if (p == 2) {
        MF_DISPATCH(k, N,
                    run_body(n_levels, N, 2, K, C, W, beta, v, with_KK, with_DxD, at, sums, D));
    } else {
        MF_DISPATCH(k, N,
                    run_body(n_levels, N, p, K, C, W, beta, v, with_KK, with_DxD, at, sums, D));
    }
}

/* Place of (a, b), or of (b, a), in a packed lower triangle. */
static int64_t packed(int32_t a, int32_t b)
{
    return a >= b ? (int64_t)a * (a + 1) / 2 + b : (int64_t)b * (b + 1) / 2 + a;
}

/* out[a,b,c,d] = sums[(a,d),(b,c)] or, transposed, sums[(b,c),(a,d)]. */
static void unpack(int32_t k, int transposed, const double *sums, double *out)
{
    int64_t h = (int64_t)k * (k + 1) / 2;
    for (int32_t a = 0; a < k; a++)
        for (int32_t b = 0; b < k; b++)
            for (int32_t c = 0; c < k; c++)
                for (int32_t d = 0; d < k; d++) {
                    int64_t outer = packed(a, d), inner = packed(b, c);
                    *out++ = transposed ? sums[inner * h + outer] : sums[outer * h + inner];
                }
}

/* DxD[a,b,t,s] from the lower triangle over (a,t), (b,s). */
static void unpack_DxD(int32_t k, int32_t p, const double *sums, double *out)
{
    int64_t kp = (int64_t)k * p;
    for (int32_t a = 0; a < k; a++)
        for (int32_t b = 0; b < k; b++)
            for (int32_t t = 0; t < p; t++)
                for (int32_t s = 0; s < p; s++) {
                    int64_t x = (int64_t)a * p + t, y = (int64_t)b * p + s;
                    *out++ = x >= y ? sums[x * kp + y] : sums[y * kp + x];
                }
}

static void write_out(int32_t k, int32_t p, int with_K, layout at, const double *total,
                      const mf_moments *sums)
{
    for (int32_t a = 0; a < k; a++)
        for (int32_t b = 0; b < k; b++) {
            sums->vv[a * k + b] = total[at.vv + packed(a, b)];
            sums->DD[a * k + b] = total[at.DD + packed(a, b)];
        }
    if (at.kp) memcpy(sums->vD, total + at.vD, (size_t)(k * at.kp) * sizeof *total);
    if (sums->DxD) unpack_DxD(k, p, total + at.DxD, sums->DxD);
    if (!with_K) return;
    for (int32_t a = 0; a < k; a++)
        for (int32_t b = 0; b < k; b++) sums->K[a * k + b] = total[at.K + packed(a, b)];
    unpack(k, 0, total + at.vKv, sums->vKv);
    if (sums->KK) unpack(k, 1, total + at.KK, sums->KK);
    if (sums->KDD) unpack(k, 1, total + at.KDD, sums->KDD);
}

void mf_level_moments(int64_t n_levels, int32_t k, int32_t p, const double *K_blocks,
                      const double *C, const double *W, const double *beta, double *v,
                      const mf_moments *sums, double *work)
{
    const int with_KK = sums->KK != NULL, with_DxD = sums->DxD != NULL;
    const layout at = lay_out(k, p, with_DxD);
    double *total = work, *run = work + at.size, *D = work + 2 * at.size;
    memset(total, 0, (size_t)at.size * sizeof *total);
    for (int64_t first = 0; first < n_levels; first += MF_RUN) {
        int64_t count = n_levels - first < MF_RUN ? n_levels - first : MF_RUN;
        memset(run, 0, (size_t)at.size * sizeof *run);
        add_run(count, k, p, K_blocks ? K_blocks + first * k * k : NULL, C + first * k * (p + 1), W,
                beta, v + first * k, with_KK, with_DxD, at, run, D);
        for (int64_t i = 0; i < at.size; i++) total[i] += run[i];
    }
    write_out(k, p, K_blocks != NULL, at, total, sums);
}
