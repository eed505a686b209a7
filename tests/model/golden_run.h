/* SPDX-License-Identifier: Apache-2.0
 * A golden file, the network that it describes, and a run of it: what the checks of all networks
 * share. N: images, H, W: rows and columns, C: channels. Golden feature maps are [N][C][H][W], ours
 * are [N][H][W][C]. */
#ifndef FOCALD_TESTS_MODEL_GOLDEN_RUN_H
#define FOCALD_TESTS_MODEL_GOLDEN_RUN_H

#include "model/nets/net.h"
#include "model/plan.h"
#include "tests/model/golden.h"

struct golden_run {
    const struct safetensors *file;
    const struct safetensors *weights_file; /* NULL: the same */
    const struct golden_backend *with;
    golden_line_report report;
    void *user;
    struct net_config config;
    bool base; /* hashed weights, one plane, one image and no N */
    int n;
    const struct safetensors_tensor *input; /* in.pixel_values: [N][C][H][W], or in.image: [H][W] */
    struct backend *backend;
    struct weights *weights;
    struct plan *plan;
    void *arena;
    float *golden; /* [golden_cells] the tensor being compared, as float32 */
    size_t golden_cells;
    bool *compared; /* [safetensors_count] */
};

/* Reads config and input of file, opens weights and backend of with. */
int golden_begin(struct golden_run *r, struct error *error);
/* The latter alone, where there is no image. */
int golden_begin_weights(struct golden_run *r, struct error *error);
void golden_finish(struct golden_run *r);

/* Plans the graph (taken over) and gives it backend_memory, to be freed after plan_destroy. */
int golden_plan(struct golden_run *r, struct graph *g, struct plan **ret, void **ret_arena,
                struct error *error);
/* Copies t, [N][C][H][W] or [H][W], into the plan's value. */
int golden_fill(const struct golden_run *r, int value, const struct safetensors_tensor *t,
                struct error *error);

void golden_tell(const struct golden_run *r, const char *tensor, double error, double limit,
                 const char *what);
/* The golden tensor in r->golden, or NULL when the file does not have it in this size. */
const float *golden_load(struct golden_run *r, const char *tensor, size_t cells);
double golden_largest(const float *x, size_t n);
double golden_difference(const float *a, const float *b, size_t n);
void golden_compare(struct golden_run *r, const char *tensor, const float *ours, size_t cells,
                    double limit);
/* The same of a gradient in another precision than float32, whose cells' roundings are those of all
 * that they are sums of: the length of the difference beside the length. */
void golden_compare_length(struct golden_run *r, const char *tensor, const float *ours,
                           size_t cells);
/* Of a feature map. */
void golden_compare_value(struct golden_run *r, const char *tensor, int value, double limit);
/* Maps of all images resized: [N][431][513], to be freed. */
float *golden_resized(const float *maps, struct tensor_shape s, int n);
/* The resized map (`name`), out.threshold and out.mask as they follow from maps: [N][H][W]. */
void golden_compare_mask(struct golden_run *r, const char *name, const float *maps,
                         struct tensor_shape s, double limit, const char *from);
/* A tensor that nothing was compared with has not passed: reports those whose names begin so. */
void golden_tell_rest(const struct golden_run *r, const char *prefix);

#endif
