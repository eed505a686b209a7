/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "model/import/import.h"
#include "model/model.h"
#include "model/weights/safetensors_write.h"

enum { COPY_BYTES = 4 << 20 };

static const char weights_name[] = "model.safetensors";

/* Files */

static int open_new(const char *dir, const char *name, char *ret_path, size_t size,
                    struct error *error)
{
    int n = snprintf(ret_path, size, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= size)
        return error_set(error, ENAMETOOLONG, "%s: the path is too long", dir);
    int fd = open(ret_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return error_set(error, errno, "%s: cannot be written: %s", ret_path, strerror(errno));
    return fd;
}

/* Syncs and closes, and keeps the first mistake. */
static int close_new(int fd, const char *path, int r, struct error *error)
{
    if (r == 0 && fsync(fd) < 0)
        r = error_set(error, errno, "%s: cannot be written: %s", path, strerror(errno));
    if (close(fd) < 0 && r == 0)
        r = error_set(error, errno, "%s: cannot be written: %s", path, strerror(errno));
    return r;
}

int import_write_text(const char *dir, const char *name, const char *text, struct error *error)
{
    char path[PATH_MAX];
    int fd = open_new(dir, name, path, sizeof path, error);
    if (fd < 0)
        return fd;
    return close_new(fd, path, write_fully(fd, path, text, strlen(text), error), error);
}

static int check_stop(const volatile sig_atomic_t *stop, struct error *error)
{
    return *stop != 0 ? error_set(error, EINTR, "interrupted") : 0;
}

int import_copy_weights(const struct safetensors *from, const char *dir,
                        const volatile sig_atomic_t *stop, struct error *error)
{
    char path[PATH_MAX];
    size_t size;
    const char *bytes = safetensors_bytes(from, &size);
    int fd = open_new(dir, weights_name, path, sizeof path, error);
    int r = 0;
    if (fd < 0)
        return fd;
    for (size_t at = 0; at < size && r == 0; at += COPY_BYTES) {
        size_t n = size - at < COPY_BYTES ? size - at : COPY_BYTES;
        r = check_stop(stop, error);
        if (r == 0)
            r = write_fully(fd, path, bytes + at, n, error);
        safetensors_release_pages(from);
    }
    return close_new(fd, path, r, error);
}

/* Weights */

bool import_is_copy(const struct import_plan *p)
{
    if (checkpoint_whole(p->checkpoint) == NULL || p->n_left > 0)
        return false;
    for (size_t i = 0; i < checkpoint_count(p->checkpoint); i++)
        if (strcmp(p->rows[i].to, p->rows[i].from->name) != 0 ||
            p->rows[i].dtype != p->rows[i].from->dtype)
            return false;
    return true;
}

struct reading {
    const struct import_plan *plan;
    const struct import_row **rows;
    const volatile sig_atomic_t *stop;
};

/* Reads behind the eyes of an F64 tensor: twice the bytes, then float32. */
static int read_wide(const struct reading *reading, const struct checkpoint_tensor *t, void *ret,
                     struct error *error)
{
    void *wide = calloc(t->cells + 1, sizeof(double));
    if (wide == NULL)
        return error_set(error, ENOMEM, "%s: out of memory for tensor %s", t->path, t->name);
    int r = checkpoint_read(reading->plan->checkpoint, t, wide, error);
    struct safetensors_tensor view = {.dtype = t->dtype, .cells = t->cells, .data = wide};
    if (r == 0)
        safetensors_float(&view, ret);
    for (size_t i = 0; i < t->cells && r == 0; i++)
        if (isinf(((const float *)ret)[i]) && !isinf(((const double *)wide)[i]))
            r = error_set(error, ERANGE,
                          "%s: tensor %s has %g, which is beyond float32; give float32 weights",
                          t->path, t->name, ((const double *)wide)[i]);
    free(wide);
    return r;
}

/* In the name and the file that it came by. */
static int check_row(const struct import_row *row, const void *data, struct error *error)
{
    const struct checkpoint_tensor *from = row->from;
    const struct safetensors_tensor view = {
        .name = from->name, .dtype = row->dtype, .cells = from->cells, .data = data};
    return safetensors_check_values(from->path, &view, error);
}

static int read_row(void *context, size_t i, void *ret, size_t size, struct error *error)
{
    const struct reading *reading = context;
    const struct import_row *row = reading->rows[i];
    int r = check_stop(reading->stop, error);
    if (r < 0)
        return r;
    r = row->dtype != row->from->dtype
            ? read_wide(reading, row->from, ret, error)
            : checkpoint_read(reading->plan->checkpoint, row->from, ret, error);
    return r < 0 ? r : check_row(row, ret, error);
}

/* Wide types first, so that every tensor is aligned; else as they came. */
static size_t order_rows(const struct import_plan *p, const struct import_row **ret)
{
    size_t n = 0;
    for (size_t size = sizeof(double); size > 0; size /= 2)
        for (size_t i = 0; i < checkpoint_count(p->checkpoint); i++)
            if (p->rows[i].to != NULL && dtype_size(p->rows[i].dtype) == size)
                ret[n++] = &p->rows[i];
    return n;
}

static int write_rows(const struct import_plan *p, int fd, const char *path,
                      const volatile sig_atomic_t *stop, struct error *error)
{
    size_t most = checkpoint_count(p->checkpoint);
    struct reading reading = {p, calloc(most + 1, sizeof(*reading.rows)), stop};
    struct safetensors_entry *entries = calloc(most + 1, sizeof *entries);
    int r;
    if (reading.rows == NULL || entries == NULL) {
        r = error_set(error, ENOMEM, "%s: out of memory", path);
    } else {
        size_t n = order_rows(p, reading.rows);
        for (size_t i = 0; i < n; i++) {
            const struct import_row *row = reading.rows[i];
            entries[i] = (struct safetensors_entry){row->to, row->dtype, row->from->rank, {0}};
            memcpy(entries[i].shape, row->from->shape, sizeof entries[i].shape);
        }
        r = safetensors_write(fd, path, entries, n, read_row, &reading, error);
    }
    free(reading.rows);
    free(entries);
    return r;
}

static int copy_checked(const struct safetensors *from, const char *dir,
                        const volatile sig_atomic_t *stop, struct error *error)
{
    int r = 0;
    for (size_t i = 0; i < safetensors_count(from) && r == 0; i++) {
        r = check_stop(stop, error);
        if (r == 0)
            r = safetensors_check_values(safetensors_path(from), safetensors_at(from, i), error);
        safetensors_release_pages(from);
    }
    return r == 0 ? import_copy_weights(from, dir, stop, error) : r;
}

static int write_weights(const struct import_plan *p, const char *dir,
                         const volatile sig_atomic_t *stop, struct error *error)
{
    char path[PATH_MAX];
    if (import_is_copy(p))
        return copy_checked(checkpoint_whole(p->checkpoint), dir, stop, error);
    int fd = open_new(dir, weights_name, path, sizeof path, error);
    if (fd < 0)
        return fd;
    return close_new(fd, path, write_rows(p, fd, path, stop, error), error);
}

int import_write(const struct import_plan *p, const char *dir, const volatile sig_atomic_t *stop,
                 struct error *error)
{
    const struct {
        const char *name, *text;
    } texts[] = {
        {"config.json", p->config}, {"labels.txt", p->labels}, {"preprocess.json", p->preprocess}};
    struct model *model = NULL;
    int r = write_weights(p, dir, stop, error);
    for (size_t i = 0; i < ARRAY_LEN(texts) && r == 0; i++)
        if (texts[i].text != NULL)
            r = import_write_text(dir, texts[i].name, texts[i].text, error);
    if (r == 0)
        r = check_stop(stop, error);
    if (r == 0 && p->head) {
        r = model_open(&model, dir, error);
        model_close(model);
    }
    return r == 0 ? check_stop(stop, error) : r;
}
