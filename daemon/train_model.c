/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/import/import.h"
#include "model/import/newdir.h"
#include "model/weights/safetensors_write.h"

unsigned short half_from_float(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude >= 0x7f800000) /* infinity, NaN */
        return (unsigned short)(sign | 0x7c00 | (magnitude > 0x7f800000 ? 0x200 : 0));
    if (magnitude >= 0x477ff000) /* rounds to 65536 or more */
        return (unsigned short)(sign | 0x7c00);
    uint32_t whole, rest, middle;
    if (magnitude < 0x38800000) { /* subnormal, in units of 2^-24 */
        const uint32_t shift = 126 - (magnitude >> 23);
        if (shift > 24 + 1)
            return (unsigned short)sign;
        const uint32_t mantissa = (magnitude & 0x7fffff) | 0x800000;
        whole = mantissa >> shift;
        rest = mantissa & ((UINT32_C(1) << shift) - 1);
        middle = UINT32_C(1) << (shift - 1);
    } else {
        whole = (magnitude - 0x38000000) >> 13;
        rest = magnitude & 0x1fff;
        middle = 0x1000;
    }
    whole += rest > middle || (rest == middle && (whole & 1) != 0);
    return (unsigned short)(sign | whole);
}

struct writing {
    const struct trainer *trainer;
    const struct safetensors_entry *entries;
    const int *order; /* of the trainer's weights */
};

static int read_weight(void *context, size_t i, void *ret, size_t size, struct error *error)
{
    const struct writing *w = context;
    const struct weights_array a = trainer_weight(w->trainer, w->order[i]);
    (void)error;
    if (w->entries[i].dtype == DTYPE_F32) {
        memcpy(ret, a.data, size);
        return 0;
    }
    unsigned short *to = ret;
    for (size_t k = 0; k < size / sizeof *to; k++)
        to[k] = half_from_float(a.data[k]);
    return 0;
}

/* float32 first, so that every tensor is aligned. */
static size_t list_entries(const struct train_model *m, const struct trainer *trainer,
                           struct safetensors_entry *entries, int *order)
{
    size_t n = 0;
    for (int half = 0; half < 2; half++)
        for (int i = 0; i < trainer_weights(trainer); i++) {
            const struct weights_array a = trainer_weight(trainer, i);
            bool statistics = strstr(a.name, ".running_") != NULL;
            if ((m->half && !statistics) != (half == 1))
                continue;
            struct safetensors_entry *e = &entries[n];
            *e = (struct safetensors_entry){a.name, half == 1 ? DTYPE_F16 : DTYPE_F32, a.rank, {0}};
            memcpy(e->shape, a.shape, (size_t)a.rank * sizeof *a.shape);
            order[n++] = i;
        }
    return n;
}

static int write_weights(const char *dir, const struct train_model *m,
                         const struct trainer *trainer, struct error *error)
{
    char path[PATH_MAX + 32];
    const size_t most = (size_t)trainer_weights(trainer) + 1;
    struct safetensors_entry *entries = calloc(most, sizeof *entries);
    int *order = calloc(most, sizeof *order);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    int fd = -1, r = 0;
    if (entries == NULL || order == NULL)
        r = error_set(error, ENOMEM, "%s: out of memory", path);
    else if ((fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) < 0)
        r = error_set(error, errno, "%s: cannot be written: %s", path, strerror(errno));
    if (r == 0) {
        struct writing w = {trainer, entries, order};
        size_t n = list_entries(m, trainer, entries, order);
        r = safetensors_write(fd, path, entries, n, read_weight, &w, error);
    }
    if (fd >= 0 && close(fd) < 0 && r == 0)
        r = error_set(error, errno, "%s: cannot be written: %s", path, strerror(errno));
    free(entries);
    free(order);
    return r;
}

static int write_labels(const char *dir, const struct train_model *m, struct error *error)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    if (to == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", dir);
    for (int i = 0; i < m->n_labels; i++)
        fprintf(to, "%s\n", m->labels[i]);
    int r = fclose(to) == 0 ? import_write_text(dir, "labels.txt", text, error)
                            : error_set(error, ENOMEM, "%s: out of memory", dir);
    free(text);
    return r;
}

int train_model_write(const char *dir, const struct train_model *m, struct trainer *trainer,
                      struct error *error)
{
    struct newdir new;
    int r = trainer_fetch(trainer, error);
    if (r == 0)
        r = newdir_begin(&new, dir, NULL, true, error);
    if (r < 0)
        return r;
    r = write_weights(new.temporary, m, trainer, error);
    if (r == 0)
        r = import_write_text(new.temporary, "config.json", m->geometry, error);
    if (r == 0)
        r = import_write_text(new.temporary, "preprocess.json", m->preprocess, error);
    if (r == 0)
        r = write_labels(new.temporary, m, error);
    return newdir_end(&new, r, error);
}
