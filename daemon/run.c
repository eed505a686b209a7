/* SPDX-License-Identifier: Apache-2.0
 * `focald run`: starts the parts in order, then watches over them from the main thread: signals,
 * health once a second, systemd, the terminal. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "daemon/console.h"
#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/modes.h"
#include "daemon/open_model.h"
#include "daemon/options.h"
#include "daemon/reload.h"
#include "daemon/timeline.h"
#include "daemon/wisdom.h"
#include "model/backends.h"

enum { TICK_MS = 100, TICKS_PER_SECOND = 1000 / TICK_MS, HEALTH_SLOTS = 2 * CONFIG_MAX_STREAMS };

static enum resampler_quality resampler_quality_of(const char *name)
{
    if (strcmp(name, "fast") == 0)
        return RESAMPLER_FAST;
    return strcmp(name, "best") == 0 ? RESAMPLER_BEST : RESAMPLER_MEDIUM;
}

/* Start and stop */

/* What the configuration says of the publisher. names: [CONFIG_MAX_STREAMS] */
static struct publisher_config publisher_of(struct daemon *d, const char *dir, const char **names)
{
    const struct config *c = &d->config;
    for (int i = 0; i < c->n_streams; i++)
        names[i] = c->streams[i].name;
    return (struct publisher_config){
        .ipc_dir = dir,
        .tcp_data = c->tcp_data[0] != '\0' ? c->tcp_data : NULL,
        .tcp_control = c->tcp_control[0] != '\0' ? c->tcp_control : NULL,
        .curve_secret_key_file = c->curve_secret_key[0] != '\0' ? c->curve_secret_key : NULL,
        .curve_clients_file = c->curve_clients[0] != '\0' ? c->curve_clients : NULL,
        .send_hwm = c->send_hwm,
        .streams = names,
        .n_streams = c->n_streams,
        .request = control_request,
        .user = d,
    };
}

static int start_publisher(struct daemon *d, struct error *error)
{
    const char *names[CONFIG_MAX_STREAMS];
    char dir[512];
    int r = config_ipc_dir(&d->config, dir, sizeof dir, error);
    if (r < 0)
        return r;
    const struct publisher_config publisher = publisher_of(d, dir, names);
    r = publisher_create(&d->publisher, &publisher, error);
    if (r == 0)
        r = outbox_create(&d->health_outbox, d->publisher, HEALTH_SLOTS, 0, error);
    return r;
}

static int start_pipeline(struct daemon *d, struct error *error)
{
    struct pipeline_stream streams[CONFIG_MAX_STREAMS];
    for (int i = 0; i < d->n_feeds; i++)
        streams[i] = (struct pipeline_stream){d->config.streams[i].name, feed_ring(d->feeds[i]),
                                              feed_lossless(d->feeds[i])};
    struct pipeline_config pipeline = {
        .model = d->model,
        .backend = d->config.backend,
        .precision = config_precision(&d->config),
        .depthwise = config_depthwise(&d->config),
        .fallback = d->config.fallback,
        .threads = d->config.threads,
        .publisher = d->publisher,
        .live = &d->config.live,
        .audio_delay_s = d->config.audio_delay_s,
        .quality = resampler_quality_of(d->config.resampler),
        .streams = streams,
        .n_streams = d->n_feeds,
    };
    int r = pipeline_create(&d->pipeline, &pipeline, error);
    if (r == 0)
        r = pipeline_start(d->pipeline, error);
    return r;
}

static int create_feeds(struct daemon *d, struct error *error)
{
    for (int i = 0; i < d->config.n_streams; i++) {
        int r = feed_create(&d->feeds[i], &d->config.streams[i], d->config.ring_s, error);
        if (r < 0)
            return r;
        d->n_feeds++;
    }
    return 0;
}

static int daemon_start(struct daemon *d, struct error *error)
{
    wisdom_load(&d->config);
    int r = create_feeds(d, error);
    if (r == 0)
        r = start_publisher(d, error);
    if (r == 0)
        r = start_pipeline(d, error);
    if (r < 0)
        return r;
    wisdom_save(&d->config);
    pthread_mutex_lock(&d->lock);
    daemon_tell_info(d);
    pthread_mutex_unlock(&d->lock);
    atomic_store(&d->ready, true);
    for (int i = 0; i < d->n_feeds && r == 0; i++)
        r = feed_start(d->feeds[i], error);
    return r;
}

