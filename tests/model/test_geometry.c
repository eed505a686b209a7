/* SPDX-License-Identifier: Apache-2.0
 * config.json out of tensors' shapes: what it says gives those shapes again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/graph.h"
#include "model/import/geometry.h"
#include "model/model_internal.h"

enum { STAGES = 3, EACH = 3, TENSORS = 1 + EACH * STAGES };

struct made {
    char names[TENSORS][112];
    struct checkpoint_tensor tensors[TENSORS];
    struct named_tensor named[TENSORS];
    size_t n;
};

static void add(struct made *m, const char *name, int rank, int64_t a, int64_t b, int64_t k)
{
    const size_t i = m->n++;
    snprintf(m->names[i], sizeof m->names[i], "%s", name);
    m->tensors[i] = (struct checkpoint_tensor){
        .path = "made", .name = m->names[i], .rank = rank, .shape = {a, b, k, k}};
    m->named[i] = (struct named_tensor){m->names[i], &m->tensors[i]};
}

/* The tensors that tell a FocalNet's geometry. hidden: [STAGES] channels of the MLPs */
static void make(struct made *m, int embed_dim, const int *hidden)
{
    static const char stage[] = "focalnet.encoder.stages.%d.layers.0.%s";
    m->n = 0;
    add(m, "focalnet.embeddings.patch_embeddings.projection.weight", 4, embed_dim, 3, 4);
    for (int s = 0; s < STAGES; s++) {
        const int64_t c = (int64_t)embed_dim << s;
        char name[112];
        snprintf(name, sizeof name, stage, s, "norm1.weight");
        add(m, name, 1, c, 1, 1);
        snprintf(name, sizeof name, stage, s, "modulation.focal_layers.0.0.weight");
        add(m, name, 4, c, 1, 3);
        snprintf(name, sizeof name, stage, s, "mlp.fc1.weight");
        add(m, name, 2, hidden[s], c, 1);
    }
}

/* What config.json, as import writes it, says. */
static double ratio_of(struct made *m)
{
    const struct geometry_options options = {0};
    struct net_config net = {0};
    struct error error;
    char said[512];
    json_t *o;
    if (geometry_derive(&o, NET_FOCALNET, m->named, m->n, &options, "made", said, sizeof said,
                        &error) < 0)
        fail_msg("%s", error.text);
    char *text = json_dumps(o, JSON_REAL_PRECISION(9));
    if (net_config_parse(&net, text, strlen(text), "made", &error) < 0)
        fail_msg("%s", error.text);
    free(text);
    json_decref(o);
    return net.focalnet.mlp_ratio;
}

static void every_width_of_the_mlp_comes_back(void **state)
{
    static struct made m;
    (void)state;
    for (int c = 8; c <= 256; c++)
        for (int h = c / 2; h <= 6 * c; h += 1 + c / 32) {
            make(&m, c, (const int[]){h, 2 * h, 4 * h});
            const double ratio = ratio_of(&m);
            for (int s = 0; s < STAGES; s++)
                if ((int)((c << s) * ratio) != h << s)
                    fail_msg("%d of %d channels: mlp_ratio %.17g", h << s, c << s, ratio);
        }
}

/* int(dim * mlp_ratio) of each stage, in Python. */
static void a_ratio_that_is_cut_comes_back_in_every_stage(void **state)
{
    static const double ratios[] = {2.35, 3.7, 2.667, 1.3333, 4, 0.55};
    static struct made m;
    (void)state;
    for (size_t i = 0; i < sizeof ratios / sizeof *ratios; i++)
        for (int c = 10; c < 130; c += 7) {
            int hidden[STAGES];
            for (int s = 0; s < STAGES; s++)
                hidden[s] = (int)((c << s) * ratios[i]);
            make(&m, c, hidden);
            const double ratio = ratio_of(&m);
            for (int s = 0; s < STAGES; s++)
                assert_int_equal((int)((c << s) * ratio), hidden[s]);
        }
}

/* 124 / 56 rounded to float32 is a hair less, and of 56 channels 123 would be made. */
static void widths_are_multiplied_in_double(void **state)
{
    static const char text[] = "{\"model_type\": \"focalnet\", \"embed_dim\": 56, \"depths\": [1], "
                               "\"focal_levels\": [1], \"focal_windows\": [3], "
                               "\"mlp_ratio\": 2.2142857142857144}";
    struct net_config net = {0};
    struct net_values values;
    struct error error;
    struct graph g;
    int found = 0;
    (void)state;
    if (net_config_parse(&net, text, strlen(text), "config.json", &error) < 0)
        fail_msg("%s", error.text);
    graph_init(&g);
    if (net_build(&net, 1, true, false, &g, &values, &error) < 0)
        fail_msg("%s", error.text);
    for (int i = 0; i < g.n_weights; i++)
        if (strstr(g.weights[i].name, "mlp.fc1.weight") != NULL) {
            assert_int_equal(g.weights[i].shape[0], 124);
            found++;
        }
    assert_int_equal(found, 1);
    graph_finish(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_width_of_the_mlp_comes_back),
        cmocka_unit_test(a_ratio_that_is_cut_comes_back_in_every_stage),
        cmocka_unit_test(widths_are_multiplied_in_double),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
