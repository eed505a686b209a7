/* SPDX-License-Identifier: Apache-2.0
 * Stochastic depth (Huang et al. 2016; FocalNet's drop path): in training a layer's residual branch
 * is left out of a sample with a probability that grows linearly from 0 in the first layer to
 * `rate` in the last, and is divided by the probability of staying where it stays. */
#ifndef FOCALD_MODEL_NETS_DROP_PATH_H
#define FOCALD_MODEL_NETS_DROP_PATH_H

struct graph;

enum { DROP_PATH_BRANCHES = 2 }; /* of a layer: what mixes positions, and the MLP */

struct drop_path {
    float rate; /* of the last layer; 0: nothing is dropped, and the graph has nothing of it */
    int layers;
    int scales; /* input [N][1][1][branches], one factor a sample and branch of all layers but the
                   first; -1: none */
};

/* Adds the input to a network for a batch of n, where it has one. */
void drop_path_begin(struct drop_path *ret, struct graph *graph, int n, float rate, int layers);
/* Branch `branch` of layer `layer`, scaled: y itself in a layer that drops nothing. */
int drop_path_branch(const struct drop_path *drop, struct graph *graph, int y, int layer,
                     int branch);
/* Of number i of the input's `branches`: the probability of being left out. A factor is 0 then, and
 * else 1 / (1 - it). */
double drop_path_probability(double rate, int i, int branches);

#endif
