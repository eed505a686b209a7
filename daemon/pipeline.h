/* SPDX-License-Identifier: Apache-2.0
 * The two threads between the rings and the publisher (design §2):
 *
 *   dsp thread        polls the rings, downmixes, resamples, makes STFT frames, posts due windows
 *   inference thread  takes the newest window of every stream, runs them as one batch, publishes
 *
 * If inference is slower than the hop, windows are skipped (newest wins) and counted. */
#ifndef FOCALD_DAEMON_PIPELINE_H
#define FOCALD_DAEMON_PIPELINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "daemon/config.h"
#include "daemon/ring.h"
#include "dsp/resampler.h"
#include "ipc/publisher.h"
#include "model/model.h"

struct pipeline;

struct pipeline_stream {
    const char *name;  /* outlives it */
    struct ring *ring; /* the pipeline is its only reader; outlives it */
    bool lossless;     /* fast file or pipe: the source waits, no window is skipped */
};

struct pipeline_config {
    const struct model *model; /* outlives the pipeline, or its replacement */
    const char *backend;       /* see backends.h; outlives the pipeline */
    enum precision precision;
    enum depthwise depthwise;
    bool fallback; /* to the CPU when the GPU fails */
    int threads;
    struct publisher *publisher;    /* outlives the pipeline */
    const struct config_live *live; /* copied */
    double audio_delay_s;           /* < 0: one hop */
    enum resampler_quality quality;
    const struct pipeline_stream *streams; /* [n_streams] */
    int n_streams;
    double forget_s, retry_s; /* see engine.h; 0: ten minutes, one minute */
};

/* Makes everything the hot path needs; the threads start with pipeline_start. */
int pipeline_create(struct pipeline **ret, const struct pipeline_config *config,
                    struct error *error);
int pipeline_start(struct pipeline *pipeline, struct error *error);
/* Stops the threads after the window in work, ends the events that run, and frees. Takes NULL. */
void pipeline_destroy(struct pipeline *pipeline);

/* Main thread */

/* Takes another model from the next window on. -EINVAL for one that this pipeline, as it was made,
 * cannot take: other windows, larger maps or more classes; on a GPU it wants room beside the one
 * running. taken() is called, in this thread, between the old one's last message and the new one's
 * first: the time to tell the new labels. Returns when the old model is no longer used. */
int pipeline_set_model(struct pipeline *pipeline, const struct model *model,
                       void (*taken)(void *user), void *user, struct error *error);

/* Any thread */

/* What computes now, for health and logs: it changes when the GPU fails. */
struct pipeline_compute {
    const char *backend; /* "cpu", "cuda"; static */
    enum precision precision;
    int threads;
    char trouble[MESSAGE_PROBLEM_BYTES]; /* of the GPU, why the CPU stands in for it or nothing
                                            does; "" when all is well */
};

void pipeline_compute(struct pipeline *pipeline, struct pipeline_compute *ret);

/* Live parameters apply from the next window on. */
void pipeline_set_live(struct pipeline *pipeline, const struct config_live *live);
void pipeline_get_live(struct pipeline *pipeline, struct config_live *ret);

/* How far the masked audio lags behind a window's end. A long hop leaves less room for it. info: of
 * the model. */
double pipeline_audio_delay_s(struct pipeline *pipeline, const struct model_info *info);

struct pipeline_report {
    uint64_t windows; /* finished */
    uint64_t skipped; /* windows replaced by a newer one before their turn, or that failed */
    uint64_t missed;  /* samples of the timeline that never came */
    bool ended;       /* the source is at its end, and all of it is published */
    int64_t heard_ns; /* CLOCK_MONOTONIC when the newest block of audio was taken; 0: none was */
    float latency_ms_p50, latency_ms_p99, network_ms_p50; /* over the last minute */
    uint64_t position;                                    /* end of the newest finished window */
    int64_t t_wall_ns;                                    /* of position */
    struct label_message label;                           /* of the newest finished window */
    uint64_t gpu_failures;                                /* of the whole pipeline */
    bool failed; /* there is nothing to compute with: windows fail until there is */
    char problem[MESSAGE_PROBLEM_BYTES]; /* why blocks or windows fail, or windows are on the CPU
                                            instead of the GPU; "" when all is well */
};

void pipeline_report(struct pipeline *pipeline, int stream, struct pipeline_report *ret);

/* Windows finished in all streams, for the watchdog. */
uint64_t pipeline_windows(struct pipeline *pipeline);
/* Runs of the network: windows that came together are one. */
uint64_t pipeline_batches(struct pipeline *pipeline);
/* True when nothing waits to be done: rings empty, no window in work, and there is something to
 * compute with. A pipeline that is neither idle nor finishes windows is stuck. */
bool pipeline_idle(struct pipeline *pipeline);

#endif
