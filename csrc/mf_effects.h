/* Random effects row by row: Z b, and sums over rows by level of one factor or of two.
 *
 * Row i has the level codes[i] of a grouping factor and the k numbers z_i, row i of z (n, k);
 * z == NULL: the constant 1, k = 1. Arrays are C-ordered. Rows in order of the levels are read
 * fastest. Results are added to `out`, so that parts of the rows can be summed one after the other.
 */
#ifndef MF_EFFECTS_H
#define MF_EFFECTS_H

#include <stdint.h>

/* -------------------------------------------------------------------------------------------------
 * mf_effects_add: out_i += z_i' b_j
 *
 * Input
 *     codes (n), z (n, k), b (J, k)
 * Output
 *     out (n)
 * ---------------------------------------------------------------------------------------------- */
void mf_effects_add(int64_t n, int32_t k, const int32_t *codes, const double *z, const double *b,
                    double *out);

/* -------------------------------------------------------------------------------------------------
 * mf_effects_sum: out_j += r_i z_i
 *
 * Input
 *     codes (n), z (n, k), r (n)
 * Output
 *     out (J, k)
 * ---------------------------------------------------------------------------------------------- */
void mf_effects_sum(int64_t n, int32_t k, const int32_t *codes, const double *z, const double *r,
                    double *out);

/* -------------------------------------------------------------------------------------------------
 * mf_effects_cross: out_c += w_i z_i y_i'
 *
 * Input
 *     cells (n)            the level, or the place of the pair of levels, of each row
 *     z (n, k), y (n, m)   of two factors, or twice of one
 *     w (n)
 * Output
 *     out (C, k, m)
 * ---------------------------------------------------------------------------------------------- */
void mf_effects_cross(int64_t n, int32_t k, int32_t m, const int32_t *cells, const double *z,
                      const double *y, const double *w, double *out);

/* -------------------------------------------------------------------------------------------------
 * mf_effects_quadratic: out_i += scale z_i' Q_c y_i
 *
 * Input
 *     cells (n), z (n, k), y (n, m)
 *     Q (C, k, m)
 *     scale
 * Output
 *     out (n)
 * ---------------------------------------------------------------------------------------------- */
void mf_effects_quadratic(int64_t n, int32_t k, int32_t m, const int32_t *cells, const double *z,
                          const double *y, const double *Q, double scale, double *out);

#endif
