/* Columns of [Z X y] from a fuzzer's bytes: every kind of factor, any stride, products, shifts and
 * weights. */
#ifndef FUZZ_POOL_H
#define FUZZ_POOL_H

#include "bytes.h"
#include "mf_columns.h"

#define MOST_FACTORS 2

typedef struct {
    int64_t n;
    int32_t size;
    mf_column *columns;
    mf_factor *factors;
    double *weights; /* NULL: none */
    int bad_code;    /* whether a code lies outside its table */
} pool;

static const int FUZZ_SIZES[] = {8, 4, 8, 4, 2, 1, 1, 4};

static inline int64_t code_at(const mf_factor *factor, int64_t row)
{
    return *(const int32_t *)(factor->values + row * factor->stride);
}

/* One value of a factor, type by type. */
static inline double plain_value(const mf_factor *factor, int64_t row)
{
    const char *at = factor->values + row * factor->stride;
    switch (factor->kind) {
    case MF_F64: return *(const double *)at;
    case MF_F32: return *(const float *)at;
    case MF_I64: return (double)*(const int64_t *)at;
    case MF_I32: return *(const int32_t *)at;
    case MF_I16: return *(const int16_t *)at;
    case MF_I8: return *(const int8_t *)at;
    case MF_U8: return *(const uint8_t *)at;
    default: return factor->table[code_at(factor, row)];
    }
}

static inline double plain_entry(const pool *made, int32_t c, int64_t row)
{
    const mf_column *column = &made->columns[c];
    double value = 1.0;
    for (int f = 0; f < column->n_factors; f++) value *= plain_value(&column->factors[f], row);
    value = (value - column->shift) * column->scale;
    return made->weights ? value * made->weights[row] : value;
}

static inline void fill(bytes *in, int kind, char *at)
{
    double value = number(in);
    switch (kind) {
    case MF_F64: *(double *)at = value; break;
    case MF_F32: *(float *)at = (float)value; break;
    case MF_I64: *(int64_t *)at = (int64_t)value; break;
    case MF_I32: *(int32_t *)at = (int32_t)value; break;
    case MF_I16: *(int16_t *)at = (int16_t)value; break;
    case MF_I8: *(int8_t *)at = (int8_t)value; break;
    default: *(uint8_t *)at = (uint8_t)fabs(value);
    }
}

static inline void make_factor(bytes *in, pool *made, mf_factor *factor)
{
    int kind = (int)below(in, 8), size = FUZZ_SIZES[kind];
    int64_t spread = 1 + below(in, 3);
    char *values = room((size_t)(made->n ? ((made->n - 1) * spread + 1) * size : 0), 1);
    memset(factor, 0, sizeof *factor);
    factor->kind = kind;
    factor->stride = spread * size;
    if (kind == MF_CODED) {
        factor->table_length = 1 + below(in, 5);
        factor->table = numbers(in, factor->table_length);
    }
    for (int64_t i = 0; i < made->n; i++) {
        if (kind != MF_CODED) {
            fill(in, kind, values + i * factor->stride);
            continue;
        }
        int32_t code = (int8_t)next_byte(in);
        if (code != -100 && code != 100)
            code = (code & 127) % (int32_t)factor->table_length; /* two of 256 stay wrong */
        made->bad_code |= code < 0 || code >= factor->table_length;
        *(int32_t *)(values + i * factor->stride) = code;
    }
    factor->values = values;
    if (below(in, 4) == 0 && made->n) { /* backwards */
        factor->values = values + (made->n - 1) * factor->stride;
        factor->stride = -factor->stride;
    }
}

static inline pool make_pool(bytes *in, int64_t n, int32_t size)
{
    pool made = {n,
                 size,
                 room((size_t)size, sizeof(mf_column)),
                 room((size_t)size * MOST_FACTORS, sizeof(mf_factor)),
                 NULL,
                 0};
    for (int32_t c = 0; c < size; c++) {
        mf_column *column = &made.columns[c];
        column->factors = made.factors + c * MOST_FACTORS;
        column->n_factors = (int32_t)below(in, MOST_FACTORS + 1);
        column->shift = below(in, 2) ? number(in) : 0.0;
        column->scale = below(in, 2) ? ldexp(1.0, (int)below(in, 4)) : 1.0;
        for (int f = 0; f < column->n_factors; f++)
            make_factor(in, &made, &made.factors[c * MOST_FACTORS + f]);
    }
    if (below(in, 3) == 0) made.weights = numbers(in, n);
    return made;
}

static inline void free_pool(pool *made)
{
    for (int32_t c = 0; c < made->size; c++)
        for (int f = 0; f < made->columns[c].n_factors; f++) {
            const mf_factor *factor = &made->columns[c].factors[f];
            free((void *)(factor->stride < 0 ? factor->values + (made->n - 1) * factor->stride
                                             : factor->values));
            free((void *)factor->table);
        }
    free(made->columns);
    free(made->factors);
    free(made->weights);
}

#endif
