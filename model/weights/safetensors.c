/* SPDX-License-Identifier: Apache-2.0 */
#include "model/weights/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PREFIX_BYTES = 8, HEADER_MAX = 100000000, NAME_MAX_BYTES = 200 };

struct safetensors {
    char *path;
    unsigned char *map;
    size_t size;
    const unsigned char *data; /* behind the header */
    size_t data_bytes;
    json_t *header;                            /* owns the names */
    struct safetensors_tensor *tensors;        /* [n] */
    const struct safetensors_tensor **by_name; /* [n] a stranger's file may have a million */
    size_t n;
};

static const struct {
    const char *name;
    size_t size;
} dtypes[DTYPE_COUNT] = {
    [DTYPE_F64] = {"F64", 8},   [DTYPE_F32] = {"F32", 4}, [DTYPE_F16] = {"F16", 2},
    [DTYPE_BF16] = {"BF16", 2}, [DTYPE_I64] = {"I64", 8}, [DTYPE_I32] = {"I32", 4},
    [DTYPE_I16] = {"I16", 2},   [DTYPE_I8] = {"I8", 1},   [DTYPE_U8] = {"U8", 1},
    [DTYPE_BOOL] = {"BOOL", 1},
};

const char *dtype_name(enum safetensors_dtype dtype)
{
    return dtypes[dtype].name;
}

size_t dtype_size(enum safetensors_dtype dtype)
{
    return dtypes[dtype].size;
}

void safetensors_shape_text(int rank, const int64_t *shape, char *ret, size_t size)
{
    size_t at = (size_t)snprintf(ret, size, "[");
    for (int i = 0; i < rank && at < size; i++)
        at += (size_t)snprintf(ret + at, size - at, "%s%" PRId64, i > 0 ? ", " : "", shape[i]);
    if (at < size)
        snprintf(ret + at, size - at, "]");
}

/* What a file says, fit for an error's one line: cut to size, control characters as '?'. */
static void printable(const char *text, char *ret, size_t size)
{
    size_t n = 0;
    for (; text[n] != '\0' && n + 1 < size; n++)
        ret[n] = (unsigned char)text[n] < 0x20 || text[n] == 0x7f ? '?' : text[n];
    ret[n] = '\0';
}

/* The file */

