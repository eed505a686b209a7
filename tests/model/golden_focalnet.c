/* SPDX-License-Identifier: Apache-2.0
 * N: images, H, W: rows and columns, C: channels. Golden feature maps are [N][C][H][W], ours are
 * [N][H][W][C]; the files of the base geometry have one image and no N. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dsp/resize.h"
#include "model/graph.h"
#include "model/interpret/mask.h"
#include "model/model_internal.h"
#include "model/plan.h"
#include "tests/model/golden.h"

enum { MASK_ROWS = 431, MASK_COLS = 513, BASE_HEAD_DIM = 192 };
static const size_t mask_cells = (size_t)MASK_ROWS * MASK_COLS;
static const float mask_quantile = 0.9f;

struct run {
    const struct safetensors *file;
    const struct golden_backend *with;
    golden_line_report report;
    void *user;
    bool base; /* hashed weights, one plane */
    int n;
    struct focalnet_config config;
    struct focalnet_values values;
    struct backend *backend;
    struct weights *weights;
    struct plan *plan;
    void *arena;
    float *golden;  /* the tensor being compared, as float32 */
    bool *compared; /* [safetensors_count] */
};

const char *golden_kind_name(enum golden_kind kind)
{
    static const char *const names[] = {"unknown", "dsp", "focalnet", "vit", "piq", "train_steps"};
    return names[kind];
}

enum golden_kind golden_kind_of(const struct safetensors *file)
{
    static const struct {
        const char *tensor;
        enum golden_kind kind;
    } marks[] = {
        {"clip1.stft", GOLDEN_DSP},
        {"codebook.embedding.weight", GOLDEN_PIQ},
        {"grad1.classifier.weight", GOLDEN_TRAIN_STEPS},
        {"out.cls_attn", GOLDEN_VIT},
        {"out.modulator1", GOLDEN_FOCALNET},
        {"out.modulator4.channel_mean", GOLDEN_FOCALNET},
    };
    for (size_t i = 0; i < ARRAY_LEN(marks); i++)
        if (safetensors_find(file, marks[i].tensor) != NULL)
            return marks[i].kind;
    return GOLDEN_UNKNOWN;
}

/* Limits, from golden/README.md */

static double stage_limit(const struct run *r, int stage)
{
    static const double base[] = {1e-4, 1e-4, 2e-3, 1e-3};
    return r->base ? base[stage] : 1e-4;
}

static double largest(const float *x, size_t n)
{
    double max = 0;
    for (size_t i = 0; i < n; i++)
        max = fmax(max, fabs((double)x[i]));
    return max;
}

/* Of a map and what follows from it; in the base geometry maps are large and it is relative. */
static double map_limit(const struct run *r, const float *golden_map, size_t n)
{
    return r->base ? 1e-4 * largest(golden_map, n) : 1e-4;
}

/* Comparing */

static void tell(const struct run *r, const char *tensor, double error, double limit,
                 const char *what)
{
    struct golden_line line = {tensor, error, limit, error <= limit, what};
    r->report(r->user, &line);
}

/* The golden tensor in r->golden, or NULL when the file does not have it in this size. */
static const float *load(struct run *r, const char *tensor, size_t cells)
{
    const struct safetensors_tensor *t = safetensors_find(r->file, tensor);
    if (t == NULL)
        return NULL;
    for (size_t i = 0; i < safetensors_count(r->file); i++)
        r->compared[i] |= safetensors_at(r->file, i) == t;
    free(r->golden);
    r->golden = memory_zeroed(cells, sizeof(float));
    if (t->cells != cells || r->golden == NULL) {
        tell(r, tensor, NAN, 0, "the size is another");
        return NULL;
    }
    safetensors_float(t, r->golden);
    return r->golden;
}

static double largest_difference(const float *a, const float *b, size_t n)
{
    double error = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= error)) /* NaN stays */
            error = d;
        if (isnan(d))
            break;
    }
    return error;
}

static void compare(struct run *r, const char *tensor, const float *ours, size_t cells,
                    double limit)
{
    const float *golden = load(r, tensor, cells);
    if (golden != NULL)
        tell(r, tensor, largest_difference(ours, golden, cells), limit, "");
}

/* [N][H][W][C] -> [N][C][H][W], to be freed. */
static float *channels_first(const float *x, struct tensor_shape s)
{
    size_t area = (size_t)s.h * (size_t)s.w, c = (size_t)s.c;
    float *y = memory_zeroed(tensor_cells(s), sizeof(float));
    for (size_t n = 0; y != NULL && n < (size_t)s.n; n++)
        for (size_t p = 0; p < area; p++)
            for (size_t i = 0; i < c; i++)
                y[(n * c + i) * area + p] = x[(n * area + p) * c + i];
    return y;
}

