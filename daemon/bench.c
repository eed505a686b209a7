/* SPDX-License-Identifier: Apache-2.0
 * `focald bench [network] [pipeline] [latency] [train]`: how fast this machine is, beside the
 * goals. */
#include "daemon/bench.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/bench_run.h"
#include "daemon/modes.h"
#include "daemon/open_model.h"
#include "daemon/options.h"

static const double goal_hop_ms = 3, goal_latency_ms = 15;

static const struct option_spec specs[] = {
    {"json", 'j', NULL, "one JSON object instead of the table", NULL, NULL},
    {"model", 'm', "DIR", "focalnet-base or another built-in geometry, or a model's directory",
     NULL, NULL},
    {"interpreter", 0, "NAME", "auto, modulation, attention or piq", "model", "interpreter"},
    {"backend", 0, "NAME", "auto (a GPU where there is one), cpu or cuda", "model", "backend"},
    {"precision", 0, "NAME", "of a GPU (`network` and `train`: each in turn)", "model",
     "precision"},
    {"threads", 't', "N", "threads of the network (all cores)", "model", "threads"},
    {"batch", 'b', "N",
     "windows run at once by `network` (1; on a GPU 1, 8, 32) and `train` (16), 1 to 64", NULL,
     NULL},
    {"checkpoint-activations", 0, NULL, "`train` as well with activations computed anew", NULL,
     NULL},
    {"hop", 0, "HOP", "of `pipeline` and `latency`: \"43 frames\", \"0.5 s\"", "analysis", "hop"},
    {"resampler", 0, "NAME", "of `pipeline` and `latency`: fast, medium, best", "audio",
     "resampler"},
    {"seconds", 's', "S", "how long each measures (network 10, pipeline 5, latency 30, train 20)",
     NULL, NULL},
    {"config", 'c', "FILE", "this configuration alone instead of the standard files", NULL, NULL},
    {0},
};

static const struct option_usage usage = {
    .synopsis = "focald bench [OPTION…] [network] [pipeline] [latency] [train]",
    .about = "Measures this machine; without a name, the first three in turn.",
    .options = specs,
    .more =
        "network    ms a window, GFLOP/s, the share of this machine's own sgemm (2048 x 2048 x "
        "2048,\n"
        "           same threads, same run) and resident memory. Default model: focalnet-base.\n"
        "           On a GPU in each precision, and the share of a large product in the same one.\n"
        "pipeline   everything but the network for a hop of 48 kHz stereo: ring, downmix, "
        "resampling,\n"
        "           STFT, log-spectrogram, resizing, map, quantile, mask, masked inverse STFT.\n"
        "latency    from the last sample of a window leaving the callback to its label reaching a\n"
        "           subscriber, without the network's time, at the pace of a sound card.\n"
        "           Default model of both: the one that came with focald.\n"
        "train      clips a second of focalnet-tiny learning from scratch (forward, backward, "
        "Adam),\n"
        "           the share of sgemm, and the peak of memory. On a GPU as `network`.\n\n"
        "Goals: network 80 % of sgemm with focalnet-base at batch 1, and its memory at most the\n"
        "weights + 120 MB; pipeline 3 ms a hop (median); latency 15 ms (99th percentile); train\n"
        "60 % of sgemm at batch 16, and at most 1.3 x (4 x weights + stored activations).\n"
        "Other work on the machine spoils the numbers.\n\n"
        "Exit status: 0 (goals missed or not), 1 when a measurement failed, 2 for a wrong option.",
    .operands = true,
};

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double nearest_rank(const double *sorted, int n, double q)
{
    int rank = (int)(q * n + 0.999999) - 1;
    return sorted[rank < 0 ? 0 : rank < n ? rank : n - 1];
}

struct bench_spread bench_spread(double *ms, int n)
{
    qsort(ms, (size_t)n, sizeof *ms, ascending);
    return (struct bench_spread){nearest_rank(ms, n, 0.5), nearest_rank(ms, n, 0.99), ms[n - 1]};
}

