/* SPDX-License-Identifier: Apache-2.0 */
#include "model/train/trainer.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/train/drops.h"
#include "model/train/initial.h"
#include "model/train/learner.h"

static const float statistics_momentum = 0.1f; /* torch.nn.BatchNorm1d's */

/* A network of which there are two. */
struct part {
    struct learner *learner;
    struct optimizer optimizer;
    float *average; /* [parameters] */
};

enum { BACKBONE, HEADS, PARTS };
enum { HEAD_CLASSES, HEAD_EMBEDDING, HEAD_SCORES, HEAD_COUNT };

struct trainer {
    struct trainer_config config;
    struct part parts[PARTS];
    int taken;
    struct net_values net;
    int head_input;
    int heads[HEAD_COUNT];       /* values; -1: there is none */
    int total;                   /* N */
    struct loss_target *targets; /* [N] */
    float *told, *told_all;      /* [B], [N] of `told_width` floats */
    int told_width;              /* two labels, weight, taught, E, S */
    float *embeddings, *scores;  /* [N][E], [N][S] */
    double *rows;                /* [N] */
    int *names;                  /* [n_names] part * 2^16 + range */
    int n_names;
};

static int classes_of(const struct trainer *t)
{
    struct net_config net = t->config.net;
    return net_head(&net)->classes;
}

/* Making */

static bool rule_frozen(const void *user, const char *name)
{
    const struct trainer_config *c = user;
    return c->rule != NULL && c->rule(c->user, name, 0).frozen;
}

static int make_part(struct trainer *t, int which, struct graph *graph, const int *outputs, int n,
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
                                          .threads = c->threads,
                                          .frozen = rule_frozen,
                                          .user = c,
                                          .inputs = which == HEADS};
    /* the names in the initial weights are the graph's, which the learner takes over and frees */
    r = learner_create(&t->parts[which].learner, graph, outputs, n, initial_weights(initial),
                       &config, error);
    initial_destroy(initial);
    return r;
}

static int make_backbone(struct trainer *t, struct error *error)
{
    struct net_config net = t->config.net;
    struct graph g;
    net_head(&net)->classes = 0;
    graph_init(&g);
    int r = net_build(&net, t->config.batch, true, false, &g, &t->net, error);
    if (r < 0) {
        graph_finish(&g);
        return r;
    }
    return make_part(t, BACKBONE, &g, &t->net.embedding, 1, error);
}

static int copying_head(struct graph *g, int x, int width, const char *name)
{
    int64_t in = graph_channels(g, x);
    int w = graph_weight(g, 2, (const int64_t[]){width, in}, "teacher.%s.weight", name);
    int b = graph_weight(g, 1, (const int64_t[]){width}, "teacher.%s.bias", name);
    return graph_output(g, graph_linear(g, x, w, b));
}

static int make_heads(struct trainer *t, struct error *error)
{
    struct net_config net = t->config.net;
    struct head_config head = *net_head(&net);
    struct tensor_shape shape;
    struct graph g;
    int outputs[HEAD_COUNT], n = 0;
    learner_value(t->parts[BACKBONE].learner, t->net.embedding, &shape);
    shape.n = t->total;
    head.train = true;
    graph_init(&g);
    t->head_input = graph_input(&g, shape);
    t->heads[HEAD_CLASSES] = graph_output(&g, head_build(&g, t->head_input, &head));
    t->heads[HEAD_EMBEDDING] = t->heads[HEAD_SCORES] = -1;
    if (t->config.embedding_width > 0)
        t->heads[HEAD_EMBEDDING] =
            copying_head(&g, t->head_input, t->config.embedding_width, "embedding");
    if (t->config.scores_width > 0)
        t->heads[HEAD_SCORES] = copying_head(&g, t->head_input, t->config.scores_width, "scores");
    for (int i = 0; i < HEAD_COUNT; i++)
        if (t->heads[i] >= 0)
            outputs[n++] = t->heads[i];
    return make_part(t, HEADS, &g, outputs, n, error);
}

