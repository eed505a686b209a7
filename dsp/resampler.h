/* SPDX-License-Identifier: Apache-2.0
 * From any rate and channel count to mono at another rate, streaming, by libsamplerate. The
 * filter's latency is compensated to the sample: output n is the input at time n / out_rate after
 * its first frame. */
#ifndef FOCALD_DSP_RESAMPLER_H
#define FOCALD_DSP_RESAMPLER_H

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

enum resampler_quality { RESAMPLER_FAST, RESAMPLER_MEDIUM, RESAMPLER_BEST };

struct resampler;

enum { RESAMPLER_MIN_HZ = 1000, RESAMPLER_MAX_HZ = 768000, RESAMPLER_MAX_CHANNELS = 64 };

/* in_rate_hz and channels within these limits, ratio within libsamplerate's 1/256 ... 256.
 * Equal rates only downmix. max_frames is the most a push will bring. */
int resampler_create(struct resampler **ret, int in_rate_hz, int channels, int out_rate_hz,
                     enum resampler_quality quality, size_t max_frames, struct error *error);
void resampler_destroy(struct resampler *resampler); /* takes NULL */

/* The most samples one push or flush can give. */
size_t resampler_out_max(const struct resampler *resampler);

/* Consumes all frames. in: [frames][channels] interleaved, mixed down as the mean of the channels;
 * bad ones (sample.h) are taken as 0. ret: room for resampler_out_max() samples. Returns how many
 * were written, or a negative errno. No allocation. */
ssize_t resampler_push(struct resampler *resampler, const float *in, size_t frames, float *ret);

/* The end of a signal: gives what is still in the filter, so that in all
 * round(frames * out_rate / in_rate) samples have come, and starts anew. */
ssize_t resampler_flush(struct resampler *resampler, float *ret);

/* Forgets the past (a gap in the input). */
void resampler_reset(struct resampler *resampler);

/* Samples of output that a push holds back for the filter's look-ahead, at the output rate. */
size_t resampler_delay(const struct resampler *resampler);

#endif
