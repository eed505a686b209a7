/* SPDX-License-Identifier: Apache-2.0
 * What `focald bench` measures beside the network (model/bench.h): the same code that runs live. */
#ifndef FOCALD_DAEMON_BENCH_H
#define FOCALD_DAEMON_BENCH_H

#include "base/error.h"
#include "daemon/config.h"
#include "dsp/resampler.h"
#include "model/model.h"

/* Milliseconds of the values measured. */
struct bench_spread {
    double p50, p99, max;
};

/* Sorts ms: [n], n >= 1. Percentiles by nearest rank. */
struct bench_spread bench_spread(double *ms, int n);

struct pipeline_bench_result {
    int hops;
    double hop_s;
    int rate_hz, channels;      /* of the input */
    struct bench_spread ingest; /* ring, downmix, resampling, STFT frames, window copied */
    struct bench_spread before; /* peak, log-spectrogram, resize */
    struct bench_spread after;  /* map resized, quantile, mask */
    struct bench_spread audio;  /* masked inverse STFT */
    struct bench_spread total;  /* the goal: p50 at most 3 ms */
    struct bench_spread cpu;    /* of it on the processor: less where others kept it busy */
};

/* Everything but the network, per hop of 48 kHz stereo, on one thread, for about `seconds`. */
int pipeline_bench(const struct model *model, const struct config *config, double seconds,
                   struct pipeline_bench_result *ret, struct error *error);

struct latency_bench_result {
    int labels;       /* measured */
    uint64_t skipped; /* windows that came while the network was busy */
    int threads;
    double hop_s;
    struct bench_spread total; /* last sample leaving the callback → label at the subscriber */
    struct bench_spread network;
    struct bench_spread overhead; /* total minus network, label by label; the goal: p99 <= 15 ms */
};

/* A whole pipeline, publisher and a libfocal subscriber in this process, fed with 48 kHz stereo at
 * the pace of a sound card, for about `seconds` of labels. */
int latency_bench(const struct model *model, const struct config *config, double seconds,
                  struct latency_bench_result *ret, struct error *error);

/* [audio] resampler by its name. */
enum resampler_quality bench_quality(const struct config *config);

#endif
