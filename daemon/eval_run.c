/* SPDX-License-Identifier: Apache-2.0
 * Clips go in chunks of a batch. While the network hears the masked
 * windows of one chunk, threads load the chunk after the next and mask what comes next:
 *
 *   network   clean 0 | clean 1 | masked 0 … | clean 2 | masked 1 … | clean 3 | …
 *   threads   load 0, 1 | mask 0, load 2 …   | mask 1, load 3 …     | …
 */
#include "daemon/eval_run.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "daemon/eval_pool.h"
#include "daemon/open_model.h"
#include "model/interpret/metrics.h"

enum { CHUNKS = 3, BUFFERS = 2 };

struct chunk { /* clips first ... first + n - 1 of the data */
    int first, n;
    float *logspecs; /* [batch][T][F] */
    float *planes;   /* [batch][R][C] */
    float *maps;     /* [batch][cells of the last map] */
    float *p;        /* [batch][classes] */
    int *live;       /* [n_live] those of its clips that the network heard, 0 ... n - 1 */
    int n_live;
    struct error *errors; /* [batch] of clips that failed */
    struct eval_range load;
    struct run *run;
};

struct buffer { /* masked windows: pairs of a clip and a quantile */
    struct chunk *chunk;
    size_t first, n;         /* pairs of the chunk, n_live * n_quantiles in all */
    float *planes;           /* [pairs][2][R][C] kept, left */
    struct eval_mask *masks; /* [pairs] */
    struct eval_range make;
    struct run *run;
};

struct run {
    const struct eval_config *config;
    const struct eval_data *data;
    const struct model_info *info;
    struct eval_results *results;
    struct eval_pool *pool;
    struct runner *runner;        /* of clean windows, at_once at a time */
    struct runner *masked_runner; /* of masked ones, which PIQ need not interpret; may be it */
    int at_once;
    struct runner_result *outputs; /* [EVAL_AT_ONCE] */
    size_t window_cells, plane_cells, map_cells, classes;
    int batch;    /* clips of a chunk */
    size_t pairs; /* of a buffer */
    struct chunk chunks[CHUNKS];
    struct buffer buffers[BUFFERS];
    float *p; /* [pairs][2][classes] */
    int clips_done, windows_done;
};

/* What the threads do */

static void load_clip(struct eval_maker *maker, void *user, size_t index)
{
    struct chunk *chunk = user;
    struct run *run = chunk->run;
    size_t i = (size_t)chunk->first + index;
    struct eval_outcome *out = &run->results->clips[i];
    bool silent = false;
    int r = eval_window_load(
        maker, run->data->clips[i].path, chunk->logspecs + index * run->window_cells,
        chunk->planes + index * run->plane_cells, &silent, &out->bad, &chunk->errors[index]);
    if (r < 0)
        out->state = EVAL_FAILED;
    else if (silent)
        out->state = EVAL_SILENT;
}

/* Of pair `index` of the buffer, in its chunk. */
static size_t clip_of(const struct buffer *buffer, size_t index)
{
    const size_t quantiles = (size_t)buffer->run->config->n_quantiles;
    return (size_t)buffer->chunk->live[(buffer->first + index) / quantiles];
}

static void mask_pair(struct eval_maker *maker, void *user, size_t index)
{
    struct buffer *buffer = user;
    struct chunk *chunk = buffer->chunk;
    struct run *run = buffer->run;
    size_t pair = buffer->first + index, quantiles = (size_t)run->config->n_quantiles;
    size_t clip = clip_of(buffer, index);
    float *planes = buffer->planes + index * 2 * run->plane_cells;
    eval_window_after(maker, chunk->maps + clip * run->map_cells,
                      (float)run->config->quantiles[pair % quantiles],
                      chunk->logspecs + clip * run->window_cells, planes, planes + run->plane_cells,
                      &buffer->masks[index]);
}

/* The network */

