/* A border of several components and its dense rest, as in mf_schur.h and mf_rest.h, from a
 * fuzzer's bytes. */
#ifndef FUZZ_PROBLEM_H
#define FUZZ_PROBLEM_H

#include "dense.h"
#include "mf_rest.h"
#include "mf_schur.h"

#define MOST_LEVELS 12

typedef struct {
    mf_border border;
    mf_rest rest;
    int64_t J, m, L, size, blocks; /* levels eliminated, columns and levels of the rest, size of
                                      dense, numbers of all blocks */
    int32_t k;
    int64_t start[4], offset[4], level_start[4], first[MOST_LEVELS], lambda[MOST_LEVELS];
    int32_t k_level[MOST_LEVELS];
    int64_t *ptr;
    int32_t *cols, *component;
    double *A, *T, *vals, *lambdas, *dense;
    double *A_rr, *A_1r; /* (m,m); (J k, m) */
} problem;

static inline int64_t component_of(const problem *made, int64_t column)
{
    int64_t c = 0;
    while (column >= made->start[c + 1]) c++;
    return c;
}

/* place of (row, column) in `dense`, both within one component */
static inline int64_t place_of(const problem *made, int64_t row, int64_t column)
{
    int64_t c = component_of(made, row), size = made->start[c + 1] - made->start[c];
    return made->offset[c] + row - made->start[c] + (column - made->start[c]) * size;
}

static inline double *entry(const problem *made, double *dense, int64_t row, int64_t column)
{
    return dense + place_of(made, row, column);
}

static inline void cut_into_levels(bytes *in, problem *made)
{
    static const int32_t WIDTHS[] = {1, 1, 2, 3};
    int scalar = (int)below(in, 2);
    int64_t n_components = 1 + below(in, 3);
    for (int64_t c = 0; c < n_components; c++) {
        for (int64_t levels = 1 + below(in, 4); levels--; made->L++) {
            made->first[made->L] = made->m;
            made->k_level[made->L] = scalar ? 1 : WIDTHS[below(in, 4)];
            made->m += made->k_level[made->L];
            made->blocks += (int64_t)made->k_level[made->L] * made->k_level[made->L];
        }
        int64_t own = made->m - made->start[c];
        made->start[c + 1] = made->m;
        made->level_start[c + 1] = made->L;
        made->offset[c + 1] = made->size += own * own;
    }
    made->lambdas = room(1 + 4 + 9, sizeof *made->lambdas); /* one factor of each width */
    for (int32_t width = 1, at = 0; width <= 3; at += width * width, width++) {
        double *own = lower_triangle(in, width);
        if (below(in, 4) == 0) own[0] = 0.0;
        memcpy(made->lambdas + at, own, (size_t)(width * width) * sizeof *own);
        free(own);
        for (int64_t i = 0; i < made->L; i++)
            if (made->k_level[i] == width) made->lambda[i] = at;
    }
    made->rest = (mf_rest){n_components,      made->start,   made->offset,
                           made->level_start, made->first,   made->k_level,
                           made->lambda,      made->lambdas, scalar};
}

/* A_11, A_1r and A_rr from rows, so that the whole matrix is positive semidefinite */
static inline void fill_in(bytes *in, problem *made, int64_t levels)
{
    int32_t k = made->k = 1 + (int32_t)below(in, 4);
    int64_t J = made->J = levels, m = made->m, most = J * m, at = 0;
    made->ptr = room((size_t)J + 1, sizeof *made->ptr);
    made->component = codes_below(in, J, made->rest.n_components);
    made->cols = room((size_t)most, sizeof *made->cols);
    made->A = nothing(J * k * k);
    made->A_1r = zeros(J * k * m);
    made->A_rr = zeros(m * m);
    for (int64_t j = made->ptr[0] = 0; j < J; j++) {
        int64_t c = made->component[j], n = 1 + below(in, 3);
        double *Z = numbers(in, n * k), *R = zeros(n * m), *own = product(k, n, k, Z, 1, Z, 0);
        memcpy(made->A + j * k * k, own, (size_t)k * k * sizeof *own);
        for (int64_t column = made->start[c]; column < made->start[c + 1]; column++) {
            if (below(in, 3) == 0) continue;
            made->cols[at++] = (int32_t)column;
            for (int64_t i = 0; i < n; i++) R[i * m + column] = number(in);
        }
        made->ptr[j + 1] = at;
        double *ZR = product(k, n, m, Z, 1, R, 0), *RR = product(m, n, m, R, 1, R, 0);
        memcpy(made->A_1r + j * k * m, ZR, (size_t)(k * m) * sizeof *ZR);
        for (int64_t i = 0; i < m * m; i++) made->A_rr[i] += RR[i];
        free(RR);
        free(ZR);
        free(own);
        free(R);
        free(Z);
    }
    made->vals = nothing(at * k);
    for (int64_t j = 0; j < J; j++)
        for (int64_t i = made->ptr[j]; i < made->ptr[j + 1]; i++)
            for (int32_t a = 0; a < k; a++)
                made->vals[i * k + a] = made->A_1r[(j * k + a) * m + made->cols[i]];
    made->border = (mf_border){
        J, k, made->ptr, made->cols, made->vals, made->component, made->start, made->offset};
}

/* T of the eliminated factor from a lambda of its own: by plain algebra */
static inline void find_T(bytes *in, problem *made)
{
    int32_t k = made->k;
    double *lambda = lower_triangle(in, k);
    made->T = nothing(made->J * k * k);
    for (int64_t j = 0; j < made->J; j++) {
        const double *A = made->A + j * k * k;
        double *half = product(k, k, k, lambda, 1, A, 0), *M = product(k, k, k, half, 0, lambda, 0);
        for (int32_t a = 0; a < k; a++) M[a * k + a] += 1.0;
        double *L = root_of(k, M), *T = made->T + j * k * k;
        require(L != NULL, "plain M is positive definite");
        for (int32_t a = 0; a < k; a++)
            for (int32_t b = 0; b < k; b++) T[a * k + b] = lambda[b * k + a];
        solve_root(k, L, 0, k, T);
        free(L);
        free(M);
        free(half);
    }
    free(lambda);
}

static inline void free_problem(problem *made)
{
    double *all[] = {made->T, made->A, made->A_1r, made->A_rr, made->vals, made->lambdas};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(made->ptr);
    free(made->cols);
    free(made->component);
}

/* X_j (k,k) Y_j (k,m) of each level */
static inline double *each_level(int64_t J, int32_t k, int64_t m, const double *X, const double *Y)
{
    double *out = nothing(J * k * m);
    for (int64_t j = 0; j < J; j++) {
        double *own = product(k, k, m, X + j * k * k, 0, Y + j * k * m, 0);
        memcpy(out + j * k * m, own, (size_t)(k * m) * sizeof *own);
        free(own);
    }
    return out;
}

#endif
