/* SPDX-License-Identifier: Apache-2.0 */
#include "model/weights/torch_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/weights/torch_container.h"

/* All tensors together may be this many times the file and a little more: views of one storage
 * share its values, but a small file must not ask for all memory. */
enum { MAX_GROWTH = 4, GROWTH_FREE_BYTES = 1 << 20 };

/* The storage that was read last, for the views of it that follow. */
struct cache {
    size_t storage;
    unsigned char *bytes; /* NULL: none */
};

struct torch_file {
    char *path;
    int fd;
    size_t size;
    struct zip *zip; /* NULL: the stream format */
    struct torch_tree tree;
    struct cache *cache;
};

static int open_file(struct torch_file *f, struct error *error)
{
    struct stat st;
    f->fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not hang us */
    if (f->fd < 0 || fstat(f->fd, &st) < 0)
        return error_set(error, errno, "%s: cannot read it: %s", f->path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return error_set(error, EINVAL, "%s is not a regular file", f->path);
    f->size = (size_t)st.st_size;
    unsigned char start[16];
    ssize_t n = pread(f->fd, start, sizeof start, 0);
    if (n < 0)
        return error_set(error, errno, "%s: cannot read it: %s", f->path, strerror(errno));
    if (n >= 4 && memcmp(start, "PK\3\4", 4) == 0)
        return torch_zip_open(&f->tree, &f->zip, f->path, f->fd, f->size, error);
    if (torch_stream_begins(start, (size_t)n))
        return torch_stream_open(&f->tree, f->path, f->fd, f->size, error);
    return error_set(error, EINVAL,
                     "%s: it is no PyTorch checkpoint: neither a zip file nor the older stream",
                     f->path);
}

static int check_growth(const struct torch_file *f, struct error *error)
{
    size_t left = f->size;
    if (__builtin_mul_overflow(left, MAX_GROWTH, &left) ||
        __builtin_add_overflow(left, GROWTH_FREE_BYTES, &left))
        left = SIZE_MAX;
    for (size_t i = 0; i < f->tree.n_tensors; i++) {
        const struct torch_tensor *t = &f->tree.tensors[i];
        size_t bytes = t->cells * dtype_size(t->dtype);
        if (bytes > left)
            return error_set(error, EINVAL,
                             "%s: its tensors repeat their values up to more than %d times the "
                             "file's size (%s): it is no file of weights",
                             f->path, MAX_GROWTH, t->name);
        left -= bytes;
    }
    return 0;
}

int torch_open(struct torch_file **ret, const char *path, struct error *error)
{
    struct torch_file *f = calloc(1, sizeof *f);
    if (f != NULL) {
        f->fd = -1;
        f->path = strdup(path);
        f->cache = calloc(1, sizeof *f->cache);
    }
    int r = f == NULL || f->path == NULL || f->cache == NULL
                ? error_set(error, ENOMEM, "%s: out of memory", path)
                : open_file(f, error);
    if (r == 0)
        r = check_growth(f, error);
    if (r < 0) {
        torch_close(f);
        return r;
    }
    *ret = f;
    return 0;
}

void torch_close(struct torch_file *f)
{
    if (f == NULL)
        return;
    torch_zip_close(f->zip);
    torch_tree_clear(&f->tree);
    if (f->fd >= 0)
        close(f->fd);
    if (f->cache != NULL)
        free(f->cache->bytes);
    free(f->cache);
    free(f->path);
    free(f);
}

const char *torch_path(const struct torch_file *f)
{
    return f->path;
}

size_t torch_count(const struct torch_file *f)
{
    return f->tree.n_tensors;
}

const struct torch_tensor *torch_at(const struct torch_file *f, size_t i)
{
    return &f->tree.tensors[i];
}

static int compare_name(const void *name, const void *tensor)
{
    return strcmp(name, (*(const struct torch_tensor *const *)tensor)->name);
}

const struct torch_tensor *torch_find(const struct torch_file *f, const char *name)
{
    const struct torch_tensor *const *found =
        bsearch(name, f->tree.by_name, f->tree.n_tensors, sizeof(*f->tree.by_name), compare_name);
    return found != NULL ? *found : NULL;
}

/* Reading */

static int read_storage(const struct torch_file *f, size_t storage, size_t first, size_t n,
                        void *ret, struct error *error)
{
    const struct torch_storage *s = f->tree.storages[storage];
    return f->zip != NULL ? torch_zip_read(f->path, f->zip, s, first, n, ret, error)
                          : torch_stream_read(f->path, f->fd, s, first, n, ret, error);
}

/* Are its elements in the storage one behind the other, in row-major order? */
static bool is_dense(const struct torch_tensor *t)
{
    int64_t expected = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        if (t->shape[i] != 1 && t->stride[i] != expected)
            return false;
        expected *= t->shape[i];
    }
    return true;
}

static int fill_cache(const struct torch_file *f, size_t storage, struct error *error)
{
    struct cache *c = f->cache;
    if (c->bytes != NULL && c->storage == storage)
        return 0;
    free(c->bytes);
    const size_t n = f->tree.storages[storage]->bytes;
    c->storage = storage;
    c->bytes = malloc(n + 1);
    if (c->bytes == NULL)
        return error_set(error, ENOMEM, "%s: out of memory for a storage of %zu bytes", f->path, n);
    int r = read_storage(f, storage, 0, n, c->bytes, error);
    if (r < 0) {
        free(c->bytes);
        c->bytes = NULL;
    }
    return r;
}

/* Dimensions d … of the tensor, whose first element is at from; returns the end of what it wrote.
 */
static unsigned char *gather(const struct torch_tensor *t, int d, const unsigned char *from,
                             unsigned char *to)
{
    const size_t size = dtype_size(t->dtype);
    if (d == t->rank) {
        memcpy(to, from, size);
        return to + size;
    }
    const size_t way = (size_t)t->stride[d] * size;
    if (d < t->rank - 1) {
        for (int64_t i = 0; i < t->shape[d]; i++)
            to = gather(t, d + 1, from + (size_t)i * way, to);
        return to;
    }
    for (int64_t i = 0; i < t->shape[d]; i++, to += size)
        memcpy(to, from + (size_t)i * way, size);
    return to;
}

int torch_read(const struct torch_file *f, const struct torch_tensor *t, void *ret,
               struct error *error)
{
    const size_t size = dtype_size(t->dtype);
    if (t->cells == 0)
        return 0;
    if (is_dense(t))
        return read_storage(f, t->storage, t->offset * size, t->cells * size, ret, error);
    int r = fill_cache(f, t->storage, error);
    if (r == 0)
        gather(t, 0, f->cache->bytes + t->offset * size, ret);
    return r;
}