static void compare_value(struct run *r, const char *tensor, int value, double limit)
{
    struct tensor_shape shape;
    const float *x = plan_value(r->plan, value, &shape);
    float *ours = channels_first(x, shape);
    if (ours != NULL)
        compare(r, tensor, ours, tensor_cells(shape), limit);
    free(ours);
}

/* out.PREFIX.channel_mean, .channel_std and .corner of one image's value. */
static void compare_summary(struct run *r, const char *prefix, int value, double limit)
{
    enum { CORNER = 4, CORNER_CHANNELS = 8 };
    struct tensor_shape s;
    const float *x = plan_value(r->plan, value, &s);
    size_t area = (size_t)s.h * (size_t)s.w, c = (size_t)s.c;
    float *means = memory_zeroed(c, sizeof(float)), *deviations = memory_zeroed(c, sizeof(float));
    float corner[CORNER_CHANNELS * CORNER * CORNER];
    char name[128];
    for (size_t i = 0; i < c && means != NULL && deviations != NULL; i++) {
        double mean = 0, variance = 0;
        for (size_t p = 0; p < area; p++)
            mean += (double)x[p * c + i] / (double)area;
        for (size_t p = 0; p < area; p++)
            variance += pow((double)x[p * c + i] - mean, 2) / (double)area;
        means[i] = (float)mean;
        deviations[i] = (float)sqrt(variance);
    }
    for (size_t i = 0; i < ARRAY_LEN(corner); i++) {
        size_t row = i / CORNER % CORNER, col = i % CORNER;
        corner[i] = x[(row * (size_t)s.w + col) * c + i / (CORNER * CORNER)];
    }
    snprintf(name, sizeof name, "%s.channel_mean", prefix);
    compare(r, name, means, c, limit);
    snprintf(name, sizeof name, "%s.channel_std", prefix);
    compare(r, name, deviations, c, limit);
    snprintf(name, sizeof name, "%s.corner", prefix);
    compare(r, name, corner, ARRAY_LEN(corner), limit);
    free(means);
    free(deviations);
}

/* Maps, thresholds, masks */

/* Maps of all images resized: [N][431][513], to be freed. */
static float *resized(const float *maps, struct tensor_shape s, int n)
{
    size_t area = (size_t)s.h * (size_t)s.w;
    struct resize *resize = NULL;
    float *ret = memory_zeroed((size_t)n * mask_cells, sizeof(float));
    if (ret != NULL && resize_create(&resize, s.h, s.w, MASK_ROWS, MASK_COLS, false, NULL) == 0)
        for (size_t i = 0; i < (size_t)n; i++)
            resize_run(resize, maps + i * area, ret + i * mask_cells);
    resize_destroy(resize);
    return ret;
}

/* Pixels of one image that differ where they may not: |map - threshold| >= 1e-4 max(map). */
static double wrong_pixels(const float *map, float threshold, const float *golden)
{
    double margin = 1e-4 * largest(map, mask_cells), wrong = 0;
    uint8_t *mask = malloc(mask_cells);
    if (mask == NULL)
        return NAN;
    mask_threshold(map, mask_cells, threshold, mask);
    for (size_t i = 0; i < mask_cells; i++)
        wrong += (mask[i] != 0) != (golden[i] != 0) &&
                 !(fabs((double)map[i] - (double)threshold) < margin);
    free(mask);
    return wrong;
}

/* map4_resized, threshold and mask as they follow from maps: [N][H][W]. */
static void compare_mask(struct run *r, const float *maps, struct tensor_shape s, double limit,
                         const char *from)
{
    size_t n = (size_t)r->n;
    float thresholds[64], *scratch = memory_zeroed(mask_cells, sizeof(float));
    float *wide = resized(maps, s, r->n);
    const float *golden = NULL;
    if (scratch == NULL || wide == NULL)
        goto finish;
    for (size_t i = 0; i < n; i++)
        thresholds[i] = quantile(wide + i * mask_cells, mask_cells, mask_quantile, scratch);
    golden = load(r, "out.map4_resized", n * mask_cells);
    if (golden != NULL)
        tell(r, "out.map4_resized", largest_difference(wide, golden, n * mask_cells), limit, from);
    golden = load(r, "out.threshold", n);
    if (golden != NULL)
        tell(r, "out.threshold", largest_difference(thresholds, golden, n), limit, from);
    golden = load(r, "out.mask", n * mask_cells);
    if (golden != NULL) {
        double wrong = 0;
        for (size_t i = 0; i < n; i++)
            wrong += wrong_pixels(wide + i * mask_cells, thresholds[i], golden + i * mask_cells);
        tell(r, "out.mask", wrong, 0, from);
    }
finish:
    free(scratch);
    free(wide);
}

