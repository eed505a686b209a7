/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/term/palette.h"

#include <math.h>

#include "base/colormap.h"

static double channel(uint32_t rgb, int c)
{
    return (rgb >> (16 - 8 * c) & 0xff) / 255.0;
}

uint32_t palette_rgb(double level, double glow)
{
    float rgb[3];
    double luma = 0;
    static const double weight[3] = {0.2126, 0.7152, 0.0722}, cold[3] = {0.55, 0.68, 0.85};
    colormap_rgb(COLORMAP_MAGMA, (float)level, rgb);
    for (int c = 0; c < 3; c++)
        luma += weight[c] * (double)rgb[c];
    uint32_t pixel = 0;
    for (int c = 0; c < 3; c++) {
        double v = (double)rgb[c] * glow + 0.6 * luma * cold[c] * (1 - glow);
        pixel = pixel << 8 | (uint32_t)lrint(fmin(v, 1) * 255);
    }
    return pixel;
}

uint32_t palette_rgb_of_256(int colour)
{
    static const uint32_t cube[6] = {0, 95, 135, 175, 215, 255};
    if (colour >= 232)
        return (uint32_t)(8 + 10 * (colour - 232)) * 0x010101u;
    int i = colour - 16;
    return cube[i / 36] << 16 | cube[i / 6 % 6] << 8 | cube[i % 6];
}

/* sRGB to CIELAB, white D65. */
static void lab(uint32_t rgb, double ret[3])
{
    static const double m[3][3] = {{0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047},
                                   {0.2126729, 0.7151522, 0.0721750},
                                   {0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883}};
    double linear[3], f[3];
    for (int c = 0; c < 3; c++) {
        double v = channel(rgb, c);
        linear[c] = v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
    }
    for (int k = 0; k < 3; k++) {
        double v = m[k][0] * linear[0] + m[k][1] * linear[1] + m[k][2] * linear[2];
        f[k] = v > 216.0 / 24389 ? cbrt(v) : (24389.0 / 27 * v + 16) / 116;
    }
    ret[0] = 116 * f[1] - 16;
    ret[1] = 500 * (f[0] - f[1]);
    ret[2] = 200 * (f[1] - f[2]);
}

int palette_nearest_256(uint32_t rgb)
{
    double wanted[3], best = INFINITY;
    int nearest = 16;
    lab(rgb, wanted);
    for (int i = 16; i < 256; i++) {
        double there[3], distance = 0;
        lab(palette_rgb_of_256(i), there);
        for (int k = 0; k < 3; k++) /* lightness counts most: it says how loud */
            distance += (k == 0 ? 4 : 1) * (there[k] - wanted[k]) * (there[k] - wanted[k]);
        if (distance < best) {
            best = distance;
            nearest = i;
        }
    }
    return nearest;
}

/* Eight colours by brightness: warm for what glows, cold for the rest. */
static int nearest_8(double level, double glow)
{
    static const int warm[6] = {0, 4, 5, 1, 3, 7}, cold[6] = {0, 0, 4, 4, 6, 6};
    int i = (int)fmin(level * 6, 5);
    return glow > 0.5 ? warm[i] : cold[i];
}

void palette_fill(struct palette *p, enum palette_kind kind)
{
    p->kind = kind;
    for (int g = 0; g < PALETTE_GLOWS; g++)
        for (int l = 0; l < PALETTE_LEVELS; l++) {
            double level = (double)l / (PALETTE_LEVELS - 1), glow = (double)g / (PALETTE_GLOWS - 1);
            uint32_t rgb = palette_rgb(level, glow);
            if (kind == PALETTE_TRUE)
                p->colour[g][l] = rgb < 8 ? 8 : (int)rgb; /* 0 ... 7 are the terminal's own */
            else if (kind == PALETTE_256)
                p->colour[g][l] = palette_nearest_256(rgb);
            else
                p->colour[g][l] = kind == PALETTE_8 ? nearest_8(level, glow) : -1;
        }
}
