#include "mf_schur.h"

#include <assert.h>
#include <string.h>

#include "mf_dispatch.h"
#include "mf_levels.h"

/* Where the block of the component that level j touches begins in `dense`; `size` is its order,
 * `first` the column of the rest that it begins with. */
static int64_t locate_block(const mf_border *border, int64_t j, int64_t *size, int64_t *first)
{
    int32_t c = border->component[j];
    *first = border->start[c];
    *size = border->start[c + 1] - *first;
    return border->offset[c];
}

MF_INLINE void scale_body(const mf_border *border, int32_t k, const double *T, double *TV)
{
    for (int64_t j = 0; j < border->n_levels; j++, T += k * k)
        for (int64_t i = border->ptr[j]; i < border->ptr[j + 1]; i++) {
            const double *v = border->vals + i * k;
            for (int32_t a = 0; a < k; a++) {
                double sum = 0.0;
                for (int32_t b = 0; b < k; b++) sum += T[a * k + b] * v[b];
                TV[i * k + a] = sum;
            }
        }
}

void mf_border_scale(const mf_border *border, const double *T, double *TV)
{
    MF_DISPATCH(border->k, K, scale_body(border, K, T, TV));
}

/* The first of lo .. hi whose column is not below `column`. */
static int64_t from_column(const int32_t *cols, int64_t lo, int64_t hi, int64_t column)
{
    while (lo < hi) {
        int64_t middle = lo + (hi - lo) / 2;
        if (cols[middle] < column) lo = middle + 1;
        else hi = middle;
    }
    return lo;
}

MF_INLINE void update_body(const mf_border *border, int32_t k, const double *TV,
                           int64_t first_column, int64_t last_column, double *dense)
{
    for (int64_t j = 0; j < border->n_levels; j++) {
        int64_t size, first;
        double *S = dense + locate_block(border, j, &size, &first);
        int64_t lo = border->ptr[j], hi = border->ptr[j + 1];
        int64_t end = from_column(border->cols, lo, hi, last_column);
        for (int64_t right = from_column(border->cols, lo, end, first_column); right < end;
             right++) {
            double *column = S + (border->cols[right] - first) * size - first;
            const double *r = TV + right * k;
            if (k == 1) {
                for (int64_t left = lo; left <= right; left++)
                    column[border->cols[left]] -= TV[left] * *r;
            } else {
                for (int64_t left = lo; left <= right; left++) {
                    double sum = 0.0;
                    for (int32_t a = 0; a < k; a++) sum += TV[left * k + a] * r[a];
                    column[border->cols[left]] -= sum;
                }
            }
        }
    }
}

void mf_schur_update(const mf_border *border, const double *TV, int64_t first_column,
                     int64_t last_column, double *dense)
{
    MF_DISPATCH(border->k, K, update_body(border, K, TV, first_column, last_column, dense));
}

MF_INLINE void rhs_body(const mf_border *border, int32_t k, const double *TV, int32_t r,
                        const double *U, double *MF_RESTRICT rest)
{
    for (int64_t j = 0; j < border->n_levels; j++)
        for (int64_t i = border->ptr[j]; i < border->ptr[j + 1]; i++) {
            double *row = rest + (int64_t)border->cols[i] * r;
            for (int32_t a = 0; a < k; a++) {
                const double *u = U + (j * k + a) * r;
                for (int32_t c = 0; c < r; c++) row[c] -= TV[i * k + a] * u[c];
            }
        }
}

void mf_schur_rhs(const mf_border *border, const double *TV, int32_t r, const double *U,
                  double *rest)
{
    MF_DISPATCH(border->k, K, rhs_body(border, K, TV, r, U, rest));
}

MF_INLINE void back_substitute_body(const mf_border *border, int32_t k, int32_t r, const double *W,
                                    double *MF_RESTRICT out)
{
    for (int64_t j = 0; j < border->n_levels; j++)
        for (int64_t i = border->ptr[j]; i < border->ptr[j + 1]; i++) {
            const double *w = W + (int64_t)border->cols[i] * r;
            for (int32_t a = 0; a < k; a++) {
                double *row = out + (j * k + a) * r;
                for (int32_t c = 0; c < r; c++) row[c] -= border->vals[i * k + a] * w[c];
            }
        }
}

void mf_border_back_substitute(const mf_border *border, int32_t r, const double *B, const double *W,
                               double *out)
{
    if (out != B) memcpy(out, B, (size_t)border->n_levels * border->k * r * sizeof *out);
    MF_DISPATCH(border->k, K, back_substitute_body(border, K, r, W, out));
}

