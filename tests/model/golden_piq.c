/* SPDX-License-Identifier: Apache-2.0
 * PIQ in evaluation and in training mode: values, losses by the file's target masks, gradients, and
 * the statistics of batch norms afterwards. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/train/learner.h"
#include "model/train/loss_scale.h"
#include "model/train/loss.h"
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
    backend_memory_free(r->g.with->ops, r->g.backend, arena);
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

/* The published target masks: [cells] 0 or 1. */
static const uint8_t *target_mask(const struct run *r, size_t cells)
{
    const struct safetensors_tensor *t = safetensors_find(r->g.file, "target_mask");
    return t != NULL && t->dtype == DTYPE_U8 && t->cells == cells ? t->data : NULL;
}

/* Losses of a mask and of what was quantised; mode: "eval" or "train". */
static void compare_losses(struct run *r, const char *mode, double rec, double vq)
{
    const struct {
        const char *name;
        double value;
    } losses[] = {
        {"loss_rec", rec}, {"loss_vq", vq}, {"loss_commit", vq}, {"loss_total", rec + 2 * vq}};
    for (size_t i = 0; i < ARRAY_LEN(losses); i++) {
        char tensor[64];
        float value = (float)losses[i].value;
        snprintf(tensor, sizeof tensor, "%s.%s", mode, losses[i].name);
        golden_compare(&r->g, tensor, &value, 1, 1e-5);
    }
}

