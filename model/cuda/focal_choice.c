/* SPDX-License-Identifier: Apache-2.0
 * Which way a focal context and its gradient take. Either may be the faster one, by the card, the
 * shape and the type, and cuDNN may refuse in a run what it said it could do: so a step is run on
 * noise before it is taken, in memory that is given back. Times are those of a recording, as in
 * use: what short kernels wait for the processor does not count. */
#include "model/cuda/focal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/cuda/context.h"
#include "model/cuda/matmul.h"
#include "model/cuda/operand.h"

enum { RUNS = 5, TIMES = 3 };       /* of a recording; recordings, of which the fastest counts */
static const float enough_ms = 200; /* of both together: what takes longer is not repeated */
static const float gain = 0.9f;     /* what cuDNN's time must be less than, of that of our own */

/* What decides how long a step takes. */
enum { KEYS = 17 };
struct key {
    long of[KEYS];
};

struct cuda_focal_choice {
    struct cuda_focal_choice *next;
    struct key key;
    struct depthwise_choice found;
};

static struct key key_of(const struct cuda_step *s)
{
    const struct step_spec *spec = &s->spec;
    const struct graph_node *node = spec->node;
    const bool two = node->n_in > 1;
    const struct tensor_shape x = spec->in[two ? 1 : 0];
    return (struct key){{node->op, node->levels, node->window, node->normalize, x.n, x.h, x.w, x.c,
                         spec->in_type[0], (long)spec->in_stride[0],
                         two ? (long)spec->in_type[1] : 0, two ? (long)spec->in_stride[1] : 0,
                         spec->out.c, spec->out_type, spec->weights_too, spec->residual,
                         node->n_in}};
}

static bool same(const struct key *a, const struct key *b)
{
    bool same = true;
    for (int i = 0; i < KEYS; i++)
        same = same && a->of[i] == b->of[i];
    return same;
}

/* Trial */

struct trial {
    struct cuda_step *step;
    struct cuda_focal_library *library; /* NULL: kernels of our own */
    struct recording *recording;
    cudaEvent_t begin, end;
    float ms; /* of the recording, at best */
};

/* 1: cuDNN refuses. */
static int run(const struct trial *t, struct error *error)
{
    return t->library != NULL ? cuda_focal_library_run(t->library, t->step, error)
                              : cuda_focal_kernels_run(t->step, error);
}

static int record(struct trial *t, struct error *error)
{
    struct backend *b = t->step->backend;
    struct error end;
    int r = cuda_device.record_begin(b, error);
    if (r < 0)
        return r;
    for (int i = 0; i < RUNS && r == 0; i++)
        r = run(t, error);
    int ended = cuda_device.record_end(b, &t->recording, r < 0 ? &end : error);
    return r != 0 ? r : ended;
}

static int time_once(struct trial *t, struct error *error)
{
    struct backend *b = t->step->backend;
    float ms = 0;
    int r = cuda_check(cudaEventRecord(t->begin, b->stream), "recording an event", error);
    if (r == 0)
        r = cuda_device.replay(b, t->recording, error);
    if (r == 0)
        r = cuda_check(cudaEventRecord(t->end, b->stream), "recording an event", error);
    if (r == 0)
        r = cuda_device.wait(b, error);
    if (r == 0)
        r = cuda_check(cudaEventElapsedTime(&ms, t->begin, t->end), "timing", error);
    if (r == 0 && ms < t->ms)
        t->ms = ms;
    return r;
}

/* 1: cuDNN refuses. */
static int prepare(struct trial *t, struct error *error)
{
    int r = run(t, error); /* also loads what it needs, which no recording may */
    if (r == 0)
        r = cuda_check(cudaEventCreate(&t->begin), "an event", error);
    if (r == 0)
        r = cuda_check(cudaEventCreate(&t->end), "an event", error);
    return r == 0 ? record(t, error) : r;
}

static void finish(struct trial *t)
{
    cuda_device.recording_destroy(t->step->backend, t->recording);
    if (t->begin != NULL)
        cudaEventDestroy(t->begin);
    if (t->end != NULL)
        cudaEventDestroy(t->end);
}

/* In turn, so that both meet a card that changes its pace. The first time is a warm-up, unless it
 * is so long that it will do. */
static int time_both(struct trial *cudnn, struct trial *own, struct error *error)
{
    int r = 0;
    for (int i = 0; i <= TIMES && r == 0; i++) {
        if (i == 1 && cudnn->ms + own->ms > enough_ms)
            break;
        if (i <= 1)
            cudnn->ms = own->ms = INFINITY;
        r = time_once(cudnn, error);
        if (r == 0)
            r = time_once(own, error);
    }
    return r;
}

static int measure(struct cuda_step *s, struct cuda_focal_library *library,
                   struct depthwise_choice *ret, struct error *error)
{
    struct trial cudnn = {.step = s, .library = library}, own = {.step = s};
    int r = prepare(&cudnn, error);
    if (r == 0)
        r = prepare(&own, error);
    if (r == 0)
        r = time_both(&cudnn, &own, error);
    finish(&cudnn);
    finish(&own);
    if (r == 0) {
        ret->cudnn = cudnn.ms < gain * own.ms;
        ret->kernels_ms = (double)own.ms / RUNS;
        ret->cudnn_ms = (double)cudnn.ms / RUNS;
    }
    return r;
}

