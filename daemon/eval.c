/* SPDX-License-Identifier: Apache-2.0
 * `focald eval`: how often a model is right on labelled clips, and how well its maps explain it. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "daemon/config.h"
#include "daemon/eval_data.h"
#include "daemon/eval_figures.h"
#include "daemon/eval_outputs.h"
#include "daemon/eval_overlap.h"
#include "daemon/eval_pictures.h"
#include "daemon/eval_print.h"
#include "daemon/eval_progress.h"
#include "daemon/eval_quantiles.h"
#include "daemon/eval_reject.h"
#include "daemon/eval_run.h"
#include "daemon/eval_sanity.h"
#include "daemon/modes.h"
#include "daemon/open_model.h"
#include "daemon/options.h"
#include "daemon/reject_live.h"
#include "daemon/spin.h"
#include "daemon/stop.h"
#include "daemon/wisdom.h"

enum { BATCH_DEFAULT = 8, SANITY_CLIPS = 64 };

static const struct option_spec specs[] = {
    {"data", 'd', "DIR", "labelled clips: ESC-50's layout, or a folder a class", NULL, NULL},
    {"model", 'm', "DIR", "the model (default: the one that came with focald)", "model", "dir"},
    {"folds", 'f', "LIST", "of the data, as in 4 or 1-3,6 (all)", NULL, NULL},
    {"quantile", 'q', "Q", "the mask keeps the map's cells from its Q-quantile on (0.9)",
     "analysis", "quantile"},
    {"sweep", 's', "LIST", "more quantiles: 0.5,0.9 or FROM:TO:STEP", NULL, NULL},
    {"interpreter", 0, "NAME", "auto, modulation, attention or piq", "model", "interpreter"},
    {"accuracy-only", 'a', NULL, "no interpretations: one pass a clip", NULL, NULL},
    {"resampler", 0, "NAME", "of clips: paper, fast, medium or best (paper)", NULL, NULL},
    {"among", 0, "SET", "classes that may be predicted: all or data (all)", NULL, NULL},
    {"alias", 0, "NAME=CLASS", "a class of the data is that of the model; repeatable", NULL, NULL},
    {"skip-unknown", 0, NULL, "leave out clips of classes that the model does not know", NULL,
     NULL},
    {"unknown", 'u', "DIR", "labelled clips, maybe the same: how many it names that it should not",
     NULL, NULL},
    {"unknown-folds", 0, "LIST", "of these (all)", NULL, NULL},
    {"reject", 0, "T", "what is unknown: auto (the model's threshold), off, or a number", "model",
     "reject"},
    {"keep-going", 'k', NULL, "leave out clips that fail", NULL, NULL},
    {"per-class", 'p', NULL, "print every class", NULL, NULL},
    {"json", 'j', "FILE", "one JSON object; - instead of the table", NULL, NULL},
    {"csv", 0, "FILE", "a line a clip and quantile; - instead of the table", NULL, NULL},
    {"pictures", 'o', "DIR", "confusion.png, sweep.png, sanity.png, overlaps", NULL, NULL},
    {"overlap", 0, "A,B", "two sound files heard at once, into --pictures; repeatable", NULL, NULL},
    {"overlap-mode", 0, "MODE", "mix or concat (mix)", NULL, NULL},
    {"sanity", 0, NULL, "compare maps with those of randomised weights", NULL, NULL},
    {"sanity-clips", 0, "N", "clips of it, 1 to 100000 (64)", NULL, NULL},
    {"seed", 0, "N", "of the random weights (1)", NULL, NULL},
    {"batch", 0, "N", "windows made ready together, 1 to 64, in eights (8)", NULL, NULL},
    {"threads", 't', "N", "threads (all cores)", "model", "threads"},
    {"backend", 0, "NAME", "auto, cpu or cuda", "model", "backend"},
    {"precision", 0, "NAME", "of the GPU: auto, float32, tf32, bfloat16, float16", "model",
     "precision"},
    {"config", 'c', "FILE", "this configuration alone instead of the standard files", NULL, NULL},
    {"quiet", 'Q', NULL, "no progress", NULL, NULL},
    {0},
};

static const struct option_usage usage = {
    .synopsis = "focald eval [OPTION…] --data DIR",
    .about =
        "Measures a model on labelled clips: accuracy, what it confuses, and how well its map\n"
        "explains what it says (FID-I and FA by the paper's equations 6 and 7; AI, AD, AG, FF,\n"
        "SPS, COMP). Classes are found by name. The same clips give the same figures on every\n"
        "run and for every batch size; another number of threads may change the last digits.",
    .options = specs,
    .more =
        "The figures' formulae, the JSON's and the CSV's fields are in focald-eval(1). Nothing\n"
        "is left half-written.\n\n"
        "Exit status: 0, 1 for a failure, 2 for a wrong option.",
};

struct eval {
    struct options options;
    struct config *config;
    struct eval_outputs outputs;
    const char *dir, *pictures;
    const char *aliases[OPTIONS_MAX];
    struct eval_data_config data_config;
    struct eval_quantiles quantiles;
    bool accuracy_only, among_data, quiet, sanity;
    int batch, sanity_clips, seed;
    enum eval_resampler resampler;
    enum overlap_mode overlap_mode;
    struct overlap *overlaps[OPTIONS_MAX]; /* [n_overlaps] */
    int n_overlaps;
    struct model *model;
    struct eval_data data;
    struct eval_results results;
    struct eval_figures figures;
    struct eval_data unknown; /* with --unknown */
    uint64_t unknown_folds;
    struct eval_results unknown_results;
    struct eval_reject reject;
    struct eval_progress progress;
    json_t *sanity_result;
};

