/* SPDX-License-Identifier: Apache-2.0
 * The classifier with the model that comes with focald: labels as PyTorch gave them, windows,
 * batches, and the interpretation as sound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "daemon/classifier.h"
#include "dsp/stft.h"
#include "tests/model/made_model.h"

enum { RATE = 16000, WINDOW = 80000, MAX_CLIPS = 16 };

static struct model *model;
static json_t *expected; /* tests/data/baseline/expected.json */
static char source[512];

static struct model_reject reject; /* of the classifiers that are started */

/* What a classifier gave, copied. */
struct outcome {
    int n_windows, best;
    bool silence, unknown, failed;
    struct error error;
    float p, p_second, cosine, score;
    float *p_all, *map, *interpreted;
    size_t n;
    struct classified_window windows[MAX_CLIPS];
    void *user;
};

struct outcomes {
    int n;
    struct outcome of[MAX_CLIPS];
};

static void keep(void *user, struct classified_clip *clip)
{
    const struct model_info *info = model_info(model);
    struct outcomes *all = user;
    assert_true(all->n < MAX_CLIPS);
    struct outcome *o = &all->of[all->n++];
    int last = info->n_maps - 1;
    size_t cells = (size_t)info->maps[last].rows * (size_t)info->maps[last].cols;
    *o = (struct outcome){.failed = clip->failed,
                          .error = clip->error,
                          .n_windows = clip->n_windows,
                          .silence = clip->silence,
                          .unknown = clip->unknown,
                          .score = clip->score,
                          .best = -1,
                          .n = clip->clip.n,
                          .user = clip->user};
    assert_true(clip->n_windows <= MAX_CLIPS);
    memcpy(o->windows, clip->windows, (size_t)clip->n_windows * sizeof o->windows[0]);
    o->p_all = calloc((size_t)info->n_classes, sizeof(float));
    memcpy(o->p_all, clip->p, (size_t)info->n_classes * sizeof(float));
    for (int i = 0; i < info->n_classes && !clip->silence && !clip->failed; i++)
        if (o->best < 0 || clip->p[i] > clip->p[o->best])
            o->best = i;
    o->p = o->best >= 0 ? clip->p[o->best] : 0;
    o->cosine = clip->windows[0].cosine;
    if (clip->windows[0].map != NULL) {
        o->map = calloc(cells, sizeof(float));
        memcpy(o->map, clip->windows[0].map, cells * sizeof(float));
    }
    if (clip->interpreted != NULL) {
        o->interpreted = calloc(clip->clip.n, sizeof(float));
        memcpy(o->interpreted, clip->interpreted, clip->clip.n * sizeof(float));
    }
}

static void forget(struct outcomes *all)
{
    for (int i = 0; i < all->n; i++) {
        free(all->of[i].p_all);
        free(all->of[i].map);
        free(all->of[i].interpreted);
    }
    all->n = 0;
}

static struct classifier *start(struct outcomes *all, int batch, size_t hop, double quantile,
                                bool interpret)
{
    struct error error = {""};
    struct classifier *c = NULL;
    struct classifier_config config = {.model = model,
                                       .backend = "auto",
                                       .batch = batch,
                                       .quantile = quantile,
                                       .gate = 1e-3f,
                                       .hop = hop,
                                       .reject = reject,
                                       .interpret = interpret,
                                       .done = keep,
                                       .user = all};
    *all = (struct outcomes){0};
    if (classifier_create(&c, &config, &error) != 0)
        fail_msg("%s", error.text);
    return c;
}

static void add(struct classifier *c, const float *x, size_t n, intptr_t user)
{
    struct error error = {""};
    struct clip clip = {.samples = malloc(n * sizeof(float)), .n = n, .rate_hz = RATE};
    memcpy(clip.samples, x, n * sizeof(float));
    if (classifier_add(c, &clip, (void *)user, &error) != 0)
        fail_msg("%s", error.text);
}