/* Limits from golden/README.md. */
static void compare_all(struct run *r)
{
    golden_compare_value(&r->g, "eval.hcat", r->values.hcat, 1e-4);
    golden_compare_value(&r->g, "eval.indices", r->values.indices, 0);
    golden_compare_value(&r->g, "eval.z_q_x", r->values.z_q_x, 0);
    golden_compare_value(&r->g, "eval.x_tilde", r->values.x_tilde, 5e-5);
    struct tensor_shape mask, hcat;
    const float *m = plan_value(r->g.plan, r->values.mask, &mask);
    const float *h = plan_value(r->g.plan, r->values.hcat, &hcat);
    const float *z = plan_value(r->g.plan, r->values.z_q_x, NULL);
    const uint8_t *marks = target_mask(r, tensor_cells(mask));
    const double rec =
        marks != NULL ? loss_mask(m, marks, mask.n, mask.h * mask.w, NULL) : (double)NAN;
    compare_losses(r, "eval", rec, loss_squares(z, h, hcat.n, hcat.h * hcat.w * hcat.c, NULL));
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

/* The class that each image is given. scores: [N][classes] */
static void fill_scores(const struct run *r, float *scores)
{
    for (int n = 0; n < r->g.n; n++) {
        int64_t label;
        memcpy(&label, (const char *)r->labels->data + (size_t)n * sizeof label, sizeof label);
        for (int i = 0; i < r->classes; i++)
            scores[n * r->classes + i] = i == label;
    }
}

/* Training mode */

/* x: [N][H][W][C] as golden [N][C][H][W]. */
static void compare_trained(struct run *r, const struct learner *l, const char *tensor, int value,
                            double limit)
{
    struct tensor_shape s;
    const float *x = learner_value(l, value, &s);
    float *y = memory_zeroed(tensor_cells(s), sizeof *y);
    size_t area = (size_t)s.h * (size_t)s.w, c = (size_t)s.c;
    for (size_t i = 0; i < tensor_cells(s) && y != NULL; i++)
        y[(i / (area * c) * c + i % c) * area + i / c % area] = x[i];
    if (y != NULL)
        golden_compare(&r->g, tensor, y, tensor_cells(s), limit);
    free(y);
}

/* d loss_total / d what it is made of: the mask, the codebook's vectors, what was quantised. */
static int fill_seeds(struct run *r, struct learner *l, struct error *error)
{
    struct tensor_shape mask, hcat;
    const float *m = learner_value(l, r->values.mask, &mask);
    const float *h = learner_value(l, r->values.hcat, &hcat);
    const float *z = learner_value(l, r->values.z_q_x, NULL);
    const uint8_t *marks = target_mask(r, tensor_cells(mask));
    if (marks == NULL)
        return error_set(error, EINVAL, "%s: no target_mask", safetensors_path(r->g.file));
    const double rec = loss_mask(m, marks, mask.n, mask.h * mask.w, learner_seed(l, 0));
    const double vq = loss_squares(z, h, hcat.n, hcat.h * hcat.w * hcat.c, learner_seed(l, 1));
    for (size_t i = 0; i < tensor_cells(hcat); i++)
        learner_seed(l, 2)[i] = -learner_seed(l, 1)[i];
    compare_losses(r, "train", rec, vq);
    return 0;
}

/* "adapter.block.0.bias and adapter.block.3.bias are rounding noise" (golden/README). */
static bool is_noise(const char *name)
{
    return strcmp(name, "adapter.block.0.bias") == 0 || strcmp(name, "adapter.block.3.bias") == 0;
}

/* both: gradients and parameters, [2][n] in the host's memory */
static void compare_all_gradients(struct run *r, const struct learner *l, const float *both,
                                  size_t n)
{
    char name[160];
    for (int i = 0; i < learner_ranges(l); i++) {
        struct learner_range range = learner_range(l, i);
        snprintf(name, sizeof name, "%s.%s", range.trained ? "grad" : "train.after",
                 range.weight->name);
        const float *golden = golden_load(&r->g, name, range.cells);
        if (golden == NULL) {
            golden_tell(&r->g, name, NAN, 0, "there is none");
            continue;
        }
        const float *ours = both + (range.trained ? 0 : n) + range.from;
        double error = golden_difference(ours, golden, range.cells);
        if (is_noise(range.weight->name))
            golden_tell(&r->g, name, error, 1e-4, "absolute");
        else if (!range.trained) /* a mean of floats of size 1 */
            golden_tell(&r->g, name, error, 1e-6, "absolute");
        else
            golden_tell(&r->g, name, error / golden_largest(golden, range.cells), 3e-3,
                        "of the largest");
    }
}

static int compare_gradients(struct run *r, struct learner *l, struct error *error)
{
    size_t n;
    const float *parameters = learner_parameters(l, &n);
    float *both = malloc(2 * n * sizeof *both);
    int code = both == NULL ? error_set(error, ENOMEM, "out of memory")
                            : learner_update_statistics(l, 0.1f, error);
    if (code == 0)
        code = store_get(learner_store(l), both, learner_gradients(l), n, error);
    if (code == 0)
        code = store_get(learner_store(l), both + n, parameters, n, error);
    if (code == 0)
        compare_all_gradients(r, l, both, n);
    free(both);
    return code;
}

static int train(struct run *r, struct error *error)
{
    struct learner *l = NULL;
    struct graph g;
    const struct learner_config config = {
        .ops = r->g.with->ops, .threads = r->g.with->threads, .precision = r->g.with->precision};
    graph_init(&g);
    r->config.train = true;
    int code = build(r, &g, error);
    const int outputs[] = {r->values.mask, r->values.z_q_x, r->values.hcat};
    if (code < 0)
        graph_finish(&g);
    else
        code = learner_create(&l, &g, outputs, 3, r->g.weights, &config, error);
    if (code == 0) {
        struct tensor_shape s;
        float *x = learner_value(l, r->input, &s);
        memcpy(x, plan_value(r->g.plan, r->input, NULL), tensor_cells(s) * sizeof *x);
        fill_scores(r, learner_value(l, r->scores, NULL));
        code = learner_forward(l, error);
    }
    if (code == 0) {
        compare_trained(r, l, "train.x_tilde", r->values.x_tilde, 5e-5);
        compare_trained(r, l, "train.hcat", r->values.hcat, 1e-4);
        compare_trained(r, l, "train.z_q_x", r->values.z_q_x, 0);
        compare_trained(r, l, "train.indices", r->values.indices, 0);
        code = fill_seeds(r, l, error);
    }
    const struct loss_scale scale = loss_scale_begin(r->g.with->precision);
    if (code == 0) {
        learner_scale(l, loss_scale_factor(&scale));
        code = learner_backward(l, error);
    }
    if (code == 0)
        code = compare_gradients(r, l, error);
    learner_destroy(l);
    return code;
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
        fill_scores(&r, plan_value(r.g.plan, r.scores, NULL));
        code = plan_run(r.g.plan, error);
    }
    if (code == 0) {
        compare_all(&r);
        code = compare_resize(&r, error);
    }
    if (code == 0)
        golden_tell_rest(&r.g, "eval.");
    if (code == 0 && !with->forward)
        code = train(&r, error);
    if (code == 0 && !with->forward)
        golden_tell_rest(&r.g, "grad.");
    graph_finish(&g);
    golden_finish(&r.g);
    return code;
}
