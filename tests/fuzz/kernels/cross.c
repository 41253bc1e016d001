/* mf_border_cross and mf_border_multiply_rest: F'V_1^-1 F, [X y]'V_1^-1 F and Z_r'V_1^-1 F, level
 * by level in plain algebra. There may be more levels than one run of the kernel takes. */
#include "problem.h"

/* F (m,width) of the rest: any numbers, but zeros in the eliminated factor's columns */
static double *rest_columns(bytes *in, int64_t m, const mf_spread *spread, int32_t k)
{
    double *F = numbers(in, m * spread->width);
    for (int64_t i = 0; i < m; i++)
        for (int32_t s = spread->own; s < spread->own + k * k; s++) F[i * spread->width + s] = 0.0;
    return F;
}

/* to += sign X, and the sizes are added */
static void add(int64_t count, double sign, const double *X, const double *X_size, double *to,
                double *to_size)
{
    for (int64_t i = 0; i < count; i++) to[i] += sign * X[i], to_size[i] += X_size[i];
}

/* Compare with the plain matrix, within the rounding of sums of `terms` products, one after
 * another. */
static void check(int64_t count, const double *ours, const double *plain, const double *size,
                  double terms, const char *what)
{
    for (int64_t i = 0; i < count; i++) require(within(ours[i], plain[i], size[i], terms), what);
}

/* A_rr F from the entries of A_rr: those that are not zero, and some zeros */
static void check_base(bytes *in, const problem *made, int32_t width, const double *F)
{
    int64_t m = made->m, count = 0, *at = room((size_t)(m * m), sizeof *at);
    double *values = nothing(m * m), *ours = numbers(in, m * width),
           *plain = product(m, m, width, made->A_rr, 0, F, 0);
    for (int64_t i = 0; i < m * width; i++) plain[i] += ours[i];
    for (int64_t column = 0; column < m; column++)
        for (int64_t row = 0; row <= column; row++) {
            if (component_of(made, row) != component_of(made, column)) continue;
            if (made->A_rr[row * m + column] == 0.0 && below(in, 2)) continue;
            at[count] = place_of(made, row, column);
            values[count++] = made->A_rr[row * m + column];
        }
    mf_border_multiply_rest(&made->border, count, at, values, width, F, ours);
    equal(m * width, ours, plain, "A_rr F");
    free(at);
    free(values);
    free(ours);
    free(plain);
}

