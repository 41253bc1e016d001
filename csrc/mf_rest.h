/* The dense rest of several grouping factors (see mf_schur.h): scaling by Lambda, and diagonal
 * blocks.
 *
 * In the arguments below m is the number of columns of the rest, L the number of its levels. Blocks
 * of all levels, k_i x k_i numbers each, follow one another in `blocks`.
 */
#ifndef MF_REST_H
#define MF_REST_H

#include <stdint.h>

/* The levels of the remaining factors, in the order of their columns. Component c has the levels
 * level_start[c] .. level_start[c+1] - 1. */
typedef struct {
    int64_t n_components;
    const int64_t *start, *offset; /* (n_components + 1), as in mf_border */
    const int64_t *level_start;    /* (n_components + 1) */
    const int64_t *first;          /* (L): the first column of each level */
    const int32_t *k;              /* (L): how many columns it has */
    const int64_t *lambda;         /* (L): where its factor's lambda begins in `lambdas` */
    const double *lambdas;         /* one k x k matrix after the other, C order */
    int scalar;                    /* every k is 1: rows and columns are scaled by numbers */
} mf_rest;

/* -------------------------------------------------------------------------------------------------
 * mf_rest_scale: lambda' S lambda + I
 *
 * Input
 *     first_level, last_level  the levels whose rows are computed, last_level excluded
 * Input and output
 *     dense                S in the upper triangles; the lower triangles are written
 * Output
 *     diagonal (m)         the diagonal of S, which the result replaces
 * ---------------------------------------------------------------------------------------------- */
void mf_rest_scale(const mf_rest *rest, int64_t first_level, int64_t last_level, double *dense,
                   double *diagonal);

/* -------------------------------------------------------------------------------------------------
 * mf_rest_sandwich: X = lambda X lambda', in place
 *
 * Input
 *     first_level, last_level  the levels whose columns are computed, last_level excluded
 * Input and output
 *     dense                X in the lower triangles
 * ---------------------------------------------------------------------------------------------- */
void mf_rest_sandwich(const mf_rest *rest, int64_t first_level, int64_t last_level, double *dense);

/* -------------------------------------------------------------------------------------------------
 * mf_rest_multiply_lambda_t: lambda' X, level by level
 *
 * Input
 *     rows (m, r)          X in C order
 * Output
 *     out (m, r)           column-major
 * ---------------------------------------------------------------------------------------------- */
void mf_rest_multiply_lambda_t(const mf_rest *rest, int32_t r, const double *rows, double *out);

/* -------------------------------------------------------------------------------------------------
 * mf_rest_multiply_lambda: lambda X, level by level
 *
 * Input
 *     columns (m, r)       X, column-major
 * Output
 *     out (m, r)           C order
 * ---------------------------------------------------------------------------------------------- */
void mf_rest_multiply_lambda(const mf_rest *rest, int32_t r, const double *columns, double *out);

/* -------------------------------------------------------------------------------------------------
 * mf_rest_extract_blocks: copy the diagonal blocks of the lower triangles
 *
 * Input
 *     dense
 * Output
 *     blocks               both triangles of each block
 * ---------------------------------------------------------------------------------------------- */
void mf_rest_extract_blocks(const mf_rest *rest, const double *dense, double *blocks);

/* -------------------------------------------------------------------------------------------------
 * mf_rest_blocks_k: K_ii = lambda^-T (I - (M^-1)_ii) lambda^-1
 *
 * Input
 *     inverses             lambda^-1, packed as `lambdas` are
 * Input and output
 *     blocks               (M^-1)_ii; becomes K_ii
 * ---------------------------------------------------------------------------------------------- */
void mf_rest_blocks_k(const mf_rest *rest, const double *inverses, double *blocks);

/* -------------------------------------------------------------------------------------------------
 * mf_rest_blocks_k_singular: K_ii = (S - S Q S)_ii
 *
 * For a singular lambda, which mf_rest_blocks_k cannot divide by; m^2 operations per column.
 *
 * Input
 *     dense                S in the upper triangles, Q in the lower ones
 *     diagonal (m)         the diagonal of S
 *     wanted (L)           1 for the levels whose block is computed; others are left alone
 * Output
 *     blocks
 * Workspace
 *     work                 2 m doubles
 * ---------------------------------------------------------------------------------------------- */
void mf_rest_blocks_k_singular(const mf_rest *rest, const double *dense, const double *diagonal,
                               const uint8_t *wanted, double *blocks, double *work);

#endif
