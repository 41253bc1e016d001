"""Do the arrays that describe a Border belong together? The kernels trust them, so the door asks first."""

from libc.stdint cimport INT32_MAX, int32_t, int64_t


cdef int refuse(bint wrong, message) except -1:
    if wrong:
        raise ValueError(message)
    return 0


cdef int outside(bint wrong, message) except -1:
    """The same for an index array that points out of what it points into."""
    if wrong:
        raise IndexError(message)
    return 0


ctypedef fused whole:
    int32_t
    int64_t


cdef bint within(const whole[:] values, int64_t low, int64_t high) noexcept:
    cdef int64_t i
    cdef bint good = True
    for i in range(values.shape[0]):
        good &= low <= values[i] < high
    return good


cdef bint climbs(const int64_t[:] values, int64_t end) noexcept:
    """Whether pointers climb from 0 to end."""
    cdef int64_t i, n = values.shape[0]
    cdef bint good = n > 0 and values[0] == 0 and values[n - 1] == end
    for i in range(1, n):
        good &= values[i - 1] <= values[i]
    return good


def check_border(
    int64_t most, const int64_t[:] ptr, const int32_t[:] cols, const double[:, :] vals, const int32_t[:] component,
    const int64_t[:] start, const int64_t[:] level_start, const int64_t[:] first, const int32_t[:] k_level,
    const int64_t[:] lambda_at, const int64_t[:] base_at, const double[:] base,
):
    """The arrays of a `mixedfast.engines._border.Border` fit together and point inside one another; at most `most` columns a level.

    Raises
    ------
    ValueError, IndexError
        The message names the array.
    """
    cdef int64_t n_levels = k_level.shape[0], n_components = start.shape[0] - 1, m = 0, numbers = 0, i, j, c, before, size
    cdef bint good = True
    refuse(ptr.shape[0] == 0 or not climbs(ptr, ptr[ptr.shape[0] - 1]), "ptr must climb from 0")
    refuse(cols.shape[0] != ptr[ptr.shape[0] - 1] or vals.shape[0] != cols.shape[0],
           "ptr must end at the number of cols and vals")
    refuse(component.shape[0] != ptr.shape[0] - 1, "component must have one entry a level of ptr")
    refuse(not 1 <= vals.shape[1] <= most, f"vals must have 1 to {most} columns")
    outside(not within(k_level, 1, most + 1), f"k_level must lie in 1..{most}")
    for i in range(n_levels):
        m += k_level[i]
    refuse(m > INT32_MAX,  # cols are 32-bit, and so are the sizes that BLAS is told
           f"{m} random effects remain once the largest factor is eliminated, and at most 2**31 - 1 can")
    refuse(first.shape[0] != n_levels, "first and k_level must have one entry a level")
    refuse(lambda_at.shape[0] != n_levels, "lambda_at and k_level must have one entry a level")
    refuse(not climbs(start, m), f"start must climb from 0 to {m}")
    refuse(not climbs(level_start, n_levels), f"level_start must climb from 0 to {n_levels}")
    refuse(level_start.shape[0] != n_components + 1 or n_components < 1,
           "start and level_start must have one entry a component, and one more")
    before = 0
    for i in range(n_levels):
        good &= first[i] == before
        before += k_level[i]
    refuse(not good, "first must be the running sum of k_level")
    for c in range(n_components + 1):
        good &= start[c] == (first[level_start[c]] if level_start[c] < n_levels else m)
    refuse(not good, "level_start and start must cut at the same places")
    outside(not within(component, 0, n_components), f"component must lie in 0..{n_components - 1}")
    outside(not within(lambda_at, 0, INT32_MAX), f"lambda_at must lie in 0..{INT32_MAX - 1}")
    for j in range(component.shape[0]):
        c = component[j]
        for i in range(ptr[j], ptr[j + 1]):
            good &= start[c] <= cols[i] < start[c + 1]
    outside(not good, "cols must lie in their level's component")
    for c in range(n_components):
        size = start[c + 1] - start[c]
        numbers += size * size
    refuse(base_at.shape[0] != base.shape[0], "base_at and base must have the same length")
    outside(not within(base_at, 0, numbers), f"base_at must lie in 0..{numbers - 1}")
    c, numbers = 0, (start[1] - start[0]) ** 2
    for i in range(base_at.shape[0]):
        while base_at[i] >= numbers:
            c += 1
            size = start[c + 1] - start[c]
            numbers += size * size
        size = start[c + 1] - start[c]
        good &= base_at[i] >= numbers - size * size
    outside(not good, "base_at must go from component to component in their order")
