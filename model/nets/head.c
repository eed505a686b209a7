/* SPDX-License-Identifier: Apache-2.0 */
#include "model/nets/head.h"

#include "model/graph.h"

int head_build(struct graph *g, int x, const struct head_config *c)
{
    static const char *const names[] = {"weight", "bias", "running_mean", "running_var"};
    int64_t channels = graph_channels(g, x);
    int bn[4];
    for (int i = 0; i < 4; i++)
        bn[i] = graph_weight(g, 1, &channels, "classifier.blocks.0.norm.%s", names[i]);
    int w = graph_weight(g, 2, (const int64_t[]){c->dim, channels}, "classifier.blocks.1.w.weight");
    int bias = graph_weight(g, 1, (const int64_t[]){c->dim}, "classifier.blocks.1.w.bias");
    int classes = graph_weight(g, 2, (const int64_t[]){c->classes, c->dim}, "classifier.weight");
    x = (c->train ? graph_batch_norm_train : graph_batch_norm)(g, x, bn, 1e-5f);
    return graph_cosine(g, graph_linear(g, x, w, bias), classes);
}
