/* The selected inverse: entries on the pattern of L are those of the whole inverse, simplicial and
 * by supernodes. */
#include "dense.h"
#include "mf_selinv.h"

#define MOST 14

/* Plain versions of the BLAS and LAPACK routines that the supernodal version calls, with the
 * letters it passes */
static void plain_dtrsm(char *side, char *uplo, char *trans, char *diag, int *m, int *n,
                        double *alpha, double *a, int *lda, double *b, int *ldb)
{
    require(*side == 'R' && *uplo == 'L' && *trans == 'N' && *diag == 'N' && *alpha == 1.0,
            "dtrsm's letters");
    for (int c = *n - 1; c >= 0; c--) /* X L = B */
        for (int i = 0; i < *m; i++) {
            double sum = b[i + (int64_t)c * *ldb];
            for (int k = c + 1; k < *n; k++)
                sum -= b[i + (int64_t)k * *ldb] * a[k + (int64_t)c * *lda];
            b[i + (int64_t)c * *ldb] = sum / a[c + (int64_t)c * *lda];
        }
}

static void plain_dsymm(char *side, char *uplo, int *m, int *n, double *alpha, double *a, int *lda,
                        double *b, int *ldb, double *beta, double *c, int *ldc)
{
    require(*side == 'L' && *uplo == 'L' && *beta == 0.0, "dsymm's letters");
    for (int j = 0; j < *n; j++)
        for (int i = 0; i < *m; i++) {
            double sum = 0.0;
            for (int k = 0; k < *m; k++)
                sum += (i >= k ? a[i + (int64_t)k * *lda] : a[k + (int64_t)i * *lda]) *
                       b[k + (int64_t)j * *ldb];
            c[i + (int64_t)j * *ldc] = *alpha * sum;
        }
}

static void plain_dgemm(char *transa, char *transb, int *m, int *n, int *k, double *alpha,
                        double *a, int *lda, double *b, int *ldb, double *beta, double *c, int *ldc)
{
    require(*transa == 'T' && *transb == 'N', "dgemm's letters");
    for (int j = 0; j < *n; j++)
        for (int i = 0; i < *m; i++) {
            double sum = 0.0;
            for (int t = 0; t < *k; t++) sum += a[t + (int64_t)i * *lda] * b[t + (int64_t)j * *ldb];
            c[i + (int64_t)j * *ldc] = *alpha * sum + *beta * c[i + (int64_t)j * *ldc];
        }
}

static void plain_dpotri(char *uplo, int *n, double *a, int *lda, int *info)
{
    require(*uplo == 'L', "dpotri's letter");
    double *L = zeros((int64_t)*n * *n), *out = identity(*n);
    *info = 0;
    for (int j = 0; j < *n && !*info; j++) {
        for (int i = j; i < *n; i++) L[i * *n + j] = a[i + (int64_t)j * *lda];
        if (L[j * *n + j] == 0.0) *info = j + 1;
    }
    if (!*info) {
        solve_root(*n, L, 0, *n, out);
        solve_root(*n, L, 1, *n, out);
        for (int j = 0; j < *n; j++)
            for (int i = j; i < *n; i++) a[i + (int64_t)j * *lda] = out[i * *n + j];
    }
    free(out);
    free(L);
}

static const mf_selinv_blas BLAS = {plain_dtrsm, plain_dsymm, plain_dgemm, plain_dpotri};

/* A closed pattern: all rows below the diagonal of column j but its first are rows of the column of
 * its first. */
static void close_pattern(int64_t n, uint8_t *pattern)
{
    for (int64_t j = 0; j < n; j++) {
        int64_t parent = j + 1;
        while (parent < n && !pattern[parent * n + j]) parent++;
        for (int64_t i = parent + 1; i < n; i++) pattern[i * n + parent] |= pattern[i * n + j];
    }
}

static double *random_root(bytes *in, int64_t n, const uint8_t *pattern)
{
    double *L = zeros(n * n);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++)
            if (i == j) L[i * n + j] = 2.0 + fabs(number(in));
            else if (pattern[i * n + j]) L[i * n + j] = number(in) / 16.0;
    return L;
}

static double *inverse_of_root(int64_t n, const double *L)
{
    double *out = identity(n);
    solve_root(n, L, 0, n, out);
    solve_root(n, L, 1, n, out);
    return out;
}

