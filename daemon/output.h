/* SPDX-License-Identifier: Apache-2.0
 * What one stream publishes of one window: scores, maps, mask, spectrogram, sound, events. Topics
 * that nobody subscribes to are not made. Inference thread. */
#ifndef FOCALD_DAEMON_OUTPUT_H
#define FOCALD_DAEMON_OUTPUT_H

#include <stdbool.h>

#include "base/error.h"
#include "daemon/analysis.h"
#include "daemon/config.h"
#include "daemon/window.h"
#include "ipc/publisher.h"
#include "model/model.h"

struct output;

struct output_config {
    struct publisher *publisher;
    struct outbox *outbox; /* of the inference thread */
    int stream;
    const struct model_info *info;
    int audio_delay_frames;
};

int output_create(struct output **ret, const struct output_config *config, struct error *error);
void output_destroy(struct output *output); /* takes NULL */

/* Before the first window: goes on where `before`, of another model with the same numbers before
 * the network, has ended: the sounds and the spectrogram without a gap, events by number. */
void output_follow(struct output *output, struct output *before);

/* The most bytes a message of this model needs: the payload capacity of the outbox. */
size_t output_payload_bytes(const struct model_info *info);

/* One window, analysed. */
struct output_window {
    const struct window *window;
    const struct analysis_window *before;
    const struct analysis_mask *after;  /* NULL in silence, or when output_wants_mask said no */
    const struct runner_result *result; /* NULL in silence */
    const struct config_live *live;
    uint64_t skipped;                           /* windows skipped since the one before */
    float ms_wait, ms_pre, ms_network, ms_post; /* see struct label_message */
};

/* True when somebody wants what the mask is for. */
bool output_wants_mask(const struct output *output);

/* Publishes the window. The label's header is also copied to *ret_label. */
void output_publish(struct output *output, const struct output_window *w,
                    struct label_message *ret_label);

/* Nothing more comes, or not for now: running events end at `position`. */
void output_end(struct output *output, uint64_t position, int64_t t_wall_ns);

#endif
