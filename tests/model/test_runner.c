/* SPDX-License-Identifier: Apache-2.0
 * The runner, as the daemon uses it, on the shipped model. */
#include "tests/model/places.h"

#include <math.h>

#include "model/model.h"
#include "tests/compare.h"

enum { MAX_BATCH = 7 };

static struct model *model;

static int open_model(void **state)
{
    (void)state;
    struct error error;
    struct place place = in_source("tests/data/baseline");
    if (model_open(&model, place.path, &error) == 0)
        return 0;
    print_error("%s\n", error.text);
    return -1;
}

static int close_model(void **state)
{
    (void)state;
    model_close(model);
    return 0;
}

static struct runner *make(const char *backend, int threads, int max_batch)
{
    struct runner_config config = {.backend = backend, .threads = threads, .max_batch = max_batch};
    struct runner *runner;
    struct error error;
    if (runner_create(&runner, model, &config, &error) < 0)
        fail_msg("%s", error.text);
    return runner;
}

/* Log-spectrograms are in 0 ... 4 or so. */
static void fill_plane(struct runner *runner, int i, uint64_t seed)
{
    const struct model_info *info = model_info(model);
    float *plane = runner_input(runner, i);
    seed = seed * 2 + 1;
    for (int k = 0; k < info->image_rows * info->image_cols; k++)
        plane[k] = (float)(random_next(&seed) >> 40) * 0x1p-22f;
}

static void run(struct runner *runner, int batch, struct runner_result *ret)
{
    struct error error;
    if (runner_run(runner, batch, ret, &error) < 0)
        fail_msg("%s", error.text);
}

/* The limits of golden/README for cosines and maps of a small network. */
static void assert_same(const struct runner_result *a, const struct runner_result *b)
{
    const struct model_info *info = model_info(model);
    double cosines = distance_between(a->cosines, b->cosines, (size_t)info->n_classes).off;
    if (!(cosines <= 5e-6))
        fail_msg("cosines differ by %g", cosines);
    for (int s = 0; s < info->n_maps; s++) {
        size_t cells = (size_t)info->maps[s].rows * (size_t)info->maps[s].cols;
        double maps = distance_between(a->maps[s], b->maps[s], cells).off;
        if (!(maps <= 1e-4))
            fail_msg("maps of stage %d differ by %g", s, maps);
    }
}

static void a_batch_of_n_gives_what_n_single_runs_give(void **state)
{
    (void)state;
    struct runner *many = make("cpu", 2, MAX_BATCH), *one = make("cpu", 2, 1);
    for (int batch = 1; batch <= MAX_BATCH; batch++) {
        struct runner_result together[MAX_BATCH], alone;
        for (int i = 0; i < batch; i++)
            fill_plane(many, i, (uint64_t)(10 * batch + i));
        run(many, batch, together);
        for (int i = 0; i < batch; i++) {
            fill_plane(one, 0, (uint64_t)(10 * batch + i));
            run(one, 1, &alone);
            assert_same(&together[i], &alone);
        }
    }
    runner_destroy(many);
    runner_destroy(one);
}

static void backends_and_threads_agree(void **state)
{
    (void)state;
    struct runner *runners[] = {make("ref", 1, 1), make("cpu", 1, 1), make("cpu", 2, 1),
                                make("auto", 5, 1)};
    struct runner_result results[4];
    for (int i = 0; i < 4; i++) {
        fill_plane(runners[i], 0, 3);
        run(runners[i], 1, &results[i]);
        if (i > 0)
            assert_same(&results[0], &results[i]);
    }
    assert_string_equal(runner_backend(runners[3]), "cpu");
    assert_int_equal(runner_threads(runners[3]), 5);
    for (int i = 0; i < 4; i++)
        runner_destroy(runners[i]);
}

static void a_run_leaves_nothing_behind_for_the_next(void **state)
{
    (void)state;
    struct runner *runner = make("cpu", 2, 2);
    struct runner_result r[2];
    const struct model_info *info = model_info(model);
    size_t classes = (size_t)info->n_classes;
    float *first = malloc(classes * sizeof *first);
    assert_non_null(first);
    fill_plane(runner, 0, 5);
    run(runner, 1, r);
    memcpy(first, r[0].cosines, classes * sizeof *first);
    fill_plane(runner, 0, 6);
    for (int i = 0; i < info->image_rows * info->image_cols; i++)
        runner_input(runner, 1)[i] = NAN;
    run(runner, 2, r);
    fill_plane(runner, 0, 5);
    run(runner, 1, r);
    assert_memory_equal(first, r[0].cosines, classes * sizeof *first);
    free(first);
    runner_destroy(runner);
}

