/* SPDX-License-Identifier: Apache-2.0
 * Stand-in for cuBLASLt, to its documentation: D = epilogue(alpha op(A) op(B) + beta C), matrices
 * by columns. Products are summed in float32. What NVIDIA leaves undefined is told and fails. */
#include <cmath>
#include <vector>

#include <oneapi/dnnl/dnnl.h>

#include "cublaslt_objects.h"

using namespace lt;

namespace
{
/* What an algorithm is for, in the 64 bytes that are the caller's to keep. */
struct algorithm {
    uint64_t magic, workspace, problem;
    uint16_t align[5]; /* A, B, C, D, bias */
    uint16_t splits;
};
static_assert(sizeof(algorithm) <= sizeof(cublasLtMatmulAlgo_t), "");
constexpr uint64_t MAGIC = 0x6d6c61676f74ull;

struct problem {
    cublasLtMatmulDescOpaque_t desc;
    cublasLtMatrixLayoutOpaque_t a, b, c, d;
    uint64_t m, n, k;
};

struct operands {
    problem p;
    algorithm a;
    float alpha, beta;
    const char *in_a, *in_b, *in_c;
    char *out;
    void *workspace;
};
} // namespace

static bool has_bias(const problem &p)
{
    return p.desc.epilogue & CUBLASLT_EPILOGUE_BIAS;
}

/* The table of types under "cublasLtMatmul() supports", for a scale type of CUDA_R_32F. */
static bool types_supported(const problem &p)
{
    const cudaDataType in = p.a.type, out = p.d.type;
    if (p.desc.scale != CUDA_R_32F || p.b.type != in || p.c.type != out || !cell_bytes(in))
        return false;
    if (has_bias(p) && p.desc.bias_type != -1 && p.desc.bias_type != (int32_t)out)
        return false;
    switch (p.desc.compute) {
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
        return out == CUDA_R_32F || out == in;
    case CUBLAS_COMPUTE_32F_FAST_TF32:
        return in == CUDA_R_32F && out == CUDA_R_32F;
    default:
        return false;
    }
}

static bool shape_is(const cublasLtMatrixLayoutOpaque_t &l, uint64_t rows, uint64_t cols)
{
    return l.rows == rows && l.cols == cols;
}

static bool layout_valid(const cublasLtMatrixLayoutOpaque_t &l)
{
    return l.rows > 0 && l.cols > 0 && l.ld >= (int64_t)l.rows && l.batches > 0 && l.stride >= 0;
}

