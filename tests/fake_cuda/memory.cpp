/* SPDX-License-Identifier: Apache-2.0
 * Allocations of the device and pinned ones of the host, and whether work may touch them. */
#include "internal.h"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

struct allocation {
    size_t bytes;
    unsigned number;
    bool live;
};

static std::map<uintptr_t, allocation> device, pinned; /* by address; device's also once freed */
static size_t device_bytes;
static unsigned allocations;
static std::map<const void *, std::string> handles; /* of libraries */

uint64_t device_memory()
{
    std::string limit = setting("MEMORY");
    return limit.empty() ? 8ull << 30 : strtoull(limit.c_str(), NULL, 10);
}

/* The one that starts at or before p. */
static std::map<uintptr_t, allocation>::iterator before(std::map<uintptr_t, allocation> &of,
                                                        const void *p)
{
    auto next = of.upper_bound((uintptr_t)p);
    return next == of.begin() ? of.end() : --next;
}

static bool holds(std::map<uintptr_t, allocation> &of, const void *p, size_t bytes)
{
    auto a = before(of, p);
    if (a == of.end() || !a->second.live)
        return false;
    size_t offset = (uintptr_t)p - a->first;
    return offset <= a->second.bytes && bytes <= a->second.bytes - offset;
}

bool fake_is_device(const void *p, size_t bytes)
{
    call c(NULL, call::ALWAYS);
    return holds(device, p, bytes);
}

bool is_pinned(const void *p, size_t bytes)
{
    return holds(pinned, p, bytes);
}

/* Also in a signal's handler: allocates nothing. */
void describe_into(char *line, size_t bytes, const void *p)
{
    auto a = before(device, p);
    if (p == NULL) {
        snprintf(line, bytes, "NULL");
    } else if (!in_arena(p) || a == device.end()) {
        snprintf(line, bytes, "%p, %s", p,
                 in_arena(p)           ? "before all allocations"
                 : is_pinned(p, 1)     ? "pinned memory of the host"
                 : (uintptr_t)p < 4096 ? "next to NULL"
                                       : "memory of the host");
    } else {
        size_t offset = (uintptr_t)p - a->first, of = a->second.bytes;
        bool inside = offset < of;
        snprintf(line, bytes, "%p, %s%zu%s the %zu bytes of allocation %u (%p)%s", p,
                 inside ? "byte " : "", inside ? offset : offset - of,
                 inside ? " of" : " bytes behind", of, a->second.number, (void *)a->first,
                 a->second.live ? "" : ", which was freed");
    }
}

std::string describe(const void *p)
{
    char line[256];
    describe_into(line, sizeof line, p);
    return line;
}

cudaError_t cudaMalloc(void **devPtr, size_t size)
{
    call c("cudaMalloc");
    if (c.code != cudaSuccess)
        return c.give(c.code);
    cudaError_t unsafe = unsafe_call();
    if (unsafe != cudaSuccess)
        return c.give(unsafe);
    if (!devPtr)
        return c.give(cudaErrorInvalidValue);
    *devPtr = NULL;
    if (size == 0)
        return cudaSuccess;
    if (size > device_memory() - device_bytes)
        return c.give(cudaErrorMemoryAllocation);
    void *p = arena_take(size);
    if (!p)
        return c.give(cudaErrorMemoryAllocation);
    device[(uintptr_t)p] = allocation{size, ++allocations, true};
    device_bytes += size;
    *devPtr = p;
    return cudaSuccess;
}

cudaError_t cudaFree(void *devPtr)
{
    call c("cudaFree");
    if (!devPtr)
        return c.give(c.code);
    cudaError_t unsafe = unsafe_call();
    if (unsafe != cudaSuccess)
        return c.give(unsafe);
    cudaError_t code = run_all();
    auto a = device.find((uintptr_t)devPtr);
    if (a == device.end() || !a->second.live)
        return c.give(cudaErrorInvalidValue);
    arena_give(devPtr, a->second.bytes);
    a->second.live = false;
    device_bytes -= a->second.bytes;
    return c.give(code);
}

static cudaError_t take_pinned(call &c, void **ptr, size_t size)
{
    if (c.code != cudaSuccess)
        return c.give(c.code);
    cudaError_t unsafe = unsafe_call();
    if (unsafe != cudaSuccess)
        return c.give(unsafe);
    if (!ptr)
        return c.give(cudaErrorInvalidValue);
    *ptr = NULL;
    if (size == 0)
        return cudaSuccess;
    void *p = NULL;
    if (posix_memalign(&p, 4096, size) != 0)
        return c.give(cudaErrorMemoryAllocation);
    pinned[(uintptr_t)p] = allocation{size, ++allocations, true};
    *ptr = p;
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **pHost, size_t size, unsigned)
{
    call c("cudaHostAlloc");
    return take_pinned(c, pHost, size);
}

