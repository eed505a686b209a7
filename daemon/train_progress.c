/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_progress.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

/* A text that grows by pieces and is cut where it is full. */
struct text {
    char bytes[256];
    size_t n;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->bytes + t->n, sizeof t->bytes - t->n, format, args);
    va_end(args);
    if (n > 0)
        t->n = t->n + (size_t)n < sizeof t->bytes ? t->n + (size_t)n : sizeof t->bytes - 1;
}

void train_progress_begin(struct train_progress *ret, int epochs, int done, bool quiet)
{
    double now = bar_now_s();
    *ret = (struct train_progress){.quiet = quiet,
                                   .epochs = epochs,
                                   .done = done,
                                   .epoch = done + 1,
                                   .began_s = now,
                                   .epoch_began_s = now};
    bar_begin(&ret->bar);
}

void train_progress_epoch(struct train_progress *p, int epoch)
{
    p->epoch = epoch;
    p->epoch_began_s = bar_now_s();
}

/* Of the epochs that this process did, with their validation; before one is done, of the batches so
 * far. NaN: nothing to tell by. */
static double run_left_s(const struct train_progress *p, double share, double epoch_left_s)
{
    int here = p->epoch - 1 - p->done, left = p->epochs - p->epoch;
    double in_epoch = bar_now_s() - p->epoch_began_s;
    if (here < 1)
        return epoch_left_s + left * (in_epoch + epoch_left_s);
    double each = (p->epoch_began_s - p->began_s) / here;
    return fmax(each - in_epoch, share < 1 ? epoch_left_s : 0) + left * each;
}

static void draw(struct train_progress *p, double share, struct text *text, double epoch_left_s)
{
    char before[48], left[32];
    double run_s = run_left_s(p, share, epoch_left_s);
    snprintf(before, sizeof before, "epoch %d/%d ", p->epoch, p->epochs);
    if (epoch_left_s >= 0) {
        bar_time(epoch_left_s, left, sizeof left);
        add(text, "  %s left", left);
    }
    if (p->epoch < p->epochs && run_s >= 0) {
        bar_time(run_s, left, sizeof left);
        add(text, ", %s in all", left);
    }
    bar_draw(&p->bar, before, share, text->bytes);
}

static double left_s(const struct train_progress *p, double began_s, double share)
{
    double elapsed = bar_now_s() - began_s;
    return share > 0 && elapsed > 0.5 && !p->quiet ? elapsed / share - elapsed : (double)NAN;
}

void train_progress_batch(struct train_progress *p, double share, double loss, double accuracy,
                          double clips_per_s)
{
    struct text text = {"", 0};
    if (p->quiet || !bar_due(&p->bar))
        return;
    if (isfinite(loss))
        add(&text, "  loss %.3f", loss);
    if (isfinite(accuracy))
        add(&text, "  acc %.3f", accuracy);
    if (isfinite(clips_per_s))
        add(&text, "  %.1f clips/s", clips_per_s);
    draw(p, share, &text, left_s(p, p->epoch_began_s, share));
}

void train_progress_validation(struct train_progress *p, int clips, int total, double share)
{
    struct text text = {"", 0};
    if (p->validation_began_s < p->epoch_began_s)
        p->validation_began_s = bar_now_s();
    if (p->quiet || !bar_due(&p->bar))
        return;
    add(&text, "  validation, %d of %d clips", clips, total);
    draw(p, share, &text, left_s(p, p->validation_began_s, share));
}

void train_progress_line(struct train_progress *p, const struct train_epoch *e)
{
    const struct {
        const char *name;
        double value;
        const char *format;
    } figures[] = {
        {"loss", e->loss, "%.4f"},
        {"train", e->accuracy, "%.3f"},
        {"valid loss", e->valid_loss, "%.4f"},
        {"valid", e->valid_accuracy, "%.3f"},
        {"FID-I", e->fid_i, "%.3f"},
        {"rate", e->rate, "%.1e"},
        {"steps skipped", e->skipped_steps > 0 ? e->skipped_steps : (double)NAN, "%.0f"},
    };
    if (p->quiet)
        return;
    bar_wipe(&p->bar);
    fprintf(stderr, "epoch %*d", snprintf(NULL, 0, "%d", p->epochs), e->epoch);
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        if (!isnan(figures[i].value)) {
            char text[32];
            snprintf(text, sizeof text, figures[i].format, figures[i].value);
            fprintf(stderr, "  %s %s", figures[i].name, text);
        }
    fprintf(stderr, "  %.0f s%s\n", e->seconds, e->best ? "  (best)" : "");
}

void train_progress_wipe(struct train_progress *p)
{
    bar_wipe(&p->bar);
}
