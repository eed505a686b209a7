/* SPDX-License-Identifier: Apache-2.0
 * FocalNet: every stage, map and modulator. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "tests/model/golden_run.h"

struct run {
    struct golden_run g;
    const struct focalnet_config *config;
    struct focalnet_values values;
};

/* Limits, from golden/README.md */

static double stage_limit(const struct run *r, int stage)
{
    static const double base[] = {1e-4, 1e-4, 2e-3, 1e-3};
    return r->g.base ? base[stage] : 1e-4;
}

/* Of a map and what follows from it; in the base geometry maps are large and it is relative. */
static double map_limit(const struct run *r, const float *golden_map, size_t n)
{
    return r->g.base ? 1e-4 * golden_largest(golden_map, n) : 1e-4;
}

/* out.PREFIX.channel_mean, .channel_std and .corner of one image's value. */
static void compare_summary(struct run *r, const char *prefix, int value, double limit)
{
    enum { CORNER = 4, CORNER_CHANNELS = 8 };
    struct tensor_shape s;
    const float *x = plan_value(r->g.plan, value, &s);
    size_t area = (size_t)s.h * (size_t)s.w, c = (size_t)s.c;
    float *means = memory_zeroed(c, sizeof(float)), *deviations = memory_zeroed(c, sizeof(float));
    float corner[CORNER_CHANNELS * CORNER * CORNER];
    char name[128];
    for (size_t i = 0; i < c && means != NULL && deviations != NULL; i++) {
        double mean = 0, variance = 0;
        for (size_t p = 0; p < area; p++)
            mean += (double)x[p * c + i] / (double)area;
        for (size_t p = 0; p < area; p++)
            variance += pow((double)x[p * c + i] - mean, 2) / (double)area;
        means[i] = (float)mean;
        deviations[i] = (float)sqrt(variance);
    }
    for (size_t i = 0; i < ARRAY_LEN(corner); i++) {
        size_t row = i / CORNER % CORNER, col = i % CORNER;
        corner[i] = x[(row * (size_t)s.w + col) * c + i / (CORNER * CORNER)];
    }
    snprintf(name, sizeof name, "%s.channel_mean", prefix);
    golden_compare(&r->g, name, means, c, limit);
    snprintf(name, sizeof name, "%s.channel_std", prefix);
    golden_compare(&r->g, name, deviations, c, limit);
    snprintf(name, sizeof name, "%s.corner", prefix);
    golden_compare(&r->g, name, corner, ARRAY_LEN(corner), limit);
    free(means);
    free(deviations);
}

static void compare_maps(struct run *r)
{
    struct tensor_shape s;
    char name[64];
    for (int i = 0; i < r->config->n_stages; i++) {
        const float *map = plan_value(r->g.plan, r->values.map[i], &s);
        snprintf(name, sizeof name, "out.map%d", i + 1);
        const float *golden = golden_load(&r->g, name, tensor_cells(s));
        if (golden == NULL)
            continue;
        double limit = map_limit(r, golden, tensor_cells(s));
        golden_tell(&r->g, name, golden_difference(map, golden, tensor_cells(s)), limit, "");
        if (i == 0) {
            float *wide = golden_resized(map, s, 1);
            if (wide != NULL)
                golden_compare(&r->g, "out.map1_resized0", wide, 431 * 513, limit);
            free(wide);
        }
        if (i != 3)
            continue;
        golden_compare_mask(&r->g, "out.map4_resized", map, s, limit, "from our map4");
        float *stored = memory_zeroed(tensor_cells(s), sizeof(float));
        if (stored != NULL && golden_load(&r->g, name, tensor_cells(s)) != NULL) {
            memcpy(stored, r->g.golden, tensor_cells(s) * sizeof(float));
            golden_compare_mask(&r->g, "out.map4_resized", stored, s,
                                1e-5 * golden_largest(stored, tensor_cells(s)),
                                "from the stored map4");
        }
        free(stored);
    }
}

/* focalnet.layernorm is in checkpoints and no part of the network: a graph of its own, on stage 4.
 */
static int compare_final_norm(struct run *r, struct error *error)
{
    int last = r->config->n_stages - 1;
    if (safetensors_find(r->g.file, "out.final_norm") == NULL)
        return 0;
    struct tensor_shape shape;
    const float *stage = plan_value(r->g.plan, r->values.stage[last], &shape);
    const int64_t channels = shape.c;
    struct graph g;
    graph_init(&g);
    int input = graph_input(&g, shape);
    int scale = graph_weight(&g, 1, &channels, "focalnet.layernorm.weight");
    int shift = graph_weight(&g, 1, &channels, "focalnet.layernorm.bias");
    int output =
        graph_output(&g, graph_layer_norm(&g, input, scale, shift, r->config->layer_norm_eps));
    struct plan *network = r->g.plan, *plan = NULL;
    void *arena = NULL;
    int code = golden_plan(&r->g, &g, &plan, &arena, error);
    if (code == 0) {
        memcpy(plan_value(plan, input, NULL), stage, tensor_cells(shape) * sizeof(float));
        code = plan_run(plan, error);
    }
    if (code == 0) {
        r->g.plan = plan;
        golden_compare_value(&r->g, "out.final_norm", output, stage_limit(r, last));
        r->g.plan = network;
    }
    plan_destroy(plan);
    backend_memory_free(r->g.with->ops, r->g.backend, arena);
    return code;
}

static int compare_all(struct run *r, struct error *error)
{
    const struct focalnet_values *v = &r->values;
    char name[64];
    if (r->g.base)
        compare_summary(r, "out.embed", v->embed, stage_limit(r, 0));
    else
        golden_compare_value(&r->g, "out.embed", v->embed, stage_limit(r, 0));
    for (int s = 0; s < r->config->n_stages; s++) {
        double limit = stage_limit(r, s);
        snprintf(name, sizeof name, "out.stage%d", s + 1);
        golden_compare_value(&r->g, name, v->stage[s], limit);
        if (r->g.base)
            compare_summary(r, name, v->stage[s], limit);
        snprintf(name, sizeof name, "out.modulator%d", s + 1);
        golden_compare_value(&r->g, name, v->modulator[s], limit);
        if (r->g.base)
            compare_summary(r, name, v->modulator[s], limit);
        snprintf(name, sizeof name, "out.down%d", s + 1);
        if (v->down[s] >= 0)
            golden_compare_value(&r->g, name, v->down[s], limit);
    }
    compare_maps(r);
    golden_compare_value(&r->g, "out.embedding", v->embedding, r->g.base ? 1e-4 : 5e-5);
    golden_compare_value(&r->g, "out.logits", v->cosines, r->g.base ? 1e-5 : 5e-6);
    if (r->g.with->isolate)
        golden_tell(&r->g, "(guard bands)", plan_guards_intact(r->g.plan) ? 0 : 1, 0,
                    "overwritten");
    return compare_final_norm(r, error);
}

int golden_focalnet(const struct safetensors *file, const struct golden_backend *with,
                    golden_line_report report, void *user, struct error *error)
{
    struct run r = {.g = {.file = file, .with = with, .report = report, .user = user}};
    struct graph g;
    graph_init(&g);
    int code = golden_begin(&r.g, error);
    r.config = &r.g.config.focalnet;
    if (code == 0)
        code = focalnet_build(r.config, r.g.n, r.g.base, true, &g, &r.values, error);
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