static void finish(struct classifier *c)
{
    struct error error = {""};
    if (classifier_flush(c, &error) != 0)
        fail_msg("%s", error.text);
    classifier_destroy(c);
}

/* Sounds */

static void demo_path(const char *name, char *ret, size_t size)
{
    snprintf(ret, size, "%s/daemon/demo/%s", source, name);
}

/* Each file is decoded once; the clips belong to demos. */
static struct {
    char name[64];
    struct clip clip;
} demos[MAX_CLIPS];
static int n_demos;

static const struct clip *demo(const char *name)
{
    for (int i = 0; i < n_demos; i++)
        if (strcmp(demos[i].name, name) == 0)
            return &demos[i].clip;
    char path[600];
    struct error error = {""};
    demo_path(name, path, sizeof path);
    assert_true(n_demos < MAX_CLIPS);
    snprintf(demos[n_demos].name, sizeof demos[n_demos].name, "%s", name);
    if (clip_read(&demos[n_demos].clip, path, RATE, RESAMPLER_BEST, &error) != 0)
        fail_msg("%s", error.text);
    return &demos[n_demos++].clip;
}

static double bessel_i0(double x)
{
    double term = 1, sum = 1;
    for (int k = 1; k < 80; k++) {
        term *= x / (2 * k);
        sum += term * term;
    }
    return sum;
}

/* 44.1 kHz → 16 kHz, passing up to 0.913 of 8 kHz and nothing from 8 kHz on: the band of soxr's
 * high quality, with which expected.json was made. Kaiser window, 140 dB. x: [n] -> ret: [return
 * value]. */
static size_t resample_like_soxr(const float *x, size_t n, float *ret)
{
    enum { UP = 160, DOWN = 441, HALF = 292, TAPS = 2 * HALF + 1 };
    const double rate = 44100, pass = 0.913 * 8000, stop = 8000;
    const double cut = (pass + stop) / rate, beta = 0.1102 * (140 - 8.7);
    double *taps = calloc((size_t)UP * TAPS, sizeof *taps); /* by phase */
    assert_non_null(taps);
    for (int phase = 0; phase < UP; phase++)
        for (int k = 0; k < TAPS; k++) {
            double d = (double)(k - HALF) - (double)phase / UP;
            double inside = 1 - d * d / ((double)HALF * HALF);
            double sinc = d == 0 ? 1 : sin(M_PI * cut * d) / (M_PI * cut * d);
            if (inside >= 0)
                taps[phase * TAPS + k] =
                    cut * sinc * bessel_i0(beta * sqrt(inside)) / bessel_i0(beta);
        }
    size_t m = n * UP / DOWN;
    for (size_t i = 0; i < m; i++) {
        size_t centre = i * DOWN / UP;
        const double *row = taps + i * DOWN % UP * TAPS;
        double sum = 0;
        for (int k = 0; k < TAPS; k++) {
            ptrdiff_t at = (ptrdiff_t)centre + k - HALF;
            if (at >= 0 && at < (ptrdiff_t)n)
                sum += row[k] * (double)x[at];
        }
        ret[i] = (float)sum;
    }
    free(taps);
    return m;
}

static float *noise(size_t n, uint32_t seed)
{
    float *x = calloc(n, sizeof *x);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)seed * 0x1p-33f;
    }
    return x;
}

/* As PyTorch gave them */

static double expected_number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static const char *expected_label(const json_t *o)
{
    return json_string_value(json_array_get(json_array_get(json_object_get(o, "top3"), 0), 0));
}

/* Largest difference of the 4 x 4 map from the expected one, as a share of its largest value. */
static double map_difference(const float *map, const json_t *o)
{
    const json_t *rows = json_object_get(o, "map");
    double worst = 0, most = 0;
    for (size_t r = 0; r < json_array_size(rows); r++) {
        const json_t *row = json_array_get(rows, r);
        for (size_t c = 0; c < json_array_size(row); c++) {
            double want = json_number_value(json_array_get(row, c));
            double d = fabs((double)map[r * json_array_size(row) + c] - want);
            worst = d > worst || isnan(d) ? d : worst;
            most = fmax(most, want);
        }
    }
    return worst / most;
}

