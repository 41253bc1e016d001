/* One grouping factor: the k x k blocks of its levels, level by level.
 *
 * For level j with A_j = Z_j'WZ_j and the relative covariance factor lambda,
 *
 *     M_j = lambda' A_j lambda + I = L_j L_j',   T_j = L_j^-1 lambda',
 *
 * so that lambda M_j^-1 lambda' = T_j'T_j. Everything that a fit needs of a level follows from A_j
 * and T_j; no inverse of lambda is taken, and a singular covariance is an ordinary one.
 *
 * Arrays are C-ordered, with one block per level; J is the number of levels.
 */
#ifndef MF_LEVELS_H
#define MF_LEVELS_H

#include <stdint.h>

/* Most columns of Z of one factor: kernels keep k x k blocks on the stack. */
#define MF_MAX_K 64

/* -------------------------------------------------------------------------------------------------
 * mf_levels_factor: factor M_j of every level
 *
 * Input
 *     A (J, k, k), lambda (k, k)
 * Output
 *     T (J, k, k)
 *     logdet               sum of log|M_j|
 * Result
 *     0, or 1 + the first level whose M_j is not positive definite (rounding, or an input that is
 *     not finite); T and logdet are then incomplete
 * ---------------------------------------------------------------------------------------------- */
int64_t mf_levels_factor(int64_t n_levels, int32_t k, const double *A, const double *lambda,
                         double *T, double *logdet);

/* -------------------------------------------------------------------------------------------------
 * mf_levels_multiply: U_j = T_j B_j
 *
 * Input
 *     T (J, k, k), B (J, k, r)
 * Output
 *     U (J, k, r)
 * ---------------------------------------------------------------------------------------------- */
void mf_levels_multiply(int64_t n_levels, int32_t k, int32_t r, const double *T, const double *B,
                        double *U);

/* -------------------------------------------------------------------------------------------------
 * mf_levels_project: C_j = B_j - A_j T_j'T_j B_j
 *
 * Z_j'V^-1 (.) from B_j = Z_j'W (.), in a model without other factors.
 *
 * Input
 *     A, T (J, k, k), B (J, k, r)
 * Output
 *     C (J, k, r)
 * ---------------------------------------------------------------------------------------------- */
void mf_levels_project(int64_t n_levels, int32_t k, int32_t r, const double *A, const double *T,
                       const double *B, double *C);

/* -------------------------------------------------------------------------------------------------
 * mf_levels_k: K_j = A_j - A_j T_j'T_j A_j
 *
 * Z_j'V^-1 Z_j, in a model without other factors.
 *
 * Input
 *     A, T (J, k, k)
 * Output
 *     K (J, k, k)          symmetric
 * ---------------------------------------------------------------------------------------------- */
void mf_levels_k(int64_t n_levels, int32_t k, const double *A, const double *T, double *K);

#endif