enum resampler_quality bench_quality(const struct config *config)
{
    if (strcmp(config->resampler, "best") == 0)
        return RESAMPLER_BEST;
    return strcmp(config->resampler, "medium") == 0 ? RESAMPLER_MEDIUM : RESAMPLER_FAST;
}

/* Printing */

void bench_row(const char *name, const char *goal, bool met, const char *format, ...)
{
    char value[128];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof value, format, args);
    va_end(args);
    if (goal == NULL)
        printf("  %-30s %s\n", name, value);
    else
        printf("  %-30s %-34s goal %-18s %s\n", name, value, goal, met ? "met" : "MISSED");
}

static json_t *spread_json(const struct bench_spread *s)
{
    return json_pack("{s:f, s:f, s:f}", "p50", s->p50, "p99", s->p99, "max", s->max);
}

static void spread_row(const char *name, const struct bench_spread *s, const char *goal, bool met)
{
    bench_row(name, goal, met, "%.2f ms   p99 %.2f   max %.2f", s->p50, s->p99, s->max);
}

/* The model of pipeline and latency, opened once. */
static int open_once(struct bench_run *b, struct error *error)
{
    if (b->opened != NULL)
        return 0;
    if (b->model != NULL)
        snprintf(b->config.model_dir, sizeof b->config.model_dir, "%s", b->model);
    return open_model(&b->opened, &b->config, error);
}

static int run_pipeline(struct bench_run *b, struct error *error)
{
    struct pipeline_bench_result p;
    int r = open_once(b, error);
    if (r == 0)
        r = pipeline_bench(b->opened, &b->config, b->seconds > 0 ? b->seconds : 5, &p, error);
    if (r < 0)
        return r;
    const char *model = model_info(b->opened)->name;
    if (b->json != NULL) {
        json_t *o =
            json_pack("{s:s, s:s, s:i, s:f, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "model",
                      model, "resampler", b->config.resampler, "hops", p.hops, "hop_s", p.hop_s,
                      "rate_hz", p.rate_hz, "channels", p.channels, "ingest_ms",
                      spread_json(&p.ingest), "before_ms", spread_json(&p.before), "after_ms",
                      spread_json(&p.after), "audio_ms", spread_json(&p.audio), "total_ms",
                      spread_json(&p.total), "cpu_ms", spread_json(&p.cpu));
        return json_object_set_new(b->json, "pipeline", o);
    }
    printf("pipeline: a hop of %.3f s, %d Hz, %d channels, resampler %s, %d hops\n", p.hop_s,
           p.rate_hz, p.channels, b->config.resampler, p.hops);
    spread_row("ring to window", &p.ingest, NULL, true);
    spread_row("window to network", &p.before, NULL, true);
    spread_row("map to mask", &p.after, NULL, true);
    spread_row("masked inverse STFT", &p.audio, NULL, true);
    spread_row("all but the network", &p.total, "3 ms", p.total.p50 <= goal_hop_ms);
    spread_row("of it on the processor", &p.cpu, NULL, true);
    printf("\n");
    return 0;
}

