/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_run_internal.h"

#include <errno.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/stop.h"
#include "daemon/train_curves.h"
#include "daemon/train_model.h"
#include "daemon/train_valid.h"

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* All processes meet here, and hear how it went where it went worst, and for which of them. */
static int meet(const struct run *run, enum outcome mine, enum outcome *ret, int *ret_rank,
                struct error *error)
{
    const struct trainer_ranks *ranks = run->given->ranks;
    float told = (float)mine, all[TRAIN_MAX_RANKS];
    *ret = mine;
    *ret_rank = run->rank;
    if (ranks == NULL)
        return 0;
    int r = ranks->gather(ranks->user, &told, 1, all, error);
    *ret = r == 0 ? WENT_WELL : mine;
    for (int i = 0; i < run->ranks && r == 0; i++)
        if ((enum outcome)all[i] > *ret) {
            *ret = (enum outcome)all[i];
            *ret_rank = i;
        }
    return r;
}

int train_run_agree(struct run *run, int r, enum outcome failed, struct error *error)
{
    enum outcome worst;
    int rank;
    struct error broken;
    if (meet(run, r < 0 ? failed : WENT_WELL, &worst, &rank, &broken) < 0) {
        run->together = false;
        return r < 0 ? r : error_set(error, EIO, "%s", broken.text);
    }
    if (worst == WENT_WELL)
        return 0;
    run->together = true;
    if (rank == run->rank)
        return r;
    error->text[0] = '\0';
    return -ECANCELED;
}

/* An epoch */

struct sums {
    double loss, classes, teacher, rec, vq;
    double labelled, right; /* NaN: of an interpreter */
    int steps, skipped;
};

static int step_failed(struct run *run, const struct train_batch *batch, int worst, int epoch,
                       int number, struct error *error)
{
    char clip[300] = "", kept[80] = "no epoch is whole yet";
    run->named = worst >= 0;
    if (epoch > 1)
        snprintf(kept, sizeof kept, "epoch %d and the best so far are kept", epoch - 1);
    if (worst >= 0)
        snprintf(clip, sizeof clip, ", by %.250s", run->data.clips[batch->clips[worst]].path);
    return error_set(error, EDOM,
                     "epoch %d, batch %d: the loss or its gradient is not finite%s; %s; a lower "
                     "[optimizer] rate may help",
                     epoch, number + 1, clip, kept);
}

static int run_step(struct run *run, int epoch, int number, struct sums *sums, double *ret_rate,
                    struct error *error)
{
    struct train_batch *batch = train_batches_next(run->batches);
    struct trainer_losses losses;
    train_own_apply(run->own, batch, epoch, number);
    trainer_load(run->trainer, batch->planes);
    const struct trainer_batch given = {batch->targets, batch->embeddings, batch->scores,
                                        batch->marks};
    *ret_rate =
        schedule_rate(&run->schedule, &run->state.schedule,
                      train_config_step(run->config, &run->steps, epoch, (uint64_t)number + 1));
    int r = trainer_step(run->trainer, &given, *ret_rate, &losses, error);
    if (r == -EDOM)
        return step_failed(run, batch, losses.worst, epoch, number, error);
    if (r < 0)
        return r;
    train_own_keep(run->own, batch, run->trainer);
    sums->loss += losses.loss;
    sums->classes += losses.classes;
    sums->teacher += losses.teacher;
    sums->rec += losses.rec;
    sums->vq += losses.vq;
    sums->labelled += losses.labelled;
    sums->right += losses.right >= 0 ? losses.right : (double)NAN;
    sums->steps++;
    sums->skipped += losses.skipped;
    return 0;
}

