/* SPDX-License-Identifier: Apache-2.0 */
#include "model/weights/safetensors_write.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PREFIX_BYTES = 8, HEADER_ALIGN = 8 };

int write_fully(int fd, const char *path, const void *bytes, size_t size, struct error *error)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, (const char *)bytes + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(error, errno, "%s: cannot be written: %s", path, strerror(errno));
        done += (size_t)n;
    }
    return 0;
}

static int entry_bytes(const struct safetensors_entry *e, const char *path, size_t *ret,
                       struct error *error)
{
    size_t bytes = dtype_size(e->dtype);
    for (int i = 0; i < e->rank; i++)
        if (e->shape[i] < 0 || __builtin_mul_overflow(bytes, (size_t)e->shape[i], &bytes) ||
            bytes > INT64_MAX)
            return error_set(error, EINVAL, "%s: tensor %s is too large for any file", path,
                             e->name);
    *ret = bytes;
    return 0;
}

/* Adds the entry whose data begins at *at, and moves *at behind it. */
static int add_entry(json_t *header, const struct safetensors_entry *e, const char *path,
                     size_t *at, struct error *error)
{
    size_t bytes = 0, end;
    int r = entry_bytes(e, path, &bytes, error);
    if (r < 0)
        return r;
    if (__builtin_add_overflow(*at, bytes, &end) || end > INT64_MAX)
        return error_set(error, EINVAL, "%s: the tensors are too large for any file", path);
    if (json_object_get(header, e->name) != NULL)
        return error_set(error, EINVAL, "%s: the tensor %s would stand in it twice", path, e->name);
    json_t *shape = json_array();
    for (int i = 0; i < e->rank; i++)
        json_array_append_new(shape, json_integer(e->shape[i]));
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype_name(e->dtype), "shape", shape,
                              "data_offsets", (json_int_t)*at, (json_int_t)end);
    if (json_object_set_new(header, e->name, entry) < 0)
        return error_set(error, EINVAL, "%s: a tensor's name is no UTF-8, or out of memory", path);
    *at = end;
    return 0;
}

/* Length and header, filled with spaces so that the data is aligned. */
static int write_header(int fd, const char *path, const json_t *header, struct error *error)
{
    char *text = json_dumps(header, JSON_COMPACT);
    size_t length = text != NULL ? strlen(text) : 0;
    size_t padded = (length + HEADER_ALIGN - 1) / HEADER_ALIGN * HEADER_ALIGN;
    char *bytes = malloc(PREFIX_BYTES + padded);
    int r;
    if (text == NULL || bytes == NULL) {
        r = error_set(error, ENOMEM, "%s: out of memory", path);
    } else {
        for (int i = 0; i < PREFIX_BYTES; i++)
            bytes[i] = (char)(padded >> 8 * i & 255);
        memcpy(bytes + PREFIX_BYTES, text, length);
        memset(bytes + PREFIX_BYTES + length, ' ', padded - length);
        r = write_fully(fd, path, bytes, PREFIX_BYTES + padded, error);
    }
    free(bytes);
    free(text);
    return r;
}

static int write_data(int fd, const char *path, const struct safetensors_entry *entries, size_t n,
                      safetensors_read_fn *read, void *context, struct error *error)
{
    char *buffer = NULL;
    size_t capacity = 0;
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++) {
        size_t bytes = 0;
        r = entry_bytes(&entries[i], path, &bytes, error);
        if (r == 0 && bytes > capacity) {
            free(buffer);
            buffer = malloc(bytes);
            capacity = buffer != NULL ? bytes : 0;
            if (buffer == NULL)
                r = error_set(error, ENOMEM, "%s: out of memory for tensor %s", path,
                              entries[i].name);
        }
        if (r == 0 && bytes > 0)
            r = read(context, i, buffer, bytes, error);
        if (r == 0)
            r = write_fully(fd, path, buffer, bytes, error);
    }
    free(buffer);
    return r;
}

int safetensors_write(int fd, const char *path, const struct safetensors_entry *entries, size_t n,
                      safetensors_read_fn *read, void *context, struct error *error)
{
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    if (header == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", path);
    size_t at = 0;
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++)
        r = add_entry(header, &entries[i], path, &at, error);
    if (r == 0)
        r = write_header(fd, path, header, error);
    json_decref(header);
    if (r == 0)
        r = write_data(fd, path, entries, n, read, context, error);
    if (r == 0 && fsync(fd) < 0)
        r = error_set(error, errno, "%s: cannot be written: %s", path, strerror(errno));
    return r;
}
