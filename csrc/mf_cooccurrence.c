#include "mf_cooccurrence.h"

#include <string.h>

#include "mf_dispatch.h"

/* out (rows, r) += A (rows, columns; or its transpose) F (columns, r). */
MF_INLINE void add_product(int32_t rows, int32_t columns, int32_t row_step, int32_t column_step,
                           int32_t r, const double *A, const double *F, double *MF_RESTRICT out)
{
    for (int32_t a = 0; a < rows; a++)
        for (int32_t b = 0; b < columns; b++) {
            double scale = A[a * row_step + b * column_step];
            for (int32_t c = 0; c < r; c++)
                out[(int64_t)a * r + c] += scale * F[(int64_t)b * r + c];
        }
}

MF_INLINE void multiply_body(const mf_pairs *pairs, int32_t kl, int32_t kr, int32_t r,
                             const double *F_left, const double *F_right, double *left_out,
                             double *right_out)
{
    const double *A = pairs->data;
    for (int64_t j = 0; j < pairs->n_left; j++)
        for (int64_t i = pairs->indptr[j]; i < pairs->indptr[j + 1]; i++, A += kl * kr) {
            int64_t right = pairs->indices[i];
            add_product(kl, kr, kr, 1, r, A, F_right + right * kr * r, left_out + j * kl * r);
            add_product(kr, kl, 1, kr, r, A, F_left + j * kl * r, right_out + right * kr * r);
        }
}

void mf_pairs_multiply(const mf_pairs *pairs, int32_t r, const double *F_left,
                       const double *F_right, double *left_out, double *right_out)
{
    const int32_t kr = pairs->k_right;
    MF_DISPATCH(pairs->k_left, K,
                multiply_body(pairs, K, kr, r, F_left, F_right, left_out, right_out));
}

/* sums (m, m) += x y' */
MF_INLINE void add_outer(int32_t m, const double *x, const double *y, double *MF_RESTRICT sums)
{
    for (int32_t i = 0; i < m; i++)
        for (int32_t l = 0; l < m; l++) sums[(int64_t)i * m + l] += x[i] * y[l];
}

/* AA, AE: the sums in the order [(b,c),(a,d)]. E (kl, kr): D_i D_j' of one pair. */
MF_INLINE void moments_body(const mf_pairs *pairs, int32_t kl, int32_t kr, int32_t p,
                            const double *D_left, const double *D_right, double *AA, double *AE,
                            double *MF_RESTRICT E)
{
    const double *A = pairs->data;
    for (int64_t j = 0; j < pairs->n_left; j++)
        for (int64_t i = pairs->indptr[j]; i < pairs->indptr[j + 1]; i++, A += kl * kr) {
            const double *right = D_right + (int64_t)pairs->indices[i] * kr * p;
            for (int32_t a = 0; a < kl; a++)
                for (int32_t d = 0; d < kr; d++) {
                    const double *x = D_left + (j * kl + a) * p, *y = right + (int64_t)d * p;
                    double dot = 0.0;
                    for (int32_t s = 0; s < p; s++) dot += x[s] * y[s];
                    E[a * kr + d] = dot;
                }
            add_outer(kl * kr, A, A, AA);
            add_outer(kl * kr, A, E, AE);
        }
}

/* From [(b,c),(a,d)] to [a,b,c,d]. */
static void reorder(int32_t kl, int32_t kr, const double *sums, double *out)
{
    for (int32_t a = 0; a < kl; a++)
        for (int32_t b = 0; b < kl; b++)
            for (int32_t c = 0; c < kr; c++)
                for (int32_t d = 0; d < kr; d++)
                    *out++ = sums[((int64_t)b * kr + c) * kl * kr + a * kr + d];
}

void mf_pairs_moments(const mf_pairs *pairs, int32_t p, const double *D_left, const double *D_right,
                      double *AA, double *AE, double *work)
{
    const int32_t kl = pairs->k_left, kr = pairs->k_right;
    const int64_t size = (int64_t)kl * kl * kr * kr;
    double *E = work, *sums_AA = work + kl * kr, *sums_AE = sums_AA + size;
    memset(sums_AA, 0, (size_t)(2 * size) * sizeof *work);
    if (kl == 1 && kr == 1) moments_body(pairs, 1, 1, p, D_left, D_right, sums_AA, sums_AE, E);
    else if (kl == 2 && kr == 2) moments_body(pairs, 2, 2, p, D_left, D_right, sums_AA, sums_AE, E);
    else moments_body(pairs, kl, kr, p, D_left, D_right, sums_AA, sums_AE, E);
    reorder(kl, kr, sums_AA, AA);
    reorder(kl, kr, sums_AE, AE);
}

/* The root of i's tree; paths are halved on the way. */
static int64_t find_root(int64_t i, int64_t *parent)
{
    while (parent[i] != i) {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    return i;
}

void mf_join_components(int64_t n_left, const int64_t *indptr, const int32_t *indices,
                        int64_t base_left, int64_t base_right, int64_t *parent)
{
    for (int64_t j = 0; j < n_left; j++)
        for (int64_t i = indptr[j]; i < indptr[j + 1]; i++) {
            int64_t a = find_root(base_left + j, parent);
            int64_t b = find_root(base_right + indices[i], parent);
            if (a < b) parent[b] = a;
            else parent[a] = b;
        }
}

int64_t mf_label_components(int64_t n, int64_t *parent)
{
    int64_t found = 0;
    /* A parent comes before its children, and so has its number already. */
    for (int64_t i = 0; i < n; i++) parent[i] = parent[i] == i ? found++ : parent[parent[i]];
    return found;
}
