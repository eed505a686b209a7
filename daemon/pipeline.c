/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/pipeline.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "daemon/analysis.h"
#include "daemon/engine.h"
#include "daemon/latency.h"
#include "daemon/log.h"
#include "daemon/masked_audio.h"
#include "daemon/output.h"
#include "daemon/stream.h"
#include "daemon/timeline.h"

/* How often the dsp thread looks at the rings: callbacks wake nobody, so this bounds what it adds
 * to the latency. */
static const long poll_ns = 2 * 1000 * 1000;
/* Beyond the hop, a live stream's windows may stay away for so long before its events end: longer
 * than any server's block. And how often that is looked at where no window wakes anybody. */
static const int64_t quiet_ns = INT64_C(2000000000);
static const int64_t look_ns = 500 * 1000 * 1000;
/* How early or late a window may come: a block of the source, and the poll. */
static const int64_t jitter_ns = 25 * 1000 * 1000;

/* Of an engine whose GPU failed, see engine.h. */
enum { FORGET_S = 600, RETRY_S = 60 };

struct lane { /* one stream */
    const char *name;
    struct stream *stream;
    struct ring *ring;
    bool lossless;
    /* inference thread */
    uint64_t next_serial;
    int64_t finished_ns; /* CLOCK_MONOTONIC of the newest window; 0: its events have ended */
    int64_t hop_ns;      /* at most, from that one to the next */
    bool end_told;
    const struct window *window; /* of the batch in work */
    struct analysis_window before;
    float ms_wait, ms_pre;
    /* under pipeline.lock */
    struct pipeline_report report;
    struct latency latency, network;
    char refused[192]; /* why the newest block could not be taken; the dsp thread writes it */
};

struct pipeline {
    /* immutable after create */
    struct publisher *publisher;
    struct outbox *outbox;
    int n_streams;
    struct lane *lanes; /* [n_streams] */
    struct engine_config engine_config;

    pthread_t dsp_thread, inference_thread;
    bool dsp_started, inference_started;
    sem_t posted; /* windows were posted, or something else changed for the inference thread */
    atomic_bool stop;
    atomic_uint_least64_t windows, batches;
    atomic_bool working;   /* inference thread: a batch is in work */
    atomic_int hop_frames; /* for the dsp thread */

    pthread_mutex_t lock;
    pthread_cond_t engine_changed;
    /* under lock */
    struct config_live live;
    struct pipeline_compute compute;
    uint64_t failures; /* of the GPU */
    bool failed;       /* there is nothing to compute with */
    struct engine
        *next_engine; /* to be taken by the inference thread, which leaves the old one here */
    struct engine *old_engine;

    struct engine *engine;    /* inference thread's */
    uint64_t engine_failures; /* inference thread's: of its GPU, that are told */
};

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

/* Inference thread */

static float ms_between(int64_t from_ns, int64_t to_ns)
{
    return (float)(to_ns - from_ns) * 1e-6f;
}

/* Whether a stream that has no window now has one due by then. Windows come as the source's blocks
 * do, a little early or late; one that stays away for longer is not waited for. */
static bool due_by(const struct lane *lane, int64_t hop_ns, int64_t deadline_ns, int64_t now_ns)
{
    int64_t posted_ns = stream_posted_ns(lane->stream), due_ns = posted_ns + hop_ns;
    return posted_ns != 0 && !lane->lossless && !stream_ended(lane->stream) &&
           due_ns - jitter_ns <= deadline_ns && due_ns + jitter_ns >= now_ns;
}

static int64_t hop_ns_of(const struct pipeline *p, int hop_frames)
{
    const struct model_preprocess *preprocess = &p->engine->info->preprocess;
    return (int64_t)(1e9 * hop_frames * preprocess->hop_length / preprocess->sample_rate);
}

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){ns / 1000000000, ns % 1000000000};
}

/* Waits, from the first window that is there for at most batch_wait, for those of other streams
 * that are due within it. */
