#include "mf_crossprod.h"

#include "mf_dispatch.h"
#include "mf_portable.h"

/* Rows between loading the sums of a level and adding to them: the time that memory needs. */
#define AHEAD 12

/* Rows added between two requests to memory. */
#define PART 32

/* Consecutive rows that a level must have on average before runs pay. */
#define LONG_RUN 8

static int smaller(int64_t a, int64_t b) { return (int)(a < b ? a : b); }

/* Add the dot products of two columns with four to out[2][4]. Every column read from the cache
 * serves several products, and eight independent chains of additions keep the processor busy. */
MF_INLINE void add_block(const double *const a[2], const double *const b[4], int count,
                         double out[2][4])
{
    double sums[8][MF_LANES] = {{0}};
    ptrdiff_t t = 0, whole = count / MF_LANES * MF_LANES;
    for (; t < whole; t += MF_LANES) {
        const double *a0 = a[0] + t, *a1 = a[1] + t;
        const double *b0 = b[0] + t, *b1 = b[1] + t, *b2 = b[2] + t, *b3 = b[3] + t;
        for (int l = 0; l < MF_LANES; l++) {
            double x = a0[l], y = a1[l], p = b0[l], q = b1[l], r = b2[l], s = b3[l];
            sums[0][l] += x * p;
            sums[1][l] += x * q;
            sums[2][l] += x * r;
            sums[3][l] += x * s;
            sums[4][l] += y * p;
            sums[5][l] += y * q;
            sums[6][l] += y * r;
            sums[7][l] += y * s;
        }
    }
    for (int l = 0; t < count; t++, l++)
        for (int k = 0; k < 8; k++) sums[k][l] += a[k / 4][t] * b[k % 4][t];
    for (int k = 0; k < 8; k++) {
        double *s = sums[k];
        out[k / 4][k % 4] += ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
    }
}

static const double *column_of(const double *tile, int32_t column)
{
    return tile + (size_t)column * MF_TILE;
}

/* The next tile. It is loaded from memory between the sums of this one, a little at a time: memory
 * takes only so many requests at once, and the sums that follow would wait. */
typedef struct {
    const mf_column *columns;
    int32_t n_columns;
    int64_t first;
    int count;
} upcoming;

/* Blocks of two columns by four cover the lower triangle. Where fewer columns are left, one of them
 * stands in for the missing ones, and those sums are dropped. */
MF_CLONES static void add_gram(const double *tile, int count, const int32_t *gram, int32_t n_gram,
                               double *sums, const upcoming *next)
{
    int64_t fetched = 0;
    for (int32_t i = 0; i < n_gram; i += 2) {
        int rows = n_gram - i < 2 ? 1 : 2;
        const double *a[2], *b[4];
        int64_t end = (int64_t)next->n_columns * (i + rows) / n_gram;
        for (; fetched < end; fetched++)
            mf_prefetch(&next->columns[fetched], next->first, next->count);
        for (int k = 0; k < 2; k++) a[k] = column_of(tile, gram[k < rows ? i + k : i]);
        for (int32_t j = 0; j < i + rows; j += 4) {
            int columns = n_gram - j < 4 ? n_gram - j : 4;
            double out[2][4] = {{0}};
            for (int k = 0; k < 4; k++) b[k] = column_of(tile, gram[k < columns ? j + k : j]);
            add_block(a, b, count, out);
            for (int k = 0; k < rows; k++) {
                double *row = sums + (size_t)(i + k) * n_gram + j;
                for (int l = 0; l < columns; l++) row[l] += out[k][l];
            }
        }
    }
}

/* Transpose some columns of a tile to rows, so that one row is added to the sums of its level in
 * one go. */
MF_CLONES static void to_rows(const double *tile, int count, const int32_t *columns, int32_t n,
                              double *rows)
{
    int32_t width = MF_PADDED(n);
    for (int32_t c = 0; c < width; c += MF_PAD) {
        const double *in[MF_PAD];
        for (int k = 0; k < MF_PAD; k++)
            in[k] = column_of(tile, columns[c + k < n ? c + k : n - 1]);
        double *out = rows + c;
        for (int t = 0; t < count; t++, out += width)
            for (int k = 0; k < MF_PAD; k++) out[k] = in[k][t];
    }
}

/* Add rows to the sums of their levels, one by one. `known`: how many codes follow `codes`, those
 * of later rows of the tile included. */
