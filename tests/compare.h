/* SPDX-License-Identifier: Apache-2.0
 * How far numbers are from what they should be, so that NaN is never lost: fmax drops it, and so
 * does `d > worst ? d : worst`; `!(d <= worst) ? d : worst` takes the next number in its place. The
 * caller's limit is `!(off <= limit)`, which NaN fails. */
#ifndef FOCALD_TESTS_COMPARE_H
#define FOCALD_TESTS_COMPARE_H

#include <math.h>
#include <stddef.h>

/* The larger of both; NaN once there was one. */
static inline double worse(double worst, double off)
{
    return isnan(worst) || off <= worst ? worst : off;
}

struct distance {
    double off;     /* the largest |found - expected|; NaN: there is one */
    double largest; /* |expected| */
    size_t at;      /* of `off` */
};

/* found, expected: [n] */
static inline struct distance distance_between(const float *found, const float *expected, size_t n)
{
    struct distance d = {0};
    for (size_t i = 0; i < n; i++) {
        const double off = fabs((double)found[i] - (double)expected[i]);
        d.largest = fmax(d.largest, fabs((double)expected[i]));
        if (isnan(d.off) || off <= d.off)
            continue;
        d.off = off;
        d.at = i;
    }
    return d;
}

#endif