/* Options */

static bool given(const struct eval *e, const char *name)
{
    return options_value(&e->options, name) != NULL;
}

static int mistake(const struct error *error)
{
    fprintf(stderr, "focald: %s\n", error->text);
    return -EINVAL;
}

static int parse_among(struct eval *e)
{
    const char *among = options_value(&e->options, "among");
    if (among == NULL || strcmp(among, "all") == 0)
        return 0;
    e->among_data = strcmp(among, "data") == 0;
    if (e->among_data)
        return 0;
    fprintf(stderr, "focald: --among %s: allowed: all, data\n", among);
    return -EINVAL;
}

static int parse_resampler(struct eval *e)
{
    struct error error;
    const char *name = options_value(&e->options, "resampler");
    if (name != NULL && eval_resampler_parse(name, &e->resampler, &error) < 0)
        return mistake(&error);
    return 0;
}

static int parse_numbers(struct eval *e)
{
    e->batch = BATCH_DEFAULT;
    e->sanity_clips = SANITY_CLIPS;
    e->seed = 1;
    if (options_integer(&e->options, "batch", 1, 64, &e->batch) < 0 ||
        options_integer(&e->options, "sanity-clips", 1, 100000, &e->sanity_clips) < 0 ||
        options_integer(&e->options, "seed", 0, 1 << 30, &e->seed) < 0)
        return -EINVAL;
    return 0;
}

static int parse_data(struct eval *e)
{
    struct error error;
    e->dir = options_value(&e->options, "data");
    if (e->dir == NULL) {
        fprintf(stderr, "focald: eval on what? Name a directory with --data; see --help\n");
        return -EINVAL;
    }
    e->data_config =
        (struct eval_data_config){.dir = e->dir,
                                  .aliases = e->aliases,
                                  .skip_unknown = given(e, "skip-unknown") || given(e, "unknown"),
                                  .keep_going = given(e, "keep-going")};
    for (int i = 0; i < e->options.n_given; i++)
        if (strcmp(e->options.given[i].spec->name, "alias") == 0)
            e->aliases[e->data_config.n_aliases++] = e->options.given[i].value;
    const char *folds = options_value(&e->options, "folds");
    if (folds != NULL && eval_folds_parse("--folds", folds, &e->data_config.folds, &error) < 0)
        return mistake(&error);
    folds = options_value(&e->options, "unknown-folds");
    if (folds != NULL && !given(e, "unknown")) {
        fprintf(stderr, "focald: --unknown-folds: of what? Name a directory with --unknown\n");
        return -EINVAL;
    }
    if (folds != NULL && eval_folds_parse("--unknown-folds", folds, &e->unknown_folds, &error) < 0)
        return mistake(&error);
    return 0;
}