MF_INLINE void project_body(const mf_border *border, int32_t k, const double *A, const double *T,
                            const double *TV, double *H)
{
    double q[MF_MAX_K]; /* T'(T v) */
    for (int64_t j = 0; j < border->n_levels; j++, A += k * k, T += k * k)
        for (int64_t i = border->ptr[j]; i < border->ptr[j + 1]; i++) {
            const double *v = border->vals + i * k, *u = TV + i * k;
            for (int32_t a = 0; a < k; a++) {
                q[a] = 0.0;
                for (int32_t b = 0; b < k; b++) q[a] += T[b * k + a] * u[b];
            }
            for (int32_t a = 0; a < k; a++) {
                double sum = v[a];
                for (int32_t b = 0; b < k; b++) sum -= A[a * k + b] * q[b];
                H[i * k + a] = sum;
            }
        }
}

void mf_border_project(const mf_border *border, const double *A, const double *T, const double *TV,
                       double *H)
{
    assert(border->k <= MF_MAX_K);
    MF_DISPATCH(border->k, K, project_body(border, K, A, T, TV, H));
}

MF_INLINE void subtract_k_body(const mf_border *border, int32_t k, const double *H,
                               const double *dense, int64_t first_level, int64_t last_level,
                               double *K)
{
    double below[MF_MAX_K]; /* sum over right > left of Q H_right */
    K += first_level * k * k;
    for (int64_t j = first_level; j < last_level; j++, K += k * k) {
        int64_t size, first;
        const double *Q = dense + locate_block(border, j, &size, &first);
        int64_t lo = border->ptr[j], hi = border->ptr[j + 1];
        for (int64_t left = lo; left < hi; left++) {
            /* The column of Q below the diagonal: its rows cols[left + 1], ... ascend, and so do
             * the reads. */
            const double *column = Q + (border->cols[left] - first) * size - first;
            const double *h = H + left * k;
            double diagonal = column[border->cols[left]];
            for (int32_t a = 0; a < k; a++) below[a] = 0.0;
            for (int64_t right = left + 1; right < hi; right++) {
                double q = column[border->cols[right]];
                for (int32_t a = 0; a < k; a++) below[a] += q * H[right * k + a];
            }
            for (int32_t a = 0; a < k; a++)
                for (int32_t b = 0; b < k; b++)
                    K[a * k + b] -= h[a] * diagonal * h[b] + h[a] * below[b] + below[a] * h[b];
        }
    }
}

void mf_border_subtract_k(const mf_border *border, const double *H, const double *dense,
                          int64_t first_level, int64_t last_level, double *K)
{
    assert(border->k <= MF_MAX_K);
    MF_DISPATCH(border->k, N, subtract_k_body(border, N, H, dense, first_level, last_level, K));
}

int64_t mf_border_cross_work(int32_t k, int32_t width, int32_t r)
{
    return (int64_t)width * (3 * k + k * k + width + r);
}

/* The workspace of mf_border_cross. `own`, `square` and `cross` follow one another: the sums of one
 * run of levels. */
typedef struct {
    double *mine;   /* (k, width): the rows of F; zero but in the factor's own columns */
    double *AF;     /* (k, width): Z_j'WZ F */
    double *UF;     /* (k, width): T AF */
    double *own;    /* (k * k, width): F_j'AF */
    double *square; /* (width, width): -UF'UF */
    double *cross;  /* (r, width): F_j'B - UF'U */
} cross_space;

static cross_space divide(int32_t k, int32_t width, double *work)
{
    cross_space at;
    at.mine = work;
    at.AF = at.mine + (int64_t)k * width;
    at.UF = at.AF + (int64_t)k * width;
    at.own = at.UF + (int64_t)k * width;
    at.square = at.own + (int64_t)k * k * width;
    at.cross = at.square + (int64_t)width * width;
    return at;
}

/* Levels begin .. end - 1. Both triangles of `square` are summed, because rows of one length fill a
 * vector register. The arguments come one by one and not in a struct: compilers honour `restrict`
 * on arguments only. */