static void wait_for_others(struct pipeline *p, const struct config_live *live)
{
    const int64_t hop_ns = hop_ns_of(p, live->hop_frames);
    int64_t deadline_ns = INT64_MAX;
    for (int i = 0; i < p->n_streams; i++) {
        const struct lane *lane = &p->lanes[i];
        if (lane->lossless || !stream_pending(lane->stream))
            continue;
        int64_t ns = stream_posted_ns(lane->stream) + (int64_t)(live->batch_wait_s * 1e9);
        deadline_ns = ns < deadline_ns ? ns : deadline_ns;
    }
    const struct timespec deadline = timespec_of(deadline_ns);
    while (deadline_ns != INT64_MAX && !atomic_load(&p->stop)) {
        int64_t now_ns = monotonic_ns();
        bool more = false;
        for (int i = 0; i < p->n_streams && !more; i++)
            more = !stream_pending(p->lanes[i].stream) &&
                   due_by(&p->lanes[i], hop_ns, deadline_ns, now_ns);
        if (!more || now_ns >= deadline_ns)
            return;
        (void)sem_clockwait(&p->posted, CLOCK_MONOTONIC, &deadline);
    }
}

/* The newest windows of all streams; lanes whose window is NULL have nothing new. False: none has.
 */
static bool take_windows(struct pipeline *p)
{
    const int64_t now = monotonic_ns();
    bool any = false;
    for (int i = 0; i < p->n_streams; i++) {
        struct lane *lane = &p->lanes[i];
        lane->window = stream_take(lane->stream);
        if (lane->window == NULL)
            continue;
        lane->ms_wait = ms_between(lane->window->t_posted_ns, now);
        any = true;
    }
    return any;
}

/* The windows taken, normalised into the runner's planes. Returns how many planes there are. */
static int prepare_batch(struct pipeline *p, const struct config_live *live)
{
    struct engine *e = p->engine;
    float gate = powf(10, (float)live->silence_gate_db / 20);
    int batch = 0;
    for (int i = 0; i < p->n_streams; i++) {
        struct lane *lane = &p->lanes[i];
        if (lane->window == NULL)
            continue;
        int64_t start = monotonic_ns();
        analysis_before(e->analyses[i], lane->window->samples, lane->window->spectrum, gate,
                        runner_input(e->runner, batch), &lane->before);
        lane->ms_pre = ms_between(start, monotonic_ns());
        if (!lane->before.silence)
            batch++;
    }
    return batch;
}

static void finish_window(struct pipeline *p, int i, const struct config_live *live,
                          const struct runner_result *result, float ms_network)
{
    struct engine *e = p->engine;
    struct lane *lane = &p->lanes[i];
    const struct window *window = lane->window;
    int64_t start = monotonic_ns();
    struct analysis_mask mask;
    bool masked = result != NULL && output_wants_mask(e->outputs[i]);
    if (masked)
        analysis_after(e->analyses[i], result->maps[e->info->n_maps - 1], (float)live->quantile,
                       &mask);
    struct output_window w = {
        .window = window,
        .before = &lane->before,
        .after = masked ? &mask : NULL,
        .result = result,
        .live = live,
        .skipped = window->serial - lane->next_serial,
        .ms_wait = lane->ms_wait,
        .ms_pre = lane->ms_pre,
        .ms_network = result != NULL ? ms_network : 0,
        .ms_post = ms_between(start, monotonic_ns()),
    };
    lane->next_serial = window->serial + 1;
    struct label_message label;
    output_publish(e->outputs[i], &w, &label);
    int64_t now = monotonic_ns();
    lane->finished_ns = now;
    const double moved_ns = (double)window->hop_samples * 1e9 / e->info->preprocess.sample_rate;
    lane->hop_ns = hop_ns_of(p, atomic_load(&p->hop_frames));
    if (moved_ns > (double)lane->hop_ns)
        lane->hop_ns = (int64_t)moved_ns;
    uint64_t span = (uint64_t)e->info->preprocess.window_samples;
    int64_t span_ns = (int64_t)((double)span * 1e9 / e->info->preprocess.sample_rate);

    pthread_mutex_lock(&p->lock);
    struct pipeline_report *report = &lane->report;
    report->windows++;
    report->position = window->first + span;
    report->t_wall_ns = window->t_wall_ns + span_ns;
    report->label = label;
    report->problem[0] = '\0';
    latency_add(&lane->latency, now, ms_between(window->t_last_ns, now));
    if (result != NULL)
        latency_add(&lane->network, now, ms_network);
    pthread_mutex_unlock(&p->lock);
    atomic_fetch_add(&p->windows, 1);
}

