/* Several grouping factors: the largest is eliminated level by level, the rest is dense.
 *
 * The rest falls apart into connected components (one for each school when pupils are nested in
 * schools, a single one when factors are crossed). Component c has m_c scalar columns, numbered
 * start[c] .. start[c+1]; its dense m_c x m_c block sits at offset[c] of `dense`, column-major.
 * The upper triangle holds S = A_rr - A_r1 (lambda M^-1 lambda') A_1r; the kernels that factor it use
 * the lower one, so that both stay at hand in one square.
 *
 * A_1r is kept by levels j of the eliminated factor: columns cols[ptr[j] .. ptr[j+1]), ascending, and
 * for each the k values of Z_j'WZ_col.
 */
#ifndef MF_SCHUR_H
#define MF_SCHUR_H

#include <stdint.h>

typedef struct {
    int64_t n_levels; /* of the eliminated factor */
    int32_t k;
    const int64_t *ptr;
    const int32_t *cols;
    const double *vals;         /* (nnz, k) */
    const int32_t *component;   /* (n_levels) the component each level touches */
    const int64_t *start;       /* (n_components + 1) */
    const int64_t *offset;      /* (n_components + 1) into dense */
} mf_border;

/* TV (nnz,k): T_j times each column of A_1r. */
void mf_border_scale(const mf_border *border, const double *T, double *TV);

/* S -= TV'TV on the upper triangles, in the columns first_column .. last_column of the rest. */
void mf_schur_update(const mf_border *border, const double *TV, int64_t first_column, int64_t last_column,
                     double *dense);

/* rest (m,r) -= A_r1 T'(U), with U = T B_1 (J,k,r). */
void mf_schur_rhs(const mf_border *border, const double *TV, int32_t r, const double *U, double *rest);

/* out (J,k,r) = B_1 - A_1r W. */
void mf_border_back_substitute(const mf_border *border, int32_t r, const double *B, const double *W, double *out);

/* H (nnz,k) = (I - A_j T_j'T_j) A_1r: Z_1'V_1^-1 Z_r on the pattern of A_1r, from TV. */
void mf_border_project(const mf_border *border, const double *A, const double *T, const double *TV, double *H);

/* K_j (k,k) -= H_j Q H_j' for the levels first_level .. last_level; Q in the lower triangles of dense. */
void mf_border_subtract_k(const mf_border *border, const double *H, const double *dense, int64_t first_level,
                 int64_t last_level, double *K_blocks);

/* F (q,width) and what it is multiplied with. For level j of a factor with k columns F has v_j[d] at row c of its column (c,d). The
 * k*k columns of the eliminated factor begin at `own`; the other factors' are in `rest_F`, which is zero in those of `own`. */
typedef struct {
    int32_t width, own, r;
    const double *A, *T;  /* (J,k,k) of the eliminated factor */
    const double *TV;     /* (nnz,k) from mf_border_scale */
    const double *B, *U;  /* (J,k,r): Z_1'[X y], and T times that */
    const double *v;      /* (J,k) */
    const double *rest_F; /* (m,width) */
} mf_spread;

/* F'V^-1 F and [X y]'V^-1 F, V^-1 still without what Q of the rest takes away.
 *
 * Adds to FKF (width,width) and cross (r,width) what the eliminated factor's levels say, and to rest (m,width) their
 * A_r1 (I - T'T A_11) F_1 - A_r1 T'T A_1r F_r; `work` holds mf_border_cross_work numbers. */
int64_t mf_border_cross_work(int32_t k, int32_t width, int32_t r);
void mf_border_cross(const mf_border *border, const mf_spread *spread, double *FKF, double *cross, double *rest, double *work);

/* out (m,width) += A_rr F, from A_rr's `count` entries on and above the diagonal: places in the dense blocks, ascending from
 * component to component, and values. */
void mf_border_multiply_rest(const mf_border *border, int64_t count, const int64_t *at, const double *values, int32_t width,
                        const double *F, double *out);

/* Levels of the remaining factors, in the order of their scalar columns. Level i covers k_i columns from
 * first[i]; its factor's lambda (k_i x k_i, C order) begins at lambda[i]. Component c has the levels
 * level_start[c] .. level_start[c+1]. */
typedef struct {
    int64_t n_components;
    const int64_t *start, *offset, *level_start;
    const int64_t *first;
    const int32_t *k;
    const int64_t *lambda;
    const double *lambdas;
    int scalar; /* every k is 1: plain row and column scaling */
} mf_rest;

/* Lower triangles = lambda' S lambda + I from the upper ones, for the rows of the levels first_level .. last_level;
 * diagonal[] (m) keeps the diagonal of S. */
void mf_rest_scale(const mf_rest *rest, int64_t first_level, int64_t last_level, double *dense, double *diagonal);

/* Lower triangles X = lambda X lambda', in place, for the columns of the levels first_level .. last_level. */
void mf_rest_sandwich(const mf_rest *rest, int64_t first_level, int64_t last_level, double *dense);

/* out (m,r), column-major = lambda' rows, level by level; rows (m,r) in C order. */
void mf_rest_multiply_lambda_t(const mf_rest *rest, int32_t r, const double *rows, double *out);

/* The way back: out (m,r) = lambda times the rows of `columns`, (m,r) column-major. */
void mf_rest_multiply_lambda(const mf_rest *rest, int32_t r, const double *columns, double *out);

/* blocks[i] (k_i x k_i, one after the other) = diagonal blocks of the lower triangles. */
void mf_rest_extract_blocks(const mf_rest *rest, const double *dense, double *blocks);

/* blocks[i] = back'(I - blocks[i]) back in place, `back` = lambda^-1 packed as `lambdas` are: K_ii from (M^-1)_ii. */
void mf_rest_blocks_k(const mf_rest *rest, const double *back, double *blocks);

/* blocks[i] = (S - S Q S)_ii for the levels with wanted[i], S above (its diagonal in diagonal[]), Q below. The
 * road for a singular lambda, where nothing can be divided by it: m^2 operations a column. `work` (2 m). */
void mf_rest_blocks_k_singular(const mf_rest *rest, const double *dense, const double *diagonal,
                             const uint8_t *wanted, double *blocks, double *work);

#endif
