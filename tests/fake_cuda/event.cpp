/* SPDX-License-Identifier: Apache-2.0
 * Events: points in a stream that others wait for. */
#include "internal.h"

#include <cstdio>
#include <set>

static std::set<CUevent_st *> events;

bool is_event(cudaEvent_t event)
{
    return events.count(event) != 0;
}

static cudaError_t create(call &c, cudaEvent_t *event, unsigned flags)
{
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!event || flags > 7)
        return c.give(cudaErrorInvalidValue);
    *event = new CUevent_st;
    (*event)->flags = flags;
    events.insert(*event);
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    call c("cudaEventCreate");
    return create(c, event, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    call c("cudaEventCreateWithFlags");
    return create(c, event, flags);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    call c("cudaEventDestroy");
    if (events.erase(event) == 0)
        return c.give(cudaErrorInvalidResourceHandle);
    delete event;
    return c.give(cudaSuccess);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    call c("cudaEventRecord");
    CUstream_st *s = find_stream(stream);
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!s || !is_event(event))
        return c.give(cudaErrorInvalidResourceHandle);
    if (captured(s)) {
        event->into = s->into;
        event->frontier = s->frontier;
        event->recorded = nullptr;
        return c.give(s->into->broken ? cudaErrorStreamCaptureInvalidated : cudaSuccess);
    }
    cudaError_t code = legacy_allowed(s);
    if (code != cudaSuccess)
        return c.give(code);
    event->into = nullptr;
    event->frontier.clear();
    event->recorded = add_op(s, "cudaEventRecord", nullptr);
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    call c("cudaStreamWaitEvent");
    CUstream_st *s = find_stream(stream);
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!s || !is_event(event))
        return c.give(cudaErrorInvalidResourceHandle);
    if (captured(s) || captured_event(event))
        return c.give(capture_wait(s, event));
    cudaError_t code = legacy_allowed(s);
    if (code != cudaSuccess)
        return c.give(code);
    op_ref recorded = event->recorded;
    if (!recorded || recorded->done)
        return cudaSuccess;
    op_ref waits = std::make_shared<op>();
    waits->name = "cudaStreamWaitEvent";
    waits->after.push_back(recorded);
    if (s->last && !s->last->done)
        waits->after.push_back(s->last);
    s->last = waits;
    return cudaSuccess;
}

/* Checks that begin both kinds of waiting. */
static cudaError_t look(call &c, cudaEvent_t event)
{
    if (c.code != cudaSuccess)
        return c.code;
    if (!is_event(event))
        return cudaErrorInvalidResourceHandle;
    if (captured_event(event)) {
        event->into->broken = true;
        return cudaErrorCapturedEvent;
    }
    return unsafe_call();
}

/* What is not ready yet is so the next time. */
cudaError_t cudaEventQuery(cudaEvent_t event)
{
    call c("cudaEventQuery");
    cudaError_t code = look(c, event);
    if (code != cudaSuccess || !event->recorded || event->recorded->done)
        return c.give(code);
    run_op(event->recorded);
    return c.give(cudaErrorNotReady);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    call c("cudaEventSynchronize");
    cudaError_t code = look(c, event);
    return c.give(code != cudaSuccess ? code : run_op(event->recorded));
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    call c("cudaEventElapsedTime");
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!ms)
        return c.give(cudaErrorInvalidValue);
    for (cudaEvent_t event : {start, end})
        if (!is_event(event) || event->flags & cudaEventDisableTiming || !event->recorded)
            return c.give(cudaErrorInvalidResourceHandle);
    if (!start->recorded->done || !end->recorded->done)
        return c.give(cudaErrorNotReady);
    *ms = (float)((double)(end->recorded->t_ns - start->recorded->t_ns) * 1e-6);
    return cudaSuccess;
}

size_t event_leaks(bool tell)
{
    if (!events.empty() && tell)
        fprintf(stderr, "fake CUDA: not destroyed: %zu events\n", events.size());
    return events.size();
}

void restart_events()
{
    for (CUevent_st *event : events)
        delete event;
    events.clear();
}