static cublasStatus_t check(const problem &p)
{
    const bool a_back = p.desc.a != CUBLAS_OP_N, b_back = p.desc.b != CUBLAS_OP_N;
    if (!layout_valid(p.a) || !layout_valid(p.b) || !layout_valid(p.c) || !layout_valid(p.d))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (p.desc.a < 0 || p.desc.a > CUBLAS_OP_C || p.desc.b < 0 || p.desc.b > CUBLAS_OP_C)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (!shape_is(p.a, a_back ? p.k : p.m, a_back ? p.m : p.k) ||
        !shape_is(p.b, b_back ? p.n : p.k, b_back ? p.k : p.n) || !shape_is(p.c, p.m, p.n))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (p.b.batches != p.a.batches || p.c.batches != p.a.batches || p.d.batches != p.a.batches)
        return CUBLAS_STATUS_INVALID_VALUE;
    switch (p.desc.epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
    case CUBLASLT_EPILOGUE_RELU:
    case CUBLASLT_EPILOGUE_BIAS:
    case CUBLASLT_EPILOGUE_RELU_BIAS:
    case CUBLASLT_EPILOGUE_GELU:
    case CUBLASLT_EPILOGUE_GELU_BIAS:
        break;
    default:
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    const bool plain = !p.a.order && !p.b.order && !p.c.order && !p.d.order && !p.a.plane &&
                       !p.b.plane && !p.c.plane && !p.d.plane && !p.a.batch_mode &&
                       !p.b.batch_mode && !p.c.batch_mode && !p.d.batch_mode;
    if (!plain || p.desc.c != CUBLAS_OP_N || p.desc.fill != 2 ||
        p.desc.pointer_mode != CUBLASLT_POINTER_MODE_HOST || !types_supported(p))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    return CUBLAS_STATUS_SUCCESS;
}

static bool find(problem *ret, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                 cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d)
{
    if (!descs.has(desc) || !layouts.has(a) || !layouts.has(b) || !layouts.has(c) ||
        !layouts.has(d))
        return false;
    *ret = {*desc, *a, *b, *c, *d, d->rows, d->cols, 0};
    ret->k = desc->a == CUBLAS_OP_N ? a->cols : a->rows;
    return true;
}

/* FNV-1a */
static void hash(uint64_t *h, uint64_t x)
{
    for (int i = 0; i < 8; i++)
        *h = (*h ^ (x >> 8 * i & 0xff)) * 0x100000001b3ull;
}

/* All that an algorithm may depend on: not where operands lie. */
static uint64_t hash_of(const problem &p)
{
    uint64_t h = 0xcbf29ce484222325ull;
    for (const cublasLtMatrixLayoutOpaque_t *l : {&p.a, &p.b, &p.c, &p.d})
        for (uint64_t x : {(uint64_t)l->type, l->rows, l->cols, (uint64_t)l->ld,
                           (uint64_t)l->batches, (uint64_t)l->stride})
            hash(&h, x);
    for (int32_t x : {(int32_t)p.desc.compute, p.desc.a, p.desc.b, (int32_t)p.desc.epilogue})
        hash(&h, (uint64_t)x);
    return h;
}

/* Choosing */

static uint16_t align_of(const void *p)
{
    uint16_t align = 256;
    while (!aligned_to(p, align))
        align /= 2;
    return align;
}

static algorithm algorithm_for(const problem &p, const cublasLtMatmulPreferenceOpaque_t &pref,
                               uint16_t splits)
{
    algorithm a = {};
    a.magic = MAGIC;
    a.problem = hash_of(p);
    a.splits = splits;
    a.workspace = splits > 1 ? p.m * p.n * (uint64_t)p.d.batches * splits * sizeof(float) : 0;
    for (int i = 0; i < 4; i++)
        a.align[i] = (uint16_t)(pref.align[i] < 256 ? pref.align[i] : 256);
    a.align[4] = has_bias(p) ? align_of(p.desc.bias) : 1;
    return a;
}

/* First one that sums k in parts, which wants workspace, then the one that does not. */
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t lightHandle, cublasLtMatmulDesc_t operationDesc, cublasLtMatrixLayout_t Adesc,
    cublasLtMatrixLayout_t Bdesc, cublasLtMatrixLayout_t Cdesc, cublasLtMatrixLayout_t Ddesc,
    cublasLtMatmulPreference_t preference, int requestedAlgoCount,
    cublasLtMatmulHeuristicResult_t heuristicResultsArray[], int *returnAlgoCount)
{
    problem p;
    if (fake_fails("cublasLtMatmulAlgoGetHeuristic"))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (!handles.has(lightHandle))
        return CUBLAS_STATUS_NOT_INITIALIZED;
    if (requestedAlgoCount <= 0 || !heuristicResultsArray || !returnAlgoCount ||
        !preferences.has(preference) || !find(&p, operationDesc, Adesc, Bdesc, Cdesc, Ddesc))
        return CUBLAS_STATUS_INVALID_VALUE;
    *returnAlgoCount = 0;
    cublasStatus_t status = check(p);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    for (uint16_t splits : {4, 1}) {
        algorithm a = algorithm_for(p, *preference, splits);
        bool parts = (preference->reduction & CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE) &&
                     p.k >= 64 * (uint64_t)splits && a.workspace <= preference->workspace;
        if (*returnAlgoCount == requestedAlgoCount || (splits > 1 && !parts))
            continue;
        cublasLtMatmulHeuristicResult_t *r = &heuristicResultsArray[(*returnAlgoCount)++];
        *r = {};
        memcpy(&r->algo, &a, sizeof a);
        r->workspaceSize = a.workspace;
        r->state = CUBLAS_STATUS_SUCCESS;
        r->wavesCount = 1;
    }
    return CUBLAS_STATUS_SUCCESS;
}

/* Running */

static const char *matrix_at(const char *base, const cublasLtMatrixLayoutOpaque_t &l, int batch)
{
    return base + (size_t)batch * (size_t)l.stride * cell_bytes(l.type);
}

