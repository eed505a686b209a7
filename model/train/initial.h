/* SPDX-License-Identifier: Apache-2.0
 * What a network's weights are before it has learnt anything. */
#ifndef FOCALD_MODEL_TRAIN_INITIAL_H
#define FOCALD_MODEL_TRAIN_INITIAL_H

#include <stdint.h>

#include "base/error.h"
#include "model/graph.h"
#include "model/weights/provider.h"

struct initial;

/* One tensor for each of the graph's weights: from `from` where it has one of that name and shape,
 * otherwise drawn by the seed and the name alone:
 *
 *   norms       scale 1, shift 0, running mean 0, running variance 1;  layer scales 1e-4
 *   biases      0
 *   linear      normal, standard deviation 0.02, cut at 2 of them (the class vectors: Xavier's
 *               uniform; the linear layer of the head and heads without a name: U(+-1/sqrt(in)))
 *   kernels     U(+-1/sqrt(fan in))
 *   positions   normal 0.02, as the cls token
 *   PIQ         kernels by Xavier's uniform, the K keys U(+-1/K)
 *
 * (Microsoft's FocalNet: only linear layers are drawn anew, convolutions stay as torch.nn.Conv2d
 * makes them; SpeechBrain's Classifier and PIQ.) from: may be NULL. The graph outlives it.
 * *ret_taken: how many came from `from`. */
int initial_create(struct initial **ret, const struct graph *graph, struct weights *from,
                   uint64_t seed, int *ret_taken, struct error *error);
void initial_destroy(struct initial *initial); /* takes NULL */

struct weights *initial_weights(struct initial *initial);

#endif
