/* SPDX-License-Identifier: Apache-2.0
 * How the daemon does: sources, losses, latency, memory. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/timeline.h"
#include "base/utf8.h"

enum { DEAF_BYTES = 128 };

/* Longer than any server's block. */
static const int64_t deaf_ns = INT64_C(2000000000);

/* Says nothing of how long, which would be news every second. */
static const char deaf_text[] =
    "no audio comes, though the source runs: the server or the device hangs, restart it";

/* A source that says it runs has given nothing for a while: a server or driver that hangs keeps its
 * connections. Who feeds a lossless one may take its time. */
static bool is_deaf(struct daemon *d, int stream, const struct source_status *source,
                    const struct pipeline_report *report)
{
    const int64_t state_ns = feed_state_ns(d->feeds[stream]);
    const int64_t since_ns = report->heard_ns > state_ns ? report->heard_ns : state_ns;
    const int64_t ns = monotonic_ns() - since_ns;
    const bool due =
        source->state == SOURCE_RUNNING && !report->ended && !feed_lossless(d->feeds[stream]);
    return due && ns >= deaf_ns;
}

/* Why no audio comes from a source that runs; "" where it does. */
static void deaf_why(struct daemon *d, int stream, const struct source_status *source,
                     const struct pipeline_report *report, char *ret, size_t size)
{
    const size_t needed = ring_too_small(feed_ring(d->feeds[stream]));
    ret[0] = '\0';
    if (needed > 0)
        snprintf(ret, size, "no block of the source fits: ring in [audio] must be %.2f s at least",
                 feed_ring_s(2 * needed));
    else if (is_deaf(d, stream, source, report))
        snprintf(ret, size, "%s", deaf_text);
}

/* Without audio nothing else matters; the CPU in the GPU's place may last for months. */
static void judge(struct health_message *h, const struct source_status *source,
                  const char *pipeline_problem, const char *deaf)
{
    const bool away = source->state == SOURCE_WAITING || source->state == SOURCE_FAILED;
    const char *problem = away ? source->text : deaf[0] != '\0' ? deaf : pipeline_problem;
    utf8_clean(problem, h->problem, sizeof h->problem);
    h->ok = problem[0] == '\0';
}

void health_fill(struct daemon *d, int stream, struct health_message *ret)
{
    struct source_status source;
    struct pipeline_report report;
    const char *kind;
    char deaf[DEAF_BYTES];
    feed_status(d->feeds[stream], &source, &kind);
    struct pipeline_compute compute;
    pipeline_report(d->pipeline, stream, &report);
    pipeline_compute(d->pipeline, &compute);
    *ret = (struct health_message){
        .source_kind = kind,
        .source_state = source_state_name(source.state),
        .backend = compute.backend,
        .precision = precision_name(compute.precision),
        .gpu_failures = report.gpu_failures,
        .rate_hz = source.rate_hz,
        .channels = source.channels,
        .lost_samples = ring_lost(feed_ring(d->feeds[stream])),
        .missed_samples = report.missed,
        .xruns = source.xruns,
        .reconnects = source.reconnects,
        .windows = report.windows,
        .skipped_windows = report.skipped,
        .dropped_messages = publisher_dropped(d->publisher),
        .latency_ms_p50 = report.latency_ms_p50,
        .latency_ms_p99 = report.latency_ms_p99,
        .network_ms_p50 = report.network_ms_p50,
        .uptime_s = (uint64_t)((monotonic_ns() - d->start_ns) / 1000000000),
        .resident_bytes = memory_resident(),
    };
    utf8_clean(source.text, ret->source_text, sizeof ret->source_text);
    deaf_why(d, stream, &source, &report, deaf, sizeof deaf);
    judge(ret, &source, report.problem, deaf);
}

void health_watch(struct daemon *d)
{
    for (int i = 0; i < d->n_feeds; i++) {
        struct source_status source;
        struct pipeline_report report;
        const char *kind;
        char why[DEAF_BYTES];
        feed_status(d->feeds[i], &source, &kind);
        pipeline_report(d->pipeline, i, &report);
        deaf_why(d, i, &source, &report, why, sizeof why);
        const bool deaf = why[0] != '\0';
        if (deaf && !d->deaf[i])
            log_line(LOG_LEVEL_WARNING, "stream %s: %s", d->config.streams[i].name, why);
        else if (!deaf && d->deaf[i] && source.state == SOURCE_RUNNING)
            log_line(LOG_LEVEL_INFO, "stream %s: audio comes again", d->config.streams[i].name);
        d->deaf[i] = deaf;
    }
}

void health_publish(struct daemon *d)
{
    for (int i = 0; i < d->n_feeds; i++) {
        if (!publisher_wants(d->publisher, i, TOPIC_HEALTH))
            continue;
        struct message *m = outbox_take(d->health_outbox);
        if (m == NULL)
            return;
        struct pipeline_report report;
        pipeline_report(d->pipeline, i, &report);
        m->topic = TOPIC_HEALTH;
        m->stream = i;
        m->first = report.position;
        m->count = 0;
        m->t_wall_ns = realtime_ns();
        m->payload_bytes = 0;
        health_fill(d, i, &m->health);
        outbox_send(d->health_outbox);
    }
}

void health_summary(struct daemon *d, char *ret, size_t size)
{
    size_t at = 0;
    for (int i = 0; i < d->n_feeds && at < size; i++) {
        struct health_message h;
        health_fill(d, i, &h);
        int n = snprintf(ret + at, size - at, "%s%s: %s", i > 0 ? "; " : "",
                         d->config.streams[i].name, h.ok ? h.source_text : h.problem);
        at += n > 0 ? (size_t)n : 0;
    }
    if (at < size)
        snprintf(ret + at, size - at, " (%llu windows)",
                 (unsigned long long)pipeline_windows(d->pipeline));
}
