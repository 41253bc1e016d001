#include "mf_pairs.h"

#include <stdlib.h>
#include <string.h>

/* A radix sort of left * 2^bits + right, least significant digit first. Every pass writes to a few
 * thousand places in turn; a counting sort over all codes would write to as many places as there
 * are levels and miss the cache each time. */
#define MOST_BITS 11  /* of a digit */
#define MOST_PASSES 6 /* for two codes of 31 bits */

typedef struct {
    int right_bits;
    int passes;
    int bits; /* of a digit */
} plan;

static int bits_of(int64_t n_levels)
{
    int bits = 0;
    while (n_levels - 1 >= (int64_t)1 << bits) bits++;
    return bits;
}

static plan plan_passes(int64_t n_left, int64_t n_right)
{
    int right = bits_of(n_right), bits = bits_of(n_left) + right;
    int passes = (bits + MOST_BITS - 1) / MOST_BITS;
    return (plan){right, passes, passes ? (bits + passes - 1) / passes : 0};
}

static uint64_t key_of(mf_entry entry, int right_bits)
{
    return (uint64_t)entry.left << right_bits | entry.right;
}

static int same_pair(mf_entry a, mf_entry b) { return a.left == b.left && a.right == b.right; }

/* Sort by one digit. counts: how often each digit occurs; afterwards where its entries end. */
static void sort_by_digit(const mf_entry *from, mf_entry *to, int64_t n, plan how, int digit,
                          int64_t *counts)
{
    uint64_t mask = ((uint64_t)1 << how.bits) - 1;
    int64_t at = 0;
    for (uint64_t b = 0; b <= mask; b++) {
        int64_t count = counts[b];
        counts[b] = at;
        at += count;
    }
    for (int64_t i = 0; i < n; i++)
        to[counts[key_of(from[i], how.right_bits) >> (digit * how.bits) & mask]++] = from[i];
}

/* indptr (n_left + 1) from sorted entries; returns the number of distinct pairs. */
static int64_t point_to_rows(const mf_entry *sorted, int64_t n, int64_t n_left, int64_t *indptr)
{
    int64_t found = 0;
    memset(indptr, 0, (size_t)(n_left + 1) * sizeof *indptr);
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || !same_pair(sorted[i], sorted[i - 1])) {
            found++;
            indptr[sorted[i].left + 1]++;
        }
    for (int64_t j = 0; j < n_left; j++) indptr[j + 1] += indptr[j];
    return found;
}

mf_status mf_sort_pairs(const int32_t *left, int64_t n_left, const int32_t *right, int64_t n_right,
                        int64_t n, mf_entry *entries, mf_entry *spare, const mf_entry **sorted,
                        int64_t *indptr, int64_t *n_pairs)
{
    plan how = plan_passes(n_left, n_right);
    uint64_t mask = ((uint64_t)1 << how.bits) - 1, previous = 0;
    int in_order = 1;
    int64_t (*counts)[1 << MOST_BITS] = calloc(MOST_PASSES, sizeof *counts);
    if (!counts) return MF_NO_MEMORY;
    for (int64_t i = 0; i < n; i++) {
        if (left[i] < 0 || left[i] >= n_left || right[i] < 0 || right[i] >= n_right) {
            free(counts);
            return MF_BAD_CODE;
        }
        entries[i] = (mf_entry){(uint32_t)left[i], (uint32_t)right[i], (uint32_t)i};
        uint64_t key = key_of(entries[i], how.right_bits);
        in_order &= previous <= key;
        previous = key;
        for (int d = 0; d < how.passes; d++) counts[d][key >> (d * how.bits) & mask]++;
    }
    for (int d = 0; d < how.passes && !in_order; d++) {
        sort_by_digit(entries, spare, n, how, d, counts[d]);
        mf_entry *swap = entries;
        entries = spare;
        spare = swap;
    }
    free(counts);
    *n_pairs = point_to_rows(entries, n, n_left, indptr);
    *sorted = entries;
    return MF_OK;
}

mf_status mf_sum_pairs(const mf_entry *sorted, int64_t n, const mf_column *columns, int32_t k_left,
                       int32_t k_right, const double *sqrt_weights, int32_t *indices, double *data,
                       double *work)
{
    int32_t k = k_left + k_right, rows[MF_TILE];
    size_t size = (size_t)k_left * k_right;
    const double *left = work, *right = work + (size_t)k_left * MF_TILE;
    double *block = data; /* of the pair at hand; `data` is the place after it */
    for (int64_t start = 0; start < n; start += MF_TILE, sorted += MF_TILE) {
        int count = n - start < MF_TILE ? (int)(n - start) : MF_TILE;
        for (int t = 0; t < count; t++) rows[t] = (int32_t)sorted[t].row;
        for (int32_t c = 0; c < k; c++) {
            double *out = work + (size_t)c * MF_TILE;
            mf_status status = mf_evaluate(&columns[c], rows, 0, count, sqrt_weights, out);
            if (status) return status;
        }
        for (int t = 0; t < count; t++) {
            if (start + t == 0 || !same_pair(sorted[t], sorted[t - 1])) {
                *indices++ = (int32_t)sorted[t].right;
                block = data;
                data += size;
                memset(block, 0, size * sizeof *block);
            }
            for (int32_t a = 0; a < k_left; a++)
                for (int32_t b = 0; b < k_right; b++)
                    block[a * k_right + b] +=
                        left[(size_t)a * MF_TILE + t] * right[(size_t)b * MF_TILE + t];
        }
    }
    return MF_OK;
}
