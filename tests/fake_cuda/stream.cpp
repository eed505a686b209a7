/* SPDX-License-Identifier: Apache-2.0
 * Work in the order of its streams. Enqueued work waits until something waits for it, and then
 * only what that needs is run: whoever looks too early, or forgot an event, sees old data. */
#include "internal.h"

#include <algorithm>
#include <cstdio>
#include <ctime>

static std::vector<CUstream_st *> streams; /* the two that always are first */
static CUstream_st legacy, per_thread;
static const char *running;

const std::vector<CUstream_st *> &all_streams()
{
    if (streams.empty())
        streams = {&legacy, &per_thread};
    return streams;
}

CUstream_st *find_stream(cudaStream_t stream)
{
    if (stream == NULL || stream == cudaStreamLegacy)
        return &legacy;
    if (stream == cudaStreamPerThread)
        return &per_thread;
    const auto &all = all_streams();
    return std::find(all.begin(), all.end(), stream) == all.end() ? NULL : stream;
}

const char *running_op()
{
    return running;
}

/* When work of that name is done: by TIME, else by a clock. */
static int64_t done_ns(const op &o)
{
    static int64_t counted;
    struct timespec t;
    const int64_t told = told_ns(o.name);
    if (told >= 0)
        return counted += told;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void finish(op &o)
{
    if (o.work && device_error == cudaSuccess) {
        const char *outer = running;
        running = o.name;
        arena_open();
        cudaError_t code = o.work();
        arena_close();
        if (code != cudaSuccess && device_error == cudaSuccess)
            report(code, text("%s: %s", o.name, cudaGetErrorString(code)));
        running = outer;
    }
    o.t_ns = done_ns(o);
    o.done = true;
    o.work = nullptr;
    o.after.clear();
}

cudaError_t run_op(const op_ref &last)
{
    std::vector<op_ref> stack;
    if (last && !last->done)
        stack.push_back(last);
    arena_open();
    while (!stack.empty()) {
        op_ref top = stack.back();
        auto wanted = std::find_if(top->after.begin(), top->after.end(),
                                   [](const op_ref &o) { return !o->done; });
        if (!top->done && wanted != top->after.end()) {
            stack.push_back(*wanted);
            continue;
        }
        stack.pop_back();
        if (!top->done)
            finish(*top);
    }
    arena_close();
    return device_error;
}

cudaError_t run_all()
{
    for (CUstream_st *s : all_streams())
        run_op(s->last);
    return device_error;
}

/* The legacy stream and those that block wait for each other. */
static void wait_implicitly(CUstream_st *s, std::vector<op_ref> &after)
{
    if (s->flags & cudaStreamNonBlocking)
        return;
    if (s != &legacy) {
        if (legacy.last && !legacy.last->done)
            after.push_back(legacy.last);
        return;
    }
    for (CUstream_st *other : all_streams())
        if (other != s && !(other->flags & cudaStreamNonBlocking) && other->last &&
            !other->last->done)
            after.push_back(other->last);
}

op_ref add_op(CUstream_st *s, const char *name, std::function<cudaError_t()> work)
{
    op_ref o = std::make_shared<op>();
    o->name = name;
    o->work = std::move(work);
    if (s->last && !s->last->done)
        o->after.push_back(s->last);
    wait_implicitly(s, o->after);
    s->last = o;
    if (order() == EAGER) {
        run_op(o);
    } else if (order() == ANY) {
        const auto &all = all_streams();
        while (chance() % 2)
            run_op(all[chance() % all.size()]->last);
    }
    return o;
}

cudaError_t fake_enqueue(cudaStream_t stream, const char *name, std::function<cudaError_t()> work)
{
    call c(NULL);
    CUstream_st *s = find_stream(stream);
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!s)
        return c.give(cudaErrorInvalidResourceHandle);
    if (captured(s))
        return c.give(capture_work(s, name, std::move(work)));
    cudaError_t code = legacy_allowed(s);
    if (code != cudaSuccess)
        return c.give(code);
    add_op(s, name, std::move(work));
    return cudaSuccess;
}

static cudaError_t create(call &c, cudaStream_t *stream, unsigned flags)
{
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!stream || flags > cudaStreamNonBlocking)
        return c.give(cudaErrorInvalidValue);
    all_streams();
    streams.push_back(new CUstream_st);
    streams.back()->flags = flags;
    *stream = streams.back();
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *pStream)
{
    call c("cudaStreamCreate");
    return create(c, pStream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *pStream, unsigned flags)
{
    call c("cudaStreamCreateWithFlags");
    return create(c, pStream, flags);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *pStream, unsigned flags, int)
{
    call c("cudaStreamCreateWithPriority");
    return create(c, pStream, flags);
}

/* Returns at once; its work is still done. */
cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    call c("cudaStreamDestroy");
    CUstream_st *s = find_stream(stream);
    if (!s || s == &legacy || s == &per_thread)
        return c.give(cudaErrorInvalidResourceHandle);
    if (captured(s))
        return c.give(unsafe_on(s));
    run_op(s->last);
    streams.erase(std::find(streams.begin(), streams.end(), s));
    delete s;
    return c.give(cudaSuccess);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    call c("cudaStreamSynchronize");
    CUstream_st *s = find_stream(stream);
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!s)
        return c.give(cudaErrorInvalidResourceHandle);
    cudaError_t unsafe = unsafe_on(s);
    if (unsafe != cudaSuccess)
        return c.give(unsafe);
    std::vector<op_ref> after;
    if (s == &legacy)
        wait_implicitly(s, after);
    for (const op_ref &o : after)
        run_op(o);
    return c.give(run_op(s->last));
}

/* Work that is not ready yet is so the next time. */
cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    call c("cudaStreamQuery");
    CUstream_st *s = find_stream(stream);
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!s)
        return c.give(cudaErrorInvalidResourceHandle);
    cudaError_t unsafe = unsafe_on(s);
    if (unsafe != cudaSuccess)
        return c.give(unsafe);
    if (!s->last || s->last->done)
        return cudaSuccess;
    run_op(s->last);
    return c.give(cudaErrorNotReady);
}

cudaError_t cudaDeviceSynchronize(void)
{
    call c("cudaDeviceSynchronize");
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (any_capture())
        return c.give(cudaErrorStreamCaptureUnsupported);
    return c.give(run_all());
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t fn, void *userData)
{
    call c("cudaLaunchHostFunc");
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!fn)
        return c.give(cudaErrorInvalidValue);
    return c.give(fake_enqueue(stream, "cudaLaunchHostFunc", [=] {
        fn(userData);
        return cudaSuccess;
    }));
}

size_t stream_leaks(bool tell)
{
    size_t leaks = all_streams().size() - 2;
    if (leaks && tell)
        fprintf(stderr, "fake CUDA: not destroyed: %zu streams\n", leaks);
    return leaks + event_leaks(tell);
}

void restart_streams()
{
    for (CUstream_st *s : all_streams()) {
        s->last = nullptr;
        s->into = nullptr;
        if (s != &legacy && s != &per_thread)
            delete s;
    }
    streams.clear();
    restart_events();
}
