/* SPDX-License-Identifier: Apache-2.0
 * One window, from spectrum to mask: what `run`, `classify` and `bench` share. Steps of design §3:
 * normalise, log1p, resize (before the network), map, quantile, mask (after it).
 *
 * T: frames, F: bins of a window. One thread at a time. */
#ifndef FOCALD_DAEMON_ANALYSIS_H
#define FOCALD_DAEMON_ANALYSIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "dsp/stft.h"
#include "model/model.h"

struct analysis;

/* The model's preprocess as an STFT shape. */
struct stft_shape analysis_shape(const struct model_info *info);

int analysis_create(struct analysis **ret, const struct model_info *info, struct error *error);
void analysis_destroy(struct analysis *analysis); /* takes NULL */

struct analysis_window {
    bool silence;    /* under the gate: no logspec, no plane was made */
    float max, peak; /* magnitude of the largest sample (the normaliser), largest magnitude */
    float rms;
    float *logspec; /* [T][F] */
};

/* samples: [window_samples], spectrum: [T][F][2] of them, not normalised; plane: the network's
 * input [image_rows][image_cols]. gate: linear; the window is silence when its peak is below, or
 * its maximum is 0: there is nothing to divide by. ret->logspec belongs to the analysis until the
 * next call. */
void analysis_before(struct analysis *analysis, const float *samples, const float *spectrum,
                     float gate, float *plane, struct analysis_window *ret);

struct analysis_mask {
    float threshold;
    float kept;          /* fraction of ones */
    const float *map;    /* [T][F], resized */
    const uint8_t *mask; /* [T][F] of 0 or 1 */
    const float *soft;   /* [T][F] 0 ... 1: PIQ's, which is the interpretation's mask, and `mask` is
                            where it is a half or more; NULL with another interpreter */
};

/* map: [rows][cols] of the model's last map. q is not asked with PIQ. What ret points to lives
 * until the next call, `soft` as long as map. */
void analysis_after(struct analysis *analysis, const float *map, float q,
                    struct analysis_mask *ret);

#endif
