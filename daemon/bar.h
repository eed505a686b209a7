/* SPDX-License-Identifier: Apache-2.0
 * A bar on stderr that is redrawn in place, with a text behind it. */
#ifndef FOCALD_DAEMON_BAR_H
#define FOCALD_DAEMON_BAR_H

#include <stdbool.h>
#include <stddef.h>

struct bar {
    bool terminal; /* stderr is one; elsewhere nothing is drawn */
    bool shown;
    double drawn_s;
};

double bar_now_s(void); /* a clock that only goes forward */

void bar_begin(struct bar *ret);
/* True where a drawing is due, at most ten times a second: so that texts are made for nothing else.
 */
bool bar_due(const struct bar *bar);
/* before, the bar (share: 0..1, as wide as the terminal leaves room, none where it leaves none),
 * text; cut to the terminal's width. Both are single lines of one column a byte. */
void bar_draw(struct bar *bar, const char *before, double share, const char *text);
/* Leaves the line empty, so that something else can be said. */
void bar_wipe(struct bar *bar);

/* "0:07", "12:34", "3:07:45", and "5 d 04:30" from a day on. Seconds not finite or below 0: "?". */
void bar_time(double seconds, char *ret, size_t size);

#endif
