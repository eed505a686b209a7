/* SPDX-License-Identifier: Apache-2.0
 * FocalNets whose stages have an odd number of rows or columns: Hugging Face's
 * FocalNetPatchEmbeddings, which downsamples too, pads what it takes to whole patches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/nets/net.h"
#include "model/plan.h"

enum { N = 2, STAGES = 4, EMBED = 3 };

/* Rows and columns of the stages: 7 x 9, 4 x 5, 2 x 3, 1 x 2. */
static const int rows_of[STAGES] = {7, 4, 2, 1}, cols_of[STAGES] = {9, 5, 3, 2};

static struct focalnet_config odd_config(void)
{
    return (struct focalnet_config){.image_rows = 26, /* of which the stem makes 28 */
                                    .image_cols = 36,
                                    .patch_size = 4,
                                    .num_channels = 3,
                                    .embed_dim = EMBED,
                                    .n_stages = STAGES,
                                    .depths = {1, 1, 1, 1},
                                    .focal_levels = {1, 1, 1, 1},
                                    .focal_windows = {3, 3, 3, 3},
                                    .mlp_ratio = 2,
                                    .layer_norm_eps = 1e-5f};
}

struct network {
    struct focalnet_values values;
    struct backend *backend;
    struct weights *weights;
    struct plan *plan;
    void *arena;
};

static void run(struct network *t, const struct backend_ops *ops)
{
    const struct focalnet_config config = odd_config();
    const struct backend_config with = {.threads = 2};
    struct tensor_shape s;
    struct error error;
    struct graph g;
    graph_init(&g);
    if (focalnet_build(&config, N, false, true, &g, &t->values, &error) < 0 ||
        ops->open(&t->backend, &with, &error) < 0 || weights_hashed(&t->weights, &error) < 0)
        fail_msg("%s", error.text);
    const struct plan_config plan = {
        .ops = ops, .backend = t->backend, .weights = t->weights, .isolate = true};
    if (plan_create(&t->plan, &g, &plan, &error) < 0)
        fail_msg("%s", error.text);
    t->arena = backend_memory(ops, t->backend, plan_arena_bytes(t->plan), &error);
    if (t->arena == NULL || plan_bind(t->plan, t->arena, &error) < 0)
        fail_msg("%s", error.text);
    float *image = plan_value(t->plan, t->values.input, &s);
    for (size_t i = 0; i < tensor_cells(s); i++)
        image[i] = (float)sin(0.7 * (double)i);
    if (plan_run(t->plan, &error) < 0)
        fail_msg("%s", error.text);
}

static void finish(struct network *t, const struct backend_ops *ops)
{
    plan_destroy(t->plan);
    backend_memory_free(ops, t->backend, t->arena);
    ops->close(t->backend);
    weights_destroy(t->weights);
}

static double weight(int stage, const char *name, int rank, int out, int in, size_t i)
{
    const int64_t shape[] = {out, in, 2, 2};
    char full[128];
    snprintf(full, sizeof full, "focalnet.encoder.stages.%d.downsample.%s", stage, name);
    return (double)weights_hashed_value(full, rank, shape, i);
}

/* One cell of the 2 x 2 convolution of stride 2 over x: [rows][cols][in], zero outside. */
static double patch(const float *x, int stage, int row, int col, int o)
{
    const int in = EMBED << stage;
    double sum = weight(stage, "projection.bias", 1, 2 * in, 0, (size_t)o);
    for (int c = 0; c < in; c++)
        for (int tap = 0; tap < 4; tap++) {
            const int y = 2 * row + tap / 2, z = 2 * col + tap % 2;
            if (y < rows_of[stage] && z < cols_of[stage])
                sum += (double)x[(y * cols_of[stage] + z) * in + c] *
                       weight(stage, "projection.weight", 4, 2 * in, in,
                              (size_t)((o * in + c) * 4 + tap));
        }
    return sum;
}

/* A cell of the downsampling after the stage: its patches, then layer norm. */
static void check_cell(const float *x, const float *found, int stage, int row, int col)
{
    const int out = EMBED << (stage + 1);
    double y[EMBED << STAGES], mean = 0, variance = 0;
    for (int o = 0; o < out; o++)
        mean += (y[o] = patch(x, stage, row, col, o)) / out;
    for (int o = 0; o < out; o++)
        variance += (y[o] - mean) * (y[o] - mean) / out;
    for (int o = 0; o < out; o++) {
        const double expected = (y[o] - mean) / sqrt(variance + 1e-5) *
                                    weight(stage, "norm.weight", 1, out, 0, (size_t)o) +
                                weight(stage, "norm.bias", 1, out, 0, (size_t)o);
        if (!(fabs((double)found[o] - expected) <= 1e-5 * fmax(1, fabs(expected))))
            fail_msg("stage %d, cell %d, %d, channel %d: %g instead of %g", stage, row, col, o,
                     (double)found[o], expected);
    }
}

static void odd_rows_and_columns_are_padded_to_whole_patches(void **state)
{
    static const struct backend_ops *const backends[] = {&backend_ref, &backend_cpu};
    (void)state;
    for (int b = 0; b < 2; b++) {
        struct network t;
        run(&t, backends[b]);
        for (int s = 0; s + 1 < STAGES; s++) {
            struct tensor_shape from, to;
            const float *x = plan_value(t.plan, t.values.stage[s], &from);
            const float *y = plan_value(t.plan, t.values.down[s], &to);
            assert_int_equal(to.h, rows_of[s + 1]);
            assert_int_equal(to.w, cols_of[s + 1]);
            for (int i = 0; i < N * to.h * to.w; i++) {
                const int image = i / (to.h * to.w), row = i / to.w % to.h, col = i % to.w;
                check_cell(x + image * from.h * from.w * from.c, y + i * to.c, s, row, col);
            }
        }
        finish(&t, backends[b]);
    }
}

static void expect_sizes(const struct focalnet_config *config, const int *expected)
{
    const struct net_config net = {.kind = NET_FOCALNET, .focalnet = *config};
    for (int i = 0; i < STAGES; i++) {
        int rows, cols;
        net_map_size(&net, i, &rows, &cols);
        assert_int_equal(rows, expected[i]);
        assert_int_equal(cols, expected[i]);
    }
}

/* As modeling_focalnet.py has them: height, width behind maybe_pad. */
static void maps_have_hugging_faces_sizes(void **state)
{
    struct focalnet_config c = odd_config();
    struct error error;
    (void)state;
    c.image_rows = c.image_cols = 112;
    expect_sizes(&c, (const int[]){28, 14, 7, 4});
    c.image_rows = c.image_cols = 100;
    expect_sizes(&c, (const int[]){25, 13, 7, 4});
    c.use_conv_embed = true; /* whose kernel of 3 reaches over the edge anyway */
    expect_sizes(&c, (const int[]){25, 13, 7, 4});
    c.use_conv_embed = false;
    c.image_rows = c.image_cols = 16;
    expect_sizes(&c, (const int[]){4, 2, 1, 1});
    assert_int_equal(focalnet_check(&c, &error), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_rows_and_columns_are_padded_to_whole_patches),
        cmocka_unit_test(maps_have_hugging_faces_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
