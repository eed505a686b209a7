/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/bench.h"
#include "model/bench_internal.h"
#include "model/cpu/onednn.h"
#include "model/train/trainer.h"

enum { MIN_ROUNDS = 3, MAX_ROUNDS = 1000, CLASSES = 50, HEAD_DIM = 192 };

static const double rate = 1e-6;

struct rounds {
    int n;
    double step_s[MAX_ROUNDS], sgemm_s[MAX_ROUNDS];
};

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

static int run_step(struct trainer *trainer, const struct trainer_target *targets,
                    struct error *error)
{
    const struct trainer_batch batch = {.targets = targets};
    struct trainer_losses losses;
    return trainer_step(trainer, &batch, rate, &losses, error);
}

/* Steps and sgemm in turn. matrices: three of BENCH_SGEMM_SIZE squared. */
static int run_rounds(struct trainer *trainer, const struct trainer_target *targets, double seconds,
                      float *matrices, struct rounds *ret, struct error *error)
{
    const size_t cells = (size_t)BENCH_SGEMM_SIZE * BENCH_SGEMM_SIZE;
    const double end = bench_now_s() + seconds;
    for (int i = 0; i < MAX_ROUNDS && (i < MIN_ROUNDS || bench_now_s() < end); i++) {
        double begin = bench_now_s();
        int r = run_step(trainer, targets, error);
        double middle = bench_now_s();
        if (r < 0)
            return r;
        if (onednn_sgemm(BENCH_SGEMM_SIZE, matrices, matrices + cells, matrices + 2 * cells) < 0)
            return error_set(error, EIO, "bench: oneDNN cannot run sgemm");
        ret->step_s[i] = middle - begin;
        ret->sgemm_s[i] = bench_now_s() - middle;
        ret->n = i + 1;
    }
    return 0;
}

static int measure(struct trainer *trainer, const struct trainer_target *targets, double seconds,
                   struct train_bench_result *ret, struct error *error)
{
    const size_t cells = (size_t)BENCH_SGEMM_SIZE * BENCH_SGEMM_SIZE;
    int r = run_step(trainer, targets, error); /* warms up */
    if (r < 0)
        return r;
    ret->peak_bytes = peak_bytes();
    float *matrices = memory_large(3 * cells * sizeof(float));
    struct rounds *rounds = calloc(1, sizeof *rounds);
    if (matrices == NULL || rounds == NULL) {
        r = error_set(error, ENOMEM, "bench: out of memory");
    } else {
        bench_fill(matrices, 2 * cells, 1);
        r = run_rounds(trainer, targets, seconds, matrices, rounds, error);
    }
    if (r == 0) {
        ret->rounds = rounds->n;
        ret->clips_per_s = ret->batch / bench_median(rounds->step_s, rounds->n);
        ret->gflop_s = ret->clips_per_s * ret->gflop_per_clip;
        ret->sgemm_gflop_s =
            2e-9 * (double)cells * BENCH_SGEMM_SIZE / bench_median(rounds->sgemm_s, rounds->n);
        ret->share = ret->gflop_s / ret->sgemm_gflop_s;
    }
    free(rounds);
    free(matrices);
    return r;
}

int train_bench(int threads, int batch, bool checkpoint, double seconds,
                struct train_bench_result *ret, struct error *error)
{
    const struct net_config net = tiny();
    const struct trainer_config config = {.net = net,
                                          .batch = batch,
                                          .loss = LOSS_PAPER,
                                          .optimizer = OPTIMIZER_PAPER,
                                          .average = 0.998,
                                          .seed = 1,
                                          .ops = &backend_cpu,
                                          .threads = threads,
                                          .checkpoint_activations = checkpoint};
    struct trainer_target *targets = calloc((size_t)batch, sizeof *targets);
    struct trainer *trainer = NULL;
    if (targets == NULL)
        return error_set(error, ENOMEM, "bench: out of memory");
    forget_peak();
    int r = trainer_create(&trainer, &config, error);
    if (r == 0) {
        const struct learner_memory memory = trainer_memory(trainer);
        *ret = (struct train_bench_result){.threads = threads,
                                           .batch = batch,
                                           .gflop_per_clip = 3e-9 * net_flops(&net, false),
                                           .weights_bytes = memory.parameters,
                                           .stored_bytes = memory.stored};
        for (int i = 0; i < batch; i++) {
            targets[i].classes = (struct loss_target){i % CLASSES, i % CLASSES, 1};
            bench_fill(trainer_plane(trainer, i),
                       (size_t)net.focalnet.image_rows * (size_t)net.focalnet.image_cols,
                       (uint32_t)i + 1);
        }
        r = measure(trainer, targets, seconds, ret, error);
    }
    trainer_destroy(trainer);
    free(targets);
    return r;
}
