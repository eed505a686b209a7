/* SPDX-License-Identifier: Apache-2.0
 * cuBLASLt counts by columns: a row-major matrix is the transposed one to it. So it is asked for
 * d^T = op(b)^T op(a)^T: its A is b, its B is a, its rows are n. */
#include "model/cuda/matmul.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    WORKSPACE_BYTES = 32 << 20,
    PLACE_ALIGN = 64, /* of all memory but slices */
};

struct cuda_matmul {
    struct cuda_matmul_spec spec;
    struct backend *backend;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulAlgo_t algorithm;
    size_t workspace_bytes;
    size_t align[3]; /* that the algorithm counts on: of a, b, d and c */
    char what[96];
};

static int check(const struct cuda_matmul *m, cublasStatus_t code, const char *call,
                 struct error *error)
{
    int r = cuda_check_lt(code, call, error);
    return r == 0 ? 0 : error_prefix(error, r, "%s", m->what);
}

static int set(struct cuda_matmul *m, cublasLtMatmulDescAttributes_t attribute, const void *value,
               size_t bytes, struct error *error)
{
    return check(m, cublasLtMatmulDescSetAttribute(m->desc, attribute, value, bytes),
                 "cublasLtMatmulDescSetAttribute", error);
}

static int create_desc(struct cuda_matmul *m, struct error *error)
{
    const struct cuda_matmul_spec *s = &m->spec;
    const cublasOperation_t op_b = s->b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t op_a = s->a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasLtEpilogue_t epilogue = s->gelu   ? CUBLASLT_EPILOGUE_GELU_BIAS
                                        : s->bias ? CUBLASLT_EPILOGUE_BIAS
                                                  : CUBLASLT_EPILOGUE_DEFAULT;
    const void *some_bias = (const void *)(uintptr_t)PLACE_ALIGN; /* tells its alignment */
    int r = check(
        m, cublasLtMatmulDescCreate(&m->desc, cuda_compute_type(m->backend, s->a.type), CUDA_R_32F),
        "cublasLtMatmulDescCreate", error);
    if (r == 0)
        r = set(m, CUBLASLT_MATMUL_DESC_TRANSA, &op_b, sizeof op_b, error);
    if (r == 0)
        r = set(m, CUBLASLT_MATMUL_DESC_TRANSB, &op_a, sizeof op_a, error);
    if (r == 0)
        r = set(m, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue, error);
    if (r == 0 && s->bias)
        r = set(m, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &some_bias, sizeof some_bias, error);
    return r;
}

/* rows, cols: of the matrix as it lies in memory */
static int create_layout(struct cuda_matmul *m, cublasLtMatrixLayout_t *ret,
                         const struct cuda_matrix *matrix, size_t rows, size_t cols,
                         struct error *error)
{
    const int32_t batches = m->spec.batches;
    const int64_t batch_stride = (int64_t)matrix->batch_stride;
    int r = check(m,
                  cublasLtMatrixLayoutCreate(ret, cuda_data_type(matrix->type), cols, rows,
                                             (int64_t)matrix->stride),
                  "cublasLtMatrixLayoutCreate", error);
    if (r < 0 || batches == 1)
        return r;
    r = check(m,
              cublasLtMatrixLayoutSetAttribute(*ret, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batches,
                                               sizeof batches),
              "cublasLtMatrixLayoutSetAttribute", error);
    return r < 0
               ? r
               : check(m,
                       cublasLtMatrixLayoutSetAttribute(*ret,
                                                        CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                                        &batch_stride, sizeof batch_stride),
                       "cublasLtMatrixLayoutSetAttribute", error);
}

static int create_layouts(struct cuda_matmul *m, struct error *error)
{
    const struct cuda_matmul_spec *s = &m->spec;
    int r = create_layout(m, &m->a, &s->a, s->a.transposed ? s->k : s->m,
                          s->a.transposed ? s->m : s->k, error);
    if (r == 0)
        r = create_layout(m, &m->b, &s->b, s->b.transposed ? s->n : s->k,
                          s->b.transposed ? s->k : s->n, error);
    return r < 0 ? r : create_layout(m, &m->d, &s->d, s->m, s->n, error);
}

/* Split sums go through the workspace, in an order that does not change from run to run. */
static int set_preference(struct cuda_matmul *m, cublasLtMatmulPreference_t preference,
                          size_t workspace, struct error *error)
{
    const uint64_t bytes = workspace;
    const uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const uint32_t a = (uint32_t)m->align[0], b = (uint32_t)m->align[1], d = (uint32_t)m->align[2];
    const struct {
        cublasLtMatmulPreferenceAttributes_t attribute;
        const void *value;
        size_t bytes;
    } all[] = {
        {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes},
        {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction, sizeof reduction},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &b, sizeof b},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &a, sizeof a},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &d, sizeof d},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &d, sizeof d},
    };
    int r = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0] && r == 0; i++)
        r = check(m,
                  cublasLtMatmulPreferenceSetAttribute(preference, all[i].attribute, all[i].value,
                                                       all[i].bytes),
                  "cublasLtMatmulPreferenceSetAttribute", error);
    return r;
}

