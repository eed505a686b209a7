/* SPDX-License-Identifier: Apache-2.0
 * The history of a stream at the network's rate: samples and STFT frames, each computed once, when
 * its samples arrive. A window of it is the offline STFT of those samples, frame by frame: interior
 * frames are shared between windows, the first and last, which the reference pads with zeros, are
 * made anew for each. Windows therefore begin at whole frames of the stream (multiples of hop).
 *
 * Positions are sample numbers on the stream's timeline, from 0. One thread at a time. */
#ifndef FOCALD_DSP_SLIDING_H
#define FOCALD_DSP_SLIDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "dsp/stft.h"

struct sliding;

/* window_samples: 80000. The history holds at least two windows. */
int sliding_create(struct sliding **ret, const struct stft_shape *shape, size_t window_samples,
                   struct error *error);
void sliding_destroy(struct sliding *sliding); /* takes NULL */

/* Appends x: [n]; n may be anything from 0 to window_samples. No allocation. */
void sliding_push(struct sliding *sliding, const float *x, size_t n);

/* The timeline moves on by n samples that never came. Shorter than a window: they are zeros, and
 * the windows that hold them go on. Otherwise the history starts anew behind the gap. */
void sliding_skip(struct sliding *sliding, uint64_t n);

/* The end of the timeline: the number of the next sample. */
uint64_t sliding_end(const struct sliding *sliding);
/* The first sample from which on the history is continuous (0, or the end of the last long gap). */
uint64_t sliding_begin(const struct sliding *sliding);

/* True when [first, first + window_samples) is held whole; first is a multiple of hop. */
bool sliding_has(const struct sliding *sliding, uint64_t first);

/* Copies a window: samples: [window_samples], spectrum: [T][F][2]. False if not held. */
bool sliding_window(struct sliding *sliding, uint64_t first, float *samples, float *spectrum);

#endif
