/* SPDX-License-Identifier: Apache-2.0
 * A whole sound file, decoded to mono at the network's rate. */
#ifndef FOCALD_DAEMON_CLIP_H
#define FOCALD_DAEMON_CLIP_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "dsp/resampler.h"

/* Longer recordings are for `focald run --source file:PATH`, which keeps no more than it needs. */
enum { CLIP_MAX_S = 6 * 3600 };

struct clip {
    float *samples; /* [n] */
    size_t n;
    int rate_hz; /* of samples */
    int file_rate_hz, file_channels;
    uint64_t file_frames;
    uint64_t bad; /* values of the file that were (dsp/sample.h) and were taken as 0 */
};

/* Reads any format libsndfile knows, any rate and channel count, mixed down and resampled to
 * rate_hz, or left at the file's own rate with rate_hz 0. Errors name the file: -ENOENT and other
 * errno of open, -EINVAL (not a sound file, damaged, no frames, an impossible rate), -EFBIG,
 * -ENOMEM. */
int clip_read(struct clip *ret, const char *path, int rate_hz, enum resampler_quality quality,
              struct error *error);
void clip_finish(struct clip *clip); /* also of a zeroed struct */

#endif
