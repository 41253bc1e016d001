/* Columns of [Z X y] described, not stored.
 *
 * A column is a product of factors, shifted and scaled: (f1 * f2 * ... - shift) * scale.
 * A factor is a caller's array read in place (any numeric type, any stride), or integer codes
 * looked up in a small table (a dummy or a contrast column). Tiles of a few hundred rows are
 * evaluated on the fly, so X is never expanded in memory.
 */
#ifndef MF_COLUMNS_H
#define MF_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

#define MF_TILE 256 /* rows evaluated at a time: 128 doubles a column keep a tile in the L1/L2 cache */

enum mf_kind {
    MF_F64 = 0, MF_F32 = 1, MF_I64 = 2, MF_I32 = 3, MF_I16 = 4, MF_I8 = 5, MF_U8 = 6,
    MF_CODED = 7 /* int32 codes into `table` */
};

enum mf_status { MF_OK = 0, MF_BAD_CODE = 1, MF_NOT_POSITIVE = 2, MF_NO_MEMORY = 3 };

typedef struct {
    const char *values;
    ptrdiff_t stride; /* bytes between rows */
    int32_t kind;     /* enum mf_kind */
    const double *table;
    int64_t table_length;
} mf_factor;

typedef struct {
    const mf_factor *factors;
    int32_t n_factors; /* 0: the constant 1 */
    double shift, scale;
} mf_column;

/* out[0..count) = column at rows first, first+1, ... (rows == NULL) or rows[first], rows[first+1], ...
 * times sqrt_weights at the same rows when that is not NULL. */
int mf_evaluate(const mf_column *column, const int32_t *rows, int64_t first, int count,
                const double *sqrt_weights, double *out);

/* Asks memory for the rows first .. first+count of a column, as far as they are numbers that lie one after the other. */
void mf_prefetch(const mf_column *column, int64_t first, int count);

#endif