static int parse_overlaps(struct eval *e)
{
    struct error error;
    const char *mode = options_value(&e->options, "overlap-mode");
    if (mode != NULL && overlap_mode_parse(mode, &e->overlap_mode, &error) < 0)
        return mistake(&error);
    if (given(e, "overlap") && e->pictures == NULL) {
        fprintf(stderr,
                "focald: --overlap writes pictures and sound: name where with --pictures\n");
        return -EINVAL;
    }
    for (int i = 0; i < e->options.n_given; i++)
        if (strcmp(e->options.given[i].spec->name, "overlap") == 0 &&
            overlap_files_check(e->options.given[i].value, &error) < 0)
            return mistake(&error);
    return 0;
}

static int parse_outputs(struct eval *e)
{
    const char *json = options_value(&e->options, "json");
    const char *csv = options_value(&e->options, "csv");
    if (json == NULL || csv == NULL || strcmp(json, csv) != 0)
        return 0;
    fprintf(stderr, "focald: --json and --csv: both into %s; name another for one of them\n", csv);
    return -EINVAL;
}

static int parse(struct eval *e, int argc, char **argv)
{
    int r = options_parse(&e->options, &usage, argc, argv);
    if (r != 0)
        return r;
    e->accuracy_only = given(e, "accuracy-only");
    e->quiet = given(e, "quiet");
    e->sanity = given(e, "sanity");
    e->pictures = options_value(&e->options, "pictures");
    if (parse_data(e) < 0 || parse_among(e) < 0 || parse_resampler(e) < 0 || parse_numbers(e) < 0 ||
        parse_overlaps(e) < 0 || parse_outputs(e) < 0)
        return -EINVAL;
    if (e->accuracy_only && given(e, "sweep")) {
        fprintf(stderr, "focald: --accuracy-only explains nothing: it does not go with --sweep\n");
        return -EINVAL;
    }
    return 0;
}

/* Work */

static int choose_quantiles(struct eval *e, struct error *error)
{
    const char *sweep = options_value(&e->options, "sweep");
    if (e->accuracy_only)
        return 0;
    if (sweep != NULL && model_info(e->model)->interpreter == INTERPRETER_PIQ)
        return error_set(error, EINVAL, "--sweep: PIQ's mask has no quantile");
    return eval_quantiles_make(&e->quantiles, e->config->live.quantile, sweep, error);
}

/* The clips that have no class of the model's. */
static int read_unknown(struct eval *e, struct error *error)
{
    struct eval_data_config config = e->data_config;
    config.dir = options_value(&e->options, "unknown");
    config.folds = e->unknown_folds;
    config.only_unknown = true;
    if (config.dir == NULL)
        return 0;
    if (reject_in_use(&e->config->live, model_info(e->model)).score == REJECT_NONE)
        return error_set(error, EINVAL,
                         "--unknown: model %s has no threshold, it names everything; focald reject "
                         "chooses one, --reject names one",
                         model_info(e->model)->name);
    int r = eval_data_read(&e->unknown, &config, model_info(e->model), error);
    if (r == 0 && e->unknown.n == 0)
        r = error_set(error, EINVAL, "--unknown: model %s knows all classes of %s",
                      model_info(e->model)->name, config.dir);
    return r;
}

