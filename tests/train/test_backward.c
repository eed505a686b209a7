/* SPDX-License-Identifier: Apache-2.0
 * Backward passes of whole networks on the processor: the reference's gradients, and each time the
 * same. */
#include "tests/train/published.h"

#include "model/nets/net.h"
#include "model/train/initial.h"
#include "model/train/learner.h"
#include "model/train/random.h"

enum { BATCH = 3, OUTPUTS = 4 };

/* Sizes that fill no vector, and a head with fewer channels than one. */
static const struct vit_config vit = {.image_rows = 40,
                                      .image_cols = 56,
                                      .patch_size = 8,
                                      .num_channels = 3,
                                      .hidden_size = 39,
                                      .num_hidden_layers = 3,
                                      .num_attention_heads = 3,
                                      .intermediate_size = 77,
                                      .layer_norm_eps = 1e-6f,
                                      .head = {21, 5, true}};
static const struct focalnet_config focalnet = {.image_rows = 36,
                                                .image_cols = 44,
                                                .patch_size = 4,
                                                .num_channels = 3,
                                                .embed_dim = 21,
                                                .n_stages = 2,
                                                .depths = {2, 1},
                                                .focal_levels = {2, 1},
                                                .focal_windows = {3, 5},
                                                .mlp_ratio = 3,
                                                .layer_norm_eps = 1e-5f,
                                                .use_layerscale = true,
                                                .head = {19, 7, true}};

struct built {
    struct learner *learner;
    int input, outputs[OUTPUTS], n;
};

typedef void build_network(struct built *b, struct graph *g);

/* Everything that may have a gradient from outside. */
static void build_vit(struct built *b, struct graph *g)
{
    struct vit_values v;
    struct error error;
    if (vit_build(&vit, BATCH, true, true, false, g, &v, &error) < 0)
        fail_msg("%s", error.text);
    *b = (struct built){
        .input = v.input, .outputs = {v.embedding, v.cosines, v.map, v.features}, .n = 4};
    graph_output(g, v.features);
}

static void build_focalnet(struct built *b, struct graph *g)
{
    const struct net_config net = {.kind = NET_FOCALNET, .focalnet = focalnet};
    struct net_values v;
    struct error error;
    if (net_build(&net, BATCH, true, false, g, &v, &error) < 0)
        fail_msg("%s", error.text);
    *b = (struct built){.input = v.input, .outputs = {v.embedding, v.cosines, v.map[1]}, .n = 3};
}

static void fill(float *x, struct tensor_shape s, uint64_t seed)
{
    struct random random;
    random_seed(&random, seed);
    for (size_t i = 0; i < tensor_cells(s); i++)
        x[i] = (float)(2 * random_uniform(&random) - 1);
}

static void step(const struct built *b)
{
    struct error error;
    if (learner_forward(b->learner, &error) < 0 || learner_backward(b->learner, &error) < 0)
        fail_msg("%s", error.text);
}

/* One step with weights of which none is small, a layer scale's neither. */
static void train(struct built *b, build_network *build, const struct backend_ops *ops)
{
    struct graph g;
    struct error error;
    struct initial *initial;
    struct tensor_shape s;
    int taken;
    graph_init(&g);
    build(b, &g);
    const struct learner_config config = {.ops = ops, .threads = 2, .inputs = true};
    if (initial_create(&initial, &g, NULL, 3, &taken, &error) < 0 ||
        learner_create(&b->learner, &g, b->outputs, b->n, initial_weights(initial), &config,
                       &error) < 0)
        fail_msg("%s", error.text);
    initial_destroy(initial);
    float *weights = learner_parameters(b->learner, NULL);
    for (int i = 0; i < learner_ranges(b->learner); i++) {
        const struct learner_range range = learner_range(b->learner, i);
        if (strstr(range.weight->name, "gamma_") != NULL)
            fill(weights + range.from, (struct tensor_shape){1, 1, 1, (int)range.cells}, 5);
    }
    float *input = learner_value(b->learner, b->input, &s);
    fill(input, s, 1);
    for (int i = 0; i < b->n; i++) {
        learner_value(b->learner, b->outputs[i], &s);
        fill(learner_seed(b->learner, i), s, 10 + (uint64_t)i);
    }
    if (learner_repack(b->learner, &error) < 0)
        fail_msg("%s", error.text);
    step(b);
}

static double largest_of(const float *x, size_t n)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)x[i]));
    return largest;
}

/* Sums in float32 over a few hundred positions, through a dozen operators: by the largest gradient
 * of the weight, or, where that cancels out (a key's bias moves nothing), of the network. */
static void check_weights(const struct learner *found, const struct learner *expected)
{
    const float *a = learner_gradients(found), *b = learner_gradients(expected);
    size_t n;
    learner_parameters(expected, &n);
    const double all = largest_of(b, n);
    int trained = 0;
    for (int i = 0; i < learner_ranges(expected); i++) {
        const struct learner_range r = learner_range(expected, i);
        const double own = largest_of(b + r.from, r.cells);
        trained += r.trained;
        assert_all_near(r.weight->name, a + r.from, b + r.from, r.cells, 2e-5 * own + 2e-7 * all);
    }
    assert_true(all > 1 && trained > 20);
}

static void gradients_are_those_of_the_reference(void **state)
{
    build_network *const builds[] = {build_vit, build_focalnet};
    (void)state;
    for (size_t i = 0; i < sizeof builds / sizeof *builds; i++) {
        struct built ref, cpu;
        struct tensor_shape s;
        train(&ref, builds[i], &backend_ref);
        train(&cpu, builds[i], &backend_cpu);
        check_weights(cpu.learner, ref.learner);
        learner_value(ref.learner, ref.input, &s);
        const float *expected = learner_input_gradient(ref.learner, ref.input);
        assert_all_near("the image", learner_input_gradient(cpu.learner, cpu.input), expected,
                        tensor_cells(s), 2e-5 * largest_of(expected, tensor_cells(s)));
        learner_destroy(ref.learner);
        learner_destroy(cpu.learner);
    }
}

static void a_second_step_gives_the_same_bits(void **state)
{
    build_network *const builds[] = {build_vit, build_focalnet};
    (void)state;
    for (size_t i = 0; i < sizeof builds / sizeof *builds; i++) {
        struct built b;
        size_t n;
        train(&b, builds[i], &backend_cpu);
        learner_parameters(b.learner, &n);
        float *first = malloc(n * sizeof *first);
        assert_non_null(first);
        memcpy(first, learner_gradients(b.learner), n * sizeof *first);
        step(&b);
        assert_memory_equal(first, learner_gradients(b.learner), n * sizeof *first);
        free(first);
        learner_destroy(b.learner);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_the_reference),
        cmocka_unit_test(a_second_step_gives_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
