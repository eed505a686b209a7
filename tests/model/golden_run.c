/* SPDX-License-Identifier: Apache-2.0
 * What the checks of all networks share. */
#include "tests/model/golden_run.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dsp/resize.h"
#include "model/interpret/mask.h"
#include "model/model_internal.h"
#include "tests/compare.h"

enum { MASK_ROWS = 431, MASK_COLS = 513, HEAD_DIM = 192, PIXEL_CHANNELS = 3 };
static const size_t mask_cells = (size_t)MASK_ROWS * MASK_COLS;
static const float mask_quantile = 0.9f;

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

/* Comparing */

double golden_largest(const float *x, size_t n)
{
    double max = 0;
    for (size_t i = 0; i < n; i++)
        max = fmax(max, fabs((double)x[i]));
    return max;
}

/* What a precision other than float32 may be off, of a tensor's largest value: about 200 roundings
 * on the way, each of half a unit in the last place u, that add up as noise does: 14 u; three times
 * that. (docs/gpu.md) */
static double share(const struct golden_run *r)
{
    static const double units[PRECISIONS] = {
        [PRECISION_TF32] = 0x1p-11, [PRECISION_BFLOAT16] = 0x1p-8, [PRECISION_FLOAT16] = 0x1p-11};
    return 42 * units[r->with->precision];
}

/* A gradient has come through the network and back, by twice as many roundings. TF32 and bfloat16
 * keep what a value is allowed, the latter by a hair, and are held to that. */
static double share_of_gradient(const struct golden_run *r)
{
    return share(r) * (r->with->precision == PRECISION_FLOAT16 ? sqrt(2) : 1);
}

static double widened(const struct golden_run *r, double limit, const char *what)
{
    if (r->with->precision == PRECISION_FLOAT32 || limit <= 0)
        return limit;
    bool relative = strcmp(what, "of the largest") == 0;
    return fmax(limit, share(r) * (relative ? 1 : golden_largest(r->golden, r->golden_cells)));
}

void golden_tell(const struct golden_run *r, const char *tensor, double error, double limit,
                 const char *what)
{
    limit = widened(r, limit, what);
    struct golden_line line = {tensor, error, limit, error <= limit, what};
    r->report(r->user, &line);
}

/* The golden tensor in r->golden, or NULL when the file does not have it in this size. */
const float *golden_load(struct golden_run *r, const char *tensor, size_t cells)
{
    const struct safetensors_tensor *t = safetensors_find(r->file, tensor);
    if (t == NULL)
        return NULL;
    for (size_t i = 0; i < safetensors_count(r->file); i++)
        r->compared[i] |= safetensors_at(r->file, i) == t;
    free(r->golden);
    r->golden = memory_zeroed(cells, sizeof(float));
    r->golden_cells = r->golden != NULL ? cells : 0;
    if (t->cells != cells || r->golden == NULL) {
        golden_tell(r, tensor, NAN, 0, "the size is another");
        return NULL;
    }
    safetensors_float(t, r->golden);
    return r->golden;
}

double golden_difference(const float *a, const float *b, size_t n)
{
    return distance_between(a, b, n).off;
}

void golden_compare(struct golden_run *r, const char *tensor, const float *ours, size_t cells,
                    double limit)
{
    const float *golden = golden_load(r, tensor, cells);
    if (golden == NULL)
        return;
    if (limit > 0 || r->with->precision == PRECISION_FLOAT32) {
        golden_tell(r, tensor, golden_difference(ours, golden, cells), limit, "");
        return;
    }
    /* What is chosen is the same in float32; where two are nearly equal, rounding chooses. */
    const double few = 0.05, far = share(r) * golden_largest(golden, cells);
    size_t other = 0;
    for (size_t i = 0; i < cells; i++)
        other += !(fabs((double)ours[i] - (double)golden[i]) <= far);
    struct golden_line line = {tensor, (double)other / (double)cells, few,
                               (double)other <= few * (double)cells, "share of cells that differ"};
    r->report(r->user, &line);
}