/* In the order of the data's way: what is on its way is published before the sockets close. */
static void daemon_stop(struct daemon *d)
{
    pthread_mutex_lock(&d->lock); /* a control request in work comes to its end */
    atomic_store(&d->ready, false);
    pthread_mutex_unlock(&d->lock);
    reload_refuse(d);
    for (int i = 0; i < d->n_feeds; i++)
        feed_stop(d->feeds[i]);
    pipeline_destroy(d->pipeline);
    publisher_destroy(d->publisher);
    for (int i = 0; i < d->n_feeds; i++)
        feed_destroy(d->feeds[i]);
    model_close(d->model);
}

/* The main loop */

struct watch {
    uint64_t fed_windows;               /* when the watchdog was last fed */
    uint64_t shown[CONFIG_MAX_STREAMS]; /* windows shown on the terminal */
    bool told_end[CONFIG_MAX_STREAMS];
    bool console;
};

/* The watchdog is fed by finished windows. A pipeline with nothing to do (no audio comes) is well;
 * one that has work and finishes none is stuck, and systemd restarts it. */
static void feed_watchdog(struct daemon *d, struct watch *w)
{
    uint64_t windows = pipeline_windows(d->pipeline);
    if (windows == w->fed_windows && !pipeline_idle(d->pipeline))
        return;
    w->fed_windows = windows;
    sd_notify(0, "WATCHDOG=1");
}

static void show_labels(struct daemon *d, struct watch *w)
{
    for (int i = 0; i < d->n_feeds; i++) {
        struct pipeline_report report;
        pipeline_report(d->pipeline, i, &report);
        if (report.windows == w->shown[i])
            continue;
        w->shown[i] = report.windows;
        console_label(d->config.streams[i].name, &report, model_info(d->model)->labels, d->n_feeds);
    }
}

/* A source that came to its end and not to its first window. Once. */
static void tell_too_short(struct daemon *d, struct watch *w)
{
    const struct model_preprocess *preprocess = &model_info(d->model)->preprocess;
    for (int i = 0; i < d->n_feeds; i++) {
        struct pipeline_report report;
        struct source_status source;
        const char *kind;
        pipeline_report(d->pipeline, i, &report);
        feed_status(d->feeds[i], &source, &kind);
        if (w->told_end[i] || !report.ended)
            continue;
        w->told_end[i] = true;
        if (source.state == SOURCE_ENDED && report.windows == 0)
            log_line(LOG_LEVEL_WARNING,
                     "stream %s: it ended before its first window, which is %g s long; focald "
                     "classify takes shorter clips",
                     d->config.streams[i].name,
                     (double)preprocess->window_samples / preprocess->sample_rate);
    }
}

/* The GPU failed and something else computes. */
static void tell_compute(struct daemon *d)
{
    struct pipeline_compute now;
    pipeline_compute(d->pipeline, &now);
    pthread_mutex_lock(&d->lock);
    if (now.backend != d->told.backend || now.precision != d->told.precision)
        daemon_tell_info(d);
    pthread_mutex_unlock(&d->lock);
}

static void each_second(struct daemon *d, struct watch *w)
{
    char text[512];
    tell_compute(d);
    for (int i = 0; i < d->n_feeds; i++)
        feed_tick(d->feeds[i]);
    health_watch(d);
    health_publish(d);
    health_summary(d, text, sizeof text);
    sd_notifyf(0, "STATUS=%s", text);
    feed_watchdog(d, w);
}

static bool all_ended(struct daemon *d)
{
    for (int i = 0; i < d->n_feeds; i++) {
        struct pipeline_report report;
        pipeline_report(d->pipeline, i, &report);
        if (!report.ended)
            return false;
    }
    return true;
}

static bool any_failed(struct daemon *d)
{
    for (int i = 0; i < d->n_feeds; i++) {
        struct source_status status;
        struct pipeline_report report;
        const char *kind;
        feed_status(d->feeds[i], &status, &kind);
        pipeline_report(d->pipeline, i, &report);
        if (status.state == SOURCE_FAILED || report.failed)
            return true;
    }
    return false;
}

/* Until a signal ends it, or every source (files, pipes) has come to its end. Returns the signal.
 */
