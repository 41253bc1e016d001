/* mf_all_finite, mf_factorize and mf_mark_occurring against plain loops, on raw bytes: any bit
 * pattern. */
#include "bytes.h"
#include "mf_codes.h"

static const int SIZES[] = {8, 4, 8, 4, 2, 1, 1};

static int64_t whole(const char *at, mf_kind kind)
{
    switch (kind) {
    case MF_I64: return *(const int64_t *)at;
    case MF_I32: return *(const int32_t *)at;
    case MF_I16: return *(const int16_t *)at;
    case MF_I8: return *(const int8_t *)at;
    default: return *(const uint8_t *)at;
    }
}

static int inside(int64_t value, int64_t low, int64_t size)
{
    return value >= low && (uint64_t)value - (uint64_t)low < (uint64_t)size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes in = {data, size, 0};
    mf_kind kind = (mf_kind)below(&in, 7);
    int backwards = (int)below(&in, 2);
    int64_t spread = 1 + below(&in, 3), width = SIZES[kind], range = below(&in, 70), low = 0;
    for (int i = 0; i < 8; i++) low = (int64_t)((uint64_t)low << 8 | next_byte(&in));
    if (below(&in, 2)) low = (int8_t)low;
    if (low > INT64_MAX - range) low = INT64_MAX - range;
    int64_t own = (int64_t)in.left / (spread * width),
            n = own * (1 + 8 * below(&in, 2)); /* long ones repeat */
    if ((int64_t)in.left < own * spread * width) n = own = 0;
    char *values = room((size_t)(n * spread * width), 1);
    for (int64_t i = 0; i < n; i += own)
        memcpy(values + i * spread * width, in.at, (size_t)(own * spread * width));
    ptrdiff_t stride = spread * width;
    const char *at = values;
    if (backwards && n) {
        at += (n - 1) * stride;
        stride = -stride;
    }
    if (kind <= MF_F32) {
        int finite = 1;
        for (int64_t i = 0; i < n; i++)
            finite &= kind == MF_F64 ? isfinite(*(const double *)(at + i * stride))
                                     : isfinite(*(const float *)(at + i * stride));
        require(mf_all_finite(at, stride, n, kind) == finite, "whether all is finite");
    } else {
        int32_t *codes = room((size_t)n, sizeof *codes),
                *table = room((size_t)range + 1, sizeof *table);
        int64_t used = mf_factorize(at, stride, n, kind, low, range, codes, table), met = 0;
        for (int64_t v = 0; v < range; v++) {
            int occurs = 0;
            for (int64_t i = 0; i < n; i++) occurs |= whole(at + i * stride, kind) == low + v;
            require(table[v] == (occurs ? met++ : -1), "the number of a value");
        }
        require(used == met, "how many values occur");
        uint8_t *seen = room((size_t)range + 1, 1);
        mf_mark_occurring(at, stride, n, kind, low, range, seen);
        for (int64_t v = 0; v < range; v++)
            require(seen[v] == (table[v] >= 0), "whether a value occurs");
        free(seen);
        for (int64_t i = 0; i < n; i++) {
            int64_t value = whole(at + i * stride, kind);
            require(codes[i] == (inside(value, low, range) ? table[value - low] : -1),
                    "the code of a row");
        }
        free(codes);
        free(table);
    }
    free(values);
    return 0;
}
