/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_batches.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "daemon/analysis.h"
#include "dsp/resize.h"
#include "dsp/spectrogram.h"
#include "dsp/stft.h"
#include "model/train/loss.h"
#include "model/train/random.h"

enum { AHEAD = 3 }; /* batches in the making beside the one in use */

/* Streams of an epoch: of its order, of each image, and of what the images of a batch share. */
static const uint64_t stream_order = UINT64_C(1) << 62, stream_batch = UINT64_C(1) << 61;

struct slot {
    struct train_batch batch;
    int number; /* of the epoch; -1: free */
    bool ready;
};

struct worker {
    struct train_batches *batches;
    pthread_t thread;
    bool started;
    struct stft *stft;
    struct resize *shrink;
    float *samples, *other, *scratch; /* [window] */
    float *spectrum, *logspec;        /* [T][F][2], [T][F] */
    float *gains;                     /* [F] of the equalizer */
    uint8_t *mask;                    /* [R][C] */
    float *masking;                   /* [2][R][C] */
};

struct train_batches {
    struct train_batches_config config;
    int frames, bins;            /* T, F */
    size_t window, cells, plane; /* samples; T * F; R * C */
    int count;
    uint32_t *order; /* [clips] of the epoch */
    struct slot slots[AHEAD + 1];
    struct worker *workers;
    /* guarded by lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int epoch, next, taken; /* to be made next; to be handed out next */
    int making;             /* threads that do */
    bool leaving, ending;
};

/* An image */

static bool is_taught(const struct train_data *d, uint32_t clip)
{
    return d->taught != NULL && d->taught[clip];
}

/* A clip as the recipe hears it: from its beginning, zeros behind it, by its maximum. Of one that
 * is longer than the window, a window anywhere in it: drawn only there, so that what shorter clips
 * give does not hang on longer ones; but the first where a teacher speaks of the clip: that is what
 * it heard. */
static void load(const struct train_batches *b, uint32_t clip, struct random *random, float *ret)
{
    size_t n, bad;
    float max, peak;
    const float *samples = cache_clip(b->config.cache, clip, &n);
    if (n > b->window) {
        if (!is_taught(b->config.data, clip))
            samples += random_integer(random, 0, (int64_t)(n - b->window));
        n = b->window;
    }
    memset(ret, 0, b->window * sizeof *ret);
    signal_peak(samples, n, &max, &peak, &bad);
    const float scale = signal_scale(max);
    for (size_t i = 0; i < n; i++)
        ret[i] = samples[i] * scale;
}

static void teach(const struct train_batches *b, struct train_batch *batch, size_t i, uint32_t clip,
                  float weight)
{
    const struct train_data *d = b->config.data;
    const size_t e = (size_t)d->embedding_width, s = (size_t)d->scores_width;
    for (size_t k = 0; k < e; k++)
        batch->embeddings[i * e + k] += weight * d->embeddings[clip * e + k];
    for (size_t k = 0; k < s; k++)
        batch->scores[i * s + k] += weight * d->scores[clip * s + k];
}

/* Only what both have: labels, or a teacher. */
static bool mixable(const struct train_data *d, uint32_t a, uint32_t b)
{
    bool labels = (d->clips[a].label >= 0) == (d->clips[b].label >= 0);
    return labels && is_taught(d, a) == is_taught(d, b);
}

static void mix(struct worker *w, struct random *random, struct train_batch *batch, size_t i,
                uint32_t clip)
{
    const struct train_batches *b = w->batches;
    const struct train_changes *c = &b->config.changes;
    const struct train_data *d = b->config.data;
    struct loss_target *target = &batch->targets[i].classes;
    const bool wanted = random_chance(random, c->mixup_probability);
    const uint32_t other = (uint32_t)random_integer(random, 0, d->n - 1);
    const double drawn = random_beta(random, c->mixup_alpha);
    const float weight = (float)(drawn < 0.5 ? 1 - drawn : drawn);
    *target = (struct loss_target){d->clips[clip].label, d->clips[clip].label, 1};
    batch->targets[i].taught = is_taught(d, clip);
    if (!wanted || !mixable(d, clip, other)) {
        teach(b, batch, i, clip, 1);
        return;
    }
    load(b, other, random, w->other);
    augment_mix(w->samples, w->other, b->window, weight);
    target->label_b = d->clips[other].label;
    target->weight_a = weight;
    teach(b, batch, i, clip, weight);
    teach(b, batch, i, other, 1 - weight);
}