static void simplicial(bytes *in, int64_t n, const uint8_t *pattern)
{
    double *L = random_root(in, n, pattern), *expected = inverse_of_root(n, L);
    int64_t most = n * n, at = 0, p[MOST], nz[MOST], *row = room((size_t)most, sizeof *row);
    double *l = nothing(most), *z = nothing(most), *work = nothing(2 * n);
    for (int64_t j = 0; j < n; j++) {
        p[j] = at;
        for (int64_t i = j; i < n; i++)
            if (i == j || pattern[i * n + j]) {
                row[at] = i;
                l[at++] = L[i * n + j];
            }
        nz[j] = at - p[j];
        at +=
            below(in, 2) && at < most - (n - j) * (n - j + 1) /
                                            2; /* CHOLMOD may leave unused entries after a column */
    }
    mf_selinv_simplicial(n, p, nz, row, l, z, work);
    for (int64_t j = 0; j < n; j++)
        for (int64_t t = p[j]; t < p[j] + nz[j]; t++)
            require(close(z[t], expected[row[t] * n + j], largest(n * n, expected)),
                    "an entry of the inverse");
    free(work);
    free(z);
    free(l);
    free(row);
    free(expected);
    free(L);
}

/* Columns side by side make one supernode; its rows are all rows of any of them. */
static void supernodal(bytes *in, int64_t n, uint8_t *pattern)
{
    int64_t super[MOST + 1] = {0}, pi[MOST + 1] = {0}, px[MOST + 1] = {0}, owner[MOST], n_super = 0,
                         rows[MOST * MOST], at = 0, size = 0;
    for (int64_t j = 0; j < n; j++) {
        if (j == 0 || below(in, 2)) super[n_super++] = j;
        owner[j] = n_super - 1;
    }
    super[n_super] = n;
    for (int round = 0; round < (int)n; round++) { /* until supernodes and elimination agree */
        for (int64_t s = 0; s < n_super; s++)
            for (int64_t i = super[s]; i < n; i++) {
                uint8_t any = i < super[s + 1];
                for (int64_t j = super[s]; j < super[s + 1]; j++) any |= pattern[i * n + j];
                for (int64_t j = super[s]; any && j < super[s + 1]; j++)
                    pattern[i * n + j] |= i > j;
            }
        close_pattern(n, pattern);
    }
    for (int64_t s = 0; s < n_super; s++) {
        for (int64_t i = super[s]; i < n; i++)
            if (i < super[s + 1] || pattern[i * n + super[s]]) rows[at++] = i;
        pi[s + 1] = at;
        px[s + 1] = size += (at - pi[s]) * (super[s + 1] - super[s]);
    }
    double *L = random_root(in, n, pattern), *l = zeros(size), *z = nothing(size);
    int64_t broken = below(in, 16) == 0 ? below(in, n_super) : -1;
    if (broken >= 0) L[super[broken] * n + super[broken]] = 0.0;
    for (int64_t s = 0; s < n_super; s++)
        for (int64_t j = super[s]; j < super[s + 1]; j++)
            for (int64_t t = pi[s]; t < pi[s + 1]; t++)
                l[px[s] + (j - super[s]) * (pi[s + 1] - pi[s]) + t - pi[s]] =
                    rows[t] >= j ? L[rows[t] * n + j] : NAN;
    mf_selinv_supernodes sn = {n_super, super, pi, px, rows, owner};
    int64_t work_size, index_size;
    mf_selinv_supernodal_sizes(&sn, &work_size, &index_size);
    double *work = nothing(work_size);
    int64_t *index = room((size_t)index_size, sizeof *index);
    int64_t failed = mf_selinv_supernodal(&sn, l, z, work, index, &BLAS);
    require(failed == broken + 1, "the singular supernode is returned");
    if (!failed) {
        double *expected = inverse_of_root(n, L);
        for (int64_t s = 0; s < n_super; s++)
            for (int64_t j = super[s]; j < super[s + 1]; j++)
                for (int64_t t = pi[s]; t < pi[s + 1]; t++)
                    if (rows[t] >= j)
                        require(close(z[px[s] + (j - super[s]) * (pi[s + 1] - pi[s]) + t - pi[s]],
                                      expected[rows[t] * n + j], largest(n * n, expected)),
                                "an entry of the inverse, by supernodes");
        free(expected);
    }
    free(index);
    free(work);
    free(z);
    free(l);
    free(L);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes in = {data, size, 0};
    int64_t n = 1 + below(&in, MOST);
    uint8_t *pattern = room((size_t)(n * n), 1);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) pattern[i * n + j] = j < i && below(&in, 3) == 0;
    close_pattern(n, pattern);
    simplicial(&in, n, pattern);
    supernodal(&in, n, pattern);
    free(pattern);
    return 0;
}
