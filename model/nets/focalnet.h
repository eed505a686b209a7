/* SPDX-License-Identifier: Apache-2.0
 * FocalNet with the cosine classifier, of any geometry, as a graph (golden/README; Hugging Face
 * modeling_focalnet.py; SpeechBrain lobes/models/ECAPA_TDNN.py Classifier). */
#ifndef FOCALD_MODEL_NETS_FOCALNET_H
#define FOCALD_MODEL_NETS_FOCALNET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "model/nets/head.h"

struct graph;

enum { FOCALNET_MAX_STAGES = 8, FOCALNET_MAX_LEVELS = 8 };

/* config.json's keys (FocalNetConfig), and the head's sizes, which the weights tell. */
struct focalnet_config {
    int image_rows, image_cols;
    int patch_size;
    int num_channels;
    int embed_dim; /* channels of stage 0; doubled by each stage */
    int n_stages;
    int depths[FOCALNET_MAX_STAGES];
    int focal_levels[FOCALNET_MAX_STAGES];
    int focal_windows[FOCALNET_MAX_STAGES];
    double mlp_ratio; /* in double, as Python multiplies: the product is cut to a whole number */
    float layer_norm_eps;
    bool use_conv_embed;
    bool use_layerscale;
    bool use_post_layernorm;
    bool use_post_layernorm_in_modulation;
    bool normalize_modulator;
    struct head_config head;
    float drop_path; /* in training: of the last layer (drop_path.h); 0: none */
};

/* 0, or -EINVAL naming the key, its value and what is allowed. */
int focalnet_check(const struct focalnet_config *config, struct error *error);

/* Rows and columns of a stage's feature map. */
void focalnet_stage_size(const struct focalnet_config *config, int stage, int *ret_rows,
                         int *ret_cols);
/* Whether a downsampling has rows or columns that are padded to whole patches. */
bool focalnet_pads(const struct focalnet_config *config);
int focalnet_stage_channels(const struct focalnet_config *config, int stage);

/* Values of the graph that are read after a run. -1 where not asked for. */
struct focalnet_values {
    int input; /* [N][rows][cols][num_channels], or one channel with one_plane */
    int embed; /* patch embedding after its norm */
    int stage[FOCALNET_MAX_STAGES];     /* before downsampling */
    int down[FOCALNET_MAX_STAGES];      /* after it */
    int modulator[FOCALNET_MAX_STAGES]; /* of the last layer */
    int map[FOCALNET_MAX_STAGES];       /* [N][rows][cols][1], its L2 norm over channels */
    int features;                       /* the last stage's, for PIQ; no output */
    int embedding;                      /* [N][1][1][channels of the last stage] */
    int cosines;                        /* [N][1][1][n_classes] */
    int drops; /* input [N][1][1][branches], with drop_path; see drop_path.h */
};

/* Builds the network for a batch of n. one_plane: the image is one plane that stands for all its
 * channels, and the first convolution's kernel is summed over them. details: embed, stages, downs
 * and modulators are kept as outputs (parity); otherwise only maps, embedding and cosines. */
int focalnet_build(const struct focalnet_config *config, int n, bool one_plane, bool details,
                   struct graph *graph, struct focalnet_values *ret, struct error *error);

#endif
