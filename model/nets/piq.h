/* SPDX-License-Identifier: Apache-2.0
 * PIQ, the interpreter by class-partitioned vector quantisation (SpeechBrain lobes/models/PIQ.py,
 * VectorQuantizedPSIFocalNet_Audio and …ViT_Audio, which are the same; golden/README). */
#ifndef FOCALD_MODEL_NETS_PIQ_H
#define FOCALD_MODEL_NETS_PIQ_H

#include <stdbool.h>

#include "base/error.h"

struct graph;

/* What the decoder makes of PIQ_GRID x PIQ_GRID cells: a window's spectrogram (design §3). */
enum { PIQ_GRID = 14, PIQ_FRAMES = 431, PIQ_BINS = 513 };

struct piq_config {
    int keys;        /* of the codebook; 0: the model has no PIQ */
    int shared_keys; /* the last ones, which belong to every class */
    bool adapter;
    bool reduce; /* the adapter halves the grid before quantising */
    bool train;  /* batch norms by the batch's own statistics, no shared keys, and the gradient of
                    what was quantised goes straight through */
    int ranks;   /* then: processes that share a batch (graph_batch_norm_shared); 0, 1: none */
};

struct piq_values {
    int features; /* [N][14][14][C] the backbone's, resized where they have another size */
    int hcat;     /* [N][7][7][C] what is quantised */
    int indices;  /* [N][7][7][1] keys */
    int z_q_x;    /* [N][7][7][C] their vectors */
    int x_tilde;  /* [N][431][513][1] logits of the mask */
    int mask;     /* sigmoid of them */
};

/* 0, or -EINVAL naming the key, its value and what is allowed: every class needs a key of its own.
 */
int piq_check(const struct piq_config *config, int classes, struct error *error);

/* Appends the interpreter to a graph. prefix: "psi." or "" before its weights' names. features:
 * [N][h][w][C]; scores: [N][1][1][classes], whose largest is the class whose keys are used.
 * details: all but features are kept as outputs; otherwise mask, hcat and z_q_x. */
int piq_build(const struct piq_config *config, const char *prefix, int features, int scores,
              bool details, struct graph *graph, struct piq_values *ret, struct error *error);

#endif
