/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/reject_pool.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/eval_run.h"
#include "daemon/stop.h"
#include "daemon/train_config.h"
#include "daemon/train_sets.h"

enum { MAX_SETS = 64, BATCH = 16 };

/* A run while it is read. */
struct reading {
    struct reject_pool *pool;
    const struct reject_pool_config *config;
    struct reject_run *run;
    struct model *model;
    const struct model_info *info;
    struct train_config *train;              /* NULL of a model */
    struct train_names aliases;              /* of train */
    struct eval_data sets[MAX_SETS];         /* [n_sets] known or unknown alone */
    struct eval_data_config named[MAX_SETS]; /* by which aliases */
    int n_sets, clips, done;
};

static int no_memory(struct error *error)
{
    return error_set(error, ENOMEM, "reject: out of memory");
}

/* Classes */

static int find_name(char *const *names, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (eval_names_equal(names[i], name))
            return i;
    return -1;
}

static int add_name(char ***names, int *n, const char *name, struct error *error)
{
    char **more = realloc(*names, ((size_t)*n + 1) * sizeof *more);
    char *copy = strdup(name);
    if (more != NULL)
        *names = more;
    if (more == NULL || copy == NULL) {
        free(copy);
        return no_memory(error);
    }
    more[(*n)++] = copy;
    return 0;
}

static int list_classes(struct reading *r, struct error *error)
{
    struct reject_run *run = r->run;
    struct train_names left_out;
    int code = 0;
    for (int c = 0; c < r->info->n_classes && code == 0; c++)
        code = add_name(&run->classes, &run->n_classes, r->info->labels[c], error);
    if (code < 0 || r->train == NULL)
        return code;
    code = train_names_read(&left_out, r->train->leave_out, "leave_out", error);
    for (int i = 0; code == 0 && i < left_out.n; i++) {
        if (find_name(run->classes, run->n_classes, left_out.list[i]) >= 0)
            return error_set(error, EINVAL,
                             "%s: its model has the class %.60s, which its train.conf leaves out: "
                             "they are not of one training",
                             run->dir, left_out.list[i]);
        code = add_name(&run->classes, &run->n_classes, left_out.list[i], error);
        run->n_left_out++;
    }
    return code;
}

/* A name that a has and b has not, or NULL. */
static const char *missing(char *const *a, int n, char *const *b, int m)
{
    for (int i = 0; i < n; i++)
        if (find_name(b, m, a[i]) < 0)
            return a[i];
    return NULL;
}

static int compare_runs(const struct reject_run *a, const struct reject_run *b, struct error *error)
{
    const char *more = missing(a->classes, a->n_classes, b->classes, b->n_classes);
    const char *less = missing(b->classes, b->n_classes, a->classes, a->n_classes);
    if (more != NULL || less != NULL)
        return error_set(error, EINVAL,
                         "%.150s has the class %.60s, %.150s does not, with what they leave out: "
                         "their thresholds are not of one model",
                         more != NULL ? a->dir : b->dir, more != NULL ? more : less,
                         more != NULL ? b->dir : a->dir);
    if (a->scale != b->scale)
        return error_set(error, EINVAL,
                         "%.150s has the scale %g, %.150s has %g: their scores are not comparable",
                         a->dir, (double)a->scale, b->dir, (double)b->scale);
    return 0;
}

/* Sets */

static int no_room(struct error *error)
{
    return error_set(error, EINVAL, "more than %d sets", MAX_SETS / 2);
}

static int read_run_sets(struct reading *r, struct error *error)
{
    int code = train_names_read(&r->aliases, r->train->aliases, "aliases", error);
    for (int s = 0; s < r->train->n_sets && code == 0; s++) {
        if (r->n_sets + 2 > MAX_SETS)
            return no_room(error);
        code = train_sets_valid(&r->sets[r->n_sets], &r->sets[r->n_sets + 1], r->train, &r->aliases,
                                s, r->info, error);
        for (int i = 0; i < 2 && code == 0; i++)
            r->named[r->n_sets++] = (struct eval_data_config){
                .aliases = r->aliases.list, .n_aliases = r->aliases.n, .only_unknown = i == 1};
    }
    return code;
}

static int read_more_sets(struct reading *r, struct error *error)
{
    int code = 0;
    for (int s = 0; s < r->config->n_sets && code == 0; s++) {
        struct eval_data_config data = {.dir = r->config->sets[s].dir,
                                        .folds = r->config->sets[s].folds,
                                        .aliases = r->config->aliases,
                                        .n_aliases = r->config->n_aliases,
                                        .skip_unknown = true,
                                        .keep_going = r->config->keep_going,
                                        .one_of_many = true};
        /* a run's own folds say what it knows; other clips may have taught it */
        for (int unknown = r->train != NULL; unknown < 2 && code == 0; unknown++) {
            if (r->n_sets == MAX_SETS)
                return no_room(error);
            data.only_unknown = unknown;
            code = eval_data_read(&r->sets[r->n_sets], &data, r->info, error);
            if (code == 0)
                r->named[r->n_sets++] = data;
        }
    }
    return code;
}