void golden_compare_length(struct golden_run *r, const char *tensor, const float *ours,
                           size_t cells)
{
    double difference = 0, length = 0;
    for (size_t i = 0; i < cells; i++) {
        difference += pow((double)ours[i] - (double)r->golden[i], 2);
        length += pow((double)r->golden[i], 2);
    }
    struct golden_line line = {tensor, sqrt(difference / length), share_of_gradient(r), false,
                               "of its length"};
    line.within = line.error <= line.limit || length < 1e-8; /* where it is noise it has none */
    r->report(r->user, &line);
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

void golden_compare_value(struct golden_run *r, const char *tensor, int value, double limit)
{
    struct tensor_shape shape;
    const float *x = plan_value(r->plan, value, &shape);
    float *ours = channels_first(x, shape);
    if (ours != NULL)
        golden_compare(r, tensor, ours, tensor_cells(shape), limit);
    free(ours);
}

/* Masks */

/* Maps of all images resized: [N][431][513], to be freed. */
float *golden_resized(const float *maps, struct tensor_shape s, int n)
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

/* Pixels of one image that differ where they may not: |map - threshold| >= 1e-4 max(map), or what
 * the precision may be off. */
static double wrong_pixels(const struct golden_run *r, const float *map, float threshold,
                           const float *golden)
{
    double margin = fmax(1e-4, share(r)) * golden_largest(map, mask_cells), wrong = 0;
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

/* Images of which the file keeps this tensor: all, or the first. */
static size_t stored_images(const struct golden_run *r, const char *tensor, size_t n)
{
    const struct safetensors_tensor *t = safetensors_find(r->file, tensor);
    return t != NULL && t->cells == mask_cells ? 1 : n;
}

void golden_compare_mask(struct golden_run *r, const char *name, const float *maps,
                         struct tensor_shape s, double limit, const char *from)
{
    size_t n = (size_t)r->n;
    float thresholds[64], *scratch = memory_zeroed(mask_cells, sizeof(float));
    float *wide = golden_resized(maps, s, r->n);
    const float *golden = NULL;
    if (scratch == NULL || wide == NULL)
        goto finish;
    for (size_t i = 0; i < n; i++)
        thresholds[i] = quantile(wide + i * mask_cells, mask_cells, mask_quantile, scratch);
    size_t stored = stored_images(r, name, n);
    golden = golden_load(r, name, stored * mask_cells);
    if (golden != NULL)
        golden_tell(r, name, golden_difference(wide, golden, stored * mask_cells), limit, from);
    golden = golden_load(r, "out.threshold", n);
    if (golden != NULL)
        golden_tell(r, "out.threshold", golden_difference(thresholds, golden, n), limit, from);
    stored = stored_images(r, "out.mask", n);
    golden = golden_load(r, "out.mask", stored * mask_cells);
    if (golden != NULL) {
        double wrong = 0;
        for (size_t i = 0; i < stored; i++)
            wrong += wrong_pixels(r, wide + i * mask_cells, thresholds[i], golden + i * mask_cells);
        golden_tell(r, "out.mask", wrong, 0, from);
    }
finish:
    free(scratch);
    free(wide);
}

/* A tensor that nothing was compared with has not passed. */
void golden_tell_rest(const struct golden_run *r, const char *prefix)
{
    for (size_t i = 0; i < safetensors_count(r->file); i++) {
        const struct safetensors_tensor *t = safetensors_at(r->file, i);
        if (strncmp(t->name, prefix, strlen(prefix)) == 0 && !r->compared[i])
            golden_tell(r, t->name, NAN, 0, "not compared: the network has no such value");
    }
}

/* Running */

/* The network as the file's metadata describe it; its head's sizes are those of its tensors. */
static int read_config(struct golden_run *r, struct error *error)
{
    const char *path = safetensors_path(r->file);
    const char *text = safetensors_metadata(r->file, "config");
    const struct safetensors_tensor *logits = safetensors_find(r->file, "out.logits");
    const struct safetensors_tensor *head = safetensors_find(r->file, "classifier.weight");
    if (text == NULL || logits == NULL || logits->rank < 1)
        return error_set(error, EINVAL, "%s: no config in __metadata__, or no out.logits", path);
    int code = net_config_parse(&r->config, text, strlen(text), path, error);
    *net_head(&r->config) = (struct head_config){
        .dim = head != NULL && head->rank == 2 ? (int)head->shape[1] : HEAD_DIM,
        .classes = (int)logits->shape[logits->rank - 1]};
    return code;
}

/* in.pixel_values: [N][C][H][W], or in.image: [H][W]. */
static int read_input(struct golden_run *r, struct error *error)
{
    const struct safetensors_tensor *t = safetensors_find(r->file, "in.pixel_values");
    int rows, cols;
    net_image_size(&r->config, &rows, &cols);
    r->base = t == NULL;
    if (r->base)
        t = safetensors_find(r->file, "in.image");
    const int64_t image[] = {1, PIXEL_CHANNELS, rows, cols};
    int rank = r->base ? 2 : 4;
    bool fits = t != NULL && t->rank == rank;
    for (int i = r->base ? 0 : 1; fits && i < rank; i++)
        fits = t->shape[i] == image[4 - rank + i];
    r->n = fits && !r->base ? (int)t->shape[0] : 1;
    if (!fits || r->n < 1 || r->n > 64)
        return error_set(error, EINVAL, "%s: no in.pixel_values or in.image of the config's size",
                         safetensors_path(r->file));
    r->input = t;
    return 0;
}

int golden_begin(struct golden_run *r, struct error *error)
{
    int code = read_config(r, error);
    if (code == 0)
        code = read_input(r, error);
    return code == 0 ? golden_begin_weights(r, error) : code;
}

int golden_begin_weights(struct golden_run *r, struct error *error)
{
    r->compared = memory_zeroed(safetensors_count(r->file), sizeof *r->compared);
    if (r->compared == NULL)
        return error_set(error, ENOMEM, "out of memory");
    int code = r->base
                   ? weights_hashed(&r->weights, error)
                   : weights_from_file(&r->weights,
                                       r->weights_file != NULL ? r->weights_file : r->file, error);
    const struct backend_config backend = {r->with->threads, r->with->precision,
                                           r->with->depthwise};
    return code == 0 ? r->with->ops->open(&r->backend, &backend, error) : code;
}

int golden_plan(struct golden_run *r, struct graph *g, struct plan **ret, void **ret_arena,
                struct error *error)
{
    struct plan_config config = {.ops = r->with->ops,
                                 .backend = r->backend,
                                 .weights = r->weights,
                                 .isolate = r->with->isolate};
    int code = plan_create(ret, g, &config, error);
    if (code < 0)
        return code;
    *ret_arena = backend_memory(r->with->ops, r->backend, plan_arena_bytes(*ret), error);
    if (*ret_arena == NULL)
        return -ENOMEM;
    return plan_bind(*ret, *ret_arena, error);
}

int golden_fill(const struct golden_run *r, int value, const struct safetensors_tensor *t,
                struct error *error)
{
    struct tensor_shape s;
    float *to = plan_value(r->plan, value, &s);
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

void golden_finish(struct golden_run *r)
{
    plan_destroy(r->plan);
    backend_memory_free(r->with->ops, r->backend, r->arena);
    r->with->ops->close(r->backend);
    weights_destroy(r->weights);
    free(r->golden);
    free(r->compared);
}
