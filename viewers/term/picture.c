/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/term/picture.h"

#include <math.h>
#include <ncurses.h>

enum { RATE_HZ = 16000, QUIETEST = 110, RANGE = 118 }; /* levels: -68 dBFS, 56 dB */

struct scale {
    int low, high; /* levels shown as dark and as bright */
    bool glow;
};

struct value {
    int level, glow; /* of the palette; level -1: nothing came */
};

struct picture_span picture_span(double seconds, int64_t hop_samples, int cols,
                                 int64_t newest_frame)
{
    double frames = seconds * RATE_HZ / (double)hop_samples / (cols > 0 ? cols : 1);
    struct picture_span span = {.column_frames = frames > 1 ? (int64_t)(frames + 0.5) : 1};
    int64_t newest = newest_frame > 0 ? newest_frame : 0;
    span.last = (newest + 1) / span.column_frames - 1; /* whole columns only */
    return span;
}

static struct value value_at(const struct spectrum *s, const struct scale *scale, int64_t from,
                             int64_t to, int row, int rows)
{
    uint8_t level, glow;
    int low = SPECTRUM_BANDS * (rows - 1 - row) / rows;
    int high = SPECTRUM_BANDS * (rows - row) / rows;
    spectrum_cell(s, from, to, low, high > low ? high : low + 1, &level, &glow);
    if (level == 0)
        return (struct value){-1, 0};
    int at = (level - scale->low) * (PALETTE_LEVELS - 1) / (scale->high - scale->low);
    at = at < 0 ? 0 : at >= PALETTE_LEVELS ? PALETTE_LEVELS - 1 : at;
    return (struct value){at, scale->glow ? glow * PALETTE_GLOWS / 256 : PALETTE_GLOWS - 1};
}

static int colour_of(const struct palette *p, struct value v)
{
    if (v.level < 0)
        return p->kind == PALETTE_8 ? 0 : -1;
    return p->colour[v.glow][v.level];
}

static void put(int y, int x, wchar_t character, attr_t attributes, int pair)
{
    const wchar_t text[2] = {character, L'\0'};
    cchar_t cell;
    if (setcchar(&cell, text, attributes, 0, &pair) == OK)
        mvadd_wch(y, x, &cell);
}

static void draw_half_blocks(const struct terminal *t, int y, int x, struct value upper,
                             struct value lower)
{
    int front = colour_of(&t->palette, upper), back = colour_of(&t->palette, lower);
    if (front == back) /* one run for the terminal, and the same look */
        put(y, x, L' ', A_NORMAL, front < 0 ? 0 : alloc_pair(COLOR_BLACK, back));
    else if (front < 0)
        put(y, x, L'▄', A_NORMAL, alloc_pair(back, -1));
    else
        put(y, x, L'▀', A_NORMAL, alloc_pair(front, back));
}

static void draw_letter(const struct terminal *t, int y, int x, struct value v)
{
    static const wchar_t shades[] = L" ░▒▓█";
    static const char letters[] = " .:-=+*#%@";
    if (v.level < 0) {
        put(y, x, L' ', A_NORMAL, 0);
        return;
    }
    wchar_t c = t->unicode ? shades[v.level * 5 / PALETTE_LEVELS]
                           : (wchar_t)letters[v.level * 10 / PALETTE_LEVELS];
    attr_t attributes = v.glow == 0 ? A_DIM : A_NORMAL;
    int colour = t->palette.kind == PALETTE_NONE ? -1 : t->palette.colour[v.glow][v.level];
    /* a letter in black on black would not be seen */
    put(y, x, c, attributes, colour <= 0 ? 0 : alloc_pair(colour, -1));
}

void picture_draw(const struct terminal *t, const struct spectrum *s,
                  const struct picture_span *span, const struct picture_place *place, bool glow)
{
    bool halves = t->unicode && t->palette.kind != PALETTE_NONE;
    int rows = halves ? 2 * place->rows : place->rows;
    struct scale scale = {.glow = glow};
    int64_t begin = (span->last - place->cols + 1) * span->column_frames;
    int64_t end = (span->last + 1) * span->column_frames;
    int loudest = s != NULL ? spectrum_loudest(s, begin, end, 0.002) : 0;
    scale.high = loudest > QUIETEST ? loudest : QUIETEST;
    scale.low = scale.high - RANGE > 1 ? scale.high - RANGE : 1;
    for (int c = 0; c < place->cols; c++) {
        int64_t from = begin + c * span->column_frames, to = from + span->column_frames;
        for (int r = 0; r < place->rows; r++) {
            struct value v[2] = {{-1, 0}, {-1, 0}};
            for (int h = 0; s != NULL && h < (halves ? 2 : 1); h++)
                v[h] = value_at(s, &scale, from, to, halves ? 2 * r + h : r, rows);
            if (halves)
                draw_half_blocks(t, place->y + r, place->x + c, v[0], v[1]);
            else
                draw_letter(t, place->y + r, place->x + c, v[0]);
        }
    }
}
