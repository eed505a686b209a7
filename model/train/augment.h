/* SPDX-License-Identifier: Apache-2.0
 * Changing clips so that no two epochs hear the same: on waveforms, float32 at 16 kHz, after the
 * peak normalisation (before it a gain would be undone). All in place unless said otherwise; random
 * draws come from the caller's generator alone, in a fixed order. Nothing is allocated, kept or
 * shared; any thread.
 *
 * Source: SpeechBrain augment/time_domain.py (DropFreq, DropChunk) and processing/
 * signal_processing.py (notch_filter, convolve1d), with the settings of recipes/ESC50. */
#ifndef FOCALD_MODEL_TRAIN_AUGMENT_H
#define FOCALD_MODEL_TRAIN_AUGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "model/train/random.h"

enum { AUGMENT_TAPS = 101, AUGMENT_MAX_NOTCHES = 16, AUGMENT_EQUALIZER_POINTS = 6 };

struct augment_settings {
    /* drop-frequency and drop-chunk, both or neither, decided once a batch */
    double drop_probability;
    int notches_low, notches_high;        /* frequencies, 0..AUGMENT_MAX_NOTCHES */
    double frequency_low, frequency_high; /* of the Nyquist frequency, 0..1 */
    int chunks_low, chunks_high;          /* chunks of a clip */
    int chunk_samples_low, chunk_samples_high;
    /* the others, decided clip by clip */
    int shift_samples;   /* by up to this, either way; 0: none */
    bool shift_circular; /* what leaves at one end comes in at the other; else zeros do */
    double gain_db;      /* up to this, up or down; 0: none */
    double equalizer_db; /* the same, of each point of augment_equalizer's curve */
};

/* The paper's: the recipe's configuration, which has many short chunks. */
#define AUGMENT_PAPER                                                                              \
    ((struct augment_settings){.drop_probability = 0.75,                                           \
                               .notches_low = 1,                                                   \
                               .notches_high = 3,                                                  \
                               .frequency_low = 0,                                                 \
                               .frequency_high = 1,                                                \
                               .chunks_low = 1000,                                                 \
                               .chunks_high = 2000,                                                \
                               .chunk_samples_low = 1,                                             \
                               .chunk_samples_high = 5})

/* -EINVAL: which setting is wrong and what it may be. */
int augment_check(const struct augment_settings *settings, struct error *error);

/* What all clips of a batch share. */
struct augment_batch {
    bool drop;
    float filter[AUGMENT_TAPS]; /* where drop is true */
};

void augment_batch_draw(const struct augment_settings *settings, struct random *random,
                        struct augment_batch *ret);

/* One clip, x: [n], by the settings: shift, gain, notches, chunks. scratch: [n], overwritten. */
void augment_clip(const struct augment_settings *settings, const struct augment_batch *batch,
                  struct random *random, float *x, size_t n, float *scratch);

/* What another microphone or room might have made of a clip: factors of the spectrum's magnitudes,
 * F bins from 0 to the Nyquist frequency. Between points at the squares of 0, 1/5, 2/5 .. 1 of it,
 * each up to equalizer_db up or down, a line in decibels. Draws nothing and gives ones where
 * equalizer_db is 0. ret: [F] */
void augment_equalizer(const struct augment_settings *settings, struct random *random, int bins,
                       float *ret);

/* The steps, each by itself */

/* The filter that takes n frequencies f (fractions of the Nyquist frequency) out,
 * ret[AUGMENT_TAPS]: h_c[k] = sinc(3 c k) blackman[k], sum 1;  k = -50..50, sinc(x) = sin x / x
 *   notch = h_f + delta - h_{f + 0.1}; f >= 1e-12
 * beginning with a delta, each notch is applied to the filter so far as augment_filter does. The
 * window is periodic, so that a notch is not symmetric. (3 stands where one expects pi: a notch
 * lies 5 % lower than its name.) */
void augment_notches(const double *frequencies, int n, float *ret);
/* ret[i] = sum over k of x[i + k - 50] filter[k], zeros around x: [n]; in float32. ret: [n], apart
 * from x. */
void augment_filter(const float *x, size_t n, const float *filter, float *ret);
/* `chunks` stretches of low..high samples become zeros; each begins anywhere in 0..n - the longest.
 */
void augment_drop_chunks(struct random *random, int chunks, int low, int high, float *x, size_t n);

/* ret[i] = x[i - by]; beyond the ends zeros, or x again. ret: [n], apart from x. */
void augment_shift(const float *x, size_t n, int64_t by, bool circular, float *ret);
void augment_gain(float *x, size_t n, double db);
/* Adds noise, so loud that its power lies snr_db under that of x: [n]. noise: [noise_n], from
 * sample `offset` on and again from its beginning when it ends. False, x untouched, where one of
 * the two is silent or not finite. */
bool augment_background(float *x, size_t n, const float *noise, size_t noise_n, size_t offset,
                        double snr_db);
/* mixup (Zhang et al. 2018): x = weight x + (1 - weight) other. */
void augment_mix(float *x, const float *other, size_t n, float weight);

#endif
