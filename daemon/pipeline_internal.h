/* SPDX-License-Identifier: Apache-2.0
 * What pipeline.c (its life, the dsp thread, what other threads ask) and pipeline_inference.c (the
 * inference thread) share. */
#ifndef FOCALD_DAEMON_PIPELINE_INTERNAL_H
#define FOCALD_DAEMON_PIPELINE_INTERNAL_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/analysis.h"
#include "daemon/engine.h"
#include "daemon/latency.h"
#include "daemon/pipeline.h"
#include "daemon/stream.h"

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

/* The inference thread: takes what is posted until p->stop is set. arg: struct pipeline. */
void *pipeline_inference(void *arg);

/* Passes on what the engine computes on and what troubles it. Inference thread, or before it. */
void pipeline_tell_engine(struct pipeline *p);

#endif
