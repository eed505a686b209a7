/* SPDX-License-Identifier: Apache-2.0
 * Clips in, labels out: cuts each clip into windows, runs the windows of several clips as batches,
 * and gives every clip back when its last window is done, in the order they came. */
#ifndef FOCALD_DAEMON_CLASSIFIER_H
#define FOCALD_DAEMON_CLASSIFIER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "daemon/clip.h"
#include "daemon/picture.h"
#include "model/model.h"

struct classifier;

struct classified_window {
    size_t first, count; /* samples of the clip it speaks for: to the clip's end for the last one,
                            which is filled up with zeros or is a little longer */
    bool silence;        /* under the gate: no network was run */
    int best;            /* index into the model's labels; -1 in silence */
    bool unknown;        /* its score is under the threshold: best is but the nearest */
    float score;         /* of config.reject; NaN in silence or without a threshold */
    float p, p_paper, cosine;
    float *map; /* [rows][cols] of the last stage; NULL in silence */
};

struct classified_clip {
    struct clip clip;
    /* The network's result of a window is not finite: but for clip and user nothing of the rest
     * counts. */
    bool failed;
    struct error error;
    int n_windows;
    struct classified_window *windows; /* [n_windows] */
    /* Means over the windows that are not silent, each counting by the samples it holds. */
    bool silence;            /* all of them are */
    float *p, *p_paper;      /* [n_classes] */
    bool unknown;            /* the mean score is under the threshold */
    float score;             /* as of a window */
    float *interpreted;      /* [clip.n] the interpretation as sound; NULL unless wanted */
    struct picture *picture; /* NULL unless wanted */
    void *user;              /* from classifier_add */
};

struct classifier_config {
    const struct model *model; /* outlives the classifier */
    const char *backend;       /* see backends.h */
    enum precision precision;
    int threads, batch; /* 0: all cores; 1 ... 64 */
    double quantile;
    float gate;                 /* linear */
    struct model_reject reject; /* what is unknown */
    size_t hop;                 /* samples between the windows' beginnings; 0: a window's length */
    bool interpret, picture;    /* make them */
    /* A clip is done. It is freed after the call. */
    void (*done)(void *user, struct classified_clip *clip);
    void *user;
};

int classifier_create(struct classifier **ret, const struct classifier_config *config,
                      struct error *error);
void classifier_destroy(struct classifier *classifier); /* takes NULL; clips not done are dropped */

/* Takes the clip (also on failure). May call done for this clip and others before it. An error is
 * the network's: nothing more can be done. */
int classifier_add(struct classifier *classifier, struct clip *clip, void *user,
                   struct error *error);
/* Runs what waits for a batch to be full; every clip is done after it. */
int classifier_flush(struct classifier *classifier, struct error *error);

#endif
