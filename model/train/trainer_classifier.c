/* SPDX-License-Identifier: Apache-2.0
 * A classifier: the backbone and, behind its embedding, the heads. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/train/drops.h"
#include "model/train/trainer_internal.h"

enum { BACKBONE, HEADS };
enum { HEAD_CLASSES, HEAD_EMBEDDING, HEAD_SCORES, HEAD_COUNT };

struct classifier {
    struct trainer base;
    int class_input, teacher_input; /* the embeddings, twice: their gradients are weighed apart */
    int heads[HEAD_COUNT];          /* values; -1: there is none */
    struct loss_target *targets;    /* [N] */
    float *told, *told_all;         /* [B], [N] of `told_width` floats */
    int told_width;                 /* two labels, weight, taught, E, S */
    float *embeddings, *scores;     /* [N][E], [N][S] */
    double *rows;                   /* [N] */
    float *gradients; /* the backbone's in the host's memory, where they are summed over processes
                         but lie elsewhere; or NULL */
};

static int classes_of(const struct classifier *t)
{
    struct net_config net = t->base.config.net;
    return net_head(&net)->classes;
}

/* Making */

static int make_backbone(struct classifier *t, struct error *error)
{
    struct net_config net = t->base.config.net;
    struct graph g;
    net_head(&net)->classes = 0;
    graph_init(&g);
    int r = net_build(&net, t->base.config.batch, true, false, &g, &t->base.net, error);
    if (r < 0) {
        graph_finish(&g);
        return r;
    }
    return trainer_make_part(&t->base, &g, &t->base.net.embedding, 1, false, trainer_rule_frozen,
                             error);
}

static bool is_taught(const struct classifier *t)
{
    return t->base.config.embedding_width > 0 || t->base.config.scores_width > 0;
}

static int copying_head(struct graph *g, int x, int width, const char *name)
{
    int64_t in = graph_channels(g, x);
    int w = graph_weight(g, 2, (const int64_t[]){width, in}, "teacher.%s.weight", name);
    int b = graph_weight(g, 1, (const int64_t[]){width}, "teacher.%s.bias", name);
    return graph_output(g, graph_linear(g, x, w, b));
}

static int make_heads(struct classifier *t, struct error *error)
{
    struct net_config net = t->base.config.net;
    struct head_config head = *net_head(&net);
    struct tensor_shape shape;
    struct graph g;
    int outputs[HEAD_COUNT], n = 0;
    learner_value(t->base.parts[BACKBONE].learner, t->base.net.embedding, &shape);
    shape.n = t->base.total;
    head.train = true;
    graph_init(&g);
    t->class_input = graph_input(&g, shape);
    t->heads[HEAD_CLASSES] = graph_output(&g, head_build(&g, t->class_input, &head));
    t->heads[HEAD_EMBEDDING] = t->heads[HEAD_SCORES] = t->teacher_input = -1;
    if (is_taught(t))
        t->teacher_input = graph_input(&g, shape);
    if (t->base.config.embedding_width > 0)
        t->heads[HEAD_EMBEDDING] =
            copying_head(&g, t->teacher_input, t->base.config.embedding_width, "embedding");
    if (t->base.config.scores_width > 0)
        t->heads[HEAD_SCORES] =
            copying_head(&g, t->teacher_input, t->base.config.scores_width, "scores");
    for (int i = 0; i < HEAD_COUNT; i++)
        if (t->heads[i] >= 0)
            outputs[n++] = t->heads[i];
    return trainer_make_part(&t->base, &g, outputs, n, true, trainer_rule_frozen, error);
}

static int make_scratch(struct classifier *t, struct error *error)
{
    const size_t n = (size_t)t->base.total, b = (size_t)t->base.config.batch;
    t->told_width = 4 + t->base.config.embedding_width + t->base.config.scores_width;
    t->targets = calloc(n, sizeof *t->targets);
    t->rows = calloc(n, sizeof *t->rows);
    t->told = calloc(b, (size_t)t->told_width * sizeof *t->told);
    t->told_all = calloc(n, (size_t)t->told_width * sizeof *t->told_all);
    t->embeddings = calloc(n, ((size_t)t->base.config.embedding_width + 1) * sizeof *t->embeddings);
    t->scores = calloc(n, ((size_t)t->base.config.scores_width + 1) * sizeof *t->scores);
    if (t->targets == NULL || t->rows == NULL || t->told == NULL || t->told_all == NULL ||
        t->embeddings == NULL || t->scores == NULL)
        return error_set(error, ENOMEM, "out of memory for a batch of %d", t->base.total);
    return 0;
}

