/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/timeline.h"
#include "model/backends.h"

/* Life */

static int make_runner(struct engine *e, const char *backend, enum precision precision,
                       struct error *error)
{
    const struct runner_config runner = {.backend = backend,
                                         .precision = precision,
                                         .depthwise = e->config.depthwise,
                                         .threads = e->config.threads,
                                         .max_batch = e->config.n_streams};
    return runner_create(&e->runner, e->model, &runner, error);
}

/* In its one precision, whatever the GPU's was to be. */
static int make_cpu_runner(struct engine *e, struct error *error)
{
    return make_runner(e, "cpu", PRECISION_AUTO, error);
}

/* `auto` too means the GPU here: it was there. */
static int make_gpu_runner(struct engine *e, struct error *error)
{
    return make_runner(e, "cuda", e->config.precision, error);
}

static void set_trouble(struct engine *e, const char *what, const struct error *why)
{
    snprintf(e->trouble, sizeof e->trouble, "%s: %s", what, why->text);
}

static int first_runner(struct engine *e, struct error *error)
{
    const struct backend_ops *gpu;
    const bool may = strcmp(e->config.backend, "auto") == 0 && e->config.fallback &&
                     backend_gpu(&gpu, NULL, 0, NULL) == 0; /* after a failure it may be lost */
    int r = make_runner(e, e->config.backend, e->config.precision, error);
    if (r == 0 || !may)
        return r;
    const struct error why = *error;
    r = make_cpu_runner(e, error);
    if (r == 0)
        set_trouble(e, "the GPU cannot be used, on the CPU instead", &why);
    return r;
}

static int create_streams(struct engine *e, struct error *error)
{
    size_t n = (size_t)e->config.n_streams;
    e->analyses = calloc(n, sizeof *e->analyses);
    e->outputs = calloc(n, sizeof *e->outputs);
    e->results = calloc(n, sizeof *e->results);
    if (e->analyses == NULL || e->outputs == NULL || e->results == NULL)
        return error_set(error, ENOMEM, "pipeline: out of memory");
    int r = 0;
    for (int i = 0; i < e->config.n_streams && r == 0; i++) {
        struct output_config output = {e->config.publisher, e->config.outbox, i, e->info,
                                       e->config.audio_delay_frames};
        r = analysis_create(&e->analyses[i], e->info, error);
        if (r == 0)
            r = output_create(&e->outputs[i], &output, error);
    }
    return r;
}

int engine_create(struct engine **ret, const struct engine_config *config,
                  const struct model *model, struct error *error)
{
    struct engine *e = calloc(1, sizeof *e);
    if (e == NULL)
        return error_set(error, ENOMEM, "pipeline: out of memory");
    e->config = *config;
    e->model = model;
    e->info = model_info(model);
    int r = create_streams(e, error);
    if (r == 0)
        r = first_runner(e, error);
    if (r < 0) {
        engine_destroy(e);
        return r;
    }
    if (e->trouble[0] != '\0')
        log_line(LOG_LEVEL_WARNING, "%s", e->trouble);
    *ret = e;
    return 0;
}

void engine_destroy(struct engine *e)
{
    if (e == NULL)
        return;
    for (int i = 0; i < e->config.n_streams; i++) {
        if (e->analyses != NULL)
            analysis_destroy(e->analyses[i]);
        if (e->outputs != NULL)
            output_destroy(e->outputs[i]);
    }
    runner_destroy(e->runner);
    free(e->analyses);
    free(e->outputs);
    free(e->results);
    free(e);
}

void engine_follow(struct engine *e, const struct engine *before)
{
    e->failed_ns = before->failed_ns;
    if (e->trouble[0] == '\0' && strcmp(runner_backend(e->runner), "cuda") != 0)
        memcpy(e->trouble, before->trouble, sizeof e->trouble);
}

/* Mending */

static bool since(int64_t then_ns, double seconds)
{
    return then_ns == 0 || (double)(monotonic_ns() - then_ns) * 1e-9 >= seconds;
}

static bool go_on_without(struct engine *e, const struct error *why)
{
    struct error error = {""};
    if (!e->config.fallback) {
        set_trouble(e, "the GPU failed ([model] fallback = no)", why);
    } else if (make_cpu_runner(e, &error) == 0) {
        set_trouble(e, "the GPU failed, on the CPU instead", why);
    } else {
        set_trouble(e, "the GPU failed, and the CPU cannot be used", &error);
    }
    log_line(LOG_LEVEL_ERROR, "%s", e->trouble);
    return e->runner != NULL;
}

bool engine_mend(struct engine *e, const struct error *why)
{
    if (strcmp(runner_backend(e->runner), "cuda") != 0)
        return false;
    const bool once = since(e->failed_ns, e->config.forget_s);
    e->failed_ns = monotonic_ns();
    e->failures++;
    runner_destroy(e->runner); /* the card is free before it is taken again */
    e->runner = NULL;
    if (!once)
        return go_on_without(e, why);
    log_line(LOG_LEVEL_WARNING, "the GPU failed, it is started anew: %s", why->text);
    struct error error = {""};
    if (make_gpu_runner(e, &error) < 0)
        return go_on_without(e, &error);
    e->failed_ns = monotonic_ns(); /* the time counts that it computes */
    return true;
}

int engine_ready(struct engine *e, struct error *error)
{
    if (e->runner != NULL)
        return 0;
    if (since(e->failed_ns, e->config.retry_s)) {
        e->failed_ns = monotonic_ns();
        struct error why = {""};
        if (make_gpu_runner(e, &why) == 0) {
            e->trouble[0] = '\0';
            log_line(LOG_LEVEL_INFO, "the GPU is back");
            return 0;
        }
        go_on_without(e, &why);
        if (e->runner != NULL)
            return 0;
    }
    return error_set(error, EIO, "%s", e->trouble);
}