static int map_file(struct safetensors *f, struct error *error)
{
    int r = 0;
    struct stat st;
    int fd = open(f->path,
                  O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe without a writer must not hang us */
    if (fd < 0 || fstat(fd, &st) < 0) {
        r = error_set(error, errno, "%s: cannot read it: %s", f->path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        r = error_set(error, EINVAL, "%s is not a regular file", f->path);
    } else if (st.st_size < PREFIX_BYTES) {
        r = error_set(error, EINVAL,
                      "%s: %lld bytes are no safetensors file: it is cut short or something else",
                      f->path, (long long)st.st_size);
    } else {
        f->size = (size_t)st.st_size;
        void *map = mmap(NULL, f->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED)
            r = error_set(error, errno, "%s: cannot map it: %s", f->path, strerror(errno));
        else
            f->map = map;
    }
    if (fd >= 0)
        close(fd);
    return r;
}

static int read_header(struct safetensors *f, struct error *error)
{
    uint64_t length = 0;
    for (int i = PREFIX_BYTES - 1; i >= 0; i--)
        length = length << 8 | f->map[i];
    if (length > f->size - PREFIX_BYTES)
        return error_set(error, EINVAL,
                         "%s: the header is said to be %" PRIu64 " bytes, the file has %zu: it is "
                         "cut short or no safetensors file",
                         f->path, length, f->size);
    if (length > HEADER_MAX)
        return error_set(error, EINVAL, "%s: the header is %" PRIu64 " bytes; allowed: up to %d",
                         f->path, length, HEADER_MAX);
    json_error_t json_error;
    f->header = json_loadb((const char *)f->map + PREFIX_BYTES, (size_t)length,
                           JSON_REJECT_DUPLICATES, &json_error);
    if (f->header == NULL) {
        char said[sizeof json_error.text];
        printable(json_error.text, said, sizeof said);
        return error_set(error, EINVAL, "%s: the header is not JSON: %s at byte %d", f->path, said,
                         json_error.position);
    }
    if (!json_is_object(f->header))
        return error_set(error, EINVAL, "%s: the header is not a JSON object", f->path);
    f->data = f->map + PREFIX_BYTES + length;
    f->data_bytes = f->size - PREFIX_BYTES - (size_t)length;
    return 0;
}

/* One tensor */

static int read_dtype(struct safetensors *f, struct safetensors_tensor *t, const json_t *entry,
                      struct error *error)
{
    const char *name = json_string_value(json_object_get(entry, "dtype"));
    for (int i = 0; name != NULL && i < DTYPE_COUNT; i++)
        if (strcmp(name, dtypes[i].name) == 0) {
            t->dtype = (enum safetensors_dtype)i;
            return 0;
        }
    char found[16];
    printable(name != NULL ? name : "(none)", found, sizeof found);
    return error_set(error, EINVAL,
                     "%s: tensor %s has dtype %s; allowed: F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL",
                     f->path, t->name, found);
}

static int read_shape(struct safetensors *f, struct safetensors_tensor *t, const json_t *entry,
                      struct error *error)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape))
        return error_set(error, EINVAL,
                         "%s: tensor %s has no shape; expected: an array of integers", f->path,
                         t->name);
    if (json_array_size(shape) > SAFETENSORS_MAX_RANK)
        return error_set(error, EINVAL, "%s: tensor %s has %zu dimensions; allowed: up to %d",
                         f->path, t->name, json_array_size(shape), SAFETENSORS_MAX_RANK);
    t->rank = (int)json_array_size(shape);
    t->cells = 1;
    for (int i = 0; i < t->rank; i++) {
        const json_t *dim = json_array_get(shape, (size_t)i);
        t->shape[i] = json_is_integer(dim) ? json_integer_value(dim) : -1;
        if (t->shape[i] < 0 || __builtin_mul_overflow(t->cells, (size_t)t->shape[i], &t->cells))
            return error_set(error, EINVAL,
                             "%s: dimension %d of tensor %s is negative, no integer, or beyond all "
                             "memory",
                             f->path, i, t->name);
    }
    return 0;
}

static int read_offsets(struct safetensors *f, struct safetensors_tensor *t, const json_t *entry,
                        struct error *error)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    json_int_t begin = -1, end = -1;
    if (json_array_size(offsets) == 2) {
        const json_t *b = json_array_get(offsets, 0), *e = json_array_get(offsets, 1);
        begin = json_is_integer(b) ? json_integer_value(b) : -1;
        end = json_is_integer(e) ? json_integer_value(e) : -1;
    }
    if (begin < 0 || end < begin || (uint64_t)end > f->data_bytes)
        return error_set(error, EINVAL,
                         "%s: data_offsets of tensor %s are [%lld, %lld]; expected: two rising "
                         "integers within the file's %zu bytes of data",
                         f->path, t->name, (long long)begin, (long long)end, f->data_bytes);
    size_t expected;
    if (__builtin_mul_overflow(t->cells, dtype_size(t->dtype), &expected) ||
        expected != (size_t)(end - begin)) {
        char shape[128];
        safetensors_shape_text(t->rank, t->shape, shape, sizeof shape);
        return error_set(error, EINVAL,
                         "%s: tensor %s has %lld bytes of data, but %s %s takes another number",
                         f->path, t->name, (long long)(end - begin), dtype_name(t->dtype), shape);
    }
    t->data = f->data + begin;
    return 0;
}

static int read_tensor(struct safetensors *f, const char *name, const json_t *entry,
                       struct error *error)
{
    struct safetensors_tensor *t = &f->tensors[f->n];
    char shown[NAME_MAX_BYTES + 1];
    printable(name, shown, sizeof shown);
    if (strcmp(name, shown) != 0)
        return error_set(error, EINVAL,
                         "%s: the name of tensor %s is longer than %d bytes or has control "
                         "characters",
                         f->path, shown, NAME_MAX_BYTES);
    t->name = name;
    if (!json_is_object(entry))
        return error_set(error, EINVAL, "%s: the entry of tensor %s is not an object", f->path,
                         name);
    int r = read_dtype(f, t, entry, error);
    if (r == 0)
        r = read_shape(f, t, entry, error);
    if (r == 0)
        r = read_offsets(f, t, entry, error);
    if (r == 0)
        f->n++;
    return r;
}

