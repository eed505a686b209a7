/* SPDX-License-Identifier: Apache-2.0
 * What the tests of the stand-in's libraries know of cells, on their own account. */
#ifndef FAKE_CUDA_TEST_CELLS_H
#define FAKE_CUDA_TEST_CELLS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_runtime_api.h"
#include "library_types.h"

static inline size_t cells_bytes(cudaDataType_t type)
{
    return type == CUDA_R_32F ? 4 : 2;
}

/* The greatest error of rounding to the type, of the value. */
static inline double cells_step(cudaDataType_t type)
{
    return type == CUDA_R_32F ? 0x1p-24 : type == CUDA_R_16F ? 0x1p-11 : 0x1p-8;
}

static inline float cells_keep_bits(float x, uint32_t dropped)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + (1u << (dropped - 1))) >> dropped << dropped;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float cells_tf32(float x)
{
    return cells_keep_bits(x, 13);
}

/* In (-2, 2), and what each type holds exactly; never the same twice. */
static inline void cells_fill(float *x, cudaDataType_t type, size_t n)
{
    static uint32_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = ((float)(state >> 8) / 0x1p23f - 1) * 2;
        if (type != CUDA_R_32F)
            x[i] = cells_keep_bits(x[i], type == CUDA_R_16F ? 14 : 17);
        if (type == CUDA_R_16F && (x[i] < 0 ? -x[i] : x[i]) < 0x1p-13f) /* no denormals */
            x[i] = 0;
    }
}

static inline void cells_pack(uint16_t *to, const float *from, cudaDataType_t type, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &from[i], sizeof bits);
        uint32_t sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
        to[i] = (uint16_t)(type == CUDA_R_16BF ? bits >> 16
                           : rest == 0         ? sign
                                               : sign | (rest - 0x38000000) >> 13);
    }
}

static inline void cells_unpack(float *to, const uint16_t *from, cudaDataType_t type, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t h = from[i], bits = h << 16;
        if (type == CUDA_R_16F) {
            const uint32_t exponent = h >> 10 & 31, mantissa = h & 1023;
            const float small = (float)mantissa * 0x1p-24f;
            bits = (h & 0x8000) << 16 | (exponent + 112) << 23 | mantissa << 13;
            if (exponent == 0) {
                memcpy(&bits, &small, sizeof bits);
                bits |= (h & 0x8000) << 16;
            }
        }
        memcpy(&to[i], &bits, sizeof bits);
    }
}

static inline void cells_copy_to_device(void *to, const float *from, cudaDataType_t type, size_t n)
{
    uint16_t *packed = (uint16_t *)malloc(n * 2);
    if (type != CUDA_R_32F)
        cells_pack(packed, from, type, n);
    assert_int_equal(cudaMemcpy(to, type == CUDA_R_32F ? (const void *)from : packed,
                                n * cells_bytes(type), cudaMemcpyHostToDevice),
                     cudaSuccess);
    free(packed);
}

static inline void *cells_to_device(const float *from, cudaDataType_t type, size_t n)
{
    void *to = NULL;
    assert_int_equal(cudaMalloc(&to, n * cells_bytes(type)), cudaSuccess);
    cells_copy_to_device(to, from, type, n);
    return to;
}

static inline void cells_to_host(float *to, const void *from, cudaDataType_t type, size_t n)
{
    uint16_t *packed = (uint16_t *)malloc(n * 2);
    assert_int_equal(cudaMemcpy(type == CUDA_R_32F ? (void *)to : packed, from,
                                n * cells_bytes(type), cudaMemcpyDeviceToHost),
                     cudaSuccess);
    if (type != CUDA_R_32F)
        cells_unpack(to, packed, type, n);
    free(packed);
}

#endif
