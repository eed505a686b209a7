/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/reject_choice.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_DIGITS = 9 }; /* of a float, to the last bit */

static int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The scores of the unknown, smallest first; NaN stands below all. */
static int sort_unknown(const struct reject_scored *clips, int n, float *ret)
{
    int unknown = 0;
    for (int i = 0; i < n; i++)
        if (!clips[i].known)
            ret[unknown++] = isnan(clips[i].score) ? -INFINITY : clips[i].score;
    qsort(ret, (size_t)unknown, sizeof *ret, compare_floats);
    return unknown;
}

/* The largest number of n that is at most the share. */
static int most_of(int n, double share)
{
    int most = (int)floor(share * n);
    while (most > 0 && (double)most / n > share)
        most--;
    while (most < n && (double)(most + 1) / n <= share)
        most++;
    return most;
}

/* The smallest score of a clip above x; infinity where there is none. */
static float next_above(const struct reject_scored *clips, int n, float x)
{
    float next = INFINITY;
    for (int i = 0; i < n; i++)
        if (clips[i].score > x && clips[i].score < next)
            next = clips[i].score;
    return next;
}

/* A number of few decimals in (low, high]. */
static float between(float low, float high)
{
    const double middle = ((double)low + (double)high) / 2;
    for (int decimals = 2; decimals <= MOST_DIGITS; decimals++) {
        char text[64];
        snprintf(text, sizeof text, "%.*f", decimals, middle);
        const float x = strtof(text, NULL);
        if (x > low && x <= high)
            return x;
    }
    return nextafterf(low, high);
}

void reject_count(const struct model_reject *reject, const struct reject_scored *clips, int n,
                  struct reject_counts *ret)
{
    *ret = (struct reject_counts){0};
    for (int i = 0; i < n; i++) {
        const bool named = !reject_is_unknown(reject, clips[i].score);
        ret->unknown += !clips[i].known;
        ret->named_unknown += !clips[i].known && named;
        ret->known += clips[i].known;
        ret->right += clips[i].known && clips[i].right;
        ret->right_named += clips[i].known && clips[i].right && named;
        ret->wrong_named += clips[i].known && !clips[i].right && named;
    }
}

/* log of P(exactly k of n) */
static double log_chance(int k, int n, double p)
{
    return lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0) + k * log(p) +
           (n - k) * log1p(-p);
}

double reject_upper_bound(int hits, int n)
{
    double low = 0, high = 1;
    if (n < 1 || hits >= n)
        return 1;
    for (int i = 0; i < 60; i++) {
        const double p = (low + high) / 2;
        double at_most = 0;
        for (int k = 0; k <= hits; k++)
            at_most += exp(log_chance(k, n, p));
        if (at_most > 0.05)
            low = p;
        else
            high = p;
    }
    return high;
}

/* sorted: [unknown]. Pairs in which both score the same count a half. */
static double area_under(const struct reject_scored *clips, int n, const float *sorted, int unknown)
{
    double pairs = 0;
    int known = 0;
    for (int i = 0; i < n; i++) {
        const float score = isnan(clips[i].score) ? -INFINITY : clips[i].score;
        int less = 0, end = unknown;
        if (!clips[i].known)
            continue;
        known++;
        while (less < end) { /* the first that is not less */
            const int middle = (less + end) / 2;
            if (sorted[middle] < score)
                less = middle + 1;
            else
                end = middle;
        }
        pairs += less;
        for (int k = less; k < unknown && sorted[k] == score; k++)
            pairs += 0.5;
    }
    return pairs / ((double)known * unknown);
}

static int choose(enum reject_score score, const struct reject_scored *clips, int n, double share,
                  const float *sorted, int unknown, struct reject_choice *ret, struct error *error)
{
    struct reject_choice choice = {.reject = {.score = score}};
    const float least = reject_least(score), most = reject_most(score);
    /* the largest score that must not be named */
    const float low = sorted[unknown - 1 - most_of(unknown, share)];
    const float high = next_above(clips, n, low);
    if (!(high <= most))
        return error_set(error, ERANGE,
                         "no threshold of %s names a clip and at most %.3g %% of the unknown ones",
                         reject_score_name(score), 100 * share);
    choice.reject.below = low < least ? least : between(low, high);
    reject_count(&choice.reject, clips, n, &choice.counts);
    choice.bound = reject_upper_bound(choice.counts.named_unknown, unknown);
    choice.area = area_under(clips, n, sorted, unknown);
    *ret = choice;
    return 0;
}

int reject_choose(enum reject_score score, const struct reject_scored *clips, int n, double share,
                  struct reject_choice *ret, struct error *error)
{
    float *sorted = malloc(((size_t)n + 1) * sizeof *sorted);
    if (sorted == NULL)
        return error_set(error, ENOMEM, "out of memory for %d clips", n);
    const int unknown = sort_unknown(clips, n, sorted);
    int r = 0;
    if (unknown == 0 || unknown == n)
        r = error_set(error, EINVAL, "there is no clip of %s sounds to choose a threshold by",
                      unknown == 0 ? "unknown" : "known");
    else if (!(share >= 0 && share < 1))
        r = error_set(error, EINVAL, "a share of %g false names; allowed: 0 to below 1", share);
    else
        r = choose(score, clips, n, share, sorted, unknown, ret, error);
    free(sorted);
    return r;
}
