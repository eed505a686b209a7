/* SPDX-License-Identifier: Apache-2.0
 * What training makes small. N rows of a batch; C classes; D values of a row.
 *
 * Every function gives a mean over the batch and writes (does not add) its gradient. Sums are in
 * double, in the order of the rows. Nothing is allocated, kept or shared. Where an input is NaN or
 * infinite the loss and that row's gradient are NaN, so that nothing broken passes unseen. */
#ifndef FOCALD_MODEL_TRAIN_LOSS_H
#define FOCALD_MODEL_TRAIN_LOSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum loss_kind {
    LOSS_AM,  /* additive margin softmax: Wang et al. 2018, eq. 6 */
    LOSS_AAM, /* additive angular margin softmax: Deng et al. 2019, eq. 3 */
    LOSS_CE,  /* plain cross-entropy of the cosines, as the published recipe trains */
};

const char *loss_name(enum loss_kind kind); /* "am", "aam", "ce" */
/* false, *ret untouched, for any other name. */
bool loss_by_name(const char *name, enum loss_kind *ret);

struct loss_options {
    enum loss_kind kind;
    bool easy_margin;     /* LOSS_AAM: the margin only where the cosine is positive */
    double margin, scale; /* not of LOSS_CE */
    double smoothing;     /* this part of every target is spread evenly over all classes; 0: none */
};

#define LOSS_PAPER ((struct loss_options){.kind = LOSS_AM, .margin = 0.2, .scale = 30})

/* What a row holds: label_a with weight_a and, of two clips mixed, label_b with the rest. Of one
 * clip: {label, label, 1}. */
struct loss_target {
    int32_t label_a, label_b; /* 0..C-1 */
    float weight_a;           /* 0..1 */
};

/* cosines: [N][C] -> *ret_loss, ret_grad: [N][C] = d loss / d cosines, ret_rows: [N] the loss of
 * each row, by which a bad one can be named, or NULL.
 *
 *   of one label y:  z = logits(cosines, y),  t = (1 - s) onehot(y) + s / C,
 *                    loss = - sum_k t_k log softmax(z)_k,
 *   of a row:        weight_a loss(label_a) + (1 - weight_a) loss(label_b),
 *
 *   am:  z_k = scale (cos_k - margin [k = y])
 *   aam: c = clamp(cos, -1 + 1e-7, 1 - 1e-7), z_k = scale (k = y ? phi(c_k) : c_k),
 *        phi = cos(acos(c) + margin) where c > cos(pi - margin) (easy: where c > 0),
 *        and elsewhere c - margin sin(pi - margin) (easy: c); a clamped cosine has no gradient
 *   ce:  z = cos
 *
 * (SpeechBrain nnet/losses.py: AdditiveMargin, AdditiveAngularMargin, LogSoftmaxWrapper.)
 * -EINVAL with nothing written: a label that is no class, a weight outside 0..1; the row is named.
 */
int loss_classes(const struct loss_options *options, const float *cosines,
                 const struct loss_target *targets, int n, int classes, double *ret_loss,
                 float *ret_grad, double *ret_rows, struct error *error);

/* A student's copy of what a teacher says. x, target: [N][D] -> the loss, grad: [N][D] = d loss / d
 * x; ret_grad may be x. */

/* mean (x - target)^2, over all N * D. Here ret_grad may be NULL. */
double loss_squares(const float *x, const float *target, int n, int width, float *ret_grad);
/* mean over rows of 1 - x.target / (|x| |target|), lengths taken as 1e-12 at least; a target of
 * zeros costs 1 and pulls nowhere. */
double loss_cosine(const float *x, const float *target, int n, int width, float *ret_grad);
/* x: logits; target: probabilities. mean of -t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)), over
 * all N * D. Where target is not in 0..1 the loss is NaN. */
double loss_binary(const float *x, const float *target, int n, int width, float *ret_grad);

/* The cells of a log-spectrogram that PIQ's mask is to keep: 1 where x > threshold * its largest.
 * x, ret: [n] */
void loss_marks(const float *x, size_t n, float threshold, uint8_t *ret);
/* PIQ's mask, 0..1, and the cells it is to mark, 0 or 1: mean of -t log(m + 1e-10) - (1 - t)
 * log(1 - m + 1e-10), over all N * D (SpeechBrain recipes/ESC50/interpret/train_piq.py). ret_grad:
 * may be NULL. */
double loss_mask(const float *mask, const uint8_t *marks, int n, int width, float *ret_grad);

#endif