/* With soxr's band the whole way from samples to labels is PyTorch's. What is left are differences
 * of two filters of the same band: 0.05 of probability, 3 % of the map, 0.005 of cosine. */
static void demo_clips_in_the_reference_s_band_give_the_reference_s_labels_and_maps(void **state)
{
    (void)state;
    struct outcomes all;
    struct classifier *c = start(&all, 4, 0, 0.9, false);
    float *x = calloc(400000, sizeof *x), *y = calloc(400000, sizeof *y);
    const char *name;
    json_t *o;
    json_object_foreach (expected, name, o) {
        char path[600];
        SF_INFO info = {0};
        demo_path(name, path, sizeof path);
        SNDFILE *file = sf_open(path, SFM_READ, &info);
        assert_non_null(file);
        assert_int_equal(info.samplerate, 44100);
        assert_int_equal(info.channels, 1);
        sf_count_t n = sf_readf_float(file, x, 400000);
        sf_close(file);
        add(c, y, resample_like_soxr(x, (size_t)n, y), 0);
    }
    finish(c);
    assert_int_equal(all.n, json_object_size(expected));
    int i = 0;
    json_object_foreach (expected, name, o) {
        const struct outcome *got = &all.of[i++];
        double p =
            json_number_value(json_array_get(json_array_get(json_object_get(o, "top3"), 0), 1));
        print_message("%-20s %-12s p %.3f (%.3f)  cos %.4f (%.4f)  map %.4f\n", name,
                      model_info(model)->labels[got->best], (double)got->p, p, (double)got->cosine,
                      expected_number(o, "cos_top"), map_difference(got->map, o));
        assert_string_equal(model_info(model)->labels[got->best], expected_label(o));
        assert_true(fabs((double)got->p - p) <= 0.05);
        assert_true(fabs((double)got->cosine - expected_number(o, "cos_top")) <= 0.005);
        assert_true(map_difference(got->map, o) <= 0.03);
    }
    forget(&all);
    free(x);
    free(y);
}

/* focald's own resampler passes more of the band next to 8 kHz than the reference's, and this model
 * hears that: the labels stay, cosines move by up to 0.02, which softmax(30 cos) makes more of. */
static void demo_clips_as_files_give_the_reference_s_labels(void **state)
{
    (void)state;
    struct outcomes all;
    struct classifier *c = start(&all, 4, 0, 0.9, false);
    const char *name;
    json_t *o;
    json_object_foreach (expected, name, o) {
        const struct clip *clip = demo(name);
        add(c, clip->samples, clip->n, 0);
    }
    finish(c);
    int i = 0;
    json_object_foreach (expected, name, o) {
        const struct outcome *got = &all.of[i++];
        assert_string_equal(model_info(model)->labels[got->best], expected_label(o));
        assert_true(fabs((double)got->cosine - expected_number(o, "cos_top")) <= 0.02);
        assert_true(map_difference(got->map, o) <= 0.1);
    }
    forget(&all);
}

/* Windows and batches */

static void clips_in_a_batch_are_named_as_one_by_one_and_in_order(void **state)
{
    (void)state;
    static const char *const names[] = {"dog.ogg", "rooster.ogg", "rain.ogg", "sneezing.ogg",
                                        "sea_waves.ogg"};
    struct outcomes one, many;
    for (int pass = 0; pass < 2; pass++) {
        struct classifier *c =
            pass == 0 ? start(&one, 1, 0, 0.9, false) : start(&many, 3, 0, 0.9, false);
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
            const struct clip *clip = demo(names[i]);
            add(c, clip->samples, clip->n, (intptr_t)i);
        }
        finish(c);
    }
    assert_int_equal(one.n, ARRAY_LEN(names));
    assert_int_equal(many.n, ARRAY_LEN(names));
    for (int i = 0; i < one.n; i++) {
        assert_int_equal((intptr_t)one.of[i].user, i);
        assert_int_equal((intptr_t)many.of[i].user, i);
        for (int k = 0; k < model_info(model)->n_classes; k++)
            assert_true(fabsf(one.of[i].p_all[k] - many.of[i].p_all[k]) <= 1e-4f);
    }
    forget(&one);
    forget(&many);
}

