/* SPDX-License-Identifier: Apache-2.0 */
#include "model/weights/provider.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct copy {
    struct copy *next;
    float *data;
};

struct weights {
    const struct safetensors *file; /* NULL: arrays, or hashed */
    const struct weights_array *arrays;
    int n_arrays;
    struct copy *copies;
    bool (*random)(const void *user, const char *name); /* NULL: none is */
    const void *random_user;
    uint64_t seed;
};

static int create(struct weights **ret, const struct safetensors *file, struct error *error)
{
    struct weights *w = calloc(1, sizeof *w);
    if (w == NULL)
        return error_set(error, ENOMEM, "weights: out of memory");
    w->file = file;
    *ret = w;
    return 0;
}

int weights_from_file(struct weights **ret, const struct safetensors *file, struct error *error)
{
    return create(ret, file, error);
}

int weights_from_arrays(struct weights **ret, const struct weights_array *arrays, int n,
                        struct error *error)
{
    int r = create(ret, NULL, error);
    if (r == 0) {
        (*ret)->arrays = arrays;
        (*ret)->n_arrays = n;
    }
    return r;
}

int weights_hashed(struct weights **ret, struct error *error)
{
    return create(ret, NULL, error);
}

static void free_copies(struct weights *w)
{
    while (w->copies != NULL) {
        struct copy *next = w->copies->next;
        free(w->copies->data);
        free(w->copies);
        w->copies = next;
    }
}

void weights_destroy(struct weights *w)
{
    if (w == NULL)
        return;
    free_copies(w);
    free(w);
}

void weights_done(struct weights *w)
{
    free_copies(w);
    if (w->file != NULL)
        safetensors_release_pages(w->file);
}

/* Room for n floats that lives until weights_done. */
static float *new_copy(struct weights *w, size_t n, const char *name, struct error *error)
{
    struct copy *c = malloc(sizeof *c);
    float *data = memory_zeroed(n, sizeof(float));
    if (c == NULL || data == NULL) {
        free(c);
        free(data);
        error_set(error, ENOMEM, "weights: out of memory for %s", name);
        return NULL;
    }
    *c = (struct copy){w->copies, data};
    w->copies = c;
    return data;
}

/* Hashed */

static uint64_t fnv1a64(const char *s)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *s != '\0'; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return h;
}