static int make_optimizer(struct trainer *t, struct part *part, struct error *error)
{
    const struct trainer_config *c = &t->config;
    size_t parameters;
    float *weights = learner_parameters(part->learner, &parameters);
    int n = learner_ranges(part->learner), k = 0;
    struct optimizer_range *ranges = calloc((size_t)n + 1, sizeof *ranges);
    part->average = memory_large(parameters * sizeof *part->average);
    int r = 0;
    if (ranges == NULL || part->average == NULL) {
        free(ranges);
        return error_set(error, ENOMEM, "out of memory for %zu parameters", parameters);
    }
    memcpy(part->average, weights, parameters * sizeof *weights);
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
        r = optimizer_init(&part->optimizer, &c->optimizer, parameters, ranges, (size_t)k, error);
    free(ranges);
    return r;
}

static int list_names(struct trainer *t, struct error *error)
{
    int most = 0;
    for (int p = 0; p < PARTS; p++)
        most += learner_ranges(t->parts[p].learner);
    t->names = calloc((size_t)most, sizeof *t->names);
    if (t->names == NULL)
        return error_set(error, ENOMEM, "out of memory");
    for (int p = 0; p < PARTS; p++)
        for (int i = 0; i < learner_ranges(t->parts[p].learner); i++)
            if (strncmp(learner_range(t->parts[p].learner, i).weight->name, "teacher.", 8) != 0)
                t->names[t->n_names++] = p << 16 | i;
    return 0;
}

static int make_scratch(struct trainer *t, struct error *error)
{
    const size_t n = (size_t)t->total, b = (size_t)t->config.batch;
    t->told_width = 4 + t->config.embedding_width + t->config.scores_width;
    t->targets = calloc(n, sizeof *t->targets);
    t->rows = calloc(n, sizeof *t->rows);
    t->told = calloc(b, (size_t)t->told_width * sizeof *t->told);
    t->told_all = calloc(n, (size_t)t->told_width * sizeof *t->told_all);
    t->embeddings = calloc(n, ((size_t)t->config.embedding_width + 1) * sizeof *t->embeddings);
    t->scores = calloc(n, ((size_t)t->config.scores_width + 1) * sizeof *t->scores);
    if (t->targets == NULL || t->rows == NULL || t->told == NULL || t->told_all == NULL ||
        t->embeddings == NULL || t->scores == NULL)
        return error_set(error, ENOMEM, "out of memory for a batch of %d", t->total);
    return 0;
}

int trainer_create(struct trainer **ret, const struct trainer_config *config, struct error *error)
{
    struct trainer *t = calloc(1, sizeof *t);
    if (t == NULL)
        return error_set(error, ENOMEM, "out of memory");
    t->config = *config;
    t->total = config->batch * (config->ranks != NULL ? config->ranks->ranks : 1);
    int r = make_backbone(t, error);
    if (r == 0)
        r = make_heads(t, error);
    for (int p = 0; p < PARTS && r == 0; p++)
        r = make_optimizer(t, &t->parts[p], error);
    if (r == 0)
        r = list_names(t, error);
    if (r == 0)
        r = make_scratch(t, error);
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
    for (int p = 0; p < PARTS; p++) {
        learner_destroy(t->parts[p].learner);
        optimizer_finish(&t->parts[p].optimizer);
        free(t->parts[p].average);
    }
    free(t->targets);
    free(t->told);
    free(t->told_all);
    free(t->embeddings);
    free(t->scores);
    free(t->rows);
    free(t->names);
    free(t);
}

int trainer_taken(const struct trainer *t)
{
    return t->taken;
}

float *trainer_plane(struct trainer *t, int i)
{
    struct tensor_shape s;
    float *planes = learner_value(t->parts[BACKBONE].learner, t->net.input, &s);
    return planes + (size_t)i * (size_t)s.h * (size_t)s.w;
}

/* A step */

