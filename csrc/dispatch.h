/* Loops written once for any k and compiled for the sizes nearly every model has.
 *
 * DISPATCH(k, CALL) makes CALL with K a compile-time constant where k is 1, 2 or 3, so that the compiler unrolls
 * the loops over the columns of one level; INLINE bodies are copied into each of the calls.
 */
#ifndef MF_DISPATCH_H
#define MF_DISPATCH_H

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

#define DISPATCH(k, CALL)                  \
    switch (k) {                           \
    case 1: { enum { K = 1 }; CALL; } break; \
    case 2: { enum { K = 2 }; CALL; } break; \
    case 3: { enum { K = 3 }; CALL; } break; \
    default: { const int32_t K = k; CALL; }  \
    }

#endif
