/* SPDX-License-Identifier: Apache-2.0
 * Stand-in for CUDA's functions that host C++ lacks; included by cuda_runtime.h. */
#ifndef FAKE_CUDA_DEVICE_FUNCTIONS_H
#define FAKE_CUDA_DEVICE_FUNCTIONS_H

#define FAKE_MAKE(name, type)                                                                      \
    inline name##2 make_##name##2(type x, type y)                                                  \
    {                                                                                              \
        return name##2 {x, y};                                                                     \
    }                                                                                              \
    inline name##3 make_##name##3(type x, type y, type z)                                          \
    {                                                                                              \
        return name##3 {x, y, z};                                                                  \
    }                                                                                              \
    inline name##4 make_##name##4(type x, type y, type z, type w)                                  \
    {                                                                                              \
        return name##4 {x, y, z, w};                                                               \
    }
FAKE_MAKE(char, signed char)
FAKE_MAKE(uchar, unsigned char)
FAKE_MAKE(short, short)
FAKE_MAKE(ushort, unsigned short)
FAKE_MAKE(int, int)
FAKE_MAKE(uint, unsigned)
FAKE_MAKE(longlong, long long)
FAKE_MAKE(ulonglong, unsigned long long)
FAKE_MAKE(float, float)
FAKE_MAKE(double, double)
#undef FAKE_MAKE

inline float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}
inline double rsqrt(double x)
{
    return 1.0 / sqrt(x);
}
inline float __expf(float x)
{
    return expf(x);
}
inline float __logf(float x)
{
    return logf(x);
}
inline float __fdividef(float x, float y)
{
    return x / y;
}
inline float __frcp_rn(float x)
{
    return 1.0f / x;
}
inline float __frsqrt_rn(float x)
{
    return (float)(1.0 / sqrt((double)x));
}
inline float __fsqrt_rn(float x)
{
    return sqrtf(x);
}
inline float __fdiv_rn(float x, float y)
{
    return x / y;
}
inline float __fmaf_rn(float x, float y, float z)
{
    return fmaf(x, y, z);
}
/* Products and sums that are not contracted. */
inline float __fmul_rn(float x, float y)
{
    volatile float product = x * y;
    return product;
}
inline float __fadd_rn(float x, float y)
{
    volatile float sum = x + y;
    return sum;
}
inline float __saturatef(float x)
{
    return x > 0 ? x < 1 ? x : 1 : 0; /* NaN gives 0 */
}

#define FAKE_MIN_MAX(type)                                                                         \
    inline type min(type a, type b)                                                                \
    {                                                                                              \
        return b < a ? b : a;                                                                      \
    }                                                                                              \
    inline type max(type a, type b)                                                                \
    {                                                                                              \
        return a < b ? b : a;                                                                      \
    }
FAKE_MIN_MAX(int)
FAKE_MIN_MAX(unsigned)
FAKE_MIN_MAX(long)
FAKE_MIN_MAX(unsigned long)
FAKE_MIN_MAX(long long)
FAKE_MIN_MAX(unsigned long long)
#undef FAKE_MIN_MAX
inline float min(float a, float b)
{
    return fminf(a, b);
}
inline float max(float a, float b)
{
    return fmaxf(a, b);
}

template <class To, class From> inline To fake_bits(From from)
{
    static_assert(sizeof(To) == sizeof(From), "the same bits");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
inline int __float_as_int(float x)
{
    return fake_bits<int>(x);
}
inline unsigned __float_as_uint(float x)
{
    return fake_bits<unsigned>(x);
}
inline float __int_as_float(int x)
{
    return fake_bits<float>(x);
}
inline float __uint_as_float(unsigned x)
{
    return fake_bits<float>(x);
}
inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
inline int __clz(int x)
{
    return x ? __builtin_clz((unsigned)x) : 32;
}
inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
inline unsigned __umulhi(unsigned x, unsigned y)
{
    return (unsigned)((uint64_t)x * y >> 32);
}

template <class T> inline T __ldg(const T *p)
{
    return *p;
}
template <class T> inline T __ldcs(const T *p)
{
    return *p;
}
template <class T> inline T __ldcg(const T *p)
{
    return *p;
}
template <class T> inline void __stcs(T *p, T x)
{
    *p = x;
}

#endif
