/* SPDX-License-Identifier: Apache-2.0
 * Everything of a pipeline that depends on the model, changed as a whole, and what becomes of it
 * when the GPU fails:
 *
 *   the GPU's backend is torn down and made anew, once, and the windows run again;
 *   where that does not help, the CPU goes on, if the configuration lets it;
 *   else there is no runner, windows fail and say why, and it is tried again every so often.
 *
 * Ten minutes without a failure, and it may be made anew once more. Inference thread, but for
 * create and destroy. */
#ifndef FOCALD_DAEMON_ENGINE_H
#define FOCALD_DAEMON_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "daemon/analysis.h"
#include "daemon/output.h"
#include "model/model.h"

struct engine_config {
    const char *backend; /* see backends.h; outlives the engine, as the rest */
    enum precision precision;
    enum depthwise depthwise;
    bool fallback; /* to the CPU */
    int threads, n_streams;
    double forget_s; /* after how long without a failure one may be mended again */
    double retry_s;  /* how often it is tried where nothing helped */
    struct publisher *publisher;
    struct outbox *outbox;
    int audio_delay_frames;
};

struct engine {
    struct engine_config config;
    const struct model *model;
    const struct model_info *info;
    struct runner *runner;         /* NULL: failed, see engine_ready */
    struct analysis **analyses;    /* [n_streams] */
    struct output **outputs;       /* [n_streams] */
    struct runner_result *results; /* [n_streams] */

    int64_t failed_ns; /* CLOCK_MONOTONIC of the last failure of the GPU; 0: none */
    uint64_t failures; /* of the GPU */
    /* What is to be told while it lasts: on the CPU instead of the GPU, or no runner; "" else. */
    char trouble[MESSAGE_PROBLEM_BYTES];
};

/* Backend auto whose GPU cannot be opened begins on the CPU, with that as its trouble. */
int engine_create(struct engine **ret, const struct engine_config *config,
                  const struct model *model, struct error *error);
void engine_destroy(struct engine *engine); /* takes NULL */

/* Before its first window: another model mends no GPU, and what troubled the engine before this one
 * troubles it as well where it is on the CPU. */
void engine_follow(struct engine *engine, const struct engine *before);

/* Before windows are prepared. Negative, with the trouble as the error: there is no runner, and it
 * is not time to try again or it did not help. */
int engine_ready(struct engine *engine, struct error *error);

/* After a run failed with `why`. True: there is a runner anew, the windows can be prepared and run
 * again. False: it failed on the CPU, or nothing helped. */
bool engine_mend(struct engine *engine, const struct error *why);

#endif
