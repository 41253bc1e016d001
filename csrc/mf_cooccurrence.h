/* Products with co-occurrence blocks Z_g'WZ_h (block CSR, see mf_pairs.h), and the connected
 * components that they join levels into. */
#ifndef MF_COOCCURRENCE_H
#define MF_COOCCURRENCE_H

#include <stdint.h>

/* A = Z_left'WZ_right, with one block per pair of levels that occur together. */
typedef struct {
    int64_t n_left;
    int32_t k_left, k_right;
    const int64_t *indptr;  /* (n_left + 1) */
    const int32_t *indices; /* (nnz) levels of the right factor */
    const double *data;     /* (nnz, k_left, k_right) */
} mf_pairs;

/* -------------------------------------------------------------------------------------------------
 * mf_pairs_multiply: multiply by A and by A'
 *
 * Input
 *     F_left (n_left, k_left, r), F_right (n_right, k_right, r)
 * Input and output
 *     left_out             as F_left; += A F_right
 *     right_out            as F_right; += A'F_left
 * ---------------------------------------------------------------------------------------------- */
void mf_pairs_multiply(const mf_pairs *pairs, int32_t r, const double *F_left,
                       const double *F_right, double *left_out, double *right_out);

/* -------------------------------------------------------------------------------------------------
 * mf_pairs_moments: sums over all pairs of levels (i, j)
 *
 *     AA[a,b,c,d] = sum A_ij[b,c] A_ij[a,d]
 *     AE[a,b,c,d] = sum A_ij[b,c] (D_i D_j')[a,d]
 *
 * Input
 *     D_left (n_left, k_left, p), D_right (n_right, k_right, p)
 * Output
 *     AA, AE               (k_left, k_left, k_right, k_right)
 * Workspace
 *     work                 m + 2 m^2 doubles, m = k_left k_right
 * ---------------------------------------------------------------------------------------------- */
void mf_pairs_moments(const mf_pairs *pairs, int32_t p, const double *D_left, const double *D_right,
                      double *AA, double *AE, double *work);

/* -------------------------------------------------------------------------------------------------
 * mf_join_components: join the levels that occur together
 *
 * Components are trees. The root of a tree is its smallest member and its own parent; before the
 * first call every level is the root of its own tree: parent[i] = i.
 *
 * Input
 *     n_left, indptr, indices      the pairs of two factors
 *     base_left, base_right        the places of their first levels in `parent`
 * Input and output
 *     parent                       the parent of each level of all factors
 * ---------------------------------------------------------------------------------------------- */
void mf_join_components(int64_t n_left, const int64_t *indptr, const int32_t *indices,
                        int64_t base_left, int64_t base_right, int64_t *parent);

/* -------------------------------------------------------------------------------------------------
 * mf_label_components: replace parents by component numbers
 *
 * Input and output
 *     parent (n)           from mf_join_components; becomes the number of each level's component.
 *                          Components are numbered in the order of their smallest members.
 * Result
 *     the number of components
 * ---------------------------------------------------------------------------------------------- */
int64_t mf_label_components(int64_t n, int64_t *parent);

#endif
