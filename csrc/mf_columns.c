#include "mf_columns.h"

#include "mf_portable.h"

#define LINE 64 /* bytes of a cache line */

static inline int64_t row_at(const int32_t *rows, int64_t position)
{
    return rows ? (int64_t)rows[position] : position;
}

/* out = the factor at some rows, or out *= the factor. One function per type: the branch on the
 * type is outside of the loop over rows. */
#define DEFINE_LOAD(TYPE)                                                                     \
    static void load_##TYPE(const mf_factor *factor, const int32_t *rows, int64_t first,      \
                            int count, int multiply, double *out)                             \
    {                                                                                         \
        const char *values = factor->values;                                                  \
        ptrdiff_t stride = factor->stride;                                                    \
        if (multiply) {                                                                       \
            for (int t = 0; t < count; t++)                                                   \
                out[t] *= (double)*(const TYPE *)(values + row_at(rows, first + t) * stride); \
        } else if (!rows && stride == (ptrdiff_t)sizeof(TYPE)) {                              \
            const TYPE *source = (const TYPE *)values + first;                                \
            for (int t = 0; t < count; t++) out[t] = (double)source[t];                       \
        } else {                                                                              \
            for (int t = 0; t < count; t++)                                                   \
                out[t] = (double)*(const TYPE *)(values + row_at(rows, first + t) * stride);  \
        }                                                                                     \
    }

DEFINE_LOAD(double)
DEFINE_LOAD(float)
DEFINE_LOAD(int64_t)
DEFINE_LOAD(int32_t)
DEFINE_LOAD(int16_t)
DEFINE_LOAD(int8_t)
DEFINE_LOAD(uint8_t)

static mf_status load_coded(const mf_factor *factor, const int32_t *rows, int64_t first, int count,
                            int multiply, double *out)
{
    for (int t = 0; t < count; t++) {
        int64_t row = row_at(rows, first + t);
        int32_t code = *(const int32_t *)(factor->values + row * factor->stride);
        if (code < 0 || code >= factor->table_length) return MF_BAD_CODE;
        out[t] = multiply ? out[t] * factor->table[code] : factor->table[code];
    }
    return MF_OK;
}

static mf_status load(const mf_factor *factor, const int32_t *rows, int64_t first, int count,
                      int multiply, double *out)
{
    switch (factor->kind) {
    case MF_F64: load_double(factor, rows, first, count, multiply, out); break;
    case MF_F32: load_float(factor, rows, first, count, multiply, out); break;
    case MF_I64: load_int64_t(factor, rows, first, count, multiply, out); break;
    case MF_I32: load_int32_t(factor, rows, first, count, multiply, out); break;
    case MF_I16: load_int16_t(factor, rows, first, count, multiply, out); break;
    case MF_I8: load_int8_t(factor, rows, first, count, multiply, out); break;
    case MF_U8: load_uint8_t(factor, rows, first, count, multiply, out); break;
    case MF_CODED: return load_coded(factor, rows, first, count, multiply, out);
    }
    return MF_OK;
}

/* The most common column in one loop: contiguous doubles, shifted and scaled. */
MF_CLONES static void load_shifted(const double *source, int count, double shift, double scale,
                                   double *out)
{
    for (int t = 0; t < count; t++) out[t] = (source[t] - shift) * scale;
}

static int is_contiguous_f64(const mf_column *column)
{
    return column->n_factors == 1 && column->factors->kind == MF_F64 &&
           column->factors->stride == (ptrdiff_t)sizeof(double);
}

mf_status mf_evaluate(const mf_column *column, const int32_t *rows, int64_t first, int count,
                      const double *sqrt_weights, double *out)
{
    double shift = column->shift, scale = column->scale;
    if (!rows && is_contiguous_f64(column)) {
        load_shifted((const double *)column->factors->values + first, count, shift, scale, out);
        if (sqrt_weights)
            for (int t = 0; t < count; t++) out[t] *= sqrt_weights[first + t];
        return MF_OK;
    }
    if (column->n_factors == 0)
        for (int t = 0; t < count; t++) out[t] = 1.0;
    for (int f = 0; f < column->n_factors; f++) {
        mf_status status = load(&column->factors[f], rows, first, count, f > 0, out);
        if (status) return status;
    }
    if (shift != 0.0 || scale != 1.0)
        for (int t = 0; t < count; t++) out[t] = (out[t] - shift) * scale;
    if (sqrt_weights)
        for (int t = 0; t < count; t++) out[t] *= sqrt_weights[row_at(rows, first + t)];
    return MF_OK;
}

static ptrdiff_t size_of(mf_kind kind)
{
    static const int8_t sizes[] = {
        [MF_F64] = 8, [MF_F32] = 4, [MF_I64] = 8, [MF_I32] = 4,
        [MF_I16] = 2, [MF_I8] = 1,  [MF_U8] = 1,  [MF_CODED] = 4,
    };
    return sizes[kind];
}

void mf_prefetch(const mf_column *column, int64_t first, int count)
{
    for (int32_t f = 0; f < column->n_factors; f++) {
        const mf_factor *factor = &column->factors[f];
        if (factor->kind == MF_CODED || factor->stride != size_of(factor->kind)) continue;
        const char *at = factor->values + first * factor->stride;
        const char *end = at + count * factor->stride;
        for (; at < end; at += LINE) MF_PREFETCH_LINE(at);
    }
}
