/* SPDX-License-Identifier: Apache-2.0
 * `focald reject`: below what a sound is unknown, told from models that do not know some. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/eval_progress.h"
#include "daemon/modes.h"
#include "base/newfile.h"
#include "daemon/options.h"
#include "daemon/reject_pool.h"
#include "daemon/reject_report.h"
#include "daemon/reject_write.h"
#include "daemon/spin.h"
#include "daemon/stop.h"

static const struct option_spec specs[] = {
    {"false-names", 0, "SHARE", "of the unknown sounds may be named, 0 to 0.5 (0.05)", NULL, NULL},
    {"score", 0, "NAME", "cosine, margin, probability or energy (what leaves most)", NULL, NULL},
    {"model", 'm', "DIR", "write the threshold into this model", NULL, NULL},
    {"data", 'd', "DIR", "more labelled clips, of unknown sounds; repeatable", NULL, NULL},
    {"folds", 'f', "LIST", "of the --data before it, as in 4 or 1-3,6 (all)", NULL, NULL},
    {"alias", 0, "NAME=CLASS", "a class of --data is that of the models; repeatable", NULL, NULL},
    {"resampler", 0, "NAME", "of clips: best, medium or fast, as the daemon's, or paper (best)",
     NULL, NULL},
    {"keep-going", 'k', NULL, "leave out clips that fail", NULL, NULL},
    {"json", 'j', "FILE", "one JSON object; - instead of the table", NULL, NULL},
    {"threads", 't', "N", "threads (all cores)", NULL, NULL},
    {"backend", 0, "NAME", "auto, cpu or cuda", NULL, NULL},
    {"precision", 0, "NAME", "of the GPU: auto, float32, tf32, bfloat16, float16", NULL, NULL},
    {"quiet", 'Q', NULL, "no progress", NULL, NULL},
    {0},
};

static const struct option_usage usage = {
    .synopsis = "focald reject [OPTION…] RUN…",
    .about =
        "Chooses the threshold below which a sound is unknown and gets no name. Each RUN is a\n"
        "directory of `focald train` with [classes] leave_out: clips of its validation folds that\n"
        "are of those classes are unknown to its model. Over all runs together the threshold\n"
        "names at most a given share of them, and the score is taken that leaves the most clips\n"
        "of known classes named and right. With --model it is written into that model.",
    .options = specs,
    .more = "A RUN may also be a model's directory, with --data for its known and unknown sounds.\n"
            "The scores, the table and the JSON's fields are in focald-reject(1).\n\n"
            "Exit status: 0, 1 for a failure, 2 for a wrong option.",
    .operands = true,
};

enum { SHARE_MOST_PERCENT = 50 };

struct reject {
    struct options options;
    double share;
    enum reject_score only;
    int threads;
    struct reject_set sets[OPTIONS_MAX];
    const char *aliases[OPTIONS_MAX];
    struct reject_pool_config config;
    struct newfile json;
    bool has_json, json_to_stdout, quiet;
    struct eval_progress progress;
    const char *shown; /* the run whose progress it is */
    struct reject_pool pool;
    struct reject_report report;
};

/* Options */

static int mistake(const struct error *error)
{
    fprintf(stderr, "focald: %s\n", error->text);
    return -EINVAL;
}

/* --folds is of the --data before it. */
static int parse_sets(struct reject *j)
{
    struct error error;
    for (int i = 0; i < j->options.n_given; i++) {
        const char *name = j->options.given[i].spec->name, *value = j->options.given[i].value;
        if (strcmp(name, "data") == 0)
            j->sets[j->config.n_sets++].dir = value;
        if (strcmp(name, "alias") == 0)
            j->aliases[j->config.n_aliases++] = value;
        if (strcmp(name, "folds") != 0)
            continue;
        if (j->config.n_sets == 0) {
            fprintf(stderr, "focald: --folds: of what? It goes behind a --data\n");
            return -EINVAL;
        }
        if (eval_folds_parse("--folds", value, &j->sets[j->config.n_sets - 1].folds, &error) < 0)
            return mistake(&error);
    }
    return 0;
}

static int parse(struct reject *j, int argc, char **argv)
{
    struct error error;
    int r = options_parse(&j->options, &usage, argc, argv);
    if (r != 0)
        return r;
    const char *score = options_value(&j->options, "score");
    const char *backend = options_value(&j->options, "backend");
    const char *precision = options_value(&j->options, "precision");
    const char *json = options_value(&j->options, "json");
    const char *resampler = options_value(&j->options, "resampler");
    j->share = 0.05;
    j->quiet = options_value(&j->options, "quiet") != NULL;
    j->json_to_stdout = json != NULL && strcmp(json, "-") == 0;
    if (options_number(&j->options, "false-names", 0, SHARE_MOST_PERCENT / 100.0, &j->share) < 0 ||
        options_integer(&j->options, "threads", 0, 256, &j->threads) < 0 || parse_sets(j) < 0)
        return -EINVAL;
    if (score != NULL && reject_score_parse(score, &j->only, "--score", &error) < 0)
        return mistake(&error);
    if (backend != NULL && strcmp(backend, "auto") != 0 && strcmp(backend, "cpu") != 0 &&
        strcmp(backend, "cuda") != 0) {
        fprintf(stderr, "focald: --backend %s: allowed: auto, cpu, cuda\n", backend);
        return -EINVAL;
    }
    j->config.resampler = EVAL_RESAMPLER_BEST; /* the daemon's, which is to obey the threshold */
    if (resampler != NULL && eval_resampler_parse(resampler, &j->config.resampler, &error) < 0)
        return mistake(&error);
    j->config.precision = PRECISION_AUTO;
    if (precision != NULL && precision_parse(precision, &j->config.precision, &error) < 0) {
        error_prefix(&error, -EINVAL, "--precision");
        return mistake(&error);
    }
    if (j->options.n_operands == 0) {
        fprintf(stderr, "focald: reject by what? Name directories of focald train; see --help\n");
        return -EINVAL;
    }
    j->config.backend = backend != NULL ? backend : "auto";
    return 0;
}