static uint64_t splitmix64(uint64_t z)
{
    z += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* value = offset + u * of_u + v * of_v with u in [0, 1), v = 2u - 1 */
struct rule {
    double offset, of_u, of_v;
};

static struct rule rule_of(const char *name, int rank, const int64_t *shape)
{
    const char *last = strrchr(name, '.');
    last = last != NULL ? last + 1 : name;
    if (strcmp(last, "num_batches_tracked") == 0)
        return (struct rule){0, 0, 0};
    if (strcmp(last, "running_var") == 0)
        return (struct rule){0.5, 1, 0};
    if (strcmp(last, "running_mean") == 0)
        return (struct rule){0, 0, 0.1};
    if (strcmp(last, "cls_token") == 0 || strcmp(last, "position_embeddings") == 0)
        return (struct rule){0, 0, 0.2};
    if (rank == 1)
        return strcmp(last, "bias") == 0 ? (struct rule){0, 0, 0.02} : (struct rule){1, 0, 0.1};
    double fan_in = 1;
    for (int i = 1; i < rank; i++)
        fan_in *= (double)shape[i];
    return (struct rule){0, 0, sqrt(3 / fan_in)};
}

static float hashed_at(uint64_t seed, struct rule rule, uint64_t i)
{
    uint64_t h = splitmix64(seed + i * 0x9E3779B97F4A7C15u);
    double u = (double)(int32_t)(h >> 40) / 16777216.0, v = 2 * u - 1;
    return (float)(rule.offset + rule.of_u * u + rule.of_v * v);
}

float weights_hashed_value(const char *name, int rank, const int64_t *shape, uint64_t i)
{
    return hashed_at(fnv1a64(name), rule_of(name, rank, shape), i);
}

static const float *get_hashed(struct weights *w, const char *name, int rank, const int64_t *shape,
                               struct error *error)
{
    size_t cells = 1;
    for (int i = 0; i < rank; i++)
        cells *= (size_t)shape[i];
    float *data = new_copy(w, cells, name, error);
    uint64_t seed = fnv1a64(name);
    struct rule rule = rule_of(name, rank, shape);
    if (data == NULL)
        return NULL;
    for (size_t i = 0; i < cells; i++)
        data[i] = hashed_at(seed, rule, i);
    return data;
}

/* From a file */

static bool is_float(enum safetensors_dtype dtype)
{
    return dtype == DTYPE_F64 || dtype == DTYPE_F32 || dtype == DTYPE_F16 || dtype == DTYPE_BF16;
}

static bool shape_fits(const struct safetensors_tensor *t, int rank, const int64_t *shape)
{
    bool fits = t->rank == rank && is_float(t->dtype);
    for (int i = 0; i < rank && fits; i++)
        fits = t->shape[i] == shape[i];
    return fits;
}

static const struct safetensors_tensor *find_fitting(const struct weights *w, const char *name,
                                                     int rank, const int64_t *shape,
                                                     struct error *error)
{
    char expected[128], found[128];
    safetensors_shape_text(rank, shape, expected, sizeof expected);
    const struct safetensors_tensor *t = safetensors_find(w->file, name);
    if (t == NULL) {
        error_set(error, EINVAL, "%s has no tensor %s (%s); does config.json belong to it?",
                  safetensors_path(w->file), name, expected);
        return NULL;
    }
    if (!shape_fits(t, rank, shape)) {
        safetensors_shape_text(t->rank, t->shape, found, sizeof found);
        error_set(error, EINVAL, "%s: tensor %s is %s %s; expected: float %s",
                  safetensors_path(w->file), name, dtype_name(t->dtype), found, expected);
        return NULL;
    }
    return t;
}

/* From arrays */

static const float *get_array(const struct weights *w, const char *name, int rank,
                              const int64_t *shape, struct error *error)
{
    for (int i = 0; i < w->n_arrays; i++) {
        const struct weights_array *a = &w->arrays[i];
        if (strcmp(a->name, name) != 0)
            continue;
        bool fits = a->rank == rank;
        for (int k = 0; k < rank && fits; k++)
            fits = a->shape[k] == shape[k];
        if (fits)
            return a->data;
    }
    error_set(error, EINVAL, "weights: there is no tensor %s of this shape", name);
    return NULL;
}

int weights_check(const struct weights *w, const char *name, int rank, const int64_t *shape,
                  struct error *error)
{
    if (w->arrays != NULL)
        return get_array(w, name, rank, shape, error) != NULL ? 0 : -EINVAL;
    return w->file == NULL || find_fitting(w, name, rank, shape, error) != NULL ? 0 : -EINVAL;
}

static const float *get(struct weights *w, const char *name, int rank, const int64_t *shape,
                        struct error *error)
{
    if (w->arrays != NULL)
        return get_array(w, name, rank, shape, error);
    if (w->file == NULL)
        return get_hashed(w, name, rank, shape, error);
    const struct safetensors_tensor *t = find_fitting(w, name, rank, shape, error);
    if (t == NULL)
        return NULL;
    if (t->dtype == DTYPE_F32 && (uintptr_t)t->data % sizeof(float) == 0)
        return t->data;
    float *data = new_copy(w, t->cells, name, error);
    if (data != NULL)
        safetensors_float(t, data);
    return data;
}

/* Random */

void weights_randomize(struct weights *w, bool (*chosen)(const void *user, const char *name),
                       const void *user, uint64_t seed)
{
    w->random = chosen;
    w->random_user = user;
    w->seed = seed;
}

const float *weights_get(struct weights *w, const char *name, int rank, const int64_t *shape,
                         struct error *error)
{
    const float *data = get(w, name, rank, shape, error);
    if (data == NULL || w->random == NULL || !w->random(w->random_user, name))
        return data;
    size_t cells = 1;
    for (int i = 0; i < rank; i++)
        cells *= (size_t)shape[i];
    float *drawn = new_copy(w, cells, name, error);
    uint64_t seed = splitmix64(w->seed ^ fnv1a64(name));
    for (size_t i = 0; drawn != NULL && i < cells; i++)
        drawn[i] = data[splitmix64(seed + i * 0x9E3779B97F4A7C15u) % cells];
    return drawn;
}
