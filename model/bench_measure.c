/* SPDX-License-Identifier: Apache-2.0
 * A run, again and again, beside the large product that the same machine makes meanwhile. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "model/bench_internal.h"
#include "model/cpu/onednn.h"

enum { MAX_ROUNDS = 20000, DEVICE_TURNS = 5 };

struct rounds {
    int n, n_products;
    double run_s[MAX_ROUNDS], product_flop_s[MAX_ROUNDS];
};

double bench_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void bench_fill(float *x, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) * 0x1p-24f;
    }
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts x: [n]. */
static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, ascending);
    return n % 2 == 1 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

static int one_run(const struct bench_turns *b, struct rounds *ret, struct error *error)
{
    double begin = bench_now_s();
    int r = b->run(b->user, error);
    if (r == 0)
        ret->run_s[ret->n++] = bench_now_s() - begin;
    return r;
}

/* On the host: a run and a sgemm in turn, so that both meet the same machine. */
static int sgemm(float *matrices, double *ret_flop_s, struct error *error)
{
    const size_t cells = (size_t)BENCH_SGEMM_SIZE * BENCH_SGEMM_SIZE;
    double begin = bench_now_s();
    if (onednn_sgemm(BENCH_SGEMM_SIZE, matrices, matrices + cells, matrices + 2 * cells) < 0)
        return error_set(error, EIO, "bench: oneDNN cannot run sgemm");
    *ret_flop_s = 2 * (double)cells * BENCH_SGEMM_SIZE / (bench_now_s() - begin);
    return 0;
}

static int measure_host(const struct bench_turns *b, struct rounds *ret, struct error *error)
{
    const size_t cells = (size_t)BENCH_SGEMM_SIZE * BENCH_SGEMM_SIZE;
    float *matrices = memory_large(3 * cells * sizeof(float)); /* as the network has it */
    if (matrices == NULL)
        return error_set(error, ENOMEM, "bench: out of memory");
    bench_fill(matrices, 2 * cells, 1);
    double flop_s;
    int r = sgemm(matrices, &flop_s, error); /* warms up */
    const double end = bench_now_s() + b->seconds;
    while (r == 0 && ret->n < MAX_ROUNDS && (ret->n < b->min_rounds || bench_now_s() < end)) {
        r = one_run(b, ret, error);
        if (r == 0)
            r = sgemm(matrices, &ret->product_flop_s[ret->n_products], error);
        ret->n_products += r == 0;
    }
    free(matrices);
    return r;
}

/* On a device: runs between products that are timed by its own clock, a few times over, because a
 * card changes its own pace with what it had to do. */
static int measure_device(const struct bench_turns *b, struct rounds *ret, struct error *error)
{
    const struct backend_ops *ops = b->choice.ops;
    const struct backend_config config = {.threads = 1, .precision = b->choice.precision};
    struct backend *backend = NULL;
    int r = ops->open(&backend, &config, error);
    if (r < 0)
        return r;
    for (int turn = 0; turn <= DEVICE_TURNS && r == 0; turn++) {
        ops->enter(backend);
        r = ops->device->peak(backend, &ret->product_flop_s[ret->n_products++], error);
        const double end = bench_now_s() + b->seconds / DEVICE_TURNS;
        for (int i = 0; r == 0 && turn < DEVICE_TURNS && ret->n < MAX_ROUNDS &&
                        (i < b->min_rounds || bench_now_s() < end);
             i++)
            r = one_run(b, ret, error);
    }
    ops->close(backend);
    return r;
}

int bench_measure(const struct bench_turns *b, struct bench_measured *ret, struct error *error)
{
    struct rounds *rounds = calloc(1, sizeof *rounds);
    if (rounds == NULL)
        return error_set(error, ENOMEM, "bench: out of memory");
    int r = b->choice.ops->device != NULL ? measure_device(b, rounds, error)
                                          : measure_host(b, rounds, error);
    if (r == 0) {
        ret->rounds = rounds->n;
        ret->run_s = median(rounds->run_s, rounds->n);
        ret->least_s = rounds->run_s[0];
        ret->product_flop_s = median(rounds->product_flop_s, rounds->n_products);
    }
    free(rounds);
    return r;
}
