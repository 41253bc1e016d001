/* What is asked of co-occurrence blocks Z_g'WZ_h (block CSR, see pairs.h): products, and what hangs together. */
#ifndef MF_COOCCURRENCE_H
#define MF_COOCCURRENCE_H

#include <stdint.h>

typedef struct {
    int64_t n_left;
    int32_t k_left, k_right;
    const int64_t *indptr;  /* (n_left + 1) */
    const int32_t *indices; /* (nnz) levels of the right factor */
    const double *data;     /* (nnz, k_left, k_right) */
} mf_pairs;

/* left_out (n_left, k_left, r) += A F_right and right_out (n_right, k_right, r) += A'F_left. */
void mf_pairs_multiply(const mf_pairs *pairs, int32_t r, const double *F_left, const double *F_right, double *left_out,
                    double *right_out);

/* AA[a,b,c,d] = sum of A_ij[b,c] A_ij[a,d] and AE[a,b,c,d] = sum of A_ij[b,c] (D_i D_j')[a,d] over all pairs; both are
 * (k_left, k_left, k_right, k_right), D_left (n_left, k_left, p), D_right (n_right, k_right, p); `work` holds
 * m + 2 m^2 numbers with m = k_left k_right. */
void mf_pairs_moments(const mf_pairs *pairs, int32_t p, const double *D_left, const double *D_right, double *AA, double *AE,
                      double *work);

/* Joins levels that occur together in one tree; parent[] holds the trees, left levels from base_left on, right ones from
 * base_right on. A root is its tree's smallest member and its own parent, as every level is before the first call. */
void mf_join_components(int64_t n_left, const int64_t *indptr, const int32_t *indices, int64_t base_left, int64_t base_right,
                   int64_t *parent);

/* parent[i] = the number of i's tree, trees numbered by their smallest member. Returns how many there are. */
int64_t mf_label_components(int64_t n, int64_t *parent);

#endif
