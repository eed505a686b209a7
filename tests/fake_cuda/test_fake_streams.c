/* SPDX-License-Identifier: Apache-2.0
 * Memory, streams, events and errors are what NVIDIA documents; work runs no earlier than it must.
 */
#include "tests/fake_cuda/test_fake.h"

enum { N = 256 };

static float *pinned(size_t n, float value)
{
    float *p;
    ok(cudaMallocHost((void **)&p, n * sizeof *p));
    for (size_t i = 0; i < n; i++)
        p[i] = value;
    return p;
}

static cudaStream_t new_stream(unsigned flags)
{
    cudaStream_t stream;
    ok(cudaStreamCreateWithFlags(&stream, flags));
    return stream;
}

static cudaEvent_t new_event(void)
{
    cudaEvent_t event;
    ok(cudaEventCreateWithFlags(&event, cudaEventDefault));
    return event;
}

static void a_result_is_there_no_sooner_than_it_is_waited_for(void **state)
{
    cudaStream_t stream = new_stream(cudaStreamNonBlocking), other = new_stream(0);
    float x[N] = {0}, *host = pinned(N, 7);
    float *dx = on_device(x, sizeof x);
    ok(cudaMemsetAsync(dx, 0, sizeof x, stream));
    ok(cudaMemcpyAsync(host, dx, sizeof x, cudaMemcpyDeviceToHost, stream));
    assert_true(host[0] == 7);
    ok(cudaStreamSynchronize(other));
    assert_true(host[0] == 7);
    ok(cudaStreamSynchronize(stream));
    assert_true(host[0] == 0 && host[N - 1] == 0);
}

static void eager_order_runs_at_once(void **state)
{
    fake_set("ORDER", "eager");
    float *host = pinned(N, 7), *dx = on_device(NULL, N * sizeof *dx);
    cudaStream_t stream = new_stream(cudaStreamNonBlocking);
    ok(cudaMemsetAsync(dx, 0, N * sizeof *dx, stream));
    ok(cudaMemcpyAsync(host, dx, N * sizeof *dx, cudaMemcpyDeviceToHost, stream));
    assert_true(host[0] == 0);
}

static void pinned_memory_is_read_late_and_other_memory_at_once(void **state)
{
    cudaStream_t stream = new_stream(cudaStreamNonBlocking);
    float plain[N] = {1}, got[2], *host = pinned(N, 1), *d = on_device(NULL, 2 * sizeof *d);
    ok(cudaMemcpyAsync(d, host, sizeof *d, cudaMemcpyHostToDevice, stream));
    ok(cudaMemcpyAsync(d + 1, plain, sizeof *d, cudaMemcpyHostToDevice, stream));
    host[0] = plain[0] = 2;
    ok(cudaMemcpyAsync(got, d, sizeof got, cudaMemcpyDeviceToHost, stream)); /* pageable: waits */
    assert_true(got[0] == 2 && got[1] == 1);
}

static void a_missing_event_between_streams_is_found(void **state)
{
    need_checks();
    for (int recorded = 1; recorded >= 0; recorded--) {
        cudaStream_t up = new_stream(cudaStreamNonBlocking),
                     run = new_stream(cudaStreamNonBlocking);
        cudaEvent_t uploaded = new_event();
        float *host = pinned(N, 3), *dx = on_device(NULL, N * sizeof *dx);
        float *dy = on_device(host, N * sizeof *dx), got[N];
        ok(cudaMemcpyAsync(dx, host, N * sizeof *dx, cudaMemcpyHostToDevice, up));
        ok(cudaEventRecord(uploaded, up));
        if (recorded)
            ok(cudaStreamWaitEvent(run, uploaded, 0));
        ok(run_axpy(dy, dx, 2, N, run));
        if (!recorded) {
            assert_int_equal(cudaStreamSynchronize(run), cudaErrorIllegalAddress);
            assert_non_null(strstr(fake_last_report(), "which nothing wrote"));
            return;
        }
        ok(cudaMemcpyAsync(got, dy, sizeof got, cudaMemcpyDeviceToHost, run));
        assert_true(got[0] == 9 && got[N - 1] == 9);
    }
}

