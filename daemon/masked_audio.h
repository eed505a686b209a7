/* SPDX-License-Identifier: Apache-2.0
 * The interpretation as a continuous sound (design §3). Each STFT frame of the stream leaves the
 * inverse STFT exactly once, with the mask of the newest window that holds it, `delay` frames
 * behind the window's end. What comes out is gap-free and on the timeline of the input, at the
 * input's level; where windows are too far apart to hold every frame, the position jumps and says
 * so. */
#ifndef FOCALD_DAEMON_MASKED_AUDIO_H
#define FOCALD_DAEMON_MASKED_AUDIO_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "daemon/window.h"
#include "dsp/stft.h"

struct masked_audio;

/* Of a delay in frames, as much as windows that are hop_frames apart leave room for: with a longer
 * one a window's frames would begin behind those of the window before it. */
int masked_audio_delay(int wanted_frames, size_t window_frames, int hop_frames);

/* delay_frames: 0 ... frames of a window - 2. */
int masked_audio_create(struct masked_audio **ret, const struct stft_shape *shape,
                        size_t window_samples, int delay_frames, struct error *error);
void masked_audio_destroy(struct masked_audio *audio); /* takes NULL */

/* Begins anew with the next window: nobody listened, or the timeline jumped. */
void masked_audio_reset(struct masked_audio *audio);

/* A new window, hop_frames behind the one before it when none is skipped, and its mask [T][F] of 0
 * or 1 (NULL: all zeros, silence). soft: [T][F] of 0 ... 1 is
 * taken instead where it is not NULL, and max is the magnitude of the window's largest sample
 * (spectrogram_soft_mask). All are read until the last masked_audio_next of the window. */
void masked_audio_begin(struct masked_audio *audio, const struct window *window, int hop_frames,
                        const uint8_t *mask, const float *soft, float max);

/* The next samples, at most cap: *ret_first is their position. Returns how many, 0 when the window
 * has no more to give. cap >= hop. */
size_t masked_audio_next(struct masked_audio *audio, float *ret, size_t cap, uint64_t *ret_first);

#endif