static int open_overlaps(struct eval *e, struct error *error)
{
    struct overlap_config config = {.model = e->model,
                                    .backend = e->config->backend,
                                    .precision = config_precision(e->config),
                                    .threads = e->config->threads,
                                    .resampler = e->resampler,
                                    .quantile = e->config->live.quantile,
                                    .mode = e->overlap_mode,
                                    .dir = e->pictures};
    int r = 0;
    for (int i = 0; i < e->options.n_given && r == 0; i++) {
        if (strcmp(e->options.given[i].spec->name, "overlap") != 0)
            continue;
        config.number = e->n_overlaps + 1;
        r = overlap_open(&e->overlaps[e->n_overlaps], &config, e->options.given[i].value, error);
        e->n_overlaps += r == 0;
    }
    return r;
}

/* What is wrong is told before the first clip. */
static int start(struct eval *e, struct error *error)
{
    int r = open_model(&e->model, e->config, error);
    if (r == 0)
        r = choose_quantiles(e, error);
    if (r == 0)
        r = eval_data_read(&e->data, &e->data_config, model_info(e->model), error);
    if (r == 0)
        r = read_unknown(e, error);
    if (r == 0)
        r = eval_outputs_begin(&e->outputs, options_value(&e->options, "json"),
                               options_value(&e->options, "csv"), e->pictures, error);
    if (r == 0)
        r = open_overlaps(e, error);
    return r;
}

static void clip_failed(void *user, const char *line)
{
    struct eval *e = user;
    eval_progress_wipe(&e->progress);
    fprintf(stderr, "focald: %s; left out\n", line);
}

static void show_progress(void *user, int clips, double share)
{
    struct eval *e = user;
    eval_progress_show(&e->progress, clips, share);
}

static int run_clips(struct eval *e, struct error *error)
{
    struct eval_config config = {.model = e->model,
                                 .backend = e->config->backend,
                                 .precision = config_precision(e->config),
                                 .threads = e->config->threads,
                                 .batch = e->batch,
                                 .quantiles = e->quantiles.values,
                                 .n_quantiles = e->quantiles.n,
                                 .resampler = e->resampler,
                                 .among_data = e->among_data,
                                 .keep_going = e->data_config.keep_going,
                                 .stop = &stop_signal,
                                 .failed = clip_failed,
                                 .progress = show_progress,
                                 .user = e};
    eval_progress_begin(&e->progress, "clips", e->data.n, e->quiet);
    int r = eval_run(&config, &e->data, &e->results, error);
    eval_progress_wipe(&e->progress);
    if (r == 0)
        r = eval_figures_make(&e->figures, &e->data, &e->results, e->quantiles.values,
                              model_info(e->model)->n_classes, error);
    if (r == 0 && e->figures.counted == 0)
        r = error_set(error, EINVAL, "--data %s: none of its %d clips could be evaluated", e->dir,
                      e->figures.clips);
    return r;
}

/* What the threshold makes of all that, and of sounds of other classes. */
static int run_unknown(struct eval *e, struct error *error)
{
    const struct eval_config config = {.model = e->model,
                                       .backend = e->config->backend,
                                       .precision = config_precision(e->config),
                                       .threads = e->config->threads,
                                       .batch = e->batch,
                                       .resampler = e->resampler,
                                       .keep_going = e->data_config.keep_going,
                                       .stop = &stop_signal,
                                       .failed = clip_failed,
                                       .progress = show_progress,
                                       .user = e};
    const struct model_reject reject = reject_in_use(&e->config->live, model_info(e->model));
    const bool unknown = e->unknown.n > 0;
    int r = 0;
    if (reject.score == REJECT_NONE)
        return 0;
    if (unknown) {
        eval_progress_begin(&e->progress, "unknown clips", e->unknown.n, e->quiet);
        r = eval_run(&config, &e->unknown, &e->unknown_results, error);
        eval_progress_wipe(&e->progress);
    }
    return r < 0 ? r
                 : eval_reject_make(&e->reject, &reject, &e->data, &e->results,
                                    unknown ? &e->unknown : NULL, &e->unknown_results,
                                    model_info(e->model)->n_classes, error);
}