MF_INLINE void add_rows_body(const int32_t *MF_RESTRICT codes, const double *MF_RESTRICT rows,
                             int count, int known, int32_t stride, int32_t n_left,
                             const int32_t *MF_RESTRICT left, int32_t width,
                             double *MF_RESTRICT all)
{
    size_t size = (size_t)n_left * width;
    for (int t = 0; t < count; t++, rows += stride) {
        if (t + AHEAD < known) {
            const double *next = all + (size_t)codes[t + AHEAD] * size;
            for (size_t at = 0; at < size; at += 8) MF_PREFETCH_LINE(next + at);
        }
        double *MF_RESTRICT sums = all + (size_t)codes[t] * size;
        for (int32_t a = 0; a < n_left; a++, sums += width) {
            double z = rows[left[a]];
            for (int32_t b = 0; b < width; b++) sums[b] += z * rows[b];
        }
    }
}

MF_INLINE void add_rows_of_width(const mf_group *group, const int32_t *codes, const double *rows,
                                 int count, int known, int32_t width)
{
    int32_t stride = MF_PADDED(group->n_columns);
    MF_DISPATCH(
        group->n_left, K,
        add_rows_body(codes, rows, count, known, stride, K, group->left, width, group->sums));
}

/* Constant widths let the compiler unroll. */
MF_CLONES static void add_rows(const mf_group *group, const int32_t *codes, const double *rows,
                               int count, int known)
{
    int32_t width = MF_SUMS(group->n_right);
    switch (width) {
    case 1: add_rows_of_width(group, codes, rows, count, known, 1); break;
    case 2: add_rows_of_width(group, codes, rows, count, known, 2); break;
    case 4: add_rows_of_width(group, codes, rows, count, known, 4); break;
    case 8: add_rows_of_width(group, codes, rows, count, known, 8); break;
    case 12: add_rows_of_width(group, codes, rows, count, known, 12); break;
    case 16: add_rows_of_width(group, codes, rows, count, known, 16); break;
    default:
        add_rows_body(codes, rows, count, known, MF_PADDED(group->n_columns), group->n_left,
                      group->left, width, group->sums);
    }
}

/* Consecutive rows of one level are summed in registers. */
MF_CLONES static void add_runs(const mf_group *group, const int32_t *codes, const double *tile,
                               int count)
{
    int32_t width = MF_SUMS(group->n_right), n_left = group->n_left, n_right = group->n_right;
    for (int from = 0, to; from < count; from = to) {
        for (to = from + 1; to < count && codes[to] == codes[from];) to++;
        double *sums = group->sums + (size_t)codes[from] * n_left * width;
        for (int32_t i = 0; i < n_left; i += 2) {
            int n_rows = n_left - i < 2 ? 1 : 2;
            const double *a[2], *b[4];
            for (int k = 0; k < 2; k++) {
                int32_t left = group->left[k < n_rows ? i + k : i];
                a[k] = column_of(tile, group->columns[left]) + from;
            }
            for (int32_t j = 0; j < n_right; j += 4) {
                int n_sums = width - j < 4 ? width - j : 4;
                double out[2][4] = {{0}};
                for (int k = 0; k < 4; k++)
                    b[k] = column_of(tile, group->columns[j + k < n_right ? j + k : j]) + from;
                add_block(a, b, to - from, out);
                for (int k = 0; k < n_rows; k++) {
                    double *row = sums + (size_t)(i + k) * width + j;
                    for (int l = 0; l < n_sums; l++) row[l] += out[k][l];
                }
            }
        }
    }
}

/* Number of runs of equal codes in the tile, or -1 when a code lies outside its range. */
MF_CLONES static int count_runs(const int32_t *codes, int count, int64_t n_levels)
{
    /* negative codes are large as unsigned numbers */
    uint32_t end = n_levels > INT32_MAX ? (uint32_t)1 << 31 : (uint32_t)n_levels;
    uint32_t bad = (uint32_t)codes[0] >= end;
    int32_t runs = 1;
    for (int t = 1; t < count; t++) {
        bad |= (uint32_t)codes[t] >= end;
        runs += codes[t] != codes[t - 1];
    }
    return bad ? -1 : runs;
}

/* The cell of each row of the tile: the codes of a single factor, or the codes of several factors
 * combined in `cells`. NULL when a code lies outside its range; `runs` counts runs of one cell. */
