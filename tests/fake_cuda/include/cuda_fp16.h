/* SPDX-License-Identifier: Apache-2.0
 * Stand-in for CUDA's header of this name: conversions only, each rounded to nearest even. */
#ifndef FAKE_CUDA_FP16_H
#define FAKE_CUDA_FP16_H

#include "cuda_runtime.h"

struct __half_raw {
    unsigned short x;
};

struct __half {
    unsigned short __x;

    __half() = default;
    __half(__half_raw raw) : __x(raw.x)
    {
    }
    inline __half(float x);
    inline operator float() const;
    operator __half_raw() const
    {
        return __half_raw{__x};
    }
};
typedef __half half;

inline __half __ushort_as_half(unsigned short bits)
{
    return __half(__half_raw{bits});
}
inline unsigned short __half_as_ushort(__half x)
{
    return x.__x;
}

/* Any NaN becomes 0x7fff. From 65520 on: infinity. */
inline __half __float2half_rn(float x)
{
    uint32_t bits = fake_bits<uint32_t>(x), sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
    if (rest > 0x7f800000u)
        return __ushort_as_half(0x7fff);
    uint32_t cell;
    if (rest >= 0x477ff000u) {
        cell = 0x7c00;
    } else if (rest >= 0x38800000u) { /* normal: 2^-14 and more */
        cell = (rest - 0x38000000u + 0xfffu + (rest >> 13 & 1)) >> 13;
    } else if (rest >= 0x33000000u) { /* denormal: steps of 2^-24 */
        uint32_t mantissa = (rest & 0x7fffffu) | 0x800000u, shift = 126 - (rest >> 23);
        uint32_t dropped = mantissa & ((1u << shift) - 1), tie = 1u << (shift - 1);
        cell = mantissa >> shift;
        cell += dropped > tie || (dropped == tie && (cell & 1));
    } else {
        cell = 0;
    }
    return __ushort_as_half((unsigned short)(sign | cell));
}
inline __half __float2half(float x)
{
    return __float2half_rn(x);
}
inline float __half2float(__half x)
{
    uint32_t sign = (uint32_t)(x.__x & 0x8000u) << 16, exponent = x.__x >> 10 & 0x1fu;
    uint32_t mantissa = x.__x & 0x3ffu;
    if (exponent == 0x1f)
        return fake_bits<float>(sign | 0x7f800000u | mantissa << 13);
    if (exponent)
        return fake_bits<float>(sign | (exponent + 112) << 23 | mantissa << 13);
    float magnitude = (float)mantissa * 0x1p-24f;
    return sign ? -magnitude : magnitude;
}
inline __half::__half(float x) : __half(__float2half_rn(x))
{
}
inline __half::operator float() const
{
    return __half2float(*this);
}

struct __attribute__((aligned(4))) __half2 {
    __half x, y;

    __half2() = default;
    __half2(__half low, __half high) : x(low), y(high)
    {
    }
};
typedef __half2 half2;

inline __half2 __floats2half2_rn(float low, float high)
{
    return __half2(__float2half_rn(low), __float2half_rn(high));
}
inline __half2 __float22half2_rn(float2 v)
{
    return __floats2half2_rn(v.x, v.y);
}
inline float __low2float(__half2 v)
{
    return __half2float(v.x);
}
inline float __high2float(__half2 v)
{
    return __half2float(v.y);
}
inline float2 __half22float2(__half2 v)
{
    return make_float2(__low2float(v), __high2float(v));
}
inline __half2 __halves2half2(__half low, __half high)
{
    return __half2(low, high);
}

#endif