/* The run's training, or none where the directory is a model's. */
static int read_train(struct reading *r, const char *dir, struct error *error)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/train.conf", dir) >= (int)sizeof path)
        return error_set(error, ENAMETOOLONG, "%.100s…: the path is too long", dir);
    if (access(path, F_OK) < 0)
        return (r->run->model = strdup(dir)) == NULL ? no_memory(error) : 0;
    if (asprintf(&r->run->model, "%s/best", dir) < 0) {
        r->run->model = NULL;
        return no_memory(error);
    }
    if (access(r->run->model, F_OK) < 0)
        return error_set(error, ENOENT, "%s: has no model best/ yet; wait for its first epochs",
                         dir);
    r->train = malloc(sizeof *r->train);
    if (r->train == NULL)
        return no_memory(error);
    train_config_default(r->train);
    int code = train_config_read(r->train, path, error);
    r->train->keep_going = r->train->keep_going || r->config->keep_going;
    return code;
}

static int no_clips(const struct reading *r, const char *what, struct error *error)
{
    if (r->train != NULL)
        return error_set(error, EINVAL,
                         "%s: no clip of its validation folds is of a class that its model %s; "
                         "train it with [classes] leave_out, or name other sounds with --data",
                         r->run->dir, what);
    return error_set(error, EINVAL,
                     "%s: it is no run of focald train, and no clip of --data is of a class that "
                     "this model %s",
                     r->run->dir, what);
}

static int check_clips(struct reading *r, struct error *error)
{
    int known = 0, unknown = 0;
    for (int s = 0; s < r->n_sets; s++) {
        unknown += r->named[s].only_unknown ? r->sets[s].n : 0;
        known += r->named[s].only_unknown ? 0 : r->sets[s].n;
    }
    r->clips = known + unknown;
    if (unknown == 0)
        return no_clips(r, "does not know", error);
    return known == 0 ? no_clips(r, "knows", error) : 0;
}

static int open_run(struct reading *r, const char *dir, struct error *error)
{
    r->run->dir = dir;
    int code = read_train(r, dir, error);
    if (code == 0)
        code = model_open(&r->model, r->run->model, error);
    if (code < 0)
        return code;
    r->info = model_info(r->model);
    r->run->scale = r->info->preprocess.scale;
    memcpy(r->run->hash, r->info->hash, sizeof r->run->hash);
    code = list_classes(r, error);
    if (code == 0 && r->run > r->pool->runs)
        code = compare_runs(r->pool->runs, r->run, error);
    if (code == 0 && r->train != NULL)
        code = read_run_sets(r, error);
    if (code == 0)
        code = read_more_sets(r, error);
    return code == 0 ? check_clips(r, error) : code;
}

/* Clips */

static void show(void *user, int clips, double share)
{
    const struct reading *r = user;
    (void)share;
    if (r->config->progress != NULL)
        r->config->progress(r->config->user, r->run->dir, r->done + clips, r->clips);
}

static void failed(void *user, const char *line)
{
    const struct reading *r = user;
    if (r->config->failed != NULL)
        r->config->failed(r->config->user, line);
}

static int take_clip(struct reading *r, int set, int i, const struct eval_outcome *out,
                     struct error *error)
{
    struct reject_pool *pool = r->pool;
    const struct eval_data *data = &r->sets[set];
    const int label = data->clips[i].label;
    const char *name =
        label >= 0
            ? r->info->labels[label]
            : eval_class_name(&r->named[set], data->listing.rows[data->clips[i].row].category);
    int class = find_name(pool->classes, pool->n_classes, name), code = 0;
    if (class < 0) {
        class = pool->n_classes;
        code = add_name(&pool->classes, &pool->n_classes, name, error);
    }
    struct reject_clip *clip = &pool->clips[pool->n];
    *clip = (struct reject_clip){.run = (int)(r->run - pool->runs),
                                 .class = class,
                                 .known = label >= 0,
                                 .right = label >= 0 && out->best == label,
                                 .silent = out->state == EVAL_SILENT};
    for (int s = 0; s < REJECT_COUNT; s++)
        clip->scores[s] = clip->silent ? NAN : out->scores[s];
    pool->n++;
    r->run->known += clip->known;
    r->run->unknown += !clip->known && !clip->silent;
    r->run->silent += clip->silent;
    return code;
}

