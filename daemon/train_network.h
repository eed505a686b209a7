/* SPDX-License-Identifier: Apache-2.0
 * The network that a training is about: what it looks like, the numbers before it, the model that
 * it begins with, and how each of its weights learns. */
#ifndef FOCALD_DAEMON_TRAIN_NETWORK_H
#define FOCALD_DAEMON_TRAIN_NETWORK_H

#include "base/error.h"
#include "daemon/train_config.h"
#include "model/model.h"
#include "model/nets/net.h"
#include "model/train/trainer.h"
#include "model/weights/provider.h"

struct train_network {
    const struct train_config *config;
    char *geometry, *preprocess; /* the texts of config.json and preprocess.json */
    struct net_config net;       /* of an interpreter whole, else without what the classes tell */
    struct model_info info;      /* preprocess and image size; of an interpreter also the classes,
                                    which are its model's */
    struct model *from;          /* NULL: all is drawn */
    struct weights *weights;     /* of it */
};

/* config outlives it. -EINVAL: what is wrong in config, the model's files or a config.json. */
int train_network_read(struct train_network *ret, const struct train_config *config,
                       struct error *error);
/* -EINVAL: what is no use to begin, as nothing would be trained. */
int train_network_check(const struct train_network *network, struct error *error);
void train_network_finish(struct train_network *network); /* also of a zeroed struct */

/* With the number of classes, of a classifier. */
void train_network_classes(struct train_network *network, int classes);

/* A weight's rule, by the part of the network that it is in. network: a struct train_network. */
struct trainer_rule train_network_rule(const void *network, const char *name, int rank);

#endif
