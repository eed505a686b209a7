/* SPDX-License-Identifier: Apache-2.0
 * train_steps: losses, cosines and gradients of the first step, and what five steps come to. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/model_internal.h"
#include "model/train/learner.h"
#include "model/train/loss.h"
#include "model/train/loss_scale.h"
#include "model/train/optimizer.h"
#include "model/train/schedule.h"
#include "tests/compare.h"
#include "tests/model/golden_run.h"

enum { HEAD_DIM = 192, CLASSES = 50, MAX_BATCH = 64, STEPS = 5 };

struct run {
    struct golden_run g;
    const struct safetensors_tensor *labels;
    struct focalnet_values values;
    struct learner *learner;
    struct loss_target targets[MAX_BATCH];
    struct loss_scale scale;
    float *initial; /* the parameters before the first step */
};

static int read_file(struct run *r, struct error *error)
{
    const char *text = safetensors_metadata(r->g.file, "config");
    const char *path = safetensors_path(r->g.file);
    r->g.input = safetensors_find(r->g.file, "in.pixel_values");
    r->labels = safetensors_find(r->g.file, "in.labels");
    if (text == NULL || r->g.input == NULL || r->labels == NULL || r->g.input->rank != 4 ||
        r->labels->dtype != DTYPE_I64 || (int64_t)r->labels->cells != r->g.input->shape[0] ||
        r->labels->cells > MAX_BATCH)
        return error_set(error, EINVAL, "%s: no config, in.pixel_values or in.labels", path);
    int code = net_config_parse(&r->g.config, text, strlen(text), path, error);
    *net_head(&r->g.config) = (struct head_config){HEAD_DIM, CLASSES, true};
    r->g.n = (int)r->labels->cells;
    for (int i = 0; i < r->g.n; i++) {
        int64_t label;
        memcpy(&label, (const char *)r->labels->data + (size_t)i * sizeof label, sizeof label);
        r->targets[i] = (struct loss_target){(int32_t)label, (int32_t)label, 1};
    }
    return code;
}

/* The initial weights are those of focalnet_tiny, beside it. */
static int open_weights(struct run *r, struct safetensors **ret, struct error *error)
{
    char path[4096];
    const char *own = safetensors_path(r->g.file), *slash = strrchr(own, '/');
    snprintf(path, sizeof path, "%.*sfocalnet_tiny.safetensors",
             slash != NULL ? (int)(slash - own) + 1 : 0, own);
    int code = safetensors_open(ret, path, error);
    r->g.weights_file = code == 0 ? *ret : NULL;
    return code;
}

static int make_learner(struct run *r, bool train, struct weights *weights, struct learner **ret,
                        struct error *error)
{
    struct graph g;
    graph_init(&g);
    r->g.config.focalnet.head.train = train;
    int code = focalnet_build(&r->g.config.focalnet, r->g.n, false, false, &g, &r->values, error);
    if (code < 0) {
        graph_finish(&g);
        return code;
    }
    const struct learner_config config = {.ops = r->g.with->ops,
                                          .threads = r->g.with->threads,
                                          .precision = r->g.with->precision,
                                          .depthwise = r->g.with->depthwise};
    return learner_create(ret, &g, &r->values.cosines, 1, weights, &config, error);
}

static void fill(struct run *r, struct learner *learner)
{
    struct tensor_shape s;
    float *to = learner_value(learner, r->values.input, &s);
    size_t area = (size_t)s.h * (size_t)s.w, c = (size_t)s.c;
    const float *from = golden_load(&r->g, "in.pixel_values", tensor_cells(s));
    for (size_t n = 0; n < (size_t)s.n && from != NULL; n++)
        for (size_t i = 0; i < c; i++)
            for (size_t p = 0; p < area; p++)
                to[(n * area + p) * c + i] = from[(n * c + i) * area + p];
}