static void compare_maps(struct run *r)
{
    struct tensor_shape s;
    char name[64];
    for (int i = 0; i < r->config.n_stages; i++) {
        const float *map = plan_value(r->plan, r->values.map[i], &s);
        snprintf(name, sizeof name, "out.map%d", i + 1);
        const float *golden = load(r, name, tensor_cells(s));
        if (golden == NULL)
            continue;
        double limit = map_limit(r, golden, tensor_cells(s));
        tell(r, name, largest_difference(map, golden, tensor_cells(s)), limit, "");
        if (i == 0) {
            float *wide = resized(map, s, 1);
            if (wide != NULL)
                compare(r, "out.map1_resized0", wide, mask_cells, limit);
            free(wide);
        }
        if (i != 3)
            continue;
        compare_mask(r, map, s, limit, "from our map4");
        float *stored = memory_zeroed(tensor_cells(s), sizeof(float));
        if (stored != NULL && load(r, name, tensor_cells(s)) != NULL) {
            memcpy(stored, r->golden, tensor_cells(s) * sizeof(float));
            compare_mask(r, stored, s, 1e-5 * largest(stored, tensor_cells(s)),
                         "from the stored map4");
        }
        free(stored);
    }
}

/* focalnet.layernorm is in checkpoints and no part of the network: a graph of its own, on stage 4.
 */
static int compare_final_norm(struct run *r, struct error *error)
{
    int last = r->config.n_stages - 1;
    if (safetensors_find(r->file, "out.final_norm") == NULL)
        return 0;
    struct tensor_shape shape;
    const float *stage = plan_value(r->plan, r->values.stage[last], &shape);
    const int64_t channels = shape.c;
    struct graph g;
    graph_init(&g);
    int input = graph_input(&g, shape);
    int scale = graph_weight(&g, 1, &channels, "focalnet.layernorm.weight");
    int shift = graph_weight(&g, 1, &channels, "focalnet.layernorm.bias");
    int output =
        graph_output(&g, graph_layer_norm(&g, input, scale, shift, r->config.layer_norm_eps));
    struct plan_config config = {.ops = r->with->ops,
                                 .backend = r->backend,
                                 .weights = r->weights,
                                 .isolate = r->with->isolate};
    struct plan *network = r->plan, *plan = NULL;
    int code = plan_create(&plan, &g, &config, error);
    void *arena = code == 0 ? memory_zeroed(plan_arena_bytes(plan), 1) : NULL;
    if (code == 0)
        code = arena == NULL ? error_set(error, ENOMEM, "out of memory")
                             : plan_bind(plan, arena, error);
    if (code == 0) {
        memcpy(plan_value(plan, input, NULL), stage, tensor_cells(shape) * sizeof(float));
        code = plan_run(plan, error);
    }
    if (code == 0) {
        r->plan = plan;
        compare_value(r, "out.final_norm", output, stage_limit(r, last));
        r->plan = network;
    }
    plan_destroy(plan);
    free(arena);
    return code;
}

static int compare_all(struct run *r, struct error *error)
{
    const struct focalnet_values *v = &r->values;
    char name[64];
    if (r->base)
        compare_summary(r, "out.embed", v->embed, stage_limit(r, 0));
    else
        compare_value(r, "out.embed", v->embed, stage_limit(r, 0));
    for (int s = 0; s < r->config.n_stages; s++) {
        double limit = stage_limit(r, s);
        snprintf(name, sizeof name, "out.stage%d", s + 1);
        compare_value(r, name, v->stage[s], limit);
        if (r->base)
            compare_summary(r, name, v->stage[s], limit);
        snprintf(name, sizeof name, "out.modulator%d", s + 1);
        compare_value(r, name, v->modulator[s], limit);
        if (r->base)
            compare_summary(r, name, v->modulator[s], limit);
        snprintf(name, sizeof name, "out.down%d", s + 1);
        if (v->down[s] >= 0)
            compare_value(r, name, v->down[s], limit);
    }
    compare_maps(r);
    compare_value(r, "out.embedding", v->embedding, r->base ? 1e-4 : 5e-5);
    compare_value(r, "out.logits", v->cosines, r->base ? 1e-5 : 5e-6);
    if (r->with->isolate)
        tell(r, "(guard bands)", plan_guards_intact(r->plan) ? 0 : 1, 0, "overwritten");
    return compare_final_norm(r, error);
}

/* A tensor that nothing was compared with has not passed. */
static void tell_rest(const struct run *r)
{
    for (size_t i = 0; i < safetensors_count(r->file); i++) {
        const struct safetensors_tensor *t = safetensors_at(r->file, i);
        if (strncmp(t->name, "out.", 4) == 0 && !r->compared[i])
            tell(r, t->name, NAN, 0, "not compared: the network has no such value");
    }
}

