/* SPDX-License-Identifier: Apache-2.0
 * The figures for programs: one JSON object, and CSV. */
#include "daemon/eval_print.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "daemon/eval_csv.h"
#include "daemon/reject_report.h"
#include "daemon/reject_write.h"

static int put(json_t *to, const char *key, json_t *value)
{
    return json_object_set_new(to, key, value);
}

static json_t *text(const char *value)
{
    char clean[4096];
    utf8_clean(value, clean, sizeof clean);
    return json_string(clean);
}

/* A mean of nothing is null. */
static json_t *mean(double value)
{
    return isnan(value) ? json_null() : json_real(value);
}

/* Adds a quantile's figures; PIQ's have no quantile. */
static int put_explanation(json_t *to, const struct eval_explanation *e, bool quantile)
{
    const struct {
        const char *key;
        double value;
    } figures[] = {
        {"fid_i", e->fid_i},
        {"fa", e->fa},
        {"fa_median", e->fa_median},
        {"ff", e->ff},
        {"ai", e->ai},
        {"ad", e->ad},
        {"ad_double_softmax", e->ad_double_softmax},
        {"ag", e->ag},
        {"sps", e->sps},
        {"comp", e->comp},
        {"kept", e->kept},
    };
    int r = put(to, "quantile", quantile ? json_real(e->quantile) : json_null());
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        r |= put(to, figures[i].key, mean(figures[i].value));
    return r | put(to, "empty_masks", json_integer(e->empty));
}

static json_t *class_json(const struct eval_report *r, int c)
{
    const int clips = r->figures->class_clips[c], correct = r->figures->class_correct[c];
    json_t *o = json_pack("{s:i, s:i, s:f}", "clips", clips, "correct", correct, "accuracy",
                          (double)correct / clips);
    if (o != NULL && r->reject->reject.score != REJECT_NONE)
        put(o, "recall", json_real((double)r->reject->right_named[c] / clips));
    return o;
}

/* The threshold and what it leaves; null without one. */
static json_t *reject_part(const struct eval_report *r)
{
    json_t *o = reject_json(&r->reject->reject);
    if (!json_is_object(o))
        return o;
    json_t *counts = reject_counts_json(&r->reject->counts);
    json_object_update(o, counts);
    json_decref(counts);
    return o;
}

static json_t *per_class(const struct eval_report *r)
{
    json_t *all = json_object();
    for (int c = 0; c < r->info->n_classes; c++) {
        if (r->figures->class_clips[c] > 0)
            put(all, r->info->labels[c], class_json(r, c));
    }
    return all;
}

