/* Columns of [Z X y]: described, not stored.
 *
 * A column is a product of factors, shifted and scaled: (f1 * f2 * ... - shift) * scale.
 * A factor is a caller's array read in place (any numeric type, any stride), or integer codes
 * that point into a small table (a dummy or a contrast column). Tiles of a few hundred rows are
 * evaluated when they are needed, so that X is never expanded in memory.
 */
#ifndef MF_COLUMNS_H
#define MF_COLUMNS_H

#include "mf_types.h"

/* Rows evaluated at a time: 2 KiB per column, so that tiles stay in the L1 and L2 cache. */
#define MF_TILE 256

typedef struct {
    const char *values;
    ptrdiff_t stride; /* bytes between rows; negative: backwards */
    mf_kind kind;
    const double *table; /* (table_length), for MF_CODED */
    int64_t table_length;
} mf_factor;

typedef struct {
    const mf_factor *factors; /* (n_factors) */
    int32_t n_factors;        /* 0: the constant 1 */
    double shift, scale;
} mf_column;

/* -------------------------------------------------------------------------------------------------
 * mf_evaluate: compute a column at some rows
 *
 * Input
 *     column
 *     rows                rows == NULL: rows first, first + 1, ...;
 *                         otherwise rows[first], rows[first + 1], ...
 *     first, count        which of them
 *     sqrt_weights        by row; NULL: no weights
 * Output
 *     out (count)         the column, times sqrt_weights
 * Result
 *     MF_OK, or MF_BAD_CODE when a code points outside its table
 * ---------------------------------------------------------------------------------------------- */
mf_status mf_evaluate(const mf_column *column, const int32_t *rows, int64_t first, int count,
                      const double *sqrt_weights, double *out);

/* -------------------------------------------------------------------------------------------------
 * mf_prefetch: start loading rows first .. first + count - 1 of a column from memory
 *
 * Only factors whose numbers are contiguous are loaded ahead; others are left alone.
 * ---------------------------------------------------------------------------------------------- */
void mf_prefetch(const mf_column *column, int64_t first, int count);

#endif
