/* SPDX-License-Identifier: Apache-2.0
 * Dynamic loss scaling. What float16 holds ends at 2^-24, and most gradients of activations are
 * smaller: the loss, and by that all gradients, are multiplied by a factor while they are computed,
 * and those of the weights, which are float32, divided by it before anything is made of them
 * (Micikevicius et al. 2018, "Mixed Precision Training", section 3.2). The factor is as large as it
 * can be: it is halved when it was too large for a step, which is skipped, and doubled when it has
 * been good for long. It is a power of two, so that no bit of a gradient changes. */
#ifndef FOCALD_MODEL_TRAIN_LOSS_SCALE_H
#define FOCALD_MODEL_TRAIN_LOSS_SCALE_H

#include <stdbool.h>
#include <stdint.h>

#include "model/precision.h"

struct loss_scale {
    double factor; /* 0: losses are not scaled, and these functions change nothing */
    uint32_t good; /* steps taken since it changed last */
};

/* First factor: torch.amp.GradScaler's (init_scale). Least one: that of Keras's LossScaleOptimizer;
 * where even that is too large, the gradient is. Largest: that of NVIDIA's apex (max_loss_scale),
 * far from what float32 holds. Steps until it grows: GradScaler's growth_interval is 2000, for
 * trainings of 10^5 steps; a tenth of it for ours of 10^4, whose first gradients are the longest.
 * At most so often a step is skipped in vain. */
enum {
    LOSS_SCALE_FIRST = 1 << 16,
    LOSS_SCALE_LEAST = 1,
    LOSS_SCALE_MOST = 1 << 24,
    LOSS_SCALE_GROWS_AFTER = 200,
};

/* Of a training in this precision: scaled in float16 alone. */
struct loss_scale loss_scale_begin(enum precision precision);
/* What to multiply the loss by. */
double loss_scale_factor(const struct loss_scale *scale);
/* A gradient was not finite: halves the factor; the step is to be skipped. False: that cannot help,
 * the gradient itself is not finite. */
bool loss_scale_lower(struct loss_scale *scale);
/* A step was taken. */
void loss_scale_keep(struct loss_scale *scale);
/* Whether it is one that these functions make. */
bool loss_scale_is_valid(const struct loss_scale *scale);

#endif
