/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/reject_report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "daemon/reject_write.h"

/* Making */

static struct reject_scored scored(const struct reject_clip *clip, enum reject_score score)
{
    return (struct reject_scored){clip->scores[score], clip->known, clip->right};
}

/* The clips with one score; unknown ones that are silent count nowhere: their name is silence. */
static int take_scores(const struct reject_pool *pool, enum reject_score score,
                       struct reject_scored *ret)
{
    int n = 0;
    for (int i = 0; i < pool->n; i++)
        if (pool->clips[i].known || !pool->clips[i].silent)
            ret[n++] = scored(&pool->clips[i], score);
    return n;
}

static bool is_better(const struct reject_choice *a, const struct reject_choice *b)
{
    if (a->counts.right_named != b->counts.right_named)
        return a->counts.right_named > b->counts.right_named;
    return a->area > b->area;
}

static int choose_all(struct reject_report *report, enum reject_score only,
                      struct reject_scored *clips, struct error *error)
{
    struct error none;
    for (int s = REJECT_NONE + 1; s < REJECT_COUNT; s++) {
        if (only != REJECT_NONE && s != (int)only)
            continue;
        const int n = take_scores(report->pool, (enum reject_score)s, clips);
        struct reject_choice *choice = &report->choices[s];
        int r = reject_choose((enum reject_score)s, clips, n, report->share, choice, &none);
        if (r < 0 && r != -ERANGE)
            return error_set(error, -r, "%s", none.text);
        if (r == 0 && choice->counts.right_named > 0 &&
            (report->best == REJECT_NONE || is_better(choice, &report->choices[report->best])))
            report->best = (enum reject_score)s;
    }
    if (report->best == REJECT_NONE)
        return error_set(
            error, ERANGE,
            "no threshold tells the known sounds from the unknown: with at most %.3g %% "
            "of these named, none of the known is named and right",
            100 * report->share);
    return 0;
}

static void add(struct reject_counts *to, const struct reject_counts *from)
{
    to->unknown += from->unknown;
    to->named_unknown += from->named_unknown;
    to->known += from->known;
    to->right += from->right;
    to->right_named += from->right_named;
    to->wrong_named += from->wrong_named;
}

static void count_parts(struct reject_report *report)
{
    const struct reject_pool *pool = report->pool;
    for (int i = 0; i < pool->n; i++) {
        const struct reject_scored clip = scored(&pool->clips[i], report->best);
        struct reject_counts counts;
        if (!clip.known && pool->clips[i].silent)
            continue;
        reject_count(&report->choices[report->best].reject, &clip, 1, &counts);
        add(&report->runs[pool->clips[i].run], &counts);
        add(&report->classes[pool->clips[i].class], &counts);
    }
}

int reject_report_make(struct reject_report *ret, const struct reject_pool *pool, double share,
                       enum reject_score only, struct error *error)
{
    struct reject_report report = {.pool = pool, .share = share};
    struct reject_scored *clips = calloc((size_t)pool->n + 1, sizeof *clips);
    report.runs = calloc((size_t)pool->n_runs + 1, sizeof *report.runs);
    report.classes = calloc((size_t)pool->n_classes + 1, sizeof *report.classes);
    int r = clips == NULL || report.runs == NULL || report.classes == NULL
                ? error_set(error, ENOMEM, "reject: out of memory")
                : choose_all(&report, only, clips, error);
    free(clips);
    if (r < 0) {
        reject_report_finish(&report);
        return r;
    }
    count_parts(&report);
    *ret = report;
    return 0;
}

void reject_report_finish(struct reject_report *report)
{
    free(report->runs);
    free(report->classes);
    *report = (struct reject_report){0};
}

/* The table */

static double percent(int part, int of)
{
    return of > 0 ? 100.0 * part / of : 0;
}

static void print_scores(FILE *to, const struct reject_report *r)
{
    fprintf(to, "\n  score          below   accuracy    recall   named unknown     ROC\n");
    for (int s = REJECT_NONE + 1; s < REJECT_COUNT; s++) {
        const struct reject_choice *c = &r->choices[s];
        const struct reject_counts *n = &c->counts;
        if (c->reject.score == REJECT_NONE)
            continue;
        fprintf(to, "%c %-12s %8.5g  %7.2f %%  %7.2f %%  %5d, %5.2f %%  %7.4f\n",
                s == (int)r->best ? '*' : ' ', reject_score_name((enum reject_score)s),
                (double)c->reject.below, percent(n->right, n->known),
                percent(n->right_named, n->known), n->named_unknown,
                percent(n->named_unknown, n->unknown), c->area);
    }
}

/* Directories and the classes of data are named by file names. */
struct name {
    char text[1024];
};

static struct name printable(const char *text)
{
    struct name name;
    utf8_printable(text, name.text, sizeof name.text);
    return name;
}

/* What a run leaves out, as far as there is room. */
static void left_out_text(const struct reject_run *run, char *ret, size_t size)
{
    size_t n = 0;
    ret[0] = '\0';
    for (int i = run->n_classes - run->n_left_out; i < run->n_classes && n < size; i++) {
        const int wrote =
            snprintf(ret + n, size - n, "%s%s", n > 0 ? ", " : "", printable(run->classes[i]).text);
        n += wrote > 0 ? (size_t)wrote : 0;
    }
    if (n >= size && size > 4)
        memcpy(ret + size - 4, "…", 4);
}

