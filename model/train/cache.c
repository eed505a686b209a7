/* SPDX-License-Identifier: Apache-2.0 */
#include "model/train/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/newfile.h"
#include "model/weights/safetensors_write.h"

enum { VERSION = 1, HASH_BYTES = CACHE_HASH_BYTES, CLIP_ALIGN = 64, BLOCK = 64 };

static const char magic[8] = "focalclp";

/* One clip of the table. */
struct entry {
    uint64_t offset, samples;    /* bytes from the file's beginning; float32 values */
    uint64_t source_bytes;       /* length of the source's file */
    int64_t source_changed_ns;   /* when it was last written to */
    uint8_t path[HASH_BYTES];    /* hash of its path */
    uint8_t content[HASH_BYTES]; /* hash of the samples */
};

struct header {
    char magic[8];
    uint32_t version, rate_hz;
    uint64_t count, file_bytes;
    uint8_t hash[HASH_BYTES]; /* of this header with zeros here, and of the table */
    uint8_t reserved[16];     /* 0 */
};

_Static_assert(sizeof(struct entry) == 64 && sizeof(struct header) == 64, "no padding in the file");

struct cache {
    const uint8_t *bytes; /* the mapping */
    size_t size;
    const struct header *header; /* in the mapping */
    const struct entry *table;   /* [header->count], in the mapping */
};

static void hash(const void *bytes, size_t n, uint8_t *ret)
{
    crypto_generichash(ret, HASH_BYTES, bytes, n, NULL, 0);
}

static void hash_head(const struct header *header, const struct entry *table, uint8_t *ret)
{
    struct header bare = *header;
    crypto_generichash_state state;
    memset(bare.hash, 0, sizeof bare.hash);
    crypto_generichash_init(&state, NULL, 0, HASH_BYTES);
    crypto_generichash_update(&state, (const uint8_t *)&bare, sizeof bare);
    crypto_generichash_update(&state, (const uint8_t *)table, header->count * sizeof *table);
    crypto_generichash_final(&state, ret, HASH_BYTES);
}

/* What the table says of a source, without its samples. */
static int look_at(const char *source, struct entry *ret, struct error *error)
{
    struct stat st;
    if (stat(source, &st) < 0)
        return error_set(error, errno, "%s: cannot be read: %s", source, strerror(errno));
    *ret = (struct entry){
        .source_bytes = (uint64_t)st.st_size,
        .source_changed_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
    };
    hash(source, strlen(source), ret->path);
    return 0;
}

/* Reading */

static int damaged(const char *path, struct error *error, const char *what)
{
    return error_set(error, EBADMSG, "%s: the clip cache is damaged: %s; it must be made anew",
                     path, what);
}

