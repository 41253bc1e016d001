/* The kernels of mf_schur.h and mf_rest.h on borders of several components, against one dense
 * matrix. */
#include "problem.h"

/* Cut the work into parts, as threads do. */
static int64_t cut(bytes *in, int64_t end) { return below(in, end + 1); }

/* A_1r + sign A T'(T A_1r) (k,m) of one level; sign is -1 for the projection, 1 for its rounding
 * bound from sizes */
static double *projected(int32_t k, int64_t m, const double *A_1r, const double *A, const double *T,
                         const double *TA, double sign)
{
    double *TtTA = product(k, k, m, T, 1, TA, 0), *out = product(k, k, m, A, 0, TtTA, 0);
    for (int64_t i = 0; i < k * m; i++) out[i] = A_1r[i] + sign * out[i];
    free(TtTA);
    return out;
}

/* inverse'(I - X) inverse of each diagonal block X, for any lower triangles in place of lambda^-1,
 * one of each width */
static void check_k(bytes *in, const problem *made, const double *inv, const double *blocks)
{
    double *back = room(1 + 4 + 9, sizeof *back), *ours = room((size_t)made->blocks, sizeof *ours),
           *at = ours;
    int64_t m = made->m;
    for (int32_t width = 1, place = 0; width <= 3; place += width * width, width++) {
        double *own = lower_triangle(in, width);
        memcpy(back + place, own, (size_t)(width * width) * sizeof *own);
        free(own);
    }
    memcpy(ours, blocks, (size_t)made->blocks * sizeof *ours);
    mf_rest_blocks_k(&made->rest, back, ours);
    for (int64_t i = 0; i < made->L; i++) {
        int32_t k = made->k_level[i];
        double *own = room((size_t)(k * k), sizeof *own),
               *own_size = room((size_t)(k * k), sizeof *own);
        for (int32_t a = 0; a < k; a++)
            for (int32_t b = 0; b < k; b++) {
                int64_t row = made->first[i] + (a > b ? a : b),
                        column = made->first[i] + (a > b ? b : a);
                own[a * k + b] = (a == b) - inv[row * m + column];
                own_size[a * k + b] = (a == b) + fabs(inv[row * m + column]);
            }
        const double *B = back + made->lambda[i];
        double *B_size = absolute(k * k, B), *half = product(k, k, k, B, 1, own, 0),
               *K = product(k, k, k, half, 0, B, 0);
        double *half_size = product(k, k, k, B_size, 1, own_size, 0),
               *K_size = product(k, k, k, half_size, 0, B_size, 0);
        for (int32_t e = 0; e < k * k; e++, at++)
            require(rounded(*at, K[e], K_size[e]), "K of a level from the inverse");
        double *all[] = {own, own_size, B_size, half, K, half_size, K_size};
        for (size_t e = 0; e < sizeof all / sizeof *all; e++) free(all[e]);
    }
    free(ours);
    free(back);
}

