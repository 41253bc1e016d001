#include "mf_families.h"

#include <math.h>
#include <stddef.h>

#include "mf_portable.h"

#define PI 3.14159265358979323846
#define LOG_ROOT_2PI 0.91893853320467274178 /* log sqrt(2 pi) */
#define ROOT_HALF 0.70710678118654752440

/* exp(eta) stays finite, and so do its square and its products with counts. */
#define LARGEST_ETA 300.0

/* From here on the normal tail comes from a continued fraction: erfc has no log. */
#define FAR_TAIL 5.0
/* Terms of the continued fraction that leave 1e-16 at FAR_TAIL. */
#define FRACTION_TERMS 60

/* What a link says about a binomial row: log mu, log(1 - mu), the hazards, k = mu''/mu', dk/deta. */
typedef struct {
    double log_p, log_q, r1, r0, k, dk;
} binary;

/* What a link says about other rows: mu and three derivatives. */
typedef struct {
    double mu, d1, d2, d3;
} mean;

static double clamp(double eta)
{
    return eta > LARGEST_ETA ? LARGEST_ETA : eta < -LARGEST_ETA ? -LARGEST_ETA : eta;
}

/* (1 - Phi(x)) / phi(x) for x >= FAR_TAIL: 1/(x+ 1/(x+ 2/(x+ 3/(x+ ... (Laplace). */
static double far_ratio(double x)
{
    double tail = x;
    for (int k = FRACTION_TERMS; k > 0; k--) tail = x + k / tail;
    return 1.0 / tail;
}

/* log Phi(x) and phi(x) / Phi(x). */
static void normal_lower(double x, double *log_cdf, double *hazard)
{
    double log_density = -0.5 * x * x - LOG_ROOT_2PI;
    if (x < -FAR_TAIL) {
        double ratio = far_ratio(-x);
        *log_cdf = log_density + log(ratio);
        *hazard = 1.0 / ratio;
    } else if (x > 0.0) {
        double upper = 0.5 * erfc(x * ROOT_HALF);
        *log_cdf = log1p(-upper);
        *hazard = exp(log_density) / (1.0 - upper);
    } else {
        double lower = 0.5 * erfc(-x * ROOT_HALF);
        *log_cdf = log(lower);
        *hazard = exp(log_density) / lower;
    }
}

MF_INLINE binary binary_of(mf_link link, double eta)
{
    binary b;
    if (link == MF_LOGIT) {
        double e = exp(-fabs(eta)), d = 1.0 / (1.0 + e), near = log1p(e);
        double p = eta >= 0.0 ? d : e * d, q = eta >= 0.0 ? e * d : d;
        b.log_p = (eta < 0.0 ? eta : 0.0) - near;
        b.log_q = (eta > 0.0 ? -eta : 0.0) - near;
        b.r1 = q;
        b.r0 = p;
        b.k = q - p;
        b.dk = -2.0 * p * q;
    } else if (link == MF_PROBIT) {
        normal_lower(eta, &b.log_p, &b.r1);
        normal_lower(-eta, &b.log_q, &b.r0);
        b.k = -eta;
        b.dk = -1.0;
    } else if (link == MF_CLOGLOG) {
        double x = exp(clamp(eta));
        b.log_p = log(-expm1(-x));
        b.log_q = -x;
        b.r1 = x > 700.0 ? 0.0 : x / expm1(x);
        b.r0 = x;
        b.k = 1.0 - x;
        b.dk = -x;
    } else if (link == MF_CAUCHIT) {
        double square = 1.0 + eta * eta, density = 1.0 / (PI * square);
        double lower = (eta < -1.0 ? atan(-1.0 / eta) : 0.5 * PI + atan(eta)) / PI;
        double upper = (eta > 1.0 ? atan(1.0 / eta) : 0.5 * PI - atan(eta)) / PI;
        b.log_p = log(lower);
        b.log_q = log(upper);
        b.r1 = density / lower;
        b.r0 = density / upper;
        b.k = -2.0 * eta / square;
        b.dk = 2.0 * (eta * eta - 1.0) / (square * square);
    } else if (link == MF_LOG) {
        double q = eta < 0.0 ? -expm1(eta) : NAN;
        b.log_p = eta;
        b.log_q = log(q);
        b.r1 = 1.0;
        b.r0 = exp(eta) / q;
        b.k = 1.0;
        b.dk = 0.0;
    } else { /* MF_IDENTITY */
        int inside = eta > 0.0 && eta < 1.0;
        b.log_p = inside ? log(eta) : NAN;
        b.log_q = inside ? log1p(-eta) : NAN;
        b.r1 = 1.0 / eta;
        b.r0 = 1.0 / (1.0 - eta);
        b.k = b.dk = 0.0;
    }
    return b;
}

