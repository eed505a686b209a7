/* SPDX-License-Identifier: Apache-2.0
 * How sure a network is that a sound is of any of its classes, told from its cosines alone and for
 * no class in particular. What is below a threshold is unknown: it is given no name. */
#ifndef FOCALD_MODEL_REJECT_H
#define FOCALD_MODEL_REJECT_H

#include "base/error.h"

/* c: the cosines, largest first; s: the scale of people's softmax. All rise with certainty.
 * name, least and most that a threshold may be, what it is */
#define REJECT_SCORES(X)                                                                           \
    X(NONE, "none", 0, 0)               /* nothing is ever unknown */                              \
    X(COSINE, "cosine", -1, 1)          /* c1 */                                                   \
    X(MARGIN, "margin", 0, 2)           /* c1 - c2 */                                              \
    X(PROBABILITY, "probability", 0, 1) /* exp(s c1) / sum exp(s c) */                             \
    X(ENERGY, "energy", -1, 20)         /* log(sum exp(s c)) / s */

enum reject_score {
#define REJECT_ENUM(id, name, least, most) REJECT_##id,
    REJECT_SCORES(REJECT_ENUM)
#undef REJECT_ENUM
        REJECT_COUNT
};

struct model_reject {
    enum reject_score score;
    float below; /* what scores less is unknown */
};

const char *reject_score_name(enum reject_score score);
/* 0, or -EINVAL with what is allowed; "none" is not. where: "FILE: reject", for errors. */
int reject_score_parse(const char *name, enum reject_score *ret, const char *where,
                       struct error *error);
/* What a threshold of it may be. */
float reject_least(enum reject_score score);
float reject_most(enum reject_score score);
/* -EINVAL where the score never is on both sides of such a threshold. */
int reject_check(const struct model_reject *reject, const char *where, struct error *error);

/* cosines: [n], n >= 1. NaN where one of them is; 0 for REJECT_NONE. */
float reject_score(enum reject_score score, const float *cosines, int n, float scale);

/* A score that is NaN is below everything. */
static inline int reject_is_unknown(const struct model_reject *reject, float score)
{
    return reject->score != REJECT_NONE && !(score >= reject->below);
}

#endif
