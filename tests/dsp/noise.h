/* SPDX-License-Identifier: Apache-2.0
 * Random numbers that a seed repeats, for the tests of dsp/. FOCALD_TEST_SEED sets another seed. */
#ifndef FOCALD_TESTS_DSP_NOISE_H
#define FOCALD_TESTS_DSP_NOISE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct noise {
    uint64_t state;
};

/* Prints the seed. */
static inline struct noise noise_start(void)
{
    const char *given = getenv("FOCALD_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : 20260101;
    printf("seed %llu\n", (unsigned long long)seed);
    return (struct noise){seed};
}

/* splitmix64 */
static inline uint64_t noise_bits(struct noise *n)
{
    uint64_t z = (n->state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* 0 ... below - 1 */
static inline size_t noise_below(struct noise *n, size_t below)
{
    return (size_t)(noise_bits(n) % below);
}

/* [-1, 1) */
static inline float noise_sample(struct noise *n)
{
    return (float)(noise_bits(n) >> 40) * 0x1p-23f - 1;
}

static inline void noise_fill(struct noise *n, float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] = noise_sample(n);
}

#endif
