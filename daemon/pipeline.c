/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/pipeline_internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "daemon/log.h"
#include "daemon/masked_audio.h"
#include "daemon/output.h"
#include "daemon/timeline.h"

/* How often the dsp thread looks at the rings: callbacks wake nobody, so this bounds what it adds
 * to the latency. */
static const long poll_ns = 2 * 1000 * 1000;
/* Of an engine whose GPU failed, see engine.h. */
enum { FORGET_S = 600, RETRY_S = 60 };

/* Dsp thread */

static void set_refused(struct pipeline *p, struct lane *lane, const char *why)
{
    if (strncmp(lane->refused, why, sizeof lane->refused - 1) == 0)
        return;
    pthread_mutex_lock(&p->lock);
    snprintf(lane->refused, sizeof lane->refused, "%.*s", (int)sizeof lane->refused - 1, why);
    pthread_mutex_unlock(&p->lock);
    if (why[0] != '\0')
        log_line(LOG_LEVEL_WARNING, "stream %s: %s", lane->name, why);
}

static void *dsp_main(void *arg)
{
    struct pipeline *p = arg;
    while (!atomic_load(&p->stop)) {
        bool busy = false;
        for (int i = 0; i < p->n_streams; i++) {
            struct lane *lane = &p->lanes[i];
            struct error error;
            bool ended = stream_ended(lane->stream);
            int r = stream_pump(lane->stream, atomic_load(&p->hop_frames), &error);
            if (r < 0 || stream_busy(lane->stream))
                set_refused(p, lane, r < 0 ? error.text : "");
            if (r != 0 || stream_ended(lane->stream) != ended)
                sem_post(&p->posted);
            busy = busy || stream_busy(lane->stream);
        }
        if (!busy)
            nanosleep(&(struct timespec){0, poll_ns}, NULL);
    }
    return NULL;
}

/* Life */

static int delay_frames(const struct pipeline_config *config, const struct stft_shape *shape,
                        int rate_hz, size_t window_frames)
{
    int frames = config->audio_delay_s < 0
                     ? config->live->hop_frames
                     : (int)lround(config->audio_delay_s * rate_hz / shape->hop);
    return frames < (int)window_frames - 2 ? frames : (int)window_frames - 2;
}

static int create_lanes(struct pipeline *p, const struct pipeline_config *config,
                        const struct model_info *info, struct error *error)
{
    p->lanes = memory_zeroed((size_t)config->n_streams, sizeof *p->lanes);
    if (p->lanes == NULL)
        return error_set(error, ENOMEM, "pipeline: out of memory");
    for (int i = 0; i < config->n_streams; i++) {
        struct stream_config stream = {
            .ring = config->streams[i].ring,
            .shape = analysis_shape(info),
            .rate_hz = info->preprocess.sample_rate,
            .window_samples = (size_t)info->preprocess.window_samples,
            .quality = config->quality,
            .lossless = config->streams[i].lossless,
        };
        p->lanes[i].name = config->streams[i].name;
        p->lanes[i].ring = config->streams[i].ring;
        p->lanes[i].lossless = config->streams[i].lossless;
        int r = stream_create(&p->lanes[i].stream, &stream, error);
        if (r < 0)
            return error_prefix(error, r, "stream %s", config->streams[i].name);
    }
    return 0;
}

