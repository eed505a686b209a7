/* SPDX-License-Identifier: Apache-2.0 */
#include "base/colormap.h"

enum { STEPS = 10 };

/* Every tenth of matplotlib's magma and viridis (CC0), joined by straight lines. */
static const uint32_t points[][STEPS + 1] = {
    [COLORMAP_MAGMA] = {0x000004, 0x140e36, 0x3b0f70, 0x641a80, 0x8c2981, 0xb73779, 0xde4968,
                        0xf7705c, 0xfe9f6d, 0xfecf92, 0xfcfdbf},
    [COLORMAP_VIRIDIS] = {0x440154, 0x482475, 0x414487, 0x355f8d, 0x2a788e, 0x21918c, 0x22a884,
                          0x44bf70, 0x7ad151, 0xbddf26, 0xfde725},
};

void colormap_rgb(enum colormap map, float v, float ret[3])
{
    float at = v > 0 ? (v < 1 ? v : 1) * STEPS : 0;
    int i = at < STEPS ? (int)at : STEPS - 1;
    float part = at - (float)i;
    for (int c = 0; c < 3; c++) {
        int shift = 16 - 8 * c;
        float a = (float)(points[map][i] >> shift & 0xff);
        float b = (float)(points[map][i + 1] >> shift & 0xff);
        ret[c] = (a + (b - a) * part) / 255;
    }
}

uint32_t colormap_pixel(const float rgb[3])
{
    uint32_t pixel = 0;
    for (int c = 0; c < 3; c++)
        pixel = pixel << 8 | (uint32_t)(rgb[c] * 255 + 0.5f);
    return pixel;
}