MF_CLONES static const int32_t *cells_of(const mf_group *group, int64_t start, int count,
                                         int32_t *cells, int *runs)
{
    const int32_t *codes = group->codes[0] + start;
    *runs = count_runs(codes, count, group->n_levels[0]);
    if (*runs < 0 || group->n_codes == 1) return *runs < 0 ? NULL : codes;
    for (int t = 0; t < count; t++) cells[t] = codes[t];
    for (int32_t i = 1; i < group->n_codes; i++) {
        const int32_t *more = group->codes[i] + start;
        if (count_runs(more, count, group->n_levels[i]) < 0) return NULL;
        int32_t size = (int32_t)group->n_levels[i];
        for (int t = 0; t < count; t++) cells[t] = cells[t] * size + more[t];
    }
    *runs = count_runs(cells, count, INT32_MAX);
    return cells;
}

/* Load rows at .. at + wanted - 1 of the next tile: its columns and the codes of the group. */
static void prefetch_part(const mf_group *group, const upcoming *next, int at, int wanted)
{
    for (int32_t c = 0; c < next->n_columns; c++)
        mf_prefetch(&next->columns[c], next->first + at, wanted);
    for (int32_t i = 0; i < group->n_codes; i++)
        for (int t = 0; t < wanted; t += 16)
            MF_PREFETCH_LINE(group->codes[i] + next->first + at + t);
}

/* Add the rows of a tile to the sums of their levels. */
static void add_parts(const mf_group *group, const int32_t *codes, const double *tile, int count,
                      double *rows, const upcoming *next)
{
    for (int at = 0; at < count; at += PART) {
        int part = smaller(count - at, PART), wanted = smaller(next->count - at, PART);
        if (wanted > 0) prefetch_part(group, next, at, wanted);
        to_rows(tile + at, part, group->columns, group->n_columns, rows);
        add_rows(group, codes + at, rows, part, count - at);
    }
}

mf_status mf_crossprod(const mf_column *columns, int32_t n_columns, int64_t first, int64_t last,
                       const double *sqrt_weights, const int32_t *gram, int32_t n_gram,
                       double *gram_sums, const mf_group *groups, int32_t n_groups, double *work)
{
    double *tile = work, *rows = work + (size_t)n_columns * MF_TILE;
    const upcoming nothing = {columns, 0, last, 0};
    /* Whether the rows of the last tile were added one by one: that is the longest step, and the
     * next tile is loaded during it. */
    int by_rows = 0;
    for (int64_t start = first; start < last; start += MF_TILE) {
        int count = smaller(last - start, MF_TILE);
        int64_t end = start + count;
        upcoming next = {columns, n_columns, end, smaller(last - end, MF_TILE)};
        for (int32_t c = 0; c < n_columns; c++) {
            double *out = tile + (size_t)c * MF_TILE;
            mf_status status = mf_evaluate(&columns[c], NULL, start, count, sqrt_weights, out);
            if (status) return status;
        }
        add_gram(tile, count, gram, n_gram, gram_sums, by_rows ? &nothing : &next);
        if (!by_rows) next = nothing;
        by_rows = 0;
        for (int32_t g = 0; g < n_groups; g++) {
            int32_t cells[MF_TILE];
            int runs;
            const int32_t *codes = cells_of(&groups[g], start, count, cells, &runs);
            if (codes == NULL) return MF_BAD_CODE;
            if ((int64_t)runs * LONG_RUN <= count) {
                add_runs(&groups[g], codes, tile, count);
            } else {
                add_parts(&groups[g], codes, tile, count, rows, &next);
                next = nothing;
                by_rows = 1;
            }
        }
    }
    for (int32_t i = 0; i < n_gram; i++)
        for (int32_t j = 0; j < i; j++)
            gram_sums[(size_t)j * n_gram + i] = gram_sums[(size_t)i * n_gram + j];
    return MF_OK;
}

void mf_select_sums(const double *const *parts, int32_t n_parts, int64_t n_levels, int32_t all_rows,
                    int32_t width, int32_t first_row, int32_t n_rows, const int32_t *columns,
                    int32_t n_columns, double *out)
{
    for (int64_t j = 0; j < n_levels; j++)
        for (int32_t a = 0; a < n_rows; a++, out += n_columns) {
            size_t at = ((size_t)j * all_rows + first_row + a) * width;
            for (int32_t c = 0; c < n_columns; c++) out[c] = parts[0][at + columns[c]];
            for (int32_t p = 1; p < n_parts; p++)
                for (int32_t c = 0; c < n_columns; c++) out[c] += parts[p][at + columns[c]];
        }
}
