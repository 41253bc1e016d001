/* Sums over the levels of one factor, of which the gradient and the Hessian of the deviance are
 * made.
 *
 * For level j, with K_j = Z_j'V^-1 Z_j (k, k) and C_j = Z_j'V^-1 [X y] (k, p + 1):
 *
 *     D_j = C_j[X] W,  W = L_X^-T,  so that D D' = C_X Phi C_X'
 *     v_j = C_j[y] - C_j[X] beta
 *
 * Arrays are C-ordered; J is the number of levels.
 */
#ifndef MF_MOMENTS_H
#define MF_MOMENTS_H

#include <stdint.h>

/* The sums over j; [.] are the indices of the sum. KK, KDD and DxD may be NULL: not wanted. */
typedef struct {
    double *K;   /* K[a,b]                       (k, k)       */
    double *vv;  /* v[a] v[b]                    (k, k)       */
    double *DD;  /* (D D')[a,b]                  (k, k)       */
    double *vKv; /* v[a] K[b,c] v[d]             (k, k, k, k) */
    double *vD;  /* v[a] D[b,s]                  (k, k, p)    */
    double *KK;  /* K[b,c] K[a,d]                (k, k, k, k) */
    double *KDD; /* K[b,c] (D D')[a,d]           (k, k, k, k) */
    double *DxD; /* D[a,t] D[b,s]                (k, k, p, p) */
} mf_moments;

/* -------------------------------------------------------------------------------------------------
 * mf_level_moments_work: doubles of workspace that mf_level_moments needs
 *
 * Input
 *     with_DxD             whether the sum DxD is wanted
 * ---------------------------------------------------------------------------------------------- */
int64_t mf_level_moments_work(int32_t k, int32_t p, int with_DxD);

/* -------------------------------------------------------------------------------------------------
 * mf_level_moments: compute v and the sums
 *
 * Input
 *     K_blocks (J, k, k)   NULL: the sums K, vKv, KK and KDD are left alone
 *     C (J, k, p + 1)
 *     W (p, p)             upper triangular
 *     beta (p)
 * Output
 *     v (J, k)
 *     sums
 * Workspace
 *     work                 mf_level_moments_work doubles
 * ---------------------------------------------------------------------------------------------- */
void mf_level_moments(int64_t n_levels, int32_t k, int32_t p, const double *K_blocks,
                      const double *C, const double *W, const double *beta, double *v,
                      const mf_moments *sums, double *work);

#endif