static int main_loop(struct daemon *d, const sigset_t *signals)
{
    struct watch w = {.console = console_wanted()};
    const struct timespec tick = {0, TICK_MS * 1000000L};
    for (unsigned ticks = 0;; ticks++) {
        siginfo_t info;
        int signal = sigtimedwait(signals, &info, &tick);
        if (signal == SIGTERM || signal == SIGINT)
            return signal;
        const bool hangup = signal == SIGHUP && info.si_code == SI_KERNEL;
        if (hangup && !d->nohup) /* the terminal is gone */
            return signal;
        if ((signal == SIGHUP && !hangup) || atomic_exchange(&d->reload_wanted, false))
            reload_run(d);
        if (w.console)
            show_labels(d, &w);
        if (ticks % TICKS_PER_SECOND == 0)
            each_second(d, &w);
        const bool ended = all_ended(d);
        tell_too_short(d, &w);
        if (ended)
            return 0;
    }
}

/* What it computes with; and, where that was left to focald, why not on a GPU. */
static void tell_start(struct daemon *d)
{
    const struct model_info *info = model_info(d->model);
    const struct backend_ops *gpu;
    struct pipeline_compute c;
    char device[256] = "";
    pipeline_compute(d->pipeline, &c);
    const bool on_gpu = strcmp(c.backend, "cuda") == 0;
    const struct error why = backend_gpu_missing();
    if (!on_gpu && why.text[0] != '\0')
        log_line(LOG_LEVEL_INFO, "no GPU: using the CPU (%s)", why.text);
    if (on_gpu)
        (void)backend_gpu(&gpu, device, sizeof device, NULL);
    if (on_gpu)
        log_line(LOG_LEVEL_INFO, "model %s: %d labels, on the cuda in %s%s%s", info->name,
                 info->n_classes, precision_name(c.precision), device[0] != '\0' ? ": " : "",
                 device);
    else
        log_line(LOG_LEVEL_INFO, "model %s: %d labels, on the cpu with %d thread%s", info->name,
                 info->n_classes, c.threads, c.threads == 1 ? "" : "s");
}

