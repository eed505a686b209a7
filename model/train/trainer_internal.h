/* SPDX-License-Identifier: Apache-2.0
 * What the kinds of trainers share: networks with their optimizers. A kind is one file and one
 * table. */
#ifndef FOCALD_MODEL_TRAIN_TRAINER_INTERNAL_H
#define FOCALD_MODEL_TRAIN_TRAINER_INTERNAL_H

#include "model/train/learner.h"
#include "model/train/trainer.h"

/* A network that learns. */
struct part {
    struct learner *learner;
    struct optimizer optimizer;
    float *average; /* [parameters] in the learner's store, as the optimizer's arrays */
    float *here;    /* [parameters] the host's copy, where the store is no memory of its; or NULL */
};

enum { TRAINER_MAX_PARTS = 2 };

struct trainer { /* each kind's begins with it */
    const struct trainer_ops *ops;
    struct trainer_config config;
    struct part parts[TRAINER_MAX_PARTS]; /* the first takes the images */
    int n_parts;
    int taken;
    struct loss_scale scale;
    struct net_values net; /* of the first */
    int total;             /* N */
    int *names;            /* [n_names] part * 2^16 + range */
    int n_names;
};

struct trainer_ops {
    size_t size; /* of the kind's struct */
    /* Makes the parts, by trainer_make_part, and what else it needs. */
    int (*create)(struct trainer *trainer, struct error *error);
    void (*destroy)(struct trainer *trainer); /* frees that; also where create failed */
    /* Forward: all of ret but the norm, and the seeds of what follows. */
    int (*forward)(struct trainer *trainer, const struct trainer_batch *batch,
                   struct trainer_losses *ret, struct error *error);
    /* The gradients of all parts, of the whole batch. */
    int (*backward)(struct trainer *trainer, struct error *error);
};

extern const struct trainer_ops trainer_classifier, trainer_interpreter;

/* Part n_parts. outputs: [n] whose gradients come from outside; frozen: those that are not trained
 * (learner.h). Takes the graph over. */
int trainer_make_part(struct trainer *trainer, struct graph *graph, const int *outputs, int n,
                      bool inputs, bool (*frozen)(const void *user, const char *name),
                      struct error *error);

/* config.rule, whose user is the trainer's config. */
bool trainer_rule_frozen(const void *config, const char *name);

#endif
