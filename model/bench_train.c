/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/bench.h"
#include "model/bench_internal.h"
#include "model/train/trainer.h"

enum { MIN_ROUNDS = 3, CLASSES = 50, HEAD_DIM = 192 };

static const double rate = 1e-6;

static struct net_config tiny(void)
{
    return (struct net_config){.kind = NET_FOCALNET,
                               .focalnet = {.image_rows = 224,
                                            .image_cols = 224,
                                            .patch_size = 4,
                                            .num_channels = 3,
                                            .embed_dim = 96,
                                            .n_stages = 4,
                                            .depths = {2, 2, 6, 2},
                                            .focal_levels = {2, 2, 2, 2},
                                            .focal_windows = {3, 3, 3, 3},
                                            .mlp_ratio = 4,
                                            .layer_norm_eps = 1e-5f,
                                            .head = {HEAD_DIM, CLASSES, false}}};
}

/* From now on /proc/self/status tells the peak since now (proc(5), clear_refs), and nothing of what
 * was before. */
static void forget_peak(void)
{
    malloc_trim(0);
    FILE *f = fopen("/proc/self/clear_refs", "we");
    if (f == NULL)
        return;
    fputs("5", f);
    fclose(f);
}

static size_t peak_bytes(void)
{
    char line[256];
    unsigned long kb = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "VmHWM: %lu kB", &kb) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return kb * 1024;
}

struct running {
    struct trainer *trainer;
    bool skipped;                   /* the last step: its loss was scaled too much */
    struct trainer_target *targets; /* [batch] */
};

static int run_step(void *user, struct error *error)
{
    struct running *running = user;
    const struct trainer_batch batch = {.targets = running->targets};
    struct trainer_losses losses;
    int r = trainer_step(running->trainer, &batch, rate, &losses, error);
    running->skipped = losses.skipped;
    return r;
}

static int measure(struct running *running, const struct backend_choice *choice, double seconds,
                   struct train_bench_result *ret, struct error *error)
{
    struct bench_measured measured;
    int r;
    do /* warms up, and finds float16's scale */
        r = run_step(running, error);
    while (r == 0 && running->skipped);
    if (r < 0)
        return r;
    ret->peak_bytes = peak_bytes();
    const struct bench_turns turns = {run_step, running, *choice, seconds, MIN_ROUNDS};
    r = bench_measure(&turns, &measured, error);
    if (r < 0)
        return r;
    struct bench_speed *speed = &ret->speed;
    ret->clips_per_s = speed->batch / measured.run_s;
    speed->rounds = measured.rounds;
    speed->gflop_s = ret->clips_per_s * ret->gflop_per_clip;
    speed->product_gflop_s = 1e-9 * measured.product_flop_s;
    speed->share = speed->gflop_s / speed->product_gflop_s;
    return 0;
}

static void fill(const struct running *running, const struct net_config *net, int batch)
{
    for (int i = 0; i < batch; i++) {
        running->targets[i].classes = (struct loss_target){i % CLASSES, i % CLASSES, 1};
        bench_fill(trainer_plane(running->trainer, i),
                   (size_t)net->focalnet.image_rows * (size_t)net->focalnet.image_cols,
                   (uint32_t)i + 1);
    }
}

int train_bench(const struct bench_config *config, struct train_bench_result *ret,
                struct error *error)
{
    const struct net_config net = tiny();
    struct backend_choice choice;
    int r = backend_choose(config->backend, config->precision, &choice, error);
    if (r < 0)
        return r;
    const struct trainer_config trainer = {.net = net,
                                           .batch = config->batch,
                                           .loss = LOSS_PAPER,
                                           .optimizer = OPTIMIZER_PAPER,
                                           .average = 0.998,
                                           .seed = 1,
                                           .ops = choice.ops,
                                           .precision = choice.precision,
                                           .depthwise = config->depthwise,
                                           .threads = config->threads,
                                           .checkpoint_activations = config->checkpoint};
    struct running running = {.targets = calloc((size_t)config->batch, sizeof *running.targets)};
    if (running.targets == NULL)
        return error_set(error, ENOMEM, "bench: out of memory");
    forget_peak();
    r = trainer_create(&running.trainer, &trainer, error);
    if (r == 0) {
        const struct learner_memory memory = trainer_memory(running.trainer);
        *ret = (struct train_bench_result){.speed = {.backend = choice.ops->name,
                                                     .precision = choice.precision,
                                                     .threads = config->threads,
                                                     .batch = config->batch},
                                           .gflop_per_clip = 3e-9 * net_flops(&net, false),
                                           .weights_bytes = memory.parameters,
                                           .stored_bytes = memory.stored};
        fill(&running, &net, config->batch);
        r = measure(&running, &choice, config->seconds, ret, error);
    }
    trainer_destroy(running.trainer);
    free(running.targets);
    return r;
}