static region region_of(const char *base, const cublasLtMatrixLayoutOpaque_t &l, int batch)
{
    return {matrix_at(base, l, batch), (size_t)l.ld * cell_bytes(l.type),
            l.rows * cell_bytes(l.type), l.cols};
}

static bool readable(const region &r)
{
    return fake_reads_rows(r.at, r.pitch, r.bytes, r.rows);
}

static region bias_of(const operands &o, int batch)
{
    const size_t bytes = cell_bytes(o.p.d.type);
    return {(const char *)o.p.desc.bias + (size_t)batch * (size_t)o.p.desc.bias_stride * bytes, 0,
            o.p.m * bytes, 1};
}

/* Whether what is written would be read by the same product, in whichever order. */
static bool collides(const operands &o)
{
    const region workspace = {(const char *)o.workspace, 0, o.a.workspace, 1};
    for (int i = 0; i < o.p.d.batches; i++) {
        const region d = region_of(o.out, o.p.d, i);
        if (overlap(d, workspace))
            return true;
        for (int k = 0; k < o.p.d.batches; k++) {
            const region a = region_of(o.in_a, o.p.a, k), b = region_of(o.in_b, o.p.b, k);
            if (overlap(d, a) || overlap(d, b) || overlap(workspace, a) || overlap(workspace, b) ||
                (k != i && overlap(d, region_of(o.out, o.p.d, k))) ||
                (has_bias(o.p) && overlap(d, bias_of(o, k))))
                return true;
        }
    }
    return false;
}

static cudaError_t tell(cudaError_t code, const char *what)
{
    fprintf(stderr, "fake CUDA: cublasLtMatmul: %s\n", what);
    return code;
}

static cudaError_t check_places(const operands &o)
{
    if (!aligned_to(o.in_a, o.a.align[0]) || !aligned_to(o.in_b, o.a.align[1]) ||
        (o.beta != 0 && !aligned_to(o.in_c, o.a.align[2])) || !aligned_to(o.out, o.a.align[3]) ||
        (has_bias(o.p) && !aligned_to(o.p.desc.bias, o.a.align[4])))
        return tell(cudaErrorMisalignedAddress,
                    "an operand is less aligned than the algorithm was asked for");
    return collides(o) ? tell(cudaErrorInvalidValue, "what it writes overlaps what it reads")
                       : cudaSuccess;
}

/* The matrix as the sum takes it: float32, of whatever the compute type keeps of it. */
static const float *multiplied(const operands &o, const region &r,
                               const cublasLtMatrixLayoutOpaque_t &l, std::vector<float> *room,
                               int64_t *ret_ld)
{
    const bool tf32 = o.p.desc.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    *ret_ld = l.ld;
    if (l.type == CUDA_R_32F && !tf32)
        return (const float *)r.at;
    *ret_ld = (int64_t)l.rows;
    room->resize(l.rows * l.cols);
    for (size_t col = 0; col < l.cols; col++)
        for (size_t row = 0; row < l.rows; row++) {
            float x = cell_get(r.at + col * r.pitch, l.type, row);
            (*room)[col * l.rows + row] = tf32 ? to_tf32(x) : x;
        }
    return room->data();
}

static float activate(uint32_t epilogue, float x)
{
    if (epilogue & CUBLASLT_EPILOGUE_RELU)
        return x > 0 ? x : 0;
    if (epilogue & CUBLASLT_EPILOGUE_GELU)
        return 0.5f * x * (1 + tanhf(0.7978845608f * (x + 0.044715f * x * x * x)));
    return x;
}

static void write_column(const operands &o, int batch, size_t col, const float *sums)
{
    const problem &p = o.p;
    const region d = region_of(o.out, p.d, batch), c = region_of(o.in_c, p.c, batch);
    const region bias = has_bias(p) ? bias_of(o, batch) : region();
    for (size_t row = 0; row < p.m; row++) {
        float x = o.alpha * sums[row];
        if (o.beta != 0)
            x += o.beta * cell_get(c.at + col * c.pitch, p.c.type, row);
        if (bias.rows)
            x += cell_get(bias.at, p.d.type, row);
        cell_put((char *)d.at + col * d.pitch, p.d.type, row, activate(p.desc.epilogue, x));
    }
}

