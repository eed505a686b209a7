/* SPDX-License-Identifier: Apache-2.0
 * The whole screen, drawn from what is known. */
#ifndef FOCALD_VIEWERS_TERM_VIEW_H
#define FOCALD_VIEWERS_TERM_VIEW_H

#include "viewers/term/picture.h"
#include "viewers/term/terminal.h"
#include "viewers/term/world.h"

enum {
    VIEW_MIN_ROWS = 10,
    VIEW_MIN_COLS = 40,
    VIEW_SILENT_S = 5, /* health comes every second */
};

enum overlay { OVERLAY_OFF, OVERLAY_MAP, OVERLAY_MASK, OVERLAY_COUNT };

/* What the person at the keyboard chose, and how the daemon is reached. */
struct view {
    char selected[64]; /* name of the stream on the screen; "": none yet */
    enum overlay overlay;
    double seconds;    /* across the picture */
    int64_t held;      /* the newest frame of a picture that is held; -1: it runs */
    double silent_s;   /* since a message came last */
    bool ever;         /* a message has come */
    const char *where; /* the endpoint, or NULL: the usual places */
};

void view_draw(const struct terminal *t, const struct world *w, const struct view *v);

/* The parts. y, x, rows, cols: the room they have. */
struct room {
    int y, x, rows, cols;
};

const struct stream *view_stream(const struct world *w, const struct view *v);

/* Label and probability along the picture's columns. */
void timeline_draw(const struct terminal *t, const struct stream *s,
                   const struct picture_span *span, struct room room);
/* The best labels now, with bars. */
void guesses_draw(const struct terminal *t, const struct stream *s, struct room room);
/* The newest events, newest first. */
void events_draw(const struct terminal *t, const struct world *w, struct room room);
/* How it goes, in one sentence. */
void health_draw(const struct terminal *t, const struct world *w, const struct view *v,
                 struct room room);
/* A bar of so many columns, filled to part 0 ... 1. */
void bar_draw(const struct terminal *t, int y, int x, int columns, double part, enum style style);

#endif
