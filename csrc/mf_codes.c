#include "mf_codes.h"

#include <string.h>

#include "mf_portable.h"

/* Numbers examined between two decisions whether one was not finite. */
#define BLOCK 4096

/* An exponent of all ones is an infinity or a NaN. Compared as integers, the loop has no branch. */
MF_CLONES static int finite_f64(const double *values, int64_t count)
{
    uint64_t bad = 0;
    for (int64_t i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        bad |= (bits & 0x7ff0000000000000u) == 0x7ff0000000000000u;
    }
    return !bad;
}

MF_CLONES static int finite_f32(const float *values, int64_t count)
{
    uint32_t bad = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return !bad;
}

static int all_finite_f64(const char *values, ptrdiff_t stride, int64_t n)
{
    double buffer[BLOCK];
    int packed = stride == (ptrdiff_t)sizeof(double);
    for (int64_t start = 0; start < n; start += BLOCK, values += BLOCK * stride) {
        int64_t count = n - start < BLOCK ? n - start : BLOCK;
        for (int64_t i = 0; !packed && i < count; i++)
            buffer[i] = *(const double *)(values + i * stride);
        if (!finite_f64(packed ? (const double *)values : buffer, count)) return 0;
    }
    return 1;
}

static int all_finite_f32(const char *values, ptrdiff_t stride, int64_t n)
{
    float buffer[BLOCK];
    int packed = stride == (ptrdiff_t)sizeof(float);
    for (int64_t start = 0; start < n; start += BLOCK, values += BLOCK * stride) {
        int64_t count = n - start < BLOCK ? n - start : BLOCK;
        for (int64_t i = 0; !packed && i < count; i++)
            buffer[i] = *(const float *)(values + i * stride);
        if (!finite_f32(packed ? (const float *)values : buffer, count)) return 0;
    }
    return 1;
}

int mf_all_finite(const char *values, ptrdiff_t stride, int64_t n, mf_kind kind)
{
    return kind == MF_F64 ? all_finite_f64(values, stride, n) : all_finite_f32(values, stride, n);
}

/* Distance of a value from `low` as an unsigned number: below `low` it wraps around to a large
 * one, so that one comparison tests both ends of the range. Values outside share the place `size`.
 */
static inline uint64_t place_of(int64_t value, int64_t low, int64_t size)
{
    uint64_t place = (uint64_t)value - (uint64_t)low;
    return place < (uint64_t)size ? place : (uint64_t)size;
}

/* The scans, once for each integer type. */
#define DEFINE_SCANS(TYPE)                                                                 \
    static void place_##TYPE(const char *values, ptrdiff_t stride, int64_t n, int64_t low, \
                             int64_t size, int32_t *codes, int32_t *table)                 \
    {                                                                                      \
        for (int64_t i = 0; i < n; i++) {                                                  \
            uint64_t place = place_of(*(const TYPE *)(values + i * stride), low, size);    \
            codes[i] = place < (uint64_t)size ? (int32_t)place : -1;                       \
            table[place] = 1;                                                              \
        }                                                                                  \
    }                                                                                      \
    static void mark_##TYPE(const char *values, ptrdiff_t stride, int64_t n, int64_t low,  \
                            int64_t size, uint8_t *seen)                                   \
    {                                                                                      \
        for (int64_t i = 0; i < n; i++)                                                    \
            seen[place_of(*(const TYPE *)(values + i * stride), low, size)] = 1;           \
    }

DEFINE_SCANS(int64_t)
DEFINE_SCANS(int32_t)
DEFINE_SCANS(int16_t)
DEFINE_SCANS(int8_t)
DEFINE_SCANS(uint8_t)

/* codes: the place of each value in the range, or -1. table: 1 at each place that occurs. */
static void place_values(const char *values, ptrdiff_t stride, int64_t n, mf_kind kind, int64_t low,
                         int64_t size, int32_t *codes, int32_t *table)
{
    switch (kind) {
    case MF_I64: place_int64_t(values, stride, n, low, size, codes, table); break;
    case MF_I32: place_int32_t(values, stride, n, low, size, codes, table); break;
    case MF_I16: place_int16_t(values, stride, n, low, size, codes, table); break;
    case MF_I8: place_int8_t(values, stride, n, low, size, codes, table); break;
    default: place_uint8_t(values, stride, n, low, size, codes, table);
    }
}

int64_t mf_factorize(const char *values, ptrdiff_t stride, int64_t n, mf_kind kind, int64_t low,
                     int64_t size, int32_t *codes, int32_t *table)
{
    int64_t used = 0;
    memset(table, 0, (size_t)(size + 1) * sizeof *table);
    place_values(values, stride, n, kind, low, size, codes, table);
    for (int64_t v = 0; v < size; v++) table[v] = table[v] ? (int32_t)used++ : -1;
    if (used < size) { /* otherwise every place is its own number */
        table[size] = -1;
        for (int64_t i = 0; i < n; i++) codes[i] = table[codes[i] < 0 ? size : codes[i]];
    }
    return used;
}

void mf_mark_occurring(const char *values, ptrdiff_t stride, int64_t n, mf_kind kind, int64_t low,
                       int64_t size, uint8_t *seen)
{
    memset(seen, 0, (size_t)(size + 1));
    switch (kind) {
    case MF_I64: mark_int64_t(values, stride, n, low, size, seen); break;
    case MF_I32: mark_int32_t(values, stride, n, low, size, seen); break;
    case MF_I16: mark_int16_t(values, stride, n, low, size, seen); break;
    case MF_I8: mark_int8_t(values, stride, n, low, size, seen); break;
    default: mark_uint8_t(values, stride, n, low, size, seen);
    }
}