/* A copy in the host's memory of what lies in the learner's store, or NULL. */
static float *fetch(const struct run *r, const float *there, struct error *error)
{
    size_t n;
    learner_parameters(r->learner, &n);
    float *here = malloc(n * sizeof *here);
    if (here == NULL)
        error_set(error, ENOMEM, "out of memory");
    else if (store_get(learner_store(r->learner), here, there, n, error) == 0)
        return here;
    free(here);
    return NULL;
}

/* Forward, loss and backward of one step. */
static int try_step(struct run *r, const struct loss_options *options, double *ret_loss,
                    struct error *error)
{
    int code = learner_forward(r->learner, error);
    if (code == 0)
        code = loss_classes(options, learner_value(r->learner, r->values.cosines, NULL), r->targets,
                            r->g.n, CLASSES, ret_loss, learner_seed(r->learner, 0), NULL, error);
    learner_scale(r->learner, loss_scale_factor(&r->scale));
    return code == 0 ? learner_backward(r->learner, error) : code;
}

static int finite_gradients(const struct run *r, bool *ret, struct error *error)
{
    size_t n;
    float *gradients = fetch(r, learner_gradients(r->learner), error);
    double sum = 0;
    learner_parameters(r->learner, &n);
    for (size_t i = 0; i < n && gradients != NULL; i++)
        sum += fabs((double)gradients[i]);
    *ret = isfinite(sum);
    free(gradients);
    return gradients != NULL ? 0 : -ENOMEM;
}

/* A step that was scaled too much is not skipped, as in training, but taken again. */
static int step(struct run *r, const struct loss_options *options, double *ret_loss,
                struct error *error)
{
    bool finite = false;
    for (;;) {
        int code = try_step(r, options, ret_loss, error);
        if (code < 0 || r->scale.factor <= 0)
            return code;
        code = finite_gradients(r, &finite, error);
        if (code < 0 || finite)
            return code;
        if (!loss_scale_lower(&r->scale))
            return error_set(error, EDOM, "the gradient is not finite");
    }
}

/* "constant added to every position … has no effect": rounding noise (golden/README). */
static bool is_noise(const char *name)
{
    return strcmp(name, "focalnet.encoder.stages.3.layers.0.mlp.fc2.bias") == 0;
}

/* all: [parameters] in the host's memory */
static void compare_gradients(struct run *r, const float *all)
{
    char name[160];
    for (int i = 0; i < learner_ranges(r->learner); i++) {
        struct learner_range range = learner_range(r->learner, i);
        if (!range.trained)
            continue;
        snprintf(name, sizeof name, "grad1.%s", range.weight->name);
        const float *golden = golden_load(&r->g, name, range.cells);
        const float *ours = all + range.from;
        if (golden == NULL) {
            golden_tell(&r->g, name, NAN, 0, "there is none");
            continue;
        }
        double largest = golden_largest(golden, range.cells);
        double error = golden_difference(ours, golden, range.cells);
        if (r->g.with->precision != PRECISION_FLOAT32)
            golden_compare_length(&r->g, name, ours, range.cells);
        else if (is_noise(range.weight->name))
            golden_tell(&r->g, name, error, 1e-4, "absolute");
        else
            golden_tell(&r->g, name, error / largest, 1e-3, "of the largest");
    }
}

static int first_steps(struct run *r, struct error *error)
{
    static const enum loss_kind kinds[] = {LOSS_CE, LOSS_AAM, LOSS_AM};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct loss_options options = LOSS_PAPER;
        char name[64];
        double loss;
        options.kind = kinds[i];
        int code = step(r, &options, &loss, error);
        if (code < 0)
            return code;
        snprintf(name, sizeof name, "%s.loss", loss_name(kinds[i]));
        const float *golden = golden_load(&r->g, name, 5);
        if (golden != NULL)
            golden_tell(&r->g, name, fabs(loss - (double)golden[0]), 1e-3, "of step 1");
        snprintf(name, sizeof name, "%s.cosine_step1", loss_name(kinds[i]));
        golden_compare(&r->g, name, learner_value(r->learner, r->values.cosines, NULL),
                       (size_t)(r->g.n * CLASSES), 5e-6);
    }
    float *gradients = fetch(r, learner_gradients(r->learner), error);
    if (gradients == NULL)
        return -ENOMEM;
    compare_gradients(r, gradients);
    free(gradients);
    return 0;
}

