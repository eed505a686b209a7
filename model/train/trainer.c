/* SPDX-License-Identifier: Apache-2.0 */
#include "model/train/trainer_internal.h"

#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/train/initial.h"

static const float statistics_momentum = 0.1f; /* torch.nn.BatchNorm1d's and …2d's */

/* Making */

bool trainer_rule_frozen(const void *user, const char *name)
{
    const struct trainer_config *c = user;
    return c->rule != NULL && c->rule(c->user, name, 0).frozen;
}

int trainer_make_part(struct trainer *t, struct graph *graph, const int *outputs, int n,
                      bool inputs, bool (*frozen)(const void *user, const char *name),
                      struct error *error)
{
    const struct trainer_config *c = &t->config;
    struct initial *initial;
    int taken, r = graph_check(graph, error);
    if (r == 0)
        r = initial_create(&initial, graph, c->from, c->seed, &taken, error);
    if (r < 0) {
        graph_finish(graph);
        return r;
    }
    t->taken += taken;
    const struct learner_config config = {.ops = c->ops,
                                          .precision = c->precision,
                                          .depthwise = c->depthwise,
                                          .threads = c->threads,
                                          .frozen = frozen,
                                          .user = c,
                                          .inputs = inputs,
                                          .ranks = c->ranks,
                                          .checkpoint_activations =
                                              !inputs && c->checkpoint_activations};
    /* the names in the initial weights are the graph's, which the learner takes over and frees */
    r = learner_create(&t->parts[t->n_parts++].learner, graph, outputs, n, initial_weights(initial),
                       &config, error);
    initial_destroy(initial);
    malloc_trim(0); /* they were as large as the parameters and lie below what is kept */
    return r;
}

static int make_optimizer(struct trainer *t, struct part *part, struct error *error)
{
    const struct trainer_config *c = &t->config;
    const struct store *store = learner_store(part->learner);
    size_t parameters;
    float *weights = learner_parameters(part->learner, &parameters);
    int n = learner_ranges(part->learner), k = 0;
    part->average = store_floats(store, parameters, error);
    if (part->average == NULL)
        return -ENOMEM;
    int r = store_mix(store, part->average, weights, parameters, 0, 1, error);
    if (r < 0)
        return r;
    struct optimizer_range *ranges = calloc((size_t)n + 1, sizeof *ranges);
    if (ranges == NULL)
        return error_set(error, ENOMEM, "out of memory");
    for (int i = 0; i < n; i++) {
        struct learner_range range = learner_range(part->learner, i);
        struct trainer_rule rule = {1, false, true};
        if (c->rule != NULL)
            rule = c->rule(c->user, range.weight->name, range.weight->rank);
        if (range.trained)
            ranges[k++] = (struct optimizer_range){range.from, range.cells, rule.rate, rule.frozen,
                                                   rule.decay};
    }
    if (k > 0)
        r = optimizer_init(&part->optimizer, &c->optimizer, store, parameters, ranges, (size_t)k,
                           error);
    free(ranges);
    return r;
}

static int list_names(struct trainer *t, struct error *error)
{
    int most = 0;
    for (int p = 0; p < t->n_parts; p++)
        most += learner_ranges(t->parts[p].learner);
    t->names = calloc((size_t)most, sizeof *t->names);
    if (t->names == NULL)
        return error_set(error, ENOMEM, "out of memory");
    for (int p = 0; p < t->n_parts; p++)
        for (int i = 0; i < learner_ranges(t->parts[p].learner); i++)
            if (strncmp(learner_range(t->parts[p].learner, i).weight->name, "teacher.", 8) != 0)
                t->names[t->n_names++] = p << 16 | i;
    return 0;
}

int trainer_create(struct trainer **ret, const struct trainer_config *config, struct error *error)
{
    const struct trainer_ops *ops =
        config->net.piq.keys > 0 ? &trainer_interpreter : &trainer_classifier;
    struct trainer *t = calloc(1, ops->size);
    if (t == NULL)
        return error_set(error, ENOMEM, "out of memory");
    t->ops = ops;
    t->config = *config;
    t->scale = loss_scale_begin(config->precision);
    t->total = config->batch * (config->ranks != NULL ? config->ranks->ranks : 1);
    int r = ops->create(t, error);
    for (int p = 0; p < t->n_parts && r == 0; p++)
        r = make_optimizer(t, &t->parts[p], error);
    if (r == 0)
        r = list_names(t, error);
    if (r < 0) {
        trainer_destroy(t);
        return r;
    }
    *ret = t;
    return 0;
}