static int by_place(const void *a, const void *b)
{
    const struct safetensors_tensor *x = *(const struct safetensors_tensor *const *)a;
    const struct safetensors_tensor *y = *(const struct safetensors_tensor *const *)b;
    if (x->data != y->data)
        return (const char *)x->data < (const char *)y->data ? -1 : 1;
    return (x->cells > y->cells) - (x->cells < y->cells); /* empty ones first */
}

/* The data is covered from end to end, once (the format allows neither gaps nor overlaps). */
static int check_cover(const struct safetensors *f, struct error *error)
{
    const struct safetensors_tensor **order = calloc(f->n + 1, sizeof(*order));
    if (order == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", f->path);
    for (size_t i = 0; i < f->n; i++)
        order[i] = &f->tensors[i];
    qsort(order, f->n, sizeof(*order), by_place);
    const unsigned char *at = f->data;
    int r = 0;
    for (size_t i = 0; i < f->n && r == 0; i++) {
        if (order[i]->data != at)
            r = error_set(error, EINVAL, "%s: the data of tensor %s %s", f->path, order[i]->name,
                          (const unsigned char *)order[i]->data < at
                              ? "overlaps that of another"
                              : "begins behind bytes that belong to no tensor");
        at += order[i]->cells * dtype_size(order[i]->dtype);
    }
    if (r == 0 && at != f->data + f->data_bytes)
        r = error_set(error, EINVAL, "%s: %zu bytes at the end belong to no tensor", f->path,
                      (size_t)(f->data + f->data_bytes - at));
    free(order);
    return r;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct safetensors_tensor *const *)a)->name,
                  (*(const struct safetensors_tensor *const *)b)->name);
}

static int sort_names(struct safetensors *f, struct error *error)
{
    f->by_name = calloc(f->n + 1, sizeof(*f->by_name));
    if (f->by_name == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", f->path);
    for (size_t i = 0; i < f->n; i++)
        f->by_name[i] = &f->tensors[i];
    qsort(f->by_name, f->n, sizeof(*f->by_name), by_name);
    return 0;
}

static int check_metadata(const struct safetensors *f, struct error *error)
{
    const json_t *metadata = json_object_get(f->header, "__metadata__");
    if (metadata != NULL && !json_is_object(metadata))
        return error_set(error, EINVAL, "%s: __metadata__ is not an object", f->path);
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)metadata, key, value)
        if (!json_is_string(value)) {
            char shown[NAME_MAX_BYTES + 1];
            printable(key, shown, sizeof shown);
            return error_set(error, EINVAL, "%s: %s of __metadata__ is not a string", f->path,
                             shown);
        }
    return 0;
}

int safetensors_open(struct safetensors **ret, const char *path, struct error *error)
{
    struct safetensors *f = calloc(1, sizeof *f);
    if (f == NULL || (f->path = strdup(path)) == NULL) {
        free(f);
        return error_set(error, ENOMEM, "%s: out of memory", path);
    }
    int r = map_file(f, error);
    if (r == 0)
        r = read_header(f, error);
    if (r == 0)
        r = check_metadata(f, error);
    if (r == 0) {
        f->tensors = calloc(json_object_size(f->header) + 1, sizeof *f->tensors);
        if (f->tensors == NULL)
            r = error_set(error, ENOMEM, "%s: out of memory", path);
    }
    const char *name;
    json_t *entry;
    if (r == 0)
        json_object_foreach (f->header, name, entry) {
            if (strcmp(name, "__metadata__") != 0)
                r = read_tensor(f, name, entry, error);
            if (r < 0)
                break;
        }
    if (r == 0)
        r = check_cover(f, error);
    if (r == 0)
        r = sort_names(f, error);
    if (r < 0) {
        safetensors_close(f);
        return r;
    }
    *ret = f;
    return 0;
}