/* Five steps of one loss: the recipe's optimizer, a short cycle (golden/README). */

static int make_optimizer(const struct run *r, struct optimizer *ret, struct error *error)
{
    const struct optimizer_options options = OPTIMIZER_PAPER;
    size_t parameters;
    int n = learner_ranges(r->learner), k = 0;
    struct optimizer_range *ranges = calloc((size_t)n, sizeof *ranges);
    if (ranges == NULL)
        return error_set(error, ENOMEM, "out of memory");
    learner_parameters(r->learner, &parameters);
    for (int i = 0; i < n; i++) {
        struct learner_range range = learner_range(r->learner, i);
        if (range.trained)
            ranges[k++] = (struct optimizer_range){range.from, range.cells, 1, false, true};
    }
    int code = optimizer_init(ret, &options, learner_store(r->learner), parameters, ranges,
                              (size_t)k, error);
    free(ranges);
    return code;
}

/* [STEPS] of one loss */
struct course {
    float loss[STEPS], norm[STEPS], rate[STEPS];
};

static int take_steps(struct run *r, const struct loss_options *loss, struct optimizer *optimizer,
                      struct course *ret, struct error *error)
{
    struct schedule_options schedule = SCHEDULE_PAPER;
    schedule.step_size = 3;
    for (int k = 0; k < STEPS; k++) {
        double value, norm = 0;
        int code = step(r, loss, &value, error);
        const double rate = schedule_rate(&schedule, NULL, (uint64_t)k + 1);
        if (code == 0)
            code = optimizer_norm(optimizer, learner_gradients(r->learner), &norm, error);
        if (code == 0)
            code = optimizer_step(optimizer, learner_parameters(r->learner, NULL),
                                  learner_gradients(r->learner), norm, rate, error);
        if (code == 0)
            code = learner_update_statistics(r->learner, 0.1f, error);
        if (code == 0)
            code = learner_repack(r->learner, error);
        if (code < 0)
            return code;
        ret->loss[k] = (float)value;
        ret->norm[k] = (float)norm;
        ret->rate[k] = (float)rate;
    }
    return 0;
}

static void compare_course(struct run *r, const char *loss, const char *what, const float *ours,
                           double limit)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", loss, what);
    golden_compare(&r->g, name, ours, STEPS, limit);
}

/* The same batch, heard with the running statistics. */
static int compare_evaluation(struct run *r, const char *loss, struct error *error)
{
    const int n = learner_ranges(r->learner);
    struct weights_array *arrays = calloc((size_t)n, sizeof *arrays);
    struct weights *weights = NULL;
    struct learner *learner = NULL;
    char name[64];
    float *now = fetch(r, learner_parameters(r->learner, NULL), error);
    int code = now == NULL      ? -ENOMEM
               : arrays == NULL ? error_set(error, ENOMEM, "out of memory")
                                : 0;
    for (int i = 0; i < n && code == 0; i++) {
        struct learner_range range = learner_range(r->learner, i);
        arrays[i] = (struct weights_array){range.weight->name, range.weight->rank,
                                           range.weight->shape, now + range.from};
    }
    if (code == 0)
        code = weights_from_arrays(&weights, arrays, n, error);
    if (code == 0)
        code = make_learner(r, false, weights, &learner, error);
    if (code == 0) {
        fill(r, learner);
        code = learner_forward(learner, error);
    }
    if (code == 0) {
        snprintf(name, sizeof name, "%s.eval_logits_after", loss);
        golden_compare(&r->g, name, learner_value(learner, r->values.cosines, NULL),
                       (size_t)(r->g.n * CLASSES), 5e-4);
    }
    learner_destroy(learner);
    weights_destroy(weights);
    free(arrays);
    free(now);
    return code;
}

/* now: [parameters] in the host's memory. Adam makes steps of rounding noise, which the running
 * mean follows. */