static int check_stop(const struct run *run, struct error *error)
{
    if (run->config->stop != NULL && *run->config->stop)
        return error_set(error, EINTR, "eval: interrupted");
    return 0;
}

static void tell_progress(struct run *run)
{
    double windows = (double)run->data->n * (1 + 2 * run->config->n_quantiles);
    if (run->config->progress != NULL)
        run->config->progress(run->config->user, run->clips_done,
                              (double)run->windows_done / windows);
}

static int fail_clip(struct run *run, int clip, bool goes_on, const char *text, const char *advice,
                     struct error *error)
{
    struct eval_outcome *out = &run->results->clips[clip];
    out->state = EVAL_FAILED;
    out->best = out->predicted = -1;
    if (!goes_on)
        return error_set(error, EINVAL, "%.400s%s%s", text, advice[0] != '\0' ? "; " : "", advice);
    if (run->config->failed != NULL)
        run->config->failed(run->config->user, text);
    return 0;
}

static const char keep_going[] = "--keep-going leaves out what fails";

/* A clip of which a window, whole or masked, names nothing fails, once. The caller's advice is of
 * clips that cannot be read. */
static int check_result(struct run *run, int clip, const struct runner *runner,
                        const struct runner_result *result, struct error *error)
{
    struct error why;
    int r = runner_check(runner, result, &why);
    if (r == 0 || run->results->clips[clip].state == EVAL_FAILED)
        return 0;
    error_prefix(&why, r, "%s", run->data->clips[clip].path);
    return fail_clip(run, clip, run->config->keep_going || run->config->keep_nameless, why.text,
                     run->config->advice != NULL ? "" : keep_going, error);
}

/* The clips of a chunk that failed or are silent have no window. */
static int count_live(struct run *run, struct chunk *chunk, struct error *error)
{
    int windows = 1 + 2 * run->config->n_quantiles;
    chunk->n_live = 0;
    for (int k = 0; k < chunk->n; k++) {
        struct eval_outcome *out = &run->results->clips[chunk->first + k];
        if (out->state == EVAL_WAITING) {
            chunk->live[chunk->n_live++] = k;
            continue;
        }
        run->windows_done += windows;
        if (out->state != EVAL_FAILED)
            continue;
        int r = fail_clip(run, chunk->first + k, run->config->keep_going, chunk->errors[k].text,
                          run->config->advice != NULL ? run->config->advice : keep_going, error);
        if (r < 0)
            return r;
    }
    return 0;
}

static int argmax_allowed(const struct run *run, const float *p)
{
    int best = -1;
    for (int i = 0; i < run->info->n_classes; i++)
        if ((!run->config->among_data || run->data->present[i]) && (best < 0 || p[i] > p[best]))
            best = i;
    return best;
}

static int take_clean(struct run *run, struct chunk *chunk, int k,
                      const struct runner_result *output, struct error *error)
{
    float *p = chunk->p + (size_t)k * run->classes;
    struct eval_outcome *out = &run->results->clips[chunk->first + k];
    int r = check_result(run, chunk->first + k, run->runner, output, error);
    if (r < 0 || out->state == EVAL_FAILED)
        return r;
    softmax_scaled(output->cosines, run->info->n_classes, 1, p);
    memcpy(chunk->maps + (size_t)k * run->map_cells, output->maps[run->info->n_maps - 1],
           run->map_cells * sizeof(float));
    out->best = metrics_argmax(p, run->info->n_classes);
    out->predicted = argmax_allowed(run, p);
    out->p = p[out->best];
    const int label = run->data->clips[chunk->first + k].label;
    out->p_label = label >= 0 ? p[label] : NAN;
    for (int s = 0; s < REJECT_COUNT; s++)
        out->scores[s] = reject_score((enum reject_score)s, output->cosines, run->info->n_classes,
                                      run->info->preprocess.scale);
    out->state = EVAL_DONE;
    if (run->config->heard != NULL)
        run->config->heard(run->config->user, output,
                           chunk->logspecs + (size_t)k * run->window_cells);
    return 0;
}

