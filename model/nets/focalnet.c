/* SPDX-License-Identifier: Apache-2.0
 * C: channels of a stage, L: focal levels, H: hidden channels of the MLP. */
#include "model/nets/focalnet.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/graph.h"
#include "model/nets/drop_path.h"

/* The weights of one layer: field, published name behind "…layers.J.", rank, shape, when it is
 * there. */
#define LAYER_WEIGHTS(X)                                                                           \
    X(norm1_w, "norm1.weight", 1, true, C)                                                         \
    X(norm1_b, "norm1.bias", 1, true, C)                                                           \
    X(in_w, "modulation.projection_in.weight", 2, true, 2 * C + L + 1, C)                          \
    X(in_b, "modulation.projection_in.bias", 1, true, 2 * C + L + 1)                               \
    X(context_w, "modulation.projection_context.weight", 4, true, C, C, 1, 1)                      \
    X(context_b, "modulation.projection_context.bias", 1, true, C)                                 \
    X(out_w, "modulation.projection_out.weight", 2, true, C, C)                                    \
    X(out_b, "modulation.projection_out.bias", 1, true, C)                                         \
    X(mod_norm_w, "modulation.layernorm.weight", 1, c->use_post_layernorm_in_modulation, C)        \
    X(mod_norm_b, "modulation.layernorm.bias", 1, c->use_post_layernorm_in_modulation, C)          \
    X(norm2_w, "norm2.weight", 1, true, C)                                                         \
    X(norm2_b, "norm2.bias", 1, true, C)                                                           \
    X(fc1_w, "mlp.fc1.weight", 2, true, H, C)                                                      \
    X(fc1_b, "mlp.fc1.bias", 1, true, H)                                                           \
    X(fc2_w, "mlp.fc2.weight", 2, true, C, H)                                                      \
    X(fc2_b, "mlp.fc2.bias", 1, true, C)                                                           \
    X(gamma1, "gamma_1", 1, c->use_layerscale, C)                                                  \
    X(gamma2, "gamma_2", 1, c->use_layerscale, C)

struct layer_weights {
#define FIELD(field, name, rank, when, ...) int field;
    LAYER_WEIGHTS(FIELD)
#undef FIELD
    int focal[FOCALNET_MAX_LEVELS]; /* [C][1][k][k], k = window + 2l */
};

static int round_up(int x, int to)
{
    return (x + to - 1) / to * to;
}

/* Kernel, stride and padding of the patch embedding (stage < 0) and of a downsampling. */
static void embed_geometry(const struct focalnet_config *c, int stage, int *kernel, int *stride,
                           int *pad)
{
    bool stem = stage < 0;
    *stride = stem ? c->patch_size : 2;
    *kernel = *stride;
    *pad = 0;
    if (c->use_conv_embed) { /* FocalNetPatchEmbeddings */
        *kernel = stem ? 7 : 3;
        *pad = stem ? 2 : 1;
        if (stem)
            *stride = 4;
    }
}

int focalnet_stage_channels(const struct focalnet_config *c, int stage)
{
    return c->embed_dim << stage;
}

/* Rows or columns that an embedding sees: Hugging Face pads them to whole patches, the image as
 * well as what a downsampling takes. Where this convolves with an odd kernel it makes no
 * difference. */
static int padded(const struct focalnet_config *c, int stage, int cells)
{
    return stage < 0            ? round_up(cells, c->patch_size)
           : !c->use_conv_embed ? round_up(cells, 2)
                                : cells;
}

void focalnet_stage_size(const struct focalnet_config *c, int stage, int *ret_rows, int *ret_cols)
{
    int rows = c->image_rows, cols = c->image_cols;
    for (int s = -1; s < stage; s++) {
        int kernel, stride, pad;
        embed_geometry(c, s, &kernel, &stride, &pad);
        rows = (padded(c, s, rows) + 2 * pad - kernel) / stride + 1;
        cols = (padded(c, s, cols) + 2 * pad - kernel) / stride + 1;
    }
    *ret_rows = rows;
    *ret_cols = cols;
}

bool focalnet_pads(const struct focalnet_config *c)
{
    for (int s = 0; s + 1 < c->n_stages; s++) {
        int rows, cols;
        focalnet_stage_size(c, s, &rows, &cols);
        if (padded(c, s, rows) != rows || padded(c, s, cols) != cols)
            return true;
    }
    return false;
}

static int check_range(const char *key, double value, double from, double to, struct error *error)
{
    if (value >= from && value <= to)
        return 0;
    return error_set(error, EINVAL, "%s is %g; allowed: %g to %g", key, value, from, to);
}