static void copies_and_fills_of_rows_keep_to_their_pitch(void **state)
{
    char from[3][8], to[3][5], all[3][16];
    for (int i = 0; i < 24; i++)
        from[i / 8][i % 8] = (char)i;
    char *d = on_device(NULL, sizeof all);
    ok(cudaMemset(d, 77, sizeof all));
    ok(cudaMemcpy2DAsync(d + 2, 16, from, 8, 5, 3, cudaMemcpyHostToDevice, NULL));
    ok(cudaMemset2DAsync(d + 12, 16, 9, 4, 2, NULL));
    ok(cudaMemcpy2D(to, 5, d + 2, 16, 5, 3, cudaMemcpyDeviceToHost));
    ok(cudaMemcpy(all, d, sizeof all, cudaMemcpyDeviceToHost));
    for (int row = 0; row < 3; row++) {
        for (int i = 0; i < 16; i++) {
            int want = i >= 2 && i < 7 ? row * 8 + i - 2 : i >= 12 && row < 2 ? 9 : 77;
            assert_int_equal(all[row][i], want);
            if (i >= 2 && i < 7)
                assert_int_equal(to[row][i - 2], want);
        }
    }
    assert_int_equal(cudaMemcpy2D(to, 4, d, 16, 5, 3, cudaMemcpyDeviceToHost),
                     cudaErrorInvalidPitchValue);
}

