/* SPDX-License-Identifier: Apache-2.0
 * What -fsanitize=thread makes of every access of a kernel's code: a call of one of these. Linked
 * into each module that has kernels, hidden there, so that nothing else is held to it. Almost all
 * accesses are to bytes of the device that were written, and end here. */
#include <cstddef>
#include <cstdint>
#include <cstring>

extern "C" {
#pragma GCC visibility push(default)
extern uintptr_t fake_arena;
void fake_check(const void *p, size_t bytes, int writes, int aligned, const void *code);
#pragma GCC visibility pop
}

#pragma GCC visibility push(hidden)

constexpr uint64_t ARENA_BYTES = 1ull << 38; /* as in internal.h */

template <size_t N> static inline bool written(const void *p)
{
    static const uint8_t all[16] = {2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2};
    uintptr_t at = (uintptr_t)p;
    return at - fake_arena < ARENA_BYTES && memcmp((const void *)(at + ARENA_BYTES), all, N) == 0;
}

#define ACCESS(verb, bytes, writes)                                                                \
    void __tsan_##verb##bytes(void *p)                                                             \
    {                                                                                              \
        if (!written<bytes>(p) || (uintptr_t)p % bytes != 0)                                       \
            fake_check(p, bytes, writes, 1, __builtin_return_address(0));                          \
    }                                                                                              \
    void __tsan_unaligned_##verb##bytes(void *p)                                                   \
    {                                                                                              \
        if (!written<bytes>(p))                                                                    \
            fake_check(p, bytes, writes, 0, __builtin_return_address(0));                          \
    }

extern "C" {
ACCESS(read, 1, 0)
ACCESS(read, 2, 0)
ACCESS(read, 4, 0)
ACCESS(read, 8, 0)
ACCESS(read, 16, 0)
ACCESS(write, 1, 1)
ACCESS(write, 2, 1)
ACCESS(write, 4, 1)
ACCESS(write, 8, 1)
ACCESS(write, 16, 1)

void __tsan_read_range(void *p, size_t bytes)
{
    fake_check(p, bytes, 0, 0, __builtin_return_address(0));
}
void __tsan_write_range(void *p, size_t bytes)
{
    fake_check(p, bytes, 1, 0, __builtin_return_address(0));
}
void __tsan_vptr_update(void *, void *)
{
}
void __tsan_func_entry(void *)
{
}
void __tsan_func_exit(void)
{
}
void __tsan_init(void)
{
}
}
