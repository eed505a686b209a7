/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/pipeline_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/output.h"
#include "daemon/timeline.h"

/* Beyond the hop, a live stream's windows may stay away for so long before its events end: longer
 * than any server's block. And how often that is looked at where no window wakes anybody. */
static const int64_t quiet_ns = INT64_C(2000000000);
static const int64_t look_ns = 500 * 1000 * 1000;
/* How early or late a window may come: a block of the source, and the poll. */
static const int64_t jitter_ns = 25 * 1000 * 1000;

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

void pipeline_tell_engine(struct pipeline *p)
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
        pipeline_tell_engine(p);
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
        pipeline_tell_engine(p);
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
    pipeline_tell_engine(p);
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < p->n_streams; i++)
        p->lanes[i].report.label.n_top = 0; /* indices of labels that are going */
    p->old_engine = old;
    pthread_cond_broadcast(&p->engine_changed);
    while (p->old_engine != NULL)
        pthread_cond_wait(&p->engine_changed, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

void *pipeline_inference(void *arg)
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