static void copies_outside_of_allocations_are_refused(void **state)
{
    char host[64] = {0}, *d = on_device(host, 64), *e = on_device(host, 64);
    assert_int_equal(cudaMemcpy(d, host, 65, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpy(d + 60, e, 5, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpy(d, host, 4, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpy(host, d, 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpy(host, d, 4, (enum cudaMemcpyKind)5),
                     cudaErrorInvalidMemcpyDirection);
    assert_int_equal(cudaMemset(d + 1, 0, 64), cudaErrorInvalidValue);
    assert_int_equal(cudaFree(d + 1), cudaErrorInvalidValue);
    assert_int_equal(cudaFreeHost(host), cudaErrorInvalidValue);
    ok(cudaMemcpy(d, e, 64, cudaMemcpyDefault));
    ok(cudaFree(d));
    assert_int_equal(cudaFree(d), cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpy(d, host, 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    ok(cudaDeviceSynchronize()); /* none of it was device work */
}

static void bytes_that_nothing_wrote_reach_no_host(void **state)
{
    need_checks();
    char host[64], *d = on_device(NULL, 64), *e = on_device(NULL, 64);
    ok(cudaMemset(d, 1, 63));
    ok(cudaMemcpy(host, d, 63, cudaMemcpyDeviceToHost));
    ok(cudaMemcpy(e, d, 64, cudaMemcpyDeviceToDevice)); /* as they are */
    ok(cudaMemcpy(host, e, 63, cudaMemcpyDeviceToHost));
    assert_int_equal(cudaMemcpy(host, e, 64, cudaMemcpyDeviceToHost), cudaErrorIllegalAddress);
    assert_non_null(strstr(fake_last_report(), "byte 63 of the 64 bytes of allocation 2"));
}

static void events_are_ready_when_their_stream_got_there(void **state)
{
    cudaStream_t stream = new_stream(cudaStreamNonBlocking);
    cudaEvent_t start = new_event(), end = new_event(), untimed;
    ok(cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming));
    float ms = -1;
    char *d = on_device(NULL, 1 << 20);
    ok(cudaEventQuery(start)); /* never recorded */
    ok(cudaEventRecord(start, stream));
    ok(cudaMemsetAsync(d, 0, 1 << 20, stream));
    ok(cudaEventRecord(end, stream));
    assert_int_equal(cudaEventElapsedTime(&ms, start, end), cudaErrorNotReady);
    assert_int_equal(cudaEventQuery(end), cudaErrorNotReady);
    ok(cudaEventQuery(end));
    ok(cudaEventElapsedTime(&ms, start, end));
    assert_true(ms > 0 && ms < 60000);
    ok(cudaEventRecord(untimed, stream));
    ok(cudaEventSynchronize(untimed));
    assert_int_equal(cudaEventElapsedTime(&ms, start, untimed), cudaErrorInvalidResourceHandle);
    ok(cudaMemsetAsync(d, 0, 1, stream));
    assert_int_equal(cudaStreamQuery(stream), cudaErrorNotReady);
    ok(cudaStreamQuery(stream));
}

static void the_default_stream_and_those_that_block_wait_for_each_other(void **state)
{
    cudaStream_t blocks = new_stream(cudaStreamDefault);
    cudaStream_t passes = new_stream(cudaStreamNonBlocking);
    float *a = pinned(1, 7), *b = pinned(1, 7), *c = pinned(1, 7), zero = 0;
    float *d = on_device(&zero, sizeof zero);
    ok(cudaMemcpyAsync(a, d, sizeof zero, cudaMemcpyDeviceToHost, blocks));
    ok(cudaMemcpyAsync(b, d, sizeof zero, cudaMemcpyDeviceToHost, passes));
    ok(cudaStreamSynchronize(NULL));
    assert_true(*a == 0 && *b == 7);
    ok(cudaStreamSynchronize(passes));
    assert_true(*b == 0);
    *b = 7;
    ok(cudaMemcpyAsync(c, d, sizeof zero, cudaMemcpyDeviceToHost, NULL));
    ok(cudaMemcpyAsync(b, d, sizeof zero, cudaMemcpyDeviceToHost, passes));
    ok(cudaStreamSynchronize(passes));
    assert_true(*b == 0 && *c == 7);
    ok(cudaMemsetAsync(d, 0, sizeof zero, blocks));
    ok(cudaStreamSynchronize(blocks));
    assert_true(*c == 0);
}

/* Uploads, computes and downloads windows over two buffers, as a pipeline does. */
static void run_pipeline(float *got)
{
    enum { WINDOWS = 6 };
    cudaStream_t up = new_stream(1), run = new_stream(1), down = new_stream(1);
    cudaEvent_t uploaded[2], computed[2], downloaded[2];
    float *host = pinned(WINDOWS, 0), *out = pinned(WINDOWS, 0), *x[2], *y[2];
    for (int i = 0; i < 2; i++) {
        uploaded[i] = new_event(), computed[i] = new_event(), downloaded[i] = new_event();
        x[i] = on_device(NULL, sizeof(float));
        y[i] = on_device(NULL, sizeof(float));
    }
    for (int w = 0; w < WINDOWS; w++) {
        int i = w % 2;
        host[w] = (float)w;
        ok(cudaStreamWaitEvent(up, computed[i], 0));
        ok(cudaMemcpyAsync(x[i], host + w, sizeof(float), cudaMemcpyHostToDevice, up));
        ok(cudaEventRecord(uploaded[i], up));
        ok(cudaStreamWaitEvent(run, uploaded[i], 0));
        ok(cudaStreamWaitEvent(run, downloaded[i], 0));
        ok(cudaMemsetAsync(y[i], 0, sizeof(float), run));
        ok(run_axpy(y[i], x[i], 3, 1, run));
        ok(cudaEventRecord(computed[i], run));
        ok(cudaStreamWaitEvent(down, computed[i], 0));
        ok(cudaMemcpyAsync(out + w, y[i], sizeof(float), cudaMemcpyDeviceToHost, down));
        ok(cudaEventRecord(downloaded[i], down));
    }
    ok(cudaStreamSynchronize(down));
    memcpy(got, out, WINDOWS * sizeof *got);
}

static void a_right_pipeline_gives_the_same_in_every_order(void **state)
{
    for (int seed = -2; seed < 20; seed++) {
        char order[32];
        snprintf(order, sizeof order, "any:%d", seed);
        restart(state);
        fake_set("ORDER", seed == -2 ? "late" : seed == -1 ? "eager" : order);
        float got[6];
        run_pipeline(got);
        for (int w = 0; w < 6; w++)
            assert_true(got[w] == 3 * (float)w);
    }
}

static void memory_ends_where_it_was_told_to(void **state)
{
    fake_set("MEMORY", "10000");
    void *p, *q = &p;
    size_t free_bytes, total;
    ok(cudaMalloc(&p, 6000));
    ok(cudaMemGetInfo(&free_bytes, &total));
    assert_int_equal(free_bytes, 4000);
    assert_int_equal(total, 10000);
    assert_int_equal(cudaMalloc(&q, 4001), cudaErrorMemoryAllocation);
    assert_null(q);
    assert_int_equal(cudaGetLastError(), cudaErrorMemoryAllocation);
    ok(cudaMalloc(&q, 4000));
    ok(cudaFree(p));
    ok(cudaMalloc(&p, 6000));
}

static void no_device_and_an_old_driver_are_told(void **state)
{
    int n = 7, version;
    void *p;
    fake_set("DEVICES", "0");
    assert_int_equal(cudaGetDeviceCount(&n), cudaErrorNoDevice);
    assert_int_equal(n, 0);
    assert_int_equal(cudaMalloc(&p, 4), cudaErrorNoDevice);
    fake_set("DEVICES", NULL);
    fake_set("DRIVER", "old");
    assert_int_equal(cudaGetDeviceCount(&n), cudaErrorInsufficientDriver);
    assert_int_equal(cudaSetDevice(0), cudaErrorInsufficientDriver);
    ok(cudaDriverGetVersion(&version));
    assert_true(version < CUDART_VERSION && version > 0);
    fake_set("DRIVER", "none");
    ok(cudaDriverGetVersion(&version));
    assert_int_equal(version, 0);
    fake_set("DRIVER", NULL);
    ok(cudaGetDeviceCount(&n));
    assert_int_equal(n, 1);
    assert_int_equal(cudaSetDevice(1), cudaErrorInvalidDevice);
}

static void a_call_that_is_picked_fails_once(void **state)
{
    void *p = NULL, *q = NULL;
    ok(cudaMalloc(&p, 4));
    assert_int_equal(fake_calls(), 1);
    fake_set("FAIL", "3");
    ok(cudaMalloc(&q, 4));
    assert_int_equal(cudaMalloc(&q, 4), cudaErrorMemoryAllocation);
    ok(cudaMalloc(&q, 4));
    fake_set("FAIL", "cudaMallocHost:2");
    ok(cudaMallocHost(&q, 4));
    ok(cudaMalloc(&q, 4));
    assert_int_equal(cudaMallocHost(&q, 4), cudaErrorMemoryAllocation);
    ok(cudaMallocHost(&q, 4));
    fake_set("FAIL", "cublasLtMatmul:1");
    assert_true(fake_fails("cublasLtMatmul"));
    assert_false(fake_fails("cublasLtMatmul"));
    dim3 one = {1, 1, 1};
    fake_set("FAIL", "cudaLaunchKernelEx:1");
    assert_int_equal(run_shape(one, one, NULL), cudaErrorLaunchOutOfResources);
    ok(run_shape(one, one, NULL));
    /* One that waits tells of work that went wrong: that stays. Freeing still frees. */
    fake_set("FAIL", "cudaDeviceSynchronize:1");
    assert_int_equal(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
    assert_int_equal(cudaMalloc(&q, 4), cudaErrorLaunchFailure);
    size_t leaks = fake_leaks(false);
    assert_int_equal(cudaFree(p), cudaErrorLaunchFailure);
    assert_int_equal(fake_leaks(false), leaks - 1);
}

static void errors_of_work_stay_and_others_are_told_once(void **state)
{
    void *p;
    assert_int_equal(cudaSetDevice(3), cudaErrorInvalidDevice);
    assert_int_equal(cudaPeekAtLastError(), cudaErrorInvalidDevice);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidDevice);
    ok(cudaGetLastError());
    ok(run_mistake(WAITS_ON_HALF, on_device(NULL, 256), NULL));
    ok(cudaGetLastError());
    assert_int_equal(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
    assert_int_equal(cudaGetLastError(), cudaErrorLaunchFailure);
    assert_int_equal(cudaGetLastError(), cudaErrorLaunchFailure);
    assert_int_equal(cudaMalloc(&p, 4), cudaErrorLaunchFailure);
    assert_int_equal(cudaDeviceReset(), cudaErrorLaunchFailure);
    assert_int_equal(cudaMalloc(&p, 4), cudaErrorLaunchFailure);
    fake_set("RESET", "recovers");
    ok(cudaDeviceReset());
    ok(cudaMalloc(&p, 4));
    assert_string_equal(cudaGetErrorName(cudaErrorLaunchFailure), "cudaErrorLaunchFailure");
    assert_string_equal(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory");
}

static void handles_that_are_none_are_refused(void **state)
{
    cudaStream_t stream = new_stream(0);
    cudaEvent_t event = new_event();
    dim3 one = {1, 1, 1};
    ok(cudaStreamDestroy(stream));
    ok(cudaEventDestroy(event));
    assert_int_equal(cudaStreamSynchronize(stream), cudaErrorInvalidResourceHandle);
    assert_int_equal(run_shape(one, one, stream), cudaErrorInvalidResourceHandle);
    assert_int_equal(cudaEventRecord(event, NULL), cudaErrorInvalidResourceHandle);
    assert_int_equal(cudaEventDestroy(event), cudaErrorInvalidResourceHandle);
}

static void what_is_not_freed_is_counted(void **state)
{
    void *d, *h;
    int library;
    assert_int_equal(fake_leaks(true), 0);
    ok(cudaMalloc(&d, 4));
    ok(cudaMallocHost(&h, 4));
    cudaStream_t stream = new_stream(0);
    cudaEvent_t event = new_event();
    fake_made(&library, "cudnnHandle_t");
    assert_int_equal(fake_leaks(true), 5);
    ok(cudaFree(d));
    ok(cudaFreeHost(h));
    ok(cudaStreamDestroy(stream));
    assert_int_equal(fake_leaks(false), 2);
    ok(cudaEventDestroy(event));
    fake_freed(&library);
    assert_int_equal(fake_leaks(true), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_result_is_there_no_sooner_than_it_is_waited_for),
        test(eager_order_runs_at_once),
        test(pinned_memory_is_read_late_and_other_memory_at_once),
        test(a_missing_event_between_streams_is_found),
        test(copies_and_fills_of_rows_keep_to_their_pitch),
        test(copies_outside_of_allocations_are_refused),
        test(bytes_that_nothing_wrote_reach_no_host),
        test(events_are_ready_when_their_stream_got_there),
        test(the_default_stream_and_those_that_block_wait_for_each_other),
        test(a_right_pipeline_gives_the_same_in_every_order),
        test(memory_ends_where_it_was_told_to),
        test(no_device_and_an_old_driver_are_told),
        test(a_call_that_is_picked_fails_once),
        test(errors_of_work_stay_and_others_are_told_once),
        test(handles_that_are_none_are_refused),
        test(what_is_not_freed_is_counted),
    };
    return cmocka_run_group_tests_name("fake_streams", tests, NULL, NULL);
}
