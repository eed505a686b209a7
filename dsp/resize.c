/* SPDX-License-Identifier: Apache-2.0
 * Both variants are two passes of a few weighted taps an output cell (golden/README, dsp, step 6).
 */
#include "dsp/resize.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { RESIZE_MAX = 8192 };

/* Output i of an axis is sum over k < taps of weight[i][k] * in[first[i] + k]. */
struct axis {
    int in, out, taps;
    int *first;    /* [out] */
    float *weight; /* [out][taps], zero beyond the taps in use */
};

struct resize {
    struct axis rows, cols;
    bool cols_first; /* the pass that leaves less for the other goes first */
    float *between;  /* rows x cols after the first pass */
};

/* Half-pixel centres, clamped at 0, in float32 as torch computes them. */
static void taps_plain(const struct axis *a, int i)
{
    float scale = (float)a->in / (float)a->out;
    float src = ((float)i + 0.5f) * scale - 0.5f;
    src = src > 0 ? src : 0;
    int low = (int)src;
    low = low < a->in - 1 ? low : a->in - 1;
    float fraction = src - (float)low;
    a->first[i] = low;
    a->weight[i * a->taps] = 1 - fraction;
    if (low + 1 < a->in)
        a->weight[i * a->taps + 1] = fraction;
    else
        a->weight[i * a->taps] = 1;
}

/* The whole axis is from = 0, scale = in / out. Cells beyond its ends are 0. */
static void taps_antialias(const struct axis *a, int i, float from, float scale)
{
    float support = scale > 1 ? scale : 1;
    float centre = from + scale * ((float)i + 0.5f);
    int low = (int)(centre - support + 0.5f), high = (int)(centre + support + 0.5f);
    low = low > 0 ? low : 0;
    high = high < a->in ? high : a->in;
    float *w = a->weight + (size_t)i * (size_t)a->taps;
    float total = 0;
    a->first[i] = 0;
    memset(w, 0, (size_t)a->taps * sizeof *w);
    if (!(centre > 0 && centre < (float)a->in))
        return;
    for (int k = 0; k < high - low; k++) {
        w[k] = fmaxf(0, 1 - fabsf(((float)(low + k) - centre + 0.5f) / support));
        total += w[k];
    }
    for (int k = 0; k < high - low; k++)
        w[k] /= total;
    a->first[i] = low;
}

/* Reading taps past the last input cell would be out of bounds even with weight 0. */
static void keep_inside(struct axis *a, int i)
{
    int over = a->first[i] + a->taps - a->in;
    if (over <= 0)
        return;
    float *w = a->weight + (size_t)i * (size_t)a->taps;
    memmove(w + over, w, (size_t)(a->taps - over) * sizeof *w);
    memset(w, 0, (size_t)over * sizeof *w);
    a->first[i] -= over;
}

static void axis_aim(struct axis *a, float from, float to)
{
    const float scale = (to - from) / (float)a->out;
    for (int i = 0; i < a->out; i++) {
        taps_antialias(a, i, from, scale);
        keep_inside(a, i);
    }
}

static int axis_init(struct axis *a, int in, int out, bool antialias, float widest,
                     struct error *error)
{
    const float scale = widest * (float)in / (float)out;
    a->in = in;
    a->out = out;
    a->taps = 2;
    if (antialias && scale > 1)
        a->taps = 2 * (int)ceilf(scale) + 1;
    a->taps = a->taps < in ? a->taps : in;
    a->first = calloc((size_t)out, sizeof *a->first);
    /* one cell more: taps_plain and taps_antialias may write a zero weight past a short axis */
    a->weight = memory_zeroed((size_t)out * (size_t)a->taps + 2, sizeof *a->weight);
    if (a->first == NULL || a->weight == NULL)
        return error_set(error, ENOMEM, "resize: out of memory");
    if (antialias) {
        axis_aim(a, 0, (float)in);
        return 0;
    }
    for (int i = 0; i < out; i++) {
        taps_plain(a, i);
        keep_inside(a, i);
    }
    return 0;
}

