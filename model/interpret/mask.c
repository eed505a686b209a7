/* SPDX-License-Identifier: Apache-2.0 */
#include "model/interpret/mask.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { DIGIT_BITS = 11 };

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

/* Two tables in turn, since counting the same digit again at once would wait for the store before.
 */
static void count_digits(const uint32_t *keys, size_t n, int shift, uint32_t mask, uint32_t *counts)
{
    uint32_t odd[1 << DIGIT_BITS] = {0};
    for (size_t i = 0; i + 1 < n; i += 2) {
        counts[keys[i] >> shift & mask]++;
        odd[keys[i + 1] >> shift & mask]++;
    }
    if (n % 2 != 0)
        counts[keys[n - 1] >> shift & mask]++;
    for (size_t d = 0; d <= mask; d++)
        counts[d] += odd[d];
}

/* Radix selection: the key of rank `rank` (from 0) among n, from the top digit down. Each pass
 * counts one digit of the keys that are still candidates, so that plateaus of equal values cost
 * nothing. keys: [n], reordered. */
static uint32_t select_key(uint32_t *keys, size_t n, size_t rank)
{
    for (int shift = 21; n > 1; shift = shift >= DIGIT_BITS ? shift - DIGIT_BITS : 0) {
        uint32_t counts[1 << DIGIT_BITS] = {0};
        int bits = shift == 0 ? 10 : DIGIT_BITS;
        uint32_t mask = (1u << bits) - 1, digit = 0;
        count_digits(keys, n, shift, mask, counts);
        while (rank >= counts[digit])
            rank -= counts[digit++];
        size_t kept = 0;
        for (size_t i = 0; i < n && counts[digit] < n; i++) {
            uint32_t key = keys[i];
            keys[kept] = key;
            kept += (key >> shift & mask) == digit;
        }
        n = counts[digit];
        if (shift == 0)
            break; /* all that are left are equal */
    }
    return keys[0];
}

float quantile(const float *x, size_t n, float q, float *scratch)
{
    assert(n >= 1 && q >= 0 && q <= 1);
    uint32_t *keys = (uint32_t *)(void *)scratch;
    int nans = 0;
    for (size_t i = 0; i < n; i++)
        nans |= x[i] != x[i];
    if (nans)
        return NAN;
    for (size_t i = 0; i < n; i++)
        keys[i] = key_of(x[i]);
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
