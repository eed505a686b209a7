/* SPDX-License-Identifier: Apache-2.0
 * The quantile mask of a modulation map (paper eq. 5; interpret_amt.py). */
#ifndef FOCALD_MODEL_INTERPRET_MASK_H
#define FOCALD_MODEL_INTERPRET_MASK_H

#include <stddef.h>
#include <stdint.h>

/* The q-quantile of x: [n], n >= 1, with torch.quantile's float32 arithmetic: rank = (float)q * (n
 * - 1) in float32, linear interpolation between the order statistics (from the upper one when the
 * fraction is >= 0.5). scratch: [n], overwritten. NaN in x gives NaN. */
float quantile(const float *x, size_t n, float q, float *scratch);

/* ret[i] = x[i] >= threshold. ret: [n] of 0 or 1. Returns the count of ones. */
size_t mask_threshold(const float *x, size_t n, float threshold, uint8_t *ret);

/* Eight cells a byte, first cell in the lowest bit, rows run on: ret: [(n + 7) / 8]. */
void mask_pack(const uint8_t *mask, size_t n, uint8_t *ret);

#endif
