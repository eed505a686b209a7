/* SPDX-License-Identifier: Apache-2.0
 * `focald bench network` and `focald bench train`. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "daemon/bench_run.h"
#include "daemon/eval_pool.h"
#include "model/backends.h"
#include "model/bench.h"

static const double goal_share = 0.8, goal_extra_mb = 120;
static const double goal_train_share = 0.6, goal_train_memory = 1.3;
static const double mb = 1e6;

static const char default_model[] = "focalnet-base";

/* What is common to both parts; on a GPU also its name. */
static int begin(const struct bench_run *b, double seconds, struct bench_config *ret, bool *ret_gpu,
                 char *ret_device, size_t size, struct error *error)
{
    struct backend_choice choice;
    const struct backend_ops *gpu;
    *ret = (struct bench_config){.backend = b->config.backend,
                                 .precision = config_precision(&b->config),
                                 .depthwise = config_depthwise(&b->config),
                                 .threads = b->config.threads,
                                 .seconds = b->seconds > 0 ? b->seconds : seconds};
    if (strcmp(ret->backend, "auto") == 0 && backend_gpu_is_in_trouble(error)) {
        fprintf(stderr, "focald: the GPU cannot be used, on the CPU instead: %s\n", error->text);
        ret->backend = "cpu";
        ret->precision = PRECISION_AUTO; /* the other was a wish for the GPU */
    }
    int r = backend_choose(ret->backend, ret->precision, &choice, error);
    if (r < 0)
        return r;
    *ret_gpu = choice.ops->device != NULL;
    return *ret_gpu ? backend_gpu(&gpu, ret_device, size, error) : 0;
}

static json_t *speed_json(const struct bench_speed *s)
{
    return json_pack("{s:s, s:s, s:i, s:i, s:i, s:f, s:f, s:f}", "backend", s->backend, "precision",
                     precision_name(s->precision), "threads", s->threads, "batch", s->batch,
                     "rounds", s->rounds, "gflop_s", s->gflop_s,
                     strcmp(s->backend, "cpu") == 0 ? "sgemm_gflop_s" : "product_gflop_s",
                     s->product_gflop_s, "share", s->share);
}

/* Takes `more`. */
static json_t *with_speed(const struct bench_speed *s, json_t *more)
{
    json_t *o = speed_json(s);
    json_object_update(more, o);
    json_decref(o);
    return more;
}

/* On the CPU */

static json_t *network_json(const struct network_bench_result *n, double before_mb)
{
    return with_speed(
        &n->speed,
        json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f}", "model", n->model, "ms_per_window",
                  n->ms_per_window, "ms_per_window_min", n->ms_per_window_min, "gflop_per_window",
                  n->gflop_per_window, "weights_mb", (double)n->weights_bytes / mb, "resident_mb",
                  (double)n->resident_bytes / mb, "resident_without_model_mb", before_mb));
}

static void print_network(const struct network_bench_result *n, double before_mb)
{
    const struct bench_speed *s = &n->speed;
    const bool base = strcmp(n->model, default_model) == 0;
    const double weights_mb = (double)n->weights_bytes / mb;
    const double with_mb = (double)n->resident_bytes / mb;
    printf("network: %s on the %s, %d thread%s, batch %d, %d rounds\n", n->model, s->backend,
           s->threads, s->threads == 1 ? "" : "s", s->batch, s->rounds);
    bench_row("time a window", NULL, true, "%.2f ms   least %.2f", n->ms_per_window,
              n->ms_per_window_min);
    bench_row("speed", NULL, true, "%.1f GFLOP/s   (%.2f GFLOP a window)", s->gflop_s,
              n->gflop_per_window);
    bench_row("this machine's sgemm", NULL, true, "%.1f GFLOP/s", s->product_gflop_s);
    bench_row("share of sgemm", base && s->batch == 1 ? "80 %" : NULL, s->share >= goal_share,
              "%.1f %%", 100 * s->share);
    bench_row("resident memory", base ? "weights + 120 MB" : NULL,
              with_mb <= weights_mb + goal_extra_mb, "%.0f MB   (weights %.0f MB)", with_mb,
              weights_mb);
    bench_row("without the model", NULL, true, "%.0f MB\n", before_mb);
}

/* Bytes that training may take: the weights, their gradients and two moments, and what is stored.
 */
static double train_limit_mb(const struct train_bench_result *t)
{
    return goal_train_memory * (4 * (double)t->weights_bytes + (double)t->stored_bytes) / mb;
}

static json_t *train_json(const struct train_bench_result *t)
{
    return with_speed(
        &t->speed, json_pack("{s:s, s:f, s:f, s:f, s:f, s:f}", "model", "focalnet-tiny",
                             "clips_per_s", t->clips_per_s, "gflop_per_clip", t->gflop_per_clip,
                             "weights_mb", (double)t->weights_bytes / mb, "stored_mb",
                             (double)t->stored_bytes / mb, "peak_mb", (double)t->peak_bytes / mb));
}

