/* SPDX-License-Identifier: Apache-2.0
 * The cosine classifier behind every backbone (SpeechBrain lobes/models/ECAPA_TDNN.py Classifier):
 * batch norm, linear, cosines to one vector a class. */
#ifndef FOCALD_MODEL_NETS_HEAD_H
#define FOCALD_MODEL_NETS_HEAD_H

#include <stdbool.h>

struct graph;

/* The weights tell the sizes. */
struct head_config {
    int dim;     /* 192 */
    int classes; /* 0: the network is built without a head */
    bool train;  /* batch norm by the batch's own statistics */
};

/* x: [N][1][1][channels] -> the value of the cosines: [N][1][1][classes]. */
int head_build(struct graph *graph, int x, const struct head_config *config);

#endif