void safetensors_close(struct safetensors *f)
{
    if (f == NULL)
        return;
    json_decref(f->header);
    if (f->map != NULL)
        munmap(f->map, f->size);
    free(f->tensors);
    free(f->by_name);
    free(f->path);
    free(f);
}

const char *safetensors_path(const struct safetensors *f)
{
    return f->path;
}

size_t safetensors_count(const struct safetensors *f)
{
    return f->n;
}

const struct safetensors_tensor *safetensors_at(const struct safetensors *f, size_t i)
{
    return &f->tensors[i];
}

static int compare_name(const void *name, const void *tensor)
{
    return strcmp(name, (*(const struct safetensors_tensor *const *)tensor)->name);
}

const struct safetensors_tensor *safetensors_find(const struct safetensors *f, const char *name)
{
    const struct safetensors_tensor *const *found =
        bsearch(name, f->by_name, f->n, sizeof(*f->by_name), compare_name);
    return found != NULL ? *found : NULL;
}

const char *safetensors_metadata(const struct safetensors *f, const char *key)
{
    return json_string_value(json_object_get(json_object_get(f->header, "__metadata__"), key));
}

const void *safetensors_bytes(const struct safetensors *f, size_t *ret_size)
{
    *ret_size = f->size;
    return f->map;
}

void safetensors_release_pages(const struct safetensors *f)
{
    madvise(f->map, f->size, MADV_DONTNEED);
}

/* Values */

static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
    if (exponent == 31)
        return from_bits(sign | 0x7f800000 | fraction << 13);
    if (exponent == 0) { /* zero and subnormals: fraction * 2^-24 */
        float x = (float)fraction * 0x1p-24f;
        return sign ? -x : x;
    }
    return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

#define COPY_AS(type, expression)                                                                  \
    for (size_t i = 0; i < t->cells; i++) {                                                        \
        type v;                                                                                    \
        memcpy(&v, (const char *)t->data + i * sizeof v, sizeof v);                                \
        ret[i] = (expression);                                                                     \
    }                                                                                              \
    break

void safetensors_float(const struct safetensors_tensor *t, float *ret)
{
    switch (t->dtype) {
    case DTYPE_F64:
        COPY_AS(double, (float)v);
    case DTYPE_F32:
        COPY_AS(float, v);
    case DTYPE_F16:
        COPY_AS(uint16_t, half_to_float(v));
    case DTYPE_BF16:
        COPY_AS(uint16_t, from_bits((uint32_t)v << 16));
    case DTYPE_I64:
        COPY_AS(int64_t, (float)v);
    case DTYPE_I32:
        COPY_AS(int32_t, (float)v);
    case DTYPE_I16:
        COPY_AS(int16_t, (float)v);
    case DTYPE_I8:
        COPY_AS(int8_t, (float)v);
    case DTYPE_U8:
    case DTYPE_BOOL:
        COPY_AS(uint8_t, (float)v);
    case DTYPE_COUNT:
        break;
    }
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

int safetensors_check_values(const char *path, const struct safetensors_tensor *t,
                             struct error *error)
{
    enum { PART = 4096 };
    const bool variance = ends_with(t->name, "running_var");
    const float least = variance ? 0 : -FLT_MAX;
    float x[PART];
    for (size_t at = 0; at < t->cells; at += PART) {
        struct safetensors_tensor part = *t;
        part.cells = t->cells - at < PART ? t->cells - at : PART;
        part.data = (const char *)t->data + at * dtype_size(t->dtype);
        safetensors_float(&part, x);
        bool bad = false; /* without an early end, so that it vectorises */
        for (size_t i = 0; i < part.cells; i++)
            bad |= !(x[i] >= least && x[i] <= FLT_MAX);
        for (size_t i = 0; bad && i < part.cells; i++)
            if (!(x[i] >= least && x[i] <= FLT_MAX))
                return error_set(error, EINVAL,
                                 "%s: value %zu of tensor %s is %g; expected: finite%s; the file "
                                 "is damaged, or its training went astray",
                                 path, at + i, t->name, (double)x[i],
                                 variance ? ", and no variance below 0" : "");
    }
    return 0;
}
