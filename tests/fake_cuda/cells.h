/* SPDX-License-Identifier: Apache-2.0
 * What the stand-in's libraries share: cells of any type as float32, what a library made, and where
 * the operands of device work lie. */
#ifndef FAKE_CUDA_CELLS_H
#define FAKE_CUDA_CELLS_H

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>

#include "cuda_bf16.h"
#include "cuda_fp16.h"
#include "fake.h"
#include "library_types.h"

/* 0: none that the libraries here know */
inline size_t cell_bytes(cudaDataType_t type)
{
    return type == CUDA_R_32F ? 4 : type == CUDA_R_16F || type == CUDA_R_16BF ? 2 : 0;
}

inline float cell_get(const void *p, cudaDataType_t type, size_t i)
{
    if (type == CUDA_R_16F)
        return __half2float(((const __half *)p)[i]);
    if (type == CUDA_R_16BF)
        return __bfloat162float(((const __nv_bfloat16 *)p)[i]);
    return ((const float *)p)[i];
}

inline void cell_put(void *p, cudaDataType_t type, size_t i, float x)
{
    if (type == CUDA_R_16F)
        ((__half *)p)[i] = __float2half_rn(x);
    else if (type == CUDA_R_16BF)
        ((__nv_bfloat16 *)p)[i] = __float2bfloat16_rn(x);
    else
        ((float *)p)[i] = x;
}

/* To 10 bits of mantissa, the nearest, ties away from zero. */
inline float to_tf32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7f800000u) == 0x7f800000u)
        return x;
    bits = (bits + 0x1000u) & ~0x1fffu;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* What of one type a library made and did not destroy: anything else is no handle of it. */
template <class T> class made
{
    std::mutex lock;
    std::map<const void *, bool> live;
    const char *what;

  public:
    explicit made(const char *name) : what(name)
    {
    }

    T *create()
    {
        T *ret = new T();
        std::lock_guard<std::mutex> guard(lock);
        live[ret] = true;
        fake_made(ret, what);
        return ret;
    }

    bool has(const T *p)
    {
        std::lock_guard<std::mutex> guard(lock);
        return live.count(p) != 0;
    }

    bool destroy(T *p)
    {
        std::lock_guard<std::mutex> guard(lock);
        if (live.erase(p) == 0)
            return false;
        fake_freed(p);
        delete p;
        return true;
    }
};

/* Rows of bytes, `pitch` bytes apart. */
struct region {
    const char *at;
    size_t pitch, bytes, rows;
};

inline bool overlap(const region &a, const region &b)
{
    const char *a_end = a.at + (a.rows - 1) * a.pitch + a.bytes;
    const char *b_end = b.at + (b.rows - 1) * b.pitch + b.bytes;
    if (!a.rows || !b.rows || !a.bytes || !b.bytes || a.at >= b_end || b.at >= a_end)
        return false;
    if (a.pitch != b.pitch || a.rows == 1 || b.rows == 1)
        return true;
    size_t shift = (size_t)(a.at < b.at ? b.at - a.at : a.at - b.at) % a.pitch;
    size_t first = a.at < b.at ? a.bytes : b.bytes, second = a.at < b.at ? b.bytes : a.bytes;
    return shift < first || shift + second > a.pitch;
}

inline bool aligned_to(const void *p, size_t bytes)
{
    return (uintptr_t)p % bytes == 0;
}

/* The library's memory: whoever counts on what was in it finds NaN. */
inline bool use_workspace(void *workspace, size_t bytes)
{
    if (bytes == 0)
        return true;
    if (!fake_writes(workspace, bytes))
        return false;
    memset(workspace, 0xff, bytes);
    return true;
}

#endif
