/* SPDX-License-Identifier: Apache-2.0
 * All sums are in double and in the order of their cells. */
#include "model/interpret/metrics.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const double eps = 1e-10; /* interpreter_brain.py */

int metrics_argmax(const float *p, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (p[i] > p[best])
            best = i;
    return best;
}

double metrics_fidelity(const float *p, const float *p_in, int n)
{
    return metrics_argmax(p, n) == metrics_argmax(p_in, n);
}

double metrics_faithfulness(const float *p, const float *p_out, int n)
{
    int c = metrics_argmax(p, n);
    return (double)p[c] - (double)p_out[c];
}

double metrics_increase(const float *p, const float *p_in, int n)
{
    int c = metrics_argmax(p, n);
    return p[c] < p_in[c] ? 100 : 0;
}

static double drop(double p, double p_in)
{
    return 100 * fmax(0, p - p_in) / (p + eps);
}

double metrics_drop(const float *p, const float *p_in, int n)
{
    int c = metrics_argmax(p, n);
    return drop((double)p[c], (double)p_in[c]);
}

/* Value c of softmax p. */
static double softmax_at(const float *p, int n, int c)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += exp((double)p[i] - (double)p[c]);
    return 1 / sum;
}

double metrics_drop_double_softmax(const float *p, const float *p_in, int n)
{
    int c = metrics_argmax(p, n);
    return drop(softmax_at(p, n, c), softmax_at(p_in, n, c));
}

double metrics_gain(const float *p, const float *p_in, int n)
{
    int c = metrics_argmax(p, n);
    double before = (double)p[c], after = (double)p_in[c];
    return 100 * fmax(0, after - before) / (1 - before + eps);
}

/* The shape of a mask */

/* The largest, and how many have it; *ret_two: all others are 0. */
static float largest(const float *a, size_t n, size_t *ret_count, bool *ret_two)
{
    float max = 0;
    size_t count = 0, zeros = 0;
    for (size_t i = 0; i < n; i++)
        max = a[i] > max ? a[i] : max;
    for (size_t i = 0; i < n; i++) {
        count += a[i] == max;
        zeros += a[i] == 0;
    }
    *ret_count = count;
    *ret_two = count + zeros == n;
    return max;
}

/* Ascending. Floats that are not negative are in the order of their bits. x, scratch: [n] */
static void sort_positive(float *x, float *scratch, size_t n)
{
    enum { BITS = 11, DIGITS = 1 << BITS };
    uint32_t *from = (uint32_t *)(void *)x, *to = (uint32_t *)(void *)scratch;
    for (int shift = 0; shift < 32; shift += BITS) {
        size_t starts[DIGITS] = {0}, sum = 0;
        for (size_t i = 0; i < n; i++)
            starts[from[i] >> shift & (DIGITS - 1)]++;
        for (size_t d = 0; d < DIGITS; d++) {
            size_t count = starts[d];
            starts[d] = sum;
            sum += count;
        }
        for (size_t i = 0; i < n; i++)
            to[starts[from[i] >> shift & (DIGITS - 1)]++] = from[i];
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    memcpy(x, from, n * sizeof *x); /* three passes: the result lies in scratch */
}

/* Gini = sum over i = 1 ... n, ascending, of (2 i - n - 1) a_i, over n sum a. A mask of ones and
 * zeros needs no sorting: over its k ones, the last of i, the factors add up to k (n - k), and over
 * all cells, for the 1e-7, to nothing. */
bool metrics_sparseness(const float *a, size_t n, float *scratch, double *ret)
{
    const double small = 1e-7, cells = (double)n;
    size_t k;
    bool two;
    float max = largest(a, n, &k, &two);
    if (!(max > 0))
        return false;
    if (two) {
        double ones = (double)k;
        *ret = ones * (cells - ones) / (cells * (ones + cells * small));
        return true;
    }
    double weighted = 0, sum = 0;
    memcpy(scratch, a, n * sizeof *a);
    sort_positive(scratch, scratch + n, n);
    for (size_t i = 0; i < n; i++) {
        double value = (double)scratch[i] / (double)max + small;
        weighted += (2 * (double)(i + 1) - cells - 1) * value;
        sum += value;
    }
    *ret = weighted / (cells * sum);
    return true;
}

/* -sum of b ln b with b = a / sum a, that is ln sum a - (sum of a ln a) / sum a. */
bool metrics_complexity(const float *a, size_t n, double *ret)
{
    double sum = 0, logs = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i];
    if (!(sum > 0))
        return false;
    for (size_t i = 0; i < n; i++)
        if (a[i] > 0 && a[i] != 1)
            logs += (double)a[i] * log((double)a[i]);
    *ret = log(sum) - logs / sum;
    return true;
}

/* Ranks */

struct ranked {
    float value;
    size_t at;
};

static int ascending(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

/* ret: [n] the ranks of x from 0; equal values get the mean of theirs. scratch: [n] */
static void ranks_of(const float *x, size_t n, struct ranked *scratch, double *ret)
{
    for (size_t i = 0; i < n; i++)
        scratch[i] = (struct ranked){x[i], i};
    qsort(scratch, n, sizeof *scratch, ascending);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && !(scratch[end].value > scratch[i].value); end++)
            ;
        for (size_t k = i; k < end; k++)
            ret[scratch[k].at] = (double)(i + end - 1) / 2;
    }
}

/* Pearson's; the mean of ranks is (n - 1) / 2 whatever the ties. */
static bool correlation(const double *x, const double *y, size_t n, double *ret)
{
    double mean = (double)(n - 1) / 2, xy = 0, xx = 0, yy = 0;
    for (size_t i = 0; i < n; i++) {
        xy += (x[i] - mean) * (y[i] - mean);
        xx += (x[i] - mean) * (x[i] - mean);
        yy += (y[i] - mean) * (y[i] - mean);
    }
    if (!(xx > 0 && yy > 0))
        return false;
    *ret = xy / sqrt(xx * yy);
    return true;
}

bool metrics_rank_correlation(const float *x, const float *y, size_t n, double *ret)
{
    for (size_t i = 0; i < n; i++)
        if (isnan(x[i]) || isnan(y[i]))
            return false;
    struct ranked *scratch = malloc(n * sizeof *scratch);
    double *ranks = malloc(2 * n * sizeof *ranks);
    bool good = n > 0 && scratch != NULL && ranks != NULL;
    if (good) {
        ranks_of(x, n, scratch, ranks);
        ranks_of(y, n, scratch, ranks + n);
        good = correlation(ranks, ranks + n, n, ret);
    }
    free(scratch);
    free(ranks);
    return good;
}

double metrics_mean(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return n > 0 ? sum / (double)n : 0;
}

static int ascending_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double metrics_lower_median(double *x, size_t n)
{
    if (n == 0)
        return 0;
    qsort(x, n, sizeof *x, ascending_double);
    return x[(n - 1) / 2];
}
