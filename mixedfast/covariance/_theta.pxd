"""The Newton step, for other Cython code."""

cdef int newton_step(
    int m, const double *gradient, const double *hessian, double floor, double *work,
    double *step, double *decrease) noexcept nogil