cudaError_t cudaMallocHost(void **ptr, size_t size)
{
    call c("cudaMallocHost");
    return take_pinned(c, ptr, size);
}

cudaError_t cudaFreeHost(void *ptr)
{
    call c("cudaFreeHost");
    if (!ptr)
        return c.give(c.code);
    cudaError_t unsafe = unsafe_call();
    if (unsafe != cudaSuccess)
        return c.give(unsafe);
    cudaError_t code = run_all();
    if (pinned.erase((uintptr_t)ptr) == 0)
        return c.give(cudaErrorInvalidValue);
    free(ptr);
    return c.give(code);
}

cudaError_t cudaMemGetInfo(size_t *free, size_t *total)
{
    call c("cudaMemGetInfo");
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!free || !total)
        return c.give(cudaErrorInvalidValue);
    *total = device_memory();
    *free = *total > device_bytes ? *total - device_bytes : 0;
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *ptr)
{
    call c("cudaPointerGetAttributes");
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!attributes)
        return c.give(cudaErrorInvalidValue);
    memset(attributes, 0, sizeof *attributes);
    attributes->device = -2; /* none: cudaInvalidDeviceId */
    if (holds(device, ptr, 1)) {
        attributes->type = cudaMemoryTypeDevice;
        attributes->device = 0;
        attributes->devicePointer = (void *)ptr;
    } else {
        attributes->hostPointer = (void *)ptr;
        if (is_pinned(ptr, 1)) {
            attributes->type = cudaMemoryTypeHost;
            attributes->device = 0;
            attributes->devicePointer = (void *)ptr;
        }
    }
    return cudaSuccess;
}

/* The first of n bytes that is below `least`, n if none. */
static size_t first_below(const uint8_t *shadow, size_t n, uint8_t least)
{
    if (n && shadow[0] == SHADOW_WRITTEN && memcmp(shadow, shadow + 1, n - 1) == 0)
        return n;
    for (size_t i = 0; i < n; i++)
        if (shadow[i] < least)
            return i;
    return n;
}

static bool usable(const void *p, size_t bytes, bool reads)
{
    const char *verb = reads ? "reads" : "writes", *op = running_op();
    if (device_error != cudaSuccess)
        return false;
    size_t good = in_arena(p) ? first_below(shadow_of(p), bytes, SHADOW_UNWRITTEN) : 0;
    if (good < bytes) {
        std::string where = describe((const char *)p + good);
        report(cudaErrorIllegalAddress,
               text("%s %s %zu bytes at %p: ", op ? op : "host", verb, bytes, p) + where);
        return false;
    }
    good = reads ? first_below(shadow_of(p), bytes, SHADOW_WRITTEN) : bytes;
    if (good < bytes) {
        std::string where = describe((const char *)p + good);
        report(cudaErrorIllegalAddress,
               text("%s reads %zu bytes at %p that nothing wrote: ", op ? op : "host", bytes, p) +
                   where);
        return false;
    }
    return true;
}

bool fake_reads(const void *p, size_t bytes)
{
    return bytes == 0 || usable(p, bytes, true);
}

bool fake_writes(void *p, size_t bytes)
{
    if (bytes == 0)
        return true;
    if (!usable(p, bytes, false))
        return false;
    memset(shadow_of(p), SHADOW_WRITTEN, bytes);
    return true;
}

bool fake_reads_rows(const void *p, size_t pitch, size_t bytes, size_t rows)
{
    bool good = true;
    for (size_t i = 0; good && i < rows; i++)
        good = fake_reads((const char *)p + i * pitch, bytes);
    return good;
}

bool fake_writes_rows(void *p, size_t pitch, size_t bytes, size_t rows)
{
    bool good = true;
    for (size_t i = 0; good && i < rows; i++)
        good = fake_writes((char *)p + i * pitch, bytes);
    return good;
}

void fake_made(const void *handle, const char *what)
{
    call c(NULL, call::ALWAYS);
    handles[handle] = what;
}

void fake_freed(const void *handle)
{
    call c(NULL, call::ALWAYS);
    handles.erase(handle);
}

size_t memory_leaks(bool tell)
{
    size_t leaks = 0;
    for (auto *map : {&device, &pinned}) {
        for (auto &a : *map) {
            if (!a.second.live)
                continue;
            leaks++;
            if (tell)
                fprintf(stderr, "fake CUDA: not freed: %s allocation %u of %zu bytes\n",
                        map == &device ? "device" : "pinned", a.second.number, a.second.bytes);
        }
    }
    for (auto &h : handles)
        if (tell)
            fprintf(stderr, "fake CUDA: not destroyed: %s\n", h.second.c_str());
    return leaks + handles.size();
}

void restart_memory()
{
    for (auto &a : pinned)
        free((void *)a.first);
    pinned.clear();
    device.clear();
    handles.clear();
    device_bytes = 0;
    allocations = 0;
    arena_restart();
}