static int create(struct resize **ret, int in_rows, int in_cols, int out_rows, int out_cols,
                  bool antialias, float widest, struct error *error)
{
    const int sizes[] = {in_rows, in_cols, out_rows, out_cols};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        if (sizes[i] < 1 || sizes[i] > RESIZE_MAX)
            return error_set(error, EINVAL,
                             "resize of [%d, %d] to [%d, %d]; allowed: sizes 1 to %d", in_rows,
                             in_cols, out_rows, out_cols, RESIZE_MAX);
    struct resize *r = calloc(1, sizeof *r);
    if (r == NULL)
        return error_set(error, ENOMEM, "resize: out of memory");
    r->cols_first = in_rows < out_rows;
    int code = axis_init(&r->rows, in_rows, out_rows, antialias, widest, error);
    if (code == 0)
        code = axis_init(&r->cols, in_cols, out_cols, antialias, widest, error);
    if (code == 0) {
        size_t cells =
            r->cols_first ? (size_t)in_rows * (size_t)out_cols : (size_t)out_rows * (size_t)in_cols;
        r->between = memory_zeroed(cells, sizeof(float));
        if (r->between == NULL)
            code = error_set(error, ENOMEM, "resize: out of memory");
    }
    if (code < 0) {
        resize_destroy(r);
        return code;
    }
    *ret = r;
    return 0;
}

int resize_create(struct resize **ret, int in_rows, int in_cols, int out_rows, int out_cols,
                  bool antialias, struct error *error)
{
    return create(ret, in_rows, in_cols, out_rows, out_cols, antialias, 1, error);
}

int resize_create_aimed(struct resize **ret, int in_rows, int in_cols, int out_rows, int out_cols,
                        float widest, struct error *error)
{
    if (!(widest >= 1 && widest <= 16))
        return error_set(error, EINVAL,
                         "resize: boxes of up to %g times the size; allowed: 1 to 16",
                         (double)widest);
    return create(ret, in_rows, in_cols, out_rows, out_cols, true, widest, error);
}

void resize_aim(struct resize *r, const struct resize_box *box)
{
    axis_aim(&r->rows, box->top, box->bottom);
    axis_aim(&r->cols, box->left, box->right);
}

void resize_destroy(struct resize *r)
{
    if (r == NULL)
        return;
    free(r->rows.first);
    free(r->rows.weight);
    free(r->cols.first);
    free(r->cols.weight);
    free(r->between);
    free(r);
}

/* in: [a.in][cols] -> out: [a.out][cols] */
static void pass_rows(const struct axis *a, int cols, const float *in, float *out)
{
    for (int i = 0; i < a->out; i++) {
        const float *restrict w = a->weight + (size_t)i * (size_t)a->taps;
        const float *restrict src = in + (size_t)a->first[i] * (size_t)cols;
        float *restrict dst = out + (size_t)i * (size_t)cols;
        for (int c = 0; c < cols; c++)
            dst[c] = w[0] * src[c];
        for (int k = 1; k < a->taps; k++) {
            if (w[k] == 0)
                continue;
            const float *restrict row = src + (size_t)k * (size_t)cols;
            for (int c = 0; c < cols; c++)
                dst[c] += w[k] * row[c];
        }
    }
}

/* in: [rows][a.in] -> out: [rows][a.out] */
static void pass_cols(const struct axis *a, int rows, const float *in, float *out)
{
    for (int r = 0; r < rows; r++) {
        const float *src = in + (size_t)r * (size_t)a->in;
        float *dst = out + (size_t)r * (size_t)a->out;
        const float *w = a->weight;
        for (int i = 0; i < a->out; i++, w += a->taps) {
            const float *x = src + a->first[i];
            float sum = 0;
            for (int k = 0; k < a->taps; k++)
                sum += w[k] * x[k];
            dst[i] = sum;
        }
    }
}

void resize_run(struct resize *r, const float *in, float *out)
{
    if (r->cols_first) {
        pass_cols(&r->cols, r->rows.in, in, r->between);
        pass_rows(&r->rows, r->cols.out, r->between, out);
    } else {
        pass_rows(&r->rows, r->cols.in, in, r->between);
        pass_cols(&r->cols, r->rows.out, r->between, out);
    }
}
