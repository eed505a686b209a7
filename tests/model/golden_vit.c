/* SPDX-License-Identifier: Apache-2.0
 * ViT: embedding, every layer, the last layer's attention. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "tests/model/golden_run.h"

struct run {
    struct golden_run g;
    const struct vit_config *config;
    struct vit_values values;
};

static void compare_tokens(struct run *r, const char *tensor, int value, double limit)
{
    struct tensor_shape s; /* [N][1][T][D] is [N][T][D] */
    const float *x = plan_value(r->g.plan, value, &s);
    golden_compare(&r->g, tensor, x, tensor_cells(s), limit);
}

/* The mean over tokens of one image's value, and its first rows. */
static void compare_means(struct run *r, const char *tensor, int value, double limit)
{
    struct tensor_shape s;
    const float *x = plan_value(r->g.plan, value, &s);
    float *means = memory_zeroed((size_t)s.c, sizeof(float));
    for (int i = 0; i < s.c && means != NULL; i++) {
        double sum = 0;
        for (int t = 0; t < s.w; t++)
            sum += (double)x[(size_t)t * (size_t)s.c + (size_t)i];
        means[i] = (float)(sum / s.w);
    }
    if (means != NULL)
        golden_compare(&r->g, tensor, means, (size_t)s.c, limit);
    free(means);
}

/* [N][1][heads][T] without the first token. */
static void compare_patches(struct run *r, double limit)
{
    struct tensor_shape s;
    const float *x = plan_value(r->g.plan, r->values.cls_attention, &s);
    size_t rows = (size_t)(s.n * s.w), patches = (size_t)s.c - 1;
    float *y = memory_zeroed(rows * patches, sizeof(float));
    for (size_t i = 0; i < rows && y != NULL; i++)
        memcpy(y + i * patches, x + i * (patches + 1) + 1, patches * sizeof(float));
    if (y != NULL)
        golden_compare(&r->g, "out.cls_attn", y, rows * patches, limit);
    free(y);
}

static void compare_map(struct run *r, double limit)
{
    struct tensor_shape s;
    const float *map = plan_value(r->g.plan, r->values.map, &s);
    golden_compare(&r->g, "out.attn_map", map, tensor_cells(s), limit);
    golden_compare_mask(&r->g, "out.attn_map_resized", map, s, limit, "from our map");
    float *stored = memory_zeroed(tensor_cells(s), sizeof(float));
    const float *golden = golden_load(&r->g, "out.attn_map", tensor_cells(s));
    if (stored != NULL && golden != NULL) {
        memcpy(stored, golden, tensor_cells(s) * sizeof(float));
        golden_compare_mask(&r->g, "out.attn_map_resized", stored, s,
                            1e-5 * golden_largest(stored, tensor_cells(s)), "from the stored map");
    }
    free(stored);
}

/* tanh(pooler(cls)), which is in checkpoints and no part of the network; by hand, in double. */
static int compare_pooler(struct run *r, struct error *error)
{
    const int64_t d = r->config->hidden_size, shape[] = {d, d};
    if (safetensors_find(r->g.file, "out.pooler_output") == NULL)
        return 0;
    const float *w = weights_get(r->g.weights, "pooler.dense.weight", 2, shape, error);
    const float *b = weights_get(r->g.weights, "pooler.dense.bias", 1, shape, error);
    struct tensor_shape s;
    const float *hidden = plan_value(r->g.plan, r->values.hidden, &s);
    float *y = memory_zeroed((size_t)(s.n * d), sizeof(float));
    if (w == NULL || b == NULL || y == NULL) {
        free(y);
        return error_set(error, EINVAL, "pooler: out of memory, or no weights");
    }
    for (int n = 0; n < s.n; n++)
        for (int64_t o = 0; o < d; o++) {
            double sum = (double)b[o];
            for (int64_t i = 0; i < d; i++)
                sum += (double)w[o * d + i] * (double)hidden[(int64_t)n * s.w * d + i];
            y[n * d + o] = (float)tanh(sum);
        }
    golden_compare(&r->g, "out.pooler_output", y, (size_t)(s.n * d), 1e-4);
    free(y);
    return 0;
}

/* Limits from golden/README.md. */
static int compare_all(struct run *r, struct error *error)
{
    const struct vit_values *v = &r->values;
    const double hidden = r->g.base ? 2e-4 : 1e-4, attention = r->g.base ? 5e-7 : 2e-6;
    char name[64];
    compare_tokens(r, "out.embed", v->embed, hidden);
    golden_compare(&r->g, "out.embed.rows", plan_value(r->g.plan, v->embed, NULL),
                   3 * (size_t)r->config->hidden_size, hidden);
    for (int l = 0; l < r->config->num_hidden_layers; l++) {
        snprintf(name, sizeof name, "out.layer%d", l);
        compare_tokens(r, name, v->layer[l], hidden);
        snprintf(name, sizeof name, "out.layer%d.token_mean", l);
        compare_means(r, name, v->layer[l], hidden);
    }
    compare_tokens(r, "out.last_hidden", v->hidden, hidden);
    compare_tokens(r, "out.cls_attn_full", v->cls_attention, attention);
    compare_patches(r, attention);
    compare_map(r, attention);
    golden_compare_value(&r->g, "out.embedding", v->embedding, 5e-5);
    golden_compare_value(&r->g, "out.logits", v->cosines, 5e-6);
    if (r->g.with->isolate)
        golden_tell(&r->g, "(guard bands)", plan_guards_intact(r->g.plan) ? 0 : 1, 0,
                    "overwritten");
    return compare_pooler(r, error);
}

int golden_vit(const struct safetensors *file, const struct golden_backend *with,
               golden_line_report report, void *user, struct error *error)
{
    struct run r = {.g = {.file = file, .with = with, .report = report, .user = user}};
    struct graph g;
    graph_init(&g);
    int code = golden_begin(&r.g, error);
    r.config = &r.g.config.vit;
    if (code == 0)
        code = vit_build(r.config, r.g.n, r.g.base, false, true, &g, &r.values, error);
    if (code == 0)
        code = golden_plan(&r.g, &g, &r.g.plan, &r.g.arena, error);
    if (code == 0)
        code = golden_fill(&r.g, r.values.input, r.g.input, error);
    if (code == 0)
        code = plan_run(r.g.plan, error);
    if (code == 0)
        code = compare_all(&r, error);
    if (code == 0)
        golden_tell_rest(&r.g, "out.");
    graph_finish(&g);
    golden_finish(&r.g);
    return code;
}
