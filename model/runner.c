/* SPDX-License-Identifier: Apache-2.0
 * A batch of any size is run as plans of powers of two: 5 windows are 4 and 1. All plans share one
 * arena and the weights packed for the first. */
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/backend.h"
#include "model/backends.h"
#include "model/cascade.h"
#include "model/model_internal.h"
#include "model/plan.h"

enum { RUNNER_MAX_BATCH = 64, RUNNER_MAX_THREADS = 256, RUNNER_MAX_PLANS = 7 };

struct runner {
    const struct backend_ops *ops;
    struct backend *backend;
    const struct model_info *info;
    int threads, max_batch;
    enum precision precision;
    bool piq;
    struct error trouble;
    int n_maps;
    int n_plans;
    struct {
        int batch; /* 1, 2, 4, … */
        struct plan *plan;
        struct net_values values;
    } plans[RUNNER_MAX_PLANS];
    void *arena;
    size_t plane_cells, embedding_cells, quantised;
    size_t map_cells[MODEL_MAX_MAPS];
    float *planes;               /* [max_batch][rows][cols] */
    float *cosines;              /* [max_batch][classes] */
    float *embeddings;           /* [max_batch][channels] */
    float *maps[MODEL_MAX_MAPS]; /* [max_batch][rows][cols] */
    float *hcat, *z_q_x;         /* [max_batch][quantised] with PIQ */
};

static int usable_cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

static int open_backend(struct runner *r, const struct runner_config *config, struct error *error)
{
    struct backend_choice choice;
    int code = backend_choose(config->backend, config->precision, &choice, error);
    if (code < 0)
        return code;
    r->precision = choice.precision;
    const struct backend_config backend = {
        .threads = r->threads, .precision = choice.precision, .depthwise = config->depthwise};
    code = choice.ops->open(&r->backend, &backend, error);
    if (code == 0)
        r->ops = choice.ops;
    return code;
}

static int make_plan(struct runner *r, int i, const struct net_config *config,
                     struct weights *weights, struct error *error)
{
    struct graph graph;
    graph_init(&graph);
    r->plans[i].batch = 1 << i;
    int code = net_build(config, 1 << i, true, r->piq, &graph, &r->plans[i].values, error);
    if (code < 0) {
        graph_finish(&graph);
        return code;
    }
    struct plan_config plan = {.ops = r->ops,
                               .backend = r->backend,
                               .weights = weights,
                               .like = i > 0 ? r->plans[0].plan : NULL};
    return plan_create(&r->plans[i].plan, &graph, &plan, error);
}

struct random_choice {
    const struct model *model;
    int parts; /* 0: none */
    uint64_t seed;
};

static bool is_random(const void *user, const char *weight)
{
    const struct random_choice *choice = user;
    return cascade_holds(choice->model, choice->parts, weight);
}

static int make_plans(struct runner *r, const struct random_choice *random, struct error *error)
{
    const struct model *model = random->model;
    struct weights *weights;
    size_t bytes = 0;
    int code = model_weights(model, &weights, error);
    if (code < 0)
        return code;
    if (random->parts > 0)
        weights_randomize(weights, is_random, random, random->seed);
    for (int i = 0; i < RUNNER_MAX_PLANS && 1 << i <= r->max_batch && code == 0; i++) {
        code = make_plan(r, i, model_net(model), weights, error);
        if (code == 0) {
            r->n_plans++;
            size_t wanted = plan_arena_bytes(r->plans[i].plan);
            bytes = wanted > bytes ? wanted : bytes;
        }
    }
    weights_destroy(weights);
    if (code < 0)
        return code;
    r->arena = backend_memory(r->ops, r->backend, bytes, error);
    if (r->arena == NULL)
        return error_prefix(error, -ENOMEM, "activations");
    for (int i = 0; i < r->n_plans && code == 0; i++)
        code = plan_bind(r->plans[i].plan, r->arena, error);
    return code;
}

