/* Several grouping factors: the largest is eliminated level by level, the rest is dense.
 *
 * The rest, the columns of Z of all other factors, splits into connected components: one for each
 * school when pupils are nested in schools, a single one when factors are crossed. Component c has
 * the columns start[c] .. start[c+1] - 1; its dense square block begins at offset[c] of `dense`,
 * column-major. The upper triangle holds the Schur complement
 *
 *     S = A_rr - A_r1 (lambda M^-1 lambda') A_1r,
 *
 * and the kernels that factor it (mf_rest.h) use the lower triangle, so that both are kept in one
 * square.
 *
 * In the arguments below J is the number of levels of the eliminated factor, m the number of
 * columns of the rest, nnz the number of entries of A_1r. A, T and U are those of mf_levels.h.
 */
#ifndef MF_SCHUR_H
#define MF_SCHUR_H

#include <stdint.h>

/* A_1r by levels of the eliminated factor: level j meets the columns cols[ptr[j]] ..
 * cols[ptr[j+1] - 1], ascending. */
typedef struct {
    int64_t n_levels; /* J */
    int32_t k;
    const int64_t *ptr;       /* (J + 1) */
    const int32_t *cols;      /* (nnz) */
    const double *vals;       /* (nnz, k): Z_j'WZ_col */
    const int32_t *component; /* (J): the component that each level touches */
    const int64_t *start;     /* (n_components + 1) */
    const int64_t *offset;    /* (n_components + 1) */
} mf_border;

/* -------------------------------------------------------------------------------------------------
 * mf_border_scale: T_j times each column of A_1r
 *
 * Input
 *     T (J, k, k)
 * Output
 *     TV (nnz, k)
 * ---------------------------------------------------------------------------------------------- */
void mf_border_scale(const mf_border *border, const double *T, double *TV);

/* -------------------------------------------------------------------------------------------------
 * mf_schur_update: S -= TV'TV
 *
 * Input
 *     TV                           from mf_border_scale
 *     first_column, last_column    the columns of the rest, last_column excluded
 * Input and output
 *     dense                        the upper triangles of those columns
 * ---------------------------------------------------------------------------------------------- */
void mf_schur_update(const mf_border *border, const double *TV, int64_t first_column,
                     int64_t last_column, double *dense);

/* -------------------------------------------------------------------------------------------------
 * mf_schur_rhs: right-hand sides of the rest, B_r - A_r1 T'U
 *
 * Input
 *     TV                   from mf_border_scale
 *     U (J, k, r)          T B_1
 * Input and output
 *     rest (m, r)          B_r
 * ---------------------------------------------------------------------------------------------- */
void mf_schur_rhs(const mf_border *border, const double *TV, int32_t r, const double *U,
                  double *rest);

/* -------------------------------------------------------------------------------------------------
 * mf_border_back_substitute: right-hand sides of the eliminated factor, B_1 - A_1r W
 *
 * Input
 *     B (J, k, r)
 *     W (m, r)             the solution for the rest
 * Output
 *     out (J, k, r)        may be B itself
 * ---------------------------------------------------------------------------------------------- */
void mf_border_back_substitute(const mf_border *border, int32_t r, const double *B, const double *W,
                               double *out);

/* -------------------------------------------------------------------------------------------------
 * mf_border_project: H = (I - A_j T_j'T_j) A_1r, which is Z_1'V_1^-1 Z_r
 *
 * Input
 *     A, T (J, k, k)
 *     TV                   from mf_border_scale
 * Output
 *     H (nnz, k)           on the pattern of A_1r
 * ---------------------------------------------------------------------------------------------- */
void mf_border_project(const mf_border *border, const double *A, const double *T, const double *TV,
                       double *H);

/* -------------------------------------------------------------------------------------------------
 * mf_border_subtract_k: K_j -= H_j Q H_j'
 *
 * Input
 *     H                        from mf_border_project
 *     dense                    Q in the lower triangles
 *     first_level, last_level  the levels, last_level excluded
 * Input and output
 *     K (J, k, k)
 * ---------------------------------------------------------------------------------------------- */
void mf_border_subtract_k(const mf_border *border, const double *H, const double *dense,
                          int64_t first_level, int64_t last_level, double *K);

/* F (q, width) and its cofactors. For level j of a factor with k columns, F has v_j[d] at row c of
 * its column (c, d). The k*k columns of the eliminated factor begin at `own`; those of the other
 * factors are in `rest_F`, which is zero in the columns of the eliminated factor. */
typedef struct {
    int32_t width, own, r;
    const double *A, *T;  /* (J, k, k) */
    const double *TV;     /* (nnz, k), from mf_border_scale */
    const double *B, *U;  /* (J, k, r): Z_1'W[X y], and T times that */
    const double *v;      /* (J, k) */
    const double *rest_F; /* (m, width) */
} mf_spread;

/* -------------------------------------------------------------------------------------------------
 * mf_border_cross_work: doubles of workspace that mf_border_cross needs
 * ---------------------------------------------------------------------------------------------- */
int64_t mf_border_cross_work(int32_t k, int32_t width, int32_t r);

/* -------------------------------------------------------------------------------------------------
 * mf_border_cross: F'V_1^-1 F and [X y]'V_1^-1 F, level by level
 *
 * V_1 is the covariance with the eliminated factor as the only one; the caller subtracts the part
 * of Q.
 *
 * Input
 *     spread
 * Input and output (the contributions of the levels are added)
 *     FKF (width, width)
 *     cross (r, width)
 *     rest (m, width)      A_r1 (I - T'T A_11) F_1 - A_r1 T'T A_1r F_r
 * Workspace
 *     work                 mf_border_cross_work doubles
 * ---------------------------------------------------------------------------------------------- */
void mf_border_cross(const mf_border *border, const mf_spread *spread, double *FKF, double *cross,
                     double *rest, double *work);

/* -------------------------------------------------------------------------------------------------
 * mf_border_multiply_rest: out += A_rr F
 *
 * Input
 *     at, values (count)   the entries of A_rr on and above the diagonal: their places in `dense`,
 *                          ascending from component to component, and their values
 *     F (m, width)
 * Input and output
 *     out (m, width)
 * ---------------------------------------------------------------------------------------------- */
void mf_border_multiply_rest(const mf_border *border, int64_t count, const int64_t *at,
                             const double *values, int32_t width, const double *F, double *out);

#endif
