/* SPDX-License-Identifier: Apache-2.0
 * The card's memory, copies to and from it, and runs that are kept as graphs.
 *
 * Copies have streams of their own, one each way. Uploads begin behind what was enqueued before
 * them, steps wait for them, and downloads for the steps; the streams meet again at the end of a
 * run. So one run, recorded, is one graph. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/cuda/context.h"

enum { MB_SHIFT = 20 };

struct recording {
    cudaGraphExec_t exec;
};

/* Memory */

static void *allocate(struct backend *b, size_t bytes, struct error *error)
{
    void *memory = NULL;
    cuda_enter(b);
    cudaError_t code = cudaMalloc(&memory, bytes > 0 ? bytes : 1);
    if (code == cudaSuccess)
        return memory;
    if (code == cudaErrorMemoryAllocation) {
        size_t free_bytes = 0, total = 0;
        (void)cudaGetLastError(); /* not sticky */
        if (cudaMemGetInfo(&free_bytes, &total) != cudaSuccess)
            (void)cudaGetLastError();
        error_set(
            error, ENOMEM,
            "GPU: out of memory: %zu MB wanted, %zu of %zu MB free on %s: take a smaller batch "
            "or model, or another precision",
            bytes >> MB_SHIFT, free_bytes >> MB_SHIFT, total >> MB_SHIFT, b->name);
    } else {
        cuda_check(code, "allocating", error);
    }
    return NULL;
}

static void release(struct backend *b, void *memory)
{
    cuda_enter(b);
    if (memory != NULL)
        (void)cudaFree(memory);
}

static void *allocate_host(struct backend *b, size_t bytes, struct error *error)
{
    void *memory = NULL;
    bytes = bytes > 0 ? bytes : 1;
    cuda_enter(b);
    int r = cuda_check(cudaMallocHost(&memory, bytes), "allocating memory of the host", error);
    if (r < 0)
        return NULL;
    memset(memory, 0, bytes);
    return memory;
}

static void release_host(struct backend *b, void *memory)
{
    cuda_enter(b);
    if (memory != NULL)
        (void)cudaFreeHost(memory);
}

/* By what the precision is for: maps, statistics and the head's few values stay float32. */
static enum cell_type cell_type(struct backend *b, const struct graph_node *node)
{
    if (b->precision == PRECISION_FLOAT32 || b->precision == PRECISION_TF32 || node->output ||
        node->shape.h * node->shape.w == 1)
        return CELL_FLOAT32;
    switch (node->op) {
    case GRAPH_INPUT:
    case GRAPH_CHANNEL_L2:
    case GRAPH_CHANNEL_L2_GRAD:
    case GRAPH_CLS_ATTENTION:
    case GRAPH_ATTENTION_MAP:
    case GRAPH_ATTENTION_MAP_GRAD:
    case GRAPH_NEAREST:
        return CELL_FLOAT32;
    default:
        return b->precision == PRECISION_BFLOAT16 ? CELL_BFLOAT16 : CELL_FLOAT16;
    }
}

/* Copies */

/* `behind` goes on when what is enqueued on `first` so far is done. */
static int join(cudaStream_t first, cudaStream_t behind, cudaEvent_t event, struct error *error)
{
    int r = cuda_check(cudaEventRecord(event, first), "recording an event", error);
    return r < 0 ? r : cuda_check(cudaStreamWaitEvent(behind, event, 0), "waiting", error);
}

static int upload(struct backend *b, void *to, const void *from, size_t bytes, struct error *error)
{
    int r = b->uploading ? 0 : join(b->stream, b->up, b->computed, error);
    if (r < 0)
        return r;
    b->uploading = true;
    return cuda_check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, b->up),
                      "copying to the card", error);
}

int cuda_join_uploads(struct backend *b, struct error *error)
{
    if (!b->uploading)
        return 0;
    b->uploading = false;
    return join(b->up, b->stream, b->uploaded, error);
}

static int download(struct backend *b, void *to, const void *from, size_t bytes,
                    struct error *error)
{
    int r = cuda_join_uploads(b, error);
    if (r == 0 && !b->downloading)
        r = join(b->stream, b->down, b->computed, error);
    if (r < 0)
        return r;
    b->downloading = true;
    return cuda_check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, b->down),
                      "copying from the card", error);
}

static int join_all(struct backend *b, struct error *error)
{
    int r = cuda_join_uploads(b, error);
    if (r < 0 || !b->downloading)
        return r;
    b->downloading = false;
    return join(b->down, b->stream, b->downloaded, error);
}

static int wait_all(struct backend *b, struct error *error)
{
    int r = join_all(b, error);
    if (r == 0)
        r = cuda_check(cudaEventRecord(b->done, b->stream), "recording an event", error);
    return r < 0 ? r : cuda_check(cudaEventSynchronize(b->done), "running", error);
}

static int copy(struct backend *b, void *to, const void *from, size_t bytes, struct error *error)
{
    cuda_enter(b);
    int r = cuda_check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, b->stream), "copying",
                       error);
    return r < 0 ? r : wait_all(b, error);
}

/* Recording */

static int record_begin(struct backend *b, struct error *error)
{
    return cuda_check(cudaStreamBeginCapture(b->stream, cudaStreamCaptureModeThreadLocal),
                      "recording", error);
}

static int record_end(struct backend *b, struct recording **ret, struct error *error)
{
    cudaGraph_t graph = NULL;
    struct recording *recording = NULL;
    int r = join_all(b, error);
    int ended =
        cuda_check(cudaStreamEndCapture(b->stream, &graph), "recording", r < 0 ? NULL : error);
    r = r < 0 ? r : ended;
    b->uploading = b->downloading = false;
    if (r == 0) {
        recording = calloc(1, sizeof *recording);
        r = recording == NULL ? error_set(error, ENOMEM, "out of memory") : 0;
    }
    if (r == 0)
        r = cuda_check(cudaGraphInstantiate(&recording->exec, graph, 0), "making a graph", error);
    if (graph != NULL)
        (void)cudaGraphDestroy(graph);
    if (r < 0)
        free(recording);
    else
        *ret = recording;
    return r;
}

static int replay(struct backend *b, struct recording *recording, struct error *error)
{
    return cuda_check(cudaGraphLaunch(recording->exec, b->stream), "running", error);
}

static void recording_destroy(struct backend *b, struct recording *recording)
{
    cuda_enter(b);
    if (recording == NULL)
        return;
    (void)cudaGraphExecDestroy(recording->exec);
    free(recording);
}

const struct backend_device cuda_device = {
    .probe = cuda_probe,
    .peak = cuda_peak,
    .depthwise = cuda_focal_chosen,
    .allocate = allocate,
    .release = release,
    .allocate_host = allocate_host,
    .release_host = release_host,
    .cell_type = cell_type,
    .upload = upload,
    .download = download,
    .copy = copy,
    .wait = wait_all,
    .record_begin = record_begin,
    .record_end = record_end,
    .replay = replay,
    .recording_destroy = recording_destroy,
    .training = &cuda_training,
};
