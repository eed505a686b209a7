/* SPDX-License-Identifier: Apache-2.0
 * What the CUDA backend's kernels do beside operators, against plain loops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "tests/compare.h"
#include "tests/fake_cuda/fake.h"
#include "tests/model/cuda_cells.h"

static const enum cell_type types[] = {CELL_FLOAT32, CELL_BFLOAT16, CELL_FLOAT16};
enum { TYPES = sizeof types / sizeof *types };

static uint64_t random_state = 20260919;

/* `cells` random ones as `type` holds them, and the same on the device. */
static float *make(size_t cells, enum cell_type type, void **ret_device)
{
    float *ret = cells_host(cells);
    for (size_t i = 0; i < cells; i++)
        ret[i] = cells_rounded((float)(3 * cells_uniform(&random_state)), type);
    *ret_device = cells_upload(ret, cells, type);
    return ret;
}

/* Takes all four over. */
static void expect(const char *what, float *expected, size_t cells, void *device,
                   enum cell_type type, double tolerance)
{
    float *got = cells_host(cells);
    cells_download(got, device, cells, type);
    const struct distance d = distance_between(got, expected, cells);
    if (!(d.off <= d.largest * (tolerance + cells_epsilon(type))))
        fail_msg("%s of %zu cells of type %d: off by %g of %g", what, cells, type, d.off,
                 d.largest);
    cells_release(device);
    free(expected);
    free(got);
}

/* Bit for bit where nothing is to be rounded, and once rounded elsewhere. */
static void cells_are_converted_between_all_types(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 7, 4096, 100003};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int a = 0; a < TYPES; a++)
            for (int b = 0; b < TYPES; b++) {
                void *from, *to = cells_device(sizes[i], types[b]);
                float *x = make(sizes[i], types[a], &from);
                for (size_t j = 0; j < sizes[i]; j++)
                    x[j] = cells_rounded(x[j], types[b]);
                assert_int_equal(cuda_convert(NULL, to, types[b], from, types[a], sizes[i]),
                                 cudaSuccess);
                float *got = cells_host(sizes[i]);
                cells_download(got, to, sizes[i], types[b]);
                for (size_t j = 0; j < sizes[i]; j++)
                    assert_true(got[j] == x[j]);
                free(got);
                free(x);
                cells_release(from);
                cells_release(to);
            }
}

static void rows_are_scaled_or_left_as_they_are(void **state)
{
    (void)state;
    const size_t shapes[][2] = {{1, 1}, {5, 3}, {40, 160}, {130, 33}};
    for (size_t i = 0; i < 4; i++)
        for (int scaled = 0; scaled < 2; scaled++)
            for (int t = 0; t < TYPES; t++) {
                const size_t rows = shapes[i][0], cols = shapes[i][1];
                void *from, *by, *to = cells_device(rows * cols, types[t]);
                float *x = make(rows * cols, CELL_FLOAT32, &from);
                float *scale = make(rows, CELL_FLOAT32, &by);
                for (size_t j = 0; j < rows * cols && scaled; j++)
                    x[j] *= scale[j / cols];
                assert_int_equal(
                    cuda_scale_rows(NULL, to, types[t], from, scaled ? by : NULL, rows, cols),
                    cudaSuccess);
                expect("scaled rows", x, rows * cols, to, types[t], 0);
                free(scale);
                cells_release(from);
                cells_release(by);
            }
}

static void matrices_are_transposed(void **state)
{
    (void)state;
    const size_t shapes[][3] = {{1, 1, 1}, {3, 5, 9}, {2, 40, 65}, {1, 200, 3}, {33, 1, 32}};
    for (size_t i = 0; i < 5; i++)
        for (int t = 0; t < TYPES; t++) {
            const size_t a = shapes[i][0], b = shapes[i][1], c = shapes[i][2];
            void *from, *to = cells_device(a * b * c, types[t]);
            float *x = make(a * b * c, CELL_FLOAT32, &from), *y = cells_host(a * b * c);
            for (size_t j = 0; j < a * b * c; j++)
                y[(j / (b * c) * c + j % c) * b + j / c % b] = x[j];
            assert_int_equal(cuda_transpose(NULL, to, types[t], from, CELL_FLOAT32, a, b, c),
                             cudaSuccess);
            expect("transposed", y, a * b * c, to, types[t], 0);
            free(x);
            cells_release(from);
        }
}

static void gelu_in_place_is_the_exact_one(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 13, 4096};
    for (size_t i = 0; i < 3; i++)
        for (int t = 0; t < TYPES; t++) {
            void *device;
            float *x = make(sizes[i], types[t], &device);
            for (size_t j = 0; j < sizes[i]; j++)
                x[j] = (float)(0.5 * (double)x[j] * (1 + erf((double)x[j] * M_SQRT1_2)));
            assert_int_equal(cuda_gelu_in_place(NULL, device, types[t], sizes[i]), cudaSuccess);
            expect("GELU", x, sizes[i], device, types[t], 1e-6);
        }
}

