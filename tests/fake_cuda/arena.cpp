/* SPDX-License-Identifier: Apache-2.0
 * The addresses of the device. Nothing may touch them but device work: else a signal, and a line
 * that says whose memory it was. An address is given out once; beside every byte lies one that says
 * whether it is allocated and written. */
#include "internal.h"

#include <csignal>
#include <cstdio>
#include <cstring>
#include <set>
#include <sys/mman.h>
#include <unistd.h>

constexpr size_t ALIGNMENT = 512, GAP = 512, PAGE = 4096;

uintptr_t fake_arena = 1ull << 63; /* no address lies near before it is made */
static size_t used;
static std::set<uintptr_t> live; /* allocations: what lies before them is never opened */
static unsigned opened;
static struct sigaction before;

static void touched(int, siginfo_t *info, void *)
{
    if (in_arena(info->si_addr)) {
        const char *op = running_op();
        char where[256], line[512];
        describe_into(where, sizeof where, info->si_addr);
        int n = snprintf(line, sizeof line, "fake CUDA: %s%s touched device memory: %s\n",
                         op ? "unchecked code of " : "host code", op ? op : "", where);
        if (n < 0 || write(2, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1) < 0)
            _exit(139);
    }
    sigaction(SIGSEGV, &before, NULL); /* and the access once more */
}

bool arena_make()
{
    if (fake_arena != 1ull << 63)
        return true;
    void *p =
        mmap(NULL, 2 * ARENA_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return false;
    if (mprotect((char *)p + ARENA_BYTES, ARENA_BYTES, PROT_READ | PROT_WRITE) != 0) {
        munmap(p, 2 * ARENA_BYTES);
        return false;
    }
    fake_arena = (uintptr_t)p;
    return true;
}

/* Again and again: cmocka sets a handler of its own in each test. */
static void watch()
{
    struct sigaction action, found;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = touched;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigaction(SIGSEGV, &action, &found);
    if (!(found.sa_flags & SA_SIGINFO) || found.sa_sigaction != touched)
        before = found;
}

bool in_arena(const void *p)
{
    return (uintptr_t)p - fake_arena < ARENA_BYTES;
}

uint8_t *shadow_of(const void *p)
{
    return (uint8_t *)((uintptr_t)p + ARENA_BYTES);
}

static void protect(int protection)
{
    uintptr_t end = fake_arena + (used + PAGE - 1) / PAGE * PAGE;
    uintptr_t first = live.empty() ? end : *live.begin() / PAGE * PAGE;
    if (first < end && mprotect((void *)first, end - first, protection) != 0)
        perror("fake CUDA: mprotect");
}

void arena_open()
{
    if (opened++ == 0)
        protect(PROT_READ | PROT_WRITE);
}

void arena_close()
{
    if (--opened > 0)
        return;
    protect(PROT_NONE);
    watch();
}

void *arena_take(size_t bytes)
{
    size_t start = (used + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (!arena_make() || bytes > ARENA_BYTES - start - GAP)
        return NULL;
    used = start + bytes + GAP;
    live.insert(fake_arena + start);
    if (opened)
        protect(PROT_READ | PROT_WRITE);
    watch();
    void *p = (void *)(fake_arena + start);
    memset(shadow_of(p), fake_checks_kernels() ? SHADOW_UNWRITTEN : SHADOW_WRITTEN, bytes);
    return p;
}

/* Whole pages go back to the system. */
static void drop(void *p, size_t bytes)
{
    uintptr_t first = ((uintptr_t)p + PAGE - 1) / PAGE * PAGE;
    uintptr_t end = ((uintptr_t)p + bytes) / PAGE * PAGE;
    if (first < end)
        madvise((void *)first, end - first, MADV_DONTNEED);
}

void arena_give(void *p, size_t bytes)
{
    live.erase((uintptr_t)p);
    memset(shadow_of(p), SHADOW_NONE, bytes);
    drop(shadow_of(p), bytes);
    drop(p, bytes);
}

void arena_restart()
{
    if (used == 0)
        return;
    madvise((void *)(fake_arena + ARENA_BYTES), used, MADV_DONTNEED);
    madvise((void *)fake_arena, used, MADV_DONTNEED);
    used = 0;
    live.clear();
}
