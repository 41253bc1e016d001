#include "mf_rest.h"

#include <assert.h>
#include <string.h>

#include "mf_levels.h"

/* Columns copied at a time when an upper triangle is turned into a lower one. */
#define PANEL 48

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* X (ki, kj; C order) = L_i X L_j', or L_i' X L_j when transposed. */
static void multiply_both_sides(int32_t ki, int32_t kj, const double *Li, const double *Lj,
                                int transposed, double *X)
{
    double Y[MF_MAX_K * MF_MAX_K];
    assert(ki <= MF_MAX_K && kj <= MF_MAX_K);
    for (int32_t a = 0; a < ki; a++)
        for (int32_t b = 0; b < kj; b++) {
            double sum = 0.0;
            for (int32_t c = 0; c < ki; c++)
                sum += (transposed ? Li[c * ki + a] : Li[a * ki + c]) * X[c * kj + b];
            Y[a * kj + b] = sum;
        }
    for (int32_t a = 0; a < ki; a++)
        for (int32_t b = 0; b < kj; b++) {
            double sum = 0.0;
            for (int32_t c = 0; c < kj; c++)
                sum += Y[a * kj + c] * (transposed ? Lj[c * kj + b] : Lj[b * kj + c]);
            X[a * kj + b] = sum;
        }
}

/* Rows begin .. end - 1 of component c, every k being 1: a row of the upper triangle becomes a row
 * of the lower one. */
static void scale_scalar(const mf_rest *rest, int64_t c, int64_t begin, int64_t end, double *D)
{
    int64_t size = rest->start[c + 1] - rest->start[c];
    const int64_t *at = rest->lambda + rest->level_start[c];
    for (int64_t row0 = begin; row0 < end; row0 += PANEL) {
        int64_t row1 = smaller(row0 + PANEL, end);
        for (int64_t col0 = 0; col0 < row1; col0 += PANEL) {
            int64_t col1 = smaller(col0 + PANEL, size);
            for (int64_t row = row0; row < row1; row++) {
                double scale = rest->lambdas[at[row]];
                int64_t stop = smaller(col1, row);
                for (int64_t col = col0; col < stop; col++)
                    D[row + col * size] = scale * rest->lambdas[at[col]] * D[col + row * size];
            }
        }
    }
    for (int64_t i = begin; i < end; i++) {
        double scale = rest->lambdas[at[i]];
        D[i + i * size] = scale * scale * D[i + i * size] + 1.0;
    }
}

static void scale_blocks(const mf_rest *rest, int64_t c, int64_t begin, int64_t end, double *D)
{
    int64_t first = rest->start[c], size = rest->start[c + 1] - first;
    double X[MF_MAX_K * MF_MAX_K];
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = rest->level_start[c]; j <= i; j++) {
            int32_t ki = rest->k[i], kj = rest->k[j];
            int64_t row = rest->first[i] - first, col = rest->first[j] - first;
            for (int32_t a = 0; a < ki; a++)
                for (int32_t b = 0; b < kj; b++) {
                    int64_t lo = smaller(row + a, col + b), hi = larger(row + a, col + b);
                    X[a * kj + b] = D[lo + hi * size];
                }
            multiply_both_sides(ki, kj, rest->lambdas + rest->lambda[i],
                                rest->lambdas + rest->lambda[j], 1, X);
            for (int32_t a = 0; a < ki; a++)
                for (int32_t b = 0; b < kj; b++)
                    if (row + a >= col + b)
                        D[row + a + (col + b) * size] =
                            X[a * kj + b] + (row + a == col + b ? 1.0 : 0.0);
        }
}

