"""The search of `mixedfast.estimation.newton`, compiled for small models.

One algorithm in two forms: the Python search calls an engine and serves every model, this one runs
without Python and without the GIL on a `SmallSystem`. Both read their tolerances from
`mixedfast.estimation.newton` and `mixedfast.estimation.steps` (see `set_tolerances`), and tests
compare them step by step.
"""

from libc.math cimport NAN, exp, fabs, isfinite, isnan, sqrt
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset
from mixedfast.covariance._theta cimport newton_step
from mixedfast.estimation._small_system cimport (
    LOG_LENGTH, MAX_EFFECTS, Model, SmallSystem, Work, copied, derive, evaluate, second_derivative,
    write_response,
)
from scipy.linalg.cython_lapack cimport dsyev

import numpy as np

#: Least divisor of numbers that may be zero.
cdef double TINY = 1e-300
cdef double INFINITE = 1e308

#: How a search ended, in the order of `mixedfast.estimation.small_search.ENDINGS`.
cdef enum Ending:
    CONVERGED = 0
    NO_WAY_DOWN = 1
    ITERATION_LIMIT = 2
    NOT_POSITIVE_DEFINITE = 3
    NOT_FINITE = 4


cdef struct Tolerances:
    double certificate
    double converging
    double rounding_decrement
    double no_decrease
    double invisible
    double sufficient
    double rounding
    double any_rounding
    double singular
    double eigenvalue_floor
    double zero
    double criterion
    double shortest_rescaling
    double longest_rescaling
    double boundary_rounding
    double largest_variance
    int patience
    int iterations
    int halvings
    int escapes


cdef Tolerances tol


def set_tolerances(dict values):
    """Take the tolerances of the Python search, by the names of `Tolerances`."""
    global tol
    tol = values


cdef struct Found:
    double deviance
    double decrement
    double boundary
    bint converged
    int ending
    int iterations
    int logged


# -- the boundary ------------------------------------------------------------------------------


cdef bint is_singular(const Model *mo, int term, const double *theta) noexcept nogil:
    """Return whether a diagonal element of the lambda of a term is nearly zero."""
    cdef int i
    for i in range(mo.term_first[term], mo.term_end[term]):
        if mo.row[i] == mo.column[i] and fabs(theta[i]) < tol.singular:
            return True
    return False


cdef bint any_singular(const Model *mo, const double *theta) noexcept nogil:
    """Return whether the covariance of any term is singular."""
    cdef int term
    for term in range(mo.n_terms):
        if is_singular(mo, term, theta):
            return True
    return False


cdef double scale_decrease(const Model *mo, Work *w, double *target) noexcept nogil:
    """Find the decrease from multiplying theta of a term by one number, and where it leads."""
    cdef int term, i, best_term = -1
    cdef double slope, curvature, decrease, best = 0.0, factor = 1.0
    memcpy(target, w.theta, mo.m * sizeof(double))
    for term in range(mo.n_terms):
        slope = 0.0
        for i in range(mo.term_first[term], mo.term_end[term]):
            slope += w.theta[i] * w.gradient[i]
        curvature = 2.0 * mo.levels[mo.term_group[term]] * mo.term_k[term]
        decrease = 0.5 * slope * slope / curvature
        if decrease > best:
            best, best_term = decrease, term
            factor = min(max(-8.0 * slope / curvature, tol.shortest_rescaling),
                         tol.longest_rescaling)
    if best_term >= 0:
        for i in range(mo.term_first[best_term], mo.term_end[best_term]):
            target[i] *= exp(factor)
    return best


cdef void add_direction(int k, double *L, double *x) noexcept nogil:
    """Compute the L of L L' + x x' by plane rotations; x is overwritten."""
    cdef int i, j
    cdef double r, c, s, t
    for j in range(k):
        r = sqrt(L[j * k + j] * L[j * k + j] + x[j] * x[j])
        if r == 0.0:
            continue
        c, s = L[j * k + j] / r, x[j] / r
        for i in range(j, k):
            t = L[i * k + j]
            L[i * k + j] = c * t + s * x[i]
            x[i] = c * x[i] - s * t


cdef double quadratic_form(
    int k, int K, int first, const double *M, const double *v
) noexcept nogil:
    """Return v'M v for the (k,k) block of M (K,K) that begins at `first` of both."""
    cdef int a, b
    cdef double total = 0.0
    for a in range(k):
        for b in range(k):
            total += v[a] * v[b] * M[(first + a) * K + first + b]
    return total


