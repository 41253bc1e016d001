/* Families of generalized linear models, row by row.
 *
 * For row i with log likelihood l_i(eta_i), whose terms without eta are left out:
 *
 *     s = dl/deta,   h = -d2l/deta2 (observed),   w = E h (expected),   dw = dw/deta, dh = dh/deta.
 *
 * With the mean mu(eta) and the variance function V (McCullagh and Nelder 1989, section 2.5):
 *
 *     s = a (y - mu) mu' / V,   w = a mu'^2 / V,   h = w - a (y - mu) q,   q = mu''/V - mu'^2 V'/V^2
 *
 * Binomial rows use the two hazards mu' / mu and mu' / (1 - mu) instead, which keep their digits
 * where mu rounds to 0 or 1.
 */
#ifndef MF_FAMILIES_H
#define MF_FAMILIES_H

#include <stdint.h>

typedef enum {
    MF_BINOMIAL,
    MF_POISSON,
    MF_GAMMA,
    MF_INVERSE_GAUSSIAN,
    MF_NEGATIVE_BINOMIAL, /* V = mu + mu^2 / extra */
} mf_family;

typedef enum {
    MF_LOGIT,
    MF_PROBIT,
    MF_CLOGLOG,
    MF_CAUCHIT,
    MF_LOG,
    MF_INVERSE,
    MF_SQRT,
    MF_IDENTITY,
} mf_link;

/* -------------------------------------------------------------------------------------------------
 * mf_family_has_link: whether a family can have a link
 *
 * Binomial: the first five and the identity; the others: log, inverse, sqrt, identity.
 * ---------------------------------------------------------------------------------------------- */
int mf_family_has_link(mf_family family, mf_link link);

/* -------------------------------------------------------------------------------------------------
 * mf_family_rows: log likelihood and its derivatives in eta, row by row
 *
 * Input
 *     family, link         of which mf_family_has_link is true
 *     eta (n)
 *     y (n)                binomial: successes; the others: the response
 *     a (n)                binomial: trials; the others: weight over dispersion
 *     extra                negative binomial: kappa; else ignored
 * Output
 *     l, s, w, h (n)       NaN where eta gives no mean, such as a negative one with a log of it
 *     dw, dh (n)           both NULL: not wanted
 * ---------------------------------------------------------------------------------------------- */
void mf_family_rows(mf_family family, mf_link link, int64_t n, const double *eta, const double *y,
                    const double *a, double extra, double *l, double *s, double *w, double *h,
                    double *dw, double *dh);

/* -------------------------------------------------------------------------------------------------
 * mf_negative_binomial_slopes: derivatives of rows of the negative binomial family in log kappa
 *
 * Input
 *     link                 log, inverse, sqrt or identity
 *     eta, y, a (n), kappa as for mf_family_rows
 * Output
 *     dl, ds, dw, dh (n)   of l, s, w and h as mf_family_rows defines them
 * ---------------------------------------------------------------------------------------------- */
void mf_negative_binomial_slopes(mf_link link, int64_t n, const double *eta, const double *y,
                                 const double *a, double kappa, double *dl, double *ds, double *dw,
                                 double *dh);

/* -------------------------------------------------------------------------------------------------
 * mf_inverse_link: means and their derivative in eta
 *
 * Input
 *     link, eta (n)
 * Output
 *     mu (n)               NaN where eta gives no mean of a log or root
 *     dmu (n)              NULL: not wanted
 * ---------------------------------------------------------------------------------------------- */
void mf_inverse_link(mf_link link, int64_t n, const double *eta, double *mu, double *dmu);

#endif
