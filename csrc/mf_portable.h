/* What the kernels ask of the compiler, and what they do without.
 *
 * MF_CLONES compiles a function once for each width of vector registers and picks one when the library is
 * loaded, so that one build runs everywhere. The sums are the same bits whichever is picked: the order of
 * additions is written out (MF_LANES partial sums) and no multiplication is fused with an addition.
 */
#ifndef MF_PORTABLE_H
#define MF_PORTABLE_H

#include <stdlib.h> /* __GLIBC__ */

#if defined(__GNUC__)
#define MF_INLINE static inline __attribute__((always_inline))
#define MF_PREFETCH_LINE(address) __builtin_prefetch(address)
#else
#define MF_INLINE static inline
#define MF_PREFETCH_LINE(address) ((void)0)
#endif

#if defined(_MSC_VER)
#define MF_RESTRICT __restrict
#else
#define MF_RESTRICT restrict
#endif

/* the loader must know indirect functions: glibc does, musl, macOS and Windows do not */
#if defined(__x86_64__) && defined(__GLIBC__) && (defined(__clang__) ? __clang_major__ >= 14 : defined(__GNUC__))
#define MF_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define MF_CLONES
#endif

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF /* GCC needs no telling: -std=c99 has it off */
#endif

#define MF_LANES 8 /* independent partial sums of a long sum: a vectorized loop without reassociation */

#endif
