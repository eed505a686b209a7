/* SPDX-License-Identifier: Apache-2.0
 * Stochastic depth: what is drawn, and what it does to a network. */
#include "tests/train/published.h"

#include "base/memory.h"
#include "model/nets/drop_path.h"
#include "model/nets/net.h"
#include "model/plan.h"
#include "model/train/drops.h"

enum { N = 2, DRAWS = 20000, LAYERS = 5, BRANCHES = DROP_PATH_BRANCHES * (LAYERS - 1) };

static void branches_are_dropped_linearly_more_often_with_depth(void **state)
{
    (void)state;
    static float drawn[DRAWS][BRANCHES];
    const double rate = 0.4;
    drops_draw(&drawn[0][0], DRAWS, BRANCHES, rate, 3, 17, 0);
    for (int k = 0; k < BRANCHES; k++) {
        const double p = rate * (k / DROP_PATH_BRANCHES + 1) / (LAYERS - 1);
        double dropped = 0, both = 0, mean = 0;
        for (int i = 0; i < DRAWS; i++) {
            const float f = drawn[i][k];
            assert_true(f == 0 || fabs((double)f - 1 / (1 - p)) < 1e-6);
            dropped += f == 0;
            both += f == 0 && drawn[i][k ^ 1] == 0;
            mean += (double)f / DRAWS;
        }
        const double sigma = sqrt(p * (1 - p) / DRAWS);
        assert_near("the share dropped", dropped / DRAWS, p, 5 * sigma);
        assert_near("the mean", mean, 1, 5 * sigma / (1 - p));
        assert_near("with its neighbour", both / DRAWS, p * p, 5 * p * sqrt(1.0 / DRAWS));
    }
}

static void they_depend_on_seed_step_and_place_alone(void **state)
{
    (void)state;
    float whole[8][BRANCHES], half[4][BRANCHES], other[8][BRANCHES];
    drops_draw(&whole[0][0], 8, BRANCHES, 0.5, 1, 6, 0);
    drops_draw(&half[0][0], 4, BRANCHES, 0.5, 1, 6, 4);
    assert_memory_equal(whole[4], half, sizeof half);
    assert_memory_not_equal(whole[0], half, sizeof half);
    drops_draw(&other[0][0], 8, BRANCHES, 0.5, 1, 7, 0);
    assert_memory_not_equal(whole, other, sizeof whole);
    drops_draw(&other[0][0], 8, BRANCHES, 0.5, 2, 6, 0);
    assert_memory_not_equal(whole, other, sizeof whole);
}

/* Networks. Weights are made of their names, so that a layer has the same ones in all of them. */

static struct net_config focalnet(int layers, float rate, bool post)
{
    return (struct net_config){.kind = NET_FOCALNET,
                               .focalnet = {.image_rows = 16,
                                            .image_cols = 16,
                                            .patch_size = 4,
                                            .num_channels = 3,
                                            .embed_dim = 8,
                                            .n_stages = 1,
                                            .depths = {layers},
                                            .focal_levels = {2},
                                            .focal_windows = {3},
                                            .mlp_ratio = 2,
                                            .layer_norm_eps = 1e-5f,
                                            .use_layerscale = post,
                                            .use_post_layernorm = post,
                                            .drop_path = rate}};
}

static struct net_config vit(int layers, float rate)
{
    return (struct net_config){.kind = NET_VIT,
                               .vit = {.image_rows = 16,
                                       .image_cols = 16,
                                       .patch_size = 8,
                                       .num_channels = 3,
                                       .hidden_size = 12,
                                       .num_hidden_layers = layers,
                                       .num_attention_heads = 3,
                                       .intermediate_size = 20,
                                       .layer_norm_eps = 1e-6f,
                                       .drop_path = rate}};
}

/* The embeddings: [N][width] with all factors of sample i being factors[i]. Returns their width. */
static size_t embeddings(const struct net_config *config, const float *factors, float *ret)
{
    struct error error;
    struct graph g;
    struct net_values v;
    struct weights *weights;
    struct backend *backend;
    struct plan *plan;
    struct tensor_shape s;
    graph_init(&g);
    if (net_build(config, N, true, false, &g, &v, &error) < 0)
        fail_msg("%s", error.text);
    assert_int_equal(weights_hashed(&weights, &error), 0);
    const struct backend_config one = {.threads = 1};
    assert_int_equal(backend_ref.open(&backend, &one, &error), 0);
    const struct plan_config with = {.ops = &backend_ref, .backend = backend, .weights = weights};
    if (plan_create(&plan, &g, &with, &error) < 0)
        fail_msg("%s", error.text);
    void *arena = memory_zeroed(plan_arena_bytes(plan), 1);
    assert_int_equal(plan_bind(plan, arena, &error), 0);
    float *x = plan_value(plan, v.input, &s);
    for (size_t i = 0; i < tensor_cells(s); i++)
        x[i] = (float)((i * 7919) % 101) / 50 - 1;
    assert_int_equal(v.drops >= 0, factors != NULL);
    if (factors != NULL) {
        float *drops = plan_value(plan, v.drops, &s);
        for (int i = 0; i < s.n * s.c; i++)
            drops[i] = factors[i / s.c];
    }
    assert_int_equal(plan_run(plan, &error), 0);
    const float *y = plan_value(plan, v.embedding, &s);
    memcpy(ret, y, tensor_cells(s) * sizeof *y);
    plan_destroy(plan);
    free(arena);
    backend_ref.close(backend);
    weights_destroy(weights);
    return (size_t)s.c;
}

/* one, many: the network with one layer and with three; dropping: many that drops. */
static void check_network(const struct net_config *one, const struct net_config *many,
                          const struct net_config *dropping)
{
    static const float ones[N] = {1, 1}, first_dropped[N] = {0, 1};
    float a[N * 16], b[N * 16], c[N * 16];
    const size_t width = embeddings(many, NULL, a);
    embeddings(dropping, ones, b);
    assert_memory_equal(a, b, N * width * sizeof *a);
    embeddings(one, NULL, c);
    assert_memory_not_equal(a, c, N * width * sizeof *a);
    embeddings(dropping, first_dropped, b);
    assert_memory_equal(b, c, width * sizeof *b);
    assert_memory_equal(b + width, a + width, width * sizeof *b);
}

static void a_sample_without_its_branches_has_only_the_first_layer(void **state)
{
    (void)state;
    for (int post = 0; post < 2; post++) {
        const struct net_config one = focalnet(1, 0, post != 0), many = focalnet(3, 0, post != 0),
                                dropping = focalnet(3, 0.2f, post != 0);
        check_network(&one, &many, &dropping);
    }
    const struct net_config one = vit(1, 0), many = vit(3, 0), dropping = vit(3, 0.2f);
    check_network(&one, &many, &dropping);
}

static void a_network_of_one_layer_drops_nothing(void **state)
{
    (void)state;
    const struct net_config single = focalnet(1, 0.5f, false);
    float a[N * 16];
    embeddings(&single, NULL, a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(branches_are_dropped_linearly_more_often_with_depth),
        cmocka_unit_test(they_depend_on_seed_step_and_place_alone),
        cmocka_unit_test(a_sample_without_its_branches_has_only_the_first_layer),
        cmocka_unit_test(a_network_of_one_layer_drops_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
