/* SPDX-License-Identifier: Apache-2.0
 * The maps are compared at their own size: resized ones would count values between the cells that
 * no weight has made. PIQ's mask is of the spectrogram's size. */
#include "daemon/eval_sanity.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "daemon/eval_window.h"
#include "model/cascade.h"
#include "model/interpret/metrics.h"

struct sanity {
    const struct sanity_config *config;
    const struct model_info *info;
    struct eval_maker *maker;
    size_t plane_cells, map_cells;
    int n;                         /* clips */
    float *planes;                 /* [n][R][C] */
    float *maps;                   /* [n][map_cells] of the trained network */
    int *labels;                   /* [n] its */
    double *correlations;          /* [n] */
    struct runner_result *results; /* [EVAL_AT_ONCE] */
    float *logspec;                /* [T][F] */
};

int sanity_stages(const struct model *model)
{
    return cascade_parts(model) + 1;
}

static void finish(struct sanity *s)
{
    eval_maker_destroy(s->maker);
    free(s->planes);
    free(s->maps);
    free(s->labels);
    free(s->correlations);
    free(s->results);
    free(s->logspec);
}

/* n: clips at most. */
static int create(struct sanity *s, size_t n, struct error *error)
{
    int last = s->info->n_maps - 1;
    s->plane_cells = eval_plane_cells(s->info);
    s->map_cells = (size_t)s->info->maps[last].rows * (size_t)s->info->maps[last].cols;
    s->planes = memory_zeroed(n * s->plane_cells, sizeof(float));
    s->maps = memory_zeroed(n * s->map_cells, sizeof(float));
    s->labels = calloc(n, sizeof *s->labels);
    s->correlations = calloc(n, sizeof *s->correlations);
    s->results = calloc(EVAL_AT_ONCE, sizeof *s->results);
    s->logspec = memory_zeroed(eval_window_cells(s->info), sizeof(float));
    if (s->planes == NULL || s->maps == NULL || s->labels == NULL || s->correlations == NULL ||
        s->results == NULL || s->logspec == NULL)
        return error_set(error, ENOMEM, "eval: out of memory for the sanity check's %zu clips", n);
    return eval_maker_create(&s->maker, s->info, s->config->resampler, error);
}

/* The first clips that were heard. */
static int load(struct sanity *s, const struct eval_data *data, const struct eval_results *results,
                struct error *error)
{
    for (int i = 0; i < data->n && s->n < s->config->clips; i++) {
        bool silent;
        uint64_t bad;
        if (results->clips[i].state != EVAL_DONE)
            continue;
        int r = eval_window_load(s->maker, data->clips[i].path, s->logspec,
                                 s->planes + (size_t)s->n * s->plane_cells, &silent, &bad, error);
        if (r < 0)
            return r;
        s->n++;
    }
    return 0;
}

/* Adds one clip's map and label to what a stage comes to. Of random weights a result may not be
 * finite: then the label is not kept, and there is no map to compare. */
static void take(struct sanity *s, int clip, int stage, const struct runner *runner,
                 const struct runner_result *result, int *kept, int *compared)
{
    if (runner_check(runner, result, NULL) < 0)
        return;
    const float *map = result->maps[s->info->n_maps - 1];
    float *trained = s->maps + (size_t)clip * s->map_cells;
    int label = metrics_argmax(result->cosines, s->info->n_classes);
    if (stage == 0) {
        memcpy(trained, map, s->map_cells * sizeof *map);
        s->labels[clip] = label;
    }
    *kept += label == s->labels[clip];
    if (metrics_rank_correlation(trained, map, s->map_cells, &s->correlations[*compared]))
        ++*compared;
}

static json_t *stage_json(struct sanity *s, int stage, int kept, int compared)
{
    char name[64] = "as trained";
    double least = 1, most = -1;
    if (stage > 0)
        cascade_name(s->config->model, stage - 1, name, sizeof name);
    for (int i = 0; i < compared; i++) {
        least = fmin(least, s->correlations[i]);
        most = fmax(most, s->correlations[i]);
    }
    json_t *o = json_pack("{s:s, s:i}", "stage", name, "clips", compared);
    json_object_set_new(o, "labels_kept", s->n > 0 ? json_real((double)kept / s->n) : json_null());
    json_object_set_new(o, "rank_correlation",
                        compared > 0 ? json_real(metrics_mean(s->correlations, (size_t)compared))
                                     : json_null());
    json_object_set_new(o, "least", compared > 0 ? json_real(least) : json_null());
    json_object_set_new(o, "most", compared > 0 ? json_real(most) : json_null());
    return o;
}

static int run_stage(struct sanity *s, int stage, json_t **ret, struct error *error)
{
    struct runner *runner = NULL;
    /* as in eval_run.c, of PIQ one at a time */
    const int at_once = s->info->interpreter == INTERPRETER_PIQ ? 1 : EVAL_AT_ONCE;
    struct runner_config config = {.backend = s->config->backend,
                                   .precision = s->config->precision,
                                   .threads = s->config->threads,
                                   .max_batch = at_once,
                                   .fallback = true}; /* told by the run before it */
    int kept = 0, compared = 0;
    int r = runner_create_random(&runner, s->config->model, &config, stage, s->config->seed, error);
    for (int done = 0, n; r == 0 && done < s->n; done += n) {
        n = s->n - done < at_once ? s->n - done : at_once;
        memcpy(runner_input(runner, 0), s->planes + (size_t)done * s->plane_cells,
               (size_t)n * s->plane_cells * sizeof(float));
        r = runner_run(runner, at_once, s->results, error);
        for (int i = 0; i < n && r == 0; i++)
            take(s, done + i, stage, runner, &s->results[i], &kept, &compared);
        if (r == 0 && s->config->stop != NULL && *s->config->stop)
            r = error_set(error, EINTR, "eval: interrupted");
    }
    runner_destroy(runner);
    if (r == 0)
        *ret = stage_json(s, stage, kept, compared);
    return r;
}

int sanity_run(const struct sanity_config *config, const struct eval_data *data,
               const struct eval_results *results, json_t **ret, struct error *error)
{
    struct sanity s = {.config = config, .info = model_info(config->model)};
    int n_stages = sanity_stages(config->model);
    json_t *stages = json_array();
    int r = create(&s, (size_t)(config->clips < data->n ? config->clips : data->n), error);
    if (r == 0)
        r = load(&s, data, results, error);
    for (int stage = 0; stage < n_stages && r == 0; stage++) {
        json_t *o = NULL;
        r = run_stage(&s, stage, &o, error);
        if (r == 0)
            json_array_append_new(stages, o);
        if (r == 0 && config->progress != NULL)
            config->progress(config->user, stage + 1, (stage + 1.0) / n_stages);
    }
    if (r == 0)
        *ret = json_pack("{s:I, s:i, s:o}", "seed", (json_int_t)config->seed, "clips", s.n,
                         "stages", stages);
    else
        json_decref(stages);
    finish(&s);
    return r;
}
