/* SPDX-License-Identifier: Apache-2.0
 * The choice of a threshold from what known and unknown sounds score: the least that names at most
 * a given share of the unknown. */
#ifndef FOCALD_DAEMON_REJECT_CHOICE_H
#define FOCALD_DAEMON_REJECT_CHOICE_H

#include <stdbool.h>

#include "base/error.h"
#include "model/reject.h"

/* A clip. NaN: it is never named, whatever the threshold. */
struct reject_scored {
    float score;
    bool known;
    bool right; /* known, and the best class is its own */
};

/* How many are named at a threshold. */
struct reject_counts {
    int unknown, named_unknown;
    int known, right;             /* right: were there no threshold */
    int right_named, wrong_named; /* of the known */
};

struct reject_choice {
    struct model_reject reject;
    struct reject_counts counts; /* with it */
    double bound; /* of the share of unknown that is named: with 95 % confidence it is not above */
    double area;  /* under the ROC curve: how often a known clip scores more than an unknown one */
};

/* clips: [n]. share: 0 <= share < 1. Of the thresholds that name the same clips it is one in the
 * middle, with as few decimals as there can be. -EINVAL: nothing is known or nothing is unknown;
 * -ERANGE: no threshold that the score may have names any clip and so few of the unknown. */
int reject_choose(enum reject_score score, const struct reject_scored *clips, int n, double share,
                  struct reject_choice *ret, struct error *error);

void reject_count(const struct model_reject *reject, const struct reject_scored *clips, int n,
                  struct reject_counts *ret);

/* The share that `hits` of n does not tell from chance: the upper end of the one-sided 95 %
 * interval of Clopper and Pearson (Biometrika 26, 1934). */
double reject_upper_bound(int hits, int n);

#endif