void mf_rest_scale(const mf_rest *rest, int64_t first_level, int64_t last_level, double *dense,
                   double *diagonal)
{
    for (int64_t c = 0; c < rest->n_components; c++) {
        int64_t begin = larger(rest->level_start[c], first_level);
        int64_t end = smaller(rest->level_start[c + 1], last_level);
        if (begin >= end) continue;
        double *D = dense + rest->offset[c];
        int64_t first = rest->start[c], size = rest->start[c + 1] - first;
        int64_t last = rest->first[end - 1] + rest->k[end - 1] - first;
        for (int64_t i = rest->first[begin] - first; i < last; i++)
            diagonal[first + i] = D[i + i * size];
        if (rest->scalar)
            scale_scalar(rest, c, begin - rest->level_start[c], end - rest->level_start[c], D);
        else scale_blocks(rest, c, begin, end, D);
    }
}

static void sandwich_scalar(const mf_rest *rest, int64_t c, int64_t begin, int64_t end, double *D)
{
    int64_t size = rest->start[c + 1] - rest->start[c];
    const int64_t *at = rest->lambda + rest->level_start[c];
    for (int64_t col = begin; col < end; col++) {
        double scale = rest->lambdas[at[col]];
        for (int64_t row = col; row < size; row++)
            D[row + col * size] *= scale * rest->lambdas[at[row]];
    }
}

static void sandwich_blocks(const mf_rest *rest, int64_t c, int64_t begin, int64_t end, double *D)
{
    int64_t first = rest->start[c], size = rest->start[c + 1] - first;
    double X[MF_MAX_K * MF_MAX_K];
    for (int64_t j = begin; j < end; j++)
        for (int64_t i = j; i < rest->level_start[c + 1]; i++) {
            int32_t ki = rest->k[i], kj = rest->k[j];
            int64_t row = rest->first[i] - first, col = rest->first[j] - first;
            for (int32_t a = 0; a < ki; a++)
                for (int32_t b = 0; b < kj; b++)
                    X[a * kj + b] = i == j && a < b ? D[row + b + (col + a) * size]
                                                    : D[row + a + (col + b) * size];
            multiply_both_sides(ki, kj, rest->lambdas + rest->lambda[i],
                                rest->lambdas + rest->lambda[j], 0, X);
            for (int32_t a = 0; a < ki; a++)
                for (int32_t b = 0; b < kj; b++)
                    if (i > j || a >= b) D[row + a + (col + b) * size] = X[a * kj + b];
        }
}

void mf_rest_sandwich(const mf_rest *rest, int64_t first_level, int64_t last_level, double *dense)
{
    for (int64_t c = 0; c < rest->n_components; c++) {
        int64_t begin = larger(rest->level_start[c], first_level);
        int64_t end = smaller(rest->level_start[c + 1], last_level);
        double *D = dense + rest->offset[c];
        if (rest->scalar)
            sandwich_scalar(rest, c, begin - rest->level_start[c], end - rest->level_start[c], D);
        else sandwich_blocks(rest, c, begin, end, D);
    }
}

void mf_rest_multiply_lambda_t(const mf_rest *rest, int32_t r, const double *rows, double *out)
{
    int64_t m = rest->start[rest->n_components];
    for (int64_t i = 0; i < rest->level_start[rest->n_components]; i++) {
        int32_t k = rest->k[i];
        const double *own = rows + rest->first[i] * r, *lambda = rest->lambdas + rest->lambda[i];
        for (int32_t c = 0; c < r; c++)
            for (int32_t a = 0; a < k; a++) {
                double sum = 0.0;
                for (int32_t b = 0; b < k; b++) sum += lambda[b * k + a] * own[(int64_t)b * r + c];
                out[rest->first[i] + a + c * m] = sum;
            }
    }
}

void mf_rest_multiply_lambda(const mf_rest *rest, int32_t r, const double *columns, double *out)
{
    int64_t m = rest->start[rest->n_components];
    for (int64_t i = 0; i < rest->level_start[rest->n_components]; i++) {
        int32_t k = rest->k[i];
        const double *own = columns + rest->first[i], *lambda = rest->lambdas + rest->lambda[i];
        double *row = out + rest->first[i] * r;
        for (int32_t a = 0; a < k; a++)
            for (int32_t c = 0; c < r; c++) {
                double sum = 0.0;
                for (int32_t b = 0; b < k; b++) sum += lambda[a * k + b] * own[b + c * m];
                row[(int64_t)a * r + c] = sum;
            }
    }
}

