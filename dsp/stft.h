/* SPDX-License-Identifier: Apache-2.0
 * The short-time Fourier transform of the recipe, one frame at a time, and its inverse by streaming
 * overlap-add. Frame t is centred on sample hop*t and looks at the win_length samples
 * hop*t - win_length/2 ... hop*t + win_length/2 - 1, in a periodic Hamming window, zero-padded to
 * n_fft. (SpeechBrain recipes/ESC50, processing/features.py: STFT, ISTFT.)
 *
 * T: frames of a window, F: bins = n_fft/2 + 1.
 * Objects belong to one thread at a time. Plans are made in create and never after. */
#ifndef FOCALD_DSP_STFT_H
#define FOCALD_DSP_STFT_H

#include <stddef.h>

#include "base/error.h"

struct stft_shape {
    int n_fft;      /* 1024 */
    int win_length; /* 372 samples = 23.2199 ms at 16 kHz */
    int hop;        /* 186 samples = 11.6099 ms at 16 kHz */
};

/* F = n_fft/2 + 1. */
int stft_bins(const struct stft_shape *shape);
/* Frames of an n-sample signal, centred: floor(n / hop) + 1. */
size_t stft_frames(const struct stft_shape *shape, size_t n_samples);
/* 0, or -EINVAL with the reason: n_fft even and >= win_length >= hop >= 1, all within 1 << 16. */
int stft_shape_check(const struct stft_shape *shape, struct error *error);

struct stft;

int stft_create(struct stft **ret, const struct stft_shape *shape, struct error *error);
/* The same, planned by rule and not by timing: every run gives the same bits with no wisdom kept,
 * and takes a little longer. Where wisdom was loaded before, that decides. */
int stft_create_repeatable(struct stft **ret, const struct stft_shape *shape, struct error *error);
void stft_destroy(struct stft *stft); /* takes NULL */

/* One frame. x: [win_length] the samples under the window; ret: [F][2] re, im. */
void stft_frame(struct stft *stft, const float *x, float *ret);

/* Frame t of a signal that is zero outside x: [n]. ret: [F][2]. What the reference does at the
 * first and last frame of a window. */
void stft_frame_padded(struct stft *stft, const float *x, size_t n, size_t t, float *ret);

/* All stft_frames(n) frames. ret: [T][F][2]. */
void stft_signal(struct stft *stft, const float *x, size_t n, float *ret);

/* The window itself, [win_length], owned by stft. */
const float *stft_window(const struct stft *stft);

struct istft;

int istft_create(struct istft **ret, const struct stft_shape *shape, struct error *error);
void istft_destroy(struct istft *istft); /* takes NULL */
void istft_reset(struct istft *istft);   /* the next frame is the first again */

/* Takes frame t: [F][2], gives the hop samples [hop*(t-1), hop*t) that it completes: overlap-added
 * windowed frames divided by the overlap-added squared window. The hop samples of the first frame
 * after a reset lie before its centre; a caller that starts a signal drops them. Where the envelope
 * is under 1e-8 the sample is 0. ret: [hop]. Requires win_length <= 2 hop (checked in create). */
void istft_push(struct istft *istft, const float *spectrum, float *ret);

/* FFTW's wisdom, kept between runs: read before the first create, written after the last. A missing
 * or unreadable file is no error for load; save writes a temporary file and renames it.
 * Not thread-safe against create. Returns 0 or -errno. */
int stft_wisdom_load(const char *path);
int stft_wisdom_save(const char *path, struct error *error);

#endif
