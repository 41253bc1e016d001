/* mf_crossprod and mf_select_sums: against plain loops, for any runs of levels, of one factor or of
 * the cells of two factors. */
#include "mf_crossprod.h"
#include "pool.h"

static int32_t *some_columns(bytes *in, int32_t count, int32_t size)
{
    return codes_below(in, count, size);
}

/* codes (n) in runs of a chosen length, so that both ways of summing are tried; two of 256 are out
 * of range */
static int32_t *runs(bytes *in, int64_t n, int64_t n_levels, int *bad)
{
    int32_t *codes = room((size_t)n, sizeof *codes);
    int64_t length = 1 + below(in, 40);
    for (int64_t i = 0; i < n; i++) {
        if (i % length) {
            codes[i] = codes[i - 1];
            continue;
        }
        int32_t code = (int8_t)next_byte(in);
        if (code != -100 && code != 100) code = (code & 127) % (int32_t)n_levels;
        codes[i] = code;
        *bad |= code < 0 || code >= n_levels;
    }
    return codes;
}

static void check_select_sums(bytes *in, const mf_group *group, int64_t n_cells)
{
    int32_t width = MF_SUMS(group->n_right), first = (int32_t)below(in, group->n_left);
    int32_t n_rows = 1 + (int32_t)below(in, group->n_left - first),
            n_columns = 1 + (int32_t)below(in, 3);
    int32_t *columns = some_columns(in, n_columns, group->n_right);
    const double *parts[] = {group->sums, group->sums};
    double *out = nothing(n_cells * n_rows * n_columns), *at = out;
    mf_select_sums(parts, 2, n_cells, group->n_left, width, first, n_rows, columns, n_columns, out);
    for (int64_t j = 0; j < n_cells; j++)
        for (int32_t a = first; a < first + n_rows; a++)
            for (int32_t c = 0; c < n_columns; c++)
                require(*at++ == 2.0 * group->sums[(j * group->n_left + a) * width + columns[c]],
                        "a selected sum");
    free(out);
    free(columns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes in = {data, size, 0};
    int64_t n = below(&in, 600);
    int32_t n_columns = 1 + (int32_t)below(&in, 7), n_gram = (int32_t)below(&in, n_columns + 1);
    pool made = make_pool(&in, n, n_columns);
    mf_group group = {0};
    int n_groups = (int)below(&in, 2), bad = made.bad_code;
    int32_t *gram = some_columns(&in, n_gram, n_columns);
    int64_t n_levels[2] = {1 + below(&in, 90), 1 + below(&in, 5)};
    group.n_levels = n_levels;
    group.n_codes = 1 + (int32_t)below(&in, 2);
    int64_t n_cells = n_levels[0] * (group.n_codes == 2 ? n_levels[1] : 1);
    group.n_columns = 1 + (int32_t)below(&in, 6);
    group.n_right = 1 + (int32_t)below(&in, group.n_columns);
    group.n_left = 1 + (int32_t)below(&in, 4);
    group.columns = some_columns(&in, group.n_columns, n_columns);
    group.left = some_columns(&in, group.n_left, group.n_columns);
    const int32_t *codes[2] = {runs(&in, n, n_levels[0], &bad), NULL};
    if (group.n_codes == 2) codes[1] = runs(&in, n, n_levels[1], &bad);
    group.codes = codes;
    int32_t width = MF_SUMS(group.n_right);
    group.sums = zeros(n_cells * group.n_left * width);
    double *sums = zeros((int64_t)n_gram * n_gram);
    double *work = aligned_alloc(64, (size_t)(n_columns + MF_PADDED(group.n_columns)) * MF_TILE *
                                         sizeof *work);
    int64_t first = below(&in, n + 1), last = first + below(&in, n - first + 1);
    int status = mf_crossprod(made.columns, n_columns, first, last, made.weights, gram, n_gram,
                              sums, &group, n_groups, work);
    require(status == MF_OK || (status == MF_BAD_CODE && bad),
            "only a code outside its range is refused");

    for (int32_t i = 0; !status && i < n_gram; i++)
        for (int32_t j = 0; j < n_gram; j++) {
            double sum = 0.0;
            for (int64_t row = first; row < last; row++)
                sum += plain_entry(&made, gram[i], row) * plain_entry(&made, gram[j], row);
            require(close(sums[i * n_gram + j], sum, fabs(sum)), "an entry of the Gram matrix");
        }
    for (int32_t a = 0; !status && n_groups && a < group.n_left; a++)
        for (int32_t b = 0; b < group.n_right; b++) {
            double *expected = zeros(n_cells);
            for (int64_t row = first; row < last; row++)
                expected[group.n_codes == 2 ? codes[0][row] * n_levels[1] + codes[1][row]
                                            : codes[0][row]] +=
                    plain_entry(&made, group.columns[group.left[a]], row) *
                    plain_entry(&made, group.columns[b], row);
            for (int64_t j = 0; j < n_cells; j++)
                require(close(group.sums[(j * group.n_left + a) * width + b], expected[j],
                              fabs(expected[j])),
                        "a sum of a level");
            free(expected);
        }
    if (!status && n_groups) check_select_sums(&in, &group, n_cells);
    free(work);
    free(sums);
    free(group.sums);
    free((void *)codes[0]);
    free((void *)codes[1]);
    free((void *)group.left);
    free((void *)group.columns);
    free(gram);
    free_pool(&made);
    return 0;
}