/* Running */

static int read_config(struct run *r, struct error *error)
{
    const char *path = safetensors_path(r->file);
    const char *text = safetensors_metadata(r->file, "config");
    const struct safetensors_tensor *logits = safetensors_find(r->file, "out.logits");
    const struct safetensors_tensor *head = safetensors_find(r->file, "classifier.weight");
    if (text == NULL || logits == NULL || logits->rank < 1)
        return error_set(error, EINVAL, "%s: no config in __metadata__, or no out.logits", path);
    r->config.n_classes = (int)logits->shape[logits->rank - 1];
    r->config.head_dim = head != NULL && head->rank == 2 ? (int)head->shape[1] : BASE_HEAD_DIM;
    return focalnet_config_parse(&r->config, text, strlen(text), path, error);
}

/* in.pixel_values: [N][C][H][W], or in.image: [H][W]. */
static int read_input(struct run *r, const struct safetensors_tensor **ret, struct error *error)
{
    const struct safetensors_tensor *t = safetensors_find(r->file, "in.pixel_values");
    const struct focalnet_config *c = &r->config;
    r->base = t == NULL;
    if (r->base)
        t = safetensors_find(r->file, "in.image");
    const int64_t image[] = {1, c->num_channels, c->image_rows, c->image_cols};
    int rank = r->base ? 2 : 4;
    bool fits = t != NULL && t->rank == rank;
    for (int i = r->base ? 0 : 1; fits && i < rank; i++)
        fits = t->shape[i] == image[4 - rank + i];
    r->n = fits && !r->base ? (int)t->shape[0] : 1;
    if (!fits || r->n < 1 || r->n > 64)
        return error_set(error, EINVAL, "%s: no in.pixel_values or in.image of the config's size",
                         safetensors_path(r->file));
    *ret = t;
    return 0;
}

static int make_plan(struct run *r, struct error *error)
{
    struct graph g;
    graph_init(&g);
    int code = focalnet_build(&r->config, r->n, r->base, true, &g, &r->values, error);
    if (code < 0) {
        graph_finish(&g);
        return code;
    }
    struct plan_config config = {.ops = r->with->ops,
                                 .backend = r->backend,
                                 .weights = r->weights,
                                 .isolate = r->with->isolate};
    code = plan_create(&r->plan, &g, &config, error);
    if (code < 0)
        return code;
    r->arena = memory_zeroed(plan_arena_bytes(r->plan), 1);
    if (r->arena == NULL)
        return error_set(error, ENOMEM, "out of memory");
    return plan_bind(r->plan, r->arena, error);
}

static int fill_input(struct run *r, const struct safetensors_tensor *t, struct error *error)
{
    struct tensor_shape s;
    float *to = plan_value(r->plan, r->values.input, &s);
    float *from = memory_zeroed(t->cells, sizeof(float));
    if (from == NULL || t->cells != tensor_cells(s)) {
        free(from);
        return error_set(error, EINVAL, "%s: the input does not fill whole patches",
                         safetensors_path(r->file));
    }
    safetensors_float(t, from);
    size_t area = (size_t)s.h * (size_t)s.w, c = (size_t)s.c;
    for (size_t n = 0; n < (size_t)s.n; n++)
        for (size_t i = 0; i < c; i++)
            for (size_t p = 0; p < area; p++)
                to[(n * area + p) * c + i] = from[(n * c + i) * area + p];
    free(from);
    return 0;
}

int golden_focalnet(const struct safetensors *file, const struct golden_backend *with,
                    golden_line_report report, void *user, struct error *error)
{
    struct run r = {.file = file, .with = with, .report = report, .user = user};
    const struct safetensors_tensor *input = NULL;
    int code = read_config(&r, error);
    r.compared = memory_zeroed(safetensors_count(file), sizeof *r.compared);
    if (code == 0 && r.compared == NULL)
        code = error_set(error, ENOMEM, "out of memory");
    if (code == 0)
        code = read_input(&r, &input, error);
    if (code == 0)
        code =
            r.base ? weights_hashed(&r.weights, error) : weights_from_file(&r.weights, file, error);
    if (code == 0)
        code = with->ops->open(&r.backend, with->threads, error);
    if (code == 0)
        code = make_plan(&r, error);
    if (code == 0)
        code = fill_input(&r, input, error);
    if (code == 0)
        code = plan_run(r.plan, error);
    if (code == 0)
        code = compare_all(&r, error);
    if (code == 0)
        tell_rest(&r);
    plan_destroy(r.plan);
    with->ops->close(r.backend);
    weights_destroy(r.weights);
    free(r.arena);
    free(r.golden);
    free(r.compared);
    return code;
}