static int learn(struct run *run, struct train_epoch *e, struct error *error)
{
    const int n = train_batches_count(run->batches), step = run->config->batch * run->ranks;
    struct sums sums = {0};
    const double began = now_s();
    train_batches_epoch(run->batches, e->epoch);
    train_own_begin(run->own);
    for (int k = 0; k < n; k++) {
        enum outcome worst;
        int rank, r = meet(run, stop_signal != 0 ? STOPPED : WENT_WELL, &worst, &rank, error);
        if (r < 0)
            return r;
        if (worst != WENT_WELL) /* a signal may have come to one process only, or sooner */
            return -EINTR;
        r = run_step(run, e->epoch, k, &sums, &e->rate, error);
        if (r < 0)
            return r;
        const double clips = (double)sums.steps * step;
        if (run->leader)
            train_progress_batch(&run->progress, (k + 1.0) / n, sums.loss / sums.steps,
                                 sums.right / sums.labelled, clips / (now_s() - began));
    }
    e->clips_per_s = (double)n * step / (now_s() - began);
    e->loss = sums.loss / n;
    e->class_loss = sums.classes / n;
    e->rec_loss = sums.rec / n;
    e->vq_loss = sums.vq / n;
    e->teacher_loss = run->data.taught != NULL ? sums.teacher / n : (double)NAN;
    e->accuracy = sums.right / sums.labelled;
    e->step = trainer_steps(run->trainer);
    const struct loss_scale scale = trainer_loss_scale(run->trainer);
    e->loss_scale = scale.factor > 0 ? scale.factor : (double)NAN;
    e->skipped_steps = scale.factor > 0 ? sums.skipped : (double)NAN;
    return 0;
}

/* What chooses the best epoch; NaN where it was not measured: never the best. An interpreter is
 * chosen by its FID-I, as the published code's is, or, where that is never measured, by its loss.
 */
static double score_of(const struct train_config *c, const struct train_epoch *e)
{
    if (train_config_interpreter(c))
        return c->explain_every > 0 ? e->fid_i : -e->valid_loss;
    if (c->fidelity_weight > 0 && c->explain_every > 0)
        return e->valid_accuracy + c->fidelity_weight * e->fid_i;
    return e->valid_accuracy;
}

/* The first that is validated once so many epochs are over, and the last. */
static bool is_explained(const struct train_config *c, int epoch)
{
    if (c->explain_every == 0)
        return false;
    return epoch == c->epochs ||
           epoch / c->explain_every > (epoch - c->valid_every) / c->explain_every;
}

static int validate(struct run *run, struct train_epoch *e, struct error *error)
{
    const struct train_config *c = run->config;
    const bool last = e->epoch == c->epochs;
    const struct train_model model = {run->network.geometry, run->network.preprocess,
                                      run->data.labels, run->data.n_classes, c->half};
    char path[PATH_MAX];
    train_dir_file(&run->dir, "last", path);
    int r = train_model_write(path, &model, run->trainer, error);
    if (r < 0 || (e->epoch % c->valid_every != 0 && !last))
        return r;
    const struct train_valid_config valid = {.dir = path,
                                             .backend = run->backend.ops->name,
                                             .precision = run->backend.precision,
                                             .threads = c->threads,
                                             .quantile = c->quantile,
                                             .explain = is_explained(c, e->epoch),
                                             .interpreter = train_config_interpreter(c),
                                             .threshold = (float)c->threshold,
                                             .progress = &run->progress};
    r = train_validate(&valid, &run->data, e, error);
    if (r < 0)
        return r;
    e->score = score_of(c, e);
    if (!(e->score > run->state.best_score))
        return 0;
    e->best = true;
    run->state.best_score = e->score;
    run->state.best_epoch = (uint32_t)e->epoch;
    train_dir_file(&run->dir, "best", path);
    return train_model_write(path, &model, run->trainer, error);
}

static int keep_epoch(struct run *run, const struct train_epoch *e, struct error *error)
{
    char path[PATH_MAX];
    int n, r = train_log_append(run->log, e, error);
    if (r < 0)
        return r;
    struct train_state *s = &run->state;
    schedule_epoch(&run->schedule, &s->schedule, e->epoch,
                   train_config_interpreter(run->config) ? -e->score : 1 - e->valid_accuracy);
    r = trainer_save(run->trainer, s->weights, s->m, s->v, s->average, error);
    if (r < 0)
        return r;
    s->optimizer_step = trainer_steps(run->trainer);
    s->scale = trainer_loss_scale(run->trainer);
    s->epoch = (uint32_t)e->epoch;
    train_dir_file(&run->dir, "state.safetensors", path);
    r = train_state_write(path, s, error);
    if (r < 0)
        return r;
    train_progress_line(&run->progress, e);
    const struct train_epoch *epochs = train_log_epochs(run->log, &n);
    train_dir_file(&run->dir, "curves.png", path);
    return train_curves_write(path, run->given->dir, epochs, n, error);
}

