#include "crossprod.h"

#define LANES 8 /* independent partial sums, so that the compiler may vectorize without reassociating */

/* Dot products of `a` with two columns at once: `a` is read from cache half as often. */
static void dot2(const double *a, const double *b, const double *c, int count, double *ab, double *ac)
{
    double sum_b[LANES] = {0}, sum_c[LANES] = {0};
    int t = 0;
    for (; t + LANES <= count; t += LANES)
        for (int l = 0; l < LANES; l++) {
            sum_b[l] += a[t + l] * b[t + l];
            sum_c[l] += a[t + l] * c[t + l];
        }
    for (int l = 0; t < count; t++, l++) {
        sum_b[l] += a[t] * b[t];
        sum_c[l] += a[t] * c[t];
    }
    for (int half = LANES / 2; half; half /= 2)
        for (int l = 0; l < half; l++) {
            sum_b[l] += sum_b[l + half];
            sum_c[l] += sum_c[l + half];
        }
    *ab += sum_b[0];
    *ac += sum_c[0];
}

static void add_gram(const double *tile, int count, const int32_t *gram, int32_t n_gram, double *sums)
{
    for (int32_t i = 0; i < n_gram; i++) {
        const double *a = tile + (size_t)gram[i] * MF_TILE;
        for (int32_t j = 0; j <= i; j += 2) {
            /* an odd count of columns: the last dot product is made twice and one copy dropped */
            int32_t k = j + 1 <= i ? j + 1 : j;
            double spare = 0.0;
            dot2(a, tile + (size_t)gram[j] * MF_TILE, tile + (size_t)gram[k] * MF_TILE, count,
                 &sums[(size_t)i * n_gram + j], k > j ? &sums[(size_t)i * n_gram + k] : &spare);
        }
    }
}

static int add_group(const mf_group *group, const double *rows, int32_t n_columns, int64_t first, int count)
{
    size_t size = (size_t)group->n_left * group->n_right;
    /* X and y first in the pool and nothing else wanted: the common case needs no gather of positions */
    int contiguous = 1;
    for (int32_t b = 0; b < group->n_right; b++) contiguous &= group->right[b] == group->right[0] + b;
    for (int t = 0; t < count; t++) {
        int32_t code = group->codes[first + t];
        if (code < 0 || code >= group->n_levels) return MF_BAD_CODE;
        const double *row = rows + (size_t)t * n_columns;
        double *sums = group->sums + (size_t)code * size;
        for (int32_t a = 0; a < group->n_left; a++, sums += group->n_right) {
            double z = row[group->left[a]];
            if (contiguous) {
                const double *right = row + group->right[0];
                for (int32_t b = 0; b < group->n_right; b++) sums[b] += z * right[b];
            } else {
                for (int32_t b = 0; b < group->n_right; b++) sums[b] += z * row[group->right[b]];
            }
        }
    }
    return MF_OK;
}

static void transpose(const double *tile, int32_t n_columns, int count, double *rows)
{
    for (int32_t c = 0; c < n_columns; c++)
        for (int t = 0; t < count; t++) rows[(size_t)t * n_columns + c] = tile[(size_t)c * MF_TILE + t];
}

int mf_crossprod(const mf_column *columns, int32_t n_columns, int64_t first, int64_t last,
                 const double *sqrt_weights, const int32_t *gram, int32_t n_gram, double *gram_sums,
                 const mf_group *groups, int32_t n_groups, double *work)
{
    double *tile = work, *rows = work + (size_t)n_columns * MF_TILE;
    for (int64_t start = first; start < last; start += MF_TILE) {
        int count = last - start < MF_TILE ? (int)(last - start) : MF_TILE;
        for (int32_t c = 0; c < n_columns; c++) {
            int status = mf_evaluate(&columns[c], NULL, start, count, sqrt_weights, tile + (size_t)c * MF_TILE);
            if (status) return status;
        }
        add_gram(tile, count, gram, n_gram, gram_sums);
        transpose(tile, n_columns, count, rows);
        for (int32_t g = 0; g < n_groups; g++) {
            int status = add_group(&groups[g], rows, n_columns, start, count);
            if (status) return status;
        }
    }
    for (int32_t i = 0; i < n_gram; i++)
        for (int32_t j = 0; j < i; j++) gram_sums[(size_t)j * n_gram + i] = gram_sums[(size_t)i * n_gram + j];
    return MF_OK;
}
