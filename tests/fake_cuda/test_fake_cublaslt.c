/* SPDX-License-Identifier: Apache-2.0
 * The stand-in for cuBLASLt gives what NVIDIA documents, by plain loops over matrices that lie by
 * columns, and refuses what is documented as an error. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <cublasLt.h>

#include "tests/fake_cuda/fake.h"
#include "tests/fake_cuda/test_cells.h"

#define ok(call) assert_int_equal(call, CUBLAS_STATUS_SUCCESS)
#define ARRAY_LEN(x) (sizeof(x) / sizeof((x)[0]))
#define SET(what, object, attribute, type, value)                                                  \
    what##SetAttribute(object, attribute, &(type){value}, sizeof(type))

struct matmul_case {
    int m, n, k, batches;
    cublasOperation_t op_a, op_b;
    cudaDataType_t in, out;
    cublasComputeType_t compute;
    cublasLtEpilogue_t epilogue;
    float alpha, beta;
    int more_a, more_b, more_d; /* cells between columns */
    bool in_place;              /* C is D */
};

#define N CUBLAS_OP_N
#define T CUBLAS_OP_T
#define F32 CUDA_R_32F
#define F16 CUDA_R_16F
#define B16 CUDA_R_16BF
#define C32 CUBLAS_COMPUTE_32F
#define TF32 CUBLAS_COMPUTE_32F_FAST_TF32
#define E(name) CUBLASLT_EPILOGUE_##name

static const struct matmul_case cases[] = {
    {1, 1, 1, 1, N, N, F32, F32, C32, E(DEFAULT), 1, 0, 0, 0, 0, false},
    {7, 5, 3, 1, N, N, F32, F32, C32, E(DEFAULT), 1, 0, 0, 0, 0, false},
    {7, 5, 13, 1, T, N, F32, F32, C32, E(DEFAULT), 2, 0, 3, 1, 2, false},
    {7, 5, 13, 1, N, T, F32, F32, C32, E(DEFAULT), 1, 1, 1, 4, 0, false},
    {17, 9, 33, 1, T, T, F32, F32, C32, E(BIAS), 1, 1, 2, 3, 5, true},
    {17, 9, 300, 1, T, N, F32, F32, C32, E(RELU_BIAS), 1, -2, 0, 0, 1, true},
    {17, 9, 33, 1, N, N, F32, F32, C32, E(GELU_BIAS), 1, 0, 0, 0, 1, false},
    {8, 9, 33, 1, N, N, F32, F32, C32, E(GELU), 0.5f, 0, 0, 0, 1, false},
    {8, 9, 33, 1, N, N, F32, F32, C32, E(RELU), 1, 0, 0, 0, 1, false},
    {33, 17, 65, 1, T, N, F32, F32, TF32, E(BIAS), 1, 0, 0, 0, 0, false},
    {33, 17, 65, 1, T, N, B16, B16, C32, E(GELU_BIAS), 1, 0, 4, 0, 2, false},
    {33, 17, 65, 1, T, N, B16, F32, C32, E(BIAS), 1, 1, 4, 0, 2, false},
    {33, 17, 65, 1, N, T, F16, F16, C32, E(BIAS), 1, 1, 0, 2, 0, true},
    {33, 17, 65, 1, N, T, F16, F32, C32, E(DEFAULT), 1, 0, 0, 2, 0, false},
    {19, 6, 11, 5, T, N, F32, F32, C32, E(BIAS), 1, 1, 3, 0, 2, false},
    {19, 6, 11, 5, N, T, B16, B16, C32, E(DEFAULT), 1, 0, 1, 2, 3, false},
};

struct matrix {
    int rows, cols, ld, stride; /* stride: to the next of the batch */
    cudaDataType_t type;
    size_t cells;
    float *host; /* as the type holds them */
    void *device;
    cublasLtMatrixLayout_t layout;
};

static struct matrix make_matrix(int rows, int cols, int more, int batches, cudaDataType_t type)
{
    struct matrix m = {.rows = rows, .cols = cols, .ld = rows + more, .type = type};
    m.stride = m.ld * cols + 8;
    m.cells = (size_t)m.stride * (size_t)batches;
    m.host = malloc(m.cells * sizeof *m.host);
    cells_fill(m.host, type, m.cells);
    m.device = cells_to_device(m.host, type, m.cells);
    ok(cublasLtMatrixLayoutCreate(&m.layout, type, (uint64_t)rows, (uint64_t)cols, m.ld));
    ok(SET(cublasLtMatrixLayout, m.layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, int32_t, batches));
    ok(SET(cublasLtMatrixLayout, m.layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, int64_t,
           m.stride));
    return m;
}

