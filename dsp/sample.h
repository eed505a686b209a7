/* SPDX-License-Identifier: Apache-2.0
 * What a sample of sound may be. */
#ifndef FOCALD_DSP_SAMPLE_H
#define FOCALD_DSP_SAMPLE_H

#include <math.h>
#include <stdbool.h>

/* Full scale is 1, and integers of 32 bits that nobody scaled reach 2e9; what lies beyond this
 * comes of a filter that ran away, or of bytes in the wrong order. Up to it float32 has room for
 * all that is made of samples: the square of a sum of ten thousand of them, as a spectrum's
 * magnitude takes it, is below 3.4e38. */
static const float sample_max = 1e15f;

/* NaN, infinity or absurd: counted, and taken as zero. */
static inline bool sample_is_bad(float x)
{
    return !(fabsf(x) <= sample_max);
}

#endif
