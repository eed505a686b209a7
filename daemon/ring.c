/* SPDX-License-Identifier: Apache-2.0
 * A block is a header and its samples, rounded up to a cache line. `head` and `tail` count bytes
 * and never wrap; the position in the ring is their remainder. */
#include "daemon/ring.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LINE = 64 };
static const uint64_t MOST_SAMPLES = UINT64_C(1) << 40; /* more than any ring holds */

struct block {
    uint32_t bytes; /* of the whole, header and padding included */
    uint32_t frames, channels, rate_hz, flags;
    uint64_t lost_frames;
    int64_t t_ns;
};

_Static_assert(sizeof(struct block) <= LINE, "a block's header fits a cache line");

struct ring {
    /* immutable after create */
    unsigned char *map; /* [2][bytes], the same memory twice */
    size_t bytes;

    /* writer */
    _Alignas(LINE) atomic_size_t head;
    size_t reserved; /* bytes of the block being written */
    uint32_t reserved_frames;
    uint64_t lost_pending;      /* to be told with the next block */
    uint32_t last_rate;         /* of the last block written: what lost_pending counts at */
    atomic_uint_least64_t lost; /* written by the writer, read by any */
    atomic_size_t needed;       /* likewise, see ring_too_small */

    /* reader */
    _Alignas(LINE) atomic_size_t tail;
};

/* The same pages twice in a row, so that every block is contiguous. */
static int map_twice(struct ring *r, struct error *error)
{
    int fd = memfd_create("focald-ring", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)r->bytes) < 0) {
        int code = errno;
        if (fd >= 0)
            close(fd);
        return error_set(error, code, "ring: no memory for %zu bytes: %s", r->bytes,
                         strerror(code));
    }
    unsigned char *map = mmap(NULL, 2 * r->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *first = MAP_FAILED, *second = MAP_FAILED;
    if (map != MAP_FAILED) {
        first = mmap(map, r->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
        second =
            mmap(map + r->bytes, r->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    }
    int code = errno;
    close(fd);
    if (first == MAP_FAILED || second == MAP_FAILED) {
        if (map != MAP_FAILED)
            munmap(map, 2 * r->bytes);
        return error_set(error, code, "ring: cannot map %zu bytes: %s", r->bytes, strerror(code));
    }
    r->map = map;
    return 0;
}

int ring_create(struct ring **ret, size_t bytes, struct error *error)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (bytes < 1 || bytes > (size_t)1 << 31)
        return error_set(error, EINVAL, "ring: %zu bytes; allowed: 1 to 2 GiB", bytes);
    struct ring *r = aligned_alloc(LINE, (sizeof *r + LINE - 1) / LINE * LINE);
    if (r == NULL)
        return error_set(error, ENOMEM, "ring: out of memory");
    memset(r, 0, sizeof *r);
    r->bytes = (bytes + page - 1) / page * page;
    atomic_init(&r->head, 0);
    atomic_init(&r->tail, 0);
    atomic_init(&r->lost, 0);
    atomic_init(&r->needed, 0);
    int code = map_twice(r, error);
    if (code < 0) {
        free(r);
        return code;
    }
    mlock(r->map, 2 * r->bytes);     /* where the limits allow it */
    memset(r->map, 0, 2 * r->bytes); /* both mappings get their pages now, not in the callback */
    *ret = r;
    return 0;
}

void ring_destroy(struct ring *r)
{
    if (r == NULL)
        return;
    munmap(r->map, 2 * r->bytes);
    free(r);
}

static size_t block_bytes(uint64_t samples)
{
    return (size_t)((LINE + samples * sizeof(float) + LINE - 1) / LINE * LINE);
}

static struct block *block_at(const struct ring *r, size_t position)
{
    return (struct block *)(void *)(r->map + position % r->bytes);
}

/* Writer: real-time. No lock, no allocation, no system call, no log. */

static size_t room(const struct ring *r)
{
    return r->bytes - (atomic_load_explicit(&r->head, memory_order_relaxed) -
                       atomic_load_explicit(&r->tail, memory_order_acquire));
}

static void lose(struct ring *r, uint64_t frames)
{
    r->lost_pending += frames;
    atomic_fetch_add_explicit(&r->lost, frames, memory_order_relaxed);
}

float *ring_reserve(struct ring *r, uint32_t frames, uint32_t channels)
{
    uint64_t samples = (uint64_t)frames * channels;
    size_t bytes = samples < MOST_SAMPLES ? block_bytes(samples) : MOST_SAMPLES;
    atomic_store_explicit(&r->needed, bytes > r->bytes ? bytes : 0, memory_order_relaxed);
    if (bytes > room(r)) {
        lose(r, frames);
        return NULL;
    }
    struct block *b = block_at(r, atomic_load_explicit(&r->head, memory_order_relaxed));
    r->reserved = bytes;
    r->reserved_frames = frames;
    b->channels = channels;
    return (float *)(void *)((unsigned char *)b + LINE);
}

void ring_commit(struct ring *r, uint32_t frames, uint32_t rate_hz, int64_t t_ns, uint32_t flags)
{
    size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    struct block *b = block_at(r, head);
    if (frames > r->reserved_frames)
        frames = r->reserved_frames;
    uint64_t lost = r->lost_pending;
    if (r->last_rate != 0 && r->last_rate != rate_hz)
        lost = lost * rate_hz / r->last_rate;
    b->frames = frames;
    b->rate_hz = rate_hz;
    b->t_ns = t_ns;
    b->flags = flags;
    b->lost_frames = lost;
    b->bytes = (uint32_t)block_bytes((uint64_t)frames * b->channels);
    r->lost_pending = 0;
    r->last_rate = rate_hz;
    atomic_store_explicit(&r->head, head + b->bytes, memory_order_release);
}

void ring_count_lost(struct ring *r, uint64_t frames)
{
    lose(r, frames);
}

size_t ring_writable(const struct ring *r)
{
    size_t bytes = room(r);
    return bytes > 2 * LINE ? bytes - 2 * LINE : 0;
}

/* Reader */

bool ring_peek(struct ring *r, struct ring_block *ret)
{
    size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    if (tail == atomic_load_explicit(&r->head, memory_order_acquire))
        return false;
    const struct block *b = block_at(r, tail);
    *ret = (struct ring_block){
        .frames = b->frames,
        .channels = b->channels,
        .rate_hz = b->rate_hz,
        .flags = b->flags,
        .lost_frames = b->lost_frames,
        .t_ns = b->t_ns,
        .samples = (const float *)(const void *)((const unsigned char *)b + LINE),
    };
    return true;
}

void ring_release(struct ring *r)
{
    size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    if (tail == atomic_load_explicit(&r->head, memory_order_acquire))
        return;
    atomic_store_explicit(&r->tail, tail + block_at(r, tail)->bytes, memory_order_release);
}

bool ring_empty(const struct ring *r)
{
    return atomic_load_explicit(&r->tail, memory_order_acquire) ==
           atomic_load_explicit(&r->head, memory_order_acquire);
}

uint64_t ring_lost(const struct ring *r)
{
    return atomic_load_explicit(&r->lost, memory_order_relaxed);
}

size_t ring_too_small(const struct ring *r)
{
    return atomic_load_explicit(&r->needed, memory_order_relaxed);
}