static void add_background(struct worker *w, struct random *random)
{
    const struct train_batches *b = w->batches;
    const struct train_changes *c = &b->config.changes;
    const bool wanted = random_chance(random, c->background_probability);
    const size_t other = (size_t)random_integer(random, 0, b->config.data->n - 1);
    const double snr_db = random_between(random, c->background_low_db, c->background_high_db);
    const double place = random_uniform(random);
    size_t n;
    const float *noise = cache_clip(b->config.cache, other, &n);
    if (wanted && n > 0)
        augment_background(w->samples, b->window, noise, n, (size_t)(place * (double)n), snr_db);
}

static void equalize(struct worker *w, struct random *random)
{
    const struct train_batches *b = w->batches;
    if (!(b->config.changes.augment.equalizer_db > 0))
        return;
    augment_equalizer(&b->config.changes.augment, random, b->bins, w->gains);
    for (int t = 0; t < b->frames; t++) {
        float *frame = w->spectrum + (size_t)t * (size_t)b->bins * 2;
        for (int f = 0; f < b->bins; f++) {
            frame[2 * f] *= w->gains[f];
            frame[2 * f + 1] *= w->gains[f];
        }
    }
}

static float stretch(struct random *random, double by)
{
    return by > 0 ? (float)exp(random_between(random, -log1p(by), log1p(by))) : 1;
}

static void aim(struct worker *w, struct random *random)
{
    const struct train_batches *b = w->batches;
    const struct train_changes *c = &b->config.changes;
    if (!(c->stretch_time > 0 || c->stretch_pitch > 0))
        return;
    const float time = stretch(random, c->stretch_time), pitch = stretch(random, c->stretch_pitch),
                rows = (float)b->frames, cols = (float)b->bins;
    const float top = (float)random_uniform(random) * rows * (1 - time);
    const struct resize_box box = {top, top + rows * time, 0, cols * pitch};
    resize_aim(w->shrink, &box);
}

static void make_image(struct worker *w, const struct augment_batch *shared, int epoch,
                       uint64_t place, struct train_batch *batch, size_t i)
{
    const struct train_batches *b = w->batches;
    const struct train_changes *c = &b->config.changes;
    const uint32_t clip = b->order[place % (uint64_t)b->config.data->n];
    struct random random;
    random_stream(&random, b->config.seed, (uint64_t)epoch, place);
    batch->clips[i] = (int)clip;
    load(b, clip, &random, w->samples);
    mix(w, &random, batch, i, clip);
    add_background(w, &random);
    augment_clip(&c->augment, shared, &random, w->samples, b->window, w->scratch);
    stft_signal(w->stft, w->samples, b->window, w->spectrum);
    equalize(w, &random);
    spectrogram_log(w->spectrum, b->cells, 1, w->logspec);
    if (b->config.marks)
        loss_marks(w->logspec, b->cells, b->config.threshold, batch->marks + i * b->cells);
    aim(w, &random);
    resize_run(w->shrink, w->logspec, batch->planes + i * b->plane);
    batch->whole[i] =
        masking_clip(&c->masking, &random, b->config.info->image_rows, b->config.info->image_cols,
                     batch->planes + i * b->plane, w->mask, w->masking) == MASKING_WHOLE;
}

static void make_batch(struct worker *w, int epoch, int number, struct train_batch *batch)
{
    const struct train_batches *b = w->batches;
    const struct train_data *d = b->config.data;
    const size_t n = (size_t)b->config.batch;
    struct augment_batch shared;
    struct random random;
    random_stream(&random, b->config.seed, (uint64_t)epoch, stream_batch + (uint64_t)number);
    augment_batch_draw(&b->config.changes.augment, &random, &shared);
    memset(batch->embeddings, 0, n * (size_t)d->embedding_width * sizeof(float));
    memset(batch->scores, 0, n * (size_t)d->scores_width * sizeof(float));
    for (size_t i = 0; i < n; i++) {
        uint64_t place =
            ((uint64_t)number * (uint64_t)b->config.ranks + (uint64_t)b->config.rank) * n + i;
        make_image(w, &shared, epoch, place, batch, i);
    }
}