/* dog, then silence, then 2.5 s of rooster: the mean counts 5 s of dog twice as much. */
static void a_long_clip_is_the_mean_of_its_windows_by_what_they_hold(void **state)
{
    (void)state;
    struct outcomes parts, whole;
    const struct clip *dog = demo("dog.ogg"), *rooster = demo("rooster.ogg");
    float *x = calloc(5 * WINDOW / 2, sizeof *x);
    memcpy(x, dog->samples, WINDOW * sizeof *x);
    memcpy(x + 2 * WINDOW, rooster->samples, WINDOW / 2 * sizeof *x);
    struct classifier *c = start(&parts, 1, 0, 0.9, false);
    add(c, x, WINDOW, 0);
    add(c, x + 2 * WINDOW, WINDOW / 2, 0);
    finish(c);
    c = start(&whole, 4, 0, 0.9, false);
    add(c, x, 5 * WINDOW / 2, 0);
    finish(c);
    const struct outcome *o = &whole.of[0];
    assert_int_equal(o->n_windows, 3);
    assert_int_equal(o->windows[0].best, parts.of[0].best);
    assert_true(o->windows[1].silence);
    assert_int_equal(o->windows[1].best, -1);
    assert_int_equal(o->windows[2].best, parts.of[1].best);
    assert_int_equal(o->windows[2].first, 2 * WINDOW);
    assert_int_equal(o->windows[2].count, WINDOW / 2);
    for (int k = 0; k < model_info(model)->n_classes; k++) {
        float mean = (2 * parts.of[0].p_all[k] + parts.of[1].p_all[k]) / 3;
        assert_true(fabsf(o->p_all[k] - mean) <= 1e-4f);
    }
    forget(&parts);
    forget(&whole);
    free(x);
}

/* dog, silence, 2.5 s of rooster with thresholds a little beside the mean score. */
static void a_clip_is_unknown_by_the_mean_score_of_its_windows(void **state)
{
    (void)state;
    struct outcomes all;
    const struct clip *dog = demo("dog.ogg"), *rooster = demo("rooster.ogg");
    const float beside[] = {-2, -1e-3f, 1e-3f}; /* the first is far below all */
    float mean = 0, *x = calloc(5 * WINDOW / 2, sizeof *x);
    memcpy(x, dog->samples, WINDOW * sizeof *x);
    memcpy(x + 2 * WINDOW, rooster->samples, WINDOW / 2 * sizeof *x);
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        reject = (struct model_reject){REJECT_COSINE, mean + beside[i]};
        struct classifier *c = start(&all, 4, 0, 0.9, false);
        add(c, x, 5 * WINDOW / 2, 0);
        finish(c);
        const struct outcome *o = &all.of[0];
        const struct classified_window *w = o->windows;
        mean = (2 * w[0].score + w[2].score) / 3;
        assert_true(fabsf(o->score - mean) <= 1e-6f);
        assert_true(w[0].score == w[0].cosine && w[2].score == w[2].cosine);
        assert_true(fabsf(w[0].score - w[2].score) > 0.01f); /* else it proves nothing */
        assert_int_equal(o->unknown, beside[i] > 0);
        assert_true(isnan(w[1].score) && w[1].silence && !w[1].unknown);
        for (int k = 0; k < 3; k += 2)
            assert_int_equal(w[k].unknown, w[k].score < reject.below);
        assert_true(o->best >= 0 && w[0].best >= 0); /* the candidates are still there */
        forget(&all);
    }
    reject = (struct model_reject){0};
    struct classifier *c = start(&all, 4, 0, 0.9, false);
    add(c, x, WINDOW, 0);
    finish(c);
    assert_true(!all.of[0].unknown && isnan(all.of[0].score));
    forget(&all);
    free(x);
}

