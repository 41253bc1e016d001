/* One grouping factor: batched work on the k x k blocks of its levels.
 *
 * For level j with A_j = Z_j'WZ_j and relative covariance factor lambda:
 *     M_j = lambda' A_j lambda + I = L_j L_j',   T_j = L_j^-1 lambda'   (so lambda M_j^-1 lambda' = T_j'T_j)
 * Everything the fit needs of a level follows from A_j and T_j, with no inverse of lambda: singular
 * covariances are ordinary. Arrays are C-ordered, one block a level.
 */
#ifndef MF_LEVELS_H
#define MF_LEVELS_H

#include <stdint.h>

#define MF_MAX_K 64 /* columns of Z of one factor; the stack buffers below are k x k */

/* T (J,k,k) from A (J,k,k); *logdet = sum_j log|M_j|. Returns 0, or 1 + the first level whose M_j is not
 * positive definite (only rounding or non-finite input can do that). */
int64_t mf_levels_factor(int64_t n_levels, int32_t k, const double *A, const double *lambda, double *T,
                         double *logdet);

/* U = T B, level by level: B, U are (J,k,r). */
void mf_levels_multiply(int64_t n_levels, int32_t k, int32_t r, const double *T, const double *B, double *U);

/* C = B - A T'T B: Z_j'V^-1 (.) from Z_j'(.), when no other factor is in the model. B, C are (J,k,r). */
void mf_levels_project(int64_t n_levels, int32_t k, int32_t r, const double *A, const double *T,
                       const double *B, double *C);

/* D = A - A T'T A, symmetric (J,k,k). */
void mf_levels_k(int64_t n_levels, int32_t k, const double *A, const double *T, double *D);

#endif
