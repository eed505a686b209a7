/* SPDX-License-Identifier: Apache-2.0
 * `focald bench latency`: how long after a window's last sample has left the callback its label is
 * in a subscriber's hands. The source notes when each block left; the label says where its window
 * ends. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "daemon/bench.h"
#include "daemon/pipeline.h"
#include "daemon/timeline.h"
#include "ipc/libfocal/focal.h"
#include "ipc/publisher.h"

enum { RATE_HZ = 48000, CHANNELS = 2, BLOCK_FRAMES = 256, MAX_LABELS = 100000 };

struct arrival {
    uint64_t end; /* of the window, on the 16 kHz timeline */
    int64_t t_ns;
    double ms_network;
    uint64_t skipped;
};

struct bench {
    /* immutable while the threads run */
    const struct model_info *info;
    double seconds;
    char directory[64], data[80];
    struct ring *ring;
    struct publisher *publisher;
    struct pipeline *pipeline;
    struct focal *focal;

    /* source thread writes; read after it was joined */
    int64_t *left_ns; /* [n_blocks] when each block left the callback */
    int n_blocks;

    /* subscriber thread writes; read after it was joined */
    struct arrival *arrivals; /* [MAX_LABELS] */
    int n_arrivals;
    uint64_t lost;

    atomic_bool stop;
};

static int no_requests(void *user, const json_t *request, uint64_t ticket, json_t **ret_reply,
                       struct error *error)
{
    return error_set(error, ENOTSUP, "this is a benchmark");
}

/* Threads */

