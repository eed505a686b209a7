/* SPDX-License-Identifier: Apache-2.0
 * `focald classify FILE…`: names the sound of files. A file that cannot be read does not keep the
 * others from being named; the exit status then is 1. */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/classifier.h"
#include "daemon/classify_files.h"
#include "daemon/classify_print.h"
#include "daemon/config.h"
#include "daemon/modes.h"
#include "daemon/open_model.h"
#include "daemon/options.h"
#include "daemon/reject_live.h"
#include "daemon/wisdom.h"

enum { BATCH_DEFAULT = 4, NAME_WIDTH_MAX = 40, PROGRESS_FILES = 2 };

static const struct option_spec specs[] = {
    {"json", 'j', NULL, "one JSON object a line and clip", NULL, NULL},
    {"out", 'o', "DIR", "write each clip's interpretation: STEM.wav and STEM.png", NULL, NULL},
    {"model", 'm', "DIR", "the model (default: the one that came with focald)", "model", "dir"},
    {"quantile", 'q', "Q", "the mask keeps the map's cells from its Q-quantile on, 0 to 1 (0.9)",
     "analysis", "quantile"},
    {"top-k", 'k', "N", "how many labels to tell, 1 to 20 (5)", "analysis", "top_k"},
    {"silence-gate", 0, "DB", "below this peak a window is silence (-60 dBFS)", "analysis",
     "silence_gate"},
    {"reject", 0, "T", "what is unknown: auto (the model's threshold), off, or a number", "model",
     "reject"},
    {"hop", 0, "S", "seconds from a window's beginning to the next one's (a window's length)", NULL,
     NULL},
    {"batch", 0, "N", "windows run at once, 1 to 64 (4)", NULL, NULL},
    {"threads", 't', "N", "threads of the network (all cores)", "model", "threads"},
    {"interpreter", 0, "NAME", "auto, modulation, attention or piq", "model", "interpreter"},
    {"backend", 0, "NAME", "auto, cpu or cuda", "model", "backend"},
    {"precision", 0, "NAME", "of the GPU: auto, float32, tf32, bfloat16, float16", "model",
     "precision"},
    {"config", 'c', "FILE", "this configuration alone instead of the standard files", NULL, NULL},
    {"quiet", 'Q', NULL, "no progress and no warnings", NULL, NULL},
    {0},
};

static const struct option_usage usage = {
    .synopsis = "focald classify [OPTION…] FILE…",
    .about =
        "Names the sound of audio files of any format libsndfile reads, any rate and channel\n"
        "count. A clip shorter than the model's window (5 s) is filled up with silence; a longer\n"
        "one is cut into windows, and its label comes from the mean of their probabilities,\n"
        "each counting by the samples it holds.",
    .options = specs,
    .more =
        "Per clip, --json gives: file, label, p (softmax of the scaled cosines, for people),\n"
        "p_paper (of the cosines themselves, as in the paper), top [label, p, p_paper], windows\n"
        "[start_s, end_s, label, p, p_paper, silence, unknown], unknown, score, duration_s, "
        "rate_hz\n"
        "and channels of the file, bad_samples (NaN, infinite or beyond 1e15, taken as zero), "
        "model\n"
        "and hash; with --out also wav and png. A silent or unknown clip or window has the label "
        "null; what\n"
        "an unknown one might be stands in top.\n"
        "STEM.wav is what the network heard: the clip's spectrogram times the mask of its\n"
        "map, as mono float sound, as long as the clip at the model's rate. STEM.png shows\n"
        "spectrogram, map and what the mask keeps. Nothing is left half-written, and no\n"
        "input is overwritten (dog-2.wav stands for a name that is taken).\n\n"
        "Exit status: 0, 1 when a clip failed (the others are done), 2 for a wrong option.",
    .operands = true,
};

struct classify {
    struct options options;
    struct config *config;
    const char *out; /* directory or NULL */
    bool json, quiet, progress;
    double hop_s;
    int batch, name_width;
    char **stems; /* [n_operands] with --out */
    struct model *model;
    struct classifier *classifier;
    int n_done, failures;
};