int focalnet_check(const struct focalnet_config *c, struct error *error)
{
    int r = check_range("image_size", c->image_rows, 16, 1024, error);
    if (r == 0)
        r = check_range("image_size", c->image_cols, 16, 1024, error);
    if (r == 0)
        r = check_range("patch_size", c->patch_size, 1, 32, error);
    if (r == 0)
        r = check_range("num_channels", c->num_channels, 1, 16, error);
    if (r == 0)
        r = check_range("embed_dim", c->embed_dim, 1, 2048, error);
    if (r == 0)
        r = check_range("the number of depths", c->n_stages, 1, FOCALNET_MAX_STAGES, error);
    if (r == 0)
        r = check_range("mlp_ratio", c->mlp_ratio, 0.1, 16, error);
    if (r == 0)
        r = check_range("layer_norm_eps", (double)c->layer_norm_eps, 0, 1, error);
    for (int s = 0; s < c->n_stages && r == 0; s++) {
        r = check_range("depths", c->depths[s], 1, 64, error);
        if (r == 0)
            r = check_range("focal_levels", c->focal_levels[s], 1, FOCALNET_MAX_LEVELS, error);
        if (r == 0)
            r = check_range("focal_windows", c->focal_windows[s], 1, 31, error);
        if (r == 0 && c->focal_windows[s] % 2 == 0)
            r = error_set(error, EINVAL,
                          "focal_windows is %d; allowed: odd numbers, so that the "
                          "context keeps its size",
                          c->focal_windows[s]);
        if (r == 0)
            r = check_range("the channels of a stage (embed_dim doubled)",
                            focalnet_stage_channels(c, s), 1, 16384, error);
    }
    return r;
}

/* Building */

struct build {
    const struct focalnet_config *c;
    struct graph *g;
    struct drop_path drop;
    int layer; /* of all stages' */
};

static void declare_layer(struct build *b, int stage, int layer, struct layer_weights *w)
{
    const struct focalnet_config *c = b->c;
    int C = focalnet_stage_channels(c, stage), L = c->focal_levels[stage];
    int H = (int)(C * c->mlp_ratio);
#define DECLARE(field, name, rank, when, ...)                                                      \
    w->field = -1;                                                                                 \
    if (when)                                                                                      \
        w->field = graph_weight(b->g, rank, (const int64_t[]){__VA_ARGS__},                        \
                                "focalnet.encoder.stages.%d.layers.%d." name, stage, layer);
    LAYER_WEIGHTS(DECLARE)
#undef DECLARE
    for (int l = 0; l < L; l++) {
        int k = c->focal_windows[stage] + 2 * l;
        w->focal[l] = graph_weight(b->g, 4, (const int64_t[]){C, 1, k, k},
                                   "focalnet.encoder.stages.%d.layers.%d.modulation.focal_layers."
                                   "%d.0.weight",
                                   stage, layer, l);
    }
}

/* x + gamma * y, gamma only with layer scale, y the layer's branch of that number */
static int residual(struct build *b, int x, int y, int gamma, int branch)
{
    if (gamma >= 0)
        y = graph_channel_scale(b->g, y, gamma);
    return graph_add(b->g, x, drop_path_branch(&b->drop, b->g, y, b->layer, branch));
}

static int norm(struct build *b, int x, int scale, int shift)
{
    return graph_layer_norm(b->g, x, scale, shift, b->c->layer_norm_eps);
}

/* FocalNetModulation. *ret_modulator: the output of projection_context. */
static int modulation(struct build *b, int stage, const struct layer_weights *w, int x,
                      int *ret_modulator)
{
    struct graph *g = b->g;
    int projected = graph_linear(g, x, w->in_w, w->in_b);
    int context = graph_focal_context(g, projected, w->focal, b->c->focal_levels[stage],
                                      b->c->focal_windows[stage], b->c->normalize_modulator);
    int q = graph_slice(g, projected, 0, focalnet_stage_channels(b->c, stage));
    *ret_modulator = graph_linear(g, context, w->context_w, w->context_b);
    int y = graph_mul(g, q, *ret_modulator);
    if (b->c->use_post_layernorm_in_modulation)
        y = norm(b, y, w->mod_norm_w, w->mod_norm_b);
    return graph_linear(g, y, w->out_w, w->out_b);
}

static int mlp(struct build *b, const struct layer_weights *w, int x)
{
    int hidden = graph_gelu(b->g, graph_linear(b->g, x, w->fc1_w, w->fc1_b));
    return graph_linear(b->g, hidden, w->fc2_w, w->fc2_b);
}

