/* SPDX-License-Identifier: Apache-2.0
 * What the stand-in's own tests share. */
#ifndef FAKE_CUDA_TEST_FAKE_H
#define FAKE_CUDA_TEST_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/fake_cuda/fake.h"
#include "tests/fake_cuda/test_kernels.h"

#define ok(call) assert_int_equal(call, cudaSuccess)

/* Before each test: as in a new process without settings. */
static inline int restart(void **state)
{
    static const char *const names[] = {"DEVICES", "DRIVER", "MEMORY", "ORDER", "FAIL", "RESET"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        fake_set(names[i], NULL);
    fake_restart();
    cudaGetLastError();
    return 0;
}

/* Memory of the device for n cells, written as x is; x NULL: not written. */
static inline void *on_device(const void *x, size_t bytes)
{
    void *p;
    ok(cudaMalloc(&p, bytes));
    if (x)
        ok(cudaMemcpy(p, x, bytes, cudaMemcpyHostToDevice));
    return p;
}

static inline void need_checks(void)
{
    if (!fake_checks_kernels()) {
        print_message(
            "skipped: kernels are checked with gcc only, and not under ThreadSanitizer\n");
        skip();
    }
}

#define test(name) cmocka_unit_test_setup(name, restart)

#endif