static void a_short_clip_is_filled_up_with_zeros(void **state)
{
    (void)state;
    struct outcomes all;
    float *x = noise(WINDOW, 7);
    memset(x + 30001, 0, (WINDOW - 30001) * sizeof *x);
    struct classifier *c = start(&all, 2, 0, 0.9, true);
    add(c, x, WINDOW, 0);
    add(c, x, 30001, 0);
    finish(c);
    assert_int_equal(all.of[1].n_windows, 1);
    assert_int_equal(all.of[0].best, all.of[1].best);
    assert_true(fabsf(all.of[0].p - all.of[1].p) <= 1e-5f);
    assert_int_equal(all.of[1].windows[0].count, 30001);
    assert_int_equal(all.of[1].n, 30001);
    forget(&all);
    free(x);
}

static void a_rest_that_encoders_add_is_no_window_of_its_own(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        int windows;
    } cases[] = {{1, 1},
                 {WINDOW, 1},
                 {WINDOW + 16, 1},
                 {WINDOW + 7999, 1},
                 {WINDOW + 8000, 2},
                 {2 * WINDOW + 7999, 2},
                 {2 * WINDOW + 8000, 3}};
    struct outcomes all;
    float *x = noise(3 * WINDOW, 3);
    struct classifier *c = start(&all, 4, 0, 0.9, false);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        add(c, x, cases[i].n, 0);
    finish(c);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct outcome *o = &all.of[i];
        assert_int_equal(o->n_windows, cases[i].windows);
        const struct classified_window *last = &o->windows[o->n_windows - 1];
        assert_int_equal(last->first + last->count, cases[i].n);
    }
    forget(&all);
    free(x);
}

static void a_silent_clip_has_no_label(void **state)
{
    (void)state;
    struct outcomes all;
    float *x = calloc(2 * WINDOW, sizeof *x);
    struct classifier *c = start(&all, 4, 0, 0.9, true);
    add(c, x, 2 * WINDOW, 0);
    finish(c);
    assert_int_equal(all.n, 1);
    assert_true(all.of[0].silence);
    assert_true(all.of[0].windows[0].silence && all.of[0].windows[1].silence);
    for (int k = 0; k < model_info(model)->n_classes; k++)
        assert_true(all.of[0].p_all[k] == 0);
    for (size_t i = 0; i < all.of[0].n; i++)
        assert_true(all.of[0].interpreted[i] == 0);
    forget(&all);
    free(x);
}

