/* SPDX-License-Identifier: Apache-2.0
 * What -fsanitize=thread makes of every access of a kernel's code: a call of one of these. Linked
 * into each module that has kernels, hidden there, so that nothing else is held to it. Almost all
 * accesses are to bytes of the device that were written, and end here. A call of memcpy passes
 * unseen: kernels assign. */
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <dlfcn.h>

extern "C" {
#pragma GCC visibility push(default)
extern uintptr_t fake_arena;
void fake_check(const void *p, size_t bytes, int writes, int aligned, const void *code);
int fake_misaligned(const void *p, const char *file, unsigned line);
int fake_out_of_bounds(size_t index, const char *type, const char *file, unsigned line);
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

/* What -fsanitize=alignment,bounds calls: a vector may be read as its components, each aligned, and
 * a shared array's end may be another's beginning. Structs as libubsan documents them. */
struct ubsan_place {
    const char *file;
    uint32_t line, column;
};
struct ubsan_type {
    uint16_t kind, info;
    char name[1];
};
struct ubsan_mismatch {
    ubsan_place place;
    const ubsan_type *type;
    uint8_t log_alignment, kind;
};
struct ubsan_bounds {
    ubsan_place place;
    const ubsan_type *array, *index;
};

/* Code of the host in the same module has the real ones. */
static void pass_on(const char *name, void *data, uintptr_t value)
{
    typedef void handler(void *, uintptr_t);
    handler *real = (handler *)dlsym(RTLD_DEFAULT, name);
    if (real)
        real(data, value);
}

void __ubsan_handle_type_mismatch_v1(void *data, uintptr_t p)
{
    const ubsan_mismatch *m = (const ubsan_mismatch *)data;
    if (!fake_misaligned((const void *)p, m->place.file, m->place.line))
        pass_on(__func__, data, p);
}
void __ubsan_handle_out_of_bounds(void *data, uintptr_t index)
{
    const ubsan_bounds *b = (const ubsan_bounds *)data;
    if (!fake_out_of_bounds(index, b->array->name, b->place.file, b->place.line))
        pass_on(__func__, data, index);
}
}
