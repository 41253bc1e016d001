/* Dense algebra in plain loops (C order), which the kernels are compared with. Sizes are small. */
#ifndef FUZZ_DENSE_H
#define FUZZ_DENSE_H

#include "bytes.h"

/* out (rows,columns) = X (rows,inner) times Y (inner,columns); either may be read as its transpose
 */
static inline double *product(int64_t rows, int64_t inner, int64_t columns, const double *X,
                              int turn_x, const double *Y, int turn_y)
{
    double *out = zeros(rows * columns);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            for (int64_t k = 0; k < inner; k++)
                out[i * columns + j] += (turn_x ? X[k * rows + i] : X[i * inner + k]) *
                                        (turn_y ? Y[j * inner + k] : Y[k * columns + j]);
    return out;
}

/* Lower triangular L with L L' = M (n,n), or NULL where a pivot is not positive */
static inline double *root_of(int64_t n, const double *M)
{
    double *L = zeros(n * n);
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = j; i < n; i++) {
            double sum = M[i * n + j];
            for (int64_t k = 0; k < j; k++) sum -= L[i * n + k] * L[j * n + k];
            if (i == j && !(sum > 0.0)) {
                free(L);
                return NULL;
            }
            L[i * n + j] = i == j ? sqrt(sum) : sum / L[j * n + j];
        }
    return L;
}

/* L^-1 X (n,r) in place, or L^-T X */
static inline void solve_root(int64_t n, const double *L, int turn, int64_t r, double *X)
{
    for (int64_t step = 0; step < n; step++) {
        int64_t i = turn ? n - 1 - step : step;
        for (int64_t c = 0; c < r; c++) {
            double sum = X[i * r + c];
            for (int64_t k = turn ? i + 1 : 0; k < (turn ? n : i); k++)
                sum -= (turn ? L[k * n + i] : L[i * n + k]) * X[k * r + c];
            X[i * r + c] = sum / L[i * n + i];
        }
    }
}

static inline double *identity(int64_t n)
{
    double *out = zeros(n * n);
    for (int64_t i = 0; i < n; i++) out[i * n + i] = 1.0;
    return out;
}

static inline double *inverse(int64_t n, const double *M)
{
    double *L = root_of(n, M), *out = identity(n);
    require(L != NULL, "the plain matrix has an inverse");
    solve_root(n, L, 0, n, out);
    solve_root(n, L, 1, n, out);
    free(L);
    return out;
}

/* Z'Z (n,n) of a random Z (rows,n): positive semidefinite, exact */
static inline double *gram(bytes *in, int64_t rows, int64_t n)
{
    double *Z = numbers(in, rows * n), *out = product(n, rows, n, Z, 1, Z, 0);
    free(Z);
    return out;
}

static inline double *lower_triangle(bytes *in, int64_t n)
{
    double *out = numbers(in, n * n);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i + 1; j < n; j++) out[i * n + j] = 0.0;
    return out;
}

static inline double largest(int64_t count, const double *x)
{
    double most = 0.0;
    for (int64_t i = 0; i < count; i++) most = fmax(most, fabs(x[i]));
    return most;
}

static inline double *absolute(int64_t count, const double *x)
{
    double *out = room((size_t)count, sizeof *out);
    for (int64_t i = 0; i < count; i++) out[i] = fabs(x[i]);
    return out;
}

/* The error of a sum of n products is at most n times 1.1e-16 of the sum of their sizes, |X| |Y|,
 * whatever cancels (Higham 2002, section 3.1). The longest chain, S - S Q S of border.c, adds up 4
 * + 20 + 1 terms in each S, 3 + 3 in Q and 36 in each of two products: below 130, and as many in
 * the plain loops. */
#define LONGEST_CHAIN 130

static inline int within(double ours, double plain, double size, double terms)
{
    return fabs(ours - plain) <= 2 * terms * 1.1e-16 * size;
}
static inline int rounded(double ours, double plain, double size)
{
    return within(ours, plain, size, LONGEST_CHAIN);
}

/* To the bit: sums of a few small multiples of 1/8 are exact in any order. */
static inline void equal(int64_t count, const double *ours, const double *plain, const char *what)
{
    for (int64_t i = 0; i < count; i++) require(ours[i] == plain[i], what);
}

/* Every number close to the plain one, on the scale of its terms */
static inline void same(int64_t count, const double *ours, const double *plain, double scale,
                        const char *what)
{
    for (int64_t i = 0; i < count; i++) require(close(ours[i], plain[i], scale), what);
}

#endif