static void free_matrix(struct matrix *m)
{
    free(m->host);
    assert_int_equal(cudaFree(m->device), cudaSuccess);
    ok(cublasLtMatrixLayoutDestroy(m->layout));
}

struct setup {
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t desc;
    cublasLtMatmulPreference_t preference;
    struct matrix a, b, c, d;
    float *bias;
    void *bias_device, *workspace;
    cublasLtMatmulHeuristicResult_t found[4];
    int n_found;
    cudaStream_t stream;
};

static bool has_bias(const struct matmul_case *c)
{
    return c->epilogue & CUBLASLT_EPILOGUE_BIAS;
}

static struct setup make_setup(const struct matmul_case *c)
{
    struct setup s = {0};
    ok(cublasLtCreate(&s.handle));
    assert_int_equal(cudaStreamCreate(&s.stream), cudaSuccess);
    s.a = c->op_a == N ? make_matrix(c->m, c->k, c->more_a, c->batches, c->in)
                       : make_matrix(c->k, c->m, c->more_a, c->batches, c->in);
    s.b = c->op_b == N ? make_matrix(c->k, c->n, c->more_b, c->batches, c->in)
                       : make_matrix(c->n, c->k, c->more_b, c->batches, c->in);
    s.c = make_matrix(c->m, c->n, c->more_d, c->batches, c->out);
    s.d = make_matrix(c->m, c->n, c->more_d, c->batches, c->out);
    s.bias = malloc((size_t)c->m * sizeof *s.bias);
    cells_fill(s.bias, c->out, (size_t)c->m);
    s.bias_device = cells_to_device(s.bias, c->out, (size_t)c->m);
    ok(cublasLtMatmulDescCreate(&s.desc, c->compute, CUDA_R_32F));
    ok(SET(cublasLtMatmulDesc, s.desc, CUBLASLT_MATMUL_DESC_TRANSA, int32_t, (int32_t)c->op_a));
    ok(SET(cublasLtMatmulDesc, s.desc, CUBLASLT_MATMUL_DESC_TRANSB, int32_t, (int32_t)c->op_b));
    ok(SET(cublasLtMatmulDesc, s.desc, CUBLASLT_MATMUL_DESC_EPILOGUE, uint32_t, c->epilogue));
    if (has_bias(c))
        ok(SET(cublasLtMatmulDesc, s.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, void *,
               s.bias_device));
    ok(cublasLtMatmulPreferenceCreate(&s.preference));
    ok(SET(cublasLtMatmulPreference, s.preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
           uint64_t, 1 << 20));
    assert_int_equal(cudaMalloc(&s.workspace, 1 << 20), cudaSuccess);
    return s;
}

static cublasStatus_t choose(struct setup *s)
{
    return cublasLtMatmulAlgoGetHeuristic(s->handle, s->desc, s->a.layout, s->b.layout, s->c.layout,
                                          s->d.layout, s->preference, 4, s->found, &s->n_found);
}

static cublasStatus_t multiply(struct setup *s, const struct matmul_case *c,
                               const cublasLtMatmulAlgo_t *algorithm, size_t workspace)
{
    return cublasLtMatmul(s->handle, s->desc, &c->alpha, s->a.device, s->a.layout, s->b.device,
                          s->b.layout, &c->beta, c->in_place ? s->d.device : s->c.device,
                          c->in_place ? s->d.layout : s->c.layout, s->d.device, s->d.layout,
                          algorithm, s->workspace, workspace, s->stream);
}

static void free_setup(struct setup *s)
{
    free_matrix(&s->a);
    free_matrix(&s->b);
    free_matrix(&s->c);
    free_matrix(&s->d);
    free(s->bias);
    ok(cublasLtMatmulDescDestroy(s->desc));
    ok(cublasLtMatmulPreferenceDestroy(s->preference));
    assert_int_equal(cudaFree(s->bias_device), cudaSuccess);
    assert_int_equal(cudaFree(s->workspace), cudaSuccess);
    assert_int_equal(cudaStreamDestroy(s->stream), cudaSuccess);
    ok(cublasLtDestroy(s->handle));
    assert_int_equal(fake_leaks(true), 0);
}