static int classifier_create(struct trainer *trainer, struct error *error)
{
    struct classifier *t = (struct classifier *)trainer;
    int r = make_backbone(t, error);
    if (r == 0)
        r = make_heads(t, error);
    return r == 0 ? make_scratch(t, error) : r;
}

static void classifier_destroy(struct trainer *trainer)
{
    struct classifier *t = (struct classifier *)trainer;
    free(t->targets);
    free(t->told);
    free(t->told_all);
    free(t->embeddings);
    free(t->scores);
    free(t->rows);
    free(t->gradients);
}

/* A step */

/* Every process hears what the others' images are. */
static int share_targets(struct classifier *t, const struct trainer_batch *batch,
                         struct error *error)
{
    const struct trainer_ranks *ranks = t->base.config.ranks;
    const size_t e = (size_t)t->base.config.embedding_width,
                 s = (size_t)t->base.config.scores_width, width = (size_t)t->told_width;
    for (size_t i = 0; i < (size_t)t->base.config.batch; i++) {
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
        memcpy(t->told_all, t->told, (size_t)t->base.config.batch * width * sizeof *t->told);
        return 0;
    }
    return ranks->gather(ranks->user, t->told, (size_t)t->base.config.batch * width, t->told_all,
                         error);
}

static int share_embeddings(struct classifier *t, struct error *error)
{
    const struct trainer_ranks *ranks = t->base.config.ranks;
    struct tensor_shape s;
    const float *mine = learner_value(t->base.parts[BACKBONE].learner, t->base.net.embedding, &s);
    const struct learner *heads = t->base.parts[HEADS].learner;
    float *all = learner_value(heads, t->class_input, NULL);
    const size_t cells = tensor_cells(s);
    int r = 0;
    if (ranks != NULL)
        r = ranks->gather(ranks->user, mine, cells, all, error);
    else
        memcpy(all, mine, cells * sizeof *mine);
    if (r == 0 && is_taught(t))
        memcpy(learner_value(heads, t->teacher_input, NULL), all,
               cells * (size_t)(t->base.total / t->base.config.batch) * sizeof *all);
    return r;
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

static int class_loss(struct classifier *t, struct trainer_losses *ret, struct error *error)
{
    const struct learner *l = t->base.parts[HEADS].learner;
    const int classes = classes_of(t), n = t->base.total;
    const float *cosines = learner_value(l, t->heads[HEAD_CLASSES], NULL);
    float *seed = learner_seed(l, 0);
    double loss;
    for (int i = 0; i < n; i++) {
        const float *told = t->told_all + i * t->told_width;
        bool known = told[0] >= 0;
        t->targets[i] = (struct loss_target){known ? (int32_t)told[0] : 0,
                                             known ? (int32_t)told[1] : 0, known ? told[2] : 1};
    }
    int r = loss_classes(&t->base.config.loss, cosines, t->targets, n, classes, &loss, seed,
                         t->rows, error);
    if (r < 0)
        return r;
    clear_rows(seed, (size_t)classes, n, t->told_all, (size_t)t->told_width, 0);
    ret->classes = 0;
    ret->labelled = ret->right = 0;
    const int first =
        t->base.config.ranks != NULL ? t->base.config.ranks->rank * t->base.config.batch : 0;
    for (int i = 0; i < n; i++) {
        const float *row = cosines + (size_t)i * (size_t)classes;
        const struct loss_target *target = &t->targets[i];
        int best = 0;
        for (int c = 1; c < classes; c++)
            best = row[c] > row[best] ? c : best;
        if (t->told_all[i * t->told_width] < 0)
            continue;
        ret->labelled++;
        ret->classes += t->rows[i] / n;
        ret->right += best == (target->weight_a >= 0.5f ? target->label_a : target->label_b);
        if (!isfinite(t->rows[i]) && ret->worst < 0 && i >= first &&
            i < first + t->base.config.batch)
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
static double teacher_loss(struct classifier *t)
{
    const struct learner *l = t->base.parts[HEADS].learner;
    const size_t e = (size_t)t->base.config.embedding_width,
                 s = (size_t)t->base.config.scores_width, width = (size_t)t->told_width,
                 n = (size_t)t->base.total;
    double loss = 0;
    int output = 1;
    for (size_t i = 0; i < n; i++) {
        memcpy(t->embeddings + i * e, t->told_all + i * width + 4, e * sizeof(float));
        memcpy(t->scores + i * s, t->told_all + i * width + 4 + e, s * sizeof(float));
    }
    if (e > 0) {
        float *seed = learner_seed(l, output++);
        double value = loss_cosine(learner_value(l, t->heads[HEAD_EMBEDDING], NULL), t->embeddings,
                                   t->base.total, (int)e, seed);
        clear_rows(seed, e, t->base.total, t->told_all, width, 3);
        loss += scale_seed(seed, n * e, t->base.config.embedding_weight, value);
    }
    if (s > 0) {
        float *seed = learner_seed(l, output);
        double value = loss_binary(learner_value(l, t->heads[HEAD_SCORES], NULL), t->scores,
                                   t->base.total, (int)s, seed);
        clear_rows(seed, s, t->base.total, t->told_all, width, 3);
        loss += scale_seed(seed, n * s, t->base.config.scores_weight, value);
    }
    return loss;
}

static void draw_drops(struct classifier *t)
{
    struct net_config net = t->base.config.net;
    const struct trainer_ranks *ranks = t->base.config.ranks;
    const uint64_t first =
        ranks != NULL ? (uint64_t)ranks->rank * (uint64_t)t->base.config.batch : 0;
    struct tensor_shape s;
    if (t->base.net.drops < 0)
        return;
    float *drops = learner_value(t->base.parts[BACKBONE].learner, t->base.net.drops, &s);
    drops_draw(drops, s.n, s.c, (double)*net_drop_path(&net), t->base.config.seed,
               trainer_steps(&t->base), first);
}

static int run_forward(struct classifier *t, const struct trainer_batch *batch, struct error *error)
{
    int r = share_targets(t, batch, error);
    draw_drops(t);
    if (r == 0)
        r = learner_forward(t->base.parts[BACKBONE].learner, error);
    if (r == 0)
        r = share_embeddings(t, error);
    return r == 0 ? learner_forward(t->base.parts[HEADS].learner, error) : r;
}

static int classifier_forward(struct trainer *trainer, const struct trainer_batch *batch,
                              struct trainer_losses *ret, struct error *error)
{
    struct classifier *t = (struct classifier *)trainer;
    int r = run_forward(t, batch, error);
    if (r == 0)
        r = class_loss(t, ret, error);
    if (r < 0)
        return r;
    ret->teacher = teacher_loss(t);
    ret->loss = ret->classes + ret->teacher;
    return 0;
}

/* Over the processes, which meet in the host's memory. */
static int sum_gradients(struct classifier *t, struct error *error)
{
    const struct trainer_ranks *ranks = t->base.config.ranks;
    const struct learner *backbone = t->base.parts[BACKBONE].learner;
    const struct store *store = learner_store(backbone);
    float *gradients = learner_gradients(backbone);
    size_t n;
    learner_parameters(backbone, &n);
    if (store_device(store) == NULL)
        return ranks->sum(ranks->user, gradients, n, error);
    if (t->gradients == NULL)
        t->gradients = memory_large(n * sizeof *t->gradients);
    if (t->gradients == NULL)
        return error_set(error, ENOMEM, "out of memory for %zu parameters", n);
    int r = store_get(store, t->gradients, gradients, n, error);
    if (r == 0)
        r = ranks->sum(ranks->user, t->gradients, n, error);
    return r == 0 ? store_put(store, gradients, t->gradients, n, error) : r;
}

static int classifier_backward(struct trainer *trainer, struct error *error)
{
    struct classifier *t = (struct classifier *)trainer;
    const struct trainer_ranks *ranks = t->base.config.ranks;
    struct learner *backbone = t->base.parts[BACKBONE].learner,
                   *heads = t->base.parts[HEADS].learner;
    struct tensor_shape s;
    int r = learner_backward(heads, error);
    if (r < 0)
        return r;
    learner_value(backbone, t->base.net.embedding, &s);
    const size_t mine = tensor_cells(s), from = ranks != NULL ? (size_t)ranks->rank * mine : 0;
    const float *of_classes = learner_input_gradient(heads, t->class_input) + from,
                *of_teacher =
                    is_taught(t) ? learner_input_gradient(heads, t->teacher_input) + from : NULL;
    const float weight = (float)t->base.config.class_gradient;
    float *seed = learner_seed(backbone, 0);
    for (size_t i = 0; i < mine; i++)
        seed[i] = weight * of_classes[i] + (of_teacher != NULL ? of_teacher[i] : 0);
    r = learner_backward(backbone, error);
    return r == 0 && ranks != NULL ? sum_gradients(t, error) : r;
}

const struct trainer_ops trainer_classifier = {
    .size = sizeof(struct classifier),
    .create = classifier_create,
    .destroy = classifier_destroy,
    .forward = classifier_forward,
    .backward = classifier_backward,
};