/* What named nothing is not explained. */
static void drop_failed(struct run *run, struct chunk *chunk)
{
    int kept = 0;
    for (int i = 0; i < chunk->n_live; i++)
        if (run->results->clips[chunk->first + chunk->live[i]].state != EVAL_FAILED)
            chunk->live[kept++] = chunk->live[i];
    run->windows_done += (chunk->n_live - kept) * 2 * run->config->n_quantiles;
    chunk->n_live = kept;
}

static int run_clean(struct run *run, struct chunk *chunk, struct error *error)
{
    eval_pool_wait(run->pool, &chunk->load);
    int r = count_live(run, chunk, error);
    for (int done = 0, n; r == 0 && done < chunk->n_live; done += n) {
        n = chunk->n_live - done < run->at_once ? chunk->n_live - done : run->at_once;
        for (int i = 0; i < n; i++)
            memcpy(runner_input(run->runner, i),
                   chunk->planes + (size_t)chunk->live[done + i] * run->plane_cells,
                   run->plane_cells * sizeof(float));
        r = runner_run(run->runner, run->at_once, run->outputs, error);
        for (int i = 0; i < n && r == 0; i++)
            r = take_clean(run, chunk, chunk->live[done + i], &run->outputs[i], error);
    }
    run->windows_done += chunk->n_live;
    drop_failed(run, chunk);
    tell_progress(run);
    return r;
}

static void take_masked(struct run *run, const struct buffer *buffer, size_t index)
{
    const struct chunk *chunk = buffer->chunk;
    size_t pair = buffer->first + index, quantiles = (size_t)run->config->n_quantiles;
    size_t k = clip_of(buffer, index), clip = (size_t)chunk->first + k;
    const float *p = chunk->p + k * run->classes;
    const float *in = run->p + index * 2 * run->classes, *out = in + run->classes;
    const struct eval_mask *mask = &buffer->masks[index];
    int n = run->info->n_classes, best = run->results->clips[clip].best;
    if (run->results->clips[clip].state == EVAL_FAILED)
        return;
    run->results->explained[clip * quantiles + pair % quantiles] = (struct eval_explained){
        .p_in = in[best],
        .p_out = out[best],
        .best_in = metrics_argmax(in, n),
        .fid_i = metrics_fidelity(p, in, n),
        .fa = metrics_faithfulness(p, out, n),
        .ai = metrics_increase(p, in, n),
        .ad = metrics_drop(p, in, n),
        .ad_double_softmax = metrics_drop_double_softmax(p, in, n),
        .ag = metrics_gain(p, in, n),
        .kept = mask->kept,
        .empty = mask->empty,
        .sps = mask->sparseness,
        .comp = mask->complexity,
    };
}

static int run_masked(struct run *run, struct buffer *buffer, struct error *error)
{
    size_t windows = 2 * buffer->n;
    for (size_t done = 0, n; done < windows; done += n) {
        n = windows - done < EVAL_AT_ONCE ? windows - done : EVAL_AT_ONCE;
        memcpy(runner_input(run->masked_runner, 0), buffer->planes + done * run->plane_cells,
               n * run->plane_cells * sizeof(float));
        int r = runner_run(run->masked_runner, EVAL_AT_ONCE, run->outputs, error);
        for (size_t i = 0; i < n && r == 0; i++) {
            int clip = buffer->chunk->first + (int)clip_of(buffer, (done + i) / 2);
            r = check_result(run, clip, run->masked_runner, &run->outputs[i], error);
            softmax_scaled(run->outputs[i].cosines, run->info->n_classes, 1,
                           run->p + (done + i) * run->classes);
        }
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < buffer->n; i++)
        take_masked(run, buffer, i);
    run->windows_done += (int)windows;
    tell_progress(run);
    return 0;
}

/* The order of things */

