/* SPDX-License-Identifier: Apache-2.0 */
#include "model/interpret/mask.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* Floats in the order of their values as unsigned integers. */
static uint32_t key_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static float value_of(uint32_t key)
{
    uint32_t bits = key & 0x80000000u ? key & 0x7fffffffu : ~key;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Radix selection: the key of rank `rank` (from 0) among n, from the top digit down. Each pass counts
 * one digit of the keys that are still candidates, so that plateaus of equal values cost nothing.
 * keys: [n], reordered. */
static uint32_t select_key(uint32_t *keys, size_t n, size_t rank)
{
    enum { BITS = 11 };
    uint32_t prefix = 0;
    for (int shift = 21; n > 1; shift = shift >= BITS ? shift - BITS : 0) {
        uint32_t counts[1 << BITS] = {0};
        int bits = shift == 0 ? 10 : BITS;
        uint32_t mask = (1u << bits) - 1, digit = 0;
        for (size_t i = 0; i < n; i++)
            counts[keys[i] >> shift & mask]++;
        while (rank >= counts[digit])
            rank -= counts[digit++];
        size_t kept = 0;
        for (size_t i = 0; i < n; i++)
            if ((keys[i] >> shift & mask) == digit)
                keys[kept++] = keys[i];
        n = kept;
        prefix = keys[0];
        if (shift == 0)
            return prefix; /* all that are left are equal */
    }
    return keys[0];
}

float quantile(const float *x, size_t n, float q, float *scratch)
{
    uint32_t *keys = (uint32_t *)(void *)scratch;
    for (size_t i = 0; i < n; i++) {
        if (isnan(x[i]))
            return NAN;
        keys[i] = key_of(x[i]);
    }
    float rank = q * (float)(n - 1);
    size_t below = (size_t)rank;
    below = below < n - 1 ? below : n - 1;
    float weight = rank - (float)below;
    uint32_t low_key = select_key(keys, n, below);
    float low = value_of(low_key);
    if (weight <= 0 || below + 1 >= n)
        return low;
    /* the next order statistic: the same value again, or the smallest above it */
    size_t up_to_low = 0;
    float high = INFINITY;
    for (size_t i = 0; i < n; i++) {
        bool above = x[i] > low;
        up_to_low += !above;
        high = above && x[i] < high ? x[i] : high;
    }
    if (up_to_low > below + 1)
        high = low;
    /* torch.lerp */
    return weight < 0.5f ? low + weight * (high - low) : high - (high - low) * (1 - weight);
}

size_t mask_threshold(const float *x, size_t n, float threshold, uint8_t *ret)
{
    size_t ones = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t keep = x[i] >= threshold;
        ret[i] = keep;
        ones += keep;
    }
    return ones;
}

void mask_pack(const uint8_t *mask, size_t n, uint8_t *ret)
{
    for (size_t i = 0; i < n; i += 8) {
        uint8_t byte = 0;
        for (size_t k = 0; k < 8 && i + k < n; k++)
            byte |= (uint8_t)((mask[i + k] & 1) << k);
        ret[i / 8] = byte;
    }
}