static json_t *confusion(const struct eval_report *r)
{
    json_t *rows = json_array();
    size_t n = (size_t)r->info->n_classes;
    for (size_t l = 0; l < n; l++) {
        json_t *row = json_array();
        for (size_t p = 0; p < n; p++)
            json_array_append_new(row, json_integer(r->figures->confusion[l * n + p]));
        json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *classes(const struct model_info *info)
{
    json_t *all = json_array();
    for (int c = 0; c < info->n_classes; c++)
        json_array_append_new(all, json_string(info->labels[c]));
    return all;
}

static json_t *folds(uint64_t bits)
{
    json_t *all = json_array();
    for (int f = 0; f <= EVAL_MAX_FOLD; f++)
        if (bits >> f & 1)
            json_array_append_new(all, json_integer(f));
    return all;
}

static json_t *failed(const struct eval_report *r)
{
    json_t *all = json_array();
    for (int i = 0; i < r->results->n; i++)
        if (r->results->clips[i].state == EVAL_FAILED)
            json_array_append_new(all, text(r->data->clips[i].file));
    return all;
}

static json_t *sweep(const struct eval_report *r)
{
    json_t *all = json_array();
    for (int i = 0; i < r->n_sweep; i++) {
        json_t *entry = json_object();
        put_explanation(entry, &r->figures->explanations[r->sweep[i]], true);
        json_array_append_new(all, entry);
    }
    return all;
}

static json_t *report_json(const struct eval_report *r)
{
    const struct eval_figures *f = r->figures;
    json_t *o = json_object();
    if (o == NULL)
        return NULL;
    int bad = put(o, "model", json_string(r->info->name));
    bad |= put(o, "hash", json_string(r->info->hash));
    bad |= put(o, "architecture", json_string(r->info->architecture));
    bad |= put(o, "interpreter", json_string(interpreter_name(r->info->interpreter)));
    bad |= put(o, "data", text(r->dir));
    bad |= put(o, "folds", folds(r->data->folds));
    bad |= put(o, "resampler", json_string(eval_resampler_name(r->resampler)));
    bad |= put(o, "among", json_string(r->among_data ? "data" : "all"));
    bad |= put(o, "clips", json_integer(f->clips));
    bad |= put(o, "counted", json_integer(f->counted));
    bad |= put(o, "silent", json_integer(f->silent));
    bad |= put(o, "skipped", json_integer(f->failed));
    bad |= put(o, "skipped_clips", failed(r));
    bad |= put(o, "unknown", json_integer(r->data->skipped_unknown));
    bad |= put(o, "bad_samples", json_integer((json_int_t)f->bad_samples));
    bad |= put(o, "accuracy", json_real(f->accuracy));
    bad |= put(o, "class_accuracy", json_real(f->class_accuracy));
    bad |= put(o, "reject", reject_part(r));
    if (f->n_quantiles > 0)
        bad |= put_explanation(o, &f->explanations[0], r->info->interpreter != INTERPRETER_PIQ);
    if (r->n_sweep > 0)
        bad |= put(o, "sweep", sweep(r));
    bad |= put(o, "per_class", per_class(r));
    bad |= put(o, "classes", classes(r->info));
    bad |= put(o, "confusion", confusion(r));
    if (r->sanity != NULL)
        bad |= json_object_set(o, "sanity", r->sanity);
    if (bad) {
        json_decref(o);
        return NULL;
    }
    return o;
}

int eval_print_json(FILE *to, const struct eval_report *report)
{
    json_t *o = report_json(report);
    if (o == NULL)
        return -ENOMEM;
    int r = json_dumpf(o, to, JSON_COMPACT);
    json_decref(o);
    return r < 0 || fputc('\n', to) == EOF ? -EIO : 0;
}

/* CSV */

static const char *state_name(enum eval_state state)
{
    static const char *const names[] = {"waiting", "heard", "silent", "failed"};
    return names[state];
}

static void print_explained(FILE *to, const struct eval_report *r, int i, int q)
{
    const struct eval_explained *e =
        &r->results->explained[(size_t)i * (size_t)r->results->n_quantiles + (size_t)q];
    if (r->info->interpreter != INTERPRETER_PIQ)
        fprintf(to, "%.9g", r->figures->explanations[q].quantile);
    fprintf(to, ",%.9g,%.9g,", (double)e->p_in, (double)e->p_out);
    csv_print(to, r->info->labels[e->best_in]);
    fprintf(to, ",%.9g,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g", e->fid_i, e->fa, e->ai, e->ad,
            e->ad_double_softmax, e->ag, e->kept);
    if (e->empty)
        fprintf(to, ",,");
    else
        fprintf(to, ",%.9g,%.9g", e->sps, e->comp);
}

static void print_score(FILE *to, const struct eval_report *r, const struct eval_outcome *out)
{
    const struct model_reject *reject = &r->reject->reject;
    if (out->state != EVAL_DONE || reject->score == REJECT_NONE)
        fprintf(to, ",,");
    else
        fprintf(to, ",%.9g,%d", (double)out->scores[reject->score],
                (int)reject_is_unknown(reject, out->scores[reject->score]));
}

/* q: the quantile, or -1 for a clip that none explains. */
static void print_line(FILE *to, const struct eval_report *r, int i, int q)
{
    const struct eval_outcome *out = &r->results->clips[i];
    csv_print(to, r->data->clips[i].file);
    fprintf(to, ",%d,", r->data->clips[i].fold);
    csv_print(to, r->info->labels[r->data->clips[i].label]);
    fprintf(to, ",%s,", state_name(out->state));
    if (out->state == EVAL_DONE) {
        csv_print(to, r->info->labels[out->predicted]);
        fprintf(to, ",%d,", out->predicted == r->data->clips[i].label);
        csv_print(to, r->info->labels[out->best]);
        fprintf(to, ",%.9g,%.9g,", (double)out->p, (double)out->p_label);
    } else {
        fprintf(to, ",,,,,");
    }
    if (q >= 0)
        print_explained(to, r, i, q);
    else
        fprintf(to, ",,,,,,,,,,,,");
    print_score(to, r, out);
    fputc('\n', to);
}

void eval_print_csv(FILE *to, const struct eval_report *r)
{
    fprintf(to, "file,fold,label,state,predicted,correct,explained,p,p_label,quantile,p_maskin,"
                "p_maskout,predicted_maskin,fid_i,fa,ai,ad,ad_double_softmax,ag,kept,sps,comp,"
                "score,unknown\n");
    for (int i = 0; i < r->results->n; i++) {
        bool heard = r->results->clips[i].state == EVAL_DONE && r->figures->n_quantiles > 0;
        if (!heard || r->n_sweep == 0) {
            print_line(to, r, i, heard ? 0 : -1);
            continue;
        }
        for (int s = 0; s < r->n_sweep; s++)
            print_line(to, r, i, r->sweep[s]);
    }
}
