/* Selected inverse of a symmetric positive definite matrix from its sparse Cholesky factor.
 *
 * A = L L' with L lower triangular. The recurrence of Takahashi, Fagan & Chen (1973) gives the
 * entries of Z = A^-1 on the pattern of L without forming any other entry of Z.
 */
#ifndef MF_SELINV_H
#define MF_SELINV_H

#include <stdint.h>

/* The four Fortran routines that the supernodal version calls; any BLAS and LAPACK will do. */
typedef struct {
    void (*dtrsm)(char *side, char *uplo, char *trans, char *diag, int *m, int *n, double *alpha,
                  double *a, int *lda, double *b, int *ldb);
    void (*dsymm)(char *side, char *uplo, int *m, int *n, double *alpha, double *a, int *lda,
                  double *b, int *ldb, double *beta, double *c, int *ldc);
    void (*dgemm)(char *transa, char *transb, int *m, int *n, int *k, double *alpha, double *a,
                  int *lda, double *b, int *ldb, double *beta, double *c, int *ldc);
    void (*dpotri)(char *uplo, int *n, double *a, int *lda, int *info);
} mf_selinv_blas;

/* A supernodal factor, as CHOLMOD stores it. Supernode s owns the columns super[s] ..
 * super[s+1] - 1. Its rows are rows[pi[s]] .. rows[pi[s+1] - 1], ascending, the first of them its
 * own columns. Its values are a dense column-major block of that many rows, beginning at px[s]. */
typedef struct {
    int64_t n_super;
    const int64_t *super; /* (n_super + 1) */
    const int64_t *pi;    /* (n_super + 1) */
    const int64_t *px;    /* (n_super + 1) */
    const int64_t *rows;
    const int64_t *owner; /* (n): the supernode that owns each column */
} mf_selinv_supernodes;

/* -------------------------------------------------------------------------------------------------
 * mf_selinv_simplicial: Z on the pattern of a simplicial L
 *
 * Input
 *     p, nz (n)            column j holds the entries p[j] .. p[j] + nz[j] - 1, rows ascending, the
 *                          diagonal first
 *     row, l               the row and the value of each entry
 * Output
 *     z                    laid out as l
 * Workspace
 *     work                 2 n doubles
 * ---------------------------------------------------------------------------------------------- */
void mf_selinv_simplicial(int64_t n, const int64_t *p, const int64_t *nz, const int64_t *row,
                          const double *l, double *z, double *work);

/* -------------------------------------------------------------------------------------------------
 * mf_selinv_supernodal_sizes: workspace that mf_selinv_supernodal needs
 *
 * Output
 *     work, index          elements of each
 * ---------------------------------------------------------------------------------------------- */
void mf_selinv_supernodal_sizes(const mf_selinv_supernodes *sn, int64_t *work, int64_t *index);

/* -------------------------------------------------------------------------------------------------
 * mf_selinv_supernodal: Z on the pattern of a supernodal L
 *
 * Input
 *     l                    the values of L
 *     blas
 * Output
 *     z                    laid out as l; lower triangles of the diagonal blocks only
 * Workspace
 *     work, index          see mf_selinv_supernodal_sizes
 * Result
 *     0, or s + 1 when the diagonal block of supernode s is singular
 * ---------------------------------------------------------------------------------------------- */
int64_t mf_selinv_supernodal(const mf_selinv_supernodes *sn, const double *l, double *z,
                             double *work, int64_t *index, const mf_selinv_blas *blas);

#endif