static cudaError_t multiply(const operands &o, int batch)
{
    const problem &p = o.p;
    const region a = region_of(o.in_a, p.a, batch), b = region_of(o.in_b, p.b, batch);
    const region d = region_of(o.out, p.d, batch);
    if (!readable(a) || !readable(b) || (o.beta != 0 && !readable(region_of(o.in_c, p.c, batch))) ||
        (has_bias(p) && !readable(bias_of(o, batch))) ||
        !fake_writes_rows((char *)d.at, d.pitch, d.bytes, d.rows))
        return cudaErrorIllegalAddress;
    std::vector<float> a_room, b_room, sums(p.m * p.n);
    int64_t lda, ldb;
    const float *a_cells = multiplied(o, a, p.a, &a_room, &lda);
    const float *b_cells = multiplied(o, b, p.b, &b_room, &ldb);
    /* by rows to that library: the transposed of each, so the other way round */
    if (dnnl_sgemm(p.desc.b == CUBLAS_OP_N ? 'N' : 'T', p.desc.a == CUBLAS_OP_N ? 'N' : 'T',
                   (dnnl_dim_t)p.n, (dnnl_dim_t)p.m, (dnnl_dim_t)p.k, 1, b_cells, ldb, a_cells, lda,
                   0, sums.data(), (dnnl_dim_t)p.m) != dnnl_success)
        return tell(cudaErrorUnknown, "dnnl_sgemm failed");
    for (size_t col = 0; col < p.n; col++)
        write_column(o, batch, col, &sums[col * p.m]);
    return cudaSuccess;
}

static cudaError_t run(const operands &o)
{
    cudaError_t code = check_places(o);
    if (code == cudaSuccess && !use_workspace(o.workspace, o.a.workspace))
        code = cudaErrorIllegalAddress;
    for (int i = 0; i < o.p.d.batches && code == cudaSuccess; i++)
        code = multiply(o, i);
    return code;
}

static bool same_layout(const cublasLtMatrixLayoutOpaque_t &a,
                        const cublasLtMatrixLayoutOpaque_t &b)
{
    return a.ld == b.ld && a.stride == b.stride && a.type == b.type;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t lightHandle, cublasLtMatmulDesc_t computeDesc,
                              const void *alpha, const void *A, cublasLtMatrixLayout_t Adesc,
                              const void *B, cublasLtMatrixLayout_t Bdesc, const void *beta,
                              const void *C, cublasLtMatrixLayout_t Cdesc, void *D,
                              cublasLtMatrixLayout_t Ddesc, const cublasLtMatmulAlgo_t *algo,
                              void *workspace, size_t workspaceSizeInBytes, cudaStream_t stream)
{
    operands o = {};
    if (fake_fails("cublasLtMatmul"))
        return CUBLAS_STATUS_EXECUTION_FAILED;
    if (!handles.has(lightHandle))
        return CUBLAS_STATUS_NOT_INITIALIZED;
    if (!find(&o.p, computeDesc, Adesc, Bdesc, Cdesc, Ddesc) || !alpha || !beta || !A || !B || !D)
        return CUBLAS_STATUS_INVALID_VALUE;
    cublasStatus_t status = check(o.p);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    if (algo)
        memcpy(&o.a, algo, sizeof o.a);
    else
        o.a = algorithm_for(o.p, {0, 0, {1, 1, 1, 1}, 0, 0, 0}, 1);
    o.alpha = *(const float *)alpha;
    o.beta = *(const float *)beta;
    if (o.a.magic != MAGIC || (o.beta != 0 && !C) || (has_bias(o.p) && !o.p.desc.bias) ||
        (C == D && !same_layout(o.p.c, o.p.d)) || o.a.workspace > workspaceSizeInBytes ||
        (o.a.workspace > 0 && !workspace) || !aligned_to(workspace, 256))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (o.a.problem != hash_of(o.p))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    o.in_a = (const char *)A;
    o.in_b = (const char *)B;
    o.in_c = (const char *)C;
    o.out = (char *)D;
    o.workspace = workspace;
    return fake_enqueue(stream, "cublasLtMatmul", [o] { return run(o); }) == cudaSuccess
               ? CUBLAS_STATUS_SUCCESS
               : CUBLAS_STATUS_EXECUTION_FAILED;
}
