/* Scans of one column of numbers: are they finite, and which integers occur?
 *
 * A column is n numbers of one kind, `stride` bytes apart (negative: backwards), read in place.
 */
#ifndef MF_CODES_H
#define MF_CODES_H

#include "mf_types.h"

/* -------------------------------------------------------------------------------------------------
 * mf_all_finite: check a column for infinities and NaN
 *
 * Input
 *     values, stride, n   the column
 *     kind                MF_F64 or MF_F32
 * Result
 *     1 when every number is finite, else 0
 * ---------------------------------------------------------------------------------------------- */
int mf_all_finite(const char *values, ptrdiff_t stride, int64_t n, mf_kind kind);

/* -------------------------------------------------------------------------------------------------
 * mf_factorize: number the integers that occur, in ascending order
 *
 * Only the integers low .. low + size - 1 are numbered.
 *
 * Input
 *     values, stride, n   the column
 *     kind                an integer kind
 *     low, size           the range
 * Output
 *     codes (n)           the number of each value; -1 for a value outside the range
 *     table (size + 1)    the number of each integer of the range; -1 for one that does not occur.
 *                         The last entry serves values outside the range.
 * Result
 *     how many integers of the range occur
 * ---------------------------------------------------------------------------------------------- */
int64_t mf_factorize(const char *values, ptrdiff_t stride, int64_t n, mf_kind kind, int64_t low,
                     int64_t size, int32_t *codes, int32_t *table);

/* -------------------------------------------------------------------------------------------------
 * mf_mark_occurring: mark the integers that occur
 *
 * Input
 *     as for mf_factorize
 * Output
 *     seen (size + 1)     1 for each integer of the range that occurs, else 0; the last entry is
 *                         for values outside the range
 * ---------------------------------------------------------------------------------------------- */
void mf_mark_occurring(const char *values, ptrdiff_t stride, int64_t n, mf_kind kind, int64_t low,
                       int64_t size, uint8_t *seen);

#endif