/* Every process hears what the others' images are. */
static int share_targets(struct trainer *t, const struct trainer_batch *batch, struct error *error)
{
    const struct trainer_ranks *ranks = t->config.ranks;
    const size_t e = (size_t)t->config.embedding_width, s = (size_t)t->config.scores_width,
                 width = (size_t)t->told_width;
    for (size_t i = 0; i < (size_t)t->config.batch; i++) {
        float *told = t->told + i * width;
        const struct trainer_target *target = &batch->targets[i];
        told[0] = (float)target->classes.label_a;
        told[1] = (float)target->classes.label_b;
        told[2] = target->classes.weight_a;
        told[3] = target->taught ? 1 : 0;
        if (e > 0)
            memcpy(told + 4, batch->embeddings + i * e, e * sizeof *told);
        if (s > 0)
            memcpy(told + 4 + e, batch->scores + i * s, s * sizeof *told);
    }
    if (ranks == NULL) {
        memcpy(t->told_all, t->told, (size_t)t->config.batch * width * sizeof *t->told);
        return 0;
    }
    return ranks->gather(ranks->user, t->told, (size_t)t->config.batch * width, t->told_all, error);
}

static int share_embeddings(struct trainer *t, struct error *error)
{
    const struct trainer_ranks *ranks = t->config.ranks;
    struct tensor_shape s;
    const float *mine = learner_value(t->parts[BACKBONE].learner, t->net.embedding, &s);
    float *all = learner_value(t->parts[HEADS].learner, t->head_input, NULL);
    if (ranks != NULL)
        return ranks->gather(ranks->user, mine, tensor_cells(s), all, error);
    memcpy(all, mine, tensor_cells(s) * sizeof *mine);
    return 0;
}

/* A row of which nothing is known pulls nowhere. */
static void clear_rows(float *x, size_t width, int n, const float *told, size_t told_width,
                       int which)
{
    for (size_t i = 0; i < (size_t)n; i++) {
        float is = told[i * told_width + (size_t)which];
        if (which == 0 ? is < 0 : is == 0)
            memset(x + i * width, 0, width * sizeof *x);
    }
}

static int class_loss(struct trainer *t, struct trainer_losses *ret, struct error *error)
{
    const struct learner *l = t->parts[HEADS].learner;
    const int classes = classes_of(t), n = t->total;
    const float *cosines = learner_value(l, t->heads[HEAD_CLASSES], NULL);
    float *seed = learner_seed(l, 0);
    double loss;
    for (int i = 0; i < n; i++) {
        const float *told = t->told_all + i * t->told_width;
        bool known = told[0] >= 0;
        t->targets[i] = (struct loss_target){known ? (int32_t)told[0] : 0,
                                             known ? (int32_t)told[1] : 0, known ? told[2] : 1};
    }
    int r =
        loss_classes(&t->config.loss, cosines, t->targets, n, classes, &loss, seed, t->rows, error);
    if (r < 0)
        return r;
    clear_rows(seed, (size_t)classes, n, t->told_all, (size_t)t->told_width, 0);
    ret->classes = 0;
    ret->right = 0;
    const int first = t->config.ranks != NULL ? t->config.ranks->rank * t->config.batch : 0;
    for (int i = 0; i < n; i++) {
        const float *row = cosines + (size_t)i * (size_t)classes;
        const struct loss_target *target = &t->targets[i];
        int best = 0;
        for (int c = 1; c < classes; c++)
            best = row[c] > row[best] ? c : best;
        if (t->told_all[i * t->told_width] < 0)
            continue;
        ret->classes += t->rows[i] / n;
        ret->right += best == (target->weight_a >= 0.5f ? target->label_a : target->label_b);
        if (!isfinite(t->rows[i]) && ret->worst < 0 && i >= first && i < first + t->config.batch)
            ret->worst = i - first;
    }
    return 0;
}

static double scale_seed(float *seed, size_t n, double weight, double loss)
{
    for (size_t i = 0; i < n; i++)
        seed[i] *= (float)weight;
    return weight * loss;
}

