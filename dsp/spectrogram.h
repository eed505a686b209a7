/* SPDX-License-Identifier: Apache-2.0
 * From spectra to what the network sees, and back to what people hear. */
#ifndef FOCALD_DSP_SPECTROGRAM_H
#define FOCALD_DSP_SPECTROGRAM_H

#include <stddef.h>
#include <stdint.h>

/* log1p(sqrt(scale^2 * (re^2 + im^2) + 1e-14)), for n cells. spectrum: [n][2], ret: [n].
 * An infinite magnitude counts as the largest finite one; NaN stays NaN.
 * scale: signal_scale of the window's samples. (SpeechBrain spectral_magnitude, power 0.5;
 * interpret_amt.py preprocess.) */
void spectrogram_log(const float *spectrum, size_t n, float scale, float *ret);

/* expm1(mask * logspec) with the phase of spectrum: [n][2]. mask: [n] of 0 or 1. ret: [n][2].
 * (interpret_amt.py overlap_test.) */
void spectrogram_interpret(const float *logspec, const uint8_t *mask, const float *spectrum,
                           size_t n, float *ret);

/* spectrum where mask is 1, 0 elsewhere: the interpretation at the level of the input, which is
 * what spectrogram_interpret gives before the peak normalisation. May work in place. [n][2] */
void spectrogram_mask(const float *spectrum, const uint8_t *mask, size_t n, float *ret);

/* The same for a mask between 0 and 1, by the definition: log1p(scale * |X|) is what it multiplies.
 * scale: as for spectrogram_log, > 0. May work in place. mask: [n]; where it is NaN nothing is
 * left. */
void spectrogram_soft_mask(const float *spectrum, const float *mask, size_t n, float scale,
                           float *ret);

/* The largest of x: [n] and the largest of |x|; NaN and infinity count in *ret_bad and nowhere
 * else. n = 0 gives 0, 0. */
void signal_peak(const float *x, size_t n, float *ret_max, float *ret_abs_max, size_t *ret_bad);

/* What the recipe's division by a signal's maximum is to the magnitudes of its spectrum: 1 / |max|,
 * since a maximum below zero turns the signal over. 0 where there is nothing to divide by. */
float signal_scale(float max);

/* The vector extension the loops above run with: "avx512", "avx2" or "generic". */
const char *spectrogram_simd(void);

/* The same loops, compiled for one extension; for tests and timing. */
struct spectrogram_ops {
    const char *name;
    void (*log)(const float *spectrum, size_t n, float scale, float *ret);
    void (*mask)(const float *spectrum, const uint8_t *mask, size_t n, float *ret);
    /* n >= 1; the maximum of nothing finite is -infinity */
    void (*peak)(const float *x, size_t n, float *ret_max, float *ret_abs_max, size_t *ret_bad);
};

/* Those that this processor can run, the plainest first; NULL beyond. */
const struct spectrogram_ops *spectrogram_ops_at(size_t i);

#endif
