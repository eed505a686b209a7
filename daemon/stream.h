/* SPDX-License-Identifier: Apache-2.0
 * The dsp thread's side of one source: ring → downmix, resample → history of samples and STFT
 * frames → a window every hop, posted to the mailbox of the inference thread. What was lost moves
 * the timeline on; it never shifts it. */
#ifndef FOCALD_DAEMON_STREAM_H
#define FOCALD_DAEMON_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "daemon/ring.h"
#include "daemon/window.h"
#include "dsp/resampler.h"
#include "dsp/stft.h"

struct stream;

struct stream_config {
    struct ring *ring; /* the stream is its only reader */
    struct stft_shape shape;
    int rate_hz;           /* of the network: 16000 */
    size_t window_samples; /* 80000 */
    enum resampler_quality quality;
    int64_t (*asleep_ns)(void); /* NULL: that of timeline.h */
    bool lossless;              /* the source waits for us (fast file, pipe): no window is skipped,
                                   and block times mean nothing */
};

int stream_create(struct stream **ret, const struct stream_config *config, struct error *error);
void stream_destroy(struct stream *stream); /* takes NULL */

/* Takes what the ring holds and posts the windows that are due, hop_frames apart. Returns the
 * number of windows posted, 0 when there was nothing to do, or a negative errno when audio of this
 * format cannot be taken (the blocks are dropped and counted as lost). Their time passes all the
 * same, so that windows may have been posted then, too. dsp thread. */
int stream_pump(struct stream *stream, int hop_frames, struct error *error);

/* Blocks were taken by the last pump: more may be there. dsp thread. */
bool stream_busy(const struct stream *stream);

/* The newest unread window, or NULL. Valid until the next take. Inference thread. */
const struct window *stream_take(struct stream *stream);

/* Any thread */
int64_t stream_posted_ns(const struct stream *stream); /* CLOCK_MONOTONIC of the newest; 0: none */
int64_t stream_heard_ns(const struct stream *stream);  /* likewise, of the newest block of audio */
bool stream_pending(const struct stream *stream);      /* a window waits for the inference thread */
bool stream_ended(const struct stream *stream);       /* the source's end came and all was posted */
uint64_t stream_skipped(const struct stream *stream); /* windows replaced unread */
uint64_t stream_missed(const struct stream *stream);  /* samples of the timeline that never came */

#endif
