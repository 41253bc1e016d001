/* Compiler extensions that the kernels use where they exist.
 *
 * MF_CLONES compiles a function once for each width of vector registers; the loader picks one, so
 * that one build runs on every machine. The sums have the same bits whichever is picked: the order
 * of additions is written out (MF_LANES partial sums), and no multiplication is fused with an
 * addition.
 */
#ifndef MF_PORTABLE_H
#define MF_PORTABLE_H

#include <stdlib.h> /* __GLIBC__ */

/* MF_INLINE: a function whose constant arguments the compiler must see.
 * MF_PREFETCH_LINE(address): start loading the cache line of an address. */
#if defined(__GNUC__)
#define MF_INLINE static inline __attribute__((always_inline))
#define MF_PREFETCH_LINE(address) __builtin_prefetch(address)
#else
#define MF_INLINE static inline
#define MF_PREFETCH_LINE(address) ((void)(address))
#endif

#if defined(_MSC_VER)
#define MF_RESTRICT __restrict
#else
#define MF_RESTRICT restrict
#endif

/* The loader must know indirect functions: that of glibc does; musl, macOS and Windows do not. */
#if defined(__x86_64__) && defined(__GLIBC__) && \
    (defined(__clang__) ? __clang_major__ >= 14 : defined(__GNUC__))
#define MF_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define MF_CLONES
#endif

/* GCC needs no pragma: with -std=c99 it does not contract. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

/* Independent partial sums of a long sum: a vectorized loop without reassociation. */
#define MF_LANES 8

#endif
