/* Shared by the fuzz targets of the kernels: a fuzzer's bytes as choices, and memory without a
 * spare byte.
 *
 * Numbers are small multiples of 1/8, so that sums of a few thousand products are exact in any
 * order and a kernel can be compared with a plain loop bit by bit. When the bytes have run out,
 * zeros follow, or the numbers of a generator that they seeded (`stretched`).
 */
#ifndef FUZZ_BYTES_H
#define FUZZ_BYTES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const uint8_t *at;
    size_t left;
    uint64_t more; /* state of the generator; 0: zeros */
} bytes;

static inline uint8_t next_byte(bytes *in)
{
    if (!in->left) {
        in->more = in->more * 6364136223846793005u + (in->more != 0);
        return (uint8_t)(in->more >> 56);
    }
    in->left--;
    return *in->at++;
}

/* For targets that need more numbers than a fuzzer soon writes: the numbers that follow depend on
 * all bytes. */
static inline bytes stretched(const uint8_t *data, size_t size)
{
    bytes in = {data, size, 1469598103934665603u};
    for (size_t i = 0; i < size; i++) in.more = (in.more ^ data[i]) * 1099511628211u; /* FNV-1a */
    return in;
}

/* A choice among 0 .. n - 1, n at most 65,536. */
static inline int64_t below(bytes *in, int64_t n)
{
    int64_t value = next_byte(in);
    if (n > 256) value = value << 8 | next_byte(in);
    return value % n;
}

static inline double number(bytes *in) { return (int8_t)next_byte(in) / 8.0; }

static inline void require(int holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

/* Memory of exactly this size: AddressSanitizer sees the first byte past it. */
static inline void *room(size_t count, size_t size)
{
    void *made = malloc(count * size ? count * size : 1);
    require(made != NULL, "out of memory");
    return made;
}

static inline double *numbers(bytes *in, int64_t count)
{
    double *made = room((size_t)count, sizeof *made);
    for (int64_t i = 0; i < count; i++) made[i] = number(in);
    return made;
}

static inline double *nothing(int64_t count)
{
    double *made = room((size_t)count, sizeof *made);
    for (int64_t i = 0; i < count; i++)
        made[i] = NAN; /* reading a number that was never written shows */
    return made;
}

static inline double *zeros(int64_t count)
{
    double *made = room((size_t)count, sizeof *made);
    memset(made, 0, (size_t)count * sizeof *made);
    return made;
}

static inline int32_t *codes_below(bytes *in, int64_t count, int64_t n)
{
    int32_t *made = room((size_t)count, sizeof *made);
    for (int64_t i = 0; i < count; i++) made[i] = (int32_t)below(in, n);
    return made;
}

static inline int close(double a, double b, double scale)
{
    return fabs(a - b) <= 1e-9 * (1.0 + scale);
}

#endif