static void check(bytes *in, problem *made)
{
    int32_t k = made->k, r = 1 + (int32_t)below(in, 3);
    int64_t J = made->J, m = made->m, nnz = made->ptr[J], Jk = J * k;
    double *TV = nothing(nnz * k), *H = nothing(nnz * k), *diagonal = nothing(m),
           *dense = zeros(made->size);
    for (int64_t row = 0; row < m; row++)
        for (int64_t column = row; column < m; column++)
            if (component_of(made, row) == component_of(made, column))
                *entry(made, dense, row, column) = made->A_rr[row * m + column];
    mf_border_scale(&made->border, made->T, TV);
    int64_t middle = cut(in, m);
    mf_schur_update(&made->border, TV, middle, m, dense);
    mf_schur_update(&made->border, TV, 0, middle, dense);

    /* T_j A_1r of each level. Beside each matrix: the same of sizes, which bounds its rounding
     * (LONGEST_CHAIN in dense.h) */
    double *T_size = absolute(J * k * k, made->T), *A_1r_size = absolute(Jk * m, made->A_1r),
           *A_rr_size = absolute(m * m, made->A_rr);
    double *TA = each_level(J, k, m, made->T, made->A_1r),
           *TA_size = each_level(J, k, m, T_size, A_1r_size);
    double *S = product(m, Jk, m, TA, 1, TA, 0),
           *S_size = product(m, Jk, m, TA_size, 1, TA_size, 0);
    for (int64_t i = 0; i < m * m; i++) S[i] = made->A_rr[i] - S[i], S_size[i] += A_rr_size[i];
    for (int64_t row = 0; row < m; row++)
        for (int64_t column = row; column < m; column++)
            if (component_of(made, row) == component_of(made, column))
                require(rounded(*entry(made, dense, row, column), S[row * m + column],
                                S_size[row * m + column]),
                        "S");

    /* lambda'S lambda + I below, S above */
    double *Lambda = zeros(m * m);
    for (int64_t i = 0; i < made->L; i++)
        for (int32_t a = 0; a < made->k_level[i]; a++)
            for (int32_t b = 0; b < made->k_level[i]; b++)
                Lambda[(made->first[i] + a) * m + made->first[i] + b] =
                    made->lambdas[made->lambda[i] + a * made->k_level[i] + b];
    middle = cut(in, made->L);
    mf_rest_scale(&made->rest, 0, middle, dense, diagonal);
    mf_rest_scale(&made->rest, middle, made->L, dense, diagonal);
    double *half = product(m, m, m, Lambda, 1, S, 0), *M = product(m, m, m, half, 0, Lambda, 0);
    double *Lambda_size = absolute(m * m, Lambda),
           *half_size = product(m, m, m, Lambda_size, 1, S_size, 0);
    double *M_size = product(m, m, m, half_size, 0, Lambda_size, 0);
    for (int64_t row = 0; row < m; row++) {
        M[row * m + row] += 1.0;
        M_size[row * m + row] += 1.0;
        require(rounded(diagonal[row], S[row * m + row], S_size[row * m + row]),
                "the diagonal of S");
        for (int64_t column = 0; column <= row; column++)
            if (component_of(made, row) == component_of(made, column))
                require(rounded(*entry(made, dense, row, column), M[row * m + column],
                                M_size[row * m + column]),
                        "lambda'S lambda + I");
    }

    /* LAPACK puts the inverse below the diagonal; here plain algebra does. Where M is nearly
     * singular its two triangles differ by more than the rounding of products, so that the lower
     * one is copied to the upper one */
    double *inv = inverse(m, M);
    for (int64_t row = 0; row < m; row++)
        for (int64_t column = 0; column < row; column++)
            inv[column * m + row] = inv[row * m + column];
    double *before = product(m, m, m, Lambda, 0, inv, 0),
           *Q = product(m, m, m, before, 0, Lambda, 1);
    for (int64_t row = 0; row < m; row++)
        for (int64_t column = 0; column <= row; column++)
            if (component_of(made, row) == component_of(made, column))
                *entry(made, dense, row, column) = inv[row * m + column];
    double *inv_size = absolute(m * m, inv),
           *before_size = product(m, m, m, Lambda_size, 0, inv_size, 0);
    double *Q_size = product(m, m, m, before_size, 0, Lambda_size, 1);
    double *blocks = nothing(made->blocks), *at = blocks;
    mf_rest_extract_blocks(&made->rest, dense, blocks);
    for (int64_t i = 0; i < made->L; i++)
        for (int32_t a = 0; a < made->k_level[i]; a++)
            for (int32_t b = 0; b < made->k_level[i]; b++, at++) {
                int64_t row = made->first[i] + (a > b ? a : b),
                        column = made->first[i] + (a > b ? b : a);
                require(*at == inv[row * m + column], "a block of the inverse");
            }
    check_k(in, made, inv, blocks);
    middle = cut(in, made->L);
    mf_rest_sandwich(&made->rest, middle, made->L, dense);
    mf_rest_sandwich(&made->rest, 0, middle, dense);
    for (int64_t row = 0; row < m; row++)
        for (int64_t column = 0; column <= row; column++)
            if (component_of(made, row) == component_of(made, column))
                require(rounded(*entry(made, dense, row, column), Q[row * m + column],
                                Q_size[row * m + column]),
                        "Q");

    uint8_t *wanted = room((size_t)made->L, 1);
    double *work = nothing(2 * m), *SQ = product(m, m, m, S, 0, Q, 0),
           *SQS = product(m, m, m, SQ, 0, S, 0);
    double *SQ_size = product(m, m, m, S_size, 0, Q_size, 0),
           *SQS_size = product(m, m, m, SQ_size, 0, S_size, 0);
    for (int64_t i = 0; i < made->L; i++) wanted[i] = (uint8_t)below(in, 2);
    mf_rest_blocks_k_singular(&made->rest, dense, diagonal, wanted, blocks, work);
    at = blocks;
    for (int64_t i = 0; i < made->L; i++)
        for (int32_t a = 0; a < made->k_level[i]; a++)
            for (int32_t b = 0; b < made->k_level[i]; b++, at++) {
                int64_t place = (made->first[i] + a) * m + made->first[i] + b;
                if (wanted[i])
                    require(rounded(*at, S[place] - SQS[place], S_size[place] + SQS_size[place]),
                            "a block of S - SQS");
            }

    /* lambda' times rows, written as columns; and lambda times columns, written as rows */
    double *rows = numbers(in, m * r), *turned = nothing(m * r),
           *scaled = product(m, m, r, Lambda, 1, rows, 0);
    mf_rest_multiply_lambda_t(&made->rest, r, rows, turned);
    for (int64_t i = 0; i < m; i++)
        for (int32_t c = 0; c < r; c++)
            require(turned[i + c * m] == scaled[i * r + c], "lambda' rows");
    double *columns = numbers(in, m * r), *back_again = nothing(m * r),
           *plain = product(m, m, r, Lambda, 0, columns, 0);
    for (int64_t i = 0; i < m; i++)
        for (int32_t c = 0; c < r; c++) turned[i + c * m] = columns[i * r + c];
    mf_rest_multiply_lambda(&made->rest, r, turned, back_again);
    equal(m * r, back_again, plain, "lambda columns");

    /* right-hand sides of the rest and of the eliminated levels */
    double *U = numbers(in, Jk * r), *rest = numbers(in, m * r),
           *expected = product(m, Jk, r, TA, 1, U, 0);
    double *U_size = absolute(Jk * r, U), *expected_size = product(m, Jk, r, TA_size, 1, U_size, 0);
    for (int64_t i = 0; i < m * r; i++)
        expected[i] = rest[i] - expected[i], expected_size[i] += fabs(rest[i]);
    mf_schur_rhs(&made->border, TV, r, U, rest);
    for (int64_t i = 0; i < m * r; i++)
        require(rounded(rest[i], expected[i], expected_size[i]), "the right side of the rest");
    double *back = nothing(Jk * r), *AW = product(Jk, m, r, made->A_1r, 0, rest, 0);
    double *rest_size = absolute(m * r, rest),
           *AW_size = product(Jk, m, r, A_1r_size, 0, rest_size, 0);
    mf_border_back_substitute(&made->border, r, U, rest, back);
    for (int64_t i = 0; i < Jk * r; i++)
        require(rounded(back[i], U[i] - AW[i], U_size[i] + AW_size[i]), "B - A_1r W");
    mf_border_back_substitute(&made->border, r, U, rest, U); /* in place */
    for (int64_t i = 0; i < Jk * r; i++) require(U[i] == back[i], "B - A_1r W in place");

    mf_border_project(&made->border, made->A, made->T, TV, H);
    double *K = zeros(J * k * k), *A_size = absolute(J * k * k, made->A);
    middle = cut(in, J);
    mf_border_subtract_k(&made->border, H, dense, middle, J, K);
    mf_border_subtract_k(&made->border, H, dense, 0, middle, K);
    for (int64_t j = 0; j < J; j++) {
        double *full = projected(k, m, made->A_1r + j * k * m, made->A + j * k * k,
                                 made->T + j * k * k, TA + j * k * m, -1.0);
        double *size = projected(k, m, A_1r_size + j * k * m, A_size + j * k * k,
                                 T_size + j * k * k, TA_size + j * k * m, 1.0);
        for (int64_t i = made->ptr[j]; i < made->ptr[j + 1]; i++)
            for (int32_t a = 0; a < k; a++)
                require(
                    rounded(H[i * k + a], full[a * m + made->cols[i]], size[a * m + made->cols[i]]),
                    "H");
        double *HQ = product(k, m, m, full, 0, Q, 0), *HQH = product(k, m, k, HQ, 0, full, 1);
        double *HQ_size = product(k, m, m, size, 0, Q_size, 0),
               *HQH_size = product(k, m, k, HQ_size, 0, size, 1);
        for (int64_t i = 0; i < k * k; i++)
            require(rounded(K[j * k * k + i], -HQH[i], HQH_size[i]), "K - H Q H'");
        double *own[] = {full, size, HQ, HQH, HQ_size, HQH_size};
        for (size_t i = 0; i < sizeof own / sizeof *own; i++) free(own[i]);
    }
    double *all[] = {
        TV,       H,           diagonal,      dense,     TA,       S,           Lambda,    half,
        M,        inv,         before,        Q,         blocks,   work,        SQ,        SQS,
        U,        rest,        expected,      back,      AW,       K,           rows,      turned,
        scaled,   columns,     back_again,    plain,     T_size,   A_1r_size,   A_rr_size, TA_size,
        S_size,   Lambda_size, half_size,     M_size,    inv_size, before_size, Q_size,    SQ_size,
        SQS_size, U_size,      expected_size, rest_size, AW_size,  A_size};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(wanted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes in = {data, size, 0};
    problem made = {0};
    cut_into_levels(&in, &made);
    fill_in(&in, &made, 1 + below(&in, 5));
    find_T(&in, &made);
    check(&in, &made);
    free_problem(&made);
    return 0;
}