/* The leader alone knows how an epoch was: the others go on at the rate that it came to. */
static int share_schedule(struct run *run, struct error *error)
{
    const struct trainer_ranks *ranks = run->given->ranks;
    struct schedule_state *s = &run->state.schedule;
    enum { N = sizeof *s / sizeof(float) };
    float mine[N], all[N * TRAIN_MAX_RANKS];
    if (ranks == NULL)
        return 0;
    memcpy(mine, s, sizeof *s);
    int r = ranks->gather(ranks->user, mine, N, all, error);
    if (r == 0)
        memcpy(s, all, sizeof *s);
    else
        run->together = false;
    return r;
}

static int run_epoch(struct run *run, int number, struct error *error)
{
    struct train_epoch e = {.epoch = number,
                            .loss_scale = NAN,
                            .skipped_steps = NAN,
                            .valid_loss = NAN,
                            .valid_rec_loss = NAN,
                            .valid_vq_loss = NAN,
                            .valid_accuracy = NAN,
                            .valid_class_accuracy = NAN,
                            .fid_i = NAN,
                            .fa = NAN,
                            .ff = NAN,
                            .ai = NAN,
                            .ad = NAN,
                            .ag = NAN,
                            .empty = NAN,
                            .score = NAN};
    snprintf(e.backend, sizeof e.backend, "%s", run->backend.ops->name);
    const double began = now_s();
    if (run->leader)
        train_progress_epoch(&run->progress, number);
    int r = learn(run, &e, error);
    if (r < 0 && r != -EINTR && r != -EDOM)
        return r; /* the others may be in the middle of a step */
    if (r == 0 && run->leader)
        r = validate(run, &e, error);
    e.seconds = now_s() - began;
    if (r == 0 && run->leader)
        r = keep_epoch(run, &e, error);
    if (r == -EINTR)
        error_set(error, EINTR, "stopped in epoch %d; go on with --resume %s", number,
                  run->given->dir);
    const enum outcome outcome = r == -EINTR ? STOPPED : run->named ? FAILED_BY_CLIP : FAILED;
    r = train_run_agree(run, r, outcome, error);
    if (r == 0)
        return share_schedule(run, error);
    return r == -ECANCELED && stop_signal != 0 ? -EINTR : r;
}

static void finish(struct run *run)
{
    train_progress_wipe(&run->progress);
    train_batches_destroy(run->batches);
    train_own_destroy(run->own);
    trainer_destroy(run->trainer);
    train_network_finish(&run->network);
    cache_close(run->cache);
    train_data_finish(&run->data);
    train_log_close(run->log);
    free(run->text);
    free(run->identity);
    free(run->state.weights);
    free(run->state.m);
    free(run->state.v);
    free(run->state.average);
    train_dir_release(&run->dir);
}

int train_run(const struct train_run_config *given, bool *ret_together, struct error *error)
{
    const struct trainer_ranks *ranks = given->ranks;
    struct run run = {.given = given,
                      .config = given->config,
                      .leader = ranks == NULL || ranks->rank == 0,
                      .rank = ranks != NULL ? ranks->rank : 0,
                      .ranks = ranks != NULL ? ranks->ranks : 1,
                      .dir = {.path = given->dir, .lock = -1},
                      .text = train_config_text(given->config),
                      .identity = train_config_identity(given->config)};
    *ret_together = false;
    if (run.ranks > TRAIN_MAX_RANKS)
        return error_set(error, EINVAL, "%d processes; allowed: up to %d", run.ranks,
                         TRAIN_MAX_RANKS);
    int r = run.text == NULL || run.identity == NULL || sodium_init() < 0
                ? error_set(error, ENOMEM, "out of memory")
                : train_run_prepare(&run, error);
    if (r < 0)
        train_dir_give_up(&run.dir);
    if (r == 0) {
        train_progress_begin(&run.progress, run.config->epochs, (int)run.state.epoch, given->quiet);
        for (int e = (int)run.state.epoch + 1; e <= run.config->epochs && r == 0; e++)
            r = run_epoch(&run, e, error);
    }
    finish(&run);
    *ret_together = r == 0 || run.together;
    return r;
}
