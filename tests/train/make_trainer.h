/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FOCALD_TESTS_MAKE_TRAINER_H
#define FOCALD_TESTS_MAKE_TRAINER_H

#include "model/train/trainer.h"

/* Fails the test, with why, where it cannot be made. */
static inline struct trainer *make_trainer(const struct trainer_config *config)
{
    struct trainer *t;
    struct error error;
    if (trainer_create(&t, config, &error) < 0)
        fail_msg("%s", error.text);
    return t;
}

#endif
