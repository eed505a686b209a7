/* SPDX-License-Identifier: Apache-2.0
 * ViT with the cosine classifier, of any geometry, as a graph (golden/README; Hugging Face
 * modeling_vit.py). Its map is the attention of the cls token in the last layer. */
#ifndef FOCALD_MODEL_NETS_VIT_H
#define FOCALD_MODEL_NETS_VIT_H

#include <stdbool.h>

#include "base/error.h"
#include "model/nets/head.h"

struct graph;

enum { VIT_MAX_LAYERS = 64 };

/* config.json's keys (ViTConfig), and the head's sizes, which the weights tell. */
struct vit_config {
    int image_rows, image_cols;
    int patch_size;
    int num_channels;
    int hidden_size;
    int num_hidden_layers;
    int num_attention_heads;
    int intermediate_size;
    float layer_norm_eps;
    struct head_config head;
    float drop_path; /* in training: of the last layer (drop_path.h); 0: none */
};

/* 0, or -EINVAL naming the key, its value and what is allowed. */
int vit_check(const struct vit_config *config, struct error *error);

/* Rows and columns of patches. */
void vit_grid_size(const struct vit_config *config, int *ret_rows, int *ret_cols);

/* Values of the graph that are read after a run; -1 where not asked for. T: 1 + rows x columns. */
struct vit_values {
    int input;                 /* [N][rows][cols][num_channels], or one channel with one_plane */
    int embed;                 /* [N][1][T][hidden] cls, patches and positions */
    int layer[VIT_MAX_LAYERS]; /* [N][1][T][hidden] */
    int hidden;                /* [N][1][T][hidden] behind the final norm */
    int cls_attention;         /* [N][1][heads][T] of the last layer */
    int map;                   /* [N][rows][cols][1], its mean over heads */
    int features;              /* [N][rows][cols][hidden] `hidden` without the cls token */
    int embedding;             /* [N][1][1][hidden] mean over all tokens */
    int cosines;               /* [N][1][1][classes] */
    int drops;                 /* input [N][1][1][branches], with drop_path; see drop_path.h */
};

/* Builds the network for a batch of n. one_plane: the image is one plane that stands for all its
 * channels. features: `features` is built. details: all values are kept as outputs (parity);
 * otherwise only map, embedding and cosines. */
int vit_build(const struct vit_config *config, int n, bool one_plane, bool features, bool details,
              struct graph *graph, struct vit_values *ret, struct error *error);

#endif
