#include "mf_codes.h"

#include <string.h>

#include "mf_portable.h"

#define BLOCK 4096 /* values looked at before asking whether one was not finite */

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

int mf_all_finite(const char *values, ptrdiff_t stride, int64_t n, int kind)
{
    double wide[BLOCK];
    float narrow[BLOCK];
    int is_wide = kind == MF_F64, packed = stride == (ptrdiff_t)(is_wide ? sizeof(double) : sizeof(float));
    for (int64_t start = 0; start < n; start += BLOCK, values += BLOCK * stride) {
        int64_t count = n - start < BLOCK ? n - start : BLOCK;
        if (!packed)
            for (int64_t i = 0; i < count; i++) {
                if (is_wide) wide[i] = *(const double *)(values + i * stride);
                else narrow[i] = *(const float *)(values + i * stride);
            }
        if (is_wide ? !finite_f64(packed ? (const double *)values : wide, count)
                    : !finite_f32(packed ? (const float *)values : narrow, count))
            return 0;
    }
    return 1;
}

/* Places above `low` as unsigned numbers: one comparison tells both ends of the range. */
#define EACH(TYPE, DO)                                                                    \
    for (int64_t i = 0; i < n; i++) {                                                     \
        uint64_t place = (uint64_t)*(const TYPE *)(values + i * stride) - (uint64_t)low; \
        int inside = place < (uint64_t)size;                                              \
        DO                                                                                \
    }
#define EACH_OF_KIND(DO)                     \
    switch (kind) {                          \
    case MF_I64: EACH(int64_t, DO) break;    \
    case MF_I32: EACH(int32_t, DO) break;    \
    case MF_I16: EACH(int16_t, DO) break;    \
    case MF_I8: EACH(int8_t, DO) break;      \
    default: EACH(uint8_t, DO)               \
    }

int64_t mf_factorize(const char *values, ptrdiff_t stride, int64_t n, int kind, int64_t low, int64_t size,
                  int32_t *codes, int32_t *table)
{
    int64_t used = 0;
    memset(table, 0, (size_t)(size + 1) * sizeof *table);
    EACH_OF_KIND(codes[i] = inside ? (int32_t)place : -1; table[inside ? place : (uint64_t)size] = 1;)
    for (int64_t v = 0; v < size; v++) table[v] = table[v] ? (int32_t)used++ : -1;
    if (used < size) { /* otherwise every place is its own number */
        table[size] = -1;
        for (int64_t i = 0; i < n; i++) codes[i] = table[codes[i] < 0 ? size : codes[i]];
    }
    return used;
}

void mf_mark_occurring(const char *values, ptrdiff_t stride, int64_t n, int kind, int64_t low, int64_t size, uint8_t *seen)
{
    memset(seen, 0, (size_t)(size + 1));
    EACH_OF_KIND(seen[inside ? place : (uint64_t)size] = 1;)
}
