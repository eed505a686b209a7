/* SPDX-License-Identifier: Apache-2.0
 * Hiding parts of a log-spectrogram in training: bands of time and of frequency (SpecAugment, Park
 * et al. 2019), and coherent regions of the kind that the network's own maps mark, so that a
 * network has seen what masked spectrograms look like before its interpretations are measured on
 * them.
 *
 * T frames (rows, time), F bins (columns, frequency). What is hidden becomes 0, as in the paper's
 * mask * log-spectrogram. Nothing is allocated, kept or shared; any thread. */
#ifndef FOCALD_MODEL_TRAIN_MASKING_H
#define FOCALD_MODEL_TRAIN_MASKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "model/train/random.h"

enum { MASKING_MAX_GRID = 64 };

struct masking_region {
    int grid_rows, grid_cols; /* 2..MASKING_MAX_GRID: of the map that is imitated, 7 x 7 */
    double share;             /* of the cells that the region has, 0..1 */
    double roughness; /* 0: an ellipse; about 0.2: a ragged blob; 10: grid cells at random */
};

struct masking_settings {
    int time_bands, time_frames; /* so many bands of 0..time_frames frames */
    int frequency_bands, frequency_bins;
    double keep_probability;      /* all but a region is hidden */
    double remove_probability;    /* a region is hidden; with keep_probability at most 1 */
    double share_low, share_high; /* of the region */
    struct masking_region region; /* but for its share */
};

enum masking_done { MASKING_WHOLE, MASKING_KEPT, MASKING_REMOVED };

/* -EINVAL: which setting is wrong and what it may be. */
int masking_check(const struct masking_settings *settings, struct error *error);

/* One log-spectrogram [T][F] by the settings; the return value tells of its region. mask: [T][F],
 * holds the region afterwards (where there is one); scratch: [2][T][F], overwritten. */
enum masking_done masking_clip(const struct masking_settings *settings, struct random *random,
                               int frames, int bins, float *spectrogram, uint8_t *mask,
                               float *scratch);

/* The steps, each by itself */

/* Hides frames (or bins) begin..begin + count - 1. */
void masking_time(float *spectrogram, int frames, int bins, int begin, int count);
void masking_frequency(float *spectrogram, int frames, int bins, int begin, int count);

/* A random region, ret_mask: [T][F] of 0 and 1. On the grid,
 *   v = roughness normal - distance to a random centre (of 1 from end to end, stretched by chance
 *   by up to e one way and 1 / e the other),
 * resized bilinearly (half-pixel centres) to [T][F]; the region is v >= its quantile of 1 - share:
 * how interpret/mask.h makes masks of maps. As there, the corners beyond the outermost centres hold
 * one value, so the share is met to within a corner (0.5 % of the cells at 7 x 7).
 * scratch: [2][T][F], overwritten. Returns the region's cells. */
size_t masking_region(const struct masking_region *region, struct random *random, int frames,
                      int bins, uint8_t *ret_mask, float *scratch);

/* Hides the cells of the mask, or all others: n cells. For masks of the network's own maps too. */
void masking_apply(float *spectrogram, const uint8_t *mask, size_t n, bool keep);

#endif
