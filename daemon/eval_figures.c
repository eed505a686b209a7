/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/eval_figures.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "model/interpret/metrics.h"

static int *cell(const struct eval_figures *f, int label, int predicted)
{
    return &f->confusion[(size_t)label * (size_t)f->n_classes + (size_t)predicted];
}

/* A clip that is silent has no label, which is never the right one. */
static void count_clips(struct eval_figures *f, const struct eval_data *data,
                        const struct eval_results *results)
{
    for (int i = 0; i < results->n; i++) {
        const struct eval_outcome *out = &results->clips[i];
        int label = data->clips[i].label;
        f->bad_samples += out->bad;
        if (out->state == EVAL_FAILED) {
            f->failed++;
            continue;
        }
        f->class_clips[label]++;
        if (out->state == EVAL_SILENT) {
            f->silent++;
            continue;
        }
        f->heard++;
        f->correct += out->predicted == label;
        f->class_correct[label] += out->predicted == label;
        ++*cell(f, label, out->predicted);
    }
    f->clips = results->n;
    f->counted = f->heard + f->silent;
    f->accuracy = f->counted > 0 ? (double)f->correct / f->counted : 0;
    double sum = 0;
    for (int c = 0; c < f->n_classes; c++)
        if (f->class_clips[c] > 0) {
            sum += (double)f->class_correct[c] / f->class_clips[c];
            f->n_present++;
        }
    f->class_accuracy = f->n_present > 0 ? sum / f->n_present : 0;
}

static int more_clips(const void *a, const void *b)
{
    const struct eval_confusion *x = a, *y = b;
    if (x->clips != y->clips)
        return y->clips - x->clips;
    return x->label != y->label ? x->label - y->label : x->predicted - y->predicted;
}

static int find_worst(struct eval_figures *f)
{
    int n = 0;
    for (int l = 0; l < f->n_classes; l++)
        for (int p = 0; p < f->n_classes; p++)
            n += p != l && *cell(f, l, p) > 0;
    f->worst = calloc((size_t)n + 1, sizeof *f->worst);
    if (f->worst == NULL)
        return -ENOMEM;
    for (int l = 0; l < f->n_classes; l++)
        for (int p = 0; p < f->n_classes; p++)
            if (p != l && *cell(f, l, p) > 0)
                f->worst[f->n_worst++] = (struct eval_confusion){l, p, *cell(f, l, p)};
    qsort(f->worst, (size_t)f->n_worst, sizeof *f->worst, more_clips);
    return 0;
}

/* The mean of one member of struct eval_explained over the heard clips, or over those whose mask
 * keeps something. values: [n] scratch, left holding what was averaged. */
static double mean_of(const struct eval_results *results, int q, size_t member, bool not_empty,
                      double *values, size_t *ret_n)
{
    size_t n = 0;
    for (int i = 0; i < results->n; i++) {
        const struct eval_explained *e =
            &results->explained[(size_t)i * (size_t)results->n_quantiles + (size_t)q];
        if (results->clips[i].state != EVAL_DONE || (not_empty && e->empty))
            continue;
        memcpy(&values[n++], (const char *)e + member, sizeof *values);
    }
    *ret_n = n;
    return n > 0 ? metrics_mean(values, n) : (double)NAN;
}

static int explain(struct eval_figures *f, const struct eval_results *results,
                   const double *quantiles)
{
    f->n_quantiles = results->n_quantiles;
    f->explanations = calloc((size_t)f->n_quantiles + 1, sizeof *f->explanations);
    double *values = calloc((size_t)results->n + 1, sizeof *values);
    if (f->explanations == NULL || values == NULL) {
        free(values);
        return -ENOMEM;
    }
    const struct {
        size_t from, to;
        bool not_empty;
    } members[] = {
        {offsetof(struct eval_explained, fid_i), offsetof(struct eval_explanation, fid_i), false},
        {offsetof(struct eval_explained, ai), offsetof(struct eval_explanation, ai), false},
        {offsetof(struct eval_explained, ad), offsetof(struct eval_explanation, ad), false},
        {offsetof(struct eval_explained, ad_double_softmax),
         offsetof(struct eval_explanation, ad_double_softmax), false},
        {offsetof(struct eval_explained, ag), offsetof(struct eval_explanation, ag), false},
        {offsetof(struct eval_explained, kept), offsetof(struct eval_explanation, kept), false},
        {offsetof(struct eval_explained, sps), offsetof(struct eval_explanation, sps), true},
        {offsetof(struct eval_explained, comp), offsetof(struct eval_explanation, comp), true},
    };
    for (int q = 0; q < f->n_quantiles; q++) {
        struct eval_explanation *e = &f->explanations[q];
        size_t n = 0;
        e->quantile = quantiles[q];
        for (size_t k = 0; k < sizeof members / sizeof *members; k++) {
            double mean = mean_of(results, q, members[k].from, members[k].not_empty, values, &n);
            memcpy((char *)e + members[k].to, &mean, sizeof mean);
        }
        e->empty = f->heard - (int)n; /* of the last, which leaves out empty masks */
        e->fa = mean_of(results, q, offsetof(struct eval_explained, fa), false, values, &n);
        e->fa_median = n > 0 ? metrics_lower_median(values, n) : (double)NAN;
        e->ff = e->fa; /* the same formula under L-MAC's name */
    }
    free(values);
    return 0;
}

int eval_figures_make(struct eval_figures *ret, const struct eval_data *data,
                      const struct eval_results *results, const double *quantiles, int n_classes,
                      struct error *error)
{
    struct eval_figures f = {.n_classes = n_classes};
    size_t n = (size_t)n_classes;
    f.class_clips = calloc(n, sizeof(int));
    f.class_correct = calloc(n, sizeof(int));
    f.confusion = calloc(n * n, sizeof(int));
    int r = f.class_clips == NULL || f.class_correct == NULL || f.confusion == NULL ? -ENOMEM : 0;
    if (r == 0) {
        count_clips(&f, data, results);
        r = find_worst(&f);
    }
    if (r == 0)
        r = explain(&f, results, quantiles);
    if (r < 0) {
        eval_figures_finish(&f);
        return error_set(error, ENOMEM, "eval: out of memory");
    }
    *ret = f;
    return 0;
}

void eval_figures_finish(struct eval_figures *f)
{
    free(f->class_clips);
    free(f->class_correct);
    free(f->confusion);
    free(f->worst);
    free(f->explanations);
    *f = (struct eval_figures){0};
}