cdef double off_boundary(const Model *mo, Work *w, double *target) noexcept nogil:
    """Find the decrease from adding variance t v v' to a singular term, and where it leads."""
    cdef int term, g, K, k, first, a, b, c, d, i, info = 0, lwork, direction
    cdef double best = 0.0, slope, size, curvature, decrease, length, longest
    cdef double v[MAX_EFFECTS]
    cdef double x[MAX_EFFECTS]
    cdef double root[MAX_EFFECTS * MAX_EFFECTS]
    cdef const double *H = w.information
    cdef const double *G
    for term in range(mo.n_terms):
        if not is_singular(mo, term, w.theta):
            continue
        g, k, first = mo.term_group[term], mo.term_k[term], mo.term_start[term]
        K, G = mo.k[g], w.G + mo.square[mo.term_group[term]]
        second_derivative(mo, w, g, g, False, w.information)
        for a in range(k):
            i = first + a
            w.scale[a] = 1.0 / sqrt(max(sqrt(fabs(H[((i * K + i) * K + i) * K + i])), TINY))
        if mo.term_correlated[term]:
            for a in range(k):
                for b in range(k):
                    w.vectors[a * k + b] = (
                        G[(first + a) * K + first + b] * w.scale[a] * w.scale[b])
            lwork = 8 * k
            dsyev("V", "U", &k, w.vectors, &k, w.values, w.lapack, &lwork, &info)
            if info:
                continue
        for direction in range(1 if mo.term_correlated[term] else k):
            for a in range(k):
                v[a] = w.scale[a]
                if mo.term_correlated[term]:
                    v[a] *= w.vectors[a]
                elif a != direction:
                    v[a] = 0.0
            slope = quadratic_form(k, K, first, G, v)
            size = quadratic_form(k, K, first, w.sums_K + mo.square[g], v)
            if not slope < -tol.boundary_rounding * size:
                continue
            curvature = 0.0
            for a in range(k):
                for b in range(k):
                    for c in range(k):
                        for d in range(k):
                            curvature += v[a] * v[b] * v[c] * v[d] * H[
                                (((first + a) * K + first + b) * K + first + c) * K + first + d]
            longest = tol.largest_variance * mo.levels[g] / size
            curvature = max(curvature, -slope / longest)
            decrease = 0.5 * slope * slope / curvature
            if decrease > best:
                best, length = decrease, sqrt(-slope / curvature)
                memset(root, 0, k * k * sizeof(double))
                for i in range(mo.term_first[term], mo.term_end[term]):
                    root[(mo.row[i] - first) * k + mo.column[i] - first] = w.theta[i]
                for a in range(k):
                    x[a] = length * v[a]
                add_direction(k, root, x)
                memcpy(target, w.theta, mo.m * sizeof(double))
                for i in range(mo.term_first[term], mo.term_end[term]):
                    target[i] = root[(mo.row[i] - first) * k + mo.column[i] - first]
    return best


cdef double escape(const Model *mo, Work *w) noexcept nogil:
    """Find the larger of both decreases; `Work.way_out` is where it leads."""
    cdef double off = off_boundary(mo, w, w.way_out), scaled
    scaled = scale_decrease(mo, w, w.trial)
    if off >= scaled and off > 0.0:
        return off
    memcpy(w.way_out, w.trial, mo.m * sizeof(double))
    return scaled


# -- steps -------------------------------------------------------------------------------------


cdef double take_newton_step(const Model *mo, Work *w) noexcept nogil:
    """Compute the step and return the decrease it predicts; NaN without eigenvalues."""
    cdef int m = mo.m, i
    cdef double predicted = 0.0
    for i in range(m * m):
        if not isfinite(w.hessian[i]):
            return NAN
    memset(w.step, 0, m * sizeof(double))
    if newton_step(m, w.gradient, w.hessian, tol.eigenvalue_floor, w.lapack, w.step, &predicted):
        return NAN
    return predicted


cdef bint move(const Model *mo, Work *w, double decrease) noexcept nogil:
    """Halve `Work.step` until the deviance falls enough.

    Where it never does, the system is solved at theta again.
    """
    cdef int i, _halving
    cdef double longest = 0.0, reach = 0.0, t, before = w.deviance, limit
    for i in range(mo.m):
        longest, reach = max(longest, fabs(w.step[i])), max(reach, fabs(w.theta[i]))
    reach = max(1.0, 2.0 * reach)
    t = reach / max(longest, reach)
    for _halving in range(tol.halvings):
        for i in range(mo.m):
            w.trial[i] = w.theta[i] + t * w.step[i]
        limit = before - tol.sufficient * t * 2.0 * decrease + tol.rounding * fabs(before)
        if evaluate(mo, w, w.trial) == 0 and w.deviance <= limit:
            memcpy(w.theta, w.trial, mo.m * sizeof(double))
            return True
        t *= 0.5
    evaluate(mo, w, w.theta)
    return False


