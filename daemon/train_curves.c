/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_curves.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/eval_plot.h"

enum { PANEL = 460, PANEL_HEIGHT = 260, MAX_PANELS = 5 };

enum column {
    EPOCH,
    LOSS,
    TEACHER_LOSS,
    ACCURACY,
    VALID_ACCURACY,
    REC_LOSS,
    VALID_REC_LOSS,
    VQ_LOSS,
    VALID_VQ_LOSS,
    FID_I,
    RATE,
    COLUMNS,
};

struct curves {
    int n;
    double *columns[COLUMNS];        /* [n] each */
    const struct train_epoch *best;  /* or NULL */
    struct plot_series series[3][2]; /* of the panels that have two */
    int n_pairs;
    char rate_label[64];
    struct plot panels[MAX_PANELS];
    int n_panels;
};

static bool measured(const struct curves *c, enum column column)
{
    for (int i = 0; i < c->n; i++)
        if (!isnan(c->columns[column][i]))
            return true;
    return false;
}

/* An infinite value has no place on an axis. */
static double on_axis(double x)
{
    return isfinite(x) ? x : (double)NAN;
}

static void fill(struct curves *c, const struct train_epoch *epochs)
{
    bool classes = false;
    for (int i = 0; i < c->n; i++)
        classes = classes || isfinite(epochs[i].class_loss);
    for (int i = 0; i < c->n; i++) {
        const struct train_epoch *e = &epochs[i];
        c->columns[EPOCH][i] = e->epoch;
        c->columns[LOSS][i] = on_axis(classes ? e->class_loss : e->loss);
        c->columns[TEACHER_LOSS][i] = on_axis(e->teacher_loss);
        c->columns[ACCURACY][i] = on_axis(e->accuracy);
        c->columns[VALID_ACCURACY][i] = on_axis(e->valid_accuracy);
        c->columns[REC_LOSS][i] = on_axis(e->rec_loss);
        c->columns[VALID_REC_LOSS][i] = on_axis(e->valid_rec_loss);
        c->columns[VQ_LOSS][i] = on_axis(e->vq_loss);
        c->columns[VALID_VQ_LOSS][i] = on_axis(e->valid_vq_loss);
        c->columns[FID_I][i] = on_axis(e->fid_i);
        c->columns[RATE][i] = on_axis(e->rate);
        if (e->best)
            c->best = e;
    }
}

/* Rates are small: the axis counts in a power of ten, which its label names. */
static void scale_rates(struct curves *c)
{
    static const char *const digits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    double most = 0;
    for (int i = 0; i < c->n; i++)
        most = fmax(most, c->columns[RATE][i]);
    int power = most > 0 ? (int)floor(log10(most) + 1e-9) : 0;
    snprintf(c->rate_label, sizeof c->rate_label, "learning rate");
    if (power >= -1 || power < -99)
        return;
    for (int i = 0; i < c->n; i++)
        c->columns[RATE][i] *= pow(10, -power);
    snprintf(c->rate_label, sizeof c->rate_label, "learning rate in 10⁻%s%s",
             -power >= 10 ? digits[-power / 10] : "", digits[-power % 10]);
}

static struct plot *add_panel(struct curves *c, const char *title, const char *y_label,
                              enum column column)
{
    struct plot *p = &c->panels[c->n_panels++];
    *p = (struct plot){.width = PANEL,
                       .height = PANEL_HEIGHT,
                       .title = title,
                       .x_label = "epoch",
                       .y_label = y_label,
                       .n = c->n,
                       .xs = c->columns[EPOCH],
                       .whole = true,
                       .ys = c->columns[column],
                       .mark = c->best != NULL ? c->best->epoch : (double)NAN};
    return p;
}

/* Training and validation in one panel, as far as they were measured. */
static struct plot *add_pair(struct curves *c, const char *title, const char *y_label,
                             enum column training, const char *training_name,
                             enum column validation)
{
    struct plot_series *series = c->series[c->n_pairs];
    int n = 0;
    if (measured(c, validation))
        series[n++] = (struct plot_series){"validation", c->columns[validation]};
    if (measured(c, training))
        series[n++] = (struct plot_series){training_name, c->columns[training]};
    if (n == 0)
        return NULL;
    struct plot *p = add_panel(c, title, y_label, training);
    p->series = series;
    p->n_series = n;
    c->n_pairs++;
    return p;
}

