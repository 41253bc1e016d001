#include "mf_selinv.h"

#include <string.h>

/* For column j with rows r below the diagonal, l = L[r, j] and d = L[j, j]:
 *     Z[r, j] = -Z[r, r] l / d
 *     Z[j, j] = (1 / d - Z[r, j]' l) / d
 * Z[r, r] is known: columns are taken from the last to the first, and every pair of rows in r is in
 * the pattern of L. Only its lower triangle is stored; each stored entry Z[i, k] serves (i, k) and
 * (k, i). */
void mf_selinv_simplicial(int64_t n, const int64_t *p, const int64_t *nz, const int64_t *row,
                          const double *l, double *z, double *work)
{
    double *column = work;      /* L[:, j], zero outside the pattern of column j */
    double *product = work + n; /* Z[r, r] l; other elements hold leftovers that nobody reads */
    memset(column, 0, (size_t)n * sizeof(double));

    for (int64_t j = n - 1; j >= 0; j--) {
        const int64_t first = p[j] + 1, end = p[j] + nz[j];
        const double d = l[p[j]];
        for (int64_t t = first; t < end; t++) {
            column[row[t]] = l[t];
            product[row[t]] = 0.0;
        }
        for (int64_t t = first; t < end; t++) {
            const int64_t k = row[t], k_end = p[k] + nz[k];
            const double l_k = l[t];
            double dot = l_k * z[p[k]];
            for (int64_t s = p[k] + 1; s < k_end; s++) {
                dot += z[s] * column[row[s]];
                product[row[s]] += z[s] * l_k;
            }
            product[k] += dot;
        }
        double dot = 0.0;
        for (int64_t t = first; t < end; t++) {
            z[t] = -product[row[t]] / d;
            dot += z[t] * l[t];
            column[row[t]] = 0.0;
        }
        z[p[j]] = (1.0 / d - dot) / d;
    }
}

static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

void mf_selinv_supernodal_sizes(const mf_selinv_supernodes *sn, int64_t *work, int64_t *index)
{
    *work = 0;
    *index = 0;
    for (int64_t s = 0; s < sn->n_super; s++) {
        const int64_t cols = sn->super[s + 1] - sn->super[s];
        const int64_t below = sn->pi[s + 1] - sn->pi[s] - cols;
        *work = max64(*work, below * (below + cols));
        *index = max64(*index, below);
    }
}

/* Gather the lower triangle of Z[r, r] as a dense m x m block. r is cut into runs that one
 * supernode owns; all later elements of r are rows of that supernode, so that one pass along both
 * sorted lists finds their places. */
static void gather(const mf_selinv_supernodes *sn, const double *z, const int64_t *r, int64_t m,
                   double *block, int64_t *place)
{
    int64_t begin = 0;
    while (begin < m) {
        const int64_t k = sn->owner[r[begin]];
        const int64_t *rows = sn->rows + sn->pi[k];
        const int64_t ld = sn->pi[k + 1] - sn->pi[k];
        int64_t end = begin, at = 0;
        while (end < m && r[end] < sn->super[k + 1]) end++;
        for (int64_t t = begin; t < m; t++) {
            while (rows[at] != r[t]) at++;
            place[t] = at;
        }
        for (int64_t c = begin; c < end; c++) {
            const double *from = z + sn->px[k] + (r[c] - sn->super[k]) * ld;
            double *to = block + c * m;
            for (int64_t t = c; t < m; t++) to[t] = from[place[t]];
        }
        begin = end;
    }
}

/* The recurrence by blocks. A supernode has the triangle T = L[c, c] on its own columns c
 * and the rectangle B = L[r, c] below it. With Y = B inv(T):
 *     Z[r, c] = -Z[r, r] Y
 *     Z[c, c] = inv(T T') - Y' Z[r, c] */
int64_t mf_selinv_supernodal(const mf_selinv_supernodes *sn, const double *l, double *z,
                             double *work, int64_t *index, const mf_selinv_blas *blas)
{
    double one = 1.0, minus_one = -1.0, zero = 0.0;
    for (int64_t s = sn->n_super - 1; s >= 0; s--) {
        int cols = (int)(sn->super[s + 1] - sn->super[s]);
        int ld = (int)(sn->pi[s + 1] - sn->pi[s]);
        int below = ld - cols, info = 0;
        const double *ls = l + sn->px[s];
        double *zs = z + sn->px[s];

        for (int64_t c = 0; c < cols; c++)
            memcpy(zs + c * ld + c, ls + c * ld + c, (size_t)(cols - c) * sizeof(double));
        blas->dpotri("L", &cols, zs, &ld, &info);
        if (info != 0) return s + 1;
        if (below == 0) continue;

        double *block = work;
        double *y = work + (int64_t)below * below;
        for (int64_t c = 0; c < cols; c++)
            memcpy(y + c * below, ls + c * ld + cols, (size_t)below * sizeof(double));
        /* BLAS takes its read-only arguments without const; it does not write to `ls`. */
        blas->dtrsm("R", "L", "N", "N", &below, &cols, &one, (double *)ls, &ld, y, &below);
        gather(sn, z, sn->rows + sn->pi[s] + cols, below, block, index);
        blas->dsymm("L", "L", &below, &cols, &minus_one, block, &below, y, &below, &zero, zs + cols,
                    &ld);
        blas->dgemm("T", "N", &cols, &cols, &below, &minus_one, y, &below, zs + cols, &ld, &one, zs,
                    &ld);
    }
    return 0;
}