static void columns_are_summed(void **state)
{
    (void)state;
    const size_t shapes[][3] = {
        {1, 1, 1}, {5, 3, 7}, {63, 130, 130}, {3000, 40, 48}, {70000, 8, 8}};
    for (size_t i = 0; i < 5; i++)
        for (int t = 0; t < TYPES; t++) {
            const size_t rows = shapes[i][0], cols = shapes[i][1], stride = shapes[i][2];
            void *from, *to = cells_device(cols, CELL_FLOAT32);
            float *x = make(rows * stride, types[t], &from), *y = cells_host(cols);
            for (size_t c = 0; c < cols; c++) {
                double sum = 0;
                for (size_t r = 0; r < rows; r++)
                    sum += (double)x[r * stride + c];
                y[c] = (float)sum;
            }
            const size_t bytes = cuda_column_sums_scratch(rows, cols);
            void *scratch = bytes > 0 ? cells_device(bytes / 4, CELL_FLOAT32) : NULL;
            assert_int_equal(
                cuda_column_sums(NULL, to, from, types[t], rows, cols, stride, scratch),
                cudaSuccess);
            expect("column sums", y, cols, to, CELL_FLOAT32, 1e-5);
            free(x);
            cells_release(from);
            cells_release(scratch);
        }
}

static void deviations_are_inverted(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 77, 1030};
    for (size_t i = 0; i < 3; i++) {
        void *from, *to = cells_device(sizes[i], CELL_FLOAT32);
        float *x = make(sizes[i], CELL_FLOAT32, &from);
        cells_release(from);
        for (size_t j = 0; j < sizes[i]; j++)
            x[j] = j % 5 == 0 ? 0 : x[j] * x[j];
        from = cells_upload(x, sizes[i], CELL_FLOAT32);
        for (size_t j = 0; j < sizes[i]; j++)
            x[j] = (float)(1 / sqrt((double)x[j] + 1e-3));
        assert_int_equal(cuda_inverse_deviations(NULL, to, from, 1e-3f, sizes[i]), cudaSuccess);
        expect("inverse deviations", x, sizes[i], to, CELL_FLOAT32, 1e-6);
        cells_release(from);
    }
}

static void softmax_of(const float *x, float scale, size_t cols, float *y)
{
    double largest = -INFINITY, sum = 0;
    for (size_t c = 0; c < cols; c++)
        largest = fmax(largest, (double)(scale * x[c]));
    for (size_t c = 0; c < cols; c++)
        sum += exp((double)(scale * x[c]) - largest);
    for (size_t c = 0; c < cols; c++)
        y[c] = (float)(exp((double)(scale * x[c]) - largest) / sum);
}

/* Rows that the registers of a warp hold easily, just so, and not. */
static const size_t softmax_shapes[][2] = {{1, 1},   {7, 3},    {9, 197},
                                           {5, 257}, {2, 1024}, {3, 1500}};

static void softmax_is_that_of_each_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < 6; i++)
        for (int a = 0; a < TYPES; a++)
            for (int b = 0; b < TYPES; b++) {
                const size_t rows = softmax_shapes[i][0], cols = softmax_shapes[i][1];
                void *from;
                float *x = make(rows * cols, types[a], &from), *y = cells_host(rows * cols);
                for (size_t r = 0; r < rows; r++)
                    softmax_of(x + r * cols, 2.5f, cols, y + r * cols);
                void *to = a == b ? from : cells_device(rows * cols, types[b]); /* in place */
                assert_int_equal(cuda_softmax(NULL, to, types[b], from, types[a], 2.5f, rows, cols),
                                 cudaSuccess);
                expect("softmax", y, rows * cols, to, types[b], 1e-5);
                free(x);
                if (a != b)
                    cells_release(from);
            }
}

static void softmax_has_its_gradient(void **state)
{
    (void)state;
    for (size_t i = 0; i < 6; i++)
        for (int a = 0; a < TYPES; a++)
            for (int b = 0; b < TYPES; b++) {
                const size_t rows = softmax_shapes[i][0], cols = softmax_shapes[i][1];
                void *of_y, *of_g;
                float *y = make(rows * cols, types[a], &of_y);
                float *g = make(rows * cols, types[a], &of_g), *x = cells_host(rows * cols);
                for (size_t r = 0; r < rows; r++) {
                    double sum = 0;
                    for (size_t c = r * cols; c < (r + 1) * cols; c++)
                        sum += (double)y[c] * (double)g[c];
                    for (size_t c = r * cols; c < (r + 1) * cols; c++)
                        x[c] = (float)(0.3 * (double)y[c] * ((double)g[c] - sum));
                }
                void *to = a == b ? of_g : cells_device(rows * cols, types[b]); /* in place */
                assert_int_equal(
                    cuda_softmax_grad(NULL, to, types[b], of_y, of_g, types[a], 0.3f, rows, cols),
                    cudaSuccess);
                expect("gradient of softmax", x, rows * cols, to, types[b], 1e-5);
                free(y);
                free(g);
                cells_release(of_y);
                if (a != b)
                    cells_release(of_g);
            }
}

static int nothing_is_left(void **state)
{
    (void)state;
    return fake_leaks(true) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_are_converted_between_all_types),
        cmocka_unit_test(rows_are_scaled_or_left_as_they_are),
        cmocka_unit_test(matrices_are_transposed),
        cmocka_unit_test(gelu_in_place_is_the_exact_one),
        cmocka_unit_test(columns_are_summed),
        cmocka_unit_test(deviations_are_inverted),
        cmocka_unit_test(softmax_is_that_of_each_row),
        cmocka_unit_test(softmax_has_its_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, nothing_is_left);
}
