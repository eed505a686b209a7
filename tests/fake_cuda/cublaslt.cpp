/* SPDX-License-Identifier: Apache-2.0
 * Stand-in for cuBLASLt, to its documentation: handles, descriptors and their attributes. */
#include "cublaslt_objects.h"

namespace lt
{
made<cublasLtContext> handles("cublasLtHandle_t");
made<cublasLtMatrixLayoutOpaque_t> layouts("cublasLtMatrixLayout_t");
made<cublasLtMatmulDescOpaque_t> descs("cublasLtMatmulDesc_t");
made<cublasLtMatmulPreferenceOpaque_t> preferences("cublasLtMatmulPreference_t");
} // namespace lt

using namespace lt;

static const struct {
    cublasStatus_t status;
    const char *name, *text;
} statuses[] = {
    {CUBLAS_STATUS_SUCCESS, "CUBLAS_STATUS_SUCCESS", "success"},
    {CUBLAS_STATUS_NOT_INITIALIZED, "CUBLAS_STATUS_NOT_INITIALIZED", "not initialized"},
    {CUBLAS_STATUS_ALLOC_FAILED, "CUBLAS_STATUS_ALLOC_FAILED", "allocation failed"},
    {CUBLAS_STATUS_INVALID_VALUE, "CUBLAS_STATUS_INVALID_VALUE", "invalid value"},
    {CUBLAS_STATUS_ARCH_MISMATCH, "CUBLAS_STATUS_ARCH_MISMATCH", "architecture mismatch"},
    {CUBLAS_STATUS_MAPPING_ERROR, "CUBLAS_STATUS_MAPPING_ERROR", "mapping error"},
    {CUBLAS_STATUS_EXECUTION_FAILED, "CUBLAS_STATUS_EXECUTION_FAILED", "execution failed"},
    {CUBLAS_STATUS_INTERNAL_ERROR, "CUBLAS_STATUS_INTERNAL_ERROR", "internal error"},
    {CUBLAS_STATUS_NOT_SUPPORTED, "CUBLAS_STATUS_NOT_SUPPORTED", "not supported"},
    {CUBLAS_STATUS_LICENSE_ERROR, "CUBLAS_STATUS_LICENSE_ERROR", "license error"},
};

const char *cublasLtGetStatusName(cublasStatus_t status)
{
    for (const auto &s : statuses)
        if (s.status == status)
            return s.name;
    return "CUBLAS_STATUS_UNKNOWN";
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    for (const auto &s : statuses)
        if (s.status == status)
            return s.text;
    return "unknown status";
}