/* Cosine to the teacher's embedding and cross-entropy to its scores, each by its weight. */
static double teacher_loss(struct trainer *t)
{
    const struct learner *l = t->parts[HEADS].learner;
    const size_t e = (size_t)t->config.embedding_width, s = (size_t)t->config.scores_width,
                 width = (size_t)t->told_width, n = (size_t)t->total;
    double loss = 0;
    int output = 1;
    for (size_t i = 0; i < n; i++) {
        memcpy(t->embeddings + i * e, t->told_all + i * width + 4, e * sizeof(float));
        memcpy(t->scores + i * s, t->told_all + i * width + 4 + e, s * sizeof(float));
    }
    if (e > 0) {
        float *seed = learner_seed(l, output++);
        double value = loss_cosine(learner_value(l, t->heads[HEAD_EMBEDDING], NULL), t->embeddings,
                                   t->total, (int)e, seed);
        clear_rows(seed, e, t->total, t->told_all, width, 3);
        loss += scale_seed(seed, n * e, t->config.embedding_weight, value);
    }
    if (s > 0) {
        float *seed = learner_seed(l, output);
        double value = loss_binary(learner_value(l, t->heads[HEAD_SCORES], NULL), t->scores,
                                   t->total, (int)s, seed);
        clear_rows(seed, s, t->total, t->told_all, width, 3);
        loss += scale_seed(seed, n * s, t->config.scores_weight, value);
    }
    return loss;
}

static void draw_drops(struct trainer *t)
{
    struct net_config net = t->config.net;
    const struct trainer_ranks *ranks = t->config.ranks;
    const uint64_t first = ranks != NULL ? (uint64_t)ranks->rank * (uint64_t)t->config.batch : 0;
    struct tensor_shape s;
    if (t->net.drops < 0)
        return;
    float *drops = learner_value(t->parts[BACKBONE].learner, t->net.drops, &s);
    drops_draw(drops, s.n, s.c, (double)*net_drop_path(&net), t->config.seed, trainer_steps(t),
               first);
}

static int forward(struct trainer *t, const struct trainer_batch *batch, struct error *error)
{
    int r = share_targets(t, batch, error);
    draw_drops(t);
    if (r == 0)
        r = learner_forward(t->parts[BACKBONE].learner, error);
    if (r == 0)
        r = share_embeddings(t, error);
    return r == 0 ? learner_forward(t->parts[HEADS].learner, error) : r;
}

static int backward(struct trainer *t, struct error *error)
{
    const struct trainer_ranks *ranks = t->config.ranks;
    struct learner *backbone = t->parts[BACKBONE].learner, *heads = t->parts[HEADS].learner;
    struct tensor_shape s;
    int r = learner_backward(heads, error);
    if (r < 0)
        return r;
    learner_value(backbone, t->net.embedding, &s);
    const size_t mine = tensor_cells(s);
    memcpy(learner_seed(backbone, 0),
           learner_input_gradient(heads, t->head_input) +
               (ranks != NULL ? (size_t)ranks->rank * mine : 0),
           mine * sizeof(float));
    r = learner_backward(backbone, error);
    if (r == 0 && ranks != NULL) {
        size_t n;
        learner_parameters(backbone, &n);
        r = ranks->sum(ranks->user, learner_gradients(backbone), n, error);
    }
    return r;
}

static void move_average(struct part *part, double decay)
{
    size_t n;
    const float *weights = learner_parameters(part->learner, &n);
    const double warm = (1 + (double)part->optimizer.step) / (10 + (double)part->optimizer.step);
    const float keep = (float)(decay < warm ? decay : warm);
    if (decay <= 0) {
        memcpy(part->average, weights, n * sizeof *weights);
        return;
    }
#pragma omp parallel for
    for (size_t i = 0; i < n; i++)
        part->average[i] = keep * part->average[i] + (1 - keep) * weights[i];
}

