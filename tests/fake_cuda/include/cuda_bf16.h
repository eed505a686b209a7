/* SPDX-License-Identifier: Apache-2.0
 * Stand-in for CUDA's header of this name: conversions only, each rounded to nearest even. */
#ifndef FAKE_CUDA_BF16_H
#define FAKE_CUDA_BF16_H

#include "cuda_runtime.h"

struct __nv_bfloat16_raw {
    unsigned short x;
};

struct __nv_bfloat16 {
    unsigned short __x;

    __nv_bfloat16() = default;
    __nv_bfloat16(__nv_bfloat16_raw raw) : __x(raw.x)
    {
    }
    inline __nv_bfloat16(float x);
    inline operator float() const;
    operator __nv_bfloat16_raw() const
    {
        return __nv_bfloat16_raw{__x};
    }
};
typedef __nv_bfloat16 nv_bfloat16;

inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits)
{
    return __nv_bfloat16(__nv_bfloat16_raw{bits});
}
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x)
{
    return x.__x;
}

/* Any NaN becomes 0x7fff. Beyond the largest by half a step or more: infinity. */
inline __nv_bfloat16 __float2bfloat16_rn(float x)
{
    uint32_t bits = fake_bits<uint32_t>(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return __ushort_as_bfloat16(0x7fff);
    return __ushort_as_bfloat16((unsigned short)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16));
}
inline __nv_bfloat16 __float2bfloat16(float x)
{
    return __float2bfloat16_rn(x);
}
inline float __bfloat162float(__nv_bfloat16 x)
{
    return fake_bits<float>((uint32_t)x.__x << 16);
}
inline __nv_bfloat16::__nv_bfloat16(float x) : __nv_bfloat16(__float2bfloat16_rn(x))
{
}
inline __nv_bfloat16::operator float() const
{
    return __bfloat162float(*this);
}

struct __attribute__((aligned(4))) __nv_bfloat162 {
    __nv_bfloat16 x, y;

    __nv_bfloat162() = default;
    __nv_bfloat162(__nv_bfloat16 low, __nv_bfloat16 high) : x(low), y(high)
    {
    }
};
typedef __nv_bfloat162 nv_bfloat162;

inline __nv_bfloat162 __floats2bfloat162_rn(float low, float high)
{
    return __nv_bfloat162(__float2bfloat16_rn(low), __float2bfloat16_rn(high));
}
inline __nv_bfloat162 __float22bfloat162_rn(float2 v)
{
    return __floats2bfloat162_rn(v.x, v.y);
}
inline float __low2float(__nv_bfloat162 v)
{
    return __bfloat162float(v.x);
}
inline float __high2float(__nv_bfloat162 v)
{
    return __bfloat162float(v.y);
}
inline float2 __bfloat1622float2(__nv_bfloat162 v)
{
    return make_float2(__low2float(v), __high2float(v));
}
inline __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 low, __nv_bfloat16 high)
{
    return __nv_bfloat162(low, high);
}

#endif
