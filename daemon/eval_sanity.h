/* SPDX-License-Identifier: Apache-2.0
 * The sanity check of Adebayo et al. (2018): a map that explains what a network has learnt changes
 * when what it has learnt is destroyed. Weights are randomised from the head down, stage by stage,
 * and the maps' rank correlation with those of the trained network is taken. */
#ifndef FOCALD_DAEMON_EVAL_SANITY_H
#define FOCALD_DAEMON_EVAL_SANITY_H

#include <jansson.h>
#include <signal.h>
#include <stdint.h>

#include "base/error.h"
#include "daemon/eval_data.h"
#include "daemon/eval_run.h"
#include "model/model.h"

struct sanity_config {
    const struct model *model;
    const char *backend; /* see backends.h */
    enum precision precision;
    int threads;
    enum eval_resampler resampler;
    int clips; /* at most: the first of the table that were heard */
    uint64_t seed;
    const volatile sig_atomic_t *stop; /* nonzero: -EINTR soon; or NULL */
    void (*progress)(void *user, int stages, double share);
    void *user;
};

/* How many stages there are to randomise. */
int sanity_stages(const struct model *model);

/* ret: {seed, clips, stages: [{stage, rank_correlation, least, most, labels_kept, clips}]}, the
 * first stage being the trained network against itself. rank_correlation is null where every map
 * was constant. */
int sanity_run(const struct sanity_config *config, const struct eval_data *data,
               const struct eval_results *results, json_t **ret, struct error *error);

#endif
