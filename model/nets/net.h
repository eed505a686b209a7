/* SPDX-License-Identifier: Apache-2.0
 * Any of the networks, as the model, the runner and the tools see it. */
#ifndef FOCALD_MODEL_NETS_NET_H
#define FOCALD_MODEL_NETS_NET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "model/nets/focalnet.h"
#include "model/nets/piq.h"
#include "model/nets/vit.h"

enum net_kind { NET_FOCALNET, NET_VIT };

struct net_config {
    enum net_kind kind;
    union {
        struct focalnet_config focalnet;
        struct vit_config vit;
    };
    struct piq_config piq;
};

enum { NET_MAX_MAPS = FOCALNET_MAX_STAGES + 1 };

const char *net_name(enum net_kind kind); /* "focalnet", "vit": config.json's model_type */
struct head_config *net_head(struct net_config *config);
float *net_drop_path(struct net_config *config); /* 0 but in training */
void net_image_size(const struct net_config *config, int *ret_rows, int *ret_cols);
/* FocalNet: one map a stage; ViT: one; with PIQ its mask in addition. */
int net_maps(const struct net_config *config, bool piq);
void net_map_size(const struct net_config *config, int i, int *ret_rows, int *ret_cols);

/* Values of the graph that are read after a run. */
struct net_values {
    int input;
    int map[NET_MAX_MAPS];
    int embedding, cosines;
    int hcat, z_q_x; /* with PIQ: what it quantises, and what that becomes (piq.h) */
    int drops;       /* in training: an input (drop_path.h); -1: none */
};

/* Builds the network for a batch of n, with PIQ behind it where asked for. */
int net_build(const struct net_config *config, int n, bool one_plane, bool piq, struct graph *graph,
              struct net_values *ret, struct error *error);

/* Of one window: graph_flops. */
double net_flops(const struct net_config *config, bool piq);
/* With PIQ where the model has it. */
size_t net_parameters(const struct net_config *config);

#endif
