/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_run_internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "daemon/eval_pool.h"
#include "daemon/train_fingerprint.h"
#include "daemon/train_sets.h"
#include "daemon/train_tell.h"
#include "model/import/newdir.h"

/* What a run is not begun with: an older focald may have, and then it goes on. */
static int unless_begun(const struct run *run, int r, struct error *error)
{
    if (r == 0 || !run->given->resume)
        return r;
    if (run->leader)
        fprintf(stderr, "focald: %s; the run goes on as it began\n", error->text);
    return 0;
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

int train_run_prepare(struct run *run, struct error *error)
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
    r = train_run_agree(run, r, FAILED, error);
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
    return train_run_agree(run, r, FAILED, error);
}
