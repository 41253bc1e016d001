/* Loops written once for any k and compiled for the sizes nearly every model has.
 *
 * DISPATCH(k, CALL) makes CALL with K a compile-time constant where k is 1, 2 or 3, so that the compiler unrolls
 * the loops over the columns of one level; bodies marked MF_INLINE are copied into each of the calls.
 */
#ifndef MF_DISPATCH_H
#define MF_DISPATCH_H

#include "mf_portable.h"

/* Levels summed before the sum is added to the total: rounding grows with the square root of runs. */
#define MF_RUN 1024

#define DISPATCH(k, CALL)                  \
    switch (k) {                           \
    case 1: { enum { K = 1 }; CALL; } break; \
    case 2: { enum { K = 2 }; CALL; } break; \
    case 3: { enum { K = 3 }; CALL; } break; \
    default: { const int32_t K = k; CALL; }  \
    }

#endif