cdef bint has_stalled(const double *log, int n) noexcept nogil:
    """Return whether the decrement is small and has not halved in the last iterations."""
    cdef int i
    cdef double largest = 0.0, late = INFINITE, early = INFINITE
    if n <= tol.patience:
        return False
    for i in range(n):
        if i >= n - tol.patience:
            largest, late = max(largest, log[3 * i + 2]), min(late, log[3 * i + 2])
        else:
            early = min(early, log[3 * i + 2])
    return largest <= tol.rounding_decrement and late > 0.5 * early


# -- the search --------------------------------------------------------------------------------


cdef Found ended(
    Work *w, int ending, double predicted, double boundary, int iterations, int logged
) noexcept nogil:
    """Return how a search ended."""
    cdef Found f
    f.deviance, f.decrement, f.boundary = w.deviance, predicted, boundary
    f.converged = max(predicted, boundary) < tol.certificate
    f.ending, f.iterations, f.logged = ending, iterations, logged
    return f


cdef void identity(const Model *mo, double *theta) noexcept nogil:
    """Write the theta with every lambda the identity."""
    cdef int i
    for i in range(mo.m):
        theta[i] = 1.0 if mo.row[i] == mo.column[i] else 0.0


cdef Found search(
    const Model *mo, Work *w, double tolerance, double least_remaining
) noexcept nogil:
    """Minimize the deviance from `Work.theta`; the system is left solved where the search ends."""
    cdef int iterations = 0, escapes = 0, logged = 0, i, ending
    cdef double predicted = INFINITE, before, remaining, boundary, rate
    cdef bint small, inside, stationary
    if evaluate(mo, w, w.theta):
        identity(mo, w.theta)
        if evaluate(mo, w, w.theta):
            return ended(w, NOT_POSITIVE_DEFINITE, NAN, NAN, 0, 0)
    while True:
        derive(mo, w)
        before = predicted
        predicted = take_newton_step(mo, w)
        if isnan(predicted):
            return ended(w, NOT_FINITE, NAN, NAN, iterations, logged)
        remaining = INFINITE
        if 0.0 < predicted < before < INFINITE and predicted < tol.converging:
            rate = predicted / before
            remaining = predicted * rate * rate
        if logged < LOG_LENGTH:
            w.log[3 * logged], w.log[3 * logged + 1] = w.evaluations, w.deviance
            w.log[3 * logged + 2] = predicted
            logged += 1
        small = predicted < max(tolerance, tol.invisible * fabs(w.deviance))
        inside = not any_singular(mo, w.theta)
        stationary = (
            predicted < tol.no_decrease or (small and not inside) or has_stalled(w.log, logged))
        if not stationary and inside and (small or remaining < least_remaining):
            boundary = escape(mo, w)
            if boundary < tol.certificate:
                return last_step(mo, w, predicted, boundary, iterations, logged)
            stationary = True
        if not stationary:
            if iterations == tol.iterations:
                return ended(w, ITERATION_LIMIT, predicted, escape(mo, w), iterations, logged)
            if move(mo, w, predicted):
                iterations += 1
                continue
            derive(mo, w)
        boundary = escape(mo, w)
        ending = CONVERGED if stationary else NO_WAY_DOWN
        if boundary < tol.certificate or escapes == tol.escapes:
            return ended(w, ending, predicted, boundary, iterations, logged)
        escapes += 1
        for i in range(mo.m):
            w.step[i] = w.way_out[i] - w.theta[i]
        if not move(mo, w, 0.0):
            derive(mo, w)
            return ended(w, ending, predicted, boundary, iterations, logged)
        iterations += 1
        predicted = INFINITE  # steps before the escape say nothing about those after it


cdef Found last_step(
    const Model *mo, Work *w, double predicted, double boundary, int iterations, int logged
) noexcept nogil:
    """Take the full step, unless the deviance rises by more than rounding."""
    cdef double before = w.deviance
    cdef int i, ending
    for i in range(mo.m):
        w.trial[i] = w.theta[i] + w.step[i]
    if evaluate(mo, w, w.trial) == 0 and w.deviance <= before + tol.any_rounding * fabs(before):
        memcpy(w.theta, w.trial, mo.m * sizeof(double))
        return ended(w, CONVERGED, predicted, boundary, iterations + 1, logged)
    evaluate(mo, w, w.theta)
    ending = CONVERGED if predicted < tol.certificate else NO_WAY_DOWN
    return ended(w, ending, predicted, boundary, iterations + 1, logged)


cdef void settle(const Model *mo, Work *w) noexcept nogil:
    """Make diagonals of lambda positive, and elements zero that are zero but for rounding."""
    cdef int i, j
    cdef double before = w.deviance
    cdef bint changed = False
    for j in range(mo.m):
        if mo.row[j] == mo.column[j] and w.theta[j] < 0.0:
            for i in range(mo.m):
                if mo.group[i] == mo.group[j] and mo.column[i] == mo.column[j]:
                    w.theta[i] = -w.theta[i]
    for i in range(mo.m):
        w.trial[i] = 0.0 if fabs(w.theta[i]) < tol.zero else w.theta[i]
        changed |= w.trial[i] != w.theta[i]
    if not changed:
        return
    if evaluate(mo, w, w.trial) == 0 and w.deviance <= before + tol.any_rounding * fabs(before):
        memcpy(w.theta, w.trial, mo.m * sizeof(double))
        return
    evaluate(mo, w, w.theta)