void trainer_destroy(struct trainer *t)
{
    if (t == NULL)
        return;
    t->ops->destroy(t);
    for (int p = 0; p < t->n_parts; p++) {
        struct part *part = &t->parts[p];
        optimizer_finish(&part->optimizer);
        if (part->average != NULL)
            store_free(learner_store(part->learner), part->average);
        free(part->here);
        learner_destroy(part->learner);
    }
    free(t->names);
    free(t);
}

int trainer_taken(const struct trainer *t)
{
    return t->taken;
}

struct learner_memory trainer_memory(const struct trainer *t)
{
    struct learner_memory sum = {0};
    for (int p = 0; p < t->n_parts; p++) {
        const struct learner_memory m = learner_memory(t->parts[p].learner);
        sum.parameters += m.parameters;
        sum.stored += m.stored;
        sum.arena += m.arena;
        sum.packed += m.packed;
    }
    return sum;
}

float *trainer_plane(struct trainer *t, int i)
{
    struct tensor_shape s;
    float *planes = learner_value(t->parts[0].learner, t->net.input, &s);
    return planes + (size_t)i * (size_t)s.h * (size_t)s.w;
}

void trainer_load(struct trainer *t, const float *planes)
{
    struct tensor_shape s;
    int image_rows, image_cols;
    float *to = learner_value(t->parts[0].learner, t->net.input, &s);
    net_image_size(&t->config.net, &image_rows, &image_cols);
    const size_t rows = (size_t)image_rows, cols = (size_t)image_cols, w = (size_t)s.w;
    memset(to, 0, tensor_cells(s) * sizeof *to);
    for (size_t i = 0; i < (size_t)s.n; i++)
        for (size_t y = 0; y < rows; y++)
            memcpy(to + (i * (size_t)s.h + y) * w, planes + (i * rows + y) * cols,
                   cols * sizeof *to);
}

/* A step */

static int move_average(struct part *part, double decay, struct error *error)
{
    size_t n;
    const float *weights = learner_parameters(part->learner, &n);
    const double warm = (1 + (double)part->optimizer.step) / (10 + (double)part->optimizer.step);
    /* of weights that stay, the average is themselves, which a sum of shares would only round */
    const bool stays = decay <= 0 || part->optimizer.m == NULL;
    const float keep = stays ? 0 : (float)(decay < warm ? decay : warm);
    return store_mix(learner_store(part->learner), part->average, weights, n, keep, 1 - keep,
                     error);
}

static int update_part(struct trainer *t, struct part *part, double norm, double rate,
                       struct error *error)
{
    struct learner *l = part->learner;
    int r = part->optimizer.m == NULL
                ? 0
                : optimizer_step(&part->optimizer, learner_parameters(l, NULL),
                                 learner_gradients(l), norm, rate, error);
    if (r == 0)
        r = learner_update_statistics(l, statistics_momentum, error);
    if (r == 0)
        r = move_average(part, t->config.average, error);
    return r == 0 ? learner_repack(l, error) : r;
}

static int update(struct trainer *t, double rate, struct trainer_losses *ret, struct error *error)
{
    double squares = 0;
    int r = 0;
    for (int p = 0; p < t->n_parts && r == 0; p++) {
        struct part *part = &t->parts[p];
        double norm = 0;
        if (part->optimizer.m != NULL)
            r = optimizer_norm(&part->optimizer, learner_gradients(part->learner), &norm, error);
        squares += norm * norm;
    }
    if (r < 0)
        return r;
    ret->norm = sqrt(squares);
    if (!isfinite(ret->norm)) {
        ret->skipped = loss_scale_lower(&t->scale);
        return ret->skipped ? 0 : error_set(error, EDOM, "the gradient is not finite");
    }
    for (int p = 0; p < t->n_parts && r == 0; p++)
        r = update_part(t, &t->parts[p], ret->norm, rate, error);
    loss_scale_keep(&t->scale);
    return r;
}

int trainer_step(struct trainer *t, const struct trainer_batch *batch, double rate,
                 struct trainer_losses *ret, struct error *error)
{
    *ret = (struct trainer_losses){.rec = NAN, .vq = NAN, .worst = -1};
    int r = t->ops->forward(t, batch, ret, error);
    if (r < 0)
        return r;
    if (!isfinite(ret->loss))
        return error_set(error, EDOM, "the loss is not finite");
    for (int p = 0; p < t->n_parts; p++)
        learner_scale(t->parts[p].learner, loss_scale_factor(&t->scale));
    r = t->ops->backward(t, error);
    return r == 0 ? update(t, rate, ret, error) : r;
}

