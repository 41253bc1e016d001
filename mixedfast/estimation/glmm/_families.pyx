"""Families and links row by row (csrc/mf_families.c).

The function ``family_rows`` has a NumPy twin in ``tests/helpers/reference_families.py``.
"""

from libc.stdint cimport int64_t

import numpy as np

cdef extern from "mf_families.h" nogil:
    ctypedef enum mf_family:
        pass
    ctypedef enum mf_link:
        pass
    int mf_family_has_link(mf_family family, mf_link link)
    void mf_family_rows(
        mf_family family, mf_link link, int64_t n, const double *eta, const double *y,
        const double *a, double extra, double *l, double *s, double *w, double *h, double *dw,
        double *dh)
    void mf_negative_binomial_slopes(
        mf_link link, int64_t n, const double *eta, const double *y, const double *a,
        double kappa, double *dl, double *ds, double *dw, double *dh)
    void mf_inverse_link(mf_link link, int64_t n, const double *eta, double *mu, double *dmu)

#: Families and links in the order of csrc/mf_families.h.
FAMILIES = ("binomial", "poisson", "Gamma", "inverse_gaussian", "nbinom2")
LINKS = ("logit", "probit", "cloglog", "cauchit", "log", "inverse", "sqrt", "identity")


def has_link(str family, str link):
    """Return whether a family can have a link."""
    return bool(mf_family_has_link(<mf_family><int>FAMILIES.index(family),
                                   <mf_link><int>LINKS.index(link)))


def family_rows(
    str family, str link, const double[::1] eta, const double[::1] y, const double[::1] a,
    double extra, bint third,
):
    """Return the log likelihood of each row and its derivatives in eta.

    Terms without eta are left out of the log likelihood.

    Parameters
    ----------
    family, link : str
    eta : (n,) array
    y : (n,) array
        Binomial: successes; the others: the response.
    a : (n,) array
        Binomial: trials; the others: weight over dispersion.
    extra : float
        kappa of the negative binomial family.
    third : bool
        Whether to return the derivatives of both weights.

    Returns
    -------
    (4, n) or (6, n) array
        l, s, w (expected), h (observed) and, if `third`, dw and dh.
    """
    cdef int64_t n = eta.shape[0]
    cdef mf_family which = <mf_family><int>FAMILIES.index(family)
    cdef mf_link how = <mf_link><int>LINKS.index(link)
    if not mf_family_has_link(which, how):
        raise ValueError(f"the {family} family has no link {link}")
    if y.shape[0] != n or a.shape[0] != n:
        raise ValueError("family_rows: eta, y and a (n,)")
    out = np.empty((6 if third else 4, n))
    cdef double[:, ::1] rows = out
    cdef double *at[6]
    cdef int j
    if n:
        for j in range(6):
            at[j] = &rows[j, 0] if j < rows.shape[0] else NULL
        with nogil:
            mf_family_rows(
                which, how, n, &eta[0], &y[0], &a[0], extra, at[0], at[1], at[2], at[3], at[4],
                at[5])
    return out


def negative_binomial_slopes(
    str link, const double[::1] eta, const double[::1] y, const double[::1] a, double kappa,
):
    """Return the derivatives of l, s, w and h in log kappa of the negative binomial family, (4, n).

    As `family_rows` defines them, without the terms of the log likelihood that have no eta.
    """
    cdef int64_t n = eta.shape[0]
    cdef mf_link how = <mf_link><int>LINKS.index(link)
    if not has_link("nbinom2", link):
        raise ValueError(f"the nbinom2 family has no link {link}")
    if y.shape[0] != n or a.shape[0] != n:
        raise ValueError("negative_binomial_slopes: eta, y and a (n,)")
    out = np.empty((4, n))
    cdef double[:, ::1] rows = out
    if n:
        with nogil:
            mf_negative_binomial_slopes(
                how, n, &eta[0], &y[0], &a[0], kappa, &rows[0, 0], &rows[1, 0], &rows[2, 0],
                &rows[3, 0])
    return out


def inverse_link(str link, const double[::1] eta):
    """Return the means of linear predictors (n,) and their derivatives, (2, n)."""
    cdef int64_t n = eta.shape[0]
    cdef mf_link how = <mf_link><int>LINKS.index(link)
    out = np.empty((2, n))
    cdef double[:, ::1] rows = out
    if n:
        with nogil:
            mf_inverse_link(how, n, &eta[0], &rows[0, 0], &rows[1, 0])
    return out