/* Passes on what the engine computes on and what troubles it. */
static void tell_engine(struct pipeline *p)
{
    const struct engine *e = p->engine;
    pthread_mutex_lock(&p->lock);
    if (e->runner != NULL) {
        p->compute.backend = runner_backend(e->runner);
        p->compute.precision = runner_precision(e->runner);
        p->compute.threads = runner_threads(e->runner);
    }
    p->failures += e->failures - p->engine_failures;
    p->engine_failures = e->failures;
    memcpy(p->compute.trouble, e->trouble, sizeof p->compute.trouble);
    p->failed = e->runner == NULL;
    pthread_mutex_unlock(&p->lock);
}

static void set_problem(struct pipeline *p, struct lane *lane, const char *text)
{
    pthread_mutex_lock(&p->lock);
    snprintf(lane->report.problem, sizeof lane->report.problem, "%.*s",
             (int)sizeof lane->report.problem - 1, text);
    pthread_mutex_unlock(&p->lock);
}

/* Runs the windows taken; again where the engine could be mended. */
static int run_windows(struct pipeline *p, const struct config_live *live, float *ret_ms,
                       struct error *error)
{
    struct engine *e = p->engine;
    const bool had_runner = e->runner != NULL;
    int r = engine_ready(e, error);
    if (!had_runner)
        tell_engine(p);
    while (r == 0) {
        int batch = prepare_batch(p, live);
        int64_t start = monotonic_ns();
        r = batch > 0 ? runner_run(e->runner, batch, e->results, error) : 0;
        *ret_ms = ms_between(start, monotonic_ns());
        if (r == 0) {
            atomic_fetch_add(&p->batches, batch > 0);
            break;
        }
        for (int i = 0; i < p->n_streams; i++)
            if (p->lanes[i].window != NULL)
                set_problem(p, &p->lanes[i], error->text);
        bool again = engine_mend(e, error);
        tell_engine(p);
        if (!again)
            return r;
        r = 0;
    }
    return r;
}

/* It is as if a newer one had come before its turn: the next window's message says that this one
 * was skipped, and its time is not lost. */
static void skip_window(struct pipeline *p, struct lane *lane, const char *why)
{
    set_problem(p, lane, why);
    pthread_mutex_lock(&p->lock);
    lane->report.skipped++;
    pthread_mutex_unlock(&p->lock);
}

/* Takes and finishes what was posted. Returns false when there was nothing. */
static bool run_batch(struct pipeline *p)
{
    struct engine *e = p->engine;
    struct config_live live;
    pipeline_get_live(p, &live);
    wait_for_others(p, &live);
    if (!take_windows(p))
        return false;
    float ms_network = 0;
    struct error error = {""};
    int r = run_windows(p, &live, &ms_network, &error);
    for (int i = 0, k = 0; i < p->n_streams; i++) {
        struct lane *lane = &p->lanes[i];
        if (lane->window == NULL)
            continue;
        if (r < 0) {
            skip_window(p, lane, error.text);
            continue;
        }
        const struct runner_result *result = lane->before.silence ? NULL : &e->results[k++];
        if (result != NULL && runner_check(e->runner, result, &error) < 0)
            skip_window(p, lane, error.text);
        else
            finish_window(p, i, &live, result, ms_network);
    }
    return true;
}

