#include "mf_pairs.h"

#include <stdlib.h>
#include <string.h>

/* A radix sort of left * 2^bits + right, least significant digit first: every pass writes to a few thousand
 * places in turn, where a counting sort over all codes would write to as many as there are levels and miss the
 * cache each time. */
#define MOST_BITS 11 /* of a digit */
#define MOST_PASSES 6 /* for two codes of 31 bits */

typedef struct {
    int right_bits, passes, bits; /* bits: of a digit */
} plan;

static int bits_of(int64_t n_levels)
{
    int bits = 0;
    while (n_levels - 1 >= (int64_t)1 << bits) bits++;
    return bits;
}

static plan plan_passes(int64_t n_left, int64_t n_right)
{
    int right = bits_of(n_right), bits = bits_of(n_left) + right, passes = (bits + MOST_BITS - 1) / MOST_BITS;
    return (plan){right, passes, passes ? (bits + passes - 1) / passes : 0};
}

static uint64_t key(mf_entry entry, int right_bits) { return (uint64_t)entry.left << right_bits | entry.right; }

static void pass(const mf_entry *from, mf_entry *to, int64_t n, plan how, int digit, int64_t *counts)
{
    uint64_t mask = ((uint64_t)1 << how.bits) - 1;
    int64_t at = 0;
    for (uint64_t b = 0; b <= mask; b++) {
        int64_t count = counts[b];
        counts[b] = at;
        at += count;
    }
    for (int64_t i = 0; i < n; i++) to[counts[key(from[i], how.right_bits) >> (digit * how.bits) & mask]++] = from[i];
}

int mf_sort_pairs(const int32_t *left, int64_t n_left, const int32_t *right, int64_t n_right, int64_t n,
                  mf_entry *entries, mf_entry *spare, const mf_entry **sorted, int64_t *indptr, int64_t *n_pairs)
{
    plan how = plan_passes(n_left, n_right);
    uint64_t mask = ((uint64_t)1 << how.bits) - 1, previous = 0;
    int in_order = 1;
    int64_t(*counts)[1 << MOST_BITS] = calloc(MOST_PASSES, sizeof *counts);
    if (!counts) return MF_NO_MEMORY;
    for (int64_t i = 0; i < n; i++) {
        if (left[i] < 0 || left[i] >= n_left || right[i] < 0 || right[i] >= n_right) {
            free(counts);
            return MF_BAD_CODE;
        }
        entries[i] = (mf_entry){(uint32_t)left[i], (uint32_t)right[i], (uint32_t)i};
        uint64_t own = key(entries[i], how.right_bits);
        in_order &= previous <= own;
        previous = own;
        for (int d = 0; d < how.passes; d++) counts[d][own >> (d * how.bits) & mask]++;
    }
    for (int d = 0; d < how.passes && !in_order; d++) {
        pass(entries, spare, n, how, d, counts[d]);
        mf_entry *swap = entries;
        entries = spare;
        spare = swap;
    }
    free(counts);
    memset(indptr, 0, (size_t)(n_left + 1) * sizeof *indptr);
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || entries[i].left != entries[i - 1].left || entries[i].right != entries[i - 1].right) {
            found++;
            indptr[entries[i].left + 1]++;
        }
    for (int64_t j = 0; j < n_left; j++) indptr[j + 1] += indptr[j];
    *n_pairs = found;
    *sorted = entries;
    return MF_OK;
}

int mf_sum_pairs(const mf_entry *sorted, int64_t n, const mf_column *columns, int32_t k_left, int32_t k_right,
                 const double *sqrt_weights, int32_t *indices, double *data, double *work)
{
    int32_t k = k_left + k_right, rows[MF_TILE];
    size_t size = (size_t)k_left * k_right;
    double *block = data - size;
    for (int64_t start = 0; start < n; start += MF_TILE, sorted += MF_TILE) {
        int count = n - start < MF_TILE ? (int)(n - start) : MF_TILE;
        for (int t = 0; t < count; t++) rows[t] = (int32_t)sorted[t].row;
        for (int32_t c = 0; c < k; c++) {
            int status = mf_evaluate(&columns[c], rows, 0, count, sqrt_weights, work + (size_t)c * MF_TILE);
            if (status) return status;
        }
        for (int t = 0; t < count; t++) {
            if (start + t == 0 || sorted[t].left != sorted[t - 1].left || sorted[t].right != sorted[t - 1].right) {
                *indices++ = (int32_t)sorted[t].right;
                block += size;
                memset(block, 0, size * sizeof *block);
            }
            for (int32_t a = 0; a < k_left; a++)
                for (int32_t b = 0; b < k_right; b++)
                    block[a * k_right + b] += work[(size_t)a * MF_TILE + t] * work[(size_t)(k_left + b) * MF_TILE + t];
        }
    }
    return MF_OK;
}
