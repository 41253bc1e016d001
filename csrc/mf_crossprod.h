/* Cross-products of the columns of [Z X y], in one pass over a range of rows. */
#ifndef MF_CROSSPROD_H
#define MF_CROSSPROD_H

#include "mf_columns.h"

/* Rows of more than two sums are padded to a multiple of MF_PAD doubles; the contents of the
 * padding are meaningless. */
#define MF_PAD 4
#define MF_PADDED(count) (((count) + MF_PAD - 1) / MF_PAD * MF_PAD)
#define MF_SUMS(count) ((count) <= 2 ? (count) : MF_PADDED(count))

/* Sums of left_a * right_b for every a, b, kept for each level of one grouping factor, or for each
 * cell of several factors (the level of the last factor changes fastest). The columns of one group
 * are the right ones, followed by those left ones that are not among the right ones. */
typedef struct {
    const int32_t *const *codes; /* (n_codes): of each factor the level of each row, (n), from 0 */
    const int64_t *n_levels;     /* (n_codes), their product below 2^31 */
    int32_t n_codes;
    int32_t n_columns;
    const int32_t *columns; /* (n_columns) positions in the pool */
    int32_t n_right;
    int32_t n_left;
    const int32_t *left; /* (n_left) positions in `columns` */
    double *sums;        /* (cells, n_left, MF_SUMS(n_right)), added to */
} mf_group;

/* -------------------------------------------------------------------------------------------------
 * mf_crossprod: add the cross-products of rows first .. last - 1
 *
 * Input
 *     columns (n_columns)  the pool of columns
 *     first, last          the range of rows
 *     sqrt_weights         by row; NULL: no weights
 *     gram (n_gram)        positions in the pool of the columns of [X y]
 * Input and output
 *     gram_sums (n_gram, n_gram)   [X y]'W[X y], both triangles; added to
 *     groups (n_groups)            their sums are added to
 * Workspace
 *     work                 (n_columns + MF_PADDED(most columns of a group)) * MF_TILE doubles,
 *                          beginning on a cache line
 * Result
 *     MF_OK, or MF_BAD_CODE when a code lies outside its range; the sums are then incomplete
 * ---------------------------------------------------------------------------------------------- */
mf_status mf_crossprod(const mf_column *columns, int32_t n_columns, int64_t first, int64_t last,
                       const double *sqrt_weights, const int32_t *gram, int32_t n_gram,
                       double *gram_sums, const mf_group *groups, int32_t n_groups, double *work);

/* -------------------------------------------------------------------------------------------------
 * mf_select_sums: read out some rows and columns of the sums of one group, added up over threads
 *
 * Input
 *     parts (n_parts)      the sums of each thread, (n_levels, all_rows, width)
 *     first_row, n_rows    the rows
 *     columns (n_columns)  the columns
 * Output
 *     out (n_levels, n_rows, n_columns)
 * ---------------------------------------------------------------------------------------------- */
void mf_select_sums(const double *const *parts, int32_t n_parts, int64_t n_levels, int32_t all_rows,
                    int32_t width, int32_t first_row, int32_t n_rows, const int32_t *columns,
                    int32_t n_columns, double *out);

#endif
