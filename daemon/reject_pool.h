/* SPDX-License-Identifier: Apache-2.0
 * What models say of sounds that they know and of sounds that they do not: the clips of training
 * runs whose models were not told of some classes, scored and pooled. */
#ifndef FOCALD_DAEMON_REJECT_POOL_H
#define FOCALD_DAEMON_REJECT_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "daemon/eval_data.h"
#include "daemon/eval_window.h"
#include "model/reject.h"

struct reject_set { /* of more clips, beside those of the runs */
    const char *dir;
    uint64_t folds; /* 0: all */
};

struct reject_clip {
    int run, class; /* of the pool; class is what it is, whether the model knows it or not */
    bool known, right;
    bool silent; /* the network did not hear it */
    float scores[REJECT_COUNT];
};

struct reject_run {
    const char *dir; /* as named */
    char *model;     /* the directory of its model */
    char hash[65];
    float scale;
    char *
        *classes; /* [n_classes] of its model, behind them the n_left_out that were kept from it */
    int n_classes, n_left_out;
    int known, unknown; /* clips; unknown: that it heard */
    int silent;         /* of both */
};

struct reject_pool {
    char **classes; /* [n_classes] */
    int n_classes;
    struct reject_run *runs; /* [n_runs] */
    int n_runs;
    struct reject_clip *clips; /* [n] run after run */
    int n;
    enum eval_resampler resampler; /* that they came through */
};

struct reject_pool_config {
    char *const *dirs; /* [n_dirs] runs or models */
    int n_dirs;
    const struct reject_set *sets; /* [n_sets] of a run their unknown clips count, of a model all */
    int n_sets;
    const char *const *aliases; /* [n_aliases] of these sets */
    int n_aliases;
    const char *model;   /* that the threshold is for, whose classes the runs must have, or NULL */
    const char *backend; /* see backends.h */
    enum precision precision;
    int threads;
    enum eval_resampler resampler;
    bool keep_going;
    /* Clips that are done, of all of this run. */
    void (*progress)(void *user, const char *dir, int done, int of);
    void (*failed)(void *user, const char *line); /* a clip, with keep_going */
    void *user;
};

/* Errors name the run: it has no model, no unknown clips, other classes or another scale than the
 * rest (-EINVAL); all of eval_data_read's and eval_run's. */
int reject_pool_make(struct reject_pool *ret, const struct reject_pool_config *config,
                     struct error *error);
void reject_pool_finish(struct reject_pool *pool); /* also of a zeroed struct */

#endif
