"""The system of a small model at one theta, for other Cython code."""

from libc.stdint cimport int64_t

cdef enum:
    MAX_GROUPS = 8
    MAX_TERMS = 16
    MAX_THETA = 64
    MAX_EFFECTS = 8  # columns of Z of one factor
    LOG_LENGTH = 128  # more than iterations and escapes together


cdef struct Model:
    bint dense
    bint reml
    int p
    int m
    int n_groups
    int n_terms
    int64_t q
    int64_t levels[MAX_GROUPS]
    int k[MAX_GROUPS]
    int64_t base[MAX_GROUPS]  # the group's first row of Z'WZ
    int square[MAX_GROUPS]  # where its (k,k) matrix begins among those of all groups
    int squares
    # where the (k_g,k_g,k_h,k_h) array of two groups begins, g <= h
    int64_t fourth[MAX_GROUPS][MAX_GROUPS]
    int64_t fourths
    int group[MAX_THETA]
    int row[MAX_THETA]
    int column[MAX_THETA]
    int term_group[MAX_TERMS]
    int term_start[MAX_TERMS]
    int term_k[MAX_TERMS]
    int term_first[MAX_TERMS]
    int term_end[MAX_TERMS]
    bint term_correlated[MAX_TERMS]
    double nu
    double constant
    const double *A  # (J,k,k) of the only group, or (q,q)
    const double *base_B  # (q,p+1)
    const double *base_S  # (p+1,p+1)


cdef struct Work:
    double *B  # (q,p+1): a copy, its last column that of the response at hand
    double *S0
    double *lam  # lambda of each group
    double *T
    double *W  # dense: A Lambda
    double *half  # U = L^-1 Lambda'B, (q,p+1)
    double *S
    double *LX
    double *whiten
    double *beta
    double *K
    double *C
    double *D
    double *P
    double *v
    double *trace  # sum_j of (Q0)_jj of each group
    double *vv
    double *DD
    double *G  # dd/dH of each group
    double *quad
    double *pairs  # tr(Q0 G Q0 G')
    double *second
    double *wide
    double *information  # average information of one factor, (k,k,k,k)
    double *vD
    double *DxD
    double *KDD
    double *sums_K
    double *moments
    double *gradient
    double *hessian
    double *step
    double *theta
    double *trial
    double *way_out
    double *scale
    double *values
    double *vectors
    double *lapack
    double *log  # (LOG_LENGTH,3)
    double *kept  # what an earlier search found
    double deviance
    double r2
    double ldL2
    double ldRX2
    int evaluations
    int rejected
    bint derived


cdef int evaluate(const Model *mo, Work *w, const double *theta) noexcept nogil
cdef void derive(const Model *mo, Work *w) noexcept nogil
cdef void second_derivative(
    const Model *mo, const Work *w, int g, int h, bint exact, double *out) noexcept nogil
cdef void write_response(
    const Model *mo, Work *w, const double *Zy, const double *Xy, double yy) noexcept nogil


cdef class SmallSystem:
    cdef Model mo
    cdef Work w
    cdef double[::1] memory
    cdef const double[::1] A
    cdef const double[:, ::1] B
    cdef const double[:, ::1] S
    cdef int start(self, const double[::1] theta) except -1
    cdef solution(self)


cdef copied(const double *at, int64_t size)
