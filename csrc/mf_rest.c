/* The dense rest: scaling by Lambda and reading out blocks (declared in schur.h). */
#include <string.h>

#include "mf_levels.h"
#include "mf_schur.h"

#define PANEL 48 /* columns copied at a time when an upper triangle is turned into a lower one */

/* X (ki x kj, C order) = L_i^(t) X L_j^(t)', with L or its transpose. */
static void both_sides(int32_t ki, int32_t kj, const double *Li, const double *Lj, int transposed, double *X)
{
    double Y[MF_MAX_K * MF_MAX_K];
    for (int32_t a = 0; a < ki; a++)
        for (int32_t b = 0; b < kj; b++) {
            double sum = 0.0;
            for (int32_t c = 0; c < ki; c++) sum += (transposed ? Li[c * ki + a] : Li[a * ki + c]) * X[c * kj + b];
            Y[a * kj + b] = sum;
        }
    for (int32_t a = 0; a < ki; a++)
        for (int32_t b = 0; b < kj; b++) {
            double sum = 0.0;
            for (int32_t c = 0; c < kj; c++) sum += Y[a * kj + c] * (transposed ? Lj[c * kj + b] : Lj[b * kj + c]);
            X[a * kj + b] = sum;
        }
}

/* Rows row0 .. row1 of component c (every k is 1): a row of the upper triangle becomes one of the lower. */
static void scale_scalar(const mf_rest *rest, int64_t c, int64_t begin, int64_t end, double *D)
{
    int64_t size = rest->start[c + 1] - rest->start[c];
    const int64_t *at = rest->lambda + rest->level_start[c];
    for (int64_t row0 = begin; row0 < end; row0 += PANEL) {
        int64_t row1 = row0 + PANEL < end ? row0 + PANEL : end;
        for (int64_t col0 = 0; col0 < row1; col0 += PANEL) {
            int64_t col1 = col0 + PANEL < size ? col0 + PANEL : size;
            for (int64_t row = row0; row < row1; row++) {
                double scale = rest->lambdas[at[row]];
                int64_t stop = col1 <= row ? col1 : row;
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
                    int64_t lo = row + a < col + b ? row + a : col + b, hi = row + a < col + b ? col + b : row + a;
                    X[a * kj + b] = D[lo + hi * size];
                }
            both_sides(ki, kj, rest->lambdas + rest->lambda[i], rest->lambdas + rest->lambda[j], 1, X);
            for (int32_t a = 0; a < ki; a++)
                for (int32_t b = 0; b < kj; b++)
                    if (row + a >= col + b)
                        D[row + a + (col + b) * size] = X[a * kj + b] + (row + a == col + b ? 1.0 : 0.0);
        }
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

void mf_rest_scale(const mf_rest *rest, int64_t first_level, int64_t last_level, double *dense, double *diagonal)
{
    for (int64_t c = 0; c < rest->n_components; c++) {
        int64_t begin = larger(rest->level_start[c], first_level), end = smaller(rest->level_start[c + 1], last_level);
        if (begin >= end) continue;
        double *D = dense + rest->offset[c];
        int64_t first = rest->start[c], size = rest->start[c + 1] - first;
        int64_t last = rest->first[end - 1] + rest->k[end - 1] - first;
        for (int64_t i = rest->first[begin] - first; i < last; i++) diagonal[first + i] = D[i + i * size];
        if (rest->scalar) scale_scalar(rest, c, begin - rest->level_start[c], end - rest->level_start[c], D);
        else scale_blocks(rest, c, begin, end, D);
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
                    X[a * kj + b] = i == j && a < b ? D[row + b + (col + a) * size] : D[row + a + (col + b) * size];
            both_sides(ki, kj, rest->lambdas + rest->lambda[i], rest->lambdas + rest->lambda[j], 0, X);
            for (int32_t a = 0; a < ki; a++)
                for (int32_t b = 0; b < kj; b++)
                    if (i > j || a >= b) D[row + a + (col + b) * size] = X[a * kj + b];
        }
}

void mf_rest_sandwich(const mf_rest *rest, int64_t first_level, int64_t last_level, double *dense)
{
    for (int64_t c = 0; c < rest->n_components; c++) {
        int64_t begin = larger(rest->level_start[c], first_level), end = smaller(rest->level_start[c + 1], last_level);
        double *D = dense + rest->offset[c];
        int64_t size = rest->start[c + 1] - rest->start[c];
        if (!rest->scalar) {
            sandwich_blocks(rest, c, begin, end, D);
            continue;
        }
        const int64_t *at = rest->lambda + rest->level_start[c];
        for (int64_t col = begin - rest->level_start[c]; col < end - rest->level_start[c]; col++) {
            double scale = rest->lambdas[at[col]];
            for (int64_t row = col; row < size; row++) D[row + col * size] *= scale * rest->lambdas[at[row]];
        }
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

void mf_rest_blocks_k(const mf_rest *rest, const double *back, double *blocks)
{
    for (int64_t i = 0; i < rest->level_start[rest->n_components]; i++) {
        int32_t k = rest->k[i];
        for (int32_t a = 0; a < k; a++)
            for (int32_t b = 0; b < k; b++) blocks[a * k + b] = (a == b ? 1.0 : 0.0) - blocks[a * k + b];
        both_sides(k, k, back + rest->lambda[i], back + rest->lambda[i], 1, blocks);
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
                for (int32_t b = 0; b <= a; b++) blocks[a * k + b] = blocks[b * k + a] = D[at + a + (at + b) * size];
            blocks += k * k;
        }
    }
}

/* out = X v for a symmetric X given by one triangle of D; `diagonal` replaces D's own when not NULL. */
static void symmetric_times(const double *D, int64_t size, int upper, const double *diagonal, const double *v,
                            double *out)
{
    for (int64_t i = 0; i < size; i++) out[i] = (diagonal ? diagonal[i] : D[i + i * size]) * v[i];
    for (int64_t col = 0; col < size; col++) {
        int64_t lo = upper ? 0 : col + 1, hi = upper ? col : size;
        const double *column = D + col * size;
        double sum = 0.0, scale = v[col];
        for (int64_t row = lo; row < hi; row++) {
            sum += column[row] * v[row];
            out[row] += column[row] * scale;
        }
        out[col] += sum;
    }
}

static double upper_entry(const double *D, int64_t size, const double *diagonal, int64_t row, int64_t col)
{
    if (row == col) return diagonal[row];
    return row < col ? D[row + col * size] : D[col + row * size];
}

void mf_rest_blocks_k_singular(const mf_rest *rest, const double *dense, const double *diagonal,
                             const uint8_t *wanted, double *blocks, double *work)
{
    for (int64_t c = 0; c < rest->n_components; c++) {
        const double *D = dense + rest->offset[c];
        int64_t first = rest->start[c], size = rest->start[c + 1] - first;
        const double *own = diagonal + first;
        for (int64_t i = rest->level_start[c]; i < rest->level_start[c + 1]; i++) {
            int32_t k = rest->k[i];
            int64_t at = rest->first[i] - first;
            for (int32_t b = 0; wanted[i] && b < k; b++) {
                double *column = work, *product = work + size;
                for (int64_t row = 0; row < size; row++) column[row] = upper_entry(D, size, own, row, at + b);
                symmetric_times(D, size, 0, NULL, column, product);
                for (int32_t a = 0; a <= b; a++) {
                    double sum = upper_entry(D, size, own, at + a, at + b);
                    for (int64_t row = 0; row < size; row++)
                        sum -= upper_entry(D, size, own, row, at + a) * product[row];
                    blocks[a * k + b] = blocks[b * k + a] = sum;
                }
            }
            blocks += k * k;
        }
    }
}
