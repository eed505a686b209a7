/* SPDX-License-Identifier: Apache-2.0
 * What one thread of an evaluation needs to make the network's inputs: from a file to its plane,
 * and from a map to the planes of what its mask keeps and of what it leaves.
 *
 * T: frames of a window, F: bins; R, C: rows and columns of the network's image. */
#ifndef FOCALD_DAEMON_EVAL_WINDOW_H
#define FOCALD_DAEMON_EVAL_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "daemon/analysis.h"
#include "model/model.h"

struct eval_maker;

/* How clips of other rates come to the model's: as the published code does it, which the published
 * figures are of, or by one of resampler.h's, which the daemon and classify use. They differ near
 * the new half rate, and labels may. */
enum eval_resampler {
    EVAL_RESAMPLER_PAPER, /* sinc_resample.h */
    EVAL_RESAMPLER_FAST,
    EVAL_RESAMPLER_MEDIUM,
    EVAL_RESAMPLER_BEST
};
const char *eval_resampler_name(enum eval_resampler resampler);
/* 0, or -EINVAL naming what is allowed. */
int eval_resampler_parse(const char *name, enum eval_resampler *ret, struct error *error);

int eval_maker_create(struct eval_maker **ret, const struct model_info *info,
                      enum eval_resampler resampler, struct error *error);
void eval_maker_destroy(struct eval_maker *maker); /* takes NULL */

/* T * F and R * C. */
size_t eval_window_cells(const struct model_info *info);
size_t eval_plane_cells(const struct model_info *info);

/* A file as the published code prepares it: its own samples, resampled, zeros
 * behind a clip that is too short, the rest of one that is too long left out. ret:
 * [window_samples]. *ret_bad: bad samples (dsp/sample.h). Errors name the file. */
int eval_read_samples(struct eval_maker *maker, const char *path, float *ret, uint64_t *ret_bad,
                      struct error *error);

/* samples: [window_samples] -> logspec: [T][F], plane: [R][C]. Returns false, both untouched, for a
 * clip without a positive sample: there is nothing to normalise it by, and no network is asked. */
bool eval_window_before(struct eval_maker *maker, const float *samples, float *logspec,
                        float *plane);

/* The two above. *ret_silent: the clip has no positive sample. */
int eval_window_load(struct eval_maker *maker, const char *path, float *logspec, float *plane,
                     bool *ret_silent, uint64_t *ret_bad, struct error *error);

struct eval_mask {
    double kept; /* mean of the mask */
    bool empty;  /* the mask keeps nothing: it has neither of these */
    double sparseness, complexity;
};

/* map: the model's last. -> plane_in: [R][C] of mask * logspec, plane_out: of (1 - mask) * logspec,
 * resized anew. */
void eval_window_after(struct eval_maker *maker, const float *map, float quantile,
                       const float *logspec, float *plane_in, float *plane_out,
                       struct eval_mask *ret);

/* The mask itself, 0 ... 1, [T][F], and the map resized: until the maker's next call. */
void eval_window_mask(struct eval_maker *maker, const float *map, float quantile,
                      const float **ret_mask, struct analysis_mask *ret);

/* The spectrum of the last eval_window_before, not normalised: [T][F][2]. */
float *eval_window_spectrum(struct eval_maker *maker);

#endif
