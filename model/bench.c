/* SPDX-License-Identifier: Apache-2.0 */
#include "model/bench.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "model/bench_internal.h"
#include "model/cpu/onednn.h"
#include "model/model.h"

enum { MIN_ROUNDS = 5, MAX_ROUNDS = 1000, MAX_BATCH = 64 };

struct rounds {
    int n;
    double network_s[MAX_ROUNDS], sgemm_s[MAX_ROUNDS];
};

double bench_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t resident_bytes(void)
{
    unsigned long total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL)
        return 0;
    int n = fscanf(f, "%lu %lu", &total, &resident);
    fclose(f);
    return n == 2 ? (size_t)resident * (size_t)sysconf(_SC_PAGESIZE) : 0;
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

double bench_median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, ascending);
    return n % 2 == 1 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/* Network and sgemm in turn. matrices: three of BENCH_SGEMM_SIZE squared. */
static int run_rounds(struct runner *runner, int batch, double seconds, float *matrices,
                      struct rounds *ret, struct error *error)
{
    struct runner_result results[MAX_BATCH];
    const size_t cells = (size_t)BENCH_SGEMM_SIZE * BENCH_SGEMM_SIZE;
    double end = INFINITY;
    for (int i = -1; i < MAX_ROUNDS; i++) { /* round -1 warms up */
        double begin = bench_now_s();
        if (i >= MIN_ROUNDS && begin >= end)
            break;
        int r = runner_run(runner, batch, results, error);
        double middle = bench_now_s();
        if (r < 0)
            return r;
        if (onednn_sgemm(BENCH_SGEMM_SIZE, matrices, matrices + cells, matrices + 2 * cells) < 0)
            return error_set(error, EIO, "bench: oneDNN cannot run sgemm");
        if (i < 0) {
            end = bench_now_s() + seconds;
            continue;
        }
        ret->network_s[i] = middle - begin;
        ret->sgemm_s[i] = bench_now_s() - middle;
        ret->n = i + 1;
    }
    return 0;
}

static int measure(const struct model *model, struct runner *runner, int batch, double seconds,
                   struct network_bench_result *ret, struct error *error)
{
    const struct model_info *info = model_info(model);
    struct runner_result results[MAX_BATCH];
    for (int i = 0; i < batch; i++)
        bench_fill(runner_input(runner, i), (size_t)info->image_rows * (size_t)info->image_cols,
                   (uint32_t)i + 1);
    int r = runner_run(runner, batch, results, error);
    if (r < 0)
        return r;
    size_t resident = resident_bytes();
    const size_t cells = (size_t)BENCH_SGEMM_SIZE * BENCH_SGEMM_SIZE;
    float *matrices = memory_large(3 * cells * sizeof(float)); /* as the network has it */
    struct rounds *rounds = calloc(1, sizeof *rounds);
    if (matrices == NULL || rounds == NULL) {
        r = error_set(error, ENOMEM, "bench: out of memory");
    } else {
        bench_fill(matrices, 2 * cells, 1);
        r = run_rounds(runner, batch, seconds, matrices, rounds, error);
    }
    if (r == 0) {
        double network_s = bench_median(rounds->network_s, rounds->n);
        double sgemm_s = bench_median(rounds->sgemm_s, rounds->n);
        *ret = (struct network_bench_result){
            .threads = runner_threads(runner),
            .batch = batch,
            .rounds = rounds->n,
            .ms_per_window = 1e3 * network_s / batch,
            .ms_per_window_min = 1e3 * rounds->network_s[0] / batch,
            .gflop_per_window = 1e-9 * info->flops,
            .gflop_s = 1e-9 * info->flops * batch / network_s,
            .sgemm_gflop_s = 2e-9 * (double)cells * BENCH_SGEMM_SIZE / sgemm_s,
            .weights_bytes = info->parameters * sizeof(float),
            .resident_bytes = resident,
        };
        ret->share = ret->gflop_s / ret->sgemm_gflop_s;
        snprintf(ret->model, sizeof ret->model, "%s", info->name);
        snprintf(ret->backend, sizeof ret->backend, "%s", runner_backend(runner));
    }
    free(rounds);
    free(matrices);
    return r;
}

int network_bench(const struct model *model, int threads, int batch, double seconds,
                  struct network_bench_result *ret, struct error *error)
{
    struct runner *runner = NULL;
    struct runner_config config = {.backend = "cpu", .threads = threads, .max_batch = batch};
    int r = runner_create(&runner, model, &config, error);
    if (r == 0)
        r = measure(model, runner, batch, seconds, ret, error);
    runner_destroy(runner);
    return r;
}
