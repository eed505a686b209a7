/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_own.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dsp/resize.h"
#include "model/interpret/mask.h"
#include "model/train/masking.h"
#include "model/train/random.h"

static const uint64_t stream_own = UINT64_C(1) << 60;

struct train_own {
    struct train_own_config config;
    struct train_batch kept; /* of the batch before */
    bool *replaced;          /* [batch] in the batch now: not to be masked once more */
    bool *usable;            /* [batch] of `kept` */
    float *maps;             /* [batch][map_rows][map_cols] */
    int map_rows, map_cols;
    bool any;
    struct resize *grow;
    float *wide, *scratch; /* [rows][cols] */
    uint8_t *mask;
};

int train_own_create(struct train_own **ret, const struct train_own_config *config,
                     struct error *error)
{
    struct train_own *o = calloc(1, sizeof *o);
    if (o == NULL)
        return error_set(error, ENOMEM, "out of memory");
    const size_t n = (size_t)config->batch, plane = (size_t)config->rows * (size_t)config->cols;
    o->config = *config;
    o->kept = (struct train_batch){
        .planes = memory_zeroed(n * plane, sizeof(float)),
        .targets = calloc(n, sizeof *o->kept.targets),
        .embeddings = calloc(n * (size_t)config->embedding_width + 1, sizeof(float)),
        .scores = calloc(n * (size_t)config->scores_width + 1, sizeof(float)),
        .clips = calloc(n, sizeof *o->kept.clips)};
    o->replaced = calloc(n, sizeof *o->replaced);
    o->usable = calloc(n, sizeof *o->usable);
    o->wide = memory_zeroed(plane, sizeof(float));
    o->scratch = memory_zeroed(plane, sizeof(float));
    o->mask = memory_zeroed(plane, 1);
    if (o->kept.planes == NULL || o->kept.targets == NULL || o->kept.embeddings == NULL ||
        o->kept.scores == NULL || o->kept.clips == NULL || o->replaced == NULL ||
        o->usable == NULL || o->wide == NULL || o->scratch == NULL || o->mask == NULL) {
        train_own_destroy(o);
        return error_set(error, ENOMEM, "out of memory for a batch of %zu", n);
    }
    *ret = o;
    return 0;
}

void train_own_destroy(struct train_own *o)
{
    if (o == NULL)
        return;
    free(o->kept.planes);
    free(o->kept.targets);
    free(o->kept.embeddings);
    free(o->kept.scores);
    free(o->kept.clips);
    free(o->replaced);
    free(o->usable);
    free(o->maps);
    resize_destroy(o->grow);
    free(o->wide);
    free(o->scratch);
    free(o->mask);
    free(o);
}

void train_own_begin(struct train_own *o)
{
    o->any = false;
}

static void replace(struct train_own *o, struct train_batch *batch, size_t i, bool keep)
{
    const size_t plane = (size_t)o->config.rows * (size_t)o->config.cols,
                 map = (size_t)o->map_rows * (size_t)o->map_cols,
                 e = (size_t)o->config.embedding_width, s = (size_t)o->config.scores_width;
    float *to = batch->planes + i * plane;
    resize_run(o->grow, o->maps + i * map, o->wide);
    const float threshold = quantile(o->wide, plane, 1 - (float)o->config.share, o->scratch);
    mask_threshold(o->wide, plane, threshold, o->mask);
    memcpy(to, o->kept.planes + i * plane, plane * sizeof *to);
    masking_apply(to, o->mask, plane, keep);
    batch->targets[i] = o->kept.targets[i];
    batch->clips[i] = o->kept.clips[i];
    memcpy(batch->embeddings + i * e, o->kept.embeddings + i * e, e * sizeof(float));
    memcpy(batch->scores + i * s, o->kept.scores + i * s, s * sizeof(float));
}

/* One stream for the images of all processes in their order, so that they are those that one
 * process with the whole batch would choose. */
void train_own_apply(struct train_own *o, struct train_batch *batch, int epoch, int number)
{
    struct random random;
    if (o->config.probability <= 0)
        return;
    random_stream(&random, o->config.seed, (uint64_t)epoch, stream_own + (uint64_t)number);
    for (int i = 0; i < 2 * o->config.batch * o->config.rank; i++)
        random_uniform(&random);
    for (size_t i = 0; i < (size_t)o->config.batch; i++) {
        const bool wanted = random_chance(&random, o->config.probability),
                   keep = random_chance(&random, o->config.keep);
        o->replaced[i] = wanted && o->any && o->usable[i];
        if (o->replaced[i])
            replace(o, batch, i, keep);
    }
}

void train_own_keep(struct train_own *o, const struct train_batch *batch,
                    const struct trainer *trainer)
{
    const size_t n = (size_t)o->config.batch,
                 plane = (size_t)o->config.rows * (size_t)o->config.cols;
    if (o->config.probability <= 0)
        return;
    const float *first = trainer_map(trainer, 0, &o->map_rows, &o->map_cols);
    const size_t map = (size_t)o->map_rows * (size_t)o->map_cols;
    if (o->maps == NULL)
        o->maps = malloc(n * map * sizeof *o->maps);
    if (o->grow == NULL && resize_create(&o->grow, o->map_rows, o->map_cols, o->config.rows,
                                         o->config.cols, false, NULL) < 0)
        o->grow = NULL;
    o->any = o->maps != NULL && o->grow != NULL;
    if (!o->any)
        return;
    memcpy(o->maps, first, n * map * sizeof *first);
    memcpy(o->kept.planes, batch->planes, n * plane * sizeof(float));
    memcpy(o->kept.targets, batch->targets, n * sizeof *batch->targets);
    memcpy(o->kept.clips, batch->clips, n * sizeof *batch->clips);
    memcpy(o->kept.embeddings, batch->embeddings,
           n * (size_t)o->config.embedding_width * sizeof(float));
    memcpy(o->kept.scores, batch->scores, n * (size_t)o->config.scores_width * sizeof(float));
    for (size_t i = 0; i < n; i++)
        o->usable[i] = !o->replaced[i] && batch->whole[i];
}
