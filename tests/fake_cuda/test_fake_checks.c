/* SPDX-License-Identifier: Apache-2.0
 * The stand-in CUDA gives what NVIDIA documents: kernels, streams, events, graphs, errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "tests/fake_cuda/fake.h"
#include "tests/fake_cuda/test_kernels.h"

#define ok(call) assert_int_equal(call, cudaSuccess)

static float *to_device(const float *x, size_t n)
{
    float *p;
    ok(cudaMalloc((void **)&p, n * sizeof *x));
    ok(cudaMemcpy(p, x, n * sizeof *x, cudaMemcpyHostToDevice));
    return p;
}

static void a_kernel_computes(void **state)
{
    float x[1000], y[1000], got[1000];
    for (int i = 0; i < 1000; i++) {
        x[i] = (float)i;
        y[i] = 1;
    }
    float *dx = to_device(x, 1000), *dy = to_device(y, 1000);
    ok(run_axpy(dy, dx, 2, 1000, NULL));
    ok(cudaMemcpy(got, dy, sizeof got, cudaMemcpyDeviceToHost));
    for (int i = 0; i < 1000; i++)
        assert_true(got[i] == 2 * x[i] + 1);
    ok(cudaFree(dx));
    ok(cudaFree(dy));
    assert_int_equal(fake_leaks(true), 0);
}

static void threads_meet_at_barriers_and_shuffles(void **state)
{
    enum { ROWS = 5, COLS = 1000 };
    float *x = malloc(ROWS * COLS * sizeof *x), got[ROWS];
    for (int i = 0; i < ROWS * COLS; i++)
        x[i] = (float)(i % 7);
    float *dx = to_device(x, ROWS * COLS), *dy;
    ok(cudaMalloc((void **)&dy, sizeof got));
    for (unsigned threads = 32; threads <= 1024; threads *= 2) {
        ok(run_row_sums(dy, dx, ROWS, COLS, threads, NULL));
        ok(cudaMemcpy(got, dy, sizeof got, cudaMemcpyDeviceToHost));
        for (int row = 0; row < ROWS; row++) {
            float sum = 0;
            for (int i = 0; i < COLS; i++)
                sum += x[row * COLS + i];
            assert_true(got[row] == sum); /* whole numbers: no rounding */
        }
    }
    free(x);
}

static int restart(void **state)
{
    fake_set("FAIL", NULL);
    fake_set("ORDER", NULL);
    fake_set("MEMORY", NULL);
    fake_set("DEVICES", NULL);
    fake_set("DRIVER", NULL);
    fake_restart();
    cudaGetLastError();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_kernel_computes, restart),
        cmocka_unit_test_setup(threads_meet_at_barriers_and_shuffles, restart),
    };
    return cmocka_run_group_tests_name("fake_checks", tests, NULL, NULL);
}
