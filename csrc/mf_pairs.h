/* Co-occurrence blocks Z_g'WZ_h of two crossed or nested grouping factors, as block CSR. */
#ifndef MF_PAIRS_H
#define MF_PAIRS_H

#include "mf_columns.h"

typedef struct {
    uint32_t left, right, row;
} mf_entry;

/* -------------------------------------------------------------------------------------------------
 * mf_sort_pairs: sort rows by (left code, right code), rows of one pair in their own order
 *
 * Input
 *     left, right (n)      codes, below n_left and n_right; n < 2^31
 * Output
 *     sorted               points to the sorted rows: `entries` or `spare`
 *     indptr (n_left + 1)  CSR row pointers of the distinct pairs
 *     n_pairs              their number
 * Workspace
 *     entries, spare       n entries each
 * Result
 *     MF_OK, MF_BAD_CODE when a code lies outside its range, or MF_NO_MEMORY
 * ---------------------------------------------------------------------------------------------- */
mf_status mf_sort_pairs(const int32_t *left, int64_t n_left, const int32_t *right, int64_t n_right,
                        int64_t n, mf_entry *entries, mf_entry *spare, const mf_entry **sorted,
                        int64_t *indptr, int64_t *n_pairs);

/* -------------------------------------------------------------------------------------------------
 * mf_sum_pairs: compute the blocks of the pairs that mf_sort_pairs found
 *
 * Input
 *     sorted (n)           from mf_sort_pairs
 *     columns              the k_left columns of the left factor, then the k_right of the right one
 *     sqrt_weights         by row; NULL: no weights
 * Output
 *     indices (n_pairs)    the right code of each pair
 *     data (n_pairs, k_left, k_right)
 * Workspace
 *     work                 (k_left + k_right) * MF_TILE doubles
 * Result
 *     MF_OK, or MF_BAD_CODE when a code of a column points outside its table
 * ---------------------------------------------------------------------------------------------- */
mf_status mf_sum_pairs(const mf_entry *sorted, int64_t n, const mf_column *columns, int32_t k_left,
                       int32_t k_right, const double *sqrt_weights, int32_t *indices, double *data,
                       double *work);

#endif
