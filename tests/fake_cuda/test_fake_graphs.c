/* SPDX-License-Identifier: Apache-2.0
 * Streams are recorded into graphs, and what must not be done meanwhile gives the documented error.
 */
#include "tests/fake_cuda/test_fake.h"

enum { N = 64 };

static cudaStream_t new_stream(void)
{
    cudaStream_t stream;
    ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return stream;
}

static cudaEvent_t new_event(void)
{
    cudaEvent_t event;
    ok(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    return event;
}

static float *cells(float value)
{
    float x[N];
    for (int i = 0; i < N; i++)
        x[i] = value;
    return on_device(x, sizeof x);
}

static float first(const float *d)
{
    float x[N];
    ok(cudaMemcpy(x, d, sizeof x, cudaMemcpyDeviceToHost));
    for (int i = 1; i < N; i++)
        assert_true(x[i] == x[0]);
    return x[0];
}

static void a_graph_replays_what_was_recorded(void **state)
{
    cudaStream_t stream = new_stream();
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    enum cudaStreamCaptureStatus status;
    size_t nodes;
    float *x = cells(1), *y = cells(0), a = 2;
    ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    ok(cudaStreamIsCapturing(stream, &status));
    assert_int_equal(status, cudaStreamCaptureStatusActive);
    ok(run_axpy(y, x, a, N, stream));
    a = 100; /* arguments are those of then */
    ok(run_axpy(y, y, 1, N, stream));
    ok(cudaStreamEndCapture(stream, &graph));
    ok(cudaStreamIsCapturing(stream, &status));
    assert_int_equal(status, cudaStreamCaptureStatusNone);
    ok(cudaGraphGetNodes(graph, NULL, &nodes));
    assert_int_equal(nodes, 2);
    ok(cudaGraphInstantiate(&exec, graph, 0));
    ok(cudaGraphDestroy(graph));
    ok(cudaStreamSynchronize(stream));
    assert_true(first(y) == 0); /* nothing ran while it was recorded */
    ok(cudaGraphLaunch(exec, stream));
    ok(cudaGraphLaunch(exec, stream));
    assert_true(first(y) == 0); /* the default stream does not wait for this one */
    ok(cudaStreamSynchronize(stream));
    assert_true(first(y) == 12);
    ok(cudaGraphExecDestroy(exec));
}

/* What forks off by an event and is joined by one is part of the graph. */
static cudaError_t record_fork(cudaStream_t stream, cudaStream_t side, float *x, float *y,
                               bool join, cudaGraph_t *graph)
{
    cudaEvent_t fork = new_event(), joined = new_event();
    ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    ok(cudaMemsetAsync(y, 0, N * sizeof *y, stream));
    ok(cudaEventRecord(fork, stream));
    ok(cudaStreamWaitEvent(side, fork, 0));
    ok(run_axpy(y, x, 3, N, side));
    ok(cudaEventRecord(joined, side));
    if (join)
        ok(cudaStreamWaitEvent(stream, joined, 0));
    ok(run_axpy(x, join ? y : x, 1, N, stream));
    cudaError_t code = cudaStreamEndCapture(stream, graph);
    ok(cudaEventDestroy(fork));
    ok(cudaEventDestroy(joined));
    return code;
}

static void a_fork_that_is_joined_is_recorded(void **state)
{
    static const char *const orders[] = {"late", "eager", "any:1", "any:2", "any:3"};
    for (size_t i = 0; i < 5; i++) {
        cudaStream_t stream = new_stream(), side = new_stream();
        float *x = cells(1), *y = cells(5);
        cudaGraph_t graph;
        cudaGraphExec_t exec;
        fake_set("ORDER", orders[i]);
        ok(record_fork(stream, side, x, y, true, &graph));
        ok(cudaGraphInstantiate(&exec, graph, 0));
        ok(cudaGraphLaunch(exec, stream));
        ok(cudaStreamSynchronize(stream));
        assert_true(first(y) == 3 && first(x) == 4);
    }
}

static void a_fork_that_is_not_joined_is_refused(void **state)
{
    cudaGraph_t graph = (cudaGraph_t)&graph;
    assert_int_equal(record_fork(new_stream(), new_stream(), cells(1), cells(1), false, &graph),
                     cudaErrorStreamCaptureUnjoined);
    assert_null(graph);
    ok(cudaDeviceSynchronize()); /* the capture is over */
}

/* Whatever breaks a capture gives `code`; its end then says that it was. */
static void breaks(cudaStream_t stream, cudaError_t got, cudaError_t code)
{
    cudaGraph_t graph = (cudaGraph_t)&graph;
    dim3 one = {1, 1, 1};
    assert_int_equal(got, code);
    assert_int_equal(run_shape(one, one, stream), cudaErrorStreamCaptureInvalidated);
    assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    assert_null(graph);
    ok(run_shape(one, one, stream));
}

static cudaStream_t begin(enum cudaStreamCaptureMode mode)
{
    cudaStream_t stream = new_stream();
    ok(cudaStreamBeginCapture(stream, mode));
    return stream;
}

static void what_is_forbidden_while_recording_breaks_it(void **state)
{
    const enum cudaStreamCaptureMode LOCAL = cudaStreamCaptureModeThreadLocal,
                                     RELAXED = cudaStreamCaptureModeRelaxed;
    void *p;
    float x;
    float *d = cells(1);
    cudaEvent_t event = new_event(), outside = new_event();
    cudaStream_t s = begin(LOCAL);
    breaks(s, cudaStreamSynchronize(s), cudaErrorStreamCaptureUnsupported);
    s = begin(RELAXED);
    breaks(s, cudaStreamQuery(s), cudaErrorStreamCaptureUnsupported);
    s = begin(RELAXED);
    breaks(s, cudaDeviceSynchronize(), cudaErrorStreamCaptureUnsupported);
    s = begin(LOCAL);
    breaks(s, cudaMalloc(&p, 4), cudaErrorStreamCaptureUnsupported);
    s = begin(LOCAL);
    breaks(s, cudaMemcpy(&x, d, sizeof x, cudaMemcpyDeviceToHost),
           cudaErrorStreamCaptureUnsupported);
    s = begin(RELAXED);
    ok(cudaEventRecord(event, s));
    breaks(s, cudaEventSynchronize(event), cudaErrorCapturedEvent);
    s = begin(RELAXED);
    ok(cudaEventRecord(event, s));
    breaks(s, cudaEventQuery(event), cudaErrorCapturedEvent);
    ok(cudaEventRecord(outside, new_stream()));
    s = begin(RELAXED);
    breaks(s, cudaStreamWaitEvent(s, outside, 0), cudaErrorStreamCaptureIsolation);
}

static void a_relaxed_recording_allows_allocation(void **state)
{
    void *p;
    cudaGraph_t graph;
    cudaStream_t s = begin(cudaStreamCaptureModeRelaxed);
    ok(cudaMalloc(&p, 4));
    ok(cudaStreamEndCapture(s, &graph));
}

static void the_default_stream_cannot_meet_a_recording(void **state)
{
    dim3 one = {1, 1, 1};
    cudaStream_t blocks;
    assert_int_equal(cudaStreamBeginCapture(NULL, cudaStreamCaptureModeRelaxed),
                     cudaErrorStreamCaptureUnsupported);
    ok(cudaStreamCreate(&blocks));
    ok(cudaStreamBeginCapture(blocks, cudaStreamCaptureModeRelaxed));
    breaks(blocks, run_shape(one, one, NULL), cudaErrorStreamCaptureImplicit);
}

static void a_recording_ends_where_it_began(void **state)
{
    cudaStream_t s = begin(cudaStreamCaptureModeRelaxed), side = new_stream();
    cudaEvent_t event = new_event();
    cudaGraph_t graph;
    ok(cudaEventRecord(event, s));
    ok(cudaStreamWaitEvent(side, event, 0));
    assert_int_equal(cudaStreamEndCapture(side, &graph), cudaErrorStreamCaptureUnmatched);
    assert_int_equal(cudaStreamEndCapture(s, &graph), cudaErrorStreamCaptureInvalidated);
    assert_int_equal(cudaStreamEndCapture(s, &graph), cudaErrorIllegalState);
}

static void two_recordings_do_not_merge(void **state)
{
    cudaStream_t s = begin(cudaStreamCaptureModeRelaxed), t = begin(cudaStreamCaptureModeRelaxed);
    cudaEvent_t event = new_event();
    ok(cudaEventRecord(event, s));
    assert_int_equal(cudaStreamWaitEvent(t, event, 0), cudaErrorStreamCaptureMerge);
    cudaGraph_t graph;
    assert_int_equal(cudaStreamEndCapture(s, &graph), cudaErrorStreamCaptureInvalidated);
    assert_int_equal(cudaStreamEndCapture(t, &graph), cudaErrorStreamCaptureInvalidated);
}

static void memory_freed_before_a_replay_is_found(void **state)
{
    cudaStream_t s = begin(cudaStreamCaptureModeThreadLocal);
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    ok(cudaStreamEndCapture(s, &graph));
    float *x = cells(1), *y = cells(1);
    ok(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal));
    ok(cudaMemcpyAsync(y, x, N * sizeof *x, cudaMemcpyDeviceToDevice, s));
    ok(cudaStreamEndCapture(s, &graph));
    ok(cudaGraphInstantiate(&exec, graph, 0));
    ok(cudaFree(x));
    ok(cudaGraphLaunch(exec, s));
    assert_int_equal(cudaStreamSynchronize(s), cudaErrorIllegalAddress);
    assert_non_null(strstr(fake_last_report(), "allocation 1"));
    assert_non_null(strstr(fake_last_report(), "freed"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_graph_replays_what_was_recorded),
        test(a_fork_that_is_joined_is_recorded),
        test(a_fork_that_is_not_joined_is_refused),
        test(what_is_forbidden_while_recording_breaks_it),
        test(a_relaxed_recording_allows_allocation),
        test(the_default_stream_cannot_meet_a_recording),
        test(a_recording_ends_where_it_began),
        test(two_recordings_do_not_merge),
        test(memory_freed_before_a_replay_is_found),
    };
    return cmocka_run_group_tests_name("fake_graphs", tests, NULL, NULL);
}