static void print_runs(FILE *to, const struct reject_report *r)
{
    fprintf(to, "\n  known  accuracy    recall  unknown    named  run, what it leaves out\n");
    for (int i = 0; i < r->pool->n_runs; i++) {
        const struct reject_counts *n = &r->runs[i];
        char left_out[512];
        left_out_text(&r->pool->runs[i], left_out, sizeof left_out);
        fprintf(to, "  %5d  %6.2f %%  %6.2f %%  %7d  %5.2f %%  %s%s%s\n", n->known,
                percent(n->right, n->known), percent(n->right_named, n->known), n->unknown,
                percent(n->named_unknown, n->unknown), printable(r->pool->runs[i].dir).text,
                left_out[0] != '\0' ? ": " : "", left_out);
    }
}

static void print_classes(FILE *to, const struct reject_report *r)
{
    fprintf(to, "\n  known  accuracy    recall  unknown    named  class\n");
    for (int c = 0; c < r->pool->n_classes; c++) {
        const struct reject_counts *n = &r->classes[c];
        if (n->known > 0)
            fprintf(to, "  %5d  %6.2f %%  %6.2f %%", n->known, percent(n->right, n->known),
                    percent(n->right_named, n->known));
        else
            fprintf(to, "  %5s  %8s  %8s", "-", "-", "-");
        if (n->unknown > 0)
            fprintf(to, "  %7d  %5.2f %%  %s\n", n->unknown, percent(n->named_unknown, n->unknown),
                    printable(r->pool->classes[c]).text);
        else
            fprintf(to, "  %7s  %7s  %s\n", "-", "-", printable(r->pool->classes[c]).text);
    }
}

void reject_print_table(FILE *to, const struct reject_report *r)
{
    const struct reject_choice *c = &r->choices[r->best];
    const struct reject_counts *n = &c->counts;
    fprintf(to,
            "%d run%s: %d clips of known sounds, %d of unknown ones, of which at most %.3g %% may "
            "be named\n",
            r->pool->n_runs, r->pool->n_runs == 1 ? "" : "s", n->known, n->unknown, 100 * r->share);
    print_scores(to, r);
    fprintf(to,
            "\n%s below %.9g is unknown: %.2f %% of the known sounds are named and right, %.2f %%\n"
            "named and wrong; without a threshold %.2f %% are right. %d of %d unknown sounds are\n"
            "named, %.2f %%; of as many others, with 95 %% confidence, at most %.2f %%.\n",
            reject_score_name(r->best), reject_shortest(c->reject.below),
            percent(n->right_named, n->known), percent(n->wrong_named, n->known),
            percent(n->right, n->known), n->named_unknown, n->unknown,
            percent(n->named_unknown, n->unknown), 100 * c->bound);
    print_runs(to, r);
    print_classes(to, r);
}

/* JSON */

static json_t *share_of(int part, int of)
{
    return of > 0 ? json_real((double)part / of) : json_null();
}

/* Objects take over the references given to them; a value that could not be made makes NULL. */
json_t *reject_counts_json(const struct reject_counts *n)
{
    return json_pack("{s:i, s:o, s:o, s:o, s:i, s:i, s:o}", "known", n->known, "accuracy",
                     share_of(n->right, n->known), "recall", share_of(n->right_named, n->known),
                     "named_wrong", share_of(n->wrong_named, n->known), "unknown", n->unknown,
                     "named_unknown", n->named_unknown, "false_names",
                     share_of(n->named_unknown, n->unknown));
}

static json_t *scores_json(const struct reject_report *r)
{
    json_t *list = json_array();
    for (int s = REJECT_NONE + 1; s < REJECT_COUNT; s++) {
        const struct reject_choice *c = &r->choices[s];
        if (c->reject.score == REJECT_NONE)
            continue;
        json_t *o = reject_json(&c->reject), *counts = reject_counts_json(&c->counts);
        json_object_update(o, counts);
        json_decref(counts);
        json_object_set_new(o, "false_names_bound", json_real(c->bound));
        json_object_set_new(o, "roc_area", json_real(c->area));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *clean_json(const char *text)
{
    char clean[4096];
    utf8_clean(text, clean, sizeof clean);
    return json_string(clean);
}

static json_t *runs_json(const struct reject_report *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->pool->n_runs; i++) {
        const struct reject_run *run = &r->pool->runs[i];
        json_t *o = reject_counts_json(&r->runs[i]), *left_out = json_array();
        for (int c = run->n_classes - run->n_left_out; c < run->n_classes; c++)
            json_array_append_new(left_out, clean_json(run->classes[c]));
        json_object_set_new(o, "run", clean_json(run->dir));
        json_object_set_new(o, "hash", json_string(run->hash));
        json_object_set_new(o, "left_out", left_out);
        json_object_set_new(o, "silent", json_integer(run->silent));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *classes_json(const struct reject_report *r)
{
    json_t *o = json_object();
    for (int c = 0; c < r->pool->n_classes; c++) {
        char clean[4096];
        utf8_clean(r->pool->classes[c], clean, sizeof clean);
        json_object_set_new(o, clean, reject_counts_json(&r->classes[c]));
    }
    return o;
}

int reject_print_json(FILE *to, const struct reject_report *r)
{
    json_t *o = json_pack("{s:f, s:s, s:o, s:f, s:o, s:o, s:o}", "false_names", r->share,
                          "resampler", eval_resampler_name(r->pool->resampler), "reject",
                          reject_json(&r->choices[r->best].reject), "confidence", 0.95, "scores",
                          scores_json(r), "runs", runs_json(r), "classes", classes_json(r));
    if (o == NULL)
        return -ENOMEM;
    int code = json_dumpf(o, to, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(o);
    return code < 0 || fputc('\n', to) == EOF ? -EIO : 0;
}
