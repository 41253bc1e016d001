/* Cross-products of the columns of [Z X y], one pass over a range of rows. */
#ifndef MF_CROSSPROD_H
#define MF_CROSSPROD_H

#include "columns.h"

/* Sums kept for each level of one grouping factor: left_a * right_b for every a, b. */
typedef struct {
    const int32_t *codes; /* (n) level of each row, 0 <= code < n_levels */
    int64_t n_levels;
    int32_t n_left;       /* columns of Z of this factor */
    const int32_t *left;  /* (n_left) positions in the pool of columns */
    int32_t n_right;
    const int32_t *right; /* (n_right) positions in the pool */
    double *sums;         /* (n_levels, n_left, n_right), added to */
} mf_group;

/* Adds rows [first, last) to `gram` (n_gram, n_gram; the whole square, columns gram[] of the pool) and to
 * each group's sums. `work` holds 2 * n_columns * MF_TILE doubles. */
int mf_crossprod(const mf_column *columns, int32_t n_columns, int64_t first, int64_t last,
                 const double *sqrt_weights, const int32_t *gram, int32_t n_gram, double *gram_sums,
                 const mf_group *groups, int32_t n_groups, double *work);

#endif
