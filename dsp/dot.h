/* SPDX-License-Identifier: Apache-2.0
 * The inner product of the resamplers' filters. */
#ifndef FOCALD_DSP_DOT_H
#define FOCALD_DSP_DOT_H

#include <stddef.h>

#include "dsp/simd.h"

/* Summands are added in this many lanes, so that the adder's latency does not set the pace. */
enum { DOT_BLOCK = 32 };

/* Sum of a[i] * b[i]; n is a multiple of DOT_BLOCK, pad with zeros. No alignment is needed. */
typedef float (*dot_product)(const float *a, const float *b, size_t n);

/* The variant for a level that this processor supports. */
dot_product dot_product_for(enum simd_level level);

static inline size_t dot_padded(size_t n)
{
    return (n + DOT_BLOCK - 1) / DOT_BLOCK * DOT_BLOCK;
}

#endif
