/* SPDX-License-Identifier: Apache-2.0 */
#include "model/train/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

const struct backend_device *store_device(const struct store *s)
{
    return s->ops != NULL ? s->ops->device : NULL;
}

float *store_floats(const struct store *s, size_t n, struct error *error)
{
    const struct backend_device *device = store_device(s);
    const size_t bytes = n <= SIZE_MAX / sizeof(float) ? n * sizeof(float) : 0;
    float *floats = NULL;
    if (bytes > 0 || n == 0)
        floats = device != NULL ? device->allocate(s->backend, bytes, error) : memory_large(bytes);
    if (floats == NULL && (device == NULL || bytes == 0))
        error_set(error, ENOMEM, "out of memory for %zu parameters", n);
    if (floats != NULL && device != NULL &&
        device->training->zero(s->backend, floats, n, error) < 0) {
        device->release(s->backend, floats);
        return NULL;
    }
    return floats;
}

void store_free(const struct store *s, void *floats)
{
    const struct backend_device *device = store_device(s);
    if (floats == NULL)
        return;
    if (device != NULL)
        device->release(s->backend, floats);
    else
        free(floats);
}

/* One of the two is the store's. */
static int copy(const struct store *s, float *to, const float *from, size_t n, struct error *error)
{
    const struct backend_device *device = store_device(s);
    if (device != NULL)
        return device->copy(s->backend, to, from, n * sizeof *to, error);
    memcpy(to, from, n * sizeof *to);
    return 0;
}

int store_put(const struct store *s, float *to, const float *from, size_t n, struct error *error)
{
    return copy(s, to, from, n, error);
}

int store_get(const struct store *s, float *to, const float *from, size_t n, struct error *error)
{
    return copy(s, to, from, n, error);
}

int store_mix(const struct store *s, float *to, const float *from, size_t n, float keep, float take,
              struct error *error)
{
    const struct backend_device *device = store_device(s);
    if (device != NULL)
        return device->training->mix(s->backend, to, from, n, keep, take, error);
    if (keep == 0 && take == 1) {
        memcpy(to, from, n * sizeof *to);
        return 0;
    }
#pragma omp parallel for if (n > BACKEND_SPAN)
    for (size_t i = 0; i < n; i++)
        to[i] = (keep != 0 ? keep * to[i] : 0) + take * from[i];
    return 0;
}
