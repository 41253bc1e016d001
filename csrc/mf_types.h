/* Types that several kernels share: kinds of numbers in a caller's arrays, and status codes. */
#ifndef MF_TYPES_H
#define MF_TYPES_H

#include <stddef.h>
#include <stdint.h>

/* How the numbers of a caller's array are stored. */
typedef enum {
    MF_F64,
    MF_F32,
    MF_I64,
    MF_I32,
    MF_I16,
    MF_I8,
    MF_U8,
    MF_CODED, /* int32 codes: positions in a table of doubles */
} mf_kind;

/* Result of a kernel that can fail. */
typedef enum {
    MF_OK,
    MF_BAD_CODE,  /* a code lies outside its range */
    MF_NO_MEMORY, /* workspace of the kernel's own could not be allocated */
} mf_status;

#endif
