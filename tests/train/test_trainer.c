/* SPDX-License-Identifier: Apache-2.0
 * A classifier's training: where its images lie, what it counts, and what a part that is not
 * trained keeps. */
#include "tests/train/published.h"
#include "tests/train/make_trainer.h"

enum { B = 2, CLASSES = 3, ROWS = 18, COLS = 21, WIDE_ROWS = 20, WIDE_COLS = 24 };

/* An image that is no multiple of the patch, either way. */
static struct trainer_config config_of(void)
{
    return (struct trainer_config){.net = {.kind = NET_FOCALNET,
                                           .focalnet = {.image_rows = ROWS,
                                                        .image_cols = COLS,
                                                        .patch_size = 4,
                                                        .num_channels = 3,
                                                        .embed_dim = 4,
                                                        .n_stages = 1,
                                                        .depths = {2},
                                                        .focal_levels = {2},
                                                        .focal_windows = {3},
                                                        .mlp_ratio = 2,
                                                        .layer_norm_eps = 1e-5f,
                                                        .head = {8, CLASSES, false}}},
                                   .batch = B,
                                   .class_gradient = 1,
                                   .loss = LOSS_PAPER,
                                   .optimizer = OPTIMIZER_PAPER,
                                   .seed = 5,
                                   .ops = &backend_cpu,
                                   .threads = 1};
}

static float planes[B][ROWS][COLS];

static void step(struct trainer *t, const struct trainer_target *targets,
                 struct trainer_losses *ret)
{
    const struct trainer_batch batch = {.targets = targets};
    struct error error;
    trainer_load(t, &planes[0][0][0]);
    if (trainer_step(t, &batch, 1e-2, ret, &error) < 0)
        fail_msg("%s", error.text);
}

static const struct trainer_target both[B] = {{{0, 0, 1}, false}, {{2, 2, 1}, false}};

static void rows_of_an_image_stay_rows_where_patches_need_more(void **state)
{
    (void)state;
    const struct trainer_config config = config_of();
    struct trainer *t = make_trainer(&config);
    struct trainer_losses losses;
    for (int turn = 0; turn < 2; turn++) { /* a step may use the room for something else */
        trainer_load(t, &planes[0][0][0]);
        for (int i = 0; i < B; i++)
            for (int y = 0; y < WIDE_ROWS; y++)
                for (int x = 0; x < WIDE_COLS; x++)
                    assert_true(trainer_plane(t, i)[y * WIDE_COLS + x] ==
                                (y < ROWS && x < COLS ? planes[i][y][x] : 0));
        step(t, both, &losses);
    }
    trainer_destroy(t);
}

static void an_image_without_a_label_is_none_that_could_be_right(void **state)
{
    (void)state;
    const struct trainer_config config = config_of();
    const struct trainer_target one[B] = {{{1, 1, 1}, false}, {{-1, -1, 1}, false}};
    struct trainer *t = make_trainer(&config);
    struct trainer_losses losses;
    for (int i = 0; i < 20; i++)
        step(t, one, &losses);
    assert_int_equal(losses.labelled, 1);
    assert_int_equal(losses.right, 1);
    step(t, both, &losses);
    assert_int_equal(losses.labelled, 2);
    trainer_destroy(t);
}

static struct trainer_rule frozen_backbone(const void *user, const char *name, int rank)
{
    (void)user;
    return (struct trainer_rule){1, strncmp(name, "classifier.", 11) != 0, rank > 1};
}

static void what_is_not_trained_is_its_own_average(void **state)
{
    (void)state;
    struct trainer_config config = config_of();
    struct trainer_losses losses;
    config.rule = frozen_backbone;
    config.average = 0.9;
    struct trainer *t = make_trainer(&config), *before = make_trainer(&config);
    for (int i = 0; i < 5; i++)
        step(t, both, &losses);
    int stayed = 0;
    for (int i = 0; i < trainer_weights(t); i++) {
        const struct weights_array a = trainer_weight(t, i), b = trainer_weight(before, i);
        size_t n = 1;
        for (int k = 0; k < a.rank; k++)
            n *= (size_t)a.shape[k];
        if (strncmp(a.name, "classifier.", 11) == 0)
            continue;
        assert_memory_equal(a.data, b.data, n * sizeof *a.data);
        stayed++;
    }
    assert_true(stayed > 10);
    trainer_destroy(t);
    trainer_destroy(before);
}

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < B; i++)
        for (int y = 0; y < ROWS; y++)
            for (int x = 0; x < COLS; x++)
                planes[i][y][x] = (float)(1 + i) / (float)(1 + y) + (float)x / COLS;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_an_image_stay_rows_where_patches_need_more),
        cmocka_unit_test(an_image_without_a_label_is_none_that_could_be_right),
        cmocka_unit_test(what_is_not_trained_is_its_own_average),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
