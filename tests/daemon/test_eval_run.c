/* SPDX-License-Identifier: Apache-2.0
 * The evaluation of the demo clips with the model that comes with focald: the same bits whatever
 * the batch, masks that do what they say, and clips that have no sound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "daemon/eval_figures.h"
#include "daemon/eval_run.h"
#include "daemon/eval_window.h"
#include "dsp/resize.h"
#include "model/interpret/mask.h"
#include "model/interpret/metrics.h"
#include "tests/model/made_model.h"

enum { CLIPS = 10, ALL = CLIPS + 3 };

static struct model *model;
static const struct model_info *info;
static struct eval_data data; /* the demo clips; silence, text, a clip without positive samples */
static char place[64];

static const char *const demos[CLIPS] = {"chainsaw",  "clock_tick", "crackling_fire", "crying_baby",
                                         "dog",       "helicopter", "rain",           "rooster",
                                         "sea_waves", "sneezing"};

static void write_wav(const char *path, float value)
{
    static float x[16000];
    SF_INFO sound = {.samplerate = 16000, .channels = 1, .format = SF_FORMAT_WAV | SF_FORMAT_FLOAT};
    SNDFILE *f = sf_open(path, SFM_WRITE, &sound);
    assert_non_null(f);
    for (size_t i = 0; i < ARRAY_LEN(x); i++)
        x[i] = value * (float)(i % 7);
    assert_int_equal(sf_writef_float(f, x, ARRAY_LEN(x)), ARRAY_LEN(x));
    sf_close(f);
}

static void add_clip(const char *dir, const char *name, const char *ending, const char *label)
{
    struct eval_clip *clip = &data.clips[data.n++];
    assert_true(asprintf(&clip->path, "%s/%s%s", dir, name, ending) > 0);
    clip->file = name;
    clip->fold = 1;
    clip->label = eval_class_find(info, label);
    assert_true(clip->label >= 0);
    data.present[clip->label] = true;
}

