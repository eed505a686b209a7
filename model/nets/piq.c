/* SPDX-License-Identifier: Apache-2.0 */
#include "model/nets/piq.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "model/graph.h"

struct build {
    struct graph *g;
    const char *prefix;
    int64_t c; /* channels everywhere but in the mask */
    bool train;
    int ranks;
};

static int weight4(struct build *b, const char *name, int64_t first, int64_t second, int kh, int kw)
{
    return graph_weight(b->g, 4, (const int64_t[]){first, second, kh, kw}, "%s%s.weight", b->prefix,
                        name);
}

static int bias(struct build *b, const char *name, int64_t n)
{
    return graph_weight(b->g, 1, &n, "%s%s.bias", b->prefix, name);
}

static int conv(struct build *b, const char *name, int x, int kernel, int stride, int pad)
{
    int w = weight4(b, name, b->c, b->c, kernel, kernel);
    return graph_conv(b->g, x, w, bias(b, name, b->c), stride, pad, false);
}

static int norm(struct build *b, const char *name, int x)
{
    static const char *const names[] = {"weight", "bias", "running_mean", "running_var"};
    int weights[4];
    for (int i = 0; i < 4; i++)
        weights[i] = graph_weight(b->g, 1, &b->c, "%s%s.%s", b->prefix, name, names[i]);
    if (b->ranks > 1)
        return graph_batch_norm_shared(b->g, x, weights, 1e-5f, b->ranks);
    return (b->train ? graph_batch_norm_train : graph_batch_norm)(b->g, x, weights, 1e-5f);
}

/* ResBlockAudio: x + BN(conv1x1(relu(BN(conv3x3(x))))) */
static int adapter(struct build *b, int x)
{
    int y = norm(b, "adapter.block.1", conv(b, "adapter.block.0", x, 3, 1, 1));
    y = conv(b, "adapter.block.3", graph_relu(b->g, y), 1, 1, 0);
    return graph_add(b->g, x, norm(b, "adapter.block.4", y));
}

/* Transposed convolutions, all but the last with ReLU and then batch norm. */
static int decoder(struct build *b, int x)
{
    static const struct {
        const char *name, *norm;
        int kernel[2], stride[2];
    } layers[] = {
        {"decoder.0", "decoder.2", {3, 3}, {4, 5}}, {"decoder.3", "decoder.5", {4, 1}, {2, 2}},
        {"decoder.6", "decoder.8", {4, 1}, {2, 2}}, {"decoder.9", "decoder.11", {4, 2}, {2, 2}},
        {"decoder.12", NULL, {10, 8}, {1, 1}},
    };
    for (size_t i = 0; i < ARRAY_LEN(layers); i++) {
        int64_t out = layers[i].norm != NULL ? b->c : 1;
        int w = weight4(b, layers[i].name, b->c, out, layers[i].kernel[0], layers[i].kernel[1]);
        x = graph_conv_transposed(b->g, x, w, bias(b, layers[i].name, out), layers[i].stride, 1);
        if (layers[i].norm != NULL)
            x = norm(b, layers[i].norm, graph_relu(b->g, x));
    }
    return x;
}

int piq_check(const struct piq_config *c, int classes, struct error *error)
{
    if (c->keys < classes)
        return error_set(error, EINVAL,
                         "the interpreter's codebook has %d keys for %d classes; allowed: one for "
                         "each, or more",
                         c->keys, classes);
    if (c->shared_keys < 0 || c->shared_keys > c->keys - classes)
        return error_set(error, EINVAL,
                         "piq_shared_keys is %d; allowed: 0 to %d, so that each of the %d classes "
                         "has a key of the codebook's %d",
                         c->shared_keys, c->keys - classes, classes, c->keys);
    return 0;
}

int piq_build(const struct piq_config *config, const char *prefix, int features, int scores,
              bool details, struct graph *g, struct piq_values *ret, struct error *error)
{
    static const int twice[] = {2, 2};
    struct build b = {g, prefix, graph_channels(g, features), config->train, config->ranks};
    int codebook = graph_weight(g, 2, (const int64_t[]){config->keys, b.c},
                                "%scodebook.embedding.weight", prefix);
    int x = ret->features = graph_resize(g, features, PIQ_GRID, PIQ_GRID);
    if (config->adapter)
        x = adapter(&b, x);
    if (config->reduce)
        x = conv(&b, "down", x, 4, 2, 1);
    ret->hcat = x;
    ret->indices = graph_nearest(g, x, scores, codebook, config->shared_keys, !config->train);
    x = ret->z_q_x = graph_lookup(g, ret->indices, codebook);
    if (config->train)
        x = graph_straight_through(g, x, ret->hcat);
    if (config->reduce)
        x = graph_conv_transposed(g, x, weight4(&b, "up", b.c, b.c, 4, 4), bias(&b, "up", b.c),
                                  twice, 1);
    ret->x_tilde = decoder(&b, x);
    ret->mask = graph_output(g, graph_sigmoid(g, ret->x_tilde));
    graph_output(g, ret->hcat);
    graph_output(g, ret->z_q_x);
    if (details) {
        graph_output(g, ret->indices);
        graph_output(g, ret->x_tilde);
    }
    return graph_check(g, error);
}
