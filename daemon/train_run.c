/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_run.h"

#include <errno.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "daemon/eval_pool.h"
#include "daemon/stop.h"
#include "daemon/train_batches.h"
#include "daemon/train_curves.h"
#include "daemon/train_data.h"
#include "daemon/train_dir.h"
#include "daemon/train_fingerprint.h"
#include "daemon/train_log.h"
#include "daemon/train_model.h"
#include "daemon/train_network.h"
#include "daemon/train_own.h"
#include "daemon/train_progress.h"
#include "daemon/train_sets.h"
#include "daemon/train_tell.h"
#include "daemon/train_valid.h"
#include "model/backends.h"
#include "model/import/newdir.h"
#include "model/train/schedule.h"
#include "model/train/state.h"

enum { TRAIN_MAX_RANKS = 1024 };

struct run {
    const struct train_run_config *given;
    const struct train_config *config;
    bool leader; /* of the processes: writes and validates */
    int rank, ranks;
    struct train_dir dir;
    char *text;     /* of train.conf */
    char *identity; /* of text */
    struct train_data data;
    struct cache *cache;
    struct train_network network;
    struct backend_choice backend;
    struct trainer_config trainer_config;
    struct trainer *trainer;
    struct train_batches *batches;
    struct train_own *own;
    struct schedule_options schedule;
    struct train_config_steps steps;
    struct train_state state;
    struct train_log *log;
    struct train_progress progress;
    bool named;    /* the clip by which a step failed is of this process */
    bool together; /* it has ended for all processes */
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Getting ready */

/* What a run is not begun with: an older focald may have, and then it goes on. */
static int unless_begun(const struct run *run, int r, struct error *error)
{
    if (r == 0 || !run->given->resume)
        return r;
    if (run->leader)
        fprintf(stderr, "focald: %s; the run goes on as it began\n", error->text);
    return 0;
}

/* How it went for a process, the worse the larger. */
enum outcome { WENT_WELL, STOPPED, FAILED, FAILED_BY_CLIP /* of its own, which it can name */ };

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

/* Where one process failed all end, and one says why: an error without a text is told already. */
static int agree(struct run *run, int r, enum outcome failed, struct error *error)
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

/* The cache is made by the leader, while the others wait; then they open it. */
static int open_cache(struct run *run, struct error *error)
{
    struct error why = {""};
    char path[PATH_MAX];
    train_dir_file(&run->dir, "cache", path);
    return train_data_cache(&run->cache, &run->data, path, &why, error);
}

static int check_batch(const struct run *run, struct error *error)
{
    if (run->config->batch * run->ranks > 1 || train_config_interpreter(run->config))
        return 0;
    return error_set(error, EINVAL,
                     "[run] batch = 1: the classifier's batch norm makes nothing of a single "
                     "clip; allowed: 2 and more, of all processes together");
}

static int read_data(struct run *run, struct error *error)
{
    int r = unless_begun(run, check_batch(run, error), error);
    if (r < 0)
        return r;
    r = train_sets_read(&run->data, run->config, &run->network.info, error);
    if (r < 0)
        return r;
    if (run->ranks > run->data.n)
        return error_set(error, EINVAL, "%d processes share %d clips", run->ranks, run->data.n);
    if (run->leader && !run->given->quiet)
        train_tell_data(&run->data, &run->network.info.preprocess);
    return run->leader ? open_cache(run, error) : 0;
}

static int check_taken(const struct run *run, struct error *error)
{
    const char *from = run->config->from;
    const int taken = trainer_taken(run->trainer), all = trainer_weights(run->trainer);
    if (from[0] != '\0' && taken == 0)
        return error_set(error, EINVAL,
                         "--from %.200s: none of its weights has the name and the shape of one of "
                         "the network's %d; [network] config is that of another network",
                         from, all);
    if (run->leader && !run->given->quiet && !run->given->resume)
        train_tell_taken(run->config, taken, all);
    return 0;
}

static int make_trainer(struct run *run, struct error *error)
{
    const struct train_config *c = run->config;
    struct trainer_config *t = &run->trainer_config;
    enum depthwise depthwise = DEPTHWISE_KERNELS;
    int r = depthwise_parse(c->depthwise, &depthwise, error);
    if (r < 0)
        return error_prefix(error, r, "[run]");
    if (run->leader && !run->given->quiet)
        fprintf(stderr, "focald: training on the %s in %s\n", run->backend.ops->name,
                precision_name(run->backend.precision));
    train_network_classes(&run->network, run->data.n_classes);
    *t = (struct trainer_config){.net = run->network.net,
                                 .batch = c->batch,
                                 .embedding_width = run->data.embedding_width,
                                 .scores_width = run->data.scores_width,
                                 .embedding_weight = c->embedding_weight,
                                 .scores_weight = c->scores_weight,
                                 .class_gradient = c->class_gradient,
                                 .average = c->average,
                                 .from = run->network.weights,
                                 .seed = (uint64_t)c->seed,
                                 .ops = run->backend.ops,
                                 .precision = run->backend.precision,
                                 .depthwise = depthwise,
                                 .threads = c->threads > 0 ? c->threads : eval_pool_cores(),
                                 .checkpoint_activations =
                                     c->checkpoint_activations && !train_config_interpreter(c),
                                 .rule = train_network_rule,
                                 .user = &run->network,
                                 .ranks = run->given->ranks};
    const int step = c->batch * run->ranks;
    run->steps =
        (struct train_config_steps){.trained = (uint64_t)train_batches_count(run->batches),
                                    .validated = (uint64_t)((run->data.n_valid + step - 1) / step)};
    if (c->class_gradient <= 0 && run->data.taught == NULL)
        return error_set(error, EINVAL,
                         "[loss] class_gradient = 0 leaves the network nothing to learn from; give "
                         "a set a teacher, or make it positive");
    r = train_config_options(c, &run->steps, &t->loss, &t->optimizer, &run->schedule, error);
    if (r == 0)
        r = trainer_create(&run->trainer, t, error);
    return r == 0 ? unless_begun(run, check_taken(run, error), error) : r;
}

static int make_batches(struct run *run, struct error *error)
{
    const struct train_config *c = run->config;
    struct train_batches_config b = {
        .data = &run->data,
        .cache = run->cache,
        .info = &run->network.info,
        .changes = {.mixup_probability = c->mixup_probability,
                    .mixup_alpha = c->mixup_alpha,
                    .background_probability = c->background_probability,
                    .background_low_db = c->background_low_db,
                    .background_high_db = c->background_high_db,
                    .stretch_time = c->stretch_time,
                    .stretch_pitch = c->stretch_pitch},
        .seed = (uint64_t)c->seed,
        .batch = c->batch,
        .rank = run->rank,
        .ranks = run->ranks,
        .workers = c->workers,
        .marks = train_config_interpreter(c),
        .threshold = (float)c->threshold};
    const struct train_own_config own = {.probability = b.marks ? 0 : c->own_probability,
                                         .share = c->own_share,
                                         .keep = c->own_keep,
                                         .seed = (uint64_t)c->seed,
                                         .batch = c->batch,
                                         .rank = run->rank,
                                         .rows = run->network.info.image_rows,
                                         .cols = run->network.info.image_cols,
                                         .embedding_width = run->data.embedding_width,
                                         .scores_width = run->data.scores_width};
    int r = train_config_changes(c, &b.changes.augment, &b.changes.masking, error);
    if (b.marks) /* what an interpreter marks, it must see */
        b.changes.masking = (struct masking_settings){0};
    if (r == 0)
        r = train_batches_create(&run->batches, &b, error);
    return r == 0 ? train_own_create(&run->own, &own, error) : r;
}

static int make_state(struct run *run, struct error *error)
{
    struct train_state *s = &run->state;
    s->parameters = trainer_parameters(run->trainer);
    s->weights = memory_large(s->parameters * sizeof(float));
    s->m = memory_large(s->parameters * sizeof(float));
    s->v = memory_large(s->parameters * sizeof(float));
    s->average = memory_large(s->parameters * sizeof(float));
    s->best_score = -INFINITY;
    s->schedule = schedule_begin(&run->schedule);
    if (s->weights == NULL || s->m == NULL || s->v == NULL || s->average == NULL)
        return error_set(error, ENOMEM, "out of memory for %zu parameters", s->parameters);
    return 0;
}

static void fingerprint(const struct run *run, const struct cache *cache, char *ret)
{
    train_fingerprint(run->identity, run->config->batch * run->ranks, &run->data, cache, ret);
}

/* Of a run whose state is of before what a teacher says and the samples were part of it: also of
 * before longer clips were heard everywhere, and downsamplings padded as Hugging Face does. */
static int take_older(const struct run *run, struct error *error)
{
    const struct net_config *net = &run->network.net;
    size_t n = 0;
    int longer = 0;
    if (net->kind == NET_FOCALNET && focalnet_pads(&net->focalnet))
        return error_set(error, ESTALE,
                         "%s: an older focald began this run, which left out the last row and "
                         "column of a stage of odd size, where conv_embed = no; it would go on "
                         "with another network: begin a new run",
                         run->given->dir);
    for (int i = 0; i < run->data.n; i++) {
        cache_clip(run->cache, (size_t)i, &n);
        longer += n > (size_t)run->network.info.preprocess.window_samples;
    }
    if (run->leader && longer > 0)
        fprintf(stderr,
                "focald: %s: an older focald began this run, and heard only the beginning of %d "
                "longer clips\n",
                run->given->dir, longer);
    return 0;
}

static int resume(struct run *run, struct error *error)
{
    char path[PATH_MAX], now[TRAIN_FINGERPRINT], older[TRAIN_FINGERPRINT];
    train_dir_file(&run->dir, "state.safetensors", path);
    int r = train_state_read(path, &run->state, error);
    if (r == -ENOENT) { /* stopped before its first epoch was whole */
        if (run->leader)
            fprintf(stderr,
                    "focald: %s: there is no whole epoch to go on from; the run begins anew\n",
                    path);
        return 0;
    }
    if (r < 0)
        return r;
    fingerprint(run, run->cache, now);
    fingerprint(run, NULL, older);
    const bool is_older = strcmp(older, run->state.fingerprint) == 0;
    if (strcmp(now, run->state.fingerprint) != 0 && !is_older)
        return error_set(
            error, ESTALE,
            "%s: the clips or their decoded samples, their labels, what a teacher says "
            "of them, train.conf or the number of processes are not those the run began with; put "
            "them back, "
            "or begin a new run",
            run->given->dir);
    r = is_older ? take_older(run, error) : 0;
    if (r < 0)
        return r;
    return trainer_restore(run->trainer, run->state.optimizer_step, &run->state.scale,
                           run->state.weights, run->state.m, run->state.v, run->state.average,
                           error);
}

/* Where the choice was left to focald, another machine's may be another. */
static void tell_backend(const struct run *run)
{
    int n;
    const struct train_epoch *epochs = train_log_epochs(run->log, &n);
    const char *now = run->backend.ops->name, *before = n > 0 ? epochs[n - 1].backend : "";
    if (before[0] != '\0' && strcmp(before, now) != 0)
        fprintf(stderr,
                "focald: %s: was trained on the %s so far, and goes on on the %s, which rounds "
                "otherwise\n",
                run->given->dir, before, now);
}

static int open_log(struct run *run, struct error *error)
{
    char path[PATH_MAX];
    fingerprint(run, run->cache, run->state.fingerprint);
    train_dir_file(&run->dir, "log.jsonl", path);
    int r = train_log_open(&run->log, path, (int)run->state.epoch, error);
    if (r == 0)
        tell_backend(run);
    return r == 0 && !run->given->resume
               ? train_dir_write(&run->dir, "train.conf", run->text, error)
               : r;
}

/* Among folders that are classes a run would be one more. */
static int take_dir(struct run *run, struct error *error)
{
    const struct train_config *c = run->config;
    int r = 0;
    for (int s = 0; s < c->n_sets && !run->given->resume && r == 0; s++)
        if (eval_listing_is_folders(c->sets[s].dir))
            r = newdir_apart(run->given->dir, c->sets[s].dir, error);
    return r == 0 ? train_dir_take(&run->dir, run->given->resume ? NULL : run->text, error) : r;
}

/* A run of hours on the CPU because another had the card for a minute is nobody's wish; and of one
 * that is resumed, another backend would round otherwise. */
static int check_gpu(const struct run *run, struct error *error)
{
    struct error why;
    if (strcmp(run->config->backend, "auto") != 0 || !backend_gpu_is_in_trouble(&why))
        return 0;
    return error_set(error, EBUSY, "backend = auto: the GPU cannot be used: %.300s; mend that%s",
                     why.text,
                     run->given->resume ? ", and resume" : ", or train on the CPU: --backend cpu");
}

static int choose_backend(struct run *run, struct error *error)
{
    enum precision precision = PRECISION_AUTO;
    int r = precision_parse(run->config->precision, &precision, error);
    if (r == 0)
        r = check_gpu(run, error);
    if (r == 0)
        r = backend_choose(run->config->backend, precision, &run->backend, error);
    return r < 0 ? error_prefix(error, r, "[run]") : 0;
}

static int prepare(struct run *run, struct error *error)
{
    int r = choose_backend(run, error);
    if (r == 0 && run->leader)
        r = take_dir(run, error);
    if (r == 0)
        r = train_network_read(&run->network, run->config, error);
    if (r == 0)
        r = unless_begun(run, train_network_check(&run->network, error), error);
    if (r == 0)
        r = read_data(run, error);
    r = agree(run, r, FAILED, error);
    if (r < 0)
        return r;
    if (!run->leader)
        r = open_cache(run, error);
    if (r == 0)
        r = make_batches(run, error);
    if (r == 0)
        r = make_trainer(run, error);
    if (r == 0)
        r = make_state(run, error);
    if (r == 0 && run->given->resume)
        r = resume(run, error);
    if (r == 0 && run->leader)
        r = open_log(run, error);
    return agree(run, r, FAILED, error);
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
    r = agree(run, r, outcome, error);
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
                : prepare(&run, error);
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