static int run_sanity(struct eval *e, struct error *error)
{
    struct sanity_config config = {.model = e->model,
                                   .backend = e->config->backend,
                                   .precision = config_precision(e->config),
                                   .threads = e->config->threads,
                                   .resampler = e->resampler,
                                   .clips = e->sanity_clips,
                                   .seed = (uint64_t)e->seed,
                                   .stop = &stop_signal,
                                   .progress = show_progress,
                                   .user = e};
    if (!e->sanity)
        return 0;
    eval_progress_begin(&e->progress, "stages", sanity_stages(e->model), e->quiet);
    int r = sanity_run(&config, &e->data, &e->results, &e->sanity_result, error);
    eval_progress_wipe(&e->progress);
    return r;
}

static int interrupted(struct error *error)
{
    return stop_signal != 0 ? error_set(error, EINTR, "eval: interrupted") : 0;
}

/* The figures first: what is drawn and heard besides may fail without them being lost. */
static int write_all(struct eval *e, struct error *error)
{
    struct eval_report report = {.info = model_info(e->model),
                                 .dir = e->dir,
                                 .data = &e->data,
                                 .results = &e->results,
                                 .figures = &e->figures,
                                 .reject = &e->reject,
                                 .sweep = e->quantiles.sweep,
                                 .n_sweep = e->quantiles.n_sweep,
                                 .resampler = e->resampler,
                                 .among_data = e->among_data,
                                 .per_class = given(e, "per-class"),
                                 .sanity = e->sanity_result};
    int r = interrupted(error);
    if (r == 0)
        r = eval_outputs_commit(&e->outputs, &report, error);
    return r == 0 && e->pictures != NULL ? eval_pictures_write(&report, e->pictures, error) : r;
}

static int run_overlaps(struct eval *e, struct error *error)
{
    int r = 0;
    wisdom_load(e->config); /* after all that must not depend on it */
    for (int i = 0; i < e->n_overlaps && r == 0; i++) {
        r = interrupted(error);
        if (r == 0)
            r = overlap_run(e->overlaps[i], error);
    }
    return r;
}

static void finish(struct eval *e)
{
    eval_outputs_abandon(&e->outputs);
    eval_figures_finish(&e->figures);
    eval_results_finish(&e->results);
    eval_data_finish(&e->data);
    eval_reject_finish(&e->reject);
    eval_results_finish(&e->unknown_results);
    eval_data_finish(&e->unknown);
    eval_quantiles_finish(&e->quantiles);
    for (int i = 0; i < e->n_overlaps; i++)
        overlap_close(e->overlaps[i]);
    json_decref(e->sanity_result);
    model_close(e->model);
    free(e->config);
    free(e);
}

int mode_eval(int argc, char **argv)
{
    struct error error = {""};
    spin_briefly(argc, argv);
    struct eval *e = calloc(1, sizeof *e);
    if (e == NULL) {
        fprintf(stderr, "focald: out of memory\n");
        return EXIT_FAILURE;
    }
    int r = parse(e, argc, argv);
    if (r != 0) {
        free(e);
        return r < 0 ? EXIT_USAGE : EXIT_SUCCESS;
    }
    e->config = calloc(1, sizeof *e->config);
    r = e->config == NULL ? error_set(&error, ENOMEM, "out of memory")
                          : config_load(e->config, options_value(&e->options, "config"),
                                        e->options.config, e->options.n_config, &error);
    stop_listen();
    if (r == 0)
        r = start(e, &error);
    if (r == 0)
        r = run_clips(e, &error);
    if (r == 0)
        r = run_unknown(e, &error);
    if (r == 0)
        r = run_sanity(e, &error);
    if (r == 0)
        r = write_all(e, &error);
    if (r == 0)
        r = run_overlaps(e, &error);
    if (r < 0)
        fprintf(stderr, "focald: %s\n", error.text);
    finish(e);
    if (r < 0)
        stop_obey();
    return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
