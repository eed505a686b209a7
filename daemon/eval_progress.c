/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/eval_progress.h"

#include <math.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { BAR_MAX = 40, TEXT_WIDTH = 56, COLUMNS = 80 };
static const double redraw_s = 0.1;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void eval_progress_begin(struct eval_progress *ret, const char *what, int total, bool quiet)
{
    *ret = (struct eval_progress){.what = what,
                                  .total = total,
                                  .quiet = quiet,
                                  .terminal = isatty(STDERR_FILENO) == 1,
                                  .began_s = now_s()};
}

static int bar_width(void)
{
    struct winsize size;
    int columns =
        ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : COLUMNS;
    int width = columns - TEXT_WIDTH;
    return width < 0 ? 0 : width < BAR_MAX ? width : BAR_MAX;
}

/* Eighths of a column, so that the bar moves with every clip. */
static void draw_bar(double share)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    int width = bar_width(), eighth = (int)(share * width * 8 + 0.5);
    for (int i = 0; i < width; i++) {
        int here = eighth - 8 * i;
        fputs(here >= 8 ? "█" : here > 0 ? eighths[here] : "·", stderr);
    }
}

static void draw(struct eval_progress *p, int done, double share, double elapsed_s)
{
    fputs("\r\033[K", stderr);
    draw_bar(share);
    fprintf(stderr, " %3.0f %%  %d of %d %s", floor(100 * share), done, p->total, p->what);
    if (share > 0 && elapsed_s > 0.5) {
        double left_s = elapsed_s / share - elapsed_s;
        fprintf(stderr, ", %.1f/s, %d:%02d left", share * p->total / elapsed_s, (int)left_s / 60,
                (int)left_s % 60);
    }
    fflush(stderr);
    p->shown = true;
}

void eval_progress_show(struct eval_progress *p, int done, double share)
{
    double now = now_s();
    share = share < 0 ? 0 : share < 1 ? share : 1;
    if (p->quiet)
        return;
    if (p->terminal) {
        if (p->shown && now - p->drawn_s < redraw_s)
            return;
        p->drawn_s = now;
        draw(p, done, share, now - p->began_s);
        return;
    }
    int tenths = (int)(10 * share + 1e-9);
    if (tenths <= p->tenths)
        return;
    p->tenths = tenths;
    fprintf(stderr, "focald: %d %%, %d of %d %s, %.0f s\n", 10 * tenths, done, p->total, p->what,
            now - p->began_s);
}

void eval_progress_wipe(struct eval_progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
    p->shown = false;
}