static void check_cross(bytes *in, const problem *made)
{
    const int32_t k = made->k, other = (int32_t)below(in, 7), width = k * k + other,
                  r = 1 + (int32_t)below(in, 3);
    const int64_t J = made->J, m = made->m, nnz = made->ptr[J];
    mf_spread spread = {
        width, (int32_t)below(in, other + 1), r, made->A, made->T, NULL, NULL, NULL, NULL, NULL};
    double *TV = nothing(nnz * k), *B = numbers(in, J * k * r),
           *U = each_level(J, k, r, made->T, B), *v = numbers(in, J * k);
    double *F = rest_columns(in, m, &spread, k), *work = nothing(mf_border_cross_work(k, width, r));
    mf_border_scale(&made->border, made->T, TV);
    spread.TV = TV, spread.B = B, spread.U = U, spread.v = v, spread.rest_F = F;
    check_base(in, made, width, F);

    double *FKF = numbers(in, (int64_t)width * width), *cross = numbers(in, r * width),
           *rest = numbers(in, m * width);
    double *FKF_plain = room((size_t)width * width, sizeof *FKF),
           *cross_plain = room((size_t)r * width, sizeof *cross);
    double *rest_plain = room((size_t)(m * width), sizeof *rest);
    memcpy(FKF_plain, FKF, (size_t)width * width * sizeof *FKF);
    memcpy(cross_plain, cross, (size_t)r * width * sizeof *cross);
    memcpy(rest_plain, rest, (size_t)(m * width) * sizeof *rest);
    double *FKF_size = absolute((int64_t)width * width, FKF),
           *cross_size = absolute(r * width, cross), *rest_size = absolute(m * width, rest);
    mf_border_cross(&made->border, &spread, FKF, cross, rest, work);

    double *F_size = absolute(m * width, F);
    for (int64_t j = 0; j < J; j++) {
        const double *A = made->A + j * k * k, *A_1r = made->A_1r + j * k * m,
                     *T = made->T + j * k * k, *B_j = B + j * k * r;
        double *F_1 = zeros((int64_t)k * width), *F_1_size;
        for (int32_t c = 0; c < k; c++)
            for (int32_t d = 0; d < k; d++) F_1[c * width + spread.own + c * k + d] = v[j * k + d];
        F_1_size = absolute((int64_t)k * width, F_1);
        double *A_size = absolute(k * k, A), *A_1r_size = absolute(k * m, A_1r),
               *T_size = absolute(k * k, T);
        double *B_size = absolute(k * r, B_j), *TB = product(k, k, r, T, 0, B_j, 0),
               *TB_size = product(k, k, r, T_size, 0, B_size, 0);
        /* A F and T A F, with the parts of both factors */
        double *AF = product(k, k, width, A, 0, F_1, 0),
               *AF_size = product(k, k, width, A_size, 0, F_1_size, 0);
        double *AF_r = product(k, m, width, A_1r, 0, F, 0),
               *AF_r_size = product(k, m, width, A_1r_size, 0, F_size, 0);
        double *own = product(width, k, width, F_1, 1, AF, 0),
               *own_size = product(width, k, width, F_1_size, 1, AF_size, 0);
        double *mixed = product(width, k, width, F_1, 1, AF_r, 0),
               *mixed_size = product(width, k, width, F_1_size, 1, AF_r_size, 0);
        add((int64_t)k * width, 1.0, AF_r, AF_r_size, AF, AF_size);
        double *TAF = product(k, k, width, T, 0, AF, 0),
               *TAF_size = product(k, k, width, T_size, 0, AF_size, 0);
        double *square = product(width, k, width, TAF, 1, TAF, 0),
               *square_size = product(width, k, width, TAF_size, 1, TAF_size, 0);
        add((int64_t)width * width, 1.0, own, own_size, FKF_plain, FKF_size);
        add((int64_t)width * width, 1.0, mixed, mixed_size, FKF_plain, FKF_size);
        for (int32_t s = 0; s < width; s++) /* and its mirror image */
            for (int32_t t = 0; t < width; t++)
                add(1, 1.0, mixed + t * width + s, mixed_size + t * width + s,
                    FKF_plain + s * width + t, FKF_size + s * width + t);
        add((int64_t)width * width, -1.0, square, square_size, FKF_plain, FKF_size);
        double *BF = product(r, k, width, B_j, 1, F_1, 0),
               *BF_size = product(r, k, width, B_size, 1, F_1_size, 0);
        double *UF = product(r, k, width, TB, 1, TAF, 0),
               *UF_size = product(r, k, width, TB_size, 1, TAF_size, 0);
        add((int64_t)r * width, 1.0, BF, BF_size, cross_plain, cross_size);
        add((int64_t)r * width, -1.0, UF, UF_size, cross_plain, cross_size);
        double *TA = product(k, k, m, T, 0, A_1r, 0),
               *TA_size = product(k, k, m, T_size, 0, A_1r_size, 0);
        double *up = product(m, k, width, A_1r, 1, F_1, 0),
               *up_size = product(m, k, width, A_1r_size, 1, F_1_size, 0);
        double *down = product(m, k, width, TA, 1, TAF, 0),
               *down_size = product(m, k, width, TA_size, 1, TAF_size, 0);
        add(m * width, 1.0, up, up_size, rest_plain, rest_size);
        add(m * width, -1.0, down, down_size, rest_plain, rest_size);
        double *all[] = {F_1, F_1_size, A_size, A_1r_size,   T_size, B_size,   TB,    TB_size,
                         AF,  AF_size,  AF_r,   AF_r_size,   own,    own_size, mixed, mixed_size,
                         TAF, TAF_size, square, square_size, BF,     BF_size,  UF,    UF_size,
                         TA,  TA_size,  up,     up_size,     down,   down_size};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    }
    /* the longest chain: k + m terms in A F, k in T, and k of each level in the sums; three
     * products added to each sum per level */
    double terms = (double)(2 * (k + m + k) + J * (k + 3));
    check((int64_t)width * width, FKF, FKF_plain, FKF_size, terms, "F'V^-1 F");
    check((int64_t)r * width, cross, cross_plain, cross_size, terms, "[X y]'V^-1 F");
    check(m * width, rest, rest_plain, rest_size, terms, "Z_r'V^-1 F");
    double *all[] = {TV,       B,          U,         v,         F,           work,
                     FKF,      cross,      rest,      FKF_plain, cross_plain, rest_plain,
                     FKF_size, cross_size, rest_size, F_size};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes in = stretched(data, size);
    problem made = {0};
    cut_into_levels(&in, &made);
    /* the kernel takes 1,024 levels in a run; so many are slow in plain algebra */
    int many = made.m <= 4 && below(&in, 128) == 0;
    fill_in(&in, &made, many ? 1025 + below(&in, 8) : 1 + below(&in, 5));
    find_T(&in, &made);
    check_cross(&in, &made);
    free_problem(&made);
    return 0;
}
