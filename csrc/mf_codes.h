/* What is asked of a column before it is used: whether all of it is finite, and which whole numbers it holds. */
#ifndef MF_CODES_H
#define MF_CODES_H

#include <stddef.h>
#include <stdint.h>

#include "mf_columns.h" /* enum mf_kind */

/* 1 when no value is infinite or NaN. kind: MF_F64 or MF_F32; stride in bytes. */
int mf_all_finite(const char *values, ptrdiff_t stride, int64_t n, int kind);

/* Numbers the whole numbers low .. low + size - 1 that occur among `values` (any integer kind), in order:
 * codes (n) gets their numbers, and -1 for a value outside the range; table (size + 1) the number of each
 * value, -1 for one that does not occur. Returns how many occur. */
int64_t mf_factorize(const char *values, ptrdiff_t stride, int64_t n, int kind, int64_t low, int64_t size,
                  int32_t *codes, int32_t *table);

/* The same without numbers: seen (size + 1) gets 1 for every place above `low` that occurs, 0 for others; the last is for
 * values outside the range. */
void mf_mark_occurring(const char *values, ptrdiff_t stride, int64_t n, int kind, int64_t low, int64_t size, uint8_t *seen);

#endif