static int update(struct trainer *t, double rate, struct trainer_losses *ret, struct error *error)
{
    double squares = 0;
    for (int p = 0; p < PARTS; p++) {
        struct part *part = &t->parts[p];
        double norm = part->optimizer.m == NULL
                          ? 0
                          : optimizer_norm(&part->optimizer, learner_gradients(part->learner));
        squares += norm * norm;
    }
    ret->norm = sqrt(squares);
    if (!isfinite(ret->norm))
        return error_set(error, EDOM, "the gradient is not finite");
    for (int p = 0; p < PARTS; p++) {
        struct part *part = &t->parts[p];
        int r = part->optimizer.m == NULL
                    ? 0
                    : optimizer_step(&part->optimizer, learner_parameters(part->learner, NULL),
                                     learner_gradients(part->learner), ret->norm, rate, error);
        if (r < 0)
            return r;
        learner_update_statistics(part->learner, statistics_momentum);
        move_average(part, t->config.average);
        r = learner_repack(part->learner, error);
        if (r < 0)
            return r;
    }
    return 0;
}

int trainer_step(struct trainer *t, const struct trainer_batch *batch, double rate,
                 struct trainer_losses *ret, struct error *error)
{
    *ret = (struct trainer_losses){.worst = -1};
    int r = forward(t, batch, error);
    if (r == 0)
        r = class_loss(t, ret, error);
    if (r < 0)
        return r;
    ret->teacher = teacher_loss(t);
    ret->loss = ret->classes + ret->teacher;
    if (!isfinite(ret->loss))
        return error_set(error, EDOM, "the loss is not finite");
    r = backward(t, error);
    return r == 0 ? update(t, rate, ret, error) : r;
}

/* What comes of it */

const float *trainer_map(const struct trainer *t, int i, int *ret_rows, int *ret_cols)
{
    struct tensor_shape s;
    int last = net_maps(&t->config.net, false) - 1;
    const float *maps = learner_value(t->parts[BACKBONE].learner, t->net.map[last], &s);
    *ret_rows = s.h;
    *ret_cols = s.w;
    return maps + (size_t)i * (size_t)s.h * (size_t)s.w;
}

int trainer_weights(const struct trainer *t)
{
    return t->n_names;
}

struct weights_array trainer_weight(const struct trainer *t, int i)
{
    const struct part *part = &t->parts[t->names[i] >> 16];
    struct learner_range range = learner_range(part->learner, t->names[i] & 0xffff);
    return (struct weights_array){range.weight->name, range.weight->rank, range.weight->shape,
                                  part->average + range.from};
}

/* Saving */

size_t trainer_parameters(const struct trainer *t)
{
    size_t all = 0;
    for (int p = 0; p < PARTS; p++) {
        size_t n;
        learner_parameters(t->parts[p].learner, &n);
        all += n;
    }
    return all;
}

uint64_t trainer_steps(const struct trainer *t)
{
    return t->parts[HEADS].optimizer.step;
}

void trainer_save(const struct trainer *t, float *weights, float *m, float *v, float *average)
{
    size_t at = 0;
    for (int p = 0; p < PARTS; p++) {
        const struct part *part = &t->parts[p];
        size_t n;
        const float *now = learner_parameters(part->learner, &n);
        memcpy(weights + at, now, n * sizeof *now);
        memcpy(average + at, part->average, n * sizeof *now);
        if (part->optimizer.m != NULL) {
            memcpy(m + at, part->optimizer.m, n * sizeof *now);
            memcpy(v + at, part->optimizer.v, n * sizeof *now);
        } else {
            memset(m + at, 0, n * sizeof *now);
            memset(v + at, 0, n * sizeof *now);
        }
        at += n;
    }
}

int trainer_restore(struct trainer *t, uint64_t steps, const float *weights, const float *m,
                    const float *v, const float *average, struct error *error)
{
    size_t at = 0;
    int r = 0;
    for (int p = 0; p < PARTS && r == 0; p++) {
        struct part *part = &t->parts[p];
        size_t n;
        float *now = learner_parameters(part->learner, &n);
        memcpy(now, weights + at, n * sizeof *now);
        memcpy(part->average, average + at, n * sizeof *now);
        if (part->optimizer.m != NULL) {
            memcpy(part->optimizer.m, m + at, n * sizeof *now);
            memcpy(part->optimizer.v, v + at, n * sizeof *now);
        }
        part->optimizer.step = steps;
        at += n;
        r = learner_repack(part->learner, error);
    }
    return r;
}
