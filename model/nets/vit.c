/* SPDX-License-Identifier: Apache-2.0
 * T: tokens, D: hidden channels. */
#include "model/nets/vit.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "model/graph.h"
#include "model/nets/drop_path.h"

void vit_grid_size(const struct vit_config *c, int *ret_rows, int *ret_cols)
{
    *ret_rows = c->image_rows / c->patch_size;
    *ret_cols = c->image_cols / c->patch_size;
}

int vit_check(const struct vit_config *c, struct error *error)
{
    const struct {
        const char *key;
        int value, from, to;
    } ranges[] = {
        {"image_size", c->image_rows, 16, 1024},
        {"image_size", c->image_cols, 16, 1024},
        {"patch_size", c->patch_size, 1, 128},
        {"num_channels", c->num_channels, 1, 16},
        {"hidden_size", c->hidden_size, 1, 16384},
        {"num_hidden_layers", c->num_hidden_layers, 1, VIT_MAX_LAYERS},
        {"num_attention_heads", c->num_attention_heads, 1, 256},
        {"intermediate_size", c->intermediate_size, 1, 65536},
    };
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
        if (ranges[i].value < ranges[i].from || ranges[i].value > ranges[i].to)
            return error_set(error, EINVAL, "%s is %d; allowed: %d to %d", ranges[i].key,
                             ranges[i].value, ranges[i].from, ranges[i].to);
    if (c->hidden_size % c->num_attention_heads != 0)
        return error_set(error, EINVAL,
                         "num_attention_heads is %d; allowed: numbers that divide hidden_size %d",
                         c->num_attention_heads, c->hidden_size);
    if (c->image_rows % c->patch_size != 0 || c->image_cols % c->patch_size != 0)
        return error_set(error, EINVAL,
                         "patch_size is %d; allowed: numbers that divide image_size [%d, %d]",
                         c->patch_size, c->image_rows, c->image_cols);
    if (!(c->layer_norm_eps >= 0 && c->layer_norm_eps <= 1))
        return error_set(error, EINVAL, "layer_norm_eps is %g; allowed: 0 to 1",
                         (double)c->layer_norm_eps);
    return 0;
}

struct build {
    const struct vit_config *c;
    struct graph *g;
    struct drop_path drop;
};

/* The linear layer `name` of encoder layer `layer`. */
static int linear(struct build *b, int layer, const char *name, int x, int out)
{
    int64_t in = graph_channels(b->g, x);
    int w = graph_weight(b->g, 2, (const int64_t[]){out, in}, "encoder.layer.%d.%s.weight", layer,
                         name);
    int bias =
        graph_weight(b->g, 1, (const int64_t[]){out}, "encoder.layer.%d.%s.bias", layer, name);
    return graph_linear(b->g, x, w, bias);
}

static int norm(struct build *b, int layer, const char *name, int x)
{
    const int64_t d = b->c->hidden_size;
    int scale = graph_weight(b->g, 1, &d, "encoder.layer.%d.%s.weight", layer, name);
    int shift = graph_weight(b->g, 1, &d, "encoder.layer.%d.%s.bias", layer, name);
    return graph_layer_norm(b->g, x, scale, shift, b->c->layer_norm_eps);
}

/* x + y, the layer's branch of that number */
static int residual(struct build *b, int index, int x, int y, int branch)
{
    return graph_add(b->g, x, drop_path_branch(&b->drop, b->g, y, index, branch));
}

/* ViTLayer: x + attention(norm(x)), x + mlp(norm(x)). */
static int layer(struct build *b, int index, int x, struct vit_values *ret)
{
    const int d = b->c->hidden_size, heads = b->c->num_attention_heads;
    int normed = norm(b, index, "layernorm_before", x);
    int q = linear(b, index, "attention.attention.query", normed, d);
    int k = linear(b, index, "attention.attention.key", normed, d);
    int v = linear(b, index, "attention.attention.value", normed, d);
    if (index + 1 == b->c->num_hidden_layers)
        ret->cls_attention = graph_cls_attention(b->g, q, k, heads);
    int attended = graph_attention(b->g, q, k, v, heads);
    x = residual(b, index, x, linear(b, index, "attention.output.dense", attended, d), 0);
    int hidden = linear(b, index, "intermediate.dense", norm(b, index, "layernorm_after", x),
                        b->c->intermediate_size);
    return residual(b, index, x, linear(b, index, "output.dense", graph_gelu(b->g, hidden), d), 1);
}

static int embed(struct build *b, int image, bool one_plane)
{
    const struct vit_config *c = b->c;
    int rows, cols;
    vit_grid_size(c, &rows, &cols);
    const int64_t d = c->hidden_size, patch = c->patch_size;
    int w = graph_weight(b->g, 4, (const int64_t[]){d, c->num_channels, patch, patch},
                         "embeddings.patch_embeddings.projection.weight");
    int bias = graph_weight(b->g, 1, &d, "embeddings.patch_embeddings.projection.bias");
    int cls = graph_weight(b->g, 3, (const int64_t[]){1, 1, d}, "embeddings.cls_token");
    int positions = graph_weight(b->g, 3, (const int64_t[]){1, 1 + rows * cols, d},
                                 "embeddings.position_embeddings");
    int patches = graph_conv(b->g, image, w, bias, c->patch_size, 0, one_plane);
    return graph_tokens(b->g, patches, cls, positions);
}

int vit_build(const struct vit_config *c, int n, bool one_plane, bool features, bool details,
              struct graph *g, struct vit_values *ret, struct error *error)
{
    struct build b = {.c = c, .g = g};
    const int64_t d = c->hidden_size;
    int rows, cols, r = vit_check(c, error);
    if (r < 0)
        return r;
    vit_grid_size(c, &rows, &cols);
    ret->input = graph_input(
        g, (struct tensor_shape){n, c->image_rows, c->image_cols, one_plane ? 1 : c->num_channels});
    drop_path_begin(&b.drop, g, n, c->drop_path, c->num_hidden_layers);
    ret->drops = b.drop.scales;
    int x = ret->embed = embed(&b, ret->input, one_plane);
    for (int l = 0; l < c->num_hidden_layers; l++)
        x = ret->layer[l] = layer(&b, l, x, ret);
    int scale = graph_weight(g, 1, &d, "layernorm.weight");
    int shift = graph_weight(g, 1, &d, "layernorm.bias");
    ret->hidden = graph_layer_norm(g, x, scale, shift, c->layer_norm_eps);
    ret->features = features ? graph_grid(g, ret->hidden, rows, cols) : -1;
    ret->map = graph_output(g, graph_attention_map(g, ret->cls_attention, rows, cols));
    ret->embedding = graph_output(g, graph_mean(g, ret->hidden));
    ret->cosines =
        c->head.classes > 0 ? graph_output(g, head_build(g, ret->embedding, &c->head)) : -1;
    if (details) {
        graph_output(g, ret->embed);
        graph_output(g, ret->hidden);
        graph_output(g, ret->cls_attention);
        for (int l = 0; l < c->num_hidden_layers; l++)
            graph_output(g, ret->layer[l]);
    }
    return graph_check(g, error);
}
