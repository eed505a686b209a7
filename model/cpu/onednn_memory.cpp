/* SPDX-License-Identifier: Apache-2.0
 * The process's operator new and delete (C++ [new.delete] allows a program to replace them): malloc
 * and free, but between onednn_memory_begin and _end of a thread a piece of a fixed pool while there
 * is room. A pool starts anew once nothing of it is in use; what a library kept would only make it
 * useless, never wrong. The one C++ file of the project, because C cannot say this. */
#include "model/cpu/onednn_memory.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

void onednn_memory_begin(void)
{
}

void onednn_memory_end(void)
{
}

#else

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace
{

enum { POOLS = 16, POOL_BYTES = 16384, PIECE_ALIGN = 16 };

struct pool {
    alignas(64) unsigned char bytes[POOL_BYTES];
    std::atomic<bool> taken; /* by a thread, between begin and end */
    std::atomic<int> live;   /* pieces in use */
    std::size_t used;        /* the taking thread's */
};

pool pools[POOLS];
thread_local pool *current; /* null outside of begin and end, or when all are taken */

void *take(pool *p, std::size_t size)
{
    if (p->live.load(std::memory_order_acquire) == 0)
        p->used = 0;
    std::size_t bytes = (size + PIECE_ALIGN - 1) / PIECE_ALIGN * PIECE_ALIGN;
    if (bytes < size || bytes > POOL_BYTES - p->used)
        return nullptr;
    void *piece = p->bytes + p->used;
    p->used += bytes;
    p->live.fetch_add(1, std::memory_order_relaxed);
    return piece;
}

/* The pool that a pointer lies in, whoever took it; null for malloc's. */
pool *pool_of(void *piece)
{
    auto at = reinterpret_cast<std::uintptr_t>(piece);
    auto begin = reinterpret_cast<std::uintptr_t>(&pools[0]);
    if (at < begin || at >= begin + sizeof pools)
        return nullptr;
    return &pools[(at - begin) / sizeof pools[0]];
}

} // namespace

void onednn_memory_begin(void)
{
    for (pool &p : pools)
        if (!p.taken.exchange(true, std::memory_order_acquire)) {
            current = &p;
            return;
        }
}

void onednn_memory_end(void)
{
    if (current != nullptr)
        current->taken.store(false, std::memory_order_release);
    current = nullptr;
}

void *operator new(std::size_t size)
{
    void *piece = current != nullptr ? take(current, size) : nullptr;
    if (piece == nullptr)
        piece = std::malloc(size > 0 ? size : 1);
    if (piece == nullptr)
        throw std::bad_alloc();
    return piece;
}

void operator delete(void *piece) noexcept
{
    pool *p = piece != nullptr ? pool_of(piece) : nullptr;
    if (p != nullptr)
        p->live.fetch_sub(1, std::memory_order_release);
    else
        std::free(piece);
}

void operator delete(void *piece, std::size_t) noexcept
{
    operator delete(piece);
}

#endif