static int map_file(const char *path, struct cache *ret, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(error, errno, "%s: %s", path,
                         errno == ENOENT ? "there is no clip cache yet" : strerror(errno));
    struct stat st;
    int r = 0;
    if (fstat(fd, &st) < 0)
        r = error_set(error, errno, "%s: cannot be read: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        r = error_set(error, EINVAL, "%s: is not a file", path);
    else if ((uint64_t)st.st_size < sizeof(struct header))
        r = damaged(path, error, "it is shorter than its header");
    if (r == 0) {
        void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (bytes == MAP_FAILED)
            r = error_set(error, errno, "%s: cannot be mapped: %s", path, strerror(errno));
        else
            *ret = (struct cache){bytes, (size_t)st.st_size, bytes, NULL};
    }
    close(fd);
    return r;
}

/* Header and table; afterwards cache->table may be read. */
static int check_head(struct cache *cache, const char *path, struct error *error)
{
    const struct header *h = cache->header;
    uint8_t found[HASH_BYTES];
    if (memcmp(h->magic, magic, sizeof magic) != 0)
        return damaged(path, error, "it does not begin as one");
    if (h->version != VERSION)
        return error_set(error, ESTALE, "%s: the clip cache is of version %u, not %d", path,
                         (unsigned)h->version, VERSION);
    if (h->file_bytes != cache->size)
        return damaged(path, error, "its length is not what it was");
    if (h->count > (cache->size - sizeof *h) / sizeof *cache->table)
        return damaged(path, error, "its table does not fit into it");
    cache->table = (const struct entry *)(cache->bytes + sizeof *h);
    hash_head(h, cache->table, found);
    if (memcmp(found, h->hash, sizeof found) != 0)
        return damaged(path, error, "its table is not what was written");
    for (size_t i = 0; i < h->count; i++) {
        const struct entry *e = &cache->table[i];
        if (e->offset % CLIP_ALIGN != 0 || e->offset > cache->size ||
            e->samples > (cache->size - e->offset) / sizeof(float))
            return damaged(path, error, "a clip lies beyond its end");
    }
    return 0;
}

bool cache_replaces(const char *path)
{
    char found[sizeof magic];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT;
    const bool is_one = read(fd, found, sizeof found) == (ssize_t)sizeof found &&
                        memcmp(found, magic, sizeof magic) == 0;
    close(fd);
    return is_one;
}

static int check_list(const struct cache *cache, const char *path, const struct cache_list *list,
                      struct error *error)
{
    const struct header *h = cache->header;
    if (h->count != list->count)
        return error_set(error, ESTALE, "%s: the clip cache has %llu clips, not %zu", path,
                         (unsigned long long)h->count, list->count);
    if (h->rate_hz != (uint32_t)list->rate_hz)
        return error_set(error, ESTALE, "%s: the clip cache has %u samples a second, not %d", path,
                         (unsigned)h->rate_hz, list->rate_hz);
    for (size_t i = 0; i < list->count; i++) {
        const struct entry *e = &cache->table[i];
        struct entry now;
        int r = look_at(list->sources[i], &now, error);
        if (r < 0)
            return r;
        if (memcmp(e->path, now.path, sizeof now.path) != 0)
            return error_set(error, ESTALE, "%s: the clip cache has another clip in place of %s",
                             path, list->sources[i]);
        if (e->source_bytes != now.source_bytes || e->source_changed_ns != now.source_changed_ns)
            return error_set(error, ESTALE, "%s: %s has changed since the clip cache was made",
                             path, list->sources[i]);
    }
    return 0;
}

static int check_samples(const struct cache *cache, const char *path, const struct cache_list *list,
                         struct error *error)
{
    size_t first = list->count;
#pragma omp parallel for schedule(dynamic, 8) reduction(min : first)
    for (size_t i = 0; i < list->count; i++) {
        const struct entry *e = &cache->table[i];
        uint8_t found[HASH_BYTES];
        hash(cache->bytes + e->offset, e->samples * sizeof(float), found);
        if (memcmp(found, e->content, sizeof found) != 0 && i < first)
            first = i;
    }
    if (first == list->count)
        return 0;
    return error_set(
        error, EBADMSG,
        "%s: the clip cache is damaged: the samples of %s are not what was written; it "
        "must be made anew",
        path, list->sources[first]);
}

static int start_hashing(struct error *error)
{
    return sodium_init() < 0 ? error_set(error, EIO, "libsodium cannot be started") : 0;
}

int cache_open(struct cache **ret, const char *path, const struct cache_list *list,
               struct error *error)
{
    struct cache *cache = memory_zeroed(1, sizeof *cache);
    int r = cache != NULL ? start_hashing(error) : error_set(error, ENOMEM, "out of memory");
    if (r == 0)
        r = map_file(path, cache, error);
    if (r == 0)
        r = check_head(cache, path, error);
    if (r == 0)
        r = check_list(cache, path, list, error);
    if (r == 0)
        r = check_samples(cache, path, list, error);
    if (r < 0)
        cache_close(cache);
    else
        *ret = cache;
    return r;
}

void cache_close(struct cache *cache)
{
    if (cache != NULL && cache->bytes != NULL)
        munmap((void *)cache->bytes, cache->size);
    free(cache);
}

void cache_hash(const struct cache *cache, uint8_t *ret)
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, HASH_BYTES);
    for (size_t i = 0; i < cache->header->count; i++)
        crypto_generichash_update(&state, cache->table[i].content, HASH_BYTES);
    crypto_generichash_final(&state, ret, HASH_BYTES);
}

const float *cache_clip(const struct cache *cache, size_t i, size_t *ret_n)
{
    *ret_n = cache->table[i].samples;
    return (const float *)(const void *)(cache->bytes + cache->table[i].offset);
}

/* Making */

struct making {
    const char *path;
    const struct cache_list *list;
    cache_decode_fn *decode;
    void *context;
    int fd;
    struct header header;
    struct entry *table; /* [list->count] */
};

struct decoded {
    float *samples;
    int code;
    struct error error;
};

/* Clips begin..begin + n - 1 on all threads; table entries but for their places. */
static int decode_block(struct making *m, size_t begin, size_t n, struct decoded *block,
                        struct error *error)
{
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t i = 0; i < n; i++) {
        struct decoded *d = &block[i];
        struct entry *e = &m->table[begin + i];
        size_t samples = 0;
        d->code = m->decode(m->context, begin + i, &d->samples, &samples, &d->error);
        if (d->code == 0) {
            e->samples = samples;
            hash(d->samples, samples * sizeof *d->samples, e->content);
        }
    }
    for (size_t i = 0; i < n; i++)
        if (block[i].code < 0) {
            if (error != NULL)
                *error = block[i].error;
            return block[i].code;
        }
    return 0;
}