MF_INLINE mean mean_of(mf_link link, double eta)
{
    mean m;
    if (link == MF_LOG) {
        m.mu = m.d1 = m.d2 = m.d3 = exp(clamp(eta));
    } else if (link == MF_INVERSE) {
        m.mu = 1.0 / eta;
        m.d1 = -m.mu * m.mu;
        m.d2 = -2.0 * m.d1 * m.mu;
        m.d3 = -3.0 * m.d2 * m.mu;
    } else if (link == MF_SQRT) {
        m.mu = eta * eta;
        m.d1 = 2.0 * eta;
        m.d2 = 2.0;
        m.d3 = 0.0;
    } else { /* MF_IDENTITY */
        m.mu = eta;
        m.d1 = 1.0;
        m.d2 = m.d3 = 0.0;
    }
    return m;
}

MF_INLINE void binomial_rows(mf_link link, int64_t n, const double *eta, const double *y,
                             const double *a, double *l, double *s, double *w, double *h,
                             double *dw, double *dh)
{
    for (int64_t i = 0; i < n; i++) {
        binary b = binary_of(link, eta[i]);
        double yes = y[i], no = a[i] - y[i];
        double d1 = b.r1 * (b.k - b.r1), d0 = b.r0 * (b.k + b.r0); /* dr1, dr0 */
        /* an impossible event that did not happen adds nothing: 0 log 0 = 0 */
        l[i] = (yes != 0.0 ? yes * b.log_p : 0.0) + (no != 0.0 ? no * b.log_q : 0.0);
        s[i] = yes * b.r1 - no * b.r0;
        w[i] = a[i] * b.r1 * b.r0;
        h[i] = link == MF_LOGIT ? w[i] : no * d0 - yes * d1;
        if (dw == NULL) continue;
        dw[i] = a[i] * (d1 * b.r0 + b.r1 * d0);
        if (link == MF_LOGIT) {
            dh[i] = dw[i];
        } else {
            double dd1 = d1 * (b.k - b.r1) + b.r1 * (b.dk - d1);
            double dd0 = d0 * (b.k + b.r0) + b.r0 * (b.dk + d0);
            dh[i] = no * dd0 - yes * dd1;
        }
    }
}

MF_INLINE void poisson_log_rows(int64_t n, const double *eta, const double *y, const double *a,
                                double *l, double *s, double *w, double *h, double *dw, double *dh)
{
    for (int64_t i = 0; i < n; i++) {
        double mu = exp(clamp(eta[i]));
        l[i] = a[i] * (y[i] * eta[i] - mu);
        s[i] = a[i] * (y[i] - mu);
        w[i] = h[i] = a[i] * mu;
        if (dw != NULL) dw[i] = dh[i] = w[i];
    }
}

MF_INLINE void other_rows(mf_family family, mf_link link, int64_t n, const double *eta,
                          const double *y, const double *a, double extra, double *l, double *s,
                          double *w, double *h, double *dw, double *dh)
{
    for (int64_t i = 0; i < n; i++) {
        mean m = mean_of(link, eta[i]);
        double mu = m.mu, V, V1, V2;
        if (family == MF_POISSON) {
            V = mu;
            V1 = 1.0;
            V2 = 0.0;
            l[i] = a[i] * ((y[i] != 0.0 ? y[i] * log(mu) : 0.0) - mu);
        } else if (family == MF_GAMMA) {
            V = mu * mu;
            V1 = 2.0 * mu;
            V2 = 2.0;
            l[i] = -a[i] * (log(mu) + y[i] / mu);
        } else if (family == MF_INVERSE_GAUSSIAN) {
            double off = (y[i] - mu) / mu;
            V = mu * mu * mu;
            V1 = 3.0 * mu * mu;
            V2 = 6.0 * mu;
            l[i] = -0.5 * a[i] * off * off / y[i];
        } else { /* MF_NEGATIVE_BINOMIAL */
            V = mu + mu * mu / extra;
            V1 = 1.0 + 2.0 * mu / extra;
            V2 = 2.0 / extra;
            /* y log mu - (y + kappa) log(mu + kappa), less its value for mu = 0 */
            l[i] = a[i] * ((y[i] != 0.0 ? y[i] * log(mu / (mu + extra)) : 0.0) -
                           extra * log1p(mu / extra));
        }
        if (!(mu > 0.0) && !(mu == 0.0 && link == MF_SQRT)) l[i] = NAN;
        double u = m.d1 / V, r = a[i] * (y[i] - mu), q = m.d2 / V - u * u * V1;
        s[i] = r * u;
        w[i] = a[i] * m.d1 * u;
        h[i] = w[i] - r * q;
        if (dw == NULL) continue;
        double dq =
            m.d3 / V - 3.0 * u * m.d2 * V1 / V - m.d1 * u * u * V2 + 2.0 * u * u * u * V1 * V1;
        dw[i] = a[i] * (2.0 * u * m.d2 - m.d1 * u * u * V1);
        dh[i] = dw[i] + a[i] * m.d1 * q - r * dq;
    }
}

