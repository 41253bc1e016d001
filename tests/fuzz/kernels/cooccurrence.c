/* Products with co-occurrence blocks against dense ones, and the connected components of the levels
 * of several factors. */
#include "dense.h"
#include "mf_cooccurrence.h"

#define MOST 6

static int64_t root(const int64_t *parent, int64_t i)
{
    while (parent[i] != i) i = parent[i];
    return i;
}

/* The sums over pairs in the equations of MINQUE(0), by their definition. */
static void check_moments(bytes *in, const mf_pairs *pairs, int64_t n_right)
{
    int32_t kl = pairs->k_left, kr = pairs->k_right, p = (int32_t)below(in, 4), m = kl * kr;
    double *D_left = numbers(in, pairs->n_left * kl * p), *D_right = numbers(in, n_right * kr * p);
    double *AA = nothing(m * m), *AE = nothing(m * m), *work = nothing(m + 2 * m * m),
           *AA_plain = zeros(m * m), *AE_plain = zeros(m * m);
    mf_pairs_moments(pairs, p, D_left, D_right, AA, AE, work);
    for (int64_t i = 0; i < pairs->n_left; i++)
        for (int64_t e = pairs->indptr[i]; e < pairs->indptr[i + 1]; e++) {
            const double *A = pairs->data + e * m;
            double *E =
                product(kl, p, kr, D_left + i * kl * p, 0, D_right + pairs->indices[e] * kr * p, 1);
            for (int32_t a = 0, at = 0; a < kl; a++)
                for (int32_t b = 0; b < kl; b++)
                    for (int32_t c = 0; c < kr; c++)
                        for (int32_t d = 0; d < kr; d++, at++) {
                            AA_plain[at] += A[b * kr + c] * A[a * kr + d];
                            AE_plain[at] += A[b * kr + c] * E[a * kr + d];
                        }
            free(E);
        }
    equal(m * m, AA, AA_plain, "sums of A A");
    equal(m * m, AE, AE_plain, "sums of A D D'");
    double *all[] = {D_left, D_right, AA, AE, work, AA_plain, AE_plain};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes in = {data, size, 0};
    int64_t n_left = 1 + below(&in, MOST), n_right = 1 + below(&in, MOST),
            n_other = below(&in, MOST), nnz = 0;
    int32_t k_left = 1 + (int32_t)below(&in, 4), k_right = 1 + (int32_t)below(&in, 4),
            r = 1 + (int32_t)below(&in, 3);
    int64_t *indptr = room((size_t)n_left + 1, sizeof *indptr), rows = n_left * k_left,
            columns = n_right * k_right;
    int32_t *indices = room((size_t)(n_left * n_right), sizeof *indices);
    for (int64_t i = indptr[0] = 0; i < n_left; i++) {
        for (int64_t j = 0; j < n_right; j++)
            if (below(&in, 3) == 0) indices[nnz++] = (int32_t)j;
        indptr[i + 1] = nnz;
    }
    indices = realloc(indices, nnz ? (size_t)nnz * sizeof *indices : 1);
    double *blocks = numbers(&in, nnz * k_left * k_right), *A = zeros(rows * columns);
    for (int64_t i = 0; i < n_left; i++)
        for (int64_t e = indptr[i]; e < indptr[i + 1]; e++)
            for (int32_t a = 0; a < k_left; a++)
                for (int32_t b = 0; b < k_right; b++)
                    A[(i * k_left + a) * columns + indices[e] * k_right + b] =
                        blocks[(e * k_left + a) * k_right + b];
    double *F_left = numbers(&in, rows * r), *F_right = numbers(&in, columns * r),
           *left = numbers(&in, rows * r);
    double *right = numbers(&in, columns * r),
           *to_left = product(rows, columns, r, A, 0, F_right, 0);
    double *to_right = product(columns, rows, r, A, 1, F_left, 0);
    for (int64_t i = 0; i < rows * r; i++) to_left[i] += left[i];
    for (int64_t i = 0; i < columns * r; i++) to_right[i] += right[i];
    mf_pairs pairs = {n_left, k_left, k_right, indptr, indices, blocks};
    mf_pairs_multiply(&pairs, r, F_left, F_right, left, right);
    equal(rows * r, left, to_left, "A F");
    equal(columns * r, right, to_right, "A'F");
    check_moments(&in, &pairs, n_right);

    /* three factors, the third joined with the second by a random pattern */
    int64_t n = n_left + n_right + n_other, *parent = room((size_t)n, sizeof *parent),
            *label = room((size_t)n, sizeof *label);
    for (int64_t i = 0; i < n; i++) parent[i] = label[i] = i;
    int64_t links[MOST + 1] = {0};
    int32_t *other = room((size_t)n_right, sizeof *other);
    for (int64_t j = 0; j < n_right; j++) {
        if (n_other && below(&in, 2))
            other[links[j]] = (int32_t)below(&in, n_other), links[j + 1] = links[j] + 1;
        else links[j + 1] = links[j];
    }
    mf_join_components(n_left, indptr, indices, 0, n_left, parent);
    mf_join_components(n_right, links, other, n_left, n_left + n_right, parent);
    for (int64_t i = 0; i < n; i++)
        require(parent[i] <= i && root(parent, i) <= i,
                "the root of a tree is its smallest member");
    for (int64_t round = 0; round < n;
         round++) { /* plainly: pass on the smaller label until nothing changes */
        for (int64_t i = 0; i < n_left; i++)
            for (int64_t e = indptr[i]; e < indptr[i + 1]; e++) {
                int64_t *a = &label[i], *b = &label[n_left + indices[e]];
                *a = *b = *a < *b ? *a : *b;
            }
        for (int64_t j = 0; j < n_right; j++)
            for (int64_t e = links[j]; e < links[j + 1]; e++) {
                int64_t *a = &label[n_left + j], *b = &label[n_left + n_right + other[e]];
                *a = *b = *a < *b ? *a : *b;
            }
    }
    int64_t found = mf_label_components(n, parent), met = 0;
    for (int64_t i = 0; i < n; i++) {
        if (label[i] == i)
            require(parent[i] == met++, "components are numbered by their smallest member");
        else require(parent[i] == parent[label[i]], "one component, one number");
    }
    require(found == met, "the number of components");
    double *all[] = {blocks, A, F_left, F_right, left, right, to_left, to_right};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(other);
    free(label);
    free(parent);
    free(indices);
    free(indptr);
    return 0;
}