/* What comes of it */

const float *trainer_map(const struct trainer *t, int i, int *ret_rows, int *ret_cols)
{
    struct tensor_shape s;
    int last = net_maps(&t->config.net, false) - 1;
    const float *maps = learner_value(t->parts[0].learner, t->net.map[last], &s);
    *ret_rows = s.h;
    *ret_cols = s.w;
    return maps + (size_t)i * (size_t)s.h * (size_t)s.w;
}

int trainer_fetch(struct trainer *t, struct error *error)
{
    int r = 0;
    for (int p = 0; p < t->n_parts && r == 0; p++) {
        struct part *part = &t->parts[p];
        const struct store *store = learner_store(part->learner);
        size_t n;
        learner_parameters(part->learner, &n);
        if (store_device(store) == NULL)
            continue;
        if (part->here == NULL)
            part->here = memory_large(n * sizeof *part->here);
        r = part->here == NULL ? error_set(error, ENOMEM, "out of memory for %zu parameters", n)
                               : store_get(store, part->here, part->average, n, error);
    }
    return r;
}

int trainer_weights(const struct trainer *t)
{
    return t->n_names;
}

struct weights_array trainer_weight(const struct trainer *t, int i)
{
    const struct part *part = &t->parts[t->names[i] >> 16];
    struct learner_range range = learner_range(part->learner, t->names[i] & 0xffff);
    const float *values =
        store_device(learner_store(part->learner)) == NULL ? part->average : part->here;
    return (struct weights_array){range.weight->name, range.weight->rank, range.weight->shape,
                                  values != NULL ? values + range.from : NULL};
}

/* Saving */

size_t trainer_parameters(const struct trainer *t)
{
    size_t all = 0;
    for (int p = 0; p < t->n_parts; p++) {
        size_t n;
        learner_parameters(t->parts[p].learner, &n);
        all += n;
    }
    return all;
}

uint64_t trainer_steps(const struct trainer *t)
{
    return t->parts[t->n_parts - 1].optimizer.step;
}

struct loss_scale trainer_loss_scale(const struct trainer *t)
{
    return t->scale;
}

/* Moments where nothing of the part is trained: none. */
static int save_moments(const struct part *part, float *m, float *v, size_t n, struct error *error)
{
    const struct store *store = learner_store(part->learner);
    if (part->optimizer.m == NULL) {
        memset(m, 0, n * sizeof *m);
        memset(v, 0, n * sizeof *v);
        return 0;
    }
    int r = store_get(store, m, part->optimizer.m, n, error);
    return r == 0 ? store_get(store, v, part->optimizer.v, n, error) : r;
}

int trainer_save(const struct trainer *t, float *weights, float *m, float *v, float *average,
                 struct error *error)
{
    size_t at = 0;
    int r = 0;
    for (int p = 0; p < t->n_parts && r == 0; p++) {
        const struct part *part = &t->parts[p];
        const struct store *store = learner_store(part->learner);
        size_t n;
        const float *now = learner_parameters(part->learner, &n);
        r = store_get(store, weights + at, now, n, error);
        if (r == 0)
            r = store_get(store, average + at, part->average, n, error);
        if (r == 0)
            r = save_moments(part, m + at, v + at, n, error);
        at += n;
    }
    return r;
}

static int restore_moments(struct part *part, const float *m, const float *v, size_t n,
                           struct error *error)
{
    const struct store *store = learner_store(part->learner);
    if (part->optimizer.m == NULL)
        return 0;
    int r = store_put(store, part->optimizer.m, m, n, error);
    return r == 0 ? store_put(store, part->optimizer.v, v, n, error) : r;
}

int trainer_restore(struct trainer *t, uint64_t steps, const struct loss_scale *scale,
                    const float *weights, const float *m, const float *v, const float *average,
                    struct error *error)
{
    size_t at = 0;
    int r = 0;
    if (t->scale.factor > 0 && scale->factor > 0) /* both were in float16 */
        t->scale = *scale;
    for (int p = 0; p < t->n_parts && r == 0; p++) {
        struct part *part = &t->parts[p];
        const struct store *store = learner_store(part->learner);
        size_t n;
        float *now = learner_parameters(part->learner, &n);
        r = store_put(store, now, weights + at, n, error);
        if (r == 0)
            r = store_put(store, part->average, average + at, n, error);
        if (r == 0)
            r = restore_moments(part, m + at, v + at, n, error);
        if (r == 0)
            r = learner_repack(part->learner, error);
        part->optimizer.step = steps;
        at += n;
    }
    return r;
}