/* Goals are those of training that keeps its activations, at batch 16. */
static void print_train(const struct train_bench_result *t, bool checkpoint)
{
    const struct bench_speed *s = &t->speed;
    const bool goals = s->batch == 16 && !checkpoint;
    char limit[32];
    snprintf(limit, sizeof limit, "%.0f MB", train_limit_mb(t));
    printf("train: focalnet-tiny on the %s, %d thread%s, batch %d, %d steps%s\n", s->backend,
           s->threads, s->threads == 1 ? "" : "s", s->batch, s->rounds,
           checkpoint ? ", activations computed anew" : "");
    bench_row("clips a second", NULL, true, "%.2f   (%.0f ms a step)", t->clips_per_s,
              1e3 * s->batch / t->clips_per_s);
    bench_row("speed", NULL, true, "%.1f GFLOP/s   (%.2f GFLOP a clip)", s->gflop_s,
              t->gflop_per_clip);
    bench_row("this machine's sgemm", NULL, true, "%.1f GFLOP/s", s->product_gflop_s);
    bench_row("share of sgemm", goals ? "60 %" : NULL, s->share >= goal_train_share, "%.1f %%",
              100 * s->share);
    bench_row("peak memory", goals ? limit : NULL, (double)t->peak_bytes / mb <= train_limit_mb(t),
              "%.0f MB", (double)t->peak_bytes / mb);
    bench_row("of it weights", NULL, true, "%.0f MB, four times", (double)t->weights_bytes / mb);
    bench_row("of it stored activations", NULL, true, "%.0f MB\n", (double)t->stored_bytes / mb);
}

static int train_on_cpu(struct bench_run *b, const struct bench_config *config, bool both,
                        struct error *error)
{
    struct train_bench_result t[2];
    for (int i = 0; i < (both ? 2 : 1); i++) {
        struct bench_config one = *config;
        one.checkpoint = i > 0;
        int r = train_bench(&one, &t[i], error);
        if (r < 0)
            return r;
        if (b->json != NULL)
            json_object_set_new(b->json, i > 0 ? "train_checkpointed" : "train", train_json(&t[i]));
        else
            print_train(&t[i], i > 0);
        fflush(stdout);
    }
    if (both && b->json == NULL)
        printf("computing anew takes %.0f %% of the memory and %.0f %% of the time\n\n",
               100 * (double)t[1].peak_bytes / (double)t[0].peak_bytes,
               100 * t[0].clips_per_s / t[1].clips_per_s);
    return 0;
}

/* On a GPU: a line for each precision and batch size */

static void print_speed(const struct bench_speed *s, double value)
{
    printf("  %-10s %5d %12.3f %12.2f %12.2f %8.1f %%\n", precision_name(s->precision), s->batch,
           value, 1e-3 * s->gflop_s, 1e-3 * s->product_gflop_s, 100 * s->share);
    fflush(stdout);
}

/* Which way each kind of focal context took. */
static void print_depthwise(const struct network_bench_result *n)
{
    for (int i = 0; i < n->n_depthwise; i++) {
        const struct depthwise_choice *c = &n->depthwise[i];
        printf("    %s: %s", c->what, c->cudnn ? "cuDNN" : "own kernels");
        if (c->kernels_ms > 0)
            printf("   (own %.4f ms, cuDNN %.4f ms)", c->kernels_ms, c->cudnn_ms);
        printf("\n");
    }
}

static json_t *depthwise_json(const struct network_bench_result *n)
{
    json_t *list = json_array();
    for (int i = 0; i < n->n_depthwise; i++) {
        const struct depthwise_choice *c = &n->depthwise[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:b, s:f, s:f}", "what", c->what, "cudnn", c->cudnn,
                                        "kernels_ms", c->kernels_ms, "cudnn_ms", c->cudnn_ms));
    }
    return list;
}

static void print_head(const char *what)
{
    printf("  %-10s %5s %12s %12s %12s %10s\n", "precision", "batch", what, "TFLOP/s", "product's",
           "share");
}

/* The precisions and batch sizes that were asked for; all there are, where none was. */
struct combinations {
    enum precision precisions[PRECISIONS];
    int batches[3], n_precisions, n_batches;
};

static struct combinations combinations_of(const struct bench_run *b, enum precision asked,
                                           bool training)
{
    struct combinations c = {.batches = {1, 8, 32}, .n_batches = training ? 1 : 3};
    if (training)
        c.batches[0] = 16;
    if (b->batch > 0) {
        c.batches[0] = b->batch;
        c.n_batches = 1;
    }
    for (int i = 0; i < PRECISIONS; i++)
        if (asked == PRECISION_AUTO || (int)asked == i)
            c.precisions[c.n_precisions++] = (enum precision)i;
    return c;
}

/* Of all precisions the one that this card has not is left out; by its name it is an error. */
static int leave_out(enum precision asked, int code, const struct error *error)
{
    if (code != -ENOTSUP || asked != PRECISION_AUTO)
        return code;
    fprintf(stderr, "focald: left out: %s\n", error->text);
    return 0;
}

