/* SPDX-License-Identifier: Apache-2.0
 * Random weights from the head down: which weights a part holds, and what becomes of them. */
#include "tests/model/places.h"

#include "model/cascade.h"
#include "model/model_internal.h"

static struct model *open_model(const char *name)
{
    struct error error = {""};
    struct model *model;
    if (model_open(&model, name, &error) < 0)
        fail_msg("%s", error.text);
    return model;
}

static void a_focalnet_falls_from_its_classifier_to_its_embeddings(void **state)
{
    static const struct {
        const char *weight;
        int part;
    } weights[] = {
        {"classifier.weight", 0},
        {"classifier.blocks.0.norm.running_var", 0},
        {"focalnet.layernorm.bias", 0},
        {"focalnet.encoder.stages.3.layers.1.modulation.projection_in.weight", 1},
        {"focalnet.encoder.stages.0.downsample.projection.weight", 4},
        {"focalnet.embeddings.patch_embeddings.projection.weight", 5},
    };
    struct model *model = open_model(in_source("tests/data/baseline").path);
    char name[32];
    assert_int_equal(cascade_parts(model), 6);
    cascade_name(model, 0, name, sizeof name);
    assert_string_equal(name, "classifier");
    cascade_name(model, 1, name, sizeof name);
    assert_string_equal(name, "stage 4");
    cascade_name(model, 5, name, sizeof name);
    assert_string_equal(name, "embeddings");
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        for (int n = 0; n <= 6; n++)
            assert_int_equal(cascade_holds(model, n, weights[i].weight), n > weights[i].part);
    assert_false(cascade_holds(model, 6, "psi.adapter.block.0.weight"));
    model_close(model);
}

static void a_vit_falls_layer_by_layer(void **state)
{
    struct model *model = open_model("vit-base");
    char name[32];
    assert_int_equal(cascade_parts(model), 14);
    cascade_name(model, 1, name, sizeof name);
    assert_string_equal(name, "layer 12");
    assert_true(cascade_holds(model, 2, "encoder.layer.11.output.dense.weight"));
    assert_false(cascade_holds(model, 2, "encoder.layer.1.output.dense.weight"));
    assert_true(cascade_holds(model, 13, "encoder.layer.0.output.dense.weight"));
    assert_false(cascade_holds(model, 13, "embeddings.cls_token"));
    assert_true(cascade_holds(model, 14, "embeddings.cls_token"));
    model_close(model);
}

static bool has_in_name(const void *user, const char *name)
{
    return strstr(name, user) != NULL;
}

static bool is_one_of(float value, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (x[i] == value)
            return true;
    return false;
}

static void random_weights_are_drawn_from_their_own(void **state)
{
    struct model *model = open_model(in_source("tests/data/baseline").path);
    struct error error = {""};
    struct weights *weights;
    const int64_t classes = model_info(model)->n_classes;
    const int64_t shape[2] = {classes, 192};
    size_t n = (size_t)classes * 192, moved = 0;
    float *before = malloc(n * sizeof *before), *random = malloc(n * sizeof *random);
    assert_int_equal(model_weights(model, &weights, &error), 0);
    memcpy(before, weights_get(weights, "classifier.weight", 2, shape, &error), n * sizeof *before);
    weights_randomize(weights, has_in_name, "classifier", 3);
    memcpy(random, weights_get(weights, "classifier.weight", 2, shape, &error), n * sizeof *random);
    for (size_t i = 0; i < n; i++)
        moved += random[i] != before[i];
    assert_true(moved > n * 9 / 10);
    for (size_t i = 0; i < 200; i++)
        assert_true(is_one_of(random[i * 7], before, n));
    assert_memory_equal(weights_get(weights, "classifier.weight", 2, shape, &error), random,
                        n * sizeof *random); /* by the seed */
    weights_randomize(weights, has_in_name, "classifier", 4);
    assert_memory_not_equal(weights_get(weights, "classifier.weight", 2, shape, &error), random,
                            n * sizeof *random);
    weights_randomize(weights, has_in_name, "embeddings", 3);
    assert_memory_equal(weights_get(weights, "classifier.weight", 2, shape, &error), before,
                        n * sizeof *before);
    weights_randomize(weights, NULL, NULL, 0);
    assert_memory_equal(weights_get(weights, "classifier.weight", 2, shape, &error), before,
                        n * sizeof *before);
    weights_destroy(weights);
    model_close(model);
    free(before);
    free(random);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_focalnet_falls_from_its_classifier_to_its_embeddings),
        cmocka_unit_test(a_vit_falls_layer_by_layer),
        cmocka_unit_test(random_weights_are_drawn_from_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