/* The library's first choice within so much workspace. */
static int choose(struct cuda_matmul *m, size_t workspace, struct error *error)
{
    cublasLtMatmulPreference_t preference = NULL;
    cublasLtMatmulHeuristicResult_t result = {0};
    int found = 0;
    int r = check(m, cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate",
                  error);
    if (r < 0)
        return r;
    r = set_preference(m, preference, workspace, error);
    if (r == 0)
        r = check(m,
                  cublasLtMatmulAlgoGetHeuristic(m->backend->lt, m->desc, m->b, m->a, m->d, m->d,
                                                 preference, 1, &result, &found),
                  "cublasLtMatmulAlgoGetHeuristic", error);
    cublasLtMatmulPreferenceDestroy(preference);
    if (r == 0 && (found < 1 || result.state != CUBLAS_STATUS_SUCCESS))
        r = error_set(error, EIO, "%s: cuBLASLt has no algorithm for it", m->what);
    if (r < 0)
        return r;
    m->algorithm = result.algo;
    m->workspace_bytes = result.workspaceSize;
    return 0;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t cuda_matmul_align(enum cell_type type, size_t cells)
{
    size_t bytes = cells * cell_bytes(type), power = bytes & (~bytes + 1);
    return bytes == 0 ? PLACE_ALIGN : smaller(power, PLACE_ALIGN);
}

int cuda_matmul_create(struct cuda_matmul **ret, struct backend *backend,
                       const struct cuda_matmul_spec *spec, struct error *error)
{
    struct cuda_matmul *m = calloc(1, sizeof *m);
    if (m == NULL)
        return error_set(error, ENOMEM, "out of memory");
    m->spec = *spec;
    m->backend = backend;
    m->align[0] = smaller(spec->a.align, PLACE_ALIGN);
    m->align[1] = smaller(spec->b.align, PLACE_ALIGN);
    m->align[2] = smaller(spec->d.align, PLACE_ALIGN);
    snprintf(m->what, sizeof m->what, "product of [%zu][%zu] and [%zu][%zu], %d at a time", spec->m,
             spec->k, spec->k, spec->n, spec->batches);
    int r = create_desc(m, error);
    if (r == 0)
        r = create_layouts(m, error);
    if (r == 0)
        r = choose(m, WORKSPACE_BYTES, error);
    if (r < 0) {
        cuda_matmul_destroy(m);
        return r;
    }
    *ret = m;
    return 0;
}

void cuda_matmul_destroy(struct cuda_matmul *m)
{
    if (m == NULL)
        return;
    if (m->d != NULL)
        cublasLtMatrixLayoutDestroy(m->d);
    if (m->b != NULL)
        cublasLtMatrixLayoutDestroy(m->b);
    if (m->a != NULL)
        cublasLtMatrixLayoutDestroy(m->a);
    if (m->desc != NULL)
        cublasLtMatmulDescDestroy(m->desc);
    free(m);
}

size_t cuda_matmul_workspace(const struct cuda_matmul *m)
{
    return m->workspace_bytes;
}

static size_t place_align(const void *place, size_t most)
{
    uintptr_t at = (uintptr_t)place;
    return smaller((size_t)(at & (~at + 1)), most);
}

int cuda_matmul_bind(struct cuda_matmul *m, const struct cuda_matmul_places *p, struct error *error)
{
    int r = 0;
    if (m->spec.bias)
        r = set(m, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->bias, sizeof p->bias, error);
    size_t a = place_align(p->a, m->align[0]), b = place_align(p->b, m->align[1]);
    size_t d = place_align(p->d, m->align[2]);
    if (m->spec.accumulate)
        d = place_align(p->c, d);
    if (r < 0 || (a == m->align[0] && b == m->align[1] && d == m->align[2]))
        return r;
    m->align[0] = a;
    m->align[1] = b;
    m->align[2] = d;
    return choose(m, m->workspace_bytes, error);
}

int cuda_matmul_run(struct cuda_matmul *m, const struct cuda_matmul_places *p, struct error *error)
{
    const float alpha = 1, beta = m->spec.accumulate ? 1 : 0;
    return check(m,
                 cublasLtMatmul(m->backend->lt, m->desc, &alpha, p->b, m->b, p->a, m->a, &beta,
                                m->spec.accumulate ? p->c : p->d, m->d, p->d, m->d, &m->algorithm,
                                p->workspace, m->workspace_bytes, m->backend->stream),
                 "cublasLtMatmul", error);
}
