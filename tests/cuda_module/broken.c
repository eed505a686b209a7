/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cuda_module/broken.h"

#include <errno.h>
#include <stdlib.h>

#include "model/backend.h"

#define EXPORTED __attribute__((visibility("default")))

EXPORTED extern struct broken focald_broken;
EXPORTED backend_module focald_cuda_backend;

struct broken focald_broken;

static bool fails(atomic_int *left)
{
    int n = atomic_load(left);
    while (n > 0)
        if (atomic_compare_exchange_weak(left, &n, n - 1))
            return true;
    return false;
}

static int open_cpu(struct backend **ret, const struct backend_config *config, struct error *error)
{
    if (atomic_load(&focald_broken.opened) > 0 && fails(&focald_broken.fail_opens))
        return error_set(error, ENODEV, "the test's card is gone");
    const struct backend_config host = {.threads = config->threads};
    int r = backend_cpu.open(ret, &host, error);
    if (r == 0)
        atomic_fetch_add(&focald_broken.opened, 1);
    return r;
}

static void close_cpu(struct backend *backend)
{
    if (backend != NULL)
        atomic_fetch_add(&focald_broken.closed, 1);
    backend_cpu.close(backend);
}

static int run_cpu(struct step *step, struct error *error)
{
    if (fails(&focald_broken.fail_runs))
        return error_set(error, EIO, "the test's card met an illegal address");
    return backend_cpu.step_run(step, error);
}

static int from_environment(const char *name)
{
    const char *text = getenv(name);
    return text != NULL ? atoi(text) : 0;
}

const struct backend_ops *focald_cuda_backend(int abi)
{
    static struct backend_ops ops;
    if (abi != BACKEND_ABI || getenv("FOCALD_BROKEN_ABI") != NULL)
        return NULL;
    atomic_store(&focald_broken.fail_runs, from_environment("FOCALD_BROKEN_RUNS"));
    atomic_store(&focald_broken.fail_opens, from_environment("FOCALD_BROKEN_OPENS"));
    ops = backend_cpu;
    ops.name = "cuda";
    ops.open = open_cpu;
    ops.close = close_cpu;
    ops.step_run = run_cpu;
    return &ops;
}