static int make_results(struct runner *r, struct error *error)
{
    struct tensor_shape embedding, quantised;
    size_t n = (size_t)r->max_batch;
    plan_value(r->plans[0].plan, r->plans[0].values.embedding, &embedding);
    r->embedding_cells = (size_t)embedding.c;
    r->plane_cells = (size_t)r->info->image_rows * (size_t)r->info->image_cols;
    r->planes = memory_zeroed(n * r->plane_cells, sizeof(float));
    r->cosines = memory_zeroed(n * (size_t)r->info->n_classes, sizeof(float));
    r->embeddings = memory_zeroed(n * r->embedding_cells, sizeof(float));
    bool complete = r->planes != NULL && r->cosines != NULL && r->embeddings != NULL;
    for (int s = 0; s < r->n_maps; s++) {
        r->map_cells[s] = (size_t)r->info->maps[s].rows * (size_t)r->info->maps[s].cols;
        r->maps[s] = memory_zeroed(n * r->map_cells[s], sizeof(float));
        complete = complete && r->maps[s] != NULL;
    }
    if (r->piq) {
        plan_value(r->plans[0].plan, r->plans[0].values.hcat, &quantised);
        r->quantised = tensor_cells(quantised);
        r->hcat = memory_zeroed(n * r->quantised, sizeof(float));
        r->z_q_x = memory_zeroed(n * r->quantised, sizeof(float));
        complete = complete && r->hcat != NULL && r->z_q_x != NULL;
    }
    return complete ? 0 : error_set(error, ENOMEM, "runner: out of memory");
}

static int create(struct runner **ret, const struct random_choice *random,
                  const struct runner_config *config, struct error *error)
{
    const struct model *model = random->model;
    if (config->max_batch < 1 || config->max_batch > RUNNER_MAX_BATCH)
        return error_set(error, EINVAL, "runner: batches up to %d; allowed: 1 to %d",
                         config->max_batch, RUNNER_MAX_BATCH);
    if (config->threads < 0 || config->threads > RUNNER_MAX_THREADS)
        return error_set(error, EINVAL, "runner: %d threads; allowed: 1 to %d, 0 for all cores",
                         config->threads, RUNNER_MAX_THREADS);
    struct runner *r = calloc(1, sizeof *r);
    if (r == NULL)
        return error_set(error, ENOMEM, "runner: out of memory");
    r->info = model_info(model);
    r->max_batch = config->max_batch;
    r->piq = r->info->interpreter == INTERPRETER_PIQ && !config->without_piq;
    r->n_maps = r->info->n_maps - (r->info->interpreter == INTERPRETER_PIQ && !r->piq);
    r->threads = config->threads > 0 ? config->threads : usable_cores();
    int code = open_backend(r, config, error);
    if (code == 0)
        code = make_plans(r, random, error);
    if (code == 0)
        code = make_results(r, error);
    if (code < 0) {
        runner_destroy(r);
        return error_prefix(error, code, "model %s", model_info(model)->name);
    }
    *ret = r;
    return 0;
}

int runner_create_random(struct runner **ret, const struct model *model,
                         const struct runner_config *config, int random_parts, uint64_t seed,
                         struct error *error)
{
    const struct random_choice random = {model, random_parts, seed};
    const struct backend_ops *gpu;
    struct runner_config cpu = *config;
    struct error why = {""};
    if (!config->fallback || strcmp(config->backend, "auto") != 0)
        return create(ret, &random, config, error);
    const int found = backend_gpu(&gpu, NULL, 0, &why);
    if (found == 0 && create(ret, &random, config, &why) == 0)
        return 0;
    cpu.backend = "cpu";
    cpu.precision = PRECISION_AUTO; /* the other was a wish for the GPU */
    int r = create(ret, &random, &cpu, error);
    if (r == 0 && !backend_gpu_is_absent(found))
        (*ret)->trouble = why;
    return r;
}

int runner_create(struct runner **ret, const struct model *model,
                  const struct runner_config *config, struct error *error)
{
    return runner_create_random(ret, model, config, 0, 0, error);
}

void runner_destroy(struct runner *r)
{
    if (r == NULL)
        return;
    for (int i = r->n_plans - 1; i >= 0; i--) /* the first owns the weights */
        plan_destroy(r->plans[i].plan);
    if (r->ops != NULL) {
        backend_memory_free(r->ops, r->backend, r->arena);
        r->ops->close(r->backend);
    }
    for (int s = 0; s < MODEL_MAX_MAPS; s++)
        free(r->maps[s]);
    free(r->planes);
    free(r->cosines);
    free(r->embeddings);
    free(r->hcat);
    free(r->z_q_x);
    free(r);
}

const char *runner_backend(const struct runner *r)
{
    return r->ops->name;
}

const char *runner_trouble(const struct runner *r)
{
    return r->trouble.text;
}

enum precision runner_precision(const struct runner *r)
{
    return r->precision;
}

bool runner_depthwise(const struct runner *r, int i, struct depthwise_choice *ret)
{
    return r->ops->device != NULL && r->ops->device->depthwise(r->backend, i, ret);
}

int runner_threads(const struct runner *r)
{
    return r->threads;
}

