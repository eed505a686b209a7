/* SPDX-License-Identifier: Apache-2.0
 * A pipeline as `run` has it: the tests' model, a publisher in a directory of its own, rings that
 * the test writes, and one who listens. FOCALD_SOURCE: the source. */
#ifndef FOCALD_TESTS_DAEMON_LIVE_PIPELINE_H
#define FOCALD_TESTS_DAEMON_LIVE_PIPELINE_H

#include "daemon/pipeline.h"
#include "ipc/libfocal/focal.h"

enum { LIVE_STREAMS = 2 };

struct live_pipeline {
    char dir[64];
    int n_streams;
    struct model *model;
    struct publisher *publisher;
    struct ring *rings[LIVE_STREAMS];
    struct pipeline *pipeline;
    struct focal *focal;
};

/* Windows of 5 s each 43 frames. */
extern const struct config_live live_parameters;

/* config: what the test chooses: backend, streams (names and whether they are lossless; their rings
 * are made here), live parameters, a model (NULL: the tests'). The listener subscribes to topics
 * that begin so, `last` among them, and is known to the publisher when this returns. */
void live_start(struct live_pipeline *ret, const struct pipeline_config *config, const char *topics,
                enum topic last);
void live_stop(struct live_pipeline *live);

#endif