static void begin_load(struct run *run, int number)
{
    struct chunk *chunk = &run->chunks[number % CHUNKS];
    chunk->first = number * run->batch;
    if (chunk->first >= run->data->n)
        return;
    int rest = run->data->n - chunk->first;
    chunk->n = rest < run->batch ? rest : run->batch;
    eval_pool_begin(run->pool, &chunk->load, false, load_clip, chunk, (size_t)chunk->n);
}

/* The buffer's pairs from `first` on; none where there are no more. */
static void begin_masks(struct run *run, struct buffer *buffer, struct chunk *chunk, size_t first)
{
    size_t all = (size_t)chunk->n_live * (size_t)run->config->n_quantiles;
    buffer->chunk = chunk;
    buffer->first = first;
    buffer->n = first < all ? (all - first < run->pairs ? all - first : run->pairs) : 0;
    eval_pool_begin(run->pool, &buffer->make, true, mask_pair, buffer, buffer->n);
}

/* The buffer 0 is under way. */
static int run_masks(struct run *run, struct chunk *chunk, struct error *error)
{
    int r = 0;
    for (int turn = 0; r == 0; turn++) {
        struct buffer *now = &run->buffers[turn % BUFFERS];
        eval_pool_wait(run->pool, &now->make);
        if (now->n == 0)
            return 0;
        begin_masks(run, &run->buffers[(turn + 1) % BUFFERS], chunk, now->first + now->n);
        r = run_masked(run, now, error);
        if (r == 0)
            r = check_stop(run, error);
    }
    return r;
}

static int run_all(struct run *run, struct error *error)
{
    int chunks = (run->data->n + run->batch - 1) / run->batch;
    begin_load(run, 0);
    begin_load(run, 1);
    int r = run_clean(run, &run->chunks[0], error);
    for (int i = 0; i < chunks && r == 0; i++) {
        struct chunk *chunk = &run->chunks[i % CHUNKS];
        begin_masks(run, &run->buffers[0], chunk, 0);
        begin_load(run, i + 2);
        if (i + 1 < chunks)
            r = run_clean(run, &run->chunks[(i + 1) % CHUNKS], error);
        if (r == 0)
            r = run_masks(run, chunk, error);
        if (r == 0)
            r = check_stop(run, error);
        run->clips_done += chunk->n;
        tell_progress(run);
    }
    return r;
}

/* Life */

static bool create_chunk(struct run *run, struct chunk *c)
{
    size_t n = (size_t)run->batch;
    c->run = run;
    c->logspecs = memory_zeroed(n * run->window_cells, sizeof(float));
    c->planes = memory_zeroed(n * run->plane_cells, sizeof(float));
    c->maps = memory_zeroed(n * run->map_cells, sizeof(float));
    c->p = memory_zeroed(n * run->classes, sizeof(float));
    c->live = calloc(n, sizeof *c->live);
    c->errors = calloc(n, sizeof *c->errors);
    return c->logspecs != NULL && c->planes != NULL && c->maps != NULL && c->p != NULL &&
           c->live != NULL && c->errors != NULL;
}

static bool create_buffers(struct run *run)
{
    bool good = true;
    for (int i = 0; i < CHUNKS; i++)
        good = create_chunk(run, &run->chunks[i]) && good;
    for (int i = 0; i < BUFFERS; i++) {
        struct buffer *b = &run->buffers[i];
        b->run = run;
        b->planes = memory_zeroed(2 * run->pairs * run->plane_cells, sizeof(float));
        b->masks = calloc(run->pairs, sizeof *b->masks);
        good = good && b->planes != NULL && b->masks != NULL;
    }
    run->p = memory_zeroed(2 * run->pairs * run->classes, sizeof(float));
    run->outputs = calloc(EVAL_AT_ONCE, sizeof *run->outputs);
    return good && run->p != NULL && run->outputs != NULL;
}

