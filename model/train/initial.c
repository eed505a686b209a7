/* SPDX-License-Identifier: Apache-2.0 */
#include "model/train/initial.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/train/random.h"

struct initial {
    struct weights_array *arrays; /* [n] */
    float **data;                 /* [n] */
    int n;
    struct weights *weights;
};

static const double linear_deviation = 0.02, layer_scale = 1e-4;

/* FNV-1a: a stream of its own for each name, whatever other weights there are. */
static uint64_t name_number(const char *name)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (; *name != '\0'; name++)
        h = (h ^ (unsigned char)*name) * UINT64_C(1099511628211);
    return h;
}

static bool ends_in(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static void fill_constant(float *x, size_t n, double value)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)value;
}

static void fill_uniform(struct random *random, float *x, size_t n, double bound)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)random_between(random, -bound, bound);
}

static void fill_normal(struct random *random, float *x, size_t n, double deviation)
{
    for (size_t i = 0; i < n; i++) {
        double v;
        do
            v = random_normal(random);
        while (fabs(v) > 2);
        x[i] = (float)(deviation * v);
    }
}

static void draw(const struct graph_weight *w, uint64_t seed, float *x)
{
    struct random random;
    const size_t n = graph_weight_cells(w);
    random_stream(&random, seed, 0, name_number(w->name));
    if (ends_in(w->name, ".running_var") || (w->rank == 1 && ends_in(w->name, ".weight")))
        fill_constant(x, n, 1);
    else if (strstr(w->name, "gamma_") != NULL)
        fill_constant(x, n, layer_scale);
    else if (w->rank == 1)
        fill_constant(x, n, 0);
    else if (strcmp(w->name, "classifier.weight") == 0)
        fill_uniform(&random, x, n, sqrt(6.0 / (double)(w->shape[0] + w->shape[1])));
    else if (strcmp(w->name, "psi.codebook.embedding.weight") == 0)
        fill_uniform(&random, x, n, 1 / (double)w->shape[0]);
    else if (w->rank == 4 && strncmp(w->name, "psi.", 4) == 0)
        fill_uniform(&random, x, n,
                     sqrt(6.0 / (double)((w->shape[0] + w->shape[1]) * w->shape[2] * w->shape[3])));
    else if (w->rank == 4)
        fill_uniform(&random, x, n, 1 / sqrt((double)(w->shape[1] * w->shape[2] * w->shape[3])));
    else if (w->rank == 2 && strstr(w->name, "layer") == NULL)
        fill_uniform(&random, x, n, 1 / sqrt((double)w->shape[1]));
    else
        fill_normal(&random, x, n, linear_deviation);
}

static int fill(struct initial *t, const struct graph *graph, struct weights *from, uint64_t seed,
                int *ret_taken, struct error *error)
{
    for (int i = 0; i < graph->n_weights; i++) {
        const struct graph_weight *w = &graph->weights[i];
        size_t n = graph_weight_cells(w);
        t->data[i] = malloc(n * sizeof *t->data[i]);
        t->n = i + 1;
        if (t->data[i] == NULL)
            return error_set(error, ENOMEM, "out of memory for %s", w->name);
        t->arrays[i] = (struct weights_array){w->name, w->rank, w->shape, t->data[i]};
        if (from == NULL || weights_check(from, w->name, w->rank, w->shape, NULL) < 0) {
            draw(w, seed, t->data[i]);
            continue;
        }
        const float *given = weights_get(from, w->name, w->rank, w->shape, error);
        if (given == NULL)
            return -EINVAL;
        memcpy(t->data[i], given, n * sizeof *given);
        weights_done(from);
        ++*ret_taken;
    }
    return weights_from_arrays(&t->weights, t->arrays, t->n, error);
}

int initial_create(struct initial **ret, const struct graph *graph, struct weights *from,
                   uint64_t seed, int *ret_taken, struct error *error)
{
    struct initial *t = calloc(1, sizeof *t);
    if (t == NULL)
        return error_set(error, ENOMEM, "out of memory");
    t->arrays = calloc((size_t)graph->n_weights + 1, sizeof *t->arrays);
    t->data = calloc((size_t)graph->n_weights + 1, sizeof *t->data);
    *ret_taken = 0;
    int r = t->arrays == NULL || t->data == NULL ? error_set(error, ENOMEM, "out of memory")
                                                 : fill(t, graph, from, seed, ret_taken, error);
    if (r < 0) {
        initial_destroy(t);
        return r;
    }
    *ret = t;
    return 0;
}

void initial_destroy(struct initial *t)
{
    if (t == NULL)
        return;
    weights_destroy(t->weights);
    for (int i = 0; i < t->n; i++)
        free(t->data[i]);
    free(t->arrays);
    free(t->data);
    free(t);
}

struct weights *initial_weights(struct initial *t)
{
    return t->weights;
}