static void what_cannot_be_run_is_refused(void **state)
{
    (void)state;
    static const struct runner_config wrong[] = {
        {.backend = "abacus", .threads = 1, .max_batch = 1},
        {.backend = "cpu", .precision = PRECISION_BFLOAT16, .threads = 1, .max_batch = 1},
        {.backend = "cpu", .threads = -1, .max_batch = 1},
        {.backend = "cpu", .threads = 257, .max_batch = 1},
        {.backend = "cpu", .threads = 1, .max_batch = 0},
        {.backend = "cpu", .threads = 1, .max_batch = 65}};
    struct runner *runner = NULL;
    struct error error;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(runner_create(&runner, model, &wrong[i], &error), -EINVAL);
        assert_null(runner);
        assert_line(&error, "allowed", NULL);
    }
    runner = make("cpu", 1, 2);
    struct runner_result r[3];
    assert_int_equal(runner_run(runner, 3, r, &error), -EINVAL);
    assert_int_equal(runner_run(runner, 0, r, &error), -EINVAL);
    runner_destroy(runner);
    runner_destroy(NULL);
}

/* Each cell counts, of the cosines and of the map that interprets. */
static void a_result_that_is_not_finite_is_refused_by_the_models_name(void **state)
{
    (void)state;
    static const float odd[] = {NAN, INFINITY, -INFINITY};
    const struct model_info *info = model_info(model);
    const int last = info->n_maps - 1;
    const size_t cells = (size_t)info->maps[last].rows * (size_t)info->maps[last].cols;
    struct runner *runner = make("cpu", 1, 1);
    struct runner_result result, spoiled;
    struct error error;
    fill_plane(runner, 0, 1);
    run(runner, 1, &result);
    assert_int_equal(runner_check(runner, &result, &error), 0);
    float *cosines = calloc((size_t)info->n_classes, sizeof *cosines);
    float *map = calloc(cells, sizeof *map);
    for (size_t k = 0; k < sizeof odd / sizeof *odd; k++) {
        for (int i = 0; i < info->n_classes; i++) {
            memcpy(cosines, result.cosines, (size_t)info->n_classes * sizeof *cosines);
            cosines[i] = odd[k];
            spoiled = result;
            spoiled.cosines = cosines;
            assert_int_equal(runner_check(runner, &spoiled, &error), -ERANGE);
            assert_line(&error, "model baseline", "cosines", "not finite", NULL);
        }
        for (size_t i = 0; i < cells; i++) {
            memcpy(map, result.maps[last], cells * sizeof *map);
            map[i] = odd[k];
            spoiled = result;
            spoiled.maps[last] = map;
            assert_int_equal(runner_check(runner, &spoiled, &error), -ERANGE);
            assert_line(&error, "model baseline", "map", "not finite", NULL);
        }
    }
    free(cosines);
    free(map);
    runner_destroy(runner);
}

static void probabilities_sum_to_one_also_for_large_scales(void **state)
{
    (void)state;
    static const float cosines[] = {0.9f, -1, 0.2f, 1};
    static const float scales[] = {1, 30, 1e6f};
    for (int k = 0; k < 3; k++) {
        float p[4];
        softmax_scaled(cosines, 4, scales[k], p);
        assert_true(fabsf(p[0] + p[1] + p[2] + p[3] - 1) < 1e-6f);
        assert_true(p[3] >= p[0] && p[0] >= p[2] && p[2] >= p[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_of_n_gives_what_n_single_runs_give),
        cmocka_unit_test(backends_and_threads_agree),
        cmocka_unit_test(a_run_leaves_nothing_behind_for_the_next),
        cmocka_unit_test(what_cannot_be_run_is_refused),
        cmocka_unit_test(a_result_that_is_not_finite_is_refused_by_the_models_name),
        cmocka_unit_test(probabilities_sum_to_one_also_for_large_scales),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
