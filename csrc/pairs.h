/* Co-occurrence blocks Z_g'WZ_h of two crossed or nested grouping factors, as block CSR. */
#ifndef MF_PAIRS_H
#define MF_PAIRS_H

#include "columns.h"

/* Sorts rows by (left code, right code) with two counting sorts: order (n) gets the rows, indptr
 * (n_left + 1) the CSR row pointers of the distinct pairs. `work` holds n + max(n_left, n_right) + 1
 * int32/int64 entries as typed below. *n_pairs gets the number of distinct pairs. */
int mf_pair_order(const int32_t *left, int64_t n_left, const int32_t *right, int64_t n_right, int64_t n,
                  int32_t *order, int32_t *spare, int64_t *counts, int64_t *indptr, int64_t *n_pairs);

/* Fills indices (n_pairs) and data (n_pairs, k_left, k_right) in the order of mf_pair_order. */
int mf_pair_sums(const int32_t *left, const int32_t *right, int64_t n, const int32_t *order,
                 const mf_column *columns, int32_t k_left, int32_t k_right, const double *sqrt_weights,
                 int32_t *indices, double *data, double *work);

#endif
