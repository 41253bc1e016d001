#include "mf_crossprod.h"

#include "mf_dispatch.h"
#include "mf_portable.h"

/* Adds the dot products of two columns with four to out[2][4]. Every column read from cache serves several
 * products, and eight independent chains of additions keep the processor busy. */
MF_INLINE void add_block(const double *const a[2], const double *const b[4], int count, double out[2][4])
{
    double sums[8][MF_LANES] = {{0}};
    ptrdiff_t t = 0, whole = count / MF_LANES * MF_LANES;
    for (; t < whole; t += MF_LANES) {
        const double *a0 = a[0] + t, *a1 = a[1] + t, *b0 = b[0] + t, *b1 = b[1] + t, *b2 = b[2] + t, *b3 = b[3] + t;
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

/* The tile that comes next. Memory is asked for it between the sums of this one, a little at a time: for all at once it has no
 * room, and sums that come after would wait for it. */
typedef struct {
    const mf_column *columns;
    int32_t n_columns;
    int64_t first;
    int count;
} upcoming;

/* Blocks of two columns by four cover the lower triangle; where there are fewer left the last one stands in
 * for those missing, and its sums are dropped. */
MF_CLONES static void add_gram(const double *tile, int count, const int32_t *gram, int32_t n_gram, double *sums,
                               const upcoming *next)
{
    int64_t asked = 0;
    for (int32_t i = 0; i < n_gram; i += 2) {
        int rows = n_gram - i < 2 ? 1 : 2;
        const double *a[2], *b[4];
        int64_t end = (int64_t)next->n_columns * (i + rows) / n_gram;
        for (; asked < end; asked++) mf_prefetch(&next->columns[asked], next->first, next->count);
        for (int k = 0; k < 2; k++) a[k] = tile + (size_t)gram[k < rows ? i + k : i] * MF_TILE;
        for (int32_t j = 0; j < i + rows; j += 4) {
            int columns = n_gram - j < 4 ? n_gram - j : 4;
            double out[2][4] = {{0}};
            for (int k = 0; k < 4; k++) b[k] = tile + (size_t)gram[k < columns ? j + k : j] * MF_TILE;
            add_block(a, b, count, out);
            for (int k = 0; k < rows; k++)
                for (int l = 0; l < columns; l++) sums[(size_t)(i + k) * n_gram + j + l] += out[k][l];
        }
    }
}

/* Rows of few columns out of a tile of columns, so that one row is added to its level's sums in one go. */
MF_CLONES static void to_rows(const double *tile, int count, const int32_t *columns, int32_t n, double *rows)
{
    int32_t width = MF_PADDED(n);
    for (int32_t c = 0; c < width; c += MF_PAD) {
        const double *in[MF_PAD];
        for (int k = 0; k < MF_PAD; k++) in[k] = tile + (size_t)columns[c + k < n ? c + k : n - 1] * MF_TILE;
        double *out = rows + c;
        for (int t = 0; t < count; t++, out += width)
            for (int k = 0; k < MF_PAD; k++) out[k] = in[k][t];
    }
}

#define AHEAD 12 /* rows between asking for a level's sums and adding to them: the time memory needs */

/* `known`: codes there are from `codes` on, those of later rows of the tile too. */
MF_INLINE void add_rows_body(const int32_t *MF_RESTRICT codes, const double *MF_RESTRICT rows, int count, int known,
                             int32_t stride, int32_t n_left, const int32_t *MF_RESTRICT left, int32_t width,
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

#define ADD_ROWS(N_LEFT, WIDTH) \
    add_rows_body(codes, rows, count, known, stride, N_LEFT, group->left, WIDTH, group->sums)
#define ADD_ROWS_OF(WIDTH) DISPATCH(group->n_left, ADD_ROWS(K, WIDTH))

/* Written once for any numbers of columns; constant ones let the compiler unroll. */
MF_CLONES static void add_rows(const mf_group *group, const int32_t *codes, const double *rows, int count, int known)
{
    int32_t width = MF_SUMS(group->n_right), stride = MF_PADDED(group->n_columns);
    switch (width) {
    case 1: ADD_ROWS_OF(1); break;
    case 2: ADD_ROWS_OF(2); break;
    case 4: ADD_ROWS_OF(4); break;
    case 8: ADD_ROWS_OF(8); break;
    case 12: ADD_ROWS_OF(12); break;
    case 16: ADD_ROWS_OF(16); break;
    default: ADD_ROWS(group->n_left, width);
    }
}

/* Rows of one level that follow each other are summed in registers. */
MF_CLONES static void add_runs(const mf_group *group, const int32_t *codes, const double *tile, int count)
{
    int32_t width = MF_SUMS(group->n_right);
    for (int from = 0, to; from < count; from = to) {
        for (to = from + 1; to < count && codes[to] == codes[from];) to++;
        double *sums = group->sums + (size_t)codes[from] * group->n_left * width;
        for (int32_t i = 0; i < group->n_left; i += 2) {
            int n_rows = group->n_left - i < 2 ? 1 : 2;
            const double *a[2], *b[4];
            for (int k = 0; k < 2; k++)
                a[k] = tile + (size_t)group->columns[group->left[k < n_rows ? i + k : i]] * MF_TILE + from;
            for (int32_t j = 0; j < group->n_right; j += 4) {
                int n_sums = width - j < 4 ? width - j : 4;
                double out[2][4] = {{0}};
                for (int k = 0; k < 4; k++)
                    b[k] = tile + (size_t)group->columns[j + k < group->n_right ? j + k : j] * MF_TILE + from;
                add_block(a, b, to - from, out);
                for (int k = 0; k < n_rows; k++)
                    for (int l = 0; l < n_sums; l++) sums[(size_t)(i + k) * width + j + l] += out[k][l];
            }
        }
    }
}

#define LONG_RUN 8 /* rows a level must have in a row, on average, before runs are worth looking at */

/* How often the level changes within the tile, or -1 for a code outside its range. */
MF_CLONES static int changes(const int32_t *codes, int count, int64_t n_levels)
{
    uint32_t end = n_levels > INT32_MAX ? (uint32_t)1 << 31 : (uint32_t)n_levels; /* negative codes are beyond it */
    uint32_t bad = (uint32_t)codes[0] >= end;
    int32_t found = 1;
    for (int t = 1; t < count; t++) {
        bad |= (uint32_t)codes[t] >= end;
        found += codes[t] != codes[t - 1];
    }
    return bad ? -1 : found;
}

/* The cell of each row of the tile: one factor's own codes, or several factors' put together in `cells`. NULL for
 * a code outside its range; `found` is how often the cell changes. */
MF_CLONES static const int32_t *cells_of(const mf_group *group, int64_t start, int count, int32_t *cells, int *found)
{
    const int32_t *codes = group->codes[0] + start;
    *found = changes(codes, count, group->n_levels[0]);
    if (*found < 0 || group->n_codes == 1) return *found < 0 ? NULL : codes;
    for (int t = 0; t < count; t++) cells[t] = codes[t];
    for (int32_t i = 1; i < group->n_codes; i++) {
        const int32_t *more = group->codes[i] + start;
        if (changes(more, count, group->n_levels[i]) < 0) return NULL;
        int32_t size = (int32_t)group->n_levels[i];
        for (int t = 0; t < count; t++) cells[t] = cells[t] * size + more[t];
    }
    *found = changes(cells, count, INT32_MAX);
    return cells;
}

static int smaller(int64_t a, int64_t b) { return (int)(a < b ? a : b); }

#define PART 32 /* rows added between two questions to memory */

/* The rows of a tile added to the sums of their levels. */
static void add_parts(const mf_group *group, const int32_t *codes, const double *tile, int count, double *rows,
                      const upcoming *next)
{
    for (int at = 0; at < count; at += PART) {
        int part = smaller(count - at, PART), wanted = smaller(next->count - at, PART);
        if (wanted > 0) {
            for (int32_t c = 0; c < next->n_columns; c++) mf_prefetch(&next->columns[c], next->first + at, wanted);
            for (int32_t i = 0; i < group->n_codes; i++)
                for (int t = 0; t < wanted; t += 16) MF_PREFETCH_LINE(group->codes[i] + next->first + at + t);
        }
        to_rows(tile + at, part, group->columns, group->n_columns, rows);
        add_rows(group, codes + at, rows, part, count - at);
    }
}

int mf_crossprod(const mf_column *columns, int32_t n_columns, int64_t first, int64_t last,
                 const double *sqrt_weights, const int32_t *gram, int32_t n_gram, double *gram_sums,
                 const mf_group *groups, int32_t n_groups, double *work)
{
    double *tile = work, *rows = work + (size_t)n_columns * MF_TILE;
    const upcoming nothing = {columns, 0, last, 0};
    int by_rows = 0; /* whether the rows of the last tile were added one by one: then there is most to do */
    for (int64_t start = first; start < last; start += MF_TILE) {
        int count = smaller(last - start, MF_TILE);
        upcoming next = {columns, n_columns, start + count, smaller(last - start - count, MF_TILE)};
        for (int32_t c = 0; c < n_columns; c++) {
            int status = mf_evaluate(&columns[c], NULL, start, count, sqrt_weights, tile + (size_t)c * MF_TILE);
            if (status) return status;
        }
        add_gram(tile, count, gram, n_gram, gram_sums, by_rows ? &nothing : &next);
        if (!by_rows) next = nothing;
        by_rows = 0;
        for (int32_t g = 0; g < n_groups; g++) {
            int32_t cells[MF_TILE];
            int found;
            const int32_t *codes = cells_of(&groups[g], start, count, cells, &found);
            if (codes == NULL) return MF_BAD_CODE;
            if ((int64_t)found * LONG_RUN <= count) {
                add_runs(&groups[g], codes, tile, count);
            } else {
                add_parts(&groups[g], codes, tile, count, rows, &next);
                next = nothing;
                by_rows = 1;
            }
        }
    }
    for (int32_t i = 0; i < n_gram; i++)
        for (int32_t j = 0; j < i; j++) gram_sums[(size_t)j * n_gram + i] = gram_sums[(size_t)i * n_gram + j];
    return MF_OK;
}

void mf_select_sums(const double *const *parts, int32_t n_parts, int64_t n_levels, int32_t all_rows, int32_t width,
               int32_t first_row, int32_t n_rows, const int32_t *columns, int32_t n_columns, double *out)
{
    for (int64_t j = 0; j < n_levels; j++)
        for (int32_t a = 0; a < n_rows; a++, out += n_columns) {
            size_t at = ((size_t)j * all_rows + first_row + a) * width;
            for (int32_t c = 0; c < n_columns; c++) out[c] = parts[0][at + columns[c]];
            for (int32_t p = 1; p < n_parts; p++)
                for (int32_t c = 0; c < n_columns; c++) out[c] += parts[p][at + columns[c]];
        }
}
