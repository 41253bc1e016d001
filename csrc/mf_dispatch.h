/* Loops written once for any k, and compiled for the sizes that nearly every model has. */
#ifndef MF_DISPATCH_H
#define MF_DISPATCH_H

#include "mf_portable.h"

/* Levels summed before the sum is added to the total: rounding grows with the square root of the
 * number of runs. */
#define MF_RUN 1024

/* -------------------------------------------------------------------------------------------------
 * MF_DISPATCH(k, NAME, CALL): make CALL with NAME standing for k
 *
 * NAME is a compile-time constant where k is 1, 2 or 3, so that the compiler unrolls the loops over
 * the columns of one level. Bodies marked MF_INLINE are copied into each of the four calls.
 *
 *     MF_DISPATCH(border->k, K, project_body(border, K, A, T, TV, H));
 * ---------------------------------------------------------------------------------------------- */
#define MF_DISPATCH(k, NAME, CALL) \
    switch (k) {                   \
    case 1: {                      \
        enum { NAME = 1 };         \
        CALL;                      \
    } break;                       \
    case 2: {                      \
        enum { NAME = 2 };         \
        CALL;                      \
    } break;                       \
    case 3: {                      \
        enum { NAME = 3 };         \
        CALL;                      \
    } break;                       \
    default: {                     \
        const int32_t NAME = k;    \
        CALL;                      \
    }                              \
    }

#endif
