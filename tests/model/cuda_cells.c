/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/model/cuda_cells.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

double cells_uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-52 - 1;
}

double cells_epsilon(enum cell_type type)
{
    return type == CELL_BFLOAT16 ? 0x1p-7 : type == CELL_FLOAT16 ? 0x1p-10 : 0;
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint16_t to_bfloat16(float x)
{
    const uint32_t bits = bits_of(x);
    if (isnan(x))
        return 0x7fff;
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Below 2^-14 cells are multiples of 2^-24, above they have 11 bits. */
static uint16_t to_float16(float x)
{
    const uint16_t sign = (uint16_t)(bits_of(x) >> 16 & 0x8000);
    const float size = fabsf(x);
    if (isnan(x))
        return 0x7fff;
    if (size >= 65520)
        return sign | 0x7c00;
    if (size < 0x1p-14f)
        return (uint16_t)(sign | (uint16_t)nearbyintf(size * 0x1p24f));
    const uint32_t bits = bits_of(size), rounded = bits + 0xfff + (bits >> 13 & 1);
    return (uint16_t)(sign | (uint16_t)((rounded >> 13) - (112u << 10)));
}

static float from_float16(uint16_t x)
{
    const uint32_t exponent = x >> 10 & 31, fraction = x & 0x3ffu;
    float size = (float)fraction * 0x1p-24f;
    if (exponent == 31)
        size = fraction != 0 ? NAN : INFINITY;
    else if (exponent > 0)
        size = float_of((exponent + 112) << 23 | fraction << 13);
    return (x & 0x8000) != 0 ? -size : size;
}

static uint16_t half_of(float x, enum cell_type type)
{
    return type == CELL_BFLOAT16 ? to_bfloat16(x) : to_float16(x);
}

static float of_half(uint16_t x, enum cell_type type)
{
    return type == CELL_BFLOAT16 ? float_of((uint32_t)x << 16) : from_float16(x);
}

float cells_rounded(float x, enum cell_type type)
{
    return type == CELL_FLOAT32 ? x : of_half(half_of(x, type), type);
}

float *cells_host(size_t cells)
{
    float *ret = malloc((cells > 0 ? cells : 1) * sizeof *ret);
    assert_non_null(ret);
    for (size_t i = 0; i < cells; i++)
        ret[i] = NAN;
    return ret;
}

void *cells_device(size_t cells, enum cell_type type)
{
    void *ret;
    assert_int_equal(cudaMalloc(&ret, cells * cell_bytes(type)), cudaSuccess);
    return ret;
}

static void copy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    const cudaError_t code = cudaMemcpy(to, from, bytes, kind);
    if (code != cudaSuccess)
        fail_msg("%s", cudaGetErrorString(code));
}

void *cells_upload(const float *from, size_t cells, enum cell_type type)
{
    void *ret = cells_device(cells, type);
    if (type == CELL_FLOAT32) {
        copy(ret, from, cells * sizeof(float), cudaMemcpyHostToDevice);
        return ret;
    }
    uint16_t *halves = malloc(cells * sizeof *halves);
    assert_non_null(halves);
    for (size_t i = 0; i < cells; i++)
        halves[i] = half_of(from[i], type);
    copy(ret, halves, cells * sizeof *halves, cudaMemcpyHostToDevice);
    free(halves);
    return ret;
}

void cells_download(float *to, const void *from, size_t cells, enum cell_type type)
{
    if (type == CELL_FLOAT32) {
        copy(to, from, cells * sizeof(float), cudaMemcpyDeviceToHost);
        return;
    }
    uint16_t *halves = malloc(cells * sizeof *halves);
    assert_non_null(halves);
    copy(halves, from, cells * sizeof *halves, cudaMemcpyDeviceToHost);
    for (size_t i = 0; i < cells; i++)
        to[i] = of_half(halves[i], type);
    free(halves);
}

void cells_release(void *device)
{
    assert_int_equal(cudaFree(device), cudaSuccess);
}
