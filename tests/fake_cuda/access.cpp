/* SPDX-License-Identifier: Apache-2.0
 * The accesses of kernels that are not plainly good. */
#include "kernel.h"

#include <cstring>

#pragma GCC visibility push(default)
extern "C" {
void fake_check(const void *p, size_t bytes, int writes, int aligned, const void *code);
int fake_misaligned(const void *p, const char *file, unsigned line);
int fake_out_of_bounds(size_t index, const char *type, const char *file, unsigned line);
}
#pragma GCC visibility pop

[[noreturn]] static void refuse(cudaError_t code, const void *p, size_t bytes, bool writes,
                                const std::string &why, const void *place)
{
    std::string where = why.empty() ? describe(p) : why;
    fail_thread(code, text("%s %zu bytes at ", writes ? "writes" : "reads", bytes) + where +
                          ", in " + code_place(place));
}

static void check_device(const void *p, size_t bytes, bool writes, const void *code)
{
    uint8_t *shadow = shadow_of(p);
    bool unwritten = false;
    for (size_t i = 0; i < bytes; i++) {
        if (shadow[i] == SHADOW_NONE)
            refuse(cudaErrorIllegalAddress, (const char *)p + i, bytes, writes, "", code);
        unwritten = unwritten || shadow[i] == SHADOW_UNWRITTEN;
    }
    if (writes)
        memset(shadow, SHADOW_WRITTEN, bytes);
    else if (unwritten)
        refuse(cudaErrorIllegalAddress, p, bytes, writes, describe(p) + ", which nothing wrote",
               code);
}

/* Host code of the same file is compiled so, too: it runs on a stack of its own. */
void fake_check(const void *p, size_t bytes, int writes, int aligned, const void *code)
{
    if (!on_fiber(__builtin_frame_address(0)))
        return;
    if (aligned && (uintptr_t)p % bytes != 0)
        refuse(cudaErrorMisalignedAddress, p, bytes, writes, text("%p, which is misaligned", p),
               code);
    if (in_arena(p)) {
        check_device(p, bytes, writes, code);
    } else if (is_shared(p, bytes)) {
        std::string wrong = shared_access(p, bytes, writes);
        if (!wrong.empty())
            fail_thread(cudaErrorLaunchFailure, wrong + ", in " + code_place(code));
    } else if (!on_fiber(p)) {
        refuse(cudaErrorIllegalAddress, p, bytes, writes, "", code);
    }
}

/* 0: not in a kernel. */
int fake_misaligned(const void *p, const char *file, unsigned line)
{
    if (!on_fiber(__builtin_frame_address(0)))
        return 0;
    fail_thread(cudaErrorMisalignedAddress,
                text("uses %p, which is misaligned, in %s:%u", p, file, line));
}

int fake_out_of_bounds(size_t index, const char *type, const char *file, unsigned line)
{
    if (!on_fiber(__builtin_frame_address(0)))
        return 0;
    fail_thread(cudaErrorIllegalAddress,
                text("uses index %zd of an array %s, in %s:%u", (ssize_t)index, type, file, line));
}