static int run_set(struct reading *r, int set, struct error *error)
{
    const struct eval_config config = {.model = r->model,
                                       .backend = r->config->backend,
                                       .precision = r->config->precision,
                                       .threads = r->config->threads,
                                       .batch = BATCH,
                                       .resampler = r->config->resampler,
                                       .keep_going = r->config->keep_going ||
                                                     (r->train != NULL && r->train->keep_going),
                                       .stop = &stop_signal,
                                       .failed = failed,
                                       .progress = show,
                                       .user = r};
    struct eval_results results = {0};
    int code = eval_run(&config, &r->sets[set], &results, error);
    for (int i = 0; i < results.n && code == 0; i++)
        if (results.clips[i].state != EVAL_FAILED)
            code = take_clip(r, set, i, &results.clips[i], error);
    r->done += r->sets[set].n;
    eval_results_finish(&results);
    return code;
}

static int score_run(struct reading *r, struct error *error)
{
    int code = 0;
    struct reject_pool *pool = r->pool;
    struct reject_clip *clips =
        realloc(pool->clips, ((size_t)pool->n + (size_t)r->clips + 1) * sizeof *clips);
    if (clips == NULL)
        return no_memory(error);
    pool->clips = clips;
    for (int s = 0; s < r->n_sets && code == 0; s++)
        if (r->sets[s].n > 0)
            code = run_set(r, s, error);
    if (code == 0 && r->run->unknown == 0)
        code = error_set(error, EINVAL, "%s: all clips of classes that it does not know are silent",
                         r->run->dir);
    return code;
}

static void finish_reading(struct reading *r)
{
    if (r == NULL)
        return;
    for (int s = 0; s < MAX_SETS; s++)
        eval_data_finish(&r->sets[s]);
    model_close(r->model);
    free(r->train);
    free(r);
}

/* All of it */

static void finish_run(struct reject_run *run)
{
    free(run->model);
    for (int i = 0; i < run->n_classes; i++)
        free(run->classes[i]);
    free(run->classes);
}

/* The model that the threshold is for must be one of those the runs stand for. */
static int check_model(const struct reject_pool *pool, const char *dir, struct error *error)
{
    struct model *model = NULL;
    struct reject_run run = {.dir = dir};
    int code = model_open(&model, dir, error);
    if (code < 0)
        return code;
    const struct model_info *info = model_info(model);
    run.scale = info->preprocess.scale;
    for (int c = 0; c < info->n_classes && code == 0; c++)
        code = add_name(&run.classes, &run.n_classes, info->labels[c], error);
    if (code == 0)
        code = compare_runs(&pool->runs[0], &run, error);
    finish_run(&run);
    model_close(model);
    return code;
}

/* All are opened before the first is scored: what is wrong is told at once. */
static int read_all(struct reject_pool *pool, const struct reject_pool_config *config,
                    struct reading **readings, struct error *error)
{
    int code = 0;
    for (int i = 0; i < config->n_dirs && code == 0; i++) {
        readings[i] = calloc(1, sizeof *readings[i]);
        if (readings[i] == NULL)
            return no_memory(error);
        readings[i]->pool = pool;
        readings[i]->config = config;
        readings[i]->run = &pool->runs[i];
        pool->n_runs++;
        code = open_run(readings[i], config->dirs[i], error);
    }
    if (code == 0 && config->model != NULL)
        code = check_model(pool, config->model, error);
    for (int i = 0; i < config->n_dirs && code == 0; i++)
        code = score_run(readings[i], error);
    return code;
}

int reject_pool_make(struct reject_pool *ret, const struct reject_pool_config *config,
                     struct error *error)
{
    struct reject_pool pool = {.resampler = config->resampler};
    struct reading **readings = calloc((size_t)config->n_dirs + 1, sizeof *readings);
    pool.runs = calloc((size_t)config->n_dirs + 1, sizeof *pool.runs);
    int code = readings == NULL || pool.runs == NULL ? no_memory(error)
                                                     : read_all(&pool, config, readings, error);
    for (int i = 0; i < config->n_dirs && readings != NULL; i++)
        finish_reading(readings[i]);
    free(readings);
    if (code < 0) {
        reject_pool_finish(&pool);
        return code;
    }
    *ret = pool;
    return 0;
}

void reject_pool_finish(struct reject_pool *pool)
{
    for (int i = 0; i < pool->n_runs; i++)
        finish_run(&pool->runs[i]);
    for (int c = 0; c < pool->n_classes; c++)
        free(pool->classes[c]);
    free(pool->runs);
    free(pool->classes);
    free(pool->clips);
    *pool = (struct reject_pool){0};
}