static int begin(void **state)
{
    struct error error = {""};
    char path[512], demo_dir[512];
    const char *source = getenv("FOCALD_SOURCE");
    if (source == NULL)
        source = ".";
    snprintf(path, sizeof path, "%s/tests/data/baseline", source);
    snprintf(demo_dir, sizeof demo_dir, "%s/daemon/demo", source);
    if (model_open(&model, path, &error) < 0)
        fail_msg("%s", error.text);
    info = model_info(model);
    data.clips = calloc(ALL, sizeof *data.clips);
    data.present = calloc((size_t)info->n_classes, sizeof *data.present);
    for (int i = 0; i < CLIPS; i++)
        add_clip(demo_dir, demos[i], ".ogg", demos[i]);
    snprintf(place, sizeof place, "/tmp/focald-eval-XXXXXX");
    if (mkdtemp(place) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/silent.wav", place);
    write_wav(path, 0);
    snprintf(path, sizeof path, "%s/negative.wav", place);
    write_wav(path, -0.1f);
    return 0;
}

static int end(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", place);
    eval_data_finish(&data);
    model_close(model);
    return system(command);
}

static int run(struct eval_results *results, struct eval_config config, struct error *error)
{
    config.model = model;
    config.backend = "auto";
    return eval_run(&config, &data, results, error);
}

static void run_well(struct eval_results *results, struct eval_config config)
{
    struct error error = {""};
    if (run(results, config, &error) != 0)
        fail_msg("%s", error.text);
}

/* What makes an evaluation independent of its batch size. */
static void a_window_s_result_is_the_same_in_every_place(int threads)
{
    struct error error = {""};
    struct runner *runner;
    struct runner_result results[EVAL_AT_ONCE];
    const struct runner_config config = {
        .backend = "auto", .threads = threads, .max_batch = EVAL_AT_ONCE};
    size_t cells = eval_plane_cells(info), n = (size_t)info->n_classes;
    int last = info->n_maps - 1;
    size_t map_cells = (size_t)info->maps[last].rows * (size_t)info->maps[last].cols;
    float *planes = malloc(EVAL_AT_ONCE * cells * sizeof *planes);
    float *cosines = malloc(EVAL_AT_ONCE * n * sizeof *cosines);
    float *maps = malloc(EVAL_AT_ONCE * map_cells * sizeof *maps);
    uint32_t random = 5;
    print_message("seed %u\n", (unsigned)random);
    for (size_t i = 0; i < EVAL_AT_ONCE * cells; i++) {
        random = random * 1664525u + 1013904223u;
        planes[i] = (float)(random >> 8) * 0x1p-22f;
    }
    if (runner_create(&runner, model, &config, &error) != 0)
        fail_msg("%s", error.text);
    for (size_t turn = 0; turn < EVAL_AT_ONCE; turn++) {
        for (size_t i = 0; i < EVAL_AT_ONCE; i++)
            memcpy(runner_input(runner, (int)i), planes + (i + turn) % EVAL_AT_ONCE * cells,
                   cells * sizeof *planes);
        assert_int_equal(runner_run(runner, EVAL_AT_ONCE, results, &error), 0);
        for (size_t i = 0; i < EVAL_AT_ONCE; i++) {
            float *c = cosines + (i + turn) % EVAL_AT_ONCE * n;
            float *m = maps + (i + turn) % EVAL_AT_ONCE * map_cells;
            if (turn == 0) {
                memcpy(c, results[i].cosines, n * sizeof *c);
                memcpy(m, results[i].maps[last], map_cells * sizeof *m);
            }
            assert_memory_equal(c, results[i].cosines, n * sizeof *c);
            assert_memory_equal(m, results[i].maps[last], map_cells * sizeof *m);
        }
    }
    runner_destroy(runner);
    free(planes);
    free(cosines);
    free(maps);
}

static void a_window_s_result_is_the_same_in_every_place_for_any_threads(void **state)
{
    const int threads[] = {1, 2, 3}; /* from three on other sums are split */
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        a_window_s_result_is_the_same_in_every_place(threads[i]);
}

static void assert_same(const struct eval_results *a, const struct eval_results *b)
{
    for (int i = 0; i < a->n; i++) {
        const struct eval_outcome *x = &a->clips[i], *y = &b->clips[i];
        assert_true(x->state == y->state && x->best == y->best && x->predicted == y->predicted &&
                    x->p == y->p && x->p_label == y->p_label);
    }
    for (int i = 0; i < a->n * a->n_quantiles; i++) {
        const struct eval_explained *x = &a->explained[i], *y = &b->explained[i];
        assert_true(x->p_in == y->p_in && x->p_out == y->p_out && x->best_in == y->best_in &&
                    x->fa == y->fa && x->ai == y->ai && x->ad == y->ad && x->ag == y->ag &&
                    x->ad_double_softmax == y->ad_double_softmax && x->kept == y->kept &&
                    x->sps == y->sps && x->comp == y->comp && x->fid_i == y->fid_i);
    }
}

/* From three threads on the network's sums differ with how many windows it hears at once; with more
 * threads than cores it is slow, hence one quantile there. */
static void results_do_not_depend_on_the_batch(void **state)
{
    const double quantiles[] = {0.9, 0.5, 0.1};
    const int batches[] = {9, 2, 17, 64};
    for (int threads = 1; threads <= 3; threads++) {
        struct eval_results first, other;
        struct eval_config config = {.batch = 1,
                                     .threads = threads,
                                     .quantiles = quantiles,
                                     .n_quantiles = threads < 3 ? 3 : 1};
        run_well(&first, config);
        for (size_t i = 0; i < (threads < 3 ? ARRAY_LEN(batches) : 1); i++) {
            config.batch = batches[i];
            run_well(&other, config);
            assert_same(&first, &other);
            eval_results_finish(&other);
        }
        config.n_quantiles = 0; /* accuracy only */
        run_well(&other, config);
        for (int i = 0; i < CLIPS; i++)
            assert_true(other.clips[i].p == first.clips[i].p);
        eval_results_finish(&other);
        eval_results_finish(&first);
    }
}

/* The lowest value of the map is its 0-quantile. */
static void a_mask_that_keeps_all_changes_nothing(void **state)
{
    const double none = 0;
    struct eval_results results;
    run_well(&results, (struct eval_config){.batch = 4, .quantiles = &none, .n_quantiles = 1});
    for (int i = 0; i < CLIPS; i++) {
        const struct eval_explained *e = &results.explained[i];
        assert_true(e->kept == 1 && e->fid_i == 1 && e->best_in == results.clips[i].best);
        assert_true(e->p_in == results.clips[i].p);
        assert_true(e->ai == 0 && e->ad == 0 && e->ag == 0);
        assert_true(fabs(e->sps) < 1e-9);
        assert_true(fabs(e->comp - log((double)eval_window_cells(info))) < 1e-9);
        assert_true(e->fa == (double)results.clips[i].p - (double)e->p_out);
    }
    eval_results_finish(&results);
}

/* One clip's masked passes once more, step by step and without any of the evaluation's threads. */
static void masked_passes_are_what_the_definition_says(void **state)
{
    enum { CLIP = 7 };
    const double q = 0.6;
    size_t cells = eval_window_cells(info), plane_cells = eval_plane_cells(info);
    int bins = info->preprocess.n_fft / 2 + 1, frames = (int)(cells / (size_t)bins);
    int last = info->n_maps - 1;
    float *x = malloc(cells * sizeof *x), *map = malloc(cells * sizeof *map);
    float *logspec = malloc(cells * sizeof *x), *plane = malloc(plane_cells * sizeof *x);
    float *p = malloc((size_t)info->n_classes * sizeof *p);
    struct eval_results results;
    struct error error = {""};
    struct eval_maker *maker;
    struct runner *runner;
    struct runner_result all[EVAL_AT_ONCE], *result = &all[0];
    struct resize *grow, *shrink;
    bool silent;
    uint64_t bad;
    const struct runner_config eight = {.backend = "auto", .max_batch = EVAL_AT_ONCE};
    assert_int_equal(eval_maker_create(&maker, info, EVAL_RESAMPLER_PAPER, &error), 0);
    assert_int_equal(runner_create(&runner, model, &eight, &error), 0);
    assert_int_equal(resize_create(&grow, info->maps[last].rows, info->maps[last].cols, frames,
                                   bins, false, &error),
                     0);
    assert_int_equal(resize_create(&shrink, frames, bins, info->image_rows, info->image_cols,
                                   info->preprocess.antialias, &error),
                     0);
    assert_int_equal(
        eval_window_load(maker, data.clips[CLIP].path, logspec, plane, &silent, &bad, &error), 0);
    memcpy(runner_input(runner, 0), plane, plane_cells * sizeof *plane);
    assert_int_equal(runner_run(runner, EVAL_AT_ONCE, all, &error), 0);
    softmax_scaled(result->cosines, info->n_classes, 1, p);
    int c = metrics_argmax(p, info->n_classes);
    resize_run(grow, result->maps[last], map);
    float threshold = quantile(map, cells, (float)q, x);
    run_well(&results, (struct eval_config){.batch = 2, .quantiles = &q, .n_quantiles = 1});
    assert_true(results.clips[CLIP].p == p[c]);
    for (int out = 0; out < 2; out++) {
        for (size_t i = 0; i < cells; i++)
            x[i] = (map[i] >= threshold) != (out == 1) ? logspec[i] : 0;
        resize_run(shrink, x, runner_input(runner, 0));
        assert_int_equal(runner_run(runner, EVAL_AT_ONCE, all, &error), 0);
        softmax_scaled(result->cosines, info->n_classes, 1, p);
        assert_true(p[c] == (out ? results.explained[CLIP].p_out : results.explained[CLIP].p_in));
    }
    eval_results_finish(&results);
    resize_destroy(grow);
    resize_destroy(shrink);
    runner_destroy(runner);
    eval_maker_destroy(maker);
    free(x);
    free(map);
    free(logspec);
    free(plane);
    free(p);
}

static int n_failed;
static char last_failure[512];

static void count_failure(void *user, const char *line)
{
    n_failed++;
    snprintf(last_failure, sizeof last_failure, "%s", line);
}

static void what_cannot_be_heard_is_counted_and_disturbs_nothing(void **state)
{
    const double q = 0.9;
    struct eval_results without, with;
    struct eval_figures figures;
    struct error error = {""};
    struct eval_config config = {
        .batch = 3, .quantiles = &q, .n_quantiles = 1, .failed = count_failure};
    run_well(&without, config);
    add_clip(place, "silent", ".wav", "dog");
    add_clip(place, "nothing", ".wav", "dog");
    add_clip(place, "negative", ".wav", "dog");
    assert_int_equal(run(&with, config, &error), -EINVAL);
    assert_non_null(strstr(error.text, "nothing.wav"));
    assert_non_null(strstr(error.text, "--keep-going"));
    assert_null(strchr(error.text, '\n'));
    config.keep_going = true;
    run_well(&with, config);
    assert_int_equal(n_failed, 1);
    assert_non_null(strstr(last_failure, "nothing.wav"));
    assert_int_equal(with.clips[CLIPS].state, EVAL_SILENT);
    assert_int_equal(with.clips[CLIPS + 1].state, EVAL_FAILED);
    assert_int_equal(with.clips[CLIPS + 2].state, EVAL_SILENT); /* nothing to normalise it by */
    with.n = without.n;
    assert_same(&without, &with);
    with.n = ALL;
    assert_int_equal(eval_figures_make(&figures, &data, &with, &q, info->n_classes, &error), 0);
    assert_true(figures.clips == ALL && figures.counted == ALL - 1 && figures.heard == CLIPS &&
                figures.silent == 2 && figures.failed == 1);
    assert_true(figures.accuracy == (double)figures.correct / (ALL - 1));
    eval_figures_finish(&figures);
    eval_results_finish(&with);
    eval_results_finish(&without);
    while (data.n > CLIPS)
        free(data.clips[--data.n].path);
}

/* None is counted as the first class, which NaN would compare as; silence stays silence. */
static void clips_whose_result_is_not_finite_fail(void **state)
{
    (void)state;
    const double q = 0.9;
    char dir[128], baseline[512];
    struct eval_results results;
    struct eval_figures figures;
    struct error error = {""};
    struct model *whole = model, *overflowing = NULL;
    struct eval_config config = {
        .batch = 3, .quantiles = &q, .n_quantiles = 1, .failed = count_failure};
    snprintf(dir, sizeof dir, "%s/overflowing", place);
    snprintf(baseline, sizeof baseline, "%s/tests/data/baseline", getenv("FOCALD_SOURCE"));
    if (made_changed(dir, baseline, MADE_OVERFLOWING, &error) < 0 ||
        model_open(&overflowing, dir, &error) < 0)
        fail_msg("%s", error.text);
    add_clip(place, "silent", ".wav", "dog");
    model = overflowing;
    assert_int_equal(run(&results, config, &error), -EINVAL);
    assert_non_null(strstr(error.text, data.clips[0].path));
    assert_non_null(strstr(error.text, "model overflowing"));
    assert_non_null(strstr(error.text, "not finite"));
    assert_non_null(strstr(error.text, "--keep-going"));
    config.advice = "read it";
    assert_int_equal(run(&results, config, &error), -EINVAL);
    assert_null(strstr(error.text, "--keep-going"));
    assert_null(strstr(error.text, "read it"));
    config.advice = NULL;
    config.keep_going = true;
    n_failed = 0;
    run_well(&results, config);
    model = whole;
    assert_int_equal(n_failed, CLIPS);
    for (int i = 0; i < CLIPS; i++)
        assert_true(results.clips[i].state == EVAL_FAILED && results.clips[i].best == -1);
    assert_int_equal(results.clips[CLIPS].state, EVAL_SILENT);
    assert_int_equal(eval_figures_make(&figures, &data, &results, &q, info->n_classes, &error), 0);
    assert_true(figures.failed == CLIPS && figures.heard == 0 && figures.silent == 1);
    eval_figures_finish(&figures);
    eval_results_finish(&results);
    model_close(overflowing);
    free(data.clips[--data.n].path);
}

static void only_the_data_s_classes_are_predicted_where_asked(void **state)
{
    struct eval_results results;
    run_well(&results, (struct eval_config){.batch = 8, .among_data = true});
    for (int i = 0; i < CLIPS; i++)
        assert_true(data.present[results.clips[i].predicted]);
    eval_results_finish(&results);
}

static void an_interruption_ends_it(void **state)
{
    volatile sig_atomic_t stop = 1;
    struct eval_results results;
    struct error error = {""};
    assert_int_equal(run(&results, (struct eval_config){.batch = 1, .stop = &stop}, &error),
                     -EINTR);
}

/* Five clips of three classes, by hand. */
static void figures_are_what_the_clips_come_to(void **state)
{
    struct eval_clip clips[] = {
        {.label = 0}, {.label = 0}, {.label = 0}, {.label = 2}, {.label = 2}};
    struct eval_outcome outcomes[] = {{.state = EVAL_DONE, .predicted = 0},
                                      {.state = EVAL_DONE, .predicted = 1},
                                      {.state = EVAL_SILENT, .predicted = -1},
                                      {.state = EVAL_DONE, .predicted = 2},
                                      {.state = EVAL_FAILED, .predicted = -1}};
    struct eval_explained explained[] = {
        {.fid_i = 1,
         .fa = 0.5,
         .ai = 100,
         .ad = 1,
         .ad_double_softmax = 2,
         .ag = 3,
         .kept = 0.5,
         .sps = 0.25,
         .comp = 4},
        {.fid_i = 0, .fa = 0.25, .ad = 4, .ad_double_softmax = 5, .empty = true, .sps = 99},
        {.fa = 77},
        {.fid_i = 0,
         .fa = 0,
         .ad = 1,
         .ad_double_softmax = 2,
         .ag = 3,
         .kept = 0.25,
         .sps = 0.75,
         .comp = 8},
        {.fa = 77}};
    const struct eval_data five = {.clips = clips, .n = 5};
    const struct eval_results results = {
        .n = 5, .n_quantiles = 1, .clips = outcomes, .explained = explained};
    const double q = 0.9;
    struct eval_figures f;
    struct error error;
    assert_int_equal(eval_figures_make(&f, &five, &results, &q, 3, &error), 0);
    assert_true(f.clips == 5 && f.counted == 4 && f.heard == 3 && f.correct == 2);
    assert_true(f.accuracy == 0.5);
    assert_true(fabs(f.class_accuracy - (1.0 / 3 + 1) / 2) < 1e-15);
    assert_int_equal(f.confusion[0 * 3 + 1], 1);
    assert_int_equal(f.confusion[2 * 3 + 2], 1);
    assert_int_equal(f.n_worst, 1);
    assert_true(f.worst[0].label == 0 && f.worst[0].predicted == 1 && f.worst[0].clips == 1);
    const struct eval_explanation *e = &f.explanations[0];
    assert_true(fabs(e->fid_i - 1.0 / 3) < 1e-15 && e->fa == 0.25 && e->fa_median == 0.25);
    assert_true(e->ff == e->fa && fabs(e->ai - 100.0 / 3) < 1e-13 && e->ad == 2);
    assert_true(e->ad_double_softmax == 3 && e->ag == 2 && e->kept == 0.25);
    assert_true(e->empty == 1 && e->sps == 0.5 && e->comp == 6);
    eval_figures_finish(&f);
}

/* More threads than cores that wait by spinning would wait for each other; libgomp reads how they
 * wait when a program starts. */
int main(int argc, char **argv)
{
    if (getenv("OMP_WAIT_POLICY") == NULL) {
        setenv("OMP_WAIT_POLICY", "passive", 1);
        execv("/proc/self/exe", argv);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_s_result_is_the_same_in_every_place_for_any_threads),
        cmocka_unit_test(results_do_not_depend_on_the_batch),
        cmocka_unit_test(a_mask_that_keeps_all_changes_nothing),
        cmocka_unit_test(masked_passes_are_what_the_definition_says),
        cmocka_unit_test(what_cannot_be_heard_is_counted_and_disturbs_nothing),
        cmocka_unit_test(clips_whose_result_is_not_finite_fail),
        cmocka_unit_test(only_the_data_s_classes_are_predicted_where_asked),
        cmocka_unit_test(an_interruption_ends_it),
        cmocka_unit_test(figures_are_what_the_clips_come_to),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
