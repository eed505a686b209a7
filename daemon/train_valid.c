/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_valid.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/eval_figures.h"
#include "daemon/eval_run.h"
#include "daemon/stop.h"
#include "model/nets/piq.h"
#include "model/train/loss.h"

struct validation {
    const struct train_valid_config *config;
    const struct train_data *data;
    int before; /* clips of the sets that are done */
    int counted, correct, heard, nameless;
    int *class_clips, *class_correct; /* [classes] */
    struct eval_explanation sums;     /* over heard */
    const struct model_info *info;
    int measured;
    double rec, vq;     /* over measured */
    uint8_t *marks;     /* [PIQ_FRAMES * PIQ_BINS] */
    struct error first; /* what is wrong with the first of the nameless */
};

static void show(void *user, int clips, double share)
{
    const struct validation *v = user;
    const int now = v->before + clips;
    (void)share;
    train_progress_validation(v->config->progress, now, v->data->n_valid,
                              (double)now / v->data->n_valid);
}

/* An interpreter's losses of one window. */
static void take_losses(void *user, const struct runner_result *result, const float *logspec)
{
    struct validation *v = user;
    const int cells = PIQ_FRAMES * PIQ_BINS;
    loss_marks(logspec, (size_t)cells, v->config->threshold, v->marks);
    v->rec += loss_mask(result->maps[v->info->n_maps - 1], v->marks, 1, cells, NULL);
    v->measured++;
    v->vq += loss_squares(result->z_q_x, result->hcat, 1, (int)result->quantised, NULL);
}

static void take_nameless(void *user, const char *line)
{
    struct validation *v = user;
    if (v->nameless++ == 0)
        snprintf(v->first.text, sizeof v->first.text, "%s", line);
}

/* One epoch's weights may be beyond some clips, and the next one's not. */
static void count_nameless(struct validation *v, const struct eval_data *set,
                           const struct eval_results *results)
{
    for (int i = 0; i < results->n; i++)
        if (results->clips[i].state == EVAL_FAILED) {
            v->counted++;
            v->class_clips[set->clips[i].label]++;
        }
}

static void add(struct validation *v, const struct eval_figures *f)
{
    v->counted += f->counted;
    v->correct += f->correct;
    v->heard += f->heard;
    for (int c = 0; c < f->n_classes; c++) {
        v->class_clips[c] += f->class_clips[c];
        v->class_correct[c] += f->class_correct[c];
    }
    if (f->n_quantiles == 0 || f->heard == 0)
        return;
    const struct eval_explanation *e = &f->explanations[0];
    v->sums.fid_i += e->fid_i * f->heard;
    v->sums.fa += e->fa * f->heard;
    v->sums.ff += e->ff * f->heard;
    v->sums.ai += e->ai * f->heard;
    v->sums.ad += e->ad * f->heard;
    v->sums.ag += e->ag * f->heard;
    v->sums.empty += e->empty;
}

static int run_set(struct validation *v, const struct model *model, const struct eval_data *set,
                   struct error *error)
{
    const struct train_valid_config *c = v->config;
    const struct eval_config config = {.model = model,
                                       .backend = c->backend,
                                       .precision = c->precision,
                                       .threads = c->threads,
                                       .batch = 16,
                                       .quantiles = &c->quantile,
                                       .n_quantiles = c->explain ? 1 : 0,
                                       .advice = "it could be read when the run began: mend "
                                                 "that, and --resume goes on",
                                       .keep_nameless = true,
                                       .failed = take_nameless,
                                       .stop = &stop_signal,
                                       .heard = c->interpreter ? take_losses : NULL,
                                       .progress = show,
                                       .user = v};
    struct eval_results results = {0};
    struct eval_figures figures = {0};
    int r = eval_run(&config, set, &results, error);
    if (r == 0)
        r = eval_figures_make(&figures, set, &results, &c->quantile, v->data->n_classes, error);
    if (r == 0) {
        add(v, &figures);
        count_nameless(v, set, &results);
    }
    v->before += set->n;
    eval_figures_finish(&figures);
    eval_results_finish(&results);
    return r;
}

static void conclude(const struct validation *v, struct train_epoch *ret)
{
    double sum = 0;
    int classes = 0;
    for (int c = 0; c < v->data->n_classes; c++)
        if (v->class_clips[c] > 0) {
            sum += (double)v->class_correct[c] / v->class_clips[c];
            classes++;
        }
    ret->valid_accuracy = v->counted > 0 ? (double)v->correct / v->counted : (double)NAN;
    ret->valid_class_accuracy = classes > 0 ? sum / classes : (double)NAN;
    if (v->config->interpreter && v->measured > 0) {
        ret->valid_rec_loss = v->rec / v->measured;
        ret->valid_vq_loss = v->vq / v->measured;
        ret->valid_loss = ret->valid_rec_loss + 2 * ret->valid_vq_loss;
    }
    if (!v->config->explain || v->heard == 0)
        return;
    ret->fid_i = v->sums.fid_i / v->heard;
    ret->fa = v->sums.fa / v->heard;
    ret->ff = v->sums.ff / v->heard;
    ret->ai = v->sums.ai / v->heard;
    ret->ad = v->sums.ad / v->heard;
    ret->ag = v->sums.ag / v->heard;
    ret->empty = (double)v->sums.empty / v->heard;
}

int train_validate(const struct train_valid_config *config, const struct train_data *data,
                   struct train_epoch *ret, struct error *error)
{
    struct validation v = {.config = config, .data = data};
    struct model *model = NULL;
    const size_t classes = (size_t)data->n_classes;
    v.class_clips = calloc(classes, sizeof *v.class_clips);
    v.class_correct = calloc(classes, sizeof *v.class_correct);
    v.marks = malloc((size_t)PIQ_FRAMES * PIQ_BINS);
    int r = v.class_clips == NULL || v.class_correct == NULL || v.marks == NULL
                ? error_set(error, ENOMEM, "out of memory")
                : model_open_with(&model, config->dir,
                                  config->interpreter ? INTERPRETER_PIQ : INTERPRETER_AUTO, error);
    v.info = r == 0 ? model_info(model) : NULL;
    for (int s = 0; s < data->n_sets && r == 0; s++)
        if (data->valid[s].n > 0)
            r = run_set(&v, model, &data->valid[s], error);
    if (r == 0)
        conclude(&v, ret);
    if (v.nameless > 0) {
        train_progress_wipe(config->progress);
        fprintf(stderr, "focald: %d of %d clips do not count as recognised, the first: %s\n",
                v.nameless, data->n_valid, v.first.text);
    }
    model_close(model);
    free(v.class_clips);
    free(v.class_correct);
    free(v.marks);
    return r;
}