static double activated(cublasLtEpilogue_t epilogue, double x)
{
    if (epilogue & CUBLASLT_EPILOGUE_RELU)
        return x > 0 ? x : 0;
    if (epilogue & CUBLASLT_EPILOGUE_GELU)
        return x / 2 * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    return x;
}

/* D[row][col] of one product, and the size of what is summed */
static double expected(const struct setup *s, const struct matmul_case *c, int batch, int row,
                       int col, double *ret_size)
{
    const float *a = s->a.host + (size_t)batch * (size_t)s->a.stride;
    const float *b = s->b.host + (size_t)batch * (size_t)s->b.stride;
    const struct matrix *before = c->in_place ? &s->d : &s->c;
    double sum = 0, size = 1;
    for (int i = 0; i < c->k; i++) {
        float x = c->op_a == N ? a[row + i * s->a.ld] : a[i + row * s->a.ld];
        float y = c->op_b == N ? b[i + col * s->b.ld] : b[col + i * s->b.ld];
        if (c->compute == TF32) {
            x = cells_tf32(x);
            y = cells_tf32(y);
        }
        sum += (double)x * (double)y;
        size += fabs((double)x * (double)y);
    }
    sum = (double)c->alpha * sum;
    sum +=
        (double)c->beta *
        (double)
            before->host[(size_t)batch * (size_t)before->stride + (size_t)(row + col * before->ld)];
    sum += has_bias(c) ? (double)s->bias[row] : 0;
    *ret_size = size;
    return activated(c->epilogue, sum);
}

static void check_result(const struct setup *s, const struct matmul_case *c)
{
    float *got = malloc(s->d.cells * sizeof *got);
    cells_to_host(got, s->d.device, c->out, s->d.cells);
    for (size_t at = 0; at < s->d.cells; at++) {
        const int batch = (int)(at / (size_t)s->d.stride), in = (int)(at % (size_t)s->d.stride);
        const int row = in % s->d.ld, col = in / s->d.ld;
        if (row >= c->m || col >= c->n) { /* not the product's */
            assert_true(got[at] == s->d.host[at]);
            continue;
        }
        double size, want = expected(s, c, batch, row, col, &size);
        double tolerance = 4e-7 * size + cells_step(c->out) * fabs(want);
        if (!(fabs((double)got[at] - want) <= tolerance))
            fail_msg("case %td, product %d, row %d, column %d: %g instead of %g", c - cases, batch,
                     row, col, (double)got[at], want);
    }
    free(got);
}

static void a_product_is_what_the_documentation_says(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct setup s = make_setup(&cases[i]);
        ok(choose(&s));
        assert_true(s.n_found > 0);
        for (int k = 0; k < s.n_found; k++) {
            cells_copy_to_device(s.d.device, s.d.host, cases[i].out, s.d.cells);
            ok(multiply(&s, &cases[i], &s.found[k].algo, s.found[k].workspaceSize));
            assert_int_equal(cudaStreamSynchronize(s.stream), cudaSuccess);
            check_result(&s, &cases[i]);
        }
        free_setup(&s);
    }
}

