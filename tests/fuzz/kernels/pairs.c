/* mf_sort_pairs and mf_sum_pairs: rows sorted by pair, and each block the sum over the rows of its
 * pair. */
#include "mf_pairs.h"
#include "pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t MANY[] = {1, 2, 3, 50, 2048, 5000, 70000, INT64_C(1) << 31};
    bytes in = {data, size, 0};
    int64_t n = below(&in, 500), n_left = MANY[below(&in, 7)],
            n_right = MANY[below(&in, 8)]; /* indptr has n_left + 1 entries */
    int32_t k_left = 1 + (int32_t)below(&in, 3), k_right = 1 + (int32_t)below(&in, 3);
    pool made = make_pool(&in, n, k_left + k_right);
    int bad = 0;
    int32_t *left = room((size_t)n, sizeof *left), *right = room((size_t)n, sizeof *right);
    for (int64_t i = 0; i < n; i++) {
        left[i] = (int32_t)(below(&in, 65536) * 7919 % n_left);
        right[i] = (int32_t)((below(&in, 65536) * INT64_C(1000003) + 2147480000) % n_right);
        uint8_t spoil = next_byte(&in);
        if (spoil == 255) left[i] = -1;
        if (spoil == 254 && n_right < INT32_MAX) right[i] = (int32_t)n_right;
        bad |= left[i] < 0 || right[i] >= n_right;
    }
    mf_entry *entries = room((size_t)n, sizeof *entries), *spare = room((size_t)n, sizeof *spare);
    const mf_entry *sorted = NULL;
    int64_t *indptr = room((size_t)n_left + 1, sizeof *indptr), found = -1;
    mf_status status =
        mf_sort_pairs(left, n_left, right, n_right, n, entries, spare, &sorted, indptr, &found);
    require(status == (bad ? MF_BAD_CODE : MF_OK),
            "codes outside their range, and no others, are refused");
    if (!bad) {
        uint8_t *met = room((size_t)n, 1);
        memset(met, 0, (size_t)n);
        int64_t pairs = 0, at = 0;
        for (int64_t i = 0; i < n; i++) {
            mf_entry now = sorted[i];
            require(now.row < n && !met[now.row]++, "each row once");
            require((int32_t)now.left == left[now.row] && (int32_t)now.right == right[now.row],
                    "the pair of the row");
            int64_t past = i ? now.left > sorted[i - 1].left || (now.left == sorted[i - 1].left &&
                                                                 now.right > sorted[i - 1].right)
                             : 1;
            require(past || (now.left == sorted[i - 1].left && now.right == sorted[i - 1].right &&
                             now.row > sorted[i - 1].row),
                    "order");
            pairs += past;
        }
        require(found == pairs && indptr[0] == 0 && indptr[n_left] == pairs, "the number of pairs");
        int32_t *indices = room((size_t)pairs, sizeof *indices);
        int64_t block = (int64_t)k_left * k_right;
        double *sums = nothing(pairs * block), *work = nothing((k_left + k_right) * MF_TILE);
        status = mf_sum_pairs(sorted, n, made.columns, k_left, k_right, made.weights, indices, sums,
                              work);
        require(status == MF_OK || (status == MF_BAD_CODE && made.bad_code),
                "only a code outside its table is refused");
        for (int64_t pair = 0; !status && pair < pairs; pair++) {
            double expected[9] = {0};
            int32_t i = (int32_t)sorted[at].left, j = (int32_t)sorted[at].right;
            require(indices[pair] == j && indptr[i] <= pair && pair < indptr[i + 1],
                    "the pair's place");
            for (; at < n && (int32_t)sorted[at].left == i && (int32_t)sorted[at].right == j; at++)
                for (int32_t a = 0; a < k_left; a++)
                    for (int32_t b = 0; b < k_right; b++)
                        expected[a * k_right + b] += plain_entry(&made, a, sorted[at].row) *
                                                     plain_entry(&made, k_left + b, sorted[at].row);
            for (int64_t x = 0; x < block; x++)
                require(close(sums[pair * block + x], expected[x], fabs(expected[x])), "a block");
        }
        free(work);
        free(sums);
        free(indices);
        free(met);
    }
    free(indptr);
    free(spare);
    free(entries);
    free(right);
    free(left);
    free_pool(&made);
    return 0;
}
