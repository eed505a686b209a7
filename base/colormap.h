/* SPDX-License-Identifier: Apache-2.0
 * Colours for values: perceptually even, readable with every kind of colour vision, and in grey. */
#ifndef FOCALD_BASE_COLORMAP_H
#define FOCALD_BASE_COLORMAP_H

#include <stdint.h>

enum colormap { COLORMAP_MAGMA, COLORMAP_VIRIDIS };

/* v: 0 ... 1 (beyond: the ends; NaN: the lower) -> ret: red, green, blue of sRGB. */
void colormap_rgb(enum colormap map, float v, float ret[3]);

/* The byte order cairo calls RGB24. Components 0 ... 1. */
uint32_t colormap_pixel(const float rgb[3]);

#endif
