/* SPDX-License-Identifier: Apache-2.0
 * What is known of this kind of terminal. */
#ifndef FOCALD_VIEWERS_TERM_TERMINFO_H
#define FOCALD_VIEWERS_TERM_TERMINFO_H

#include <ncurses.h>

#include "viewers/term/palette.h"

/* The most colours it has; from $COLORTERM, $NO_COLOR and terminfo. */
enum palette_kind terminfo_colours(void);
/* newterm, with true colour where it is wanted and $COLORTERM tells of it; NULL: not known. */
SCREEN *terminfo_open(enum palette_kind wanted);
/* A capability such as "cnorm" of the open terminal, "" if it has none. */
const char *terminfo_string(const char *capability);

#endif
