/* Sums over the levels of one factor that the gradient and the Hessian of the deviance are made of.
 *
 * For level j, with K_j = Z_j'V^-1 Z_j (k x k) and C_j = Z_j'V^-1 [X y] (k x (p+1)):
 *     D_j = C_j[X] W,  W = L_X^-T   (so that D D' = C Phi C'),      v_j = C_j[y] - C_j[X] beta
 * Arrays are C-ordered.
 */
#ifndef MF_MOMENTS_H
#define MF_MOMENTS_H

#include <stdint.h>

/* What is summed over j; [.] are the indices of the sum. KK, KDD and DxD may be NULL: not wanted. */
typedef struct {
    double *K;   /* K[a,b]                       (k,k)     */
    double *vv;  /* v[a] v[b]                    (k,k)     */
    double *DD;  /* (D D')[a,b]                  (k,k)     */
    double *vKv; /* v[a] K[b,c] v[d]             (k,k,k,k) */
    double *vD;  /* v[a] D[b,s]                  (k,k,p)   */
    double *KK;  /* K[b,c] K[a,d]                (k,k,k,k) */
    double *KDD; /* K[b,c] (D D')[a,d]           (k,k,k,k) */
    double *DxD; /* D[a,t] D[b,s]                (k,k,p,p) */
} mf_moments;

/* Numbers of workspace that mf_level_moments needs; third: whether DxD is wanted. */
int64_t mf_level_moments_work(int32_t k, int32_t p, int third);

/* v (J,k) and the sums, from blocks K_j (J,k,k) and C (J,k,p+1). W (p,p) is upper triangular. Without blocks (NULL)
 * K, vKv, KK and KDD are left alone. */
void mf_level_moments(int64_t n_levels, int32_t k, int32_t p, const double *blocks, const double *C,
                      const double *W, const double *beta, double *v, const mf_moments *sums, double *work);

#endif
