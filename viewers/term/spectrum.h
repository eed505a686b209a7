/* SPDX-License-Identifier: Apache-2.0
 * The last minute and a half of one stream as a picture: for each spectrogram frame the loudness of
 * frequency bands, and how much the network listened there. Frames are numbered on the stream's
 * timeline, so what was lost stays empty. */
#ifndef FOCALD_VIEWERS_TERM_SPECTRUM_H
#define FOCALD_VIEWERS_TERM_SPECTRUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SPECTRUM_FRAMES = 8192, SPECTRUM_BANDS = 128 };

struct spectrum {
    int64_t newest; /* the number of the newest frame; -1: none came */
    /* 0: nothing came; 1 ... 255: SPECTRUM_FLOOR_DB ... 0 dBFS. Ring by number % SPECTRUM_FRAMES */
    uint8_t level[SPECTRUM_FRAMES][SPECTRUM_BANDS];
    uint8_t glow[SPECTRUM_FRAMES][SPECTRUM_BANDS]; /* 0: not listened to ... 255 */
};

#define SPECTRUM_FLOOR_DB (-120.0)

void spectrum_clear(struct spectrum *s);

/* frames: f32 [rows][cols], log1p of magnitudes that were divided by peak; first_frame is the
 * number of the first row. Every value may be anything. */
void spectrum_add(struct spectrum *s, int64_t first_frame, const float *frames, size_t rows,
                  size_t cols, double peak);

/* map: f32 [rows][cols] over frames first_frame ... first_frame + n_frames - 1 and all frequencies;
 * its least value shines 0, its greatest 255. Newer maps replace older. */
void spectrum_shine_map(struct spectrum *s, int64_t first_frame, int64_t n_frames, const float *map,
                        size_t rows, size_t cols);
/* mask: u1 [rows][cols], one row a frame. */
void spectrum_shine_mask(struct spectrum *s, int64_t first_frame, const uint8_t *mask, size_t rows,
                         size_t cols);
void spectrum_forget_glow(struct spectrum *s);

/* A cell of the picture: frames [from, to), bands [low, high). ret_level: 0 when nothing came,
 * else 1 ... 255; ret_glow: the mean. */
void spectrum_cell(const struct spectrum *s, int64_t from, int64_t to, int low, int high,
                   uint8_t *ret_level, uint8_t *ret_glow);

/* The level that all but a fraction of what is in [from, to) stays below; 0 when nothing came. */
uint8_t spectrum_loudest(const struct spectrum *s, int64_t from, int64_t to, double fraction);

#endif
