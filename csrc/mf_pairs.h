/* Co-occurrence blocks Z_g'WZ_h of two crossed or nested grouping factors, as block CSR. */
#ifndef MF_PAIRS_H
#define MF_PAIRS_H

#include "mf_columns.h"

typedef struct {
    uint32_t left, right, row;
} mf_entry;

/* Sorts rows by (left code, right code), rows of one pair in their own order. `entries` and `spare` (n) are
 * both written to; *sorted is the one that holds the result. indptr (n_left + 1) gets the CSR row pointers of
 * the distinct pairs, *n_pairs their number. n < 2^31. */
int mf_sort_pairs(const int32_t *left, int64_t n_left, const int32_t *right, int64_t n_right, int64_t n,
                  mf_entry *entries, mf_entry *spare, const mf_entry **sorted, int64_t *indptr, int64_t *n_pairs);

/* Fills indices (n_pairs) and data (n_pairs, k_left, k_right) in the order of mf_sort_pairs; work holds
 * (k_left + k_right) * MF_TILE doubles. */
int mf_sum_pairs(const mf_entry *sorted, int64_t n, const mf_column *columns, int32_t k_left, int32_t k_right,
                 const double *sqrt_weights, int32_t *indices, double *data, double *work);

#endif