cdef Found search_twice(
    const Model *mo, Work *w, double tolerance, double least_remaining
) noexcept nogil:
    """Search, and after an end on the boundary again from lambda = I; keep the lower optimum."""
    cdef Found first = search(mo, w, tolerance, least_remaining), second
    cdef double *theta = w.kept
    if first.ending >= NOT_POSITIVE_DEFINITE or not any_singular(mo, w.theta):
        return first
    memcpy(theta, w.theta, mo.m * sizeof(double))
    identity(mo, w.theta)
    second = search(mo, w, tolerance, least_remaining)
    if (
        second.ending < NOT_POSITIVE_DEFINITE
        and second.deviance < first.deviance - tol.criterion
    ):
        return second
    memcpy(w.theta, theta, mo.m * sizeof(double))
    evaluate(mo, w, w.theta)
    return first


# -- for Python --------------------------------------------------------------------------------


def minimize(SmallSystem system, theta, double tolerance, double remaining):
    """Search from theta.

    Returns
    -------
    tuple
        theta and gradient (m,), Hessian (m,m), solution (see `SmallSystem.solve`), decrement,
        boundary decrement, converged, ending (see `Ending`), evaluations, rejected, iterations, log
        (n,3). The solution is None where the system is not positive definite at the start.
    """
    cdef Found found
    cdef int m = system.mo.m
    cdef Work *w = &system.w
    system.start(theta)
    w.evaluations = w.rejected = 0
    with nogil:
        found = search(&system.mo, w, tolerance, remaining)
    solved = None if found.ending == NOT_POSITIVE_DEFINITE else system.solution()
    return (
        copied(w.theta, m), copied(w.gradient, m), copied(w.hessian, m * m).reshape(m, m), solved,
        found.decrement, found.boundary, bool(found.converged), found.ending, w.evaluations,
        w.rejected, found.iterations, copied(w.log, 3 * found.logged).reshape(-1, 3),
    )


def refit(
    SmallSystem system, const double[:, ::1] Zy, const double[:, ::1] Xy, const double[::1] yy,
    const double[::1] theta, double tolerance, double remaining,
):
    """Search for every response from one theta.

    Parameters
    ----------
    system : SmallSystem
    Zy (R,q), Xy (R,p), yy (R,)
        Products of the responses.
    theta : (m,) array
    tolerance, remaining : float

    Returns
    -------
    tuple
        theta (R,m), beta (R,p), LX (R,p,p), deviance, r^2, certificate (the larger of the two
        decrements) and ending, each (R,). NaN where a search failed.
    """
    cdef int64_t r, R = yy.shape[0]
    cdef int m = system.mo.m, p = system.mo.p
    cdef Model *mo = &system.mo
    cdef Work *w = &system.w
    cdef Found found
    if not (
        Zy.shape[0] == Xy.shape[0] == R and Zy.shape[1] == mo.q and Xy.shape[1] == p
        and theta.shape[0] == m
    ):
        raise ValueError("refit: Zy (R,q), Xy (R,p), yy (R,), theta (m,)")
    thetas, betas, LX = np.empty((R, m)), np.full((R, p), np.nan), np.full((R, p, p), np.nan)
    numbers, endings = np.full((3, R), np.nan), np.empty(R, dtype=np.int32)
    cdef double[:, ::1] thetas_ = thetas, betas_ = betas, numbers_ = numbers
    cdef double[:, :, ::1] LX_ = LX
    cdef int32_t[::1] endings_ = endings
    with nogil:
        for r in range(R):
            write_response(mo, w, &Zy[r, 0], &Xy[r, 0] if p else NULL, yy[r])
            memcpy(w.theta, &theta[0], m * sizeof(double))
            found = search_twice(mo, w, tolerance, remaining)
            endings_[r] = found.ending
            if found.ending >= NOT_POSITIVE_DEFINITE:
                memcpy(&thetas_[r, 0], &theta[0], m * sizeof(double))
                continue
            settle(mo, w)
            memcpy(&thetas_[r, 0], w.theta, m * sizeof(double))
            if p:
                memcpy(&betas_[r, 0], w.beta, p * sizeof(double))
                memcpy(&LX_[r, 0, 0], w.LX, p * p * sizeof(double))
            numbers_[0, r], numbers_[1, r] = w.deviance, w.r2
            numbers_[2, r] = max(found.decrement, found.boundary)
    return thetas, betas, LX, numbers[0], numbers[1], numbers[2], endings
