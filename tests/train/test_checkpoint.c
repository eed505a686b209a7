/* SPDX-License-Identifier: Apache-2.0
 * Activations that are computed anew in the backward pass: the same gradients to the last bit, in
 * less memory, whatever the network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "model/nets/net.h"
#include "model/train/initial.h"
#include "model/train/learner.h"

enum { BATCH = 3 };

static const uint64_t SEED = 7;

static struct net_config focalnet(void)
{
    return (struct net_config){
        .kind = NET_FOCALNET,
        .focalnet = {.image_rows = 32,
                     .image_cols = 40,
                     .patch_size = 4,
                     .num_channels = 1,
                     .embed_dim = 20, /* 80 in the last stage: odd products */
                     .n_stages = 3,
                     .depths = {2, 1, 2},
                     .focal_levels = {2, 1, 3},
                     .focal_windows = {3, 5, 3},
                     .mlp_ratio = 4,
                     .layer_norm_eps = 1e-5f,
                     .use_conv_embed = true}};
}

static struct net_config every_option(void)
{
    struct net_config net = focalnet();
    net.focalnet.use_layerscale = true;
    net.focalnet.use_post_layernorm = true;
    net.focalnet.use_post_layernorm_in_modulation = true;
    net.focalnet.normalize_modulator = true;
    net.focalnet.use_conv_embed = false;
    return net;
}

static struct net_config scaled(void)
{
    struct net_config net = focalnet();
    net.focalnet.use_layerscale = true;
    return net;
}

static struct net_config vit(void)
{
    return (struct net_config){.kind = NET_VIT,
                               .vit = {.image_rows = 32,
                                       .image_cols = 32,
                                       .patch_size = 8,
                                       .num_channels = 1,
                                       .hidden_size = 48,
                                       .num_hidden_layers = 3,
                                       .num_attention_heads = 3,
                                       .intermediate_size = 96,
                                       .layer_norm_eps = 1e-6f}};
}

struct trained {
    struct learner *learner;
    struct net_values values;
};

static void fill(float *x, size_t n)
{
    uint32_t seed = 1;
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) * 0x1p-23f - 1;
    }
}

static bool first_stage(const void *user, const char *name)
{
    return user != NULL && strstr(name, "stages.0.") != NULL;
}

/* One forward and backward pass. */
static void train(struct trained *t, const struct net_config *net, const struct backend_ops *ops,
                  bool checkpoint, bool freeze)
{
    struct error error = {""};
    struct graph g;
    struct initial *initial;
    struct tensor_shape s;
    int taken;
    graph_init(&g);
    if (net_build(net, BATCH, false, false, &g, &t->values, &error) < 0 ||
        initial_create(&initial, &g, NULL, SEED, &taken, &error) < 0)
        fail_msg("%s", error.text);
    const struct learner_config config = {.ops = ops,
                                          .threads = 2,
                                          .frozen = first_stage,
                                          .user = freeze ? net : NULL,
                                          .inputs = true,
                                          .checkpoint_activations = checkpoint};
    if (learner_create(&t->learner, &g, &t->values.embedding, 1, initial_weights(initial), &config,
                       &error) < 0)
        fail_msg("%s", error.text);
    initial_destroy(initial);
    float *weights = learner_parameters(t->learner, NULL);
    for (int i = 0; i < learner_ranges(t->learner);
         i++) { /* layer scales of 1e-4 would hide much */
        struct learner_range range = learner_range(t->learner, i);
        if (strstr(range.weight->name, "gamma_") != NULL)
            fill(weights + range.from, range.cells);
    }
    float *input = learner_value(t->learner, t->values.input, &s);
    fill(input, tensor_cells(s));
    learner_value(t->learner, t->values.embedding, &s);
    fill(learner_seed(t->learner, 0), tensor_cells(s));
    for (int i = 0; i < 2; i++) /* the second with what the first has left lying about */
        if (learner_repack(t->learner, &error) < 0 || learner_forward(t->learner, &error) < 0 ||
            learner_backward(t->learner, &error) < 0)
            fail_msg("%s", error.text);
}

static void compare(const struct net_config *net, const struct backend_ops *ops, bool freeze)
{
    struct trained kept, again;
    struct tensor_shape s;
    size_t n;
    train(&kept, net, ops, false, freeze);
    train(&again, net, ops, true, freeze);
    learner_parameters(kept.learner, &n);
    const float *a = learner_gradients(kept.learner), *b = learner_gradients(again.learner);
    double largest = 0;
    for (int i = 0; i < learner_ranges(kept.learner); i++) {
        struct learner_range range = learner_range(kept.learner, i);
        if (memcmp(a + range.from, b + range.from, range.cells * sizeof *a) != 0)
            fail_msg("%s: the gradient differs", range.weight->name);
        for (size_t k = range.from; k < range.from + range.cells; k++) {
            double value = (double)a[k];
            largest = value * value > largest ? value * value : largest;
            if (!range.trained && value != 0)
                fail_msg("%s is not trained and has a gradient", range.weight->name);
        }
    }
    assert_true(largest > 1e-6);
    learner_value(kept.learner, kept.values.input, &s);
    assert_memory_equal(learner_input_gradient(kept.learner, kept.values.input),
                        learner_input_gradient(again.learner, again.values.input),
                        tensor_cells(s) * sizeof(float));
    struct learner_memory whole = learner_memory(kept.learner),
                          less = learner_memory(again.learner);
    print_message("stored %zu kB, with checkpoints %zu kB; all values %zu kB and %zu kB\n",
                  whole.stored >> 10, less.stored >> 10, whole.arena >> 10, less.arena >> 10);
    assert_true(less.stored < whole.stored / 2 && less.arena < whole.arena);
    assert_int_equal(less.packed, whole.packed);
    learner_destroy(kept.learner);
    learner_destroy(again.learner);
}

static void gradients_are_the_same_to_the_last_bit_in_less_memory(void **state)
{
    compare(*state, &backend_cpu, false);
}

static void so_they_are_with_the_reference_and_a_frozen_stage(void **state)
{
    struct net_config net = focalnet();
    (void)state;
    compare(&net, &backend_ref, false);
    compare(&net, &backend_cpu, true);
}

int main(void)
{
    struct net_config nets[] = {focalnet(), scaled(), every_option(), vit()};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(gradients_are_the_same_to_the_last_bit_in_less_memory, &nets[0]),
        cmocka_unit_test_prestate(gradients_are_the_same_to_the_last_bit_in_less_memory, &nets[1]),
        cmocka_unit_test_prestate(gradients_are_the_same_to_the_last_bit_in_less_memory, &nets[2]),
        cmocka_unit_test_prestate(gradients_are_the_same_to_the_last_bit_in_less_memory, &nets[3]),
        cmocka_unit_test(so_they_are_with_the_reference_and_a_frozen_stage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