/* What sounded at the end of the newest window ends there. */
static void end_events(struct pipeline *p, int i)
{
    struct lane *lane = &p->lanes[i];
    output_end(p->engine->outputs[i], lane->report.position, lane->report.t_wall_ns);
    lane->finished_ns = 0;
}

/* Nothing sounds on where no window comes any more: the source went or hangs, or all fail. What a
 * lossless stream is given next belongs to what it was given before, however late. */
static void end_quiet(struct pipeline *p)
{
    const int64_t hop_ns = hop_ns_of(p, atomic_load(&p->hop_frames));
    const int64_t now = monotonic_ns();
    for (int i = 0; i < p->n_streams; i++) {
        const struct lane *lane = &p->lanes[i];
        /* the next one is due by the hop of its time, which may have been changed since */
        const int64_t due_ns = lane->hop_ns > hop_ns ? lane->hop_ns : hop_ns;
        if (!lane->lossless && lane->finished_ns != 0 && !stream_pending(lane->stream) &&
            now - lane->finished_ns >= due_ns + quiet_ns)
            end_events(p, i);
    }
}

/* A stream whose source has ended and whose windows are all published ends its events, once. */
static void finish_ended(struct pipeline *p)
{
    for (int i = 0; i < p->n_streams; i++) {
        struct lane *lane = &p->lanes[i];
        if (lane->end_told || !stream_ended(lane->stream) || stream_pending(lane->stream))
            continue;
        end_events(p, i);
        lane->end_told = true;
        pthread_mutex_lock(&p->lock);
        lane->report.ended = true;
        pthread_mutex_unlock(&p->lock);
    }
}

/* The events of the old model end: the new one's labels are others. Waits for pipeline_set_model to
 * have told them. */
static void take_next_engine(struct pipeline *p)
{
    pthread_mutex_lock(&p->lock);
    struct engine *old = p->engine, *next = p->next_engine;
    p->next_engine = NULL;
    pthread_mutex_unlock(&p->lock);
    if (next == NULL)
        return;
    for (int i = 0; i < p->n_streams; i++) {
        end_events(p, i);
        output_follow(next->outputs[i], old->outputs[i]);
    }
    engine_follow(next, old);
    p->engine = next;
    p->engine_failures = 0;
    tell_engine(p);
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < p->n_streams; i++)
        p->lanes[i].report.label.n_top = 0; /* indices of labels that are going */
    p->old_engine = old;
    pthread_cond_broadcast(&p->engine_changed);
    while (p->old_engine != NULL)
        pthread_cond_wait(&p->engine_changed, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

static void *inference_main(void *arg)
{
    struct pipeline *p = arg;
    while (!atomic_load(&p->stop)) {
        const struct timespec look = timespec_of(monotonic_ns() + look_ns);
        if (sem_clockwait(&p->posted, CLOCK_MONOTONIC, &look) != 0) {
            end_quiet(p);
            continue;
        }
        atomic_store(&p->working, true);
        do { /* with fast sources, or a network that is too slow, there is always a window */
            take_next_engine(p);
            finish_ended(p);
            end_quiet(p);
        } while (!atomic_load(&p->stop) && run_batch(p));
        atomic_store(&p->working, false);
    }
    for (int i = 0; i < p->n_streams; i++)
        end_events(p, i);
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
        tell_engine(p);
    if (r < 0) {
        pipeline_destroy(p);
        return r;
    }
    *ret = p;
    return 0;
}

int pipeline_start(struct pipeline *p, struct error *error)
{
    int r = pthread_create(&p->inference_thread, NULL, inference_main, p);
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

int pipeline_check_model(const struct pipeline *p, const struct model *model, struct error *error)
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
    int r = pipeline_check_model(p, model, error);
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
