/* SPDX-License-Identifier: Apache-2.0
 * PIQ beside a classifier that is trained already: that one runs as in use, and the interpreter
 * learns to mark the loud part of what the classifier hears, through its class's keys (SpeechBrain
 * recipes/ESC50/interpret/train_piq.py; golden/README, piq):
 *
 *   loss = rec + vq + commit
 *   rec    cross-entropy of the mask to the marks (loss_mask)
 *   vq     mean (z_q_x - hcat)^2, of which the codebook learns
 *   commit the same, of which what is quantised learns
 *
 * Several processes share its batch norms' statistics, and sum the gradients of the rest. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "model/train/trainer_internal.h"

enum { SEED_MASK, SEED_CODES, SEED_QUANTISED };

static bool is_classifier(const void *user, const char *name)
{
    (void)user;
    return strncmp(name, "psi.", 4) != 0;
}

static int interpreter_create(struct trainer *t, struct error *error)
{
    struct net_config net = t->config.net;
    struct graph g;
    net_head(&net)->train = false;
    *net_drop_path(&net) = 0;
    net.piq.train = true;
    net.piq.ranks = t->config.ranks != NULL ? t->config.ranks->ranks : 0;
    graph_init(&g);
    int r = net_build(&net, t->config.batch, true, true, &g, &t->net, error);
    if (r < 0) {
        graph_finish(&g);
        return r;
    }
    const int outputs[] = {[SEED_MASK] = t->net.map[net_maps(&net, false)],
                           [SEED_CODES] = t->net.z_q_x,
                           [SEED_QUANTISED] = t->net.hcat};
    return trainer_make_part(t, &g, outputs, 3, false, is_classifier, error);
}

static void interpreter_destroy(struct trainer *t)
{
    (void)t;
}

static void divide(float *x, struct tensor_shape s, int by)
{
    for (size_t i = 0; i < tensor_cells(s); i++)
        x[i] /= (float)by;
}

/* Means over all processes' images, and the seeds of theirs. */
static int share_losses(const struct trainer *t, struct trainer_losses *ret, struct error *error)
{
    const struct trainer_ranks *ranks = t->config.ranks;
    const struct learner *l = t->parts[0].learner;
    const int of_seeds[] = {[SEED_MASK] = t->net.map[net_maps(&t->config.net, false)],
                            [SEED_CODES] = t->net.z_q_x,
                            [SEED_QUANTISED] = t->net.hcat};
    float means[] = {(float)ret->rec, (float)ret->vq};
    if (ranks == NULL)
        return 0;
    int r = ranks->sum(ranks->user, means, 2, error);
    ret->rec = (double)means[0] / ranks->ranks;
    ret->vq = (double)means[1] / ranks->ranks;
    for (int i = 0; i < 3; i++) {
        struct tensor_shape s;
        learner_value(l, of_seeds[i], &s);
        divide(learner_seed(l, i), s, ranks->ranks);
    }
    return r;
}

static int interpreter_forward(struct trainer *t, const struct trainer_batch *batch,
                               struct trainer_losses *ret, struct error *error)
{
    const struct learner *l = t->parts[0].learner;
    struct tensor_shape mask, hcat;
    int r = learner_forward(t->parts[0].learner, error);
    if (r < 0)
        return r;
    const float *m = learner_value(l, t->net.map[net_maps(&t->config.net, false)], &mask);
    const float *h = learner_value(l, t->net.hcat, &hcat);
    const float *z = learner_value(l, t->net.z_q_x, NULL);
    const size_t cells = tensor_cells(mask) / (size_t)mask.n,
                 width = tensor_cells(hcat) / (size_t)hcat.n;
    float *codes = learner_seed(l, SEED_CODES), *quantised = learner_seed(l, SEED_QUANTISED);
    ret->rec = loss_mask(m, batch->marks, mask.n, (int)cells, learner_seed(l, SEED_MASK));
    ret->vq = loss_squares(z, h, hcat.n, (int)width, codes);
    for (size_t i = 0; i < tensor_cells(hcat); i++)
        quantised[i] = -codes[i];
    r = share_losses(t, ret, error);
    if (r < 0)
        return r;
    ret->loss = ret->rec + 2 * ret->vq; /* commit is vq's value */
    ret->classes = ret->teacher = (double)NAN;
    ret->right = -1;
    for (int i = 0; i < mask.n && !isfinite(ret->loss) && ret->worst < 0; i++)
        if (!isfinite(loss_mask(m + (size_t)i * cells, batch->marks + (size_t)i * cells, 1,
                                (int)cells, NULL)) ||
            !isfinite(
                loss_squares(z + (size_t)i * width, h + (size_t)i * width, 1, (int)width, NULL)))
            ret->worst = i;
    return 0;
}

static int interpreter_backward(struct trainer *t, struct error *error)
{
    int r = learner_backward(t->parts[0].learner, error);
    return r == 0 && t->config.ranks != NULL ? learner_sum_gradients(t->parts[0].learner, error)
                                             : r;
}

const struct trainer_ops trainer_interpreter = {
    .size = sizeof(struct trainer),
    .create = interpreter_create,
    .destroy = interpreter_destroy,
    .forward = interpreter_forward,
    .backward = interpreter_backward,
};
