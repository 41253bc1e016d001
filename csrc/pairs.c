#include "pairs.h"

#include <string.h>

/* Stable counting sort of `rows` (or of 0..n-1 when rows is NULL) by codes. */
static int counting_sort(const int32_t *codes, int64_t n_levels, const int32_t *rows, int64_t n,
                         int64_t *counts, int32_t *sorted)
{
    memset(counts, 0, (size_t)(n_levels + 1) * sizeof *counts);
    for (int64_t i = 0; i < n; i++) {
        if (codes[i] < 0 || codes[i] >= n_levels) return MF_BAD_CODE;
        counts[codes[i] + 1]++;
    }
    for (int64_t j = 0; j < n_levels; j++) counts[j + 1] += counts[j];
    for (int64_t i = 0; i < n; i++) {
        int32_t row = rows ? rows[i] : (int32_t)i;
        sorted[counts[codes[row]]++] = row;
    }
    return MF_OK;
}

int mf_pair_order(const int32_t *left, int64_t n_left, const int32_t *right, int64_t n_right, int64_t n,
                  int32_t *order, int32_t *spare, int64_t *counts, int64_t *indptr, int64_t *n_pairs)
{
    int status = counting_sort(right, n_right, NULL, n, counts, spare);
    if (!status) status = counting_sort(left, n_left, spare, n, counts, order);
    if (status) return status;
    memset(indptr, 0, (size_t)(n_left + 1) * sizeof *indptr);
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++) {
        int32_t l = left[order[i]], r = right[order[i]];
        if (i == 0 || l != left[order[i - 1]] || r != right[order[i - 1]]) {
            found++;
            indptr[l + 1]++;
        }
    }
    for (int64_t j = 0; j < n_left; j++) indptr[j + 1] += indptr[j];
    *n_pairs = found;
    return MF_OK;
}

int mf_pair_sums(const int32_t *left, const int32_t *right, int64_t n, const int32_t *order,
                 const mf_column *columns, int32_t k_left, int32_t k_right, const double *sqrt_weights,
                 int32_t *indices, double *data, double *work)
{
    int32_t k = k_left + k_right;
    int64_t pair = -1;
    int32_t previous_left = -1, previous_right = -1;
    for (int64_t start = 0; start < n; start += MF_TILE) {
        int count = n - start < MF_TILE ? (int)(n - start) : MF_TILE;
        for (int32_t c = 0; c < k; c++) {
            int status = mf_evaluate(&columns[c], order, start, count, sqrt_weights, work + (size_t)c * MF_TILE);
            if (status) return status;
        }
        for (int t = 0; t < count; t++) {
            int32_t row = order[start + t];
            if (left[row] != previous_left || right[row] != previous_right) {
                previous_left = left[row];
                previous_right = right[row];
                indices[++pair] = previous_right;
                memset(data + (size_t)pair * k_left * k_right, 0, (size_t)k_left * k_right * sizeof *data);
            }
            double *block = data + (size_t)pair * k_left * k_right;
            for (int32_t a = 0; a < k_left; a++)
                for (int32_t b = 0; b < k_right; b++)
                    block[a * k_right + b] += work[(size_t)a * MF_TILE + t] * work[(size_t)(k_left + b) * MF_TILE + t];
        }
    }
    return MF_OK;
}