static int try_ways(struct cuda_step *s, struct cuda_focal_library *library,
                    struct depthwise_choice *ret, struct error *error)
{
    const struct trial cudnn = {.step = s, .library = library};
    int r;
    if (s->backend->depthwise == DEPTHWISE_AUTO) {
        r = measure(s, library, ret, error);
    } else {
        r = run(&cudnn, error);
        ret->cudnn = r == 0;
    }
    return r < 0 ? r : cuda_device.wait(s->backend, error);
}

/* Memory of the trial, one piece of the card's: noise where something is read. */

struct piece {
    size_t at, cells;
    enum cell_type type;
};

static struct piece piece_of(size_t *bytes, size_t cells, enum cell_type type)
{
    return (struct piece){cuda_part(bytes, cells * cell_bytes(type)), cells, type};
}

static int fill(const struct cuda_step *s, char *memory, const struct piece *pieces, int n,
                struct error *error)
{
    int r = 0;
    for (int i = 0; i < n && r == 0; i++)
        r = cuda_check(cuda_noise(s->backend->stream, memory + pieces[i].at, pieces[i].type,
                                  pieces[i].cells, (unsigned)i),
                       "noise", error);
    return r;
}

static size_t weight_cells(const struct cuda_step *s)
{
    size_t cells = 0;
    for (int l = 0; l < s->spec.node->levels; l++)
        cells += graph_weight_cells(&s->spec.weights[s->spec.node->weights[l]]);
    return cells;
}

static int try_on_noise(struct cuda_step *s, struct cuda_focal_library *library,
                        struct depthwise_choice *ret, struct error *error)
{
    struct backend *b = s->backend;
    const struct step_spec *spec = &s->spec;
    const size_t scratch = cuda_focal_library_scratch(library);
    struct piece pieces[GRAPH_MAX_INPUTS + 1];
    size_t bytes = 0;
    int n = 0;
    for (; n < spec->node->n_in; n++)
        pieces[n] =
            piece_of(&bytes, cuda_positions(spec->in[n]) * spec->in_stride[n], spec->in_type[n]);
    const struct piece kernels =
        piece_of(&bytes, cuda_published_bytes(spec) / sizeof(float), CELL_FLOAT32);
    pieces[n++] = kernels;
    const size_t out = cuda_part(&bytes, tensor_cells(spec->out) * cell_bytes(spec->out_type));
    const size_t weights_out = cuda_part(&bytes, weight_cells(s) * sizeof(float));
    const size_t scratch_at =
        cuda_part(&bytes, scratch > s->step.scratch_bytes ? scratch : s->step.scratch_bytes);
    int r = cuda_device.wait(b, error); /* copies under way belong to no recording */
    char *memory = r == 0 ? cuda_device.allocate(b, bytes, error) : NULL;
    if (memory == NULL)
        return r < 0 ? r : -ENOMEM;
    struct step_memory trial = {.out = (float *)(void *)(memory + out),
                                .weights_out = (float *)(void *)(memory + weights_out),
                                .packed = memory + kernels.at,
                                .scratch = memory + scratch_at};
    for (int i = 0; i < spec->node->n_in; i++)
        trial.in[i] = (const float *)(const void *)(memory + pieces[i].at);
    cuda_place(s, &trial);
    r = fill(s, memory, pieces, n, error);
    if (r == 0)
        r = try_ways(s, library, ret, error);
    cuda_device.release(b, memory); /* bind tells the step another place */
    return r;
}

/* Choice */

static void describe(struct depthwise_choice *ret, const struct cuda_step *s)
{
    const struct graph_node *node = s->spec.node;
    const struct tensor_shape x = s->spec.in[node->n_in > 1 ? 1 : 0];
    const enum cell_type type = s->spec.in_type[node->n_in > 1 ? 1 : 0];
    ret->batch = x.n;
    snprintf(ret->what, sizeof ret->what, "%s%s [%d][%d][%d][%d] %s, %d to %d taps",
             graph_op_name(node->op), s->spec.weights_too ? " and weights" : "", x.n, x.h, x.w,
             (x.c - node->levels - 1) / 2,
             type == CELL_FLOAT32    ? "float32"
             : type == CELL_BFLOAT16 ? "bfloat16"
                                     : "float16",
             node->window, node->window + 2 * (node->levels - 1));
}

int cuda_focal_choose(struct cuda_step *s, struct cuda_focal_library *library, struct error *error)
{
    struct backend *b = s->backend;
    const struct key key = key_of(s);
    struct cuda_focal_choice **at = &b->choices;
    for (; *at != NULL; at = &(*at)->next)
        if (same(&(*at)->key, &key))
            return (*at)->found.cudnn;
    struct cuda_focal_choice *choice = calloc(1, sizeof *choice);
    if (choice == NULL)
        return error_set(error, ENOMEM, "out of memory");
    choice->key = key;
    describe(&choice->found, s);
    int r = try_on_noise(s, library, &choice->found, error);
    if (r < 0) {
        error_prefix(error, r, "trying cuDNN for it, which depthwise = kernels does without");
        free(choice);
        return r;
    }
    *at = choice;
    return choice->found.cudnn;
}

bool cuda_focal_chosen(struct backend *b, int i, struct depthwise_choice *ret)
{
    const struct cuda_focal_choice *choice = b->choices;
    for (; choice != NULL && i > 0; i--)
        choice = choice->next;
    if (choice != NULL)
        *ret = choice->found;
    return choice != NULL;
}

void cuda_focal_forget(struct backend *b)
{
    while (b->choices != NULL) {
        struct cuda_focal_choice *choice = b->choices;
        b->choices = choice->next;
        free(choice);
    }
}