static void a_recorded_product_is_repeated(void **state)
{
    const struct matmul_case *c = &cases[2];
    struct setup s = make_setup(c);
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    ok(choose(&s));
    assert_int_equal(cudaStreamBeginCapture(s.stream, cudaStreamCaptureModeThreadLocal),
                     cudaSuccess);
    ok(multiply(&s, c, &s.found[0].algo, s.found[0].workspaceSize));
    assert_int_equal(cudaStreamEndCapture(s.stream, &graph), cudaSuccess);
    assert_int_equal(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    for (int i = 0; i < 2; i++) {
        cells_fill(s.b.host, c->in, s.b.cells);
        cells_copy_to_device(s.b.device, s.b.host, c->in, s.b.cells);
        assert_int_equal(cudaGraphLaunch(exec, s.stream), cudaSuccess);
        assert_int_equal(cudaStreamSynchronize(s.stream), cudaSuccess);
        check_result(&s, c);
    }
    assert_int_equal(cudaGraphExecDestroy(exec), cudaSuccess);
    assert_int_equal(cudaGraphDestroy(graph), cudaSuccess);
    free_setup(&s);
}

static void more_workspace_than_was_allowed_is_not_asked_for(void **state)
{
    const struct matmul_case *c = &cases[5]; /* k is long enough to be summed in parts */
    struct setup s = make_setup(c);
    ok(choose(&s));
    assert_int_equal(s.n_found, 2);
    const size_t wanted = s.found[0].workspaceSize;
    assert_true(wanted > 0);
    assert_int_equal(multiply(&s, c, &s.found[0].algo, wanted - 1), CUBLAS_STATUS_INVALID_VALUE);
    s.workspace = (char *)s.workspace + 16; /* it has to be aligned to 256 */
    assert_int_equal(multiply(&s, c, &s.found[0].algo, wanted), CUBLAS_STATUS_INVALID_VALUE);
    s.workspace = (char *)s.workspace - 16;
    ok(SET(cublasLtMatmulPreference, s.preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
           uint64_t, wanted - 1));
    ok(choose(&s));
    assert_int_equal(s.n_found, 1);
    assert_int_equal(s.found[0].workspaceSize, 0);
    ok(SET(cublasLtMatmulPreference, s.preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
           uint64_t, wanted));
    ok(SET(cublasLtMatmulPreference, s.preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
           uint32_t, CUBLASLT_REDUCTION_SCHEME_INPLACE));
    ok(choose(&s));
    assert_int_equal(s.n_found, 1);
    free_setup(&s);
}

static void types_that_do_not_go_together_are_not_supported(void **state)
{
    static const struct {
        cudaDataType_t in, out;
        cublasComputeType_t compute;
    } wrong[] = {{F32, B16, C32}, {B16, F16, C32}, {B16, B16, TF32}, {F32, F32, 70}};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct matmul_case c = cases[1];
        c.in = wrong[i].in;
        c.out = wrong[i].out;
        c.compute = wrong[i].compute;
        struct setup s = make_setup(&c);
        assert_int_equal(choose(&s), CUBLAS_STATUS_NOT_SUPPORTED);
        assert_int_equal(multiply(&s, &c, NULL, 0), CUBLAS_STATUS_NOT_SUPPORTED);
        free_setup(&s);
    }
}