float *runner_input(struct runner *r, int i)
{
    return r->planes + (size_t)i * r->plane_cells;
}

/* Copies planes into the plan's input; rows and columns that fill up a patch stay zero (FocalNet's
 * maybe_pad: right and bottom). */
static void load_input(struct runner *r, int i, int first)
{
    struct tensor_shape shape;
    float *to = plan_value(r->plans[i].plan, r->plans[i].values.input, &shape);
    const float *from = runner_input(r, first);
    size_t rows = (size_t)r->info->image_rows, cols = (size_t)r->info->image_cols;
    if (tensor_cells(shape) != (size_t)shape.n * r->plane_cells)
        memset(to, 0, tensor_cells(shape) * sizeof(float));
    for (int n = 0; n < shape.n; n++)
        for (size_t y = 0; y < rows; y++)
            memcpy(to + ((size_t)n * (size_t)shape.h + y) * (size_t)shape.w,
                   from + ((size_t)n * rows + y) * cols, cols * sizeof(float));
}

static void copy_value(const struct runner *r, int i, int value, float *to, size_t cells, int first)
{
    memcpy(to + (size_t)first * cells, plan_value(r->plans[i].plan, value, NULL),
           (size_t)r->plans[i].batch * cells * sizeof(float));
}

static void store_results(struct runner *r, int i, int first)
{
    const struct net_values *v = &r->plans[i].values;
    copy_value(r, i, v->cosines, r->cosines, (size_t)r->info->n_classes, first);
    copy_value(r, i, v->embedding, r->embeddings, r->embedding_cells, first);
    for (int s = 0; s < r->n_maps; s++)
        copy_value(r, i, v->map[s], r->maps[s], r->map_cells[s], first);
    if (r->piq) {
        copy_value(r, i, v->hcat, r->hcat, r->quantised, first);
        copy_value(r, i, v->z_q_x, r->z_q_x, r->quantised, first);
    }
}

int runner_run(struct runner *r, int batch, struct runner_result *results, struct error *error)
{
    if (batch < 1 || batch > r->max_batch)
        return error_set(error, EINVAL, "runner: a batch of %d; allowed: 1 to %d", batch,
                         r->max_batch);
    r->ops->enter(r->backend);
    for (int done = 0, i = r->n_plans - 1; done < batch; done += r->plans[i].batch) {
        while (r->plans[i].batch > batch - done)
            i--;
        load_input(r, i, done);
        int code = plan_run(r->plans[i].plan, error);
        if (code < 0)
            return code;
        store_results(r, i, done);
    }
    for (int k = 0; k < batch; k++) {
        results[k].cosines = r->cosines + (size_t)k * (size_t)r->info->n_classes;
        results[k].embedding = r->embeddings + (size_t)k * r->embedding_cells;
        results[k].quantised = r->quantised;
        results[k].hcat = r->piq ? r->hcat + (size_t)k * r->quantised : NULL;
        results[k].z_q_x = r->piq ? r->z_q_x + (size_t)k * r->quantised : NULL;
        for (int s = 0; s < MODEL_MAX_MAPS; s++)
            results[k].maps[s] =
                r->maps[s] == NULL ? NULL : r->maps[s] + (size_t)k * r->map_cells[s];
    }
    return 0;
}

/* Without an early end, so that it vectorises. */
static bool all_finite(const float *x, size_t n)
{
    bool bad = false;
    for (size_t i = 0; i < n; i++)
        bad |= !(fabsf(x[i]) < INFINITY);
    return !bad;
}

int runner_check(const struct runner *r, const struct runner_result *result, struct error *error)
{
    const int last = r->n_maps - 1;
    const bool cosines = all_finite(result->cosines, (size_t)r->info->n_classes);
    if (cosines && all_finite(result->maps[last], r->map_cells[last]))
        return 0;
    return error_set(error, ERANGE, "model %s: its %s not finite; %s", r->info->name,
                     cosines ? "map is" : "cosines are",
                     r->precision == PRECISION_FLOAT16
                         ? "values pass float16's 65504: choose the precision bfloat16, tf32 or "
                           "float32"
                         : "its weights are too large to compute with: import or train it anew");
}

void softmax_scaled(const float *cosines, int n, float scale, float *ret)
{
    float max = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++)
        max = cosines[i] > max ? cosines[i] : max;
    for (int i = 0; i < n; i++) {
        ret[i] = expf(scale * (cosines[i] - max));
        sum += ret[i];
    }
    for (int i = 0; i < n; i++)
        ret[i] /= sum;
}