/* FocalNetLayer: pre-norm x + g1 mod(norm1(x)), post-norm x + g1 norm1(mod(x)). */
static int layer(struct build *b, int stage, int index, int x, int *ret_modulator)
{
    struct layer_weights w;
    declare_layer(b, stage, index, &w);
    if (b->c->use_post_layernorm) {
        x = residual(b, x,
                     norm(b, modulation(b, stage, &w, x, ret_modulator), w.norm1_w, w.norm1_b),
                     w.gamma1, 0);
        x = residual(b, x, norm(b, mlp(b, &w, x), w.norm2_w, w.norm2_b), w.gamma2, 1);
    } else {
        x = residual(b, x,
                     modulation(b, stage, &w, norm(b, x, w.norm1_w, w.norm1_b), ret_modulator),
                     w.gamma1, 0);
        x = residual(b, x, mlp(b, &w, norm(b, x, w.norm2_w, w.norm2_b)), w.gamma2, 1);
    }
    b->layer++;
    return x;
}

/* The patch embedding (stage -1) or the downsampling after a stage, with its norm. */
static int embed(struct build *b, int stage, int x, bool one_plane)
{
    const struct focalnet_config *c = b->c;
    char prefix[64];
    int kernel, stride, pad, rows, cols;
    embed_geometry(c, stage, &kernel, &stride, &pad);
    focalnet_stage_size(c, stage, &rows, &cols);
    x = graph_pad(b->g, x, padded(c, stage, rows), padded(c, stage, cols));
    int in = stage < 0 ? c->num_channels : focalnet_stage_channels(c, stage);
    int out = focalnet_stage_channels(c, stage + 1);
    if (stage < 0)
        snprintf(prefix, sizeof prefix, "focalnet.embeddings.patch_embeddings");
    else
        snprintf(prefix, sizeof prefix, "focalnet.encoder.stages.%d.downsample", stage);
    int w = graph_weight(b->g, 4, (const int64_t[]){out, in, kernel, kernel},
                         "%s.projection.weight", prefix);
    int bias = graph_weight(b->g, 1, (const int64_t[]){out}, "%s.projection.bias", prefix);
    if (stage < 0)
        snprintf(prefix, sizeof prefix, "focalnet.embeddings");
    int scale = graph_weight(b->g, 1, (const int64_t[]){out}, "%s.norm.weight", prefix);
    int shift = graph_weight(b->g, 1, (const int64_t[]){out}, "%s.norm.bias", prefix);
    return norm(b, graph_conv(b->g, x, w, bias, stride, pad, stage < 0 && one_plane), scale, shift);
}

int focalnet_build(const struct focalnet_config *c, int n, bool one_plane, bool details,
                   struct graph *g, struct focalnet_values *ret, struct error *error)
{
    struct build b = {.c = c, .g = g};
    int layers = 0, r = focalnet_check(c, error);
    if (r < 0)
        return r;
    for (int s = 0; s < c->n_stages; s++)
        layers += c->depths[s];
    for (int s = 0; s < FOCALNET_MAX_STAGES; s++)
        ret->stage[s] = ret->down[s] = ret->modulator[s] = ret->map[s] = -1;
    ret->input = graph_input(g, (struct tensor_shape){n, padded(c, -1, c->image_rows),
                                                      padded(c, -1, c->image_cols),
                                                      one_plane ? 1 : c->num_channels});
    drop_path_begin(&b.drop, g, n, c->drop_path, layers);
    ret->drops = b.drop.scales;
    int x = embed(&b, -1, ret->input, one_plane);
    ret->embed = details ? graph_output(g, x) : -1;
    for (int s = 0; s < c->n_stages; s++) {
        int modulator = -1;
        for (int l = 0; l < c->depths[s]; l++)
            x = layer(&b, s, l, x, &modulator);
        ret->map[s] = graph_output(g, graph_channel_l2(g, modulator));
        if (details) {
            ret->modulator[s] = graph_output(g, modulator);
            ret->stage[s] = graph_output(g, x);
        }
        if (s + 1 == c->n_stages)
            break;
        x = embed(&b, s, x, false);
        if (details)
            ret->down[s] = graph_output(g, x);
    }
    ret->features = x;
    ret->embedding = graph_output(g, graph_mean(g, x));
    ret->cosines =
        c->head.classes > 0 ? graph_output(g, head_build(g, ret->embedding, &c->head)) : -1;
    return graph_check(g, error);
}
