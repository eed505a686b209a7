/* SPDX-License-Identifier: Apache-2.0 */
#include "dsp/dot.h"

SIMD_BODY float dot_body(const float *restrict a, const float *restrict b, size_t n)
{
    float lane[DOT_BLOCK] = {0};
    for (size_t i = 0; i < n; i += DOT_BLOCK) {
#pragma omp simd
        for (size_t k = 0; k < DOT_BLOCK; k++)
            lane[k] += a[i + k] * b[i + k];
    }
    for (size_t half = DOT_BLOCK / 2; half > 0; half /= 2)
        for (size_t k = 0; k < half; k++)
            lane[k] += lane[k + half];
    return lane[0];
}

static float dot_generic(const float *a, const float *b, size_t n)
{
    return dot_body(a, b, n);
}

SIMD_TARGET_AVX2 static float dot_avx2(const float *a, const float *b, size_t n)
{
    return dot_body(a, b, n);
}

SIMD_TARGET_AVX512 static float dot_avx512(const float *a, const float *b, size_t n)
{
    return dot_body(a, b, n);
}

dot_product dot_product_for(enum simd_level level)
{
    static const dot_product variants[SIMD_LEVELS] = {
        [SIMD_GENERIC] = dot_generic,
        [SIMD_AVX2] = dot_avx2,
        [SIMD_AVX512] = dot_avx512,
    };
    return variants[level];
}
