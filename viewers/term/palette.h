/* SPDX-License-Identifier: Apache-2.0
 * Colours for the spectrogram, in as many as a terminal has. The map is perceptually even (magma):
 * twice as loud looks twice as bright, with every kind of colour vision and in grey. What the
 * network did not listen to is shown greyish and dark, so that the rest glows. */
#ifndef FOCALD_VIEWERS_TERM_PALETTE_H
#define FOCALD_VIEWERS_TERM_PALETTE_H

#include <stdint.h>

enum { PALETTE_LEVELS = 64, PALETTE_GLOWS = 4 };

enum palette_kind { PALETTE_NONE, PALETTE_8, PALETTE_256, PALETTE_TRUE };

struct palette {
    enum palette_kind kind;
    /* colour numbers as ncurses takes them: 0 ... 7, 0 ... 255, or 0xRRGGBB; the last glow is the
     * plain map */
    int colour[PALETTE_GLOWS][PALETTE_LEVELS];
};

void palette_fill(struct palette *ret, enum palette_kind kind);

/* sRGB 0xRRGGBB of a level 0 ... 1 and a glow 0 ... 1. */
uint32_t palette_rgb(double level, double glow);
/* The one of xterm's colours 16 ... 255 that looks most like it: CIELAB distance, lightness
 * first. */
int palette_nearest_256(uint32_t rgb);
uint32_t palette_rgb_of_256(int colour);

#endif