static void sleep_until(int64_t t_ns)
{
    struct timespec t = {t_ns / 1000000000, t_ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

/* Noise at a sound card's pace: a block leaves when its last frame has been heard. */
static void *source_main(void *arg)
{
    struct bench *b = arg;
    uint32_t noise = 1;
    int64_t start = monotonic_ns();
    for (int k = 0; k < b->n_blocks && !atomic_load(&b->stop); k++) {
        int64_t first_ns = start + (int64_t)((double)k * BLOCK_FRAMES * 1e9 / RATE_HZ);
        sleep_until(start + (int64_t)((double)(k + 1) * BLOCK_FRAMES * 1e9 / RATE_HZ));
        float *x = ring_reserve(b->ring, BLOCK_FRAMES, CHANNELS);
        for (int i = 0; x != NULL && i < BLOCK_FRAMES * CHANNELS; i++) {
            noise = noise * 1664525u + 1013904223u;
            x[i] = (float)(int32_t)noise * 0x1p-32f;
        }
        b->left_ns[k] = monotonic_ns();
        if (x != NULL)
            ring_commit(b->ring, BLOCK_FRAMES, RATE_HZ, first_ns, 0);
    }
    return NULL;
}

static void *subscriber_main(void *arg)
{
    struct bench *b = arg;
    while (!atomic_load(&b->stop) && b->n_arrivals < MAX_LABELS) {
        struct focal_message m;
        if (focal_next(b->focal, &m, 50) != 1)
            continue;
        double ms_network = 0, lost = 0, skipped = 0;
        struct arrival *a = &b->arrivals[b->n_arrivals];
        a->t_ns = monotonic_ns();
        focal_number(b->focal, "ms_network", &ms_network);
        focal_number(b->focal, "lost", &lost);
        focal_number(b->focal, "skipped", &skipped);
        a->end = m.first + m.count;
        a->ms_network = ms_network;
        a->skipped = (uint64_t)skipped;
        b->lost += (uint64_t)lost;
        b->n_arrivals++;
    }
    return NULL;
}

static int run_threads(struct bench *b, struct error *error)
{
    pthread_t source, subscriber;
    int r = pthread_create(&subscriber, NULL, subscriber_main, b);
    if (r != 0)
        return error_set(error, r, "bench: cannot start a thread: %s", strerror(r));
    usleep(200 * 1000); /* the subscription arrives */
    r = pthread_create(&source, NULL, source_main, b);
    if (r != 0) {
        atomic_store(&b->stop, true);
        pthread_join(subscriber, NULL);
        return error_set(error, r, "bench: cannot start a thread: %s", strerror(r));
    }
    pthread_join(source, NULL);
    for (int i = 0; i < 100 && !pipeline_idle(b->pipeline); i++)
        usleep(20 * 1000);
    usleep(100 * 1000); /* the last label arrives */
    atomic_store(&b->stop, true);
    pthread_join(subscriber, NULL);
    return 0;
}

/* Parts */

static int start_publisher(struct bench *b, struct error *error)
{
    static const char *const names[] = {"bench"};
    const char *tmp = getenv("TMPDIR");
    if (tmp == NULL || strlen(tmp) > 30)
        tmp = "/tmp";
    snprintf(b->directory, sizeof b->directory, "%s/focald-bench-XXXXXX", tmp);
    if (mkdtemp(b->directory) == NULL) {
        int code = errno;
        b->directory[0] = '\0';
        return error_set(error, code, "%s: no directory for sockets can be made: %s", tmp,
                         strerror(code));
    }
    struct publisher_config config = {.ipc_dir = b->directory,
                                      .send_hwm = 256,
                                      .streams = names,
                                      .n_streams = 1,
                                      .request = no_requests};
    int r = publisher_create(&b->publisher, &config, error);
    if (r < 0)
        return r;
    snprintf(b->data, sizeof b->data, "ipc://%s/data", b->directory);
    struct focal_options options = {.data = b->data};
    r = focal_open(&b->focal, &options);
    if (r < 0)
        return error_set(error, -r, "%s", focal_last_error());
    r = focal_subscribe(b->focal, "label/");
    return r < 0 ? error_set(error, -r, "%s", focal_error(b->focal)) : 0;
}

static int start(struct bench *b, const struct model *model, const struct config *config,
                 struct error *error)
{
    double window_s = (double)b->info->preprocess.window_samples / b->info->preprocess.sample_rate;
    b->n_blocks = (int)ceil((window_s + b->seconds) * RATE_HZ / BLOCK_FRAMES);
    b->left_ns = calloc((size_t)b->n_blocks, sizeof *b->left_ns);
    b->arrivals = calloc(MAX_LABELS, sizeof *b->arrivals);
    if (b->left_ns == NULL || b->arrivals == NULL)
        return error_set(error, ENOMEM, "bench: out of memory");
    int r = ring_create(&b->ring, (size_t)(2 * RATE_HZ) * CHANNELS * sizeof(float), error);
    if (r == 0)
        r = start_publisher(b, error);
    if (r < 0)
        return r;
    struct pipeline_stream stream = {"bench", b->ring, false};
    struct pipeline_config pipeline = {
        .model = model,
        .backend = config->backend,
        .precision = config_precision(config),
        .depthwise = config_depthwise(config),
        .fallback = config->fallback,
        .threads = config->threads,
        .publisher = b->publisher,
        .live = &config->live,
        .audio_delay_s = -1,
        .quality = bench_quality(config),
        .streams = &stream,
        .n_streams = 1,
    };
    r = pipeline_create(&b->pipeline, &pipeline, error);
    return r < 0 ? r : pipeline_start(b->pipeline, error);
}

static void stop(struct bench *b)
{
    pipeline_destroy(b->pipeline);
    focal_close(b->focal);
    publisher_destroy(b->publisher);
    ring_destroy(b->ring);
    if (b->directory[0] != '\0')
        rmdir(b->directory);
    free(b->left_ns);
    free(b->arrivals);
}

/* Result */

/* When the block with the window's last sample left the callback. */
static int64_t left_callback(const struct bench *b, uint64_t end)
{
    double frames = (double)(end - 1) * RATE_HZ / b->info->preprocess.sample_rate;
    size_t block = (size_t)(frames / BLOCK_FRAMES);
    return block < (size_t)b->n_blocks ? b->left_ns[block] : 0;
}

static int evaluate(const struct bench *b, struct latency_bench_result *ret, struct error *error)
{
    int n = b->n_arrivals;
    if (b->lost > 0 || ring_lost(b->ring) > 0)
        return error_set(error, EBUSY,
                         "bench latency: samples were lost, the machine is too busy to measure");
    if (n == 0)
        return error_set(error, ENODATA, "bench latency: no label came within %g s; give --seconds",
                         b->seconds);
    double *total = calloc((size_t)n, sizeof *total), *network = calloc((size_t)n, sizeof *network),
           *overhead = calloc((size_t)n, sizeof *overhead);
    int r = 0;
    if (total == NULL || network == NULL || overhead == NULL) {
        r = error_set(error, ENOMEM, "bench: out of memory");
    } else {
        uint64_t skipped = 0;
        for (int i = 0; i < n; i++) {
            const struct arrival *a = &b->arrivals[i];
            total[i] = (double)(a->t_ns - left_callback(b, a->end)) * 1e-6;
            network[i] = a->ms_network;
            overhead[i] = total[i] - network[i];
            skipped += a->skipped;
        }
        ret->labels = n;
        ret->skipped = skipped;
        ret->total = bench_spread(total, n);
        ret->network = bench_spread(network, n);
        ret->overhead = bench_spread(overhead, n);
    }
    free(total);
    free(network);
    free(overhead);
    return r;
}

int latency_bench(const struct model *model, const struct config *config, double seconds,
                  struct latency_bench_result *ret, struct error *error)
{
    struct bench b = {.info = model_info(model), .seconds = seconds};
    int r = start(&b, model, config, error);
    if (r == 0)
        r = run_threads(&b, error);
    struct latency_bench_result result = {0};
    if (r == 0)
        r = evaluate(&b, &result, error);
    if (r == 0) {
        struct pipeline_compute compute;
        pipeline_compute(b.pipeline, &compute);
        result.threads = compute.threads;
        result.hop_s = (double)config->live.hop_frames * b.info->preprocess.hop_length /
                       b.info->preprocess.sample_rate;
        *ret = result;
    }
    stop(&b);
    return r;
}