MF_INLINE void cross_body(const mf_border *border, int32_t k, int32_t width, int32_t own, int32_t r,
                          int64_t begin, int64_t end, const double *A, const double *T,
                          const double *TV, const double *B, const double *U, const double *v,
                          const double *F, double *MF_RESTRICT mine, double *MF_RESTRICT AF,
                          double *MF_RESTRICT UF, double *MF_RESTRICT own_sums,
                          double *MF_RESTRICT square, double *MF_RESTRICT cross,
                          double *MF_RESTRICT rest)
{
    for (int64_t j = begin; j < end; j++) {
        const double *a_j = A + j * k * k, *t_j = T + j * k * k, *v_j = v + j * k;
        const double *b_j = B + j * k * r, *u_j = U + j * k * r;
        for (int32_t c = 0; c < k; c++)
            for (int32_t d = 0; d < k; d++) mine[c * width + own + c * k + d] = v_j[d];
        for (int32_t a = 0; a < k; a++)
            for (int32_t s = 0; s < width; s++) {
                double sum = 0.0;
                for (int32_t c = 0; c < k; c++) sum += a_j[a * k + c] * mine[c * width + s];
                AF[a * width + s] = sum;
            }
        for (int64_t i = border->ptr[j]; i < border->ptr[j + 1]; i++) {
            const double *f = F + (int64_t)border->cols[i] * width;
            for (int32_t a = 0; a < k; a++)
                for (int32_t s = 0; s < width; s++)
                    AF[a * width + s] += border->vals[i * k + a] * f[s];
        }
        for (int32_t a = 0; a < k; a++)
            for (int32_t s = 0; s < width; s++) {
                double sum = 0.0;
                for (int32_t b = 0; b < k; b++) sum += t_j[a * k + b] * AF[b * width + s];
                UF[a * width + s] = sum;
            }
        for (int32_t c = 0; c < k; c++)
            for (int32_t d = 0; d < k; d++)
                for (int32_t s = 0; s < width; s++)
                    own_sums[(c * k + d) * width + s] += v_j[d] * AF[c * width + s];
        for (int32_t a = 0; a < k; a++)
            for (int32_t s = 0; s < width; s++)
                for (int32_t t = 0; t < width; t++)
                    square[s * width + t] -= UF[a * width + s] * UF[a * width + t];
        for (int32_t a = 0; a < k; a++)
            for (int32_t i = 0; i < r; i++)
                for (int32_t s = 0; s < width; s++)
                    cross[i * width + s] +=
                        b_j[a * r + i] * mine[a * width + s] - u_j[a * r + i] * UF[a * width + s];
        for (int64_t i = border->ptr[j]; i < border->ptr[j + 1]; i++) {
            double *row = rest + (int64_t)border->cols[i] * width;
            for (int32_t s = 0; s < width; s++) {
                double sum = 0.0;
                for (int32_t a = 0; a < k; a++)
                    sum += border->vals[i * k + a] * mine[a * width + s] -
                           TV[i * k + a] * UF[a * width + s];
                row[s] += sum;
            }
        }
    }
}

MF_INLINE void cross_of_size(const mf_border *border, const mf_spread *in, int32_t k, int32_t width,
                             int64_t begin, int64_t end, cross_space at, double *rest)
{
    cross_body(border, k, width, in->own, in->r, begin, end, in->A, in->T, in->TV, in->B, in->U,
               in->v, in->rest_F, at.mine, at.AF, at.UF, at.own, at.square, at.cross, rest);
}

/* Compiled for the sizes that nearly every model has: one or two factors of one or two columns. */
MF_CLONES static void cross_run(const mf_border *border, const mf_spread *in, int64_t begin,
                                int64_t end, cross_space at, double *rest)
{
    const int32_t k = border->k, width = in->width;
    if (k == 1 && width == 2) cross_of_size(border, in, 1, 2, begin, end, at, rest);
    else if (k == 1 && width == 3) cross_of_size(border, in, 1, 3, begin, end, at, rest);
    else if (k == 2 && width == 5) cross_of_size(border, in, 2, 5, begin, end, at, rest);
    else if (k == 2 && width == 8) cross_of_size(border, in, 2, 8, begin, end, at, rest);
    else cross_of_size(border, in, k, width, begin, end, at, rest);
}

void mf_border_cross(const mf_border *border, const mf_spread *spread, double *FKF, double *cross,
                     double *rest, double *work)
{
    const int32_t k = border->k, width = spread->width, own = spread->own, r = spread->r;
    const cross_space at = divide(k, width, work);
    memset(at.mine, 0, (size_t)k * width * sizeof *work);
    for (int64_t begin = 0; begin < border->n_levels; begin += MF_RUN) {
        int64_t end = begin + MF_RUN < border->n_levels ? begin + MF_RUN : border->n_levels;
        memset(at.own, 0, (size_t)width * (k * k + width + r) * sizeof *work);
        cross_run(border, spread, begin, end, at, rest);
        for (int32_t e = 0; e < k * k; e++)
            for (int32_t s = 0; s < width; s++) {
                double sum = at.own[(int64_t)e * width + s];
                FKF[(int64_t)(own + e) * width + s] += sum;
                if (s < own || s >= own + k * k) FKF[(int64_t)s * width + own + e] += sum;
            }
        for (int64_t i = 0; i < (int64_t)width * width; i++) FKF[i] += at.square[i];
        for (int64_t i = 0; i < (int64_t)r * width; i++) cross[i] += at.cross[i];
    }
}

void mf_border_multiply_rest(const mf_border *border, int64_t count, const int64_t *at,
                             const double *values, int32_t width, const double *F, double *out)
{
    int64_t c = 0;
    for (int64_t i = 0; i < count; i++) {
        while (at[i] >= border->offset[c + 1]) c++;
        int64_t first = border->start[c], size = border->start[c + 1] - first;
        int64_t place = at[i] - border->offset[c];
        int64_t row = first + place % size, column = first + place / size;
        for (int32_t s = 0; s < width; s++)
            out[row * width + s] += values[i] * F[column * width + s];
        if (row == column) continue;
        for (int32_t s = 0; s < width; s++)
            out[column * width + s] += values[i] * F[row * width + s];
    }
}
