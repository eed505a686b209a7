/* SPDX-License-Identifier: Apache-2.0
 * Work of streams recorded into graphs, which run it in an order that its dependencies allow. */
#include "internal.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <set>

struct CUgraph_st {
    std::shared_ptr<const capture> made;
};
struct CUgraphExec_st {
    std::shared_ptr<const capture> made;
};

static std::vector<std::shared_ptr<capture>> captures; /* begun and not over */
static std::set<CUgraph_st *> graphs;
static std::set<CUgraphExec_st *> execs;
static thread_local cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;

static uint64_t this_thread()
{
    static std::atomic<uint64_t> threads;
    static thread_local uint64_t number = ++threads;
    return number;
}

bool captured(const CUstream_st *s)
{
    return s->into && !s->into->over;
}

bool captured_event(cudaEvent_t event)
{
    return event->into && !event->into->over;
}

bool any_capture()
{
    for (auto &c : captures)
        c->broken = true;
    return !captures.empty();
}

cudaError_t unsafe_call()
{
    cudaError_t code = cudaSuccess;
    for (auto &c : captures) {
        bool own = c->thread == this_thread();
        bool forbids = own ? c->mode != cudaStreamCaptureModeRelaxed
                           : c->mode == cudaStreamCaptureModeGlobal &&
                                 thread_mode == cudaStreamCaptureModeGlobal;
        if (forbids && thread_mode != cudaStreamCaptureModeRelaxed) {
            c->broken = true;
            code = cudaErrorStreamCaptureUnsupported;
        }
    }
    return code;
}

cudaError_t unsafe_on(CUstream_st *s)
{
    if (!captured(s))
        return s == find_stream(NULL) && legacy_allowed(s) != cudaSuccess
                   ? cudaErrorStreamCaptureImplicit
                   : unsafe_call();
    s->into->broken = true;
    return cudaErrorStreamCaptureUnsupported;
}

/* Work on the legacy stream would wait for the captured ones. */
cudaError_t legacy_allowed(const CUstream_st *s)
{
    if (s != find_stream(NULL))
        return cudaSuccess;
    for (CUstream_st *other : all_streams()) {
        if (captured(other) && !(other->flags & cudaStreamNonBlocking)) {
            other->into->broken = true;
            return cudaErrorStreamCaptureImplicit;
        }
    }
    return cudaSuccess;
}

cudaError_t capture_work(CUstream_st *s, const char *name, std::function<cudaError_t()> work)
{
    capture &c = *s->into;
    if (c.broken)
        return cudaErrorStreamCaptureInvalidated;
    c.nodes.push_back(graph_node{name, std::move(work), s->frontier});
    s->frontier = {c.nodes.size() - 1};
    return cudaSuccess;
}

cudaError_t capture_wait(CUstream_st *s, cudaEvent_t event)
{
    if (!captured_event(event)) {
        if (!event->recorded)
            return cudaSuccess;
        s->into->broken = true;
        return cudaErrorStreamCaptureIsolation;
    }
    if (captured(s) && s->into != event->into) {
        s->into->broken = event->into->broken = true;
        return cudaErrorStreamCaptureMerge;
    }
    if (event->into->broken)
        return cudaErrorStreamCaptureInvalidated;
    if (s == find_stream(NULL)) {
        event->into->broken = true;
        return cudaErrorStreamCaptureImplicit;
    }
    if (!captured(s)) {
        s->into = event->into;
        s->frontier.clear();
    }
    for (size_t node : event->frontier)
        if (std::find(s->frontier.begin(), s->frontier.end(), node) == s->frontier.end())
            s->frontier.push_back(node);
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    call c("cudaStreamBeginCapture");
    CUstream_st *s = find_stream(stream);
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!s)
        return c.give(cudaErrorInvalidResourceHandle);
    if (s == find_stream(NULL))
        return c.give(cudaErrorStreamCaptureUnsupported);
    if (captured(s))
        return c.give(cudaErrorIllegalState);
    s->into = std::make_shared<capture>();
    s->into->origin = s;
    s->into->mode = mode;
    s->into->thread = this_thread();
    s->frontier.clear();
    captures.push_back(s->into);
    return cudaSuccess;
}

