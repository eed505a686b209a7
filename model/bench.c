/* SPDX-License-Identifier: Apache-2.0 */
#include "model/bench.h"

#include <stdio.h>

#include "base/memory.h"
#include "model/bench_internal.h"

enum { MIN_ROUNDS = 5, MAX_BATCH = 64 };

struct running {
    struct runner *runner;
    int batch;
    struct runner_result results[MAX_BATCH];
};

static int run(void *user, struct error *error)
{
    struct running *running = user;
    return runner_run(running->runner, running->batch, running->results, error);
}

static void take_depthwise(const struct running *running, struct network_bench_result *ret)
{
    struct depthwise_choice choice;
    for (int i = 0; runner_depthwise(running->runner, i, &choice); i++)
        if (choice.batch == running->batch && ret->n_depthwise < BENCH_DEPTHWISE)
            ret->depthwise[ret->n_depthwise++] = choice;
}

static int measure(const struct model *model, struct running *running,
                   const struct backend_choice *choice, double seconds,
                   struct network_bench_result *ret, struct error *error)
{
    const struct model_info *info = model_info(model);
    struct bench_measured measured;
    for (int i = 0; i < running->batch; i++)
        bench_fill(runner_input(running->runner, i),
                   (size_t)info->image_rows * (size_t)info->image_cols, (uint32_t)i + 1);
    int r = run(running, error);
    if (r < 0)
        return r;
    const size_t resident = memory_resident();
    const struct bench_turns turns = {run, running, *choice, seconds, MIN_ROUNDS};
    r = bench_measure(&turns, &measured, error);
    if (r < 0)
        return r;
    const double gflop = 1e-9 * info->flops;
    *ret = (struct network_bench_result){
        .speed = {.backend = choice->ops->name,
                  .precision = choice->precision,
                  .threads = runner_threads(running->runner),
                  .batch = running->batch,
                  .rounds = measured.rounds,
                  .gflop_s = gflop * running->batch / measured.run_s,
                  .product_gflop_s = 1e-9 * measured.product_flop_s},
        .ms_per_window = 1e3 * measured.run_s / running->batch,
        .ms_per_window_min = 1e3 * measured.least_s / running->batch,
        .gflop_per_window = gflop,
        .weights_bytes = info->parameters * sizeof(float),
        .resident_bytes = resident,
    };
    ret->speed.share = ret->speed.gflop_s / ret->speed.product_gflop_s;
    take_depthwise(running, ret);
    snprintf(ret->model, sizeof ret->model, "%s", info->name);
    return 0;
}

int network_bench(const struct model *model, const struct bench_config *config,
                  struct network_bench_result *ret, struct error *error)
{
    struct running running = {.batch = config->batch};
    struct backend_choice choice;
    int r = backend_choose(config->backend, config->precision, &choice, error);
    if (r < 0)
        return r;
    const struct runner_config runner = {.backend = choice.ops->name,
                                         .precision = choice.precision,
                                         .depthwise = config->depthwise,
                                         .threads = config->threads,
                                         .max_batch = config->batch};
    r = runner_create(&running.runner, model, &runner, error);
    if (r == 0)
        r = measure(model, &running, &choice, config->seconds, ret, error);
    runner_destroy(running.runner);
    return r;
}
