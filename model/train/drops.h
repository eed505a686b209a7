/* SPDX-License-Identifier: Apache-2.0
 * The factors of a step's stochastic depth (model/nets/drop_path.h). */
#ifndef FOCALD_MODEL_TRAIN_DROPS_H
#define FOCALD_MODEL_TRAIN_DROPS_H

#include <stdint.h>

/* ret: [n][branches] 0 with the branch's probability, else 1 / (1 - it). They depend on the seed,
 * the step and the image's place in the whole batch, `first` and on, alone: a resumed run and
 * several processes draw the same. */
void drops_draw(float *ret, int n, int branches, double rate, uint64_t seed, uint64_t step,
                uint64_t first);

#endif
