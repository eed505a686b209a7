/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/eval_progress.h"

#include <math.h>
#include <stdio.h>

void eval_progress_begin(struct eval_progress *ret, const char *what, int total, bool quiet)
{
    *ret = (struct eval_progress){
        .what = what, .total = total, .quiet = quiet, .began_s = bar_now_s()};
    bar_begin(&ret->bar);
}

static void draw(struct eval_progress *p, int done, double share, double elapsed_s)
{
    char text[160], left[32];
    int n = snprintf(text, sizeof text, " %3.0f %%  %d of %d %s", floor(100 * share), done,
                     p->total, p->what);
    if (share > 0 && elapsed_s > 0.5 && n > 0 && (size_t)n < sizeof text) {
        bar_time(elapsed_s / share - elapsed_s, left, sizeof left);
        snprintf(text + n, sizeof text - (size_t)n, ", %.1f/s, %s left",
                 share * p->total / elapsed_s, left);
    }
    bar_draw(&p->bar, "", share, text);
}

void eval_progress_show(struct eval_progress *p, int done, double share)
{
    double elapsed_s = bar_now_s() - p->began_s;
    share = share < 0 ? 0 : share < 1 ? share : 1;
    if (p->quiet)
        return;
    if (p->bar.terminal) {
        if (bar_due(&p->bar))
            draw(p, done, share, elapsed_s);
        return;
    }
    int tenths = (int)(10 * share + 1e-9);
    if (tenths <= p->tenths)
        return;
    p->tenths = tenths;
    fprintf(stderr, "focald: %d %%, %d of %d %s, %.0f s\n", 10 * tenths, done, p->total, p->what,
            elapsed_s);
}

void eval_progress_wipe(struct eval_progress *p)
{
    bar_wipe(&p->bar);
}
