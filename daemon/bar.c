/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/bar.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { BAR_MAX = 40, BAR_MIN = 4, COLUMNS = 80 };
static const double redraw_s = 0.1;

double bar_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void bar_begin(struct bar *ret)
{
    *ret = (struct bar){.terminal = isatty(STDERR_FILENO) == 1};
}

bool bar_due(const struct bar *bar)
{
    return bar->terminal && (!bar->shown || bar_now_s() - bar->drawn_s >= redraw_s);
}

static int columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : COLUMNS;
}

/* Eighths of a column, so that the bar moves with every clip. */
static void draw(double share, int width)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    int eighth = (int)(share * width * 8 + 0.5);
    for (int i = 0; i < width; i++) {
        int here = eighth - 8 * i;
        fputs(here >= 8 ? "█" : here > 0 ? eighths[here] : "·", stderr);
    }
}

void bar_draw(struct bar *bar, const char *before, double share, const char *text)
{
    if (!bar->terminal)
        return;
    /* the last column stays free: some terminals go to the next line there */
    int room = columns() - 1, width = room - (int)strlen(before) - (int)strlen(text);
    width = width < BAR_MIN ? 0 : width < BAR_MAX ? width : BAR_MAX;
    room -= width;
    fprintf(stderr, "\r\033[K%.*s", room, before);
    draw(share >= 0 ? fmin(share, 1) : 0, width);
    room -= (int)strlen(before);
    fprintf(stderr, "%.*s", room > 0 ? room : 0, text);
    fflush(stderr);
    bar->shown = true;
    bar->drawn_s = bar_now_s();
}

void bar_wipe(struct bar *bar)
{
    if (bar->shown) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    bar->shown = false;
}

void bar_time(double seconds, char *ret, size_t size)
{
    if (!(seconds >= 0 && seconds < 1e9)) {
        snprintf(ret, size, "?");
        return;
    }
    long s = lround(seconds), minutes = s / 60 % 60, hours = s / 3600 % 24, days = s / 86400;
    if (days > 0)
        snprintf(ret, size, "%ld d %02ld:%02ld", days, hours, minutes);
    else if (hours > 0)
        snprintf(ret, size, "%ld:%02ld:%02ld", hours, minutes, s % 60);
    else
        snprintf(ret, size, "%ld:%02ld", minutes, s % 60);
}
