/* SPDX-License-Identifier: Apache-2.0
 * Stand-in for CUDA's header of this name: short vectors, aligned as on the device. */
#ifndef FAKE_CUDA_VECTOR_TYPES_H
#define FAKE_CUDA_VECTOR_TYPES_H

/* 4 components are aligned to no more than 16 bytes, 3 as their component. */
#define FAKE_VECTORS(name, type, align2, align4)                                                   \
    struct name##1                                                                                 \
    {                                                                                              \
        type x;                                                                                    \
    };                                                                                             \
    struct __attribute__((aligned(align2))) name##2                                                \
    {                                                                                              \
        type x, y;                                                                                 \
    };                                                                                             \
    struct name##3                                                                                 \
    {                                                                                              \
        type x, y, z;                                                                              \
    };                                                                                             \
    struct __attribute__((aligned(align4))) name##4                                                \
    {                                                                                              \
        type x, y, z, w;                                                                           \
    };                                                                                             \
    typedef struct name##1 name##1;                                                                \
    typedef struct name##2 name##2;                                                                \
    typedef struct name##3 name##3;                                                                \
    typedef struct name##4 name##4;

FAKE_VECTORS(char, signed char, 2, 4)
FAKE_VECTORS(uchar, unsigned char, 2, 4)
FAKE_VECTORS(short, short, 4, 8)
FAKE_VECTORS(ushort, unsigned short, 4, 8)
FAKE_VECTORS(int, int, 8, 16)
FAKE_VECTORS(uint, unsigned, 8, 16)
FAKE_VECTORS(longlong, long long, 16, 16)
FAKE_VECTORS(ulonglong, unsigned long long, 16, 16)
FAKE_VECTORS(float, float, 8, 16)
FAKE_VECTORS(double, double, 16, 16)
#undef FAKE_VECTORS

struct dim3 {
    unsigned x, y, z;
#ifdef __cplusplus
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
    constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z)
    {
    }
#endif
};
typedef struct dim3 dim3;

#endif