void mf_rest_blocks_k(const mf_rest *rest, const double *inverses, double *blocks)
{
    for (int64_t i = 0; i < rest->level_start[rest->n_components]; i++) {
        int32_t k = rest->k[i];
        const double *inverse = inverses + rest->lambda[i];
        for (int32_t a = 0; a < k; a++)
            for (int32_t b = 0; b < k; b++)
                blocks[a * k + b] = (a == b ? 1.0 : 0.0) - blocks[a * k + b];
        multiply_both_sides(k, k, inverse, inverse, 1, blocks);
        blocks += k * k;
    }
}

void mf_rest_extract_blocks(const mf_rest *rest, const double *dense, double *blocks)
{
    for (int64_t c = 0; c < rest->n_components; c++) {
        const double *D = dense + rest->offset[c];
        int64_t first = rest->start[c], size = rest->start[c + 1] - first;
        for (int64_t i = rest->level_start[c]; i < rest->level_start[c + 1]; i++) {
            int32_t k = rest->k[i];
            int64_t at = rest->first[i] - first;
            for (int32_t a = 0; a < k; a++)
                for (int32_t b = 0; b <= a; b++)
                    blocks[a * k + b] = blocks[b * k + a] = D[at + a + (at + b) * size];
            blocks += k * k;
        }
    }
}

/* out = X v for a symmetric X in the lower triangle of D. */
static void multiply_symmetric(const double *D, int64_t size, const double *v, double *out)
{
    for (int64_t i = 0; i < size; i++) out[i] = D[i + i * size] * v[i];
    for (int64_t col = 0; col < size; col++) {
        const double *column = D + col * size;
        double sum = 0.0, scale = v[col];
        for (int64_t row = col + 1; row < size; row++) {
            sum += column[row] * v[row];
            out[row] += column[row] * scale;
        }
        out[col] += sum;
    }
}

/* S[row, col] from the upper triangle of D and the diagonal kept apart. */
static double upper_entry(const double *D, int64_t size, const double *diagonal, int64_t row,
                          int64_t col)
{
    if (row == col) return diagonal[row];
    return row < col ? D[row + col * size] : D[col + row * size];
}

/* block (k, k) = (S - S Q S) in the rows and columns at .. at + k - 1 of one component. */
static void block_k_singular(const double *D, int64_t size, const double *diagonal, int64_t at,
                             int32_t k, double *block, double *work)
{
    double *column = work, *product = work + size;
    for (int32_t b = 0; b < k; b++) {
        for (int64_t row = 0; row < size; row++)
            column[row] = upper_entry(D, size, diagonal, row, at + b);
        multiply_symmetric(D, size, column, product);
        for (int32_t a = 0; a <= b; a++) {
            double sum = upper_entry(D, size, diagonal, at + a, at + b);
            for (int64_t row = 0; row < size; row++)
                sum -= upper_entry(D, size, diagonal, row, at + a) * product[row];
            block[a * k + b] = block[b * k + a] = sum;
        }
    }
}

void mf_rest_blocks_k_singular(const mf_rest *rest, const double *dense, const double *diagonal,
                               const uint8_t *wanted, double *blocks, double *work)
{
    for (int64_t c = 0; c < rest->n_components; c++) {
        const double *D = dense + rest->offset[c];
        int64_t first = rest->start[c], size = rest->start[c + 1] - first;
        for (int64_t i = rest->level_start[c]; i < rest->level_start[c + 1]; i++) {
            int32_t k = rest->k[i];
            if (wanted[i])
                block_k_singular(D, size, diagonal + first, rest->first[i] - first, k, blocks,
                                 work);
            blocks += k * k;
        }
    }
}