static void shapes_that_do_not_fit_are_invalid(void **state)
{
    const struct matmul_case *c = &cases[2]; /* 7 by 5, k = 13, A transposed */
    static const struct {
        char matrix;
        cublasLtMatrixLayoutAttribute_t attribute;
        int64_t value;
    } wrong[] = {
        {'a', CUBLASLT_MATRIX_LAYOUT_ROWS, 12}, {'a', CUBLASLT_MATRIX_LAYOUT_COLS, 8},
        {'a', CUBLASLT_MATRIX_LAYOUT_LD, 12},   {'b', CUBLASLT_MATRIX_LAYOUT_ROWS, 14},
        {'c', CUBLASLT_MATRIX_LAYOUT_COLS, 4},  {'d', CUBLASLT_MATRIX_LAYOUT_LD, 6},
        {'d', CUBLASLT_MATRIX_LAYOUT_ROWS, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct setup s = make_setup(c);
        cublasLtMatrixLayout_t layout = wrong[i].matrix == 'a'   ? s.a.layout
                                        : wrong[i].matrix == 'b' ? s.b.layout
                                        : wrong[i].matrix == 'c' ? s.c.layout
                                                                 : s.d.layout;
        ok(SET(cublasLtMatrixLayout, layout, wrong[i].attribute, int64_t, wrong[i].value));
        assert_int_equal(choose(&s), CUBLAS_STATUS_INVALID_VALUE);
        assert_int_equal(multiply(&s, c, NULL, 0), CUBLAS_STATUS_INVALID_VALUE);
        free_setup(&s);
    }
    struct setup s = make_setup(c);
    ok(SET(cublasLtMatrixLayout, s.b.layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, int32_t, 2));
    assert_int_equal(multiply(&s, c, NULL, 0), CUBLAS_STATUS_INVALID_VALUE);
    free_setup(&s);
}

static void misuse_gives_the_documented_status(void **state)
{
    const struct matmul_case *c = &cases[4];
    struct setup s = make_setup(c);
    const cublasLtHandle_t handle = s.handle;
    cublasLtMatrixLayout_t layout = s.c.layout;
    ok(choose(&s));
    assert_int_equal(cublasLtCreate(NULL), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(cublasLtDestroy(NULL), CUBLAS_STATUS_INVALID_VALUE);
    s.handle = NULL;
    assert_int_equal(choose(&s), CUBLAS_STATUS_NOT_INITIALIZED);
    assert_int_equal(multiply(&s, c, NULL, 0), CUBLAS_STATUS_NOT_INITIALIZED);
    s.handle = handle;
    s.c.layout = NULL;
    assert_int_equal(choose(&s), CUBLAS_STATUS_INVALID_VALUE);
    s.c.layout = layout;
    assert_int_equal(cublasLtMatmulAlgoGetHeuristic(s.handle, s.desc, s.a.layout, s.b.layout,
                                                    s.c.layout, s.d.layout, s.preference, 0,
                                                    s.found, &s.n_found),
                     CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(cublasLtMatmulDescSetAttribute(s.desc, CUBLASLT_MATMUL_DESC_TRANSA, NULL, 4),
                     CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(SET(cublasLtMatmulDesc, s.desc, CUBLASLT_MATMUL_DESC_TRANSA, int64_t, 0),
                     CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(SET(cublasLtMatrixLayout, layout, CUBLASLT_MATRIX_LAYOUT_LD, int32_t, 40),
                     CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(SET(cublasLtMatmulPreference, s.preference,
                         CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint32_t, 0),
                     CUBLAS_STATUS_INVALID_VALUE);
    ok(SET(cublasLtMatmulDesc, s.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, void *, NULL));
    assert_int_equal(multiply(&s, c, &s.found[0].algo, 0), CUBLAS_STATUS_INVALID_VALUE);
    ok(SET(cublasLtMatmulDesc, s.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, void *, s.bias_device));
    ok(SET(cublasLtMatmulDesc, s.desc, CUBLASLT_MATMUL_DESC_TRANSC, int32_t, T));
    assert_int_equal(choose(&s), CUBLAS_STATUS_NOT_SUPPORTED);
    free_setup(&s);
}

/* What a GPU would do wrong in silence, or die of. */
static void operands_in_the_wrong_place_are_told(void **state)
{
    const struct matmul_case *c = &cases[1];
    for (int wrong = 0; wrong < 4; wrong++) {
        struct setup s = make_setup(c);
        _Alignas(256) float host[64];
        void *a = s.a.device, *d = s.d.device;
        ok(choose(&s));
        s.a.device = wrong == 0 ? (char *)a + 4 : wrong == 1 ? (void *)host : a; /* aligned to 4 */
        s.d.device = wrong == 2 ? s.b.device : wrong == 3 ? (char *)d + (1 << 26) : d;
        ok(multiply(&s, c, &s.found[0].algo, 0));
        assert_true(cudaStreamSynchronize(s.stream) != cudaSuccess);
        s.a.device = a;
        s.d.device = d;
        fake_restart();
        free(s.a.host);
        free(s.b.host);
        free(s.c.host);
        free(s.d.host);
        free(s.bias);
    }
}

static void a_made_failure_is_given_once(void **state)
{
    const struct matmul_case *c = &cases[1];
    fake_restart(); /* calls are counted from here */
    struct setup s = make_setup(c);
    ok(choose(&s));
    fake_set("FAIL", "cublasLtMatmul:1");
    assert_int_equal(multiply(&s, c, &s.found[0].algo, 0), CUBLAS_STATUS_EXECUTION_FAILED);
    ok(multiply(&s, c, &s.found[0].algo, 0));
    fake_set("FAIL", NULL);
    assert_int_equal(cudaStreamSynchronize(s.stream), cudaSuccess);
    check_result(&s, c);
    free_setup(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_product_is_what_the_documentation_says),
        cmocka_unit_test(a_recorded_product_is_repeated),
        cmocka_unit_test(more_workspace_than_was_allowed_is_not_asked_for),
        cmocka_unit_test(types_that_do_not_go_together_are_not_supported),
        cmocka_unit_test(shapes_that_do_not_fit_are_invalid),
        cmocka_unit_test(misuse_gives_the_documented_status),
        cmocka_unit_test(a_made_failure_is_given_once),
        cmocka_unit_test(operands_in_the_wrong_place_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