int mf_family_has_link(mf_family family, mf_link link)
{
    if (family == MF_BINOMIAL) return link <= MF_LOG || link == MF_IDENTITY;
    return link >= MF_LOG && link <= MF_IDENTITY;
}

#define BINOMIAL(LINK) \
    case LINK: binomial_rows(LINK, n, eta, y, a, l, s, w, h, dw, dh); break
#define OTHER(FAMILY, LINK) \
    case LINK: other_rows(FAMILY, LINK, n, eta, y, a, extra, l, s, w, h, dw, dh); break
#define OTHERS(FAMILY)                                                            \
    switch (link) {                                                               \
        OTHER(FAMILY, MF_INVERSE);                                                \
        OTHER(FAMILY, MF_SQRT);                                                   \
        OTHER(FAMILY, MF_IDENTITY);                                               \
    default: other_rows(FAMILY, MF_LOG, n, eta, y, a, extra, l, s, w, h, dw, dh); \
    }

void mf_family_rows(mf_family family, mf_link link, int64_t n, const double *eta, const double *y,
                    const double *a, double extra, double *l, double *s, double *w, double *h,
                    double *dw, double *dh)
{
    if (family == MF_BINOMIAL) {
        switch (link) {
            BINOMIAL(MF_PROBIT);
            BINOMIAL(MF_CLOGLOG);
            BINOMIAL(MF_CAUCHIT);
            BINOMIAL(MF_LOG);
            BINOMIAL(MF_IDENTITY);
        default: binomial_rows(MF_LOGIT, n, eta, y, a, l, s, w, h, dw, dh);
        }
    } else if (family == MF_POISSON && link == MF_LOG) {
        poisson_log_rows(n, eta, y, a, l, s, w, h, dw, dh);
    } else if (family == MF_POISSON) {
        OTHERS(MF_POISSON)
    } else if (family == MF_GAMMA) {
        OTHERS(MF_GAMMA)
    } else if (family == MF_INVERSE_GAUSSIAN) {
        OTHERS(MF_INVERSE_GAUSSIAN)
    } else {
        OTHERS(MF_NEGATIVE_BINOMIAL)
    }
}

void mf_negative_binomial_slopes(mf_link link, int64_t n, const double *eta, const double *y,
                                 const double *a, double kappa, double *dl, double *ds, double *dw,
                                 double *dh)
{
    for (int64_t i = 0; i < n; i++) {
        mean m = mean_of(link, eta[i]);
        double mu = m.mu, V = mu + mu * mu / kappa, V1 = 1.0 + 2.0 * mu / kappa;
        double f = mu / (mu + kappa); /* d log(1/V) / d log kappa */
        double u = m.d1 / V, r = a[i] * (y[i] - mu);
        dl[i] = a[i] * (kappa * ((mu - y[i]) / (mu + kappa) - log1p(mu / kappa)));
        ds[i] = r * u * f;
        dw[i] = a[i] * m.d1 * u * f;
        double dq = m.d2 * f / V - u * u * (2.0 * f * V1 - 2.0 * mu / kappa);
        dh[i] = dw[i] - r * dq;
    }
}

static double mean_and_slope(mf_link link, double eta, double *slope)
{
    if (link < MF_LOG) {
        binary b = binary_of(link, eta);
        double p = exp(b.log_p);
        *slope = b.r1 * p;
        return p;
    }
    mean m = mean_of(link, eta);
    *slope = m.d1;
    return m.mu;
}

void mf_inverse_link(mf_link link, int64_t n, const double *eta, double *mu, double *dmu)
{
    for (int64_t i = 0; i < n; i++) {
        double slope;
        mu[i] = mean_and_slope(link, eta[i], &slope);
        if (dmu != NULL) dmu[i] = slope;
    }
}
