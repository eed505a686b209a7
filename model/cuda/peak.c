/* SPDX-License-Identifier: Apache-2.0
 * How fast the card multiplies: what the bench compares a network with. */
#include <errno.h>
#include <math.h>

#include "model/cuda/context.h"

enum { FIRST_SIZE = 1024, MAX_SIZE = 8192, WARM_UPS = 3, ROUNDS = 10, WORKSPACE = 32 << 20 };
static const float enough_ms = 100; /* of ROUNDS products: nothing but the card's speed counts */

struct product { /* C = A B, all [size][size] */
    size_t size;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t layout;
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t found;
    void *a, *b, *c, *workspace;
    cudaEvent_t begin, end;
};

static enum cell_type cells_of(const struct backend *b)
{
    return b->precision == PRECISION_BFLOAT16  ? CELL_BFLOAT16
           : b->precision == PRECISION_FLOAT16 ? CELL_FLOAT16
                                               : CELL_FLOAT32;
}

static int make(struct backend *b, struct product *p, struct error *error)
{
    const enum cell_type type = cells_of(b);
    const size_t bytes = p->size * p->size * cell_bytes(type), workspace = WORKSPACE;
    int found = 0;
    int r = cuda_check(cudaEventCreate(&p->begin), "an event", error);
    if (r == 0)
        r = cuda_check(cudaEventCreate(&p->end), "an event", error);
    if (r == 0)
        r = cuda_check_lt(
            cublasLtMatmulDescCreate(&p->desc, cuda_compute_type(b, type), CUDA_R_32F),
            "a large product", error);
    if (r == 0)
        r = cuda_check_lt(cublasLtMatrixLayoutCreate(&p->layout, cuda_data_type(type), p->size,
                                                     p->size, (int64_t)p->size),
                          "a large product", error);
    if (r == 0)
        r = cuda_check_lt(cublasLtMatmulPreferenceCreate(&p->preference), "a large product", error);
    if (r == 0)
        r = cuda_check_lt(cublasLtMatmulPreferenceSetAttribute(
                              p->preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                              sizeof workspace),
                          "a large product", error);
    if (r == 0)
        r = cuda_check_lt(cublasLtMatmulAlgoGetHeuristic(b->lt, p->desc, p->layout, p->layout,
                                                         p->layout, p->layout, p->preference, 1,
                                                         &p->found, &found),
                          "a large product", error);
    if (r == 0 && found < 1)
        r = error_set(error, EIO, "GPU: cuBLASLt knows no way to a large product");
    void **const matrices[] = {&p->a, &p->b, &p->c};
    for (int i = 0; i < 3 && r == 0; i++) {
        *matrices[i] = cuda_device.allocate(b, bytes, error);
        r = *matrices[i] == NULL ? -ENOMEM : 0;
    }
    p->workspace = r == 0 ? cuda_device.allocate(b, workspace, error) : NULL;
    return r == 0 && p->workspace == NULL ? -ENOMEM : r;
}

static void finish(struct backend *b, struct product *p)
{
    void *const memory[] = {p->a, p->b, p->c, p->workspace};
    for (int i = 0; i < 4; i++)
        cuda_device.release(b, memory[i]);
    if (p->preference != NULL)
        cublasLtMatmulPreferenceDestroy(p->preference);
    if (p->layout != NULL)
        cublasLtMatrixLayoutDestroy(p->layout);
    if (p->desc != NULL)
        cublasLtMatmulDescDestroy(p->desc);
    if (p->begin != NULL)
        cudaEventDestroy(p->begin);
    if (p->end != NULL)
        cudaEventDestroy(p->end);
}

static int multiply(struct backend *b, struct product *p, int rounds, struct error *error)
{
    const float one = 1, zero = 0;
    int r = 0;
    for (int i = 0; i < rounds && r == 0; i++)
        r = cuda_check_lt(cublasLtMatmul(b->lt, p->desc, &one, p->a, p->layout, p->b, p->layout,
                                         &zero, p->c, p->layout, p->c, p->layout, &p->found.algo,
                                         p->workspace, WORKSPACE, b->stream),
                          "a large product", error);
    return r;
}

/* On noise: products of zeros are faster. */
static int measure(struct backend *b, struct product *p, float *ret_ms, struct error *error)
{
    const size_t cells = p->size * p->size;
    int r = make(b, p, error);
    if (r == 0)
        r = cuda_check(cuda_noise(b->stream, p->a, cells_of(b), cells, 1), "noise", error);
    if (r == 0)
        r = cuda_check(cuda_noise(b->stream, p->b, cells_of(b), cells, 2), "noise", error);
    if (r == 0)
        r = multiply(b, p, WARM_UPS, error);
    if (r == 0)
        r = cuda_check(cudaEventRecord(p->begin, b->stream), "recording an event", error);
    if (r == 0)
        r = multiply(b, p, ROUNDS, error);
    if (r == 0)
        r = cuda_check(cudaEventRecord(p->end, b->stream), "recording an event", error);
    if (r == 0)
        r = cuda_device.wait(b, error);
    if (r == 0)
        r = cuda_check(cudaEventElapsedTime(ret_ms, p->begin, p->end), "timing", error);
    return r;
}

/* Larger and larger ones, until one takes long enough. */
int cuda_peak(struct backend *b, double *ret_flops, struct error *error)
{
    int r = 0;
    float ms = 0;
    *ret_flops = 0;
    for (size_t size = FIRST_SIZE; size <= MAX_SIZE && ms < enough_ms && r == 0; size *= 2) {
        struct product p = {.size = size};
        r = measure(b, &p, &ms, error);
        finish(b, &p);
        if (r == 0 && ms > 0)
            *ret_flops = 2.0 * pow((double)size, 3) * ROUNDS / (1e-3 * (double)ms);
    }
    return r;
}