/* Work */

static void show_progress(void *user, const char *dir, int done, int of)
{
    struct reject *j = user;
    if (j->shown != dir) {
        eval_progress_wipe(&j->progress);
        eval_progress_begin(&j->progress, "clips", of, j->quiet);
        j->shown = dir;
    }
    eval_progress_show(&j->progress, done, of > 0 ? (double)done / of : 1);
}

static void clip_failed(void *user, const char *line)
{
    struct reject *j = user;
    eval_progress_wipe(&j->progress);
    fprintf(stderr, "focald: %s; left out\n", line);
}

/* A place that cannot be written is told before the work. */
static int begin(struct reject *j, struct error *error)
{
    const char *json = options_value(&j->options, "json");
    const char *model = options_value(&j->options, "model");
    int r = 0;
    if (model != NULL && access(model, W_OK | X_OK) < 0)
        return error_set(error, errno, "--model %s: cannot be written: %s", model, strerror(errno));
    if (json != NULL && !j->json_to_stdout)
        r = newfile_begin(&j->json, json, error);
    j->has_json = json != NULL && !j->json_to_stdout && r == 0;
    return r;
}

static int score(struct reject *j, struct error *error)
{
    j->config.dirs = j->options.operands;
    j->config.n_dirs = j->options.n_operands;
    j->config.sets = j->sets;
    j->config.aliases = j->aliases;
    j->config.model = options_value(&j->options, "model");
    j->config.threads = j->threads;
    j->config.keep_going = options_value(&j->options, "keep-going") != NULL;
    j->config.progress = show_progress;
    j->config.failed = clip_failed;
    j->config.user = j;
    int r = reject_pool_make(&j->pool, &j->config, error);
    eval_progress_wipe(&j->progress);
    return r == 0 ? reject_report_make(&j->report, &j->pool, j->share, j->only, error) : r;
}

static int write_json(struct reject *j, struct error *error)
{
    FILE *to = fdopen(dup(j->json.fd), "w");
    if (to == NULL)
        return error_set(error, errno, "%s: cannot be written: %s", j->json.path, strerror(errno));
    errno = 0;
    int r = reject_print_json(to, &j->report);
    const bool bad = ferror(to) != 0;
    if (fclose(to) != 0 || bad || r < 0)
        return error_set(error, errno != 0 ? errno : EIO, "%s: cannot be written: %s", j->json.path,
                         strerror(errno != 0 ? errno : EIO));
    j->has_json = false;
    return newfile_commit(&j->json, error);
}

static int write_all(struct reject *j, struct error *error)
{
    const struct model_reject *chosen = &j->report.choices[j->report.best].reject;
    int r = 0;
    if (stop_signal != 0)
        return error_set(error, EINTR, "reject: interrupted");
    if (j->has_json)
        r = write_json(j, error);
    if (r == 0 && j->config.model != NULL)
        r = reject_write(j->config.model, chosen, error);
    if (r < 0)
        return r;
    if (j->json_to_stdout)
        r = reject_print_json(stdout, &j->report);
    else
        reject_print_table(stdout, &j->report);
    if (r < 0 || fflush(stdout) != 0 || ferror(stdout))
        return error_set(error, errno != 0 ? errno : EIO, "cannot write the results: %s",
                         strerror(errno != 0 ? errno : EIO));
    return 0;
}

static void finish(struct reject *j)
{
    if (j->has_json)
        newfile_abandon(&j->json);
    reject_report_finish(&j->report);
    reject_pool_finish(&j->pool);
    free(j);
}

int mode_reject(int argc, char **argv)
{
    struct error error = {""};
    spin_briefly(argc, argv);
    struct reject *j = calloc(1, sizeof *j);
    if (j == NULL) {
        fprintf(stderr, "focald: out of memory\n");
        return EXIT_FAILURE;
    }
    int r = parse(j, argc, argv);
    if (r != 0) {
        free(j);
        return r < 0 ? EXIT_USAGE : EXIT_SUCCESS;
    }
    stop_listen();
    r = begin(j, &error);
    if (r == 0)
        r = score(j, &error);
    if (r == 0)
        r = write_all(j, &error);
    if (r < 0)
        fprintf(stderr, "focald: %s\n", error.text);
    finish(j);
    if (r < 0)
        stop_obey();
    return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