static int write_block(struct making *m, size_t begin, size_t n, const struct decoded *block,
                       struct error *error)
{
    static const uint8_t zeros[CLIP_ALIGN];
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++) {
        struct entry *e = &m->table[begin + i];
        size_t bytes = e->samples * sizeof(float), over = bytes % CLIP_ALIGN;
        e->offset = m->header.file_bytes;
        r = write_fully(m->fd, m->path, block[i].samples, bytes, error);
        if (r == 0 && over > 0)
            r = write_fully(m->fd, m->path, zeros, CLIP_ALIGN - over, error);
        m->header.file_bytes += bytes + (over > 0 ? CLIP_ALIGN - over : 0);
    }
    return r;
}

static int write_clips(struct making *m, struct error *error)
{
    struct decoded *block = memory_zeroed(BLOCK, sizeof *block);
    int r = block != NULL ? 0 : error_set(error, ENOMEM, "%s: out of memory", m->path);
    for (size_t begin = 0; begin < m->list->count && r == 0; begin += BLOCK) {
        size_t rest = m->list->count - begin, n = rest < BLOCK ? rest : BLOCK;
        memset(block, 0, BLOCK * sizeof *block);
        r = decode_block(m, begin, n, block, error);
        if (r == 0)
            r = write_block(m, begin, n, block, error);
        for (size_t i = 0; i < n; i++)
            free(block[i].samples);
    }
    free(block);
    return r;
}

static int seek(struct making *m, off_t to, struct error *error)
{
    if (lseek(m->fd, to, SEEK_SET) < 0)
        return error_set(error, errno, "%s: cannot be written: %s", m->path, strerror(errno));
    return 0;
}

/* Samples first, behind the room for the head, which is known at last. */
static int write_all(struct making *m, struct error *error)
{
    size_t table_bytes = m->list->count * sizeof *m->table;
    m->header.file_bytes = sizeof m->header + table_bytes;
    int r = seek(m, (off_t)m->header.file_bytes, error);
    if (r == 0)
        r = write_clips(m, error);
    if (r < 0)
        return r;
    hash_head(&m->header, m->table, m->header.hash);
    r = seek(m, 0, error);
    if (r == 0)
        r = write_fully(m->fd, m->path, &m->header, sizeof m->header, error);
    return r == 0 ? write_fully(m->fd, m->path, m->table, table_bytes, error) : r;
}

static int make_file(struct making *m, struct error *error)
{
    struct newfile file;
    int r = newfile_begin(&file, m->path, error);
    m->fd = file.fd;
    if (r == 0)
        r = write_all(m, error);
    if (r == 0)
        r = newfile_commit(&file, error);
    newfile_abandon(&file);
    return r;
}

int cache_make(const char *path, const struct cache_list *list, cache_decode_fn *decode,
               void *context, struct error *error)
{
    int r = start_hashing(error);
    if (r < 0)
        return r;
    struct making m = {path, list, decode, context, .fd = -1};
    memcpy(m.header.magic, magic, sizeof magic);
    m.header.version = VERSION;
    m.header.rate_hz = (uint32_t)list->rate_hz;
    m.header.count = list->count;
    m.table = memory_zeroed(list->count, sizeof *m.table);
    if (m.table == NULL)
        r = error_set(error, ENOMEM, "%s: out of memory", path);
    /* Before anything is decoded: one that changes meanwhile is found changed by cache_open. */
    for (size_t i = 0; i < list->count && r == 0; i++)
        r = look_at(list->sources[i], &m.table[i], error);
    if (r == 0)
        r = make_file(&m, error);
    free(m.table);
    return r;
}

int cache_ready(struct cache **ret, const char *path, const struct cache_list *list,
                cache_decode_fn *decode, void *context, struct error *why, struct error *error)
{
    struct error reason = {""};
    int r = cache_open(ret, path, list, &reason);
    bool anew = r == -ENOENT || r == -ESTALE || r == -EBADMSG;
    if (why != NULL)
        *why = anew ? reason : (struct error){""};
    if (r < 0 && !anew && error != NULL)
        *error = reason;
    if (!anew)
        return r;
    r = cache_make(path, list, decode, context, error);
    return r == 0 ? cache_open(ret, path, list, error) : r;
}