static void compare_final(struct run *r, const float *now)
{
    size_t cells = 0, beyond = 0;
    double worst = 0;
    char name[160];
    for (int i = 0; i < learner_ranges(r->learner); i++) {
        struct learner_range range = learner_range(r->learner, i);
        if (is_noise(range.weight->name) || strstr(range.weight->name, ".running_mean") != NULL)
            continue;
        snprintf(name, sizeof name, "final.%s", range.weight->name);
        const float *golden = golden_load(&r->g, name, range.cells);
        if (golden == NULL) {
            golden_tell(&r->g, name, NAN, 0, "there is none");
            continue;
        }
        const float *ours = now + range.from;
        for (size_t k = 0; k < range.cells; k++) {
            double difference = fabs((double)ours[k] - (double)golden[k]);
            beyond += !(difference <= 2e-5);
            worst = worse(worst, difference);
        }
        cells += range.cells;
    }
    golden_tell(&r->g, "final", (double)beyond / (double)cells, 1e-3, "share beyond 2e-5");
    golden_tell(&r->g, "final", worst, 1.2e-3, "the largest");
}

static int all_steps(struct run *r, enum loss_kind kind, struct error *error)
{
    struct loss_options options = LOSS_PAPER;
    struct optimizer optimizer = {.m = NULL};
    struct course course;
    size_t parameters;
    float *now = learner_parameters(r->learner, &parameters);
    options.kind = kind;
    int code = store_put(learner_store(r->learner), now, r->initial, parameters, error);
    if (code == 0)
        code = learner_repack(r->learner, error);
    if (code == 0)
        code = make_optimizer(r, &optimizer, error);
    if (code == 0)
        code = take_steps(r, &options, &optimizer, &course, error);
    optimizer_finish(&optimizer);
    if (code < 0)
        return code;
    compare_course(r, loss_name(kind), "loss", course.loss, 1e-3);
    /* Adam's steps are as large where a gradient is rounding noise: after five of them only what
     * the network makes of it can be compared. */
    if (r->g.with->precision != PRECISION_FLOAT32)
        return compare_evaluation(r, loss_name(kind), error);
    compare_course(r, loss_name(kind), "grad_norm", course.norm, 1e-2);
    compare_course(r, loss_name(kind), "lr", course.rate, 1e-10);
    float *final = kind == LOSS_AM ? fetch(r, now, error) : NULL;
    if (kind == LOSS_AM && final == NULL)
        return -ENOMEM;
    if (final != NULL)
        compare_final(r, final);
    free(final);
    return compare_evaluation(r, loss_name(kind), error);
}

static int five_steps(struct run *r, struct error *error)
{
    static const enum loss_kind kinds[] = {LOSS_CE, LOSS_AAM, LOSS_AM};
    r->initial = fetch(r, learner_parameters(r->learner, NULL), error);
    if (r->initial == NULL)
        return -ENOMEM;
    int code = 0;
    for (size_t i = 0; i < ARRAY_LEN(kinds) && code == 0; i++)
        code = all_steps(r, kinds[i], error);
    return code;
}

int golden_train(const struct safetensors *file, const struct golden_backend *with,
                 golden_line_report report, void *user, struct error *error)
{
    struct run r = {.g = {.file = file, .with = with, .report = report, .user = user},
                    .scale = loss_scale_begin(with->precision)};
    struct safetensors *weights = NULL;
    int code = read_file(&r, error);
    if (code == 0)
        code = open_weights(&r, &weights, error);
    if (code == 0)
        code = golden_begin_weights(&r.g, error);
    if (code == 0)
        code = make_learner(&r, true, r.g.weights, &r.learner, error);
    if (code == 0) {
        fill(&r, r.learner);
        code = first_steps(&r, error);
    }
    if (code == 0)
        code = five_steps(&r, error);
    if (code == 0)
        golden_tell_rest(&r.g, "grad1.");
    learner_destroy(r.learner);
    free(r.initial);
    golden_finish(&r.g);
    safetensors_close(weights);
    return code;
}