static int run_latency(struct bench_run *b, struct error *error)
{
    struct latency_bench_result l;
    double seconds = b->seconds > 0 ? b->seconds : 30;
    int r = open_once(b, error);
    if (r == 0 && b->json == NULL && isatty(STDERR_FILENO))
        fprintf(stderr, "latency: listening for %.0f s …\r", seconds + 5);
    if (r == 0)
        r = latency_bench(b->opened, &b->config, seconds, &l, error);
    if (r < 0)
        return r;
    const char *model = model_info(b->opened)->name;
    if (b->json != NULL) {
        json_t *o = json_pack("{s:s, s:s, s:i, s:i, s:I, s:f, s:o, s:o, s:o}", "model", model,
                              "resampler", b->config.resampler, "threads", l.threads, "labels",
                              l.labels, "skipped", (json_int_t)l.skipped, "hop_s", l.hop_s,
                              "total_ms", spread_json(&l.total), "network_ms",
                              spread_json(&l.network), "overhead_ms", spread_json(&l.overhead));
        return json_object_set_new(b->json, "latency", o);
    }
    printf("latency: model %s, %d thread%s, a hop of %.3f s, %d labels\n", model, l.threads,
           l.threads == 1 ? "" : "s", l.hop_s, l.labels);
    spread_row("last sample to subscriber", &l.total, NULL, true);
    spread_row("of it the network", &l.network, NULL, true);
    spread_row("without the network", &l.overhead, "p99 15 ms", l.overhead.p99 <= goal_latency_ms);
    bench_row("windows skipped", NULL, true, "%llu\n", (unsigned long long)l.skipped);
    return 0;
}

/* The mode */

static const struct {
    const char *name;
    int (*run)(struct bench_run *b, struct error *error);
    bool asked; /* only when named */
} parts[] = {{"network", bench_run_network, false},
             {"pipeline", run_pipeline, false},
             {"latency", run_latency, false},
             {"train", bench_run_train, true}};

enum { N_PARTS = sizeof parts / sizeof parts[0] };

static bool wanted(const struct bench_run *b, int part)
{
    for (int i = 0; i < b->options.n_operands; i++)
        if (strcmp(b->options.operands[i], parts[part].name) == 0)
            return true;
    return b->options.n_operands == 0 && !parts[part].asked;
}

static int parse(struct bench_run *b, int argc, char **argv)
{
    int r = options_parse(&b->options, &usage, argc, argv);
    if (r != 0)
        return r;
    for (int i = 0; i < b->options.n_operands; i++) {
        bool known = false;
        for (int k = 0; k < N_PARTS; k++)
            known = known || strcmp(b->options.operands[i], parts[k].name) == 0;
        if (!known) {
            fprintf(stderr,
                    "focald: bench %s: allowed: network, pipeline, latency, train; see "
                    "--help\n",
                    b->options.operands[i]);
            return -EINVAL;
        }
    }
    b->model = options_value(&b->options, "model");
    if (options_integer(&b->options, "batch", 1, 64, &b->batch) < 0 ||
        options_number(&b->options, "seconds", 0.1, 3600, &b->seconds) < 0)
        return -EINVAL;
    if (options_value(&b->options, "json") != NULL)
        b->json = json_object();
    return 0;
}

/* What was printed is where it belongs. */
static int written(struct error *error)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return error_set(error, errno != 0 ? errno : EIO, "cannot write the results: %s",
                         strerror(errno != 0 ? errno : EIO));
    return 0;
}

int mode_bench(int argc, char **argv)
{
    struct error error = {""};
    struct bench_run *b = calloc(1, sizeof *b);
    if (b == NULL) {
        fprintf(stderr, "focald: out of memory\n");
        return EXIT_FAILURE;
    }
    int r = parse(b, argc, argv);
    if (r != 0) {
        free(b);
        return r < 0 ? EXIT_USAGE : EXIT_SUCCESS;
    }
    r = config_load(&b->config, options_value(&b->options, "config"), b->options.config,
                    b->options.n_config, &error);
    for (int i = 0; i < N_PARTS && r == 0; i++) {
        if (!wanted(b, i))
            continue;
        r = parts[i].run(b, &error);
        if (r == 0)
            r = written(&error);
    }
    if (r == 0 && b->json != NULL) {
        json_dumpf(b->json, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        printf("\n");
        r = written(&error);
    }
    if (r < 0)
        fprintf(stderr, "focald: %s\n", error.text[0] != '\0' ? error.text : "out of memory");
    model_close(b->opened);
    json_decref(b->json);
    free(b);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