/* Noise, then silence: what the network could not name is no silence either. */
static void a_clip_whose_result_is_not_finite_fails_and_the_others_are_done(void **state)
{
    (void)state;
    struct outcomes all;
    struct error error = {""};
    char dir[] = "/tmp/focald-test-XXXXXX", baseline[600], command[128];
    struct model *whole = model, *overflowing = NULL;
    float *x = noise(2 * WINDOW, 5);
    memset(x + WINDOW, 0, WINDOW * sizeof *x);
    assert_non_null(mkdtemp(dir));
    snprintf(baseline, sizeof baseline, "%s/tests/data/baseline", source);
    if (made_changed(dir, baseline, MADE_OVERFLOWING, &error) < 0 ||
        model_open(&overflowing, dir, &error) < 0)
        fail_msg("%s", error.text);
    model = overflowing;
    struct classifier *c = start(&all, 2, 0, 0.9, true);
    add(c, x, WINDOW, 0);
    add(c, x + WINDOW, WINDOW, 1);
    add(c, x, 2 * WINDOW, 2);
    finish(c);
    model = whole;
    assert_int_equal(all.n, 3);
    for (int i = 0; i < all.n; i++) {
        assert_int_equal((intptr_t)all.of[i].user, i);
        assert_int_equal(all.of[i].failed, i != 1);
        if (i != 1)
            assert_non_null(strstr(all.of[i].error.text, "not finite"));
    }
    assert_true(all.of[1].silence);
    forget(&all);
    free(x);
    model_close(overflowing);
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

/* The interpretation as sound */

/* A quantile of 0 keeps every cell: the inverse STFT then gives the input, each sample of it,
 * whatever the length and however windows overlap. The limit is the golden data's for the inverse
 * STFT. */
static void a_mask_that_keeps_all_gives_the_clip_itself(void **state)
{
    (void)state;
    static const size_t lengths[] = {1,           500,           WINDOW - 1,       WINDOW,
                                     WINDOW + 16, WINDOW + 7999, 2 * WINDOW + 9000};
    static const size_t hops[] = {0, 12345};
    float *x = noise(3 * WINDOW, 11);
    for (size_t h = 0; h < ARRAY_LEN(hops); h++) {
        struct outcomes all;
        struct classifier *c = start(&all, 2, hops[h], 0, true);
        for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
            add(c, x, lengths[i], 0);
        finish(c);
        for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
            assert_int_equal(all.of[i].n, lengths[i]);
            assert_true(i == 0 || !all.of[i].silence);
            for (size_t k = 0; k < lengths[i] && !all.of[i].silence; k++)
                if (!(fabsf(all.of[i].interpreted[k] - x[k]) <= 5e-6f))
                    fail_msg("%zu samples, hop %zu: sample %zu is %g, not %g", lengths[i], hops[h],
                             k, (double)all.of[i].interpreted[k], (double)x[k]);
        }
        forget(&all);
    }
    free(x);
}

static void the_interpretation_holds_a_part_of_the_sound(void **state)
{
    (void)state;
    struct outcomes all;
    const struct clip *dog = demo("dog.ogg");
    struct classifier *c = start(&all, 1, 0, 0.9, true);
    add(c, dog->samples, dog->n, 0);
    finish(c);
    double in = 0, out = 0;
    for (size_t i = 0; i < dog->n; i++) {
        in += (double)dog->samples[i] * (double)dog->samples[i];
        out += (double)all.of[0].interpreted[i] * (double)all.of[0].interpreted[i];
    }
    assert_true(out > 0);
    assert_true(out < in / 2);
    forget(&all);
}

static int open_all(void **state)
{
    (void)state;
    struct error error = {""};
    char path[600];
    const char *root = getenv("FOCALD_SOURCE");
    snprintf(source, sizeof source, "%s", root != NULL ? root : ".");
    snprintf(path, sizeof path, "%s/tests/data/baseline", source);
    if (model_open(&model, path, &error) != 0) {
        print_error("%s\n", error.text);
        return -1;
    }
    snprintf(path, sizeof path, "%s/tests/data/baseline/expected.json", source);
    expected = json_load_file(path, 0, NULL);
    return expected != NULL ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    for (int i = 0; i < n_demos; i++)
        clip_finish(&demos[i].clip);
    model_close(model);
    json_decref(expected);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(demo_clips_in_the_reference_s_band_give_the_reference_s_labels_and_maps),
        cmocka_unit_test(demo_clips_as_files_give_the_reference_s_labels),
        cmocka_unit_test(clips_in_a_batch_are_named_as_one_by_one_and_in_order),
        cmocka_unit_test(a_long_clip_is_the_mean_of_its_windows_by_what_they_hold),
        cmocka_unit_test(a_clip_is_unknown_by_the_mean_score_of_its_windows),
        cmocka_unit_test(a_short_clip_is_filled_up_with_zeros),
        cmocka_unit_test(a_rest_that_encoders_add_is_no_window_of_its_own),
        cmocka_unit_test(a_silent_clip_has_no_label),
        cmocka_unit_test(a_clip_whose_result_is_not_finite_fails_and_the_others_are_done),
        cmocka_unit_test(a_mask_that_keeps_all_gives_the_clip_itself),
        cmocka_unit_test(the_interpretation_holds_a_part_of_the_sound),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