size_t cublasLtGetVersion(void)
{
    return 130000;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *lightHandle)
{
    int devices = 0;
    if (fake_fails("cublasLtCreate"))
        return CUBLAS_STATUS_NOT_INITIALIZED;
    if (!lightHandle)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    *lightHandle = handles.create();
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t lightHandle)
{
    return handles.destroy(lightHandle) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

/* A value of exactly that size, as SetAttribute demands. */
template <class T> static cublasStatus_t set(T *to, const void *buf, size_t bytes)
{
    if (!buf || bytes != sizeof *to)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, buf, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *matLayout, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld)
{
    if (fake_fails("cublasLtMatrixLayoutCreate"))
        return CUBLAS_STATUS_ALLOC_FAILED;
    if (!matLayout)
        return CUBLAS_STATUS_INVALID_VALUE;
    auto *m = layouts.create();
    m->type = type;
    m->rows = rows;
    m->cols = cols;
    m->ld = ld;
    m->batches = 1;
    *matLayout = m;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t matLayout)
{
    return layouts.destroy(matLayout) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t m,
                                                cublasLtMatrixLayoutAttribute_t attr,
                                                const void *buf, size_t sizeInBytes)
{
    if (fake_fails("cublasLtMatrixLayoutSetAttribute") || !layouts.has(m))
        return CUBLAS_STATUS_INVALID_VALUE;
    switch (attr) {
    case CUBLASLT_MATRIX_LAYOUT_TYPE:
        return set(&m->type, buf, sizeInBytes);
    case CUBLASLT_MATRIX_LAYOUT_ORDER:
        return set(&m->order, buf, sizeInBytes);
    case CUBLASLT_MATRIX_LAYOUT_ROWS:
        return set(&m->rows, buf, sizeInBytes);
    case CUBLASLT_MATRIX_LAYOUT_COLS:
        return set(&m->cols, buf, sizeInBytes);
    case CUBLASLT_MATRIX_LAYOUT_LD:
        return set(&m->ld, buf, sizeInBytes);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
        return set(&m->batches, buf, sizeInBytes);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
        return set(&m->stride, buf, sizeInBytes);
    case CUBLASLT_MATRIX_LAYOUT_PLANE_OFFSET:
        return set(&m->plane, buf, sizeInBytes);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_MODE:
        return set(&m->batch_mode, buf, sizeInBytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *matmulDesc,
                                        cublasComputeType_t computeType, cudaDataType_t scaleType)
{
    if (fake_fails("cublasLtMatmulDescCreate"))
        return CUBLAS_STATUS_ALLOC_FAILED;
    if (!matmulDesc)
        return CUBLAS_STATUS_INVALID_VALUE;
    auto *d = descs.create();
    d->compute = computeType;
    d->scale = scaleType;
    d->fill = 2; /* CUBLAS_FILL_MODE_FULL */
    d->epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    d->bias_type = -1;
    *matmulDesc = d;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t matmulDesc)
{
    return descs.destroy(matmulDesc) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d,
                                              cublasLtMatmulDescAttributes_t attr, const void *buf,
                                              size_t sizeInBytes)
{
    if (fake_fails("cublasLtMatmulDescSetAttribute") || !descs.has(d))
        return CUBLAS_STATUS_INVALID_VALUE;
    switch (attr) {
    case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE:
        return set(&d->compute, buf, sizeInBytes);
    case CUBLASLT_MATMUL_DESC_SCALE_TYPE:
        return set(&d->scale, buf, sizeInBytes);
    case CUBLASLT_MATMUL_DESC_POINTER_MODE:
        return set(&d->pointer_mode, buf, sizeInBytes);
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return set(&d->a, buf, sizeInBytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return set(&d->b, buf, sizeInBytes);
    case CUBLASLT_MATMUL_DESC_TRANSC:
        return set(&d->c, buf, sizeInBytes);
    case CUBLASLT_MATMUL_DESC_FILL_MODE:
        return set(&d->fill, buf, sizeInBytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return set(&d->epilogue, buf, sizeInBytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return set(&d->bias, buf, sizeInBytes);
    case CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE:
        return set(&d->bias_stride, buf, sizeInBytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
        return set(&d->bias_type, buf, sizeInBytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *pref)
{
    if (fake_fails("cublasLtMatmulPreferenceCreate"))
        return CUBLAS_STATUS_ALLOC_FAILED;
    if (!pref)
        return CUBLAS_STATUS_INVALID_VALUE;
    auto *p = preferences.create();
    p->reduction = CUBLASLT_REDUCTION_SCHEME_MASK;
    for (uint32_t &align : p->align)
        align = 256;
    p->implementations = ~0ull;
    *pref = p;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t pref)
{
    return preferences.destroy(pref) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                    cublasLtMatmulPreferenceAttributes_t attr,
                                                    const void *buf, size_t sizeInBytes)
{
    if (fake_fails("cublasLtMatmulPreferenceSetAttribute") || !preferences.has(p))
        return CUBLAS_STATUS_INVALID_VALUE;
    switch (attr) {
    case CUBLASLT_MATMUL_PREF_SEARCH_MODE:
        return set(&p->search, buf, sizeInBytes);
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        return set(&p->workspace, buf, sizeInBytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
        return set(&p->reduction, buf, sizeInBytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return set(&p->align[attr - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], buf, sizeInBytes);
    case CUBLASLT_MATMUL_PREF_MAX_WAVES_COUNT:
        return set(&p->waves, buf, sizeInBytes);
    case CUBLASLT_MATMUL_PREF_IMPL_MASK:
        return set(&p->implementations, buf, sizeInBytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}
