/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "model/graph.h"
#include "model/nets/net.h"

static int weight(struct graph *g, int rank, int64_t a, int64_t b, int64_t k, const char *name)
{
    return graph_weight(g, rank, (const int64_t[]){a, b, k, k}, "%s", name);
}

static void a_linear_layer_has_its_weights_shape(void **state)
{
    (void)state;
    struct graph g;
    graph_init(&g);
    int x = graph_input(&g, (struct tensor_shape){2, 3, 5, 7});
    int y = graph_linear(&g, x, weight(&g, 2, 11, 7, 1, "w"), weight(&g, 1, 11, 1, 1, "b"));
    assert_int_equal(graph_check(&g, NULL), 0);
    assert_int_equal(g.nodes[y].shape.n, 2);
    assert_int_equal(g.nodes[y].shape.h, 3);
    assert_int_equal(g.nodes[y].shape.w, 5);
    assert_int_equal(g.nodes[y].shape.c, 11);
    assert_true(graph_node_flops(&g, &g.nodes[y]) == 2.0 * 2 * 3 * 5 * 7 * 11);
    graph_finish(&g);
}

static void a_convolution_counts_padding_and_stride(void **state)
{
    (void)state;
    struct graph g;
    graph_init(&g);
    int x = graph_input(&g, (struct tensor_shape){1, 9, 12, 3});
    int w = weight(&g, 4, 5, 3, 3, "w"), b = weight(&g, 1, 5, 1, 1, "b");
    int y = graph_conv(&g, x, w, b, 2, 1, false);
    assert_int_equal(graph_check(&g, NULL), 0);
    assert_int_equal(g.nodes[y].shape.h, 5);
    assert_int_equal(g.nodes[y].shape.w, 6);
    assert_true(graph_node_flops(&g, &g.nodes[y]) == 2.0 * 5 * 6 * 5 * 3 * 9);
    graph_finish(&g);
}

static void the_first_mistake_is_the_one_told(void **state)
{
    (void)state;
    struct graph g;
    struct error error;
    graph_init(&g);
    int x = graph_input(&g, (struct tensor_shape){1, 2, 2, 7});
    int wrong = graph_linear(&g, x, weight(&g, 2, 11, 8, 1, "first.weight"),
                             weight(&g, 1, 11, 1, 1, "first.bias"));
    assert_int_equal(wrong, -1);
    /* what is built on it does nothing */
    assert_int_equal(graph_gelu(&g, wrong), -1);
    assert_int_equal(graph_add(&g, wrong, x), -1);
    assert_int_equal(graph_check(&g, &error), -EINVAL);
    assert_non_null(strstr(error.text, "first.weight"));
    graph_finish(&g);
}

static void shapes_that_do_not_fit_are_mistakes(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        struct graph g;
        struct error error;
        graph_init(&g);
        int x = graph_input(&g, (struct tensor_shape){1, 4, 4, 8});
        int y = graph_input(&g, (struct tensor_shape){1, 4, 4, 9});
        int w = weight(&g, 4, 5, 8, 5, "w"), b = weight(&g, 1, 5, 1, 1, "b");
        int kernel = weight(&g, 4, 3, 1, 3, "kernel");
        switch (i) {
        case 6: /* a view is nowhere by itself */
            graph_output(&g, graph_slice(&g, x, 2, 3));
            break;
        case 0:
            graph_add(&g, x, y);
            break;
        case 1:
            graph_slice(&g, x, 5, 4);
            break;
        case 2: /* 5 x 5 over 4 x 4 leaves nothing */
            graph_conv(&g, x, w, b, 1, 0, false);
            break;
        case 3: /* 9 channels are not 3 + 3 + 2 */
            graph_focal_context(&g, y, &kernel, 1, 3, false);
            break;
        case 4:
            graph_layer_norm(&g, x, b, b, 1e-5f);
            break;
        case 5:
            graph_input(&g, (struct tensor_shape){0, 1, 1, 1});
            break;
        default:
            graph_mean(&g, 99);
        }
        assert_int_equal(graph_check(&g, &error), -EINVAL);
        graph_finish(&g);
    }
}

static struct focalnet_config base_config(void)
{
    return (struct focalnet_config){.image_rows = 224,
                                    .image_cols = 224,
                                    .patch_size = 4,
                                    .num_channels = 3,
                                    .embed_dim = 128,
                                    .n_stages = 4,
                                    .depths = {2, 2, 18, 2},
                                    .focal_levels = {2, 2, 2, 2},
                                    .focal_windows = {3, 3, 3, 3},
                                    .mlp_ratio = 4,
                                    .layer_norm_eps = 1e-5f,
                                    .head = {.dim = 192, .classes = 50}};
}

/* golden/README: 87 123 144 backbone parameters, of which the final layer norm's 2048 are unused;
 * the head has 2 * 1024 + 192 * 1024 + 192 + 50 * 192 and statistics, which are not counted. */
static void focalnet_base_has_the_published_number_of_parameters(void **state)
{
    (void)state;
    struct net_config c = {.kind = NET_FOCALNET, .focalnet = base_config()};
    size_t backbone = 87123144 - 2 * 1024, head = 2 * 1024 + 192 * 1024 + 192 + 50 * 192;
    assert_int_equal(net_parameters(&c), backbone + head);
}

static void every_absurd_config_is_refused_by_its_key(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        size_t offset;
        int value;
    } cases[] = {
#define CASE(key, field, value) {key, offsetof(struct focalnet_config, field), value}
        CASE("image_size", image_rows, 0),
        CASE("image_size", image_cols, 1 << 30),
        CASE("patch_size", patch_size, 0),
        CASE("patch_size", patch_size, -4),
        CASE("num_channels", num_channels, 0),
        CASE("embed_dim", embed_dim, 1 << 30),
        CASE("embed_dim", embed_dim, 0),
        CASE("depths", n_stages, 0),
        CASE("depths", n_stages, 9),
        CASE("depths", depths[1], -1),
        CASE("depths", depths[2], 1 << 30),
        CASE("focal_levels", focal_levels[0], 0),
        CASE("focal_levels", focal_levels[3], 1 << 20),
        CASE("focal_windows", focal_windows[0], 4),
        CASE("focal_windows", focal_windows[0], -3),
#undef CASE
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct focalnet_config c = base_config();
        struct error error = {""};
        memcpy((char *)&c + cases[i].offset, &cases[i].value, sizeof(int));
        assert_int_equal(focalnet_check(&c, &error), -EINVAL);
        if (strstr(error.text, cases[i].key) == NULL)
            fail_msg("%s is not named in: %s", cases[i].key, error.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_linear_layer_has_its_weights_shape),
        cmocka_unit_test(a_convolution_counts_padding_and_stride),
        cmocka_unit_test(the_first_mistake_is_the_one_told),
        cmocka_unit_test(shapes_that_do_not_fit_are_mistakes),
        cmocka_unit_test(focalnet_base_has_the_published_number_of_parameters),
        cmocka_unit_test(every_absurd_config_is_refused_by_its_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