/* Progress */

/* On a terminal the last line follows the work; it is wiped before anything else is said. */
static void wipe_progress(const struct classify *c)
{
    if (c->progress)
        fputs("\r\033[K", stderr);
}

static void show_progress(const struct classify *c)
{
    if (!c->progress)
        return;
    fprintf(stderr, "\r\033[K%d of %d clips", c->n_done, c->options.n_operands);
    fflush(stderr);
}

/* file: NULL where the text names it. */
static void complain(struct classify *c, const char *file, const char *text)
{
    wipe_progress(c);
    fprintf(stderr, "focald: %s%s%s\n", file != NULL ? file : "", file != NULL ? ": " : "", text);
    c->failures++;
}

/* One clip */

static int write_files(struct classify *c, const char *file, const struct classified_clip *clip,
                       const struct classify_top *top, const char *wav, const char *png,
                       struct error *error)
{
    const struct model_info *info = model_info(c->model);
    char title[1024], subtitle[1024];
    int r = classify_write_wav(wav, clip->interpreted, clip->clip.n, clip->clip.rate_hz, error);
    if (r < 0)
        return r;
    classify_title(file, clip, info, top, title, sizeof title);
    classify_subtitle(clip, info, top, c->config->live.quantile, subtitle, sizeof subtitle);
    struct picture_text text = {title, subtitle};
    return picture_write(clip->picture, &text, png, error);
}

static void warn_bad(const struct classify *c, const char *file, const struct clip *clip)
{
    if (clip->bad == 0 || c->quiet)
        return;
    wipe_progress(c);
    fprintf(stderr, "focald: %s: %llu sample%s NaN, infinite or beyond 1e15 and taken as zero\n",
            file, (unsigned long long)clip->bad, clip->bad == 1 ? " is" : "s are");
}

static void print_clip(struct classify *c, const char *file, const struct classified_clip *clip,
                       const struct classify_top *top, const char *wav, const char *png)
{
    const struct model_info *info = model_info(c->model);
    wipe_progress(c);
    if (!c->json)
        classify_print_line(stdout, file, c->name_width, clip, info, top);
    else if (classify_print_json(stdout, file, clip, info, top, wav, png) == -ENOMEM)
        complain(c, file, "out of memory");
    fflush(stdout);
}

static void tell_clip(struct classify *c, int index, const struct classified_clip *clip)
{
    const char *file = c->options.operands[index];
    struct error error = {""};
    struct classify_top top;
    char *wav = NULL, *png = NULL;
    int r = 0;
    classify_top(clip, model_info(c->model)->n_classes, c->config->live.top_k, &top);
    if (c->out != NULL) {
        if (asprintf(&wav, "%s/%s.wav", c->out, c->stems[index]) < 0 ||
            asprintf(&png, "%s/%s.png", c->out, c->stems[index]) < 0)
            r = error_set(&error, ENOMEM, "%s: out of memory", file);
        else
            r = write_files(c, file, clip, &top, wav, png, &error);
    }
    if (r < 0)
        complain(c, NULL, error.text);
    print_clip(c, file, clip, &top, r == 0 ? wav : NULL, r == 0 ? png : NULL);
    free(wav);
    free(png);
}

static void clip_done(void *user, struct classified_clip *clip)
{
    struct classify *c = user;
    int index = (int)(intptr_t)clip->user;
    const char *file = c->options.operands[index];
    warn_bad(c, file, &clip->clip);
    if (clip->failed)
        complain(c, file, clip->error.text);
    else
        tell_clip(c, index, clip);
    c->n_done++;
    show_progress(c);
}

/* The mode */

