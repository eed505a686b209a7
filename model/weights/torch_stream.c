/* SPDX-License-Identifier: Apache-2.0
 * The stream of PyTorch before 1.6: pickles of a magic number, a version, facts about the machine,
 * the object, and the keys of its storages; then for each key a 64-bit count and the values. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/weights/pickle.h"
#include "model/weights/torch_container.h"

enum { COUNT_BYTES = 8, VERSION = 1001 };

/* The pickle of 0x1950a86a20f9469cfc6c. */
static const unsigned char magic[] = {0x80, 2,    0x8a, 10,   0x6c, 0xfc, 0x9c, 0x46,
                                      0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};

struct stream {
    const char *path;
    const unsigned char *bytes;
    size_t size, at;
    struct error *error;
};

bool torch_stream_begins(const unsigned char *bytes, size_t n)
{
    return n >= sizeof magic && memcmp(bytes, magic, sizeof magic) == 0;
}

/* The next pickle, of plain values. */
static int next_pickle(struct stream *s, struct pickle **ret)
{
    static const struct pickle_rules plain = {0};
    size_t used = 0;
    int r = pickle_read(ret, s->path, s->bytes + s->at, s->size - s->at, &plain, &used, s->error);
    s->at += used;
    return r;
}

static int read_version(struct stream *s)
{
    struct pickle *pickle;
    int r = next_pickle(s, &pickle);
    if (r < 0)
        return r;
    const struct pickle_value *v = pickle_root(pickle);
    if (v->kind != PICKLE_INT || v->integer != VERSION)
        r = error_set(s->error, EINVAL,
                      "%s: its version of the stream format is unknown; expected: %d", s->path,
                      VERSION);
    pickle_destroy(pickle);
    return r;
}

static int read_machine(struct stream *s)
{
    struct pickle *pickle;
    int r = next_pickle(s, &pickle);
    if (r < 0)
        return r;
    const struct pickle_value *v = pickle_root(pickle);
    if (v->kind != PICKLE_DICT)
        r = error_set(s->error, EINVAL, "%s: it does not tell its machine: the file is damaged",
                      s->path);
    for (size_t i = 0; r == 0 && i < v->n; i += 2)
        if (pickle_is_text(v->items[i], "little_endian") &&
            (v->items[i + 1]->kind != PICKLE_BOOL || !v->items[i + 1]->truth))
            r = error_set(s->error, EINVAL,
                          "%s: it was written on a big-endian machine; expected: little-endian",
                          s->path);
    pickle_destroy(pickle);
    return r;
}

/* The values of the storage with that key are next. */
static int place_storage(struct stream *s, struct torch_tree *tree, const struct pickle_value *key)
{
    char shown[TORCH_KEY_BYTES + 1] = "";
    struct torch_storage *storage = NULL;
    if (key->kind == PICKLE_STRING) {
        pickle_printable(key->text, key->n, shown, sizeof shown);
        storage = torch_tree_storage(tree, key->text, key->n);
    }
    if (storage == NULL || storage->placed)
        return error_set(s->error, EINVAL,
                         "%s: its list of storages names %s, which no tensor uses or which came "
                         "before: the file is damaged",
                         s->path, shown);
    uint64_t count = 0;
    if (s->size - s->at < COUNT_BYTES)
        return error_set(s->error, EINVAL, "%s: it ends before storage %s: it is cut short",
                         s->path, storage->key);
    for (int i = COUNT_BYTES - 1; i >= 0; i--)
        count = count << 8 | s->bytes[s->at + (size_t)i];
    s->at += COUNT_BYTES;
    if (count != storage->cells)
        return error_set(s->error, EINVAL,
                         "%s: storage %s has %" PRIu64 " values, its tensors count on %zu: the "
                         "file is damaged",
                         s->path, storage->key, count, storage->cells);
    if (s->size - s->at < storage->bytes)
        return error_set(s->error, EINVAL, "%s: it ends within storage %s: it is cut short",
                         s->path, storage->key);
    storage->placed = true;
    storage->place = s->at;
    s->at += storage->bytes;
    return 0;
}

static int place_storages(struct stream *s, struct torch_tree *tree)
{
    struct pickle *pickle;
    int r = next_pickle(s, &pickle);
    if (r < 0)
        return r;
    const struct pickle_value *keys = pickle_root(pickle);
    if (keys->kind != PICKLE_LIST || keys->n != tree->n_storages)
        r = error_set(s->error, EINVAL,
                      "%s: its list of storages does not name the %zu that its tensors use: the "
                      "file is damaged",
                      s->path, tree->n_storages);
    for (size_t i = 0; r == 0 && i < keys->n; i++)
        r = place_storage(s, tree, keys->items[i]);
    pickle_destroy(pickle);
    if (r == 0 && s->at != s->size)
        r = error_set(s->error, EINVAL,
                      "%s: %zu bytes at the end belong to no storage: the file is damaged", s->path,
                      s->size - s->at);
    return r;
}

int torch_stream_open(struct torch_tree *tree, const char *path, int fd, size_t file_bytes,
                      struct error *error)
{
    struct stream s = {.path = path, .size = file_bytes, .at = sizeof magic, .error = error};
    void *map = mmap(NULL, file_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return error_set(error, errno, "%s: cannot map it: %s", path, strerror(errno));
    s.bytes = map;
    int r = read_version(&s);
    if (r == 0)
        r = read_machine(&s);
    if (r == 0) {
        size_t used = 0;
        r = torch_tree_read(tree, path, s.bytes + s.at, s.size - s.at, &used, error);
        s.at += used;
    }
    if (r == 0)
        r = place_storages(&s, tree);
    munmap(map, file_bytes);
    return r;
}

int torch_stream_read(const char *path, int fd, const struct torch_storage *storage, size_t first,
                      size_t n, void *ret, struct error *error)
{
    for (size_t done = 0; done < n;) {
        ssize_t got =
            pread(fd, (char *)ret + done, n - done, (off_t)(storage->place + first + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(error, errno, "%s: cannot read it: %s", path, strerror(errno));
        if (got == 0)
            return error_set(error, EINVAL, "%s: it became shorter while it was read", path);
        done += (size_t)got;
    }
    return 0;
}