/* PIQ's decoder takes up to a gigabyte a window: one at a time. */
static int create_runners(struct run *run, struct error *error)
{
    const struct eval_config *config = run->config;
    bool piq = run->info->interpreter == INTERPRETER_PIQ;
    run->at_once = piq ? 1 : EVAL_AT_ONCE;
    struct runner_config runner = {.backend = config->backend,
                                   .precision = config->precision,
                                   .threads = config->threads,
                                   .max_batch = run->at_once};
    int r = open_runner(&run->runner, config->model, &runner, error);
    run->masked_runner = run->runner;
    if (r < 0 || !piq)
        return r;
    runner.max_batch = EVAL_AT_ONCE;
    runner.without_piq = true;
    runner.backend = runner_backend(run->runner);
    runner.precision = runner_precision(run->runner);
    run->masked_runner = NULL;
    return runner_create(&run->masked_runner, config->model, &runner, error);
}

static int create_run(struct run *run, struct error *error)
{
    const struct eval_config *config = run->config;
    int last = run->info->n_maps - 1;
    run->batch = (config->batch + EVAL_AT_ONCE - 1) / EVAL_AT_ONCE * EVAL_AT_ONCE;
    run->pairs = (size_t)run->batch / 2;
    run->window_cells = eval_window_cells(run->info);
    run->plane_cells = eval_plane_cells(run->info);
    run->map_cells = (size_t)run->info->maps[last].rows * (size_t)run->info->maps[last].cols;
    run->classes = (size_t)run->info->n_classes;
    if (!create_buffers(run))
        return error_set(error, ENOMEM, "eval: out of memory for batches of %d windows",
                         run->batch);
    int r = create_runners(run, error);
    int threads = config->threads > 0 ? config->threads : eval_pool_cores();
    return r == 0 ? eval_pool_create(&run->pool, run->info, config->resampler, threads, error) : r;
}

/* The pool first: its threads write into the rest. */
static void finish_run(struct run *run)
{
    eval_pool_destroy(run->pool);
    if (run->masked_runner != run->runner)
        runner_destroy(run->masked_runner);
    runner_destroy(run->runner);
    for (int i = 0; i < CHUNKS; i++) {
        struct chunk *c = &run->chunks[i];
        free(c->logspecs);
        free(c->planes);
        free(c->maps);
        free(c->p);
        free(c->live);
        free(c->errors);
    }
    for (int i = 0; i < BUFFERS; i++) {
        free(run->buffers[i].planes);
        free(run->buffers[i].masks);
    }
    free(run->p);
    free(run->outputs);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int create_results(struct eval_results *results, int n, int quantiles, struct error *error)
{
    size_t pairs = (size_t)n * (size_t)quantiles;
    *results = (struct eval_results){.n = n, .n_quantiles = quantiles};
    results->clips = calloc((size_t)n, sizeof *results->clips);
    results->explained = calloc(pairs > 0 ? pairs : 1, sizeof *results->explained);
    if (results->clips == NULL || results->explained == NULL)
        return error_set(error, ENOMEM, "eval: out of memory for %d clips", n);
    for (int i = 0; i < n; i++)
        results->clips[i].best = results->clips[i].predicted = -1;
    return 0;
}

int eval_run(const struct eval_config *config, const struct eval_data *data,
             struct eval_results *ret, struct error *error)
{
    struct eval_results results;
    struct run run = {
        .config = config, .data = data, .info = model_info(config->model), .results = &results};
    int r = create_results(&results, data->n, config->n_quantiles, error);
    if (r == 0)
        r = create_run(&run, error);
    double begin = now_s();
    if (r == 0)
        r = run_all(&run, error);
    results.seconds = now_s() - begin;
    finish_run(&run);
    if (r < 0) {
        eval_results_finish(&results);
        return r;
    }
    *ret = results;
    return 0;
}

void eval_results_finish(struct eval_results *results)
{
    free(results->clips);
    free(results->explained);
    *results = (struct eval_results){0};
}
