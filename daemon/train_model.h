/* SPDX-License-Identifier: Apache-2.0
 * What a training has learnt, as a model's directory. */
#ifndef FOCALD_DAEMON_TRAIN_MODEL_H
#define FOCALD_DAEMON_TRAIN_MODEL_H

#include <stdbool.h>

#include "base/error.h"
#include "model/train/trainer.h"

struct train_model {
    const char *geometry, *preprocess; /* the texts of config.json and preprocess.json */
    char *const *labels;
    int n_labels;
    bool half; /* weights as float16, but for the running statistics */
};

/* Appears under its name whole or not at all; a model that is there is replaced. */
int train_model_write(const char *dir, const struct train_model *model, struct trainer *trainer,
                      struct error *error);

/* To the nearest float16, ties to even; beyond its range infinity. */
unsigned short half_from_float(float x);

#endif
