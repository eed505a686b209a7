/* SPDX-License-Identifier: Apache-2.0
 * How well an interpretation explains a prediction: the figures of the paper (FID-I, FA: its
 * equations 6 and 7) and those that came after it. All are per clip; what is reported is their mean
 * over clips.
 *
 * p: [n] the prediction on the clip, p_in: [n] on mask * spectrogram, p_out: [n] on (1 - mask) *
 * spectrogram, each a softmax of the unscaled cosines; c = argmax p.
 *
 * Sources: SpeechBrain recipes/ESC50/interpret/interpreter_brain.py (compute_fidelity,
 * compute_faithfulness, compute_AI, compute_AD, compute_AG, compute_sparseness,
 * compute_complexity), which are the figures of L-MAC (Paissan et al. 2024); quantus
 * metrics/complexity/sparseness.py (Chalasani et al. 2020) and complexity.py (Bhatt et al. 2020).
 */
#ifndef FOCALD_MODEL_INTERPRET_METRICS_H
#define FOCALD_MODEL_INTERPRET_METRICS_H

#include <stdbool.h>
#include <stddef.h>

/* The first of the largest. n >= 1. */
int metrics_argmax(const float *p, int n);

/* Paper eq. 6: 1 where argmax p_in = c, else 0. */
double metrics_fidelity(const float *p, const float *p_in, int n);
/* Paper eq. 7, and L-MAC's FF: p_c - p_out_c. */
double metrics_faithfulness(const float *p, const float *p_out, int n);
/* AI, average increase: 100 where p_c < p_in_c, else 0. Per cent. */
double metrics_increase(const float *p, const float *p_in, int n);
/* AD, average drop: 100 max(0, p_c - p_in_c) / (p_c + 1e-10). Per cent. */
double metrics_drop(const float *p, const float *p_in, int n);
/* AD as SpeechBrain prints it: both probability vectors go through a softmax once more. */
double metrics_drop_double_softmax(const float *p, const float *p_in, int n);
/* AG, average gain: 100 max(0, p_in_c - p_c) / (1 - p_c + 1e-10). Per cent. */
double metrics_gain(const float *p, const float *p_in, int n);

/* SPS: the Gini index of a / max a + 1e-7; 0 where all is equal, near 1 where all is in one cell.
 * COMP: the entropy of a / sum a in nats; ln n where all is equal. a: [n], none negative or NaN; of
 * our interpretations the mask, as in SpeechBrain. scratch: [2 n], overwritten. Both return false,
 * *ret untouched, for a mask that keeps nothing, which SpeechBrain leaves out. */
bool metrics_sparseness(const float *a, size_t n, float *scratch, double *ret);
bool metrics_complexity(const float *a, size_t n, double *ret);

/* Spearman's rank correlation of x: [n] and y: [n], equal values sharing the mean of their ranks.
 * Returns false, *ret untouched, where either is constant or has NaN. Allocates; false as well when
 * there is no memory. */
bool metrics_rank_correlation(const float *x, const float *y, size_t n, double *ret);

/* The mean in the order given; 0 of none. */
double metrics_mean(const double *x, size_t n);
/* As torch.median: the lower of the two in the middle. Sorts x; 0 of none. */
double metrics_lower_median(double *x, size_t n);

#endif
