/* SPDX-License-Identifier: Apache-2.0 */
#include "model/reject.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    float least, most;
} scores[] = {
#define REJECT_ROW(id, name, least, most) {name, least, most},
    REJECT_SCORES(REJECT_ROW)
#undef REJECT_ROW
};

const char *reject_score_name(enum reject_score score)
{
    return scores[score].name;
}

int reject_score_parse(const char *name, enum reject_score *ret, const char *where,
                       struct error *error)
{
    for (int i = REJECT_NONE + 1; i < REJECT_COUNT; i++)
        if (strcmp(scores[i].name, name) == 0) {
            *ret = (enum reject_score)i;
            return 0;
        }
    return error_set(error, EINVAL,
                     "%s: score is \"%.40s\"; allowed: cosine, margin, probability, energy", where,
                     name);
}

float reject_least(enum reject_score score)
{
    return scores[score].least;
}

float reject_most(enum reject_score score)
{
    return scores[score].most;
}

int reject_check(const struct model_reject *reject, const char *where, struct error *error)
{
    if (reject->score == REJECT_NONE)
        return 0;
    const float least = reject_least(reject->score), most = reject_most(reject->score);
    if (reject->below >= least && reject->below <= most)
        return 0;
    return error_set(error, EINVAL, "%s: below is %g; allowed for %s: %g to %g", where,
                     (double)reject->below, scores[reject->score].name, (double)least,
                     (double)most);
}

/* The two largest; the second is the least there is where there is one class. False: one is NaN. */
static int two_largest(const float *cosines, int n, double *ret_first, double *ret_second)
{
    double first = -INFINITY, second = -INFINITY;
    for (int i = 0; i < n; i++) {
        const double c = (double)cosines[i];
        if (isnan(c))
            return 0;
        if (c > first) {
            second = first;
            first = c;
        } else if (c > second) {
            second = c;
        }
    }
    *ret_first = first;
    *ret_second = n > 1 ? second : -1;
    return 1;
}

float reject_score(enum reject_score score, const float *cosines, int n, float scale)
{
    double first, second, sum = 0; /* of exp(s (c - c1)), so that none overflows */
    if (score == REJECT_NONE)
        return 0;
    if (!two_largest(cosines, n, &first, &second))
        return NAN;
    if (score == REJECT_COSINE)
        return (float)first;
    if (score == REJECT_MARGIN)
        return (float)(first - second);
    for (int i = 0; i < n; i++)
        sum += exp((double)scale * ((double)cosines[i] - first));
    return (float)(score == REJECT_PROBABILITY ? 1 / sum : first + log(sum) / (double)scale);
}
