/* mf_evaluate: a column at consecutive rows and at any rows, against one value after the other. */
#include "pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes in = {data, size, 0};
    int64_t n = 1 + below(&in, 700);
    pool made = make_pool(&in, n, 1);
    int32_t *rows = codes_below(&in, n, n);
    double *out = nothing(n);
    for (int picked = 0; picked < 2; picked++) {
        int64_t first = below(&in, n);
        int count = (int)(n - first);
        int status =
            mf_evaluate(made.columns, picked ? rows : NULL, first, count, made.weights, out);
        require(status == MF_OK || (status == MF_BAD_CODE && made.bad_code),
                "only a code outside its table is refused");
        for (int t = 0; !status && t < count; t++)
            require(out[t] == plain_entry(&made, 0, picked ? rows[first + t] : first + t),
                    "a value of a column");
    }
    free(out);
    free(rows);
    free_pool(&made);
    return 0;
}