/* `seconds` are of all combinations together. */
static int network_on_gpu(struct bench_run *b, struct bench_config config, const char *device,
                          const struct model *model, struct error *error)
{
    const enum precision asked = config.precision;
    const struct combinations c = combinations_of(b, asked, false);
    json_t *list = b->json != NULL ? json_array() : NULL;
    config.seconds /= c.n_precisions * c.n_batches;
    if (list == NULL) {
        printf("network: %s on the GPU %s\n", model_info(model)->name, device);
        print_head("ms a window");
    }
    int r = 0;
    for (int k = 0; k < c.n_precisions * c.n_batches && r == 0; k++) {
        struct network_bench_result n;
        config.precision = c.precisions[k / c.n_batches];
        config.batch = c.batches[k % c.n_batches];
        r = network_bench(model, &config, &n, error);
        if (r < 0) {
            r = leave_out(asked, r, error);
            k += c.n_batches - 1 - k % c.n_batches; /* the precision's other sizes */
        } else if (list == NULL) {
            print_speed(&n.speed, n.ms_per_window);
            print_depthwise(&n);
        } else
            json_array_append_new(
                list,
                with_speed(&n.speed,
                           json_pack("{s:s, s:s, s:o, s:f, s:f, s:f, s:f}", "model", n.model,
                                     "device", device, "depthwise", depthwise_json(&n),
                                     "ms_per_window", n.ms_per_window, "ms_per_window_min",
                                     n.ms_per_window_min, "gflop_per_window", n.gflop_per_window,
                                     "weights_mb", (double)n.weights_bytes / mb)));
    }
    if (list == NULL)
        printf("\n");
    else
        json_object_set_new(b->json, "network_gpu", list);
    return r;
}

static int train_on_gpu(struct bench_run *b, struct bench_config config, const char *device,
                        struct error *error)
{
    const enum precision asked = config.precision;
    const struct combinations c = combinations_of(b, asked, true);
    json_t *list = b->json != NULL ? json_array() : NULL;
    config.seconds /= c.n_precisions;
    config.batch = c.batches[0];
    if (list == NULL) {
        printf("train: focalnet-tiny on the GPU %s%s\n", device,
               config.checkpoint ? ", activations computed anew" : "");
        print_head("clips a s");
    }
    int r = 0;
    for (int k = 0; k < c.n_precisions && r == 0; k++) {
        struct train_bench_result t;
        config.precision = c.precisions[k];
        r = train_bench(&config, &t, error);
        if (r < 0)
            r = leave_out(asked, r, error);
        else if (list == NULL)
            print_speed(&t.speed, t.clips_per_s);
        else
            json_array_append_new(
                list,
                with_speed(&t.speed, json_pack("{s:s, s:s, s:f, s:f, s:f, s:f}", "model",
                                               "focalnet-tiny", "device", device, "clips_per_s",
                                               t.clips_per_s, "gflop_per_clip", t.gflop_per_clip,
                                               "weights_mb", (double)t.weights_bytes / mb,
                                               "stored_mb", (double)t.stored_bytes / mb)));
    }
    if (list == NULL)
        printf("\n");
    else
        json_object_set_new(b->json, "train_gpu", list);
    return r;
}

/* The parts */

int bench_run_network(struct bench_run *b, struct error *error)
{
    struct model *model = NULL;
    enum interpreter interpreter;
    struct network_bench_result n;
    struct bench_config config;
    char device[256] = "";
    bool gpu;
    const double before_mb = (double)memory_resident() / mb;
    int r = begin(b, 10, &config, &gpu, device, sizeof device, error);
    if (r == 0)
        r = interpreter_parse(b->config.interpreter, &interpreter, error);
    if (r == 0)
        r = model_open_with(&model, b->model != NULL ? b->model : default_model, interpreter,
                            error);
    if (r == 0 && gpu) {
        r = network_on_gpu(b, config, device, model, error);
    } else if (r == 0) {
        config.batch = b->batch > 0 ? b->batch : 1;
        r = network_bench(model, &config, &n, error);
    }
    model_close(model);
    if (r < 0 || gpu)
        return r;
    if (b->json != NULL)
        return json_object_set_new(b->json, "network", network_json(&n, before_mb));
    print_network(&n, before_mb);
    return 0;
}

int bench_run_train(struct bench_run *b, struct error *error)
{
    const bool both = options_value(&b->options, "checkpoint-activations") != NULL;
    struct bench_config config;
    char device[256] = "";
    bool gpu;
    int r = begin(b, 20, &config, &gpu, device, sizeof device, error);
    if (r < 0)
        return r;
    config.checkpoint = both;
    if (gpu)
        return train_on_gpu(b, config, device, error);
    config.threads = config.threads > 0 ? config.threads : eval_pool_cores();
    config.batch = b->batch > 0 ? b->batch : 16;
    return train_on_cpu(b, &config, both, error);
}