static int parse(struct classify *c, int argc, char **argv)
{
    int r = options_parse(&c->options, &usage, argc, argv);
    if (r != 0)
        return r;
    c->json = options_value(&c->options, "json") != NULL;
    c->quiet = options_value(&c->options, "quiet") != NULL;
    c->out = options_value(&c->options, "out");
    c->batch = BATCH_DEFAULT;
    if (options_integer(&c->options, "batch", 1, 64, &c->batch) < 0 ||
        options_number(&c->options, "hop", 0.01, 3600, &c->hop_s) < 0)
        return -EINVAL;
    if (c->options.n_operands == 0) {
        fprintf(stderr, "focald: classify what? Name sound files; see --help\n");
        return -EINVAL;
    }
    c->progress = !c->quiet && c->options.n_operands >= PROGRESS_FILES && isatty(STDERR_FILENO);
    return 0;
}

static int start(struct classify *c, struct error *error)
{
    int r = open_model(&c->model, c->config, error);
    if (r < 0)
        return r;
    const struct model_info *info = model_info(c->model);
    const char *backend = c->config->backend[0] != '\0' ? c->config->backend : "auto";
    double hop = c->hop_s * info->preprocess.sample_rate;
    if (hop > info->preprocess.window_samples)
        return error_set(error, EINVAL,
                         "--hop %g: longer than a window (%g s), sound would be left out", c->hop_s,
                         (double)info->preprocess.window_samples / info->preprocess.sample_rate);
    struct classifier_config config = {
        .model = c->model,
        .backend = backend,
        .precision = config_precision(c->config),
        .threads = c->config->threads,
        .batch = c->batch,
        .quantile = c->config->live.quantile,
        .gate = powf(10, (float)c->config->live.silence_gate_db / 20),
        .hop = (size_t)lround(hop),
        .reject = reject_in_use(&c->config->live, info),
        .interpret = c->out != NULL,
        .picture = c->out != NULL,
        .done = clip_done,
        .user = c,
    };
    if (c->out != NULL) {
        r = classify_out_dir(c->out, error);
        if (r == 0)
            r = classify_stems(c->out, c->options.operands, c->options.n_operands, &c->stems,
                               error);
    }
    if (r < 0)
        return r;
    wisdom_load(c->config);
    r = classifier_create(&c->classifier, &config, error);
    wisdom_save(c->config);
    return r;
}

/* Names in one column, as wide as the longest of ordinary length. */
static int name_width(const struct classify *c)
{
    int width = 0;
    for (int i = 0; i < c->options.n_operands; i++) {
        int n = (int)strnlen(c->options.operands[i], NAME_WIDTH_MAX);
        width = n > width ? n : width;
    }
    return width;
}

static int classify_all(struct classify *c, struct error *error)
{
    int rate = model_info(c->model)->preprocess.sample_rate;
    c->name_width = name_width(c);
    show_progress(c);
    for (int i = 0; i < c->options.n_operands; i++) {
        struct clip clip;
        struct error bad;
        if (clip_read(&clip, c->options.operands[i], rate, RESAMPLER_BEST, &bad) < 0) {
            complain(c, NULL, bad.text);
            c->n_done++;
            continue;
        }
        int r = classifier_add(c->classifier, &clip, (void *)(intptr_t)i, error);
        if (r < 0)
            return r;
    }
    return classifier_flush(c->classifier, error);
}

int mode_classify(int argc, char **argv)
{
    struct classify c = {0};
    struct error error = {""};
    int r = parse(&c, argc, argv);
    if (r != 0)
        return r < 0 ? EXIT_USAGE : EXIT_SUCCESS;
    c.config = calloc(1, sizeof *c.config);
    r = c.config == NULL ? error_set(&error, ENOMEM, "out of memory")
                         : config_load(c.config, options_value(&c.options, "config"),
                                       c.options.config, c.options.n_config, &error);
    if (r == 0)
        r = start(&c, &error);
    if (r == 0)
        r = classify_all(&c, &error);
    if (r < 0)
        complain(&c, NULL, error.text);
    wipe_progress(&c);
    if (ferror(stdout) || fflush(stdout) != 0) {
        fprintf(stderr, "focald: cannot write the results: %s\n", strerror(errno));
        c.failures++;
    }
    classifier_destroy(c.classifier);
    model_close(c.model);
    classify_stems_free(c.stems, c.options.n_operands);
    free(c.config);
    return c.failures > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