/* Threads */

static struct slot *free_slot(struct train_batches *b)
{
    for (size_t i = 0; i < ARRAY_LEN(b->slots); i++)
        if (b->slots[i].number < 0)
            return &b->slots[i];
    return NULL;
}

static void *work(void *context)
{
    struct worker *w = context;
    struct train_batches *b = w->batches;
    pthread_mutex_lock(&b->lock);
    while (!b->ending) {
        struct slot *slot = b->leaving || b->next >= b->count ? NULL : free_slot(b);
        if (slot == NULL) {
            pthread_cond_wait(&b->changed, &b->lock);
            continue;
        }
        const int number = b->next++, epoch = b->epoch;
        slot->number = number;
        slot->ready = false;
        b->making++;
        pthread_mutex_unlock(&b->lock);
        make_batch(w, epoch, number, &slot->batch);
        pthread_mutex_lock(&b->lock);
        slot->ready = true;
        b->making--;
        pthread_cond_broadcast(&b->changed);
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

int train_batches_count(const struct train_batches *b)
{
    return b->count;
}

void train_batches_epoch(struct train_batches *b, int epoch)
{
    const uint32_t n = (uint32_t)b->config.data->n;
    struct random random;
    pthread_mutex_lock(&b->lock);
    b->leaving = true;
    while (b->making > 0)
        pthread_cond_wait(&b->changed, &b->lock);
    for (size_t i = 0; i < ARRAY_LEN(b->slots); i++)
        b->slots[i].number = -1;
    for (uint32_t i = 0; i < n; i++)
        b->order[i] = i;
    random_stream(&random, b->config.seed, (uint64_t)epoch, stream_order);
    random_shuffle(&random, b->order, n);
    b->epoch = epoch;
    b->next = b->taken = 0;
    b->leaving = false;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

static struct slot *find_slot(struct train_batches *b, int number)
{
    for (size_t i = 0; i < ARRAY_LEN(b->slots); i++)
        if (b->slots[i].number == number)
            return &b->slots[i];
    return NULL;
}

struct train_batch *train_batches_next(struct train_batches *b)
{
    struct slot *slot;
    pthread_mutex_lock(&b->lock);
    if (b->taken > 0 && (slot = find_slot(b, b->taken - 1)) != NULL) {
        slot->number = -1;
        pthread_cond_broadcast(&b->changed);
    }
    while ((slot = find_slot(b, b->taken)) == NULL || !slot->ready)
        pthread_cond_wait(&b->changed, &b->lock);
    b->taken++;
    pthread_mutex_unlock(&b->lock);
    return &slot->batch;
}

/* Making */

static int make_slot(struct train_batches *b, struct slot *slot, struct error *error)
{
    const size_t n = (size_t)b->config.batch;
    struct train_batch *t = &slot->batch;
    slot->number = -1;
    t->planes = memory_zeroed(n * b->plane, sizeof *t->planes);
    t->targets = calloc(n, sizeof *t->targets);
    t->clips = calloc(n, sizeof *t->clips);
    t->whole = calloc(n, sizeof *t->whole);
    t->marks = memory_zeroed(b->config.marks ? n * b->cells : 1, sizeof *t->marks);
    t->embeddings = calloc(n * (size_t)b->config.data->embedding_width + 1, sizeof(float));
    t->scores = calloc(n * (size_t)b->config.data->scores_width + 1, sizeof(float));
    if (t->planes == NULL || t->targets == NULL || t->clips == NULL || t->whole == NULL ||
        t->embeddings == NULL || t->scores == NULL || t->marks == NULL)
        return error_set(error, ENOMEM, "out of memory for a batch of %zu", n);
    return 0;
}

/* Of the stretched window, with antialiasing always. */
static int make_resize(const struct train_batches *b, struct resize **ret, struct error *error)
{
    const struct model_info *info = b->config.info;
    const struct train_changes *c = &b->config.changes;
    const double widest = 1 + fmax(c->stretch_time, c->stretch_pitch);
    if (widest > 1)
        return resize_create_aimed(ret, b->frames, b->bins, info->image_rows, info->image_cols,
                                   (float)widest * 1.001f, error);
    return resize_create(ret, b->frames, b->bins, info->image_rows, info->image_cols,
                         info->preprocess.antialias, error);
}

static int make_worker(struct train_batches *b, struct worker *w, struct error *error)
{
    const struct stft_shape shape = analysis_shape(b->config.info);
    w->batches = b;
    int r = stft_create_repeatable(&w->stft, &shape, error);
    if (r == 0)
        r = make_resize(b, &w->shrink, error);
    w->samples = memory_zeroed(b->window, sizeof(float));
    w->other = memory_zeroed(b->window, sizeof(float));
    w->scratch = memory_zeroed(b->window, sizeof(float));
    w->spectrum = memory_zeroed(b->cells, 2 * sizeof(float));
    w->logspec = memory_zeroed(b->cells, sizeof(float));
    w->gains = memory_zeroed((size_t)b->bins, sizeof(float));
    w->mask = memory_zeroed(b->plane, 1);
    w->masking = memory_zeroed(b->plane, 2 * sizeof(float));
    if (r == 0 &&
        (w->samples == NULL || w->other == NULL || w->scratch == NULL || w->spectrum == NULL ||
         w->logspec == NULL || w->mask == NULL || w->masking == NULL))
        r = error_set(error, ENOMEM, "out of memory for a worker");
    return r;
}

static int start(struct train_batches *b, struct error *error)
{
    for (int i = 0; i < b->config.workers; i++) {
        int r = pthread_create(&b->workers[i].thread, NULL, work, &b->workers[i]);
        if (r != 0)
            return error_set(error, r, "a worker thread cannot be started: %s", strerror(r));
        b->workers[i].started = true;
    }
    return 0;
}

int train_batches_create(struct train_batches **ret, const struct train_batches_config *config,
                         struct error *error)
{
    struct train_batches *b = calloc(1, sizeof *b);
    if (b == NULL)
        return error_set(error, ENOMEM, "out of memory");
    const struct stft_shape shape = analysis_shape(config->info);
    const int step = config->batch * config->ranks;
    b->config = *config;
    b->window = (size_t)config->info->preprocess.window_samples;
    b->frames = (int)stft_frames(&shape, b->window);
    b->bins = stft_bins(&shape);
    b->cells = (size_t)b->frames * (size_t)b->bins;
    b->plane = (size_t)config->info->image_rows * (size_t)config->info->image_cols;
    b->count = (config->data->n + step - 1) / step;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
    b->next = b->count; /* nothing to do before the first epoch */
    b->order = calloc((size_t)config->data->n, sizeof *b->order);
    b->workers = calloc((size_t)config->workers, sizeof *b->workers);
    int r = b->order == NULL || b->workers == NULL ? error_set(error, ENOMEM, "out of memory") : 0;
    for (size_t i = 0; i < ARRAY_LEN(b->slots) && r == 0; i++)
        r = make_slot(b, &b->slots[i], error);
    for (int i = 0; i < config->workers && r == 0; i++)
        r = make_worker(b, &b->workers[i], error);
    if (r == 0)
        r = start(b, error);
    if (r < 0) {
        train_batches_destroy(b);
        return r;
    }
    *ret = b;
    return 0;
}

static void free_worker(struct worker *w)
{
    stft_destroy(w->stft);
    resize_destroy(w->shrink);
    free(w->samples);
    free(w->other);
    free(w->scratch);
    free(w->spectrum);
    free(w->logspec);
    free(w->gains);
    free(w->mask);
    free(w->masking);
}

void train_batches_destroy(struct train_batches *b)
{
    if (b == NULL)
        return;
    pthread_mutex_lock(&b->lock);
    b->ending = true;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    for (int i = 0; b->workers != NULL && i < b->config.workers; i++) {
        if (b->workers[i].started)
            pthread_join(b->workers[i].thread, NULL);
        free_worker(&b->workers[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(b->slots); i++) {
        free(b->slots[i].batch.planes);
        free(b->slots[i].batch.targets);
        free(b->slots[i].batch.clips);
        free(b->slots[i].batch.whole);
        free(b->slots[i].batch.marks);
        free(b->slots[i].batch.embeddings);
        free(b->slots[i].batch.scores);
    }
    pthread_mutex_destroy(&b->lock);
    pthread_cond_destroy(&b->changed);
    free(b->workers);
    free(b->order);
    free(b);
}
