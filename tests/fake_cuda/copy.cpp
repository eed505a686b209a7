/* SPDX-License-Identifier: Apache-2.0
 * Copies and fills. Every one is rows of `width` bytes, from row to row `pitch` bytes. */
#include "internal.h"

#include <cstring>

struct copy {
    char *to;
    size_t to_pitch;
    const char *from;
    size_t from_pitch, width, rows;
    bool to_device, from_device;
};

static size_t extent(size_t pitch, size_t width, size_t rows)
{
    return (rows - 1) * pitch + width;
}

/* What is known of bytes goes with them: uninitialised ones may be copied within the device. */
static cudaError_t run_copy(const copy &c)
{
    for (size_t i = 0; i < c.rows; i++) {
        char *to = c.to + i * c.to_pitch;
        const char *from = c.from + i * c.from_pitch;
        if (c.from_device && !c.to_device && !fake_reads(from, c.width))
            return cudaErrorIllegalAddress;
        if (c.from_device && !fake_is_device(from, c.width)) {
            report(cudaErrorIllegalAddress, "copy from " + describe(from));
            return cudaErrorIllegalAddress;
        }
        if (c.to_device && !fake_writes(to, c.width))
            return cudaErrorIllegalAddress;
        if (c.from_device && c.to_device)
            memcpy(shadow_of(to), shadow_of(from), c.width);
        memcpy(to, from, c.width);
    }
    return cudaSuccess;
}

/* Which sides are the device's; false: pointers and kind do not fit. */
static bool find_sides(copy &c, enum cudaMemcpyKind kind)
{
    c.to_device = in_arena(c.to);
    c.from_device = in_arena(c.from);
    if (kind != cudaMemcpyDefault) {
        bool to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
        bool from = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
        if (to != c.to_device || from != c.from_device)
            return false;
    }
    return (!c.to_device || fake_is_device(c.to, extent(c.to_pitch, c.width, c.rows))) &&
           (!c.from_device || fake_is_device(c.from, extent(c.from_pitch, c.width, c.rows)));
}

/* A pageable source is staged now, a pageable destination has its bytes before the call returns. */
static cudaError_t start(call &call, copy c, enum cudaMemcpyKind kind, cudaStream_t stream,
                         const char *name, bool waits)
{
    CUstream_st *s = find_stream(stream);
    if (call.code != cudaSuccess)
        return call.give(call.code);
    if ((unsigned)kind > cudaMemcpyDefault)
        return call.give(cudaErrorInvalidMemcpyDirection);
    if (c.width == 0 || c.rows == 0)
        return cudaSuccess;
    if (!c.to || !c.from)
        return call.give(cudaErrorInvalidValue);
    if (c.rows > 1 && (c.width > c.to_pitch || c.width > c.from_pitch))
        return call.give(cudaErrorInvalidPitchValue);
    if (!s)
        return call.give(cudaErrorInvalidResourceHandle);
    if (!find_sides(c, kind))
        return call.give(cudaErrorInvalidValue);
    cudaError_t code = waits ? unsafe_on(s) : cudaSuccess;
    if (code != cudaSuccess)
        return call.give(code);
    bool pageable_to = !c.to_device && !is_pinned(c.to, extent(c.to_pitch, c.width, c.rows));
    bool pageable_from =
        !c.from_device && !is_pinned(c.from, extent(c.from_pitch, c.width, c.rows));
    if (pageable_from && !captured(s)) {
        auto staged = std::make_shared<std::string>(c.from, extent(c.from_pitch, c.width, c.rows));
        c.from = staged->data();
        code = fake_enqueue(stream, name, [c, staged] { return run_copy(c); });
    } else {
        code = fake_enqueue(stream, name, [c] { return run_copy(c); });
    }
    if (code == cudaSuccess && !captured(s) && (waits || pageable_to))
        code = run_op(s->last);
    return call.give(code);
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t count, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    call c("cudaMemcpyAsync");
    return start(c, copy{(char *)dst, count, (const char *)src, count, count, 1, false, false},
                 kind, stream, "cudaMemcpyAsync", false);
}

cudaError_t cudaMemcpy(void *dst, const void *src, size_t count, enum cudaMemcpyKind kind)
{
    call c("cudaMemcpy");
    return start(c, copy{(char *)dst, count, (const char *)src, count, count, 1, false, false},
                 kind, NULL, "cudaMemcpy", kind != cudaMemcpyDeviceToDevice);
}

cudaError_t cudaMemcpy2DAsync(void *dst, size_t dpitch, const void *src, size_t spitch,
                              size_t width, size_t height, enum cudaMemcpyKind kind,
                              cudaStream_t stream)
{
    call c("cudaMemcpy2DAsync");
    return start(c,
                 copy{(char *)dst, dpitch, (const char *)src, spitch, width, height, false, false},
                 kind, stream, "cudaMemcpy2DAsync", false);
}

cudaError_t cudaMemcpy2D(void *dst, size_t dpitch, const void *src, size_t spitch, size_t width,
                         size_t height, enum cudaMemcpyKind kind)
{
    call c("cudaMemcpy2D");
    return start(c,
                 copy{(char *)dst, dpitch, (const char *)src, spitch, width, height, false, false},
                 kind, NULL, "cudaMemcpy2D", kind != cudaMemcpyDeviceToDevice);
}

static cudaError_t fill(call &call, void *to, size_t pitch, int value, size_t width, size_t rows,
                        cudaStream_t stream, const char *name)
{
    if (call.code != cudaSuccess)
        return call.give(call.code);
    if (width == 0 || rows == 0)
        return cudaSuccess;
    if (rows > 1 && width > pitch)
        return call.give(cudaErrorInvalidPitchValue);
    if (!fake_is_device(to, extent(pitch, width, rows)))
        return call.give(cudaErrorInvalidValue);
    return call.give(fake_enqueue(stream, name, [=] {
        for (size_t i = 0; i < rows; i++) {
            char *row = (char *)to + i * pitch;
            if (!fake_writes(row, width))
                return cudaErrorIllegalAddress;
            memset(row, value, width);
        }
        return cudaSuccess;
    }));
}

cudaError_t cudaMemsetAsync(void *devPtr, int value, size_t count, cudaStream_t stream)
{
    call c("cudaMemsetAsync");
    return fill(c, devPtr, count, value, count, 1, stream, "cudaMemsetAsync");
}

cudaError_t cudaMemset(void *devPtr, int value, size_t count)
{
    call c("cudaMemset");
    return fill(c, devPtr, count, value, count, 1, NULL, "cudaMemset");
}

cudaError_t cudaMemset2DAsync(void *devPtr, size_t pitch, int value, size_t width, size_t height,
                              cudaStream_t stream)
{
    call c("cudaMemset2DAsync");
    return fill(c, devPtr, pitch, value, width, height, stream, "cudaMemset2DAsync");
}