static void add_classifier(struct curves *c)
{
    bool teacher = measured(c, TEACHER_LOSS);
    add_panel(c, teacher ? "Loss of the classes" : "Loss", "mean over the training batches", LOSS);
    if (teacher)
        add_panel(c, "Loss against the teacher", "mean over the training batches", TEACHER_LOSS);
    struct plot *p = add_pair(c, "Accuracy", "share of clips", ACCURACY, "training, as augmented",
                              VALID_ACCURACY);
    if (p != NULL)
        p->high = 1;
}

static void add_interpreter(struct curves *c)
{
    add_pair(c, "Mask against what it is to keep", "cross-entropy", REC_LOSS, "training",
             VALID_REC_LOSS);
    add_pair(c, "From what is quantised to its keys", "mean square", VQ_LOSS, "training",
             VALID_VQ_LOSS);
}

static void add_panels(struct curves *c)
{
    if (measured(c, REC_LOSS))
        add_interpreter(c);
    else
        add_classifier(c);
    if (measured(c, FID_I))
        add_panel(c, "FID-I: the part kept gets the same label", "FID-I", FID_I)->high = 1;
    scale_rates(c);
    add_panel(c, "Learning rate", c->rate_label, RATE);
}

static void write_subtitle(const struct curves *c, const struct train_epoch *last, char *ret,
                           size_t size)
{
    int n = snprintf(ret, size, "%d epoch%s, %llu steps", last->epoch, last->epoch == 1 ? "" : "s",
                     (unsigned long long)last->step);
    if (c->best != NULL && n > 0 && (size_t)n < size)
        n += snprintf(ret + n, size - (size_t)n, "; the dashed line is the best epoch, %d",
                      c->best->epoch);
    if (c->best != NULL && isfinite(c->best->valid_accuracy) && n > 0 && (size_t)n < size)
        n += snprintf(ret + n, size - (size_t)n, ": accuracy %.3f in validation",
                      c->best->valid_accuracy);
    if (c->best != NULL && isfinite(c->best->fid_i) && n > 0 && (size_t)n < size)
        snprintf(ret + n, size - (size_t)n, ", FID-I %.3f", c->best->fid_i);
}

static int draw(struct curves *c, const char *path, const char *title, const char *subtitle,
                struct error *error)
{
    int across = c->n_panels <= 3 ? c->n_panels : (c->n_panels + 1) / 2;
    int down = (c->n_panels + across - 1) / across;
    int cell_width = PLOT_LEFT + PANEL + PLOT_RIGHT;
    int cell_height = PLOT_ABOVE + PANEL_HEIGHT + PLOT_BELOW;
    cairo_surface_t *surface;
    cairo_t *cr = plot_begin_picture(2 * PLOT_MARGIN + across * cell_width,
                                     2 * PLOT_MARGIN + PLOT_TITLE + down * cell_height, title,
                                     subtitle, &surface);
    for (int i = 0; i < c->n_panels; i++) {
        c->panels[i].x = PLOT_MARGIN + PLOT_LEFT + i % across * cell_width;
        c->panels[i].y = PLOT_MARGIN + PLOT_TITLE + PLOT_ABOVE + i / across * cell_height;
        plot_draw(cr, &c->panels[i]);
    }
    return plot_end_picture(cr, surface, path, error);
}

int train_curves_write(const char *path, const char *name, const struct train_epoch *epochs, int n,
                       struct error *error)
{
    struct curves c = {.n = n};
    char title[300], subtitle[256];
    double *cells = calloc((size_t)n * COLUMNS, sizeof *cells);
    if (cells == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", path);
    for (int k = 0; k < COLUMNS; k++)
        c.columns[k] = cells + (size_t)k * (size_t)n;
    fill(&c, epochs);
    add_panels(&c);
    snprintf(title, sizeof title, "Training of %s", name);
    write_subtitle(&c, &epochs[n - 1], subtitle, sizeof subtitle);
    int r = draw(&c, path, title, subtitle, error);
    free(cells);
    return r;
}
