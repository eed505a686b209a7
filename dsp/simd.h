/* SPDX-License-Identifier: Apache-2.0
 * Which vector extension the loops of dsp/ run with. A loop is written once, as an inline body, and
 * compiled for each of these; the table of its variants is indexed by this. */
#ifndef FOCALD_DSP_SIMD_H
#define FOCALD_DSP_SIMD_H

#include <stdbool.h>

enum simd_level { SIMD_GENERIC, SIMD_AVX2, SIMD_AVX512, SIMD_LEVELS };

#ifdef __x86_64__
#define SIMD_TARGET_AVX2 __attribute__((target("avx2,fma")))
#ifdef __clang__
#define SIMD_TARGET_AVX512 __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,fma")))
#else
#define SIMD_TARGET_AVX512                                                                         \
    __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,fma,prefer-vector-width=512")))
#endif
#else
#define SIMD_TARGET_AVX2
#define SIMD_TARGET_AVX512
#endif

#define SIMD_BODY static inline __attribute__((always_inline))

static inline bool simd_supported(enum simd_level level)
{
#ifdef __x86_64__
    if (level == SIMD_AVX512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
    if (level == SIMD_AVX2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return level == SIMD_GENERIC;
}

/* The best that this processor has. */
static inline enum simd_level simd_best(void)
{
    if (simd_supported(SIMD_AVX512))
        return SIMD_AVX512;
    return simd_supported(SIMD_AVX2) ? SIMD_AVX2 : SIMD_GENERIC;
}

#endif