int pipeline_create(struct pipeline **ret, const struct pipeline_config *config,
                    struct error *error)
{
    struct pipeline *p = calloc(1, sizeof *p);
    if (p == NULL)
        return error_set(error, ENOMEM, "pipeline: out of memory");
    const struct model_info *info = model_info(config->model);
    struct stft_shape shape = analysis_shape(info);
    size_t frames = stft_frames(&shape, (size_t)info->preprocess.window_samples);
    p->publisher = config->publisher;
    p->n_streams = config->n_streams;
    p->live = *config->live;
    atomic_init(&p->hop_frames, config->live->hop_frames);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->engine_changed, NULL);
    sem_init(&p->posted, 0, 0);
    int r = create_lanes(p, config, info, error);
    if (r == 0)
        r = outbox_create(&p->outbox, p->publisher, 32 + 16 * p->n_streams,
                          output_payload_bytes(info), error);
    p->engine_config = (struct engine_config){
        .backend = config->backend,
        .precision = config->precision,
        .depthwise = config->depthwise,
        .fallback = config->fallback,
        .threads = config->threads,
        .n_streams = config->n_streams,
        .forget_s = config->forget_s > 0 ? config->forget_s : FORGET_S,
        .retry_s = config->retry_s > 0 ? config->retry_s : RETRY_S,
        .publisher = p->publisher,
        .outbox = p->outbox,
        .audio_delay_frames = delay_frames(config, &shape, info->preprocess.sample_rate, frames)};
    if (r == 0)
        r = engine_create(&p->engine, &p->engine_config, config->model, error);
    if (r == 0)
        pipeline_tell_engine(p);
    if (r < 0) {
        pipeline_destroy(p);
        return r;
    }
    *ret = p;
    return 0;
}

int pipeline_start(struct pipeline *p, struct error *error)
{
    int r = pthread_create(&p->inference_thread, NULL, pipeline_inference, p);
    if (r != 0)
        return error_set(error, r, "pipeline: cannot start the inference thread: %s", strerror(r));
    p->inference_started = true;
    pthread_setname_np(p->inference_thread, "inference");
    r = pthread_create(&p->dsp_thread, NULL, dsp_main, p);
    if (r != 0)
        return error_set(error, r, "pipeline: cannot start the dsp thread: %s", strerror(r));
    p->dsp_started = true;
    pthread_setname_np(p->dsp_thread, "dsp");
    return 0;
}

