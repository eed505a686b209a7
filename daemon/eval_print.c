/* SPDX-License-Identifier: Apache-2.0
 * The table. */
#include "daemon/eval_print.h"

#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "daemon/reject_write.h"

enum { MOST_CONFUSIONS = 10, NAME_MIN = 12, NAME_MAX = 28, BAR = 20 };

static const char *last_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

void eval_print_subject(const struct eval_report *r, char *ret, size_t size)
{
    char folds[200], dir[128];
    utf8_printable(r->dir, dir, sizeof dir);
    for (size_t n = strlen(dir); n > 1 && dir[n - 1] == '/'; n--)
        dir[n - 1] = '\0';
    eval_folds_text(r->data->folds, folds, sizeof folds);
    snprintf(ret, size, "%s, %s, fold%s %s", r->info->name, last_name(dir),
             strpbrk(folds, ",-") != NULL ? "s" : "", folds);
}

/* Columns of UTF-8 text: its characters. */
static int width_of(const char *text)
{
    int n = 0;
    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void print_padded(FILE *to, const char *text, int width)
{
    fprintf(to, "%s%*s", text, width - width_of(text) > 0 ? width - width_of(text) : 0, "");
}

static int name_width(const struct eval_report *r)
{
    int width = NAME_MIN;
    for (int c = 0; c < r->info->n_classes; c++)
        if (r->figures->class_clips[c] > 0 && width_of(r->info->labels[c]) > width)
            width = width_of(r->info->labels[c]);
    return width < NAME_MAX ? width : NAME_MAX;
}

/* Parts */

static void print_head(FILE *to, const struct eval_report *r)
{
    const struct eval_figures *f = r->figures;
    char folds[200], dir[4096];
    utf8_printable(r->dir, dir, sizeof dir);
    eval_folds_text(r->data->folds, folds, sizeof folds);
    fprintf(to, "model  %s (%s, %.1f M parameters), %.12s\n", r->info->name, r->info->architecture,
            (double)r->info->parameters * 1e-6, r->info->hash);
    fprintf(to, "data   %s, fold%s %s: %d clips of %d classes\n", dir,
            strpbrk(folds, ",-") != NULL ? "s" : "", folds, f->clips, f->n_present);
    if (r->resampler != EVAL_RESAMPLER_PAPER)
        fprintf(to, "       resampled as the daemon does, %s\n", eval_resampler_name(r->resampler));
    if (f->failed > 0)
        fprintf(to, "       %d clip%s failed and %s left out\n", f->failed,
                f->failed == 1 ? "" : "s", f->failed == 1 ? "is" : "are");
    if (r->data->skipped_unknown > 0)
        fprintf(to, "       %d clip%s of classes that the model does not know left out\n",
                r->data->skipped_unknown, r->data->skipped_unknown == 1 ? "" : "s");
    if (f->silent > 0)
        fprintf(to, "       %d clip%s silent: counted as not recognised, explained by nothing\n",
                f->silent, f->silent == 1 ? " is" : "s are");
    if (f->bad_samples > 0)
        fprintf(to, "       %llu samples were NaN, infinite or beyond 1e15 and taken as zero\n",
                (unsigned long long)f->bad_samples);
}

static void print_accuracy(FILE *to, const struct eval_report *r)
{
    const struct eval_figures *f = r->figures;
    char among[64];
    snprintf(among, sizeof among, "among %s %d classes",
             r->among_data ? "the data's" : "the model's",
             r->among_data ? f->n_present : r->info->n_classes);
    fprintf(to, "\n  accuracy        %7.2f %%   %d of %d clips, %s\n", 100 * f->accuracy,
            f->correct, f->counted, among);
    fprintf(to, "  a class, mean   %7.2f %%   of the %d classes that occur\n",
            100 * f->class_accuracy, f->n_present);
}

struct figure {
    char text[24];
};

/* A mean of nothing is "-". */
static struct figure figure(double value, int decimals)
{
    struct figure f = {"-"};
    if (!isnan(value))
        snprintf(f.text, sizeof f.text, "%.*f", decimals, value);
    return f;
}

static struct figure percent(int part, int of)
{
    return figure(of > 0 ? 100.0 * part / of : (double)NAN, 2);
}

static void print_reject(FILE *to, const struct eval_report *r)
{
    const struct reject_counts *n = &r->reject->counts;
    fprintf(to, "\n%s below %.9g is unknown\n", reject_score_name(r->reject->reject.score),
            reject_shortest(r->reject->reject.below));
    fprintf(to, "  recall          %7s %%   named and right, %s %% named and wrong\n",
            percent(n->right_named, n->known).text, percent(n->wrong_named, n->known).text);
    if (r->reject->has_unknown)
        fprintf(to, "  false names     %7s %%   %d of %d clips of classes it does not know\n",
                percent(n->named_unknown, n->unknown).text, n->named_unknown, n->unknown);
}

static void print_explanation(FILE *to, const struct eval_report *r)
{
    const struct eval_explanation *e = &r->figures->explanations[0];
    if (r->info->interpreter == INTERPRETER_PIQ)
        fprintf(to, "\nPIQ's mask, which keeps %s %% of a spectrogram\n",
                figure(100 * e->kept, 1).text);
    else
        fprintf(to, "\n%s map, mask from its %g-quantile on, which keeps %s %%\n",
                interpreter_name(r->info->interpreter), e->quantile, figure(100 * e->kept, 1).text);
    fprintf(to, "  FID-I           %9s   the part kept gets the same label\n",
            figure(e->fid_i, 4).text);
    fprintf(to, "  FA (FF)         %9s   p lost without it, median %s\n", figure(e->fa, 5).text,
            figure(e->fa_median, 5).text);
    fprintf(to, "  AI              %7s %%   clips whose p rises with the part alone\n",
            figure(e->ai, 2).text);
    fprintf(to, "  AD              %7s %%   p that drops, %s %% with a second softmax\n",
            figure(e->ad, 2).text, figure(e->ad_double_softmax, 3).text);
    fprintf(to, "  AG              %7s %%   p that is gained\n", figure(e->ag, 3).text);
    fprintf(to, "  SPS             %9s   sparseness, Gini index of the mask\n",
            figure(e->sps, 4).text);
    fprintf(to, "  COMP            %9s   complexity, entropy of the mask\n",
            figure(e->comp, 4).text);
    if (e->empty > 0)
        fprintf(to, "  %d mask%s nothing: no SPS, no COMP\n", e->empty,
                e->empty == 1 ? " keeps" : "s keep");
}

static void print_sweep(FILE *to, const struct eval_report *r)
{
    fprintf(to,
            "\n  quantile   kept   FID-I        FA     AI %%    AD %%    AG %%    SPS    COMP\n");
    for (int i = 0; i < r->n_sweep; i++) {
        const struct eval_explanation *e = &r->figures->explanations[r->sweep[i]];
        fprintf(to, "  %8.3f  %5s  %6s  %8s  %6s  %6s  %6s  %5s  %6s\n", e->quantile,
                figure(e->kept, 3).text, figure(e->fid_i, 4).text, figure(e->fa, 5).text,
                figure(e->ai, 2).text, figure(e->ad, 2).text, figure(e->ag, 3).text,
                figure(e->sps, 3).text, figure(e->comp, 3).text);
    }
}

static void print_confusions(FILE *to, const struct eval_report *r)
{
    const struct eval_figures *f = r->figures;
    int n = f->n_worst < MOST_CONFUSIONS ? f->n_worst : MOST_CONFUSIONS, width = name_width(r);
    if (n == 0)
        return;
    fprintf(to, "\nmost often confused\n");
    for (int i = 0; i < n; i++) {
        fprintf(to, "  %5d  ", f->worst[i].clips);
        print_padded(to, r->info->labels[f->worst[i].label], width);
        fprintf(to, " heard as %s\n", r->info->labels[f->worst[i].predicted]);
    }
}

/* The worst confusion of a class, or NULL. */
static const struct eval_confusion *worst_of(const struct eval_figures *f, int label)
{
    for (int i = 0; i < f->n_worst; i++)
        if (f->worst[i].label == label)
            return &f->worst[i];
    return NULL;
}

static void print_classes(FILE *to, const struct eval_report *r)
{
    const struct eval_figures *f = r->figures;
    int width = name_width(r);
    fprintf(to, "\n  ");
    print_padded(to, "class", width);
    fprintf(to, "  clips  accuracy  %-*s  most often heard as\n", BAR / 2, "");
    for (int c = 0; c < r->info->n_classes; c++) {
        if (f->class_clips[c] == 0)
            continue;
        double share = (double)f->class_correct[c] / f->class_clips[c];
        const struct eval_confusion *worst = worst_of(f, c);
        fprintf(to, "  ");
        print_padded(to, r->info->labels[c], width);
        fprintf(to, "  %5d  %6.1f %%  ", f->class_clips[c], 100 * share);
        for (int i = 0; i < BAR / 2; i++) {
            double rest = share * BAR / 2 - i;
            fputs(rest >= 0.75 ? "█" : rest >= 0.25 ? "▌" : "·", to);
        }
        if (worst != NULL)
            fprintf(to, "  %s (%d)", r->info->labels[worst->predicted], worst->clips);
        fprintf(to, "\n");
    }
}

static void print_sanity(FILE *to, const struct eval_report *r)
{
    size_t i;
    json_t *stage;
    const json_t *stages = json_object_get(r->sanity, "stages");
    fprintf(to, "\nrank correlation with the trained map, weights randomised from the head down\n");
    fprintf(to, "  %-22s mean    least    most   labels kept\n", "up to and with");
    json_array_foreach (stages, i, stage) {
        const char *name = json_string_value(json_object_get(stage, "stage"));
        static const char *const columns[] = {"rank_correlation", "least", "most", "labels_kept"};
        double values[4];
        for (int k = 0; k < 4; k++) {
            const json_t *value = json_object_get(stage, columns[k]);
            values[k] = json_is_number(value) ? json_number_value(value) : (double)NAN;
        }
        fprintf(to, "  %-20s %6s   %6s  %6s      %5s %%\n", name, figure(values[0], 3).text,
                figure(values[1], 3).text, figure(values[2], 3).text,
                figure(100 * values[3], 1).text);
    }
}

void eval_print_table(FILE *to, const struct eval_report *r)
{
    print_head(to, r);
    print_accuracy(to, r);
    if (r->reject->reject.score != REJECT_NONE)
        print_reject(to, r);
    if (r->figures->n_quantiles > 0)
        print_explanation(to, r);
    if (r->n_sweep > 0)
        print_sweep(to, r);
    if (r->per_class)
        print_classes(to, r);
    print_confusions(to, r);
    if (r->sanity != NULL)
        print_sanity(to, r);
    int windows = r->figures->heard * (1 + 2 * r->figures->n_quantiles);
    if (r->results->seconds > 0)
        fprintf(to, "\n%d windows in %.1f s, %.2f ms each\n", windows, r->results->seconds,
                1e3 * r->results->seconds / (windows > 0 ? windows : 1));
}
