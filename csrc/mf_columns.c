#include "mf_columns.h"

#include "mf_portable.h"

#define ROW(t) (rows ? (int64_t)rows[first + (t)] : first + (t))

/* One loop a type: the branch on the type is outside, the loop over rows inside. FIRST assigns, the
 * later factors of a product multiply. */
#define LOAD(TYPE)                                                                             \
    do {                                                                                       \
        if (multiply) {                                                                        \
            for (int t = 0; t < count; t++)                                                    \
                out[t] *= (double)*(const TYPE *)(factor->values + ROW(t) * factor->stride);   \
        } else if (!rows && factor->stride == (ptrdiff_t)sizeof(TYPE)) {                       \
            const TYPE *source = (const TYPE *)factor->values + first;                         \
            for (int t = 0; t < count; t++) out[t] = (double)source[t];                        \
        } else {                                                                               \
            for (int t = 0; t < count; t++)                                                    \
                out[t] = (double)*(const TYPE *)(factor->values + ROW(t) * factor->stride);    \
        }                                                                                      \
    } while (0)

static int load_coded(const mf_factor *factor, const int32_t *rows, int64_t first, int count,
                      int multiply, double *out)
{
    for (int t = 0; t < count; t++) {
        int32_t code = *(const int32_t *)(factor->values + ROW(t) * factor->stride);
        if (code < 0 || code >= factor->table_length) return MF_BAD_CODE;
        out[t] = multiply ? out[t] * factor->table[code] : factor->table[code];
    }
    return MF_OK;
}

static int load(const mf_factor *factor, const int32_t *rows, int64_t first, int count, int multiply,
                double *out)
{
    switch (factor->kind) {
    case MF_F64: LOAD(double); break;
    case MF_F32: LOAD(float); break;
    case MF_I64: LOAD(int64_t); break;
    case MF_I32: LOAD(int32_t); break;
    case MF_I16: LOAD(int16_t); break;
    case MF_I8: LOAD(int8_t); break;
    case MF_U8: LOAD(uint8_t); break;
    default: return load_coded(factor, rows, first, count, multiply, out);
    }
    return MF_OK;
}

/* The common column in one loop: the caller's doubles, shifted and scaled. */
MF_CLONES static void load_plain(const double *source, int count, double shift, double scale, double *out)
{
    for (int t = 0; t < count; t++) out[t] = (source[t] - shift) * scale;
}

int mf_evaluate(const mf_column *column, const int32_t *rows, int64_t first, int count,
                const double *sqrt_weights, double *out)
{
    const mf_factor *factor = column->factors;
    if (column->n_factors == 1 && factor->kind == MF_F64 && !rows && factor->stride == (ptrdiff_t)sizeof(double)) {
        load_plain((const double *)factor->values + first, count, column->shift, column->scale, out);
        if (sqrt_weights)
            for (int t = 0; t < count; t++) out[t] *= sqrt_weights[first + t];
        return MF_OK;
    }
    if (column->n_factors == 0)
        for (int t = 0; t < count; t++) out[t] = 1.0;
    for (int f = 0; f < column->n_factors; f++) {
        int status = load(&column->factors[f], rows, first, count, f > 0, out);
        if (status) return status;
    }
    if (column->shift != 0.0 || column->scale != 1.0)
        for (int t = 0; t < count; t++) out[t] = (out[t] - column->shift) * column->scale;
    if (sqrt_weights)
        for (int t = 0; t < count; t++) out[t] *= sqrt_weights[ROW(t)];
    return MF_OK;
}

static const int8_t number_size[] = {8, 4, 8, 4, 2, 1, 1}; /* by mf_kind */

#define LINE 64 /* bytes that memory gives at a time */

void mf_prefetch(const mf_column *column, int64_t first, int count)
{
    for (int32_t f = 0; f < column->n_factors; f++) {
        const mf_factor *factor = &column->factors[f];
        if (factor->kind == MF_CODED || factor->stride != number_size[factor->kind]) continue;
        const char *at = factor->values + first * factor->stride, *end = at + count * factor->stride;
        for (; at < end; at += LINE) MF_PREFETCH_LINE(at);
    }
}
