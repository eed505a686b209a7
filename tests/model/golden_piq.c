/* SPDX-License-Identifier: Apache-2.0
 * PIQ in evaluation mode, and its losses from what we compute and the file's target masks. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "tests/model/golden_run.h"

struct run {
    struct golden_run g;
    struct piq_config config;
    int classes, input, scores;
    const struct safetensors_tensor *features, *labels;
    struct piq_values values;
};

static int integer(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_integer(v) ? (int)json_integer_value(v) : json_is_true(v);
}

static int read_config(struct run *r, struct error *error)
{
    const char *text = safetensors_metadata(r->g.file, "config");
    json_t *o = text != NULL ? json_loads(text, 0, NULL) : NULL;
    r->config = (struct piq_config){.keys = integer(o, "K"),
                                    .shared_keys = integer(o, "shared_keys"),
                                    .adapter = integer(o, "use_adapter"),
                                    .reduce = integer(o, "adapter_reduce_dim")};
    r->classes = integer(o, "numclasses");
    json_decref(o);
    r->features = safetensors_find(r->g.file, "in.hcat14");
    r->labels = safetensors_find(r->g.file, "in.labels");
    if (r->config.keys < 1 || r->classes < 1 || r->features == NULL || r->features->rank != 4 ||
        r->labels == NULL || r->labels->dtype != DTYPE_I64 ||
        (int64_t)r->labels->cells != r->features->shape[0])
        return error_set(error, EINVAL, "%s: no config, in.hcat14 or in.labels",
                         safetensors_path(r->g.file));
    r->g.n = (int)r->labels->cells;
    return 0;
}

/* in.hcat7 resized is in.hcat14: the network's own step before PIQ. */
static int compare_resize(struct run *r, struct error *error)
{
    const struct safetensors_tensor *t = safetensors_find(r->g.file, "in.hcat7");
    if (t == NULL || t->rank != 4)
        return 0;
    struct graph g;
    struct plan *network = r->g.plan, *plan = NULL;
    void *arena = NULL;
    graph_init(&g);
    int input = graph_input(&g, (struct tensor_shape){(int)t->shape[0], (int)t->shape[2],
                                                      (int)t->shape[3], (int)t->shape[1]});
    int output = graph_output(&g, graph_resize(&g, input, PIQ_GRID, PIQ_GRID));
    int code = golden_plan(&r->g, &g, &plan, &arena, error);
    r->g.plan = plan;
    if (code == 0)
        code = golden_fill(&r->g, input, t, error);
    if (code == 0)
        code = plan_run(plan, error);
    if (code == 0) /* one interpolation of values up to 10: as the features it is made of */
        golden_compare_value(&r->g, "in.hcat14", output, 1e-5);
    r->g.plan = network;
    plan_destroy(plan);
    free(arena);
    return code;
}

static void compare_key_classes(struct run *r, const char *tensor, int keys, int classes)
{
    const float *golden = golden_load(&r->g, tensor, (size_t)keys);
    double wrong = 0;
    for (int i = 0; i < keys && golden != NULL; i++)
        wrong += graph_key_class(i, keys, classes) != (int)golden[i];
    if (golden != NULL)
        golden_tell(&r->g, tensor, wrong, 0, "keys of another class");
}

static double mean_square(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum / (double)n;
}

static void compare_losses(struct run *r)
{
    struct tensor_shape s;
    const float *m = plan_value(r->g.plan, r->values.mask, &s);
    const float *t = golden_load(&r->g, "target_mask", tensor_cells(s));
    if (t == NULL)
        return;
    double rec = 0;
    for (size_t i = 0; i < tensor_cells(s); i++)
        rec -= (double)t[i] * log((double)m[i] + 1e-10) +
               (1 - (double)t[i]) * log(1 - (double)m[i] + 1e-10);
    rec /= (double)tensor_cells(s);
    const float *hcat = plan_value(r->g.plan, r->values.hcat, &s);
    double vq = mean_square(plan_value(r->g.plan, r->values.z_q_x, NULL), hcat, tensor_cells(s));
    const struct {
        const char *tensor;
        double value;
    } losses[] = {{"eval.loss_rec", rec},
                  {"eval.loss_vq", vq},
                  {"eval.loss_commit", vq},
                  {"eval.loss_total", rec + 2 * vq}};
    for (size_t i = 0; i < ARRAY_LEN(losses); i++) {
        float value = (float)losses[i].value;
        golden_compare(&r->g, losses[i].tensor, &value, 1, 1e-5);
    }
}

/* Limits from golden/README.md. */
static void compare_all(struct run *r)
{
    golden_compare_value(&r->g, "eval.hcat", r->values.hcat, 1e-4);
    golden_compare_value(&r->g, "eval.indices", r->values.indices, 0);
    golden_compare_value(&r->g, "eval.z_q_x", r->values.z_q_x, 0);
    golden_compare_value(&r->g, "eval.x_tilde", r->values.x_tilde, 5e-5);
    compare_losses(r);
    compare_key_classes(r, "key_class", r->config.keys, r->classes);
    compare_key_classes(r, "key_class_K1024_C50", 1024, 50);
    if (r->g.with->isolate)
        golden_tell(&r->g, "(guard bands)", plan_guards_intact(r->g.plan) ? 0 : 1, 0,
                    "overwritten");
}

static int build(struct run *r, struct graph *g, struct error *error)
{
    const int64_t *s = r->features->shape;
    r->input = graph_input(g, (struct tensor_shape){r->g.n, (int)s[2], (int)s[3], (int)s[1]});
    r->scores = graph_input(g, (struct tensor_shape){r->g.n, 1, 1, r->classes});
    return piq_build(&r->config, "", r->input, r->scores, true, g, &r->values, error);
}

/* The class that each image is given. */
static void fill_scores(struct run *r)
{
    float *scores = plan_value(r->g.plan, r->scores, NULL);
    for (int n = 0; n < r->g.n; n++) {
        int64_t label;
        memcpy(&label, (const char *)r->labels->data + (size_t)n * sizeof label, sizeof label);
        for (int i = 0; i < r->classes; i++)
            scores[n * r->classes + i] = i == label;
    }
}

int golden_piq(const struct safetensors *file, const struct golden_backend *with,
               golden_line_report report, void *user, struct error *error)
{
    struct run r = {.g = {.file = file, .with = with, .report = report, .user = user}};
    struct graph g;
    graph_init(&g);
    int code = read_config(&r, error);
    if (code == 0)
        code = golden_begin_weights(&r.g, error);
    if (code == 0)
        code = build(&r, &g, error);
    if (code == 0)
        code = golden_plan(&r.g, &g, &r.g.plan, &r.g.arena, error);
    if (code == 0)
        code = golden_fill(&r.g, r.input, r.features, error);
    if (code == 0) {
        fill_scores(&r);
        code = plan_run(r.g.plan, error);
    }
    if (code == 0) {
        compare_all(&r);
        code = compare_resize(&r, error);
    }
    if (code == 0)
        golden_tell_rest(&r.g, "eval.");
    graph_finish(&g);
    golden_finish(&r.g);
    return code;
}
