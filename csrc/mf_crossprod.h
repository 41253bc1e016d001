/* Cross-products of the columns of [Z X y], one pass over a range of rows. */
#ifndef MF_CROSSPROD_H
#define MF_CROSSPROD_H

#include "mf_columns.h"

/* Sums kept for each level of one grouping factor, or each cell of several: left_a * right_b for every a, b.
 * Rows of more than two sums are padded to a multiple of MF_PAD doubles; what is in the padding means nothing. */
#define MF_PAD 4
#define MF_PADDED(count) (((count) + MF_PAD - 1) / MF_PAD * MF_PAD)
#define MF_SUMS(count) ((count) <= 2 ? (count) : MF_PADDED(count))

typedef struct {
    const int32_t *const *codes; /* (n_codes) of (n): level of each row in each factor, 0 <= code < n_levels[i] */
    const int64_t *n_levels;     /* (n_codes), their product below 2^31; cells are numbered with the last factor fastest */
    int32_t n_codes;
    int32_t n_columns;
    const int32_t *columns; /* (n_columns) positions in the pool: the right ones, then what the left ones add */
    int32_t n_right;
    int32_t n_left;
    const int32_t *left;    /* (n_left) which of `columns` they are */
    double *sums;           /* (cells, n_left, MF_SUMS(n_right)), added to */
} mf_group;

/* Adds rows [first, last) to `gram` (n_gram, n_gram; the whole square, columns gram[] of the pool) and to
 * each group's sums. `work` holds (n_columns + MF_PADDED(most columns of a group)) * MF_TILE doubles and
 * starts on a cache line. */
int mf_crossprod(const mf_column *columns, int32_t n_columns, int64_t first, int64_t last,
                 const double *sqrt_weights, const int32_t *gram, int32_t n_gram, double *gram_sums,
                 const mf_group *groups, int32_t n_groups, double *work);

/* out (n_levels, n_rows, n_columns) = rows and columns of sums (n_levels, all_rows, width), added up over the
 * sums of n_parts threads; the rows are those from first_row on. */
void mf_select_sums(const double *const *parts, int32_t n_parts, int64_t n_levels, int32_t all_rows, int32_t width,
               int32_t first_row, int32_t n_rows, const int32_t *columns, int32_t n_columns, double *out);

#endif