void pipeline_destroy(struct pipeline *p)
{
    if (p == NULL)
        return;
    atomic_store(&p->stop, true);
    sem_post(&p->posted);
    if (p->dsp_started)
        pthread_join(p->dsp_thread, NULL);
    if (p->inference_started)
        pthread_join(p->inference_thread, NULL);
    engine_destroy(p->engine);
    engine_destroy(p->next_engine);
    for (int i = 0; p->lanes != NULL && i < p->n_streams; i++)
        stream_destroy(p->lanes[i].stream);
    free(p->lanes);
    sem_destroy(&p->posted);
    pthread_cond_destroy(&p->engine_changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* Any thread */

void pipeline_set_live(struct pipeline *p, const struct config_live *live)
{
    pthread_mutex_lock(&p->lock);
    p->live = *live;
    pthread_mutex_unlock(&p->lock);
    atomic_store(&p->hop_frames, live->hop_frames);
}

void pipeline_get_live(struct pipeline *p, struct config_live *ret)
{
    pthread_mutex_lock(&p->lock);
    *ret = p->live;
    pthread_mutex_unlock(&p->lock);
}

static bool same_preprocess(const struct model_preprocess *a, const struct model_preprocess *b)
{
    return a->sample_rate == b->sample_rate && a->window_samples == b->window_samples &&
           a->n_fft == b->n_fft && a->win_length == b->win_length && a->hop_length == b->hop_length;
}

/* Messages name their labels when they leave: those of the old model before the new labels are
 * known. A publisher that does not move is not waited for. */
static void wait_for_messages(struct pipeline *p)
{
    const struct timespec pause = {0, 1000000};
    for (int ms = 0; ms < 1000 && !outbox_empty(p->outbox); ms++)
        nanosleep(&pause, NULL);
}

static int check_model(const struct pipeline *p, const struct model *model, struct error *error)
{
    const struct model_info *new_info = model_info(model);
    if (!same_preprocess(&p->engine->info->preprocess, &new_info->preprocess))
        return error_set(
            error, EINVAL,
            "model %s takes other windows than the one running (rate, window_s, n_fft, "
            "win_length or hop_length of preprocess.json): restart focald to use it",
            new_info->name);
    if (output_payload_bytes(new_info) > output_payload_bytes(p->engine->info))
        return error_set(error, EINVAL,
                         "model %s has larger maps or more classes than the one running: restart "
                         "focald to use it",
                         new_info->name);
    return 0;
}

int pipeline_set_model(struct pipeline *p, const struct model *model, void (*taken)(void *user),
                       void *user, struct error *error)
{
    struct engine *engine;
    struct engine_config config = p->engine_config;
    struct pipeline_compute compute;
    pipeline_compute(p, &compute);
    const bool on_gpu = strcmp(compute.backend, "cuda") == 0;
    if (on_gpu) /* `auto` would take the CPU for good where the card has no room for both */
        config.backend = "cuda";
    int r = check_model(p, model, error);
    if (r < 0)
        return r;
    r = engine_create(&engine, &config, model, error);
    if (r < 0)
        return on_gpu ? error_prefix(error, r,
                                     "model %s does not start on the GPU beside the one "
                                     "running, restart focald to use it",
                                     model_info(model)->name)
                      : r;
    pthread_mutex_lock(&p->lock);
    p->next_engine = engine;
    sem_post(&p->posted);
    while (p->old_engine == NULL)
        pthread_cond_wait(&p->engine_changed, &p->lock);
    pthread_mutex_unlock(&p->lock);
    wait_for_messages(p);
    taken(user);
    pthread_mutex_lock(&p->lock);
    struct engine *old = p->old_engine;
    p->old_engine = NULL;
    pthread_cond_broadcast(&p->engine_changed);
    pthread_mutex_unlock(&p->lock);
    engine_destroy(old);
    return 0;
}

void pipeline_compute(struct pipeline *p, struct pipeline_compute *ret)
{
    pthread_mutex_lock(&p->lock);
    *ret = p->compute;
    pthread_mutex_unlock(&p->lock);
}

double pipeline_audio_delay_s(struct pipeline *p, const struct model_info *info)
{
    const struct model_preprocess *preprocess = &info->preprocess;
    const struct stft_shape shape = analysis_shape(info);
    int frames = masked_audio_delay(p->engine_config.audio_delay_frames,
                                    stft_frames(&shape, (size_t)preprocess->window_samples),
                                    atomic_load(&p->hop_frames));
    return (double)frames * preprocess->hop_length / preprocess->sample_rate;
}

void pipeline_report(struct pipeline *p, int i, struct pipeline_report *ret)
{
    struct lane *lane = &p->lanes[i];
    int64_t now = monotonic_ns();
    pthread_mutex_lock(&p->lock);
    *ret = lane->report;
    ret->gpu_failures = p->failures;
    ret->failed = p->failed;
    const char *problem = lane->refused[0] != '\0' ? lane->refused : p->compute.trouble;
    if (problem[0] != '\0')
        snprintf(ret->problem, sizeof ret->problem, "%s", problem);
    ret->latency_ms_p50 = latency_quantile(&lane->latency, now, 0.5f);
    ret->latency_ms_p99 = latency_quantile(&lane->latency, now, 0.99f);
    ret->network_ms_p50 = latency_quantile(&lane->network, now, 0.5f);
    pthread_mutex_unlock(&p->lock);
    ret->skipped += stream_skipped(lane->stream);
    ret->missed = stream_missed(lane->stream);
    ret->heard_ns = stream_heard_ns(lane->stream);
}

uint64_t pipeline_windows(struct pipeline *p)
{
    return atomic_load(&p->windows);
}

uint64_t pipeline_batches(struct pipeline *p)
{
    return atomic_load(&p->batches);
}

bool pipeline_idle(struct pipeline *p)
{
    pthread_mutex_lock(&p->lock);
    bool failed = p->failed;
    pthread_mutex_unlock(&p->lock);
    if (failed || atomic_load(&p->working))
        return false;
    for (int i = 0; i < p->n_streams; i++)
        if (stream_pending(p->lanes[i].stream) || !ring_empty(p->lanes[i].ring))
            return false;
    return true;
}