static int run(struct daemon *d, const sigset_t *signals)
{
    struct error error;
    int r = daemon_start(d, &error);
    if (r < 0) {
        log_line(LOG_LEVEL_ERROR, "%s", error.text);
        return EXIT_FAILURE;
    }
    tell_start(d);
    sd_notify(0, "READY=1");
    int signal = main_loop(d, signals);
    console_break();
    sd_notify(0, "STOPPING=1");
    if (signal != 0) {
        log_line(LOG_LEVEL_INFO, "stopping on %s", strsignal(signal));
        return EXIT_SUCCESS;
    }
    log_line(LOG_LEVEL_INFO, "every source is at its end: stopping");
    return any_failed(d) ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* The command line */

static const struct option_spec run_options[] = {
    {"source", 's', "[NAME=]SPEC", "where audio comes from, see below; repeat it for more streams",
     "stream", "source"},
    {"fallback", 0, "SPEC", "the source to take when auto finds no server", "stream", "fallback"},
    {"loop", 'l', NULL, "files: begin again at the end", "stream", "loop"},
    {"fast", 0, NULL, "files: as fast as they can be analysed, not as live", "stream", "fast"},
    {"jack-autoconnect", 0, "REGEX", "connect matching output ports, also those that come later",
     "stream", "jack_autoconnect"},
    {"model", 'm', "DIR", "the model (default: the one that comes with focald)", "model", "dir"},
    {"interpreter", 0, "NAME", "auto, modulation, attention or piq", "model", "interpreter"},
    {"backend", 0, "NAME", "auto, cpu or cuda", "model", "backend"},
    {"precision", 0, "NAME", "of the GPU: auto, float32, tf32, bfloat16, float16", "model",
     "precision"},
    {"threads", 't', "N", "of the network; 0 is all cores", "model", "threads"},
    {"reject", 0, "T", "what is unknown: auto (the model's threshold), off, or a number", "model",
     "reject"},
    {"quantile", 'q', "Q", "of the modulation map that the mask keeps, 0 to 1", "analysis",
     "quantile"},
    {"hop", 0, "TIME", "between windows, as in \"0.5 s\" or \"43 frames\"", "analysis", "hop"},
    {"name", 'n', "NAME", "of the sockets' directory", "ipc", "name"},
    {"log-level", 0, "LEVEL", "error, warning, info or debug", "log", "level"},
    {"config", 'c', "FILE", "this configuration instead of the standard files", NULL, NULL},
    {"check", 0, NULL, "check configuration, model and sources, and exit", NULL, NULL},
    {"list-sources", 0, NULL, "tell what can be captured, and exit", NULL, NULL},
    {NULL, 0, NULL, NULL, NULL, NULL},
};

static const struct option_usage run_usage = {
    .synopsis = "focald run [OPTION…]",
    .about = "Listens live, names the sound every hop, and publishes labels, modulation maps and\n"
             "masked audio over ZeroMQ (see focalctl, libfocal). Ends on SIGTERM; SIGHUP reloads.",
    .options = run_options,
    .more =
        "sources:\n"
        "  auto             the PipeWire or JACK server that answers (default)\n"
        "  pipewire[:NODE]  the default or a named node, or what a sink plays (NODE.monitor)\n"
        "  jack[:N|:REGEX]  a JACK client with N ports, or with one for each port that matches\n"
        "  file:PATH        an audio file, or the audio files of a directory\n"
        "  stdin:RATE:CHANNELS[:s16|s32|f32]\n"
        "                   raw PCM from the standard input",
};

static int list_sources(void)
{
    enum { CAP = 256 };
    struct source_entry *entries = calloc(CAP, sizeof *entries);
    int total = 0;
    for (int k = 0; entries != NULL && source_kinds[k] != NULL; k++) {
        struct error error;
        const struct source_ops *ops = source_kinds[k];
        if (ops->list == NULL) {
            printf("%-60s %s\n", ops->name, ops->help);
            continue;
        }
        int n = ops->list(entries, CAP, &error);
        if (n < 0)
            fprintf(stderr, "%s: %s\n", ops->name, error.text);
        for (int i = 0; i < n && i < CAP; i++, total++)
            printf("%-60s %s\n", entries[i].spec, entries[i].description);
    }
    free(entries);
    return EXIT_SUCCESS;
}

/* Everything that can be said without listening: keys and values, model, sources, sockets, what
 * computes. */
static int check(struct daemon *d, struct error *error)
{
    const char *names[CONFIG_MAX_STREAMS];
    struct backend_choice choice;
    char dir[512];
    int r = config_ipc_dir(&d->config, dir, sizeof dir, error);
    for (int i = 0; i < d->config.n_streams && r == 0; i++)
        r = feed_check(&d->config.streams[i], error);
    const struct publisher_config publisher = publisher_of(d, dir, names);
    if (r == 0)
        r = publisher_check(&publisher, error);
    if (r == 0)
        r = backend_choose(d->config.backend, config_precision(&d->config), &choice, error);
    if (r == 0)
        printf("configuration and model %s are good\nsockets in %s\n", model_info(d->model)->name,
               dir);
    return r;
}

/* before any thread starts, so that only the main loop takes them */
static void block_signals(struct daemon *d, sigset_t *ret)
{
    struct sigaction before;
    d->nohup = sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler == SIG_IGN;
    sigemptyset(ret);
    sigaddset(ret, SIGTERM);
    sigaddset(ret, SIGINT);
    sigaddset(ret, SIGHUP);
    pthread_sigmask(SIG_BLOCK, ret, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int run_with(struct daemon *d, const struct options *options)
{
    struct error error;
    sigset_t signals;
    bool only_check = options_value(options, "check") != NULL;
    int r = config_load(&d->config, d->config_path, d->options, d->n_options, &error);
    if (r == 0) {
        log_set_level(d->config.log_level);
        r = open_model(&d->model, &d->config, &error);
    }
    if (r == 0)
        r = feed_check_stdin(d->config.streams, d->config.n_streams, &error);
    if (r == 0 && only_check)
        r = check(d, &error);
    if (r < 0)
        log_line(LOG_LEVEL_ERROR, "%s", error.text);
    if (r < 0 || only_check) {
        model_close(d->model);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    }
    block_signals(d, &signals);
    int status = run(d, &signals);
    daemon_stop(d);
    return status;
}

int mode_run(int argc, char **argv)
{
    struct options options;
    int r = options_parse(&options, &run_usage, argc, argv);
    if (r != 0)
        return r < 0 ? EXIT_USAGE : EXIT_SUCCESS;
    if (options_value(&options, "list-sources") != NULL)
        return list_sources();
    struct daemon *d = calloc(1, sizeof *d);
    if (d == NULL)
        return EXIT_FAILURE;
    d->config_path = options_value(&options, "config");
    d->options = options.config;
    d->n_options = options.n_config;
    d->start_ns = monotonic_ns();
    pthread_mutex_init(&d->lock, NULL);
    if (console_wanted())
        log_set_hook(console_break);
    int status = run_with(d, &options);
    pthread_mutex_destroy(&d->lock);
    free(d);
    return status;
}