/* Whether every node is one that `last` waits for. */
static bool joined(const capture &c, const std::vector<size_t> &last)
{
    std::vector<bool> reached(c.nodes.size());
    for (size_t node : last)
        reached[node] = true;
    bool all = true;
    for (size_t i = c.nodes.size(); i-- > 0;) {
        all = all && reached[i];
        for (size_t node : c.nodes[i].after)
            reached[node] = reached[node] || reached[i];
    }
    return all;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *pGraph)
{
    call c("cudaStreamEndCapture");
    CUstream_st *s = find_stream(stream);
    if (pGraph)
        *pGraph = NULL;
    if (!s)
        return c.give(cudaErrorInvalidResourceHandle);
    if (!captured(s))
        return c.give(cudaErrorIllegalState);
    std::shared_ptr<capture> into = s->into;
    if (into->origin != s) {
        into->broken = true;
        return c.give(cudaErrorStreamCaptureUnmatched);
    }
    if (into->mode != cudaStreamCaptureModeRelaxed && into->thread != this_thread())
        return c.give(cudaErrorStreamCaptureWrongThread);
    into->over = true;
    captures.erase(std::find(captures.begin(), captures.end(), into));
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (into->broken)
        return c.give(cudaErrorStreamCaptureInvalidated);
    if (!joined(*into, s->frontier))
        return c.give(cudaErrorStreamCaptureUnjoined);
    if (!pGraph)
        return c.give(cudaErrorInvalidValue);
    *pGraph = new CUgraph_st{into};
    graphs.insert(*pGraph);
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *pCaptureStatus)
{
    call c("cudaStreamIsCapturing");
    CUstream_st *s = find_stream(stream);
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!s || !pCaptureStatus)
        return c.give(s ? cudaErrorInvalidValue : cudaErrorInvalidResourceHandle);
    cudaError_t code = legacy_allowed(s);
    if (code != cudaSuccess)
        return c.give(code);
    *pCaptureStatus = !captured(s)      ? cudaStreamCaptureStatusNone
                      : s->into->broken ? cudaStreamCaptureStatusInvalidated
                                        : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode)
{
    call c("cudaThreadExchangeStreamCaptureMode");
    if (!mode)
        return c.give(cudaErrorInvalidValue);
    std::swap(*mode, thread_mode);
    return c.give(cudaSuccess);
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *numNodes)
{
    call c("cudaGraphGetNodes");
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!graphs.count(graph) || !numNodes)
        return c.give(cudaErrorInvalidValue);
    size_t n = graph->made->nodes.size();
    for (size_t i = 0; nodes && i < std::min(n, *numNodes); i++)
        nodes[i] = (cudaGraphNode_t)&graph->made->nodes[i];
    *numNodes = n;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *pGraphExec, cudaGraph_t graph, unsigned long long)
{
    call c("cudaGraphInstantiate");
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!pGraphExec || !graphs.count(graph))
        return c.give(cudaErrorInvalidValue);
    *pGraphExec = new CUgraphExec_st{graph->made};
    execs.insert(*pGraphExec);
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t graphExec, cudaStream_t stream)
{
    call c("cudaGraphUpload");
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!execs.count(graphExec) || !find_stream(stream))
        return c.give(cudaErrorInvalidValue);
    return cudaSuccess;
}

/* Nodes become streams' work without a stream; the last waits for all. */
static cudaError_t run_graph(const capture &c)
{
    std::vector<op_ref> ops;
    op_ref all = std::make_shared<op>();
    all->name = "cudaGraphLaunch";
    for (const graph_node &node : c.nodes) {
        op_ref o = std::make_shared<op>();
        o->name = node.name;
        o->work = node.work;
        for (size_t before : node.after)
            o->after.push_back(ops[before]);
        ops.push_back(o);
    }
    all->after = ops;
    if (order() != EAGER) /* late branches first: not as they were captured */
        std::reverse(all->after.begin(), all->after.end());
    run_op(all);
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graphExec, cudaStream_t stream)
{
    call c("cudaGraphLaunch");
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!execs.count(graphExec))
        return c.give(cudaErrorInvalidValue);
    std::shared_ptr<const capture> made = graphExec->made;
    return c.give(fake_enqueue(stream, "cudaGraphLaunch", [made] { return run_graph(*made); }));
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graphExec)
{
    call c("cudaGraphExecDestroy");
    if (execs.erase(graphExec) == 0)
        return c.give(cudaErrorInvalidValue);
    delete graphExec;
    return c.give(cudaSuccess);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    call c("cudaGraphDestroy");
    if (graphs.erase(graph) == 0)
        return c.give(cudaErrorInvalidValue);
    delete graph;
    return c.give(cudaSuccess);
}

size_t graph_leaks(bool tell)
{
    if (tell && graphs.size() + execs.size())
        fprintf(stderr, "fake CUDA: not destroyed: %zu graphs, %zu executable ones\n",
                graphs.size(), execs.size());
    return graphs.size() + execs.size();
}

void restart_captures()
{
    for (auto &c : captures)
        c->over = true;
    captures.clear();
    for (CUgraph_st *graph : graphs)
        delete graph;
    for (CUgraphExec_st *exec : execs)
        delete exec;
    graphs.clear();
    execs.clear();
}
