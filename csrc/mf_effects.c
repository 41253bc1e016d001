#include "mf_effects.h"

#include <stddef.h>

#include "mf_dispatch.h"

static const double one = 1.0;

/* Row i of Z: the constant where there is no array. */
MF_INLINE const double *row_of(const double *z, int64_t i, int32_t k)
{
    return z == NULL ? &one : z + i * k;
}

MF_INLINE void add_body(int64_t n, int32_t k, const int32_t *codes, const double *z,
                        const double *b, double *out)
{
    for (int64_t i = 0; i < n; i++) {
        const double *own = row_of(z, i, k), *effects = b + (int64_t)codes[i] * k;
        double sum = 0.0;
        for (int32_t a = 0; a < k; a++) sum += own[a] * effects[a];
        out[i] += sum;
    }
}

MF_INLINE void sum_body(int64_t n, int32_t k, const int32_t *codes, const double *z,
                        const double *r, double *out)
{
    for (int64_t i = 0; i < n; i++) {
        const double *own = row_of(z, i, k);
        double *level = out + (int64_t)codes[i] * k;
        for (int32_t a = 0; a < k; a++) level[a] += r[i] * own[a];
    }
}

MF_INLINE void cross_body(int64_t n, int32_t k, int32_t m, const int32_t *cells, const double *z,
                          const double *y, const double *w, double *out)
{
    for (int64_t i = 0; i < n; i++) {
        const double *left = row_of(z, i, k), *right = row_of(y, i, m);
        double *cell = out + (int64_t)cells[i] * k * m;
        for (int32_t a = 0; a < k; a++) {
            double own = w[i] * left[a];
            for (int32_t b = 0; b < m; b++) cell[a * m + b] += own * right[b];
        }
    }
}

MF_INLINE void quadratic_body(int64_t n, int32_t k, int32_t m, const int32_t *cells,
                              const double *z, const double *y, const double *Q, double scale,
                              double *out)
{
    for (int64_t i = 0; i < n; i++) {
        const double *left = row_of(z, i, k), *right = row_of(y, i, m);
        const double *cell = Q + (int64_t)cells[i] * k * m;
        double sum = 0.0;
        for (int32_t a = 0; a < k; a++) {
            double own = 0.0;
            for (int32_t b = 0; b < m; b++) own += cell[a * m + b] * right[b];
            sum += left[a] * own;
        }
        out[i] += scale * sum;
    }
}

void mf_effects_add(int64_t n, int32_t k, const int32_t *codes, const double *z, const double *b,
                    double *out)
{
    MF_DISPATCH(k, N, add_body(n, N, codes, z, b, out));
}

void mf_effects_sum(int64_t n, int32_t k, const int32_t *codes, const double *z, const double *r,
                    double *out)
{
    MF_DISPATCH(k, N, sum_body(n, N, codes, z, r, out));
}

void mf_effects_cross(int64_t n, int32_t k, int32_t m, const int32_t *cells, const double *z,
                      const double *y, const double *w, double *out)
{
    if (k == m) {
        MF_DISPATCH(k, N, cross_body(n, N, N, cells, z, y, w, out));
    } else {
        cross_body(n, k, m, cells, z, y, w, out);
    }
}

void mf_effects_quadratic(int64_t n, int32_t k, int32_t m, const int32_t *cells, const double *z,
                          const double *y, const double *Q, double scale, double *out)
{
    if (k == m) {
        MF_DISPATCH(k, N, quadratic_body(n, N, N, cells, z, y, Q, scale, out));
    } else {
        quadratic_body(n, k, m, cells, z, y, Q, scale, out);
    }
}
