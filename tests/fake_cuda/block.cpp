/* SPDX-License-Identifier: Apache-2.0
 * Runs a kernel: block after block, all threads of one as if at the same time. */
#include "kernel.h"

#include <algorithm>
#include <cstring>

#pragma GCC visibility push(default)
extern "C" {
uint3 threadIdx, blockIdx, blockDim, gridDim;
void __syncthreads(void);
void __threadfence_block(void);
void __threadfence(void);
}
#pragma GCC visibility pop

block now;
static uint3 indices[MAX_THREADS];
static unsigned fiber_of[MAX_THREADS];
static unsigned idle[MAX_THREADS], idles, fibers;
static unsigned ready[MAX_THREADS], ready_first, readies; /* a ring */

void make_ready(unsigned thread)
{
    ready[(ready_first + readies++) % MAX_THREADS] = thread;
}

/* From a fiber that cannot go on to whatever can. */
static void give_way(unsigned from)
{
    unsigned to = SCHEDULER;
    if (readies) {
        to = fiber_of[ready[ready_first]];
        now.current = ready[ready_first];
        ready_first = (ready_first + 1) % MAX_THREADS;
        readies--;
    } else if (now.next < now.threads) {
        to = idles ? idle[--idles] : fibers++;
    }
    if (to != from)
        fiber_switch(from, to);
}

void park()
{
    unsigned thread = now.current;
    give_way(fiber_of[thread]);
    now.current = thread;
    threadIdx = indices[thread];
}

/* Runs threads from their beginning, as long as there are any. */
static void run_threads(unsigned fiber)
{
    for (;;) {
        while (now.next < now.threads) {
            unsigned thread = now.next++;
            now.current = thread;
            fiber_of[thread] = fiber;
            threadIdx = indices[thread];
            now.l->run(now.l->packet);
            now.left++;
            lane_leaves(now.current);
        }
        idle[idles++] = fiber;
        give_way(fiber);
    }
}

std::string name_thread(unsigned thread)
{
    uint3 t = indices[thread];
    return text("block (%u,%u,%u) thread (%u,%u,%u)", blockIdx.x, blockIdx.y, blockIdx.z, t.x, t.y,
                t.z);
}

void fail_thread(cudaError_t code, const std::string &what)
{
    report(code,
           "kernel " + symbol_name(now.l->kernel) + " " + name_thread(now.current) + ": " + what);
    now.failed = true;
    fiber_switch(fiber_of[now.current], SCHEDULER);
    __builtin_unreachable();
}

void __syncthreads(void)
{
    if (++now.at_barrier < now.threads) {
        now.waits[now.current] = true;
        park();
        return;
    }
    now.at_barrier = 0;
    shared_barrier();
    for (unsigned t = 0; t < now.threads; t++) {
        if (now.waits[t])
            make_ready(t);
        now.waits[t] = false;
    }
}

void __threadfence_block(void)
{
}

void __threadfence(void)
{
}

/* Nobody can go on, and not all have returned. */
static void report_stuck()
{
    std::string line = "kernel " + symbol_name(now.l->kernel) + " ";
    std::string lane = waiting_lane();
    if (now.at_barrier) {
        unsigned thread = 0;
        while (!now.waits[thread])
            thread++;
        line += name_thread(thread) + text(" and %u others wait at __syncthreads, where %u threads "
                                           "never arrive",
                                           now.at_barrier - 1, now.threads - now.at_barrier);
        if (!lane.empty())
            line += "; ";
    }
    report(cudaErrorLaunchFailure, line + lane);
    now.failed = true;
}

static bool run_block()
{
    now.next = now.left = now.at_barrier = 0;
    readies = 0;
    begin_warps();
    shared_begin_block();
    fiber_switch(SCHEDULER, idles ? idle[--idles] : fibers++);
    if (!now.failed && now.left < now.threads)
        report_stuck();
    if (now.failed) {
        fibers_forget();
        fibers = idles = 0;
        memset(now.waits, 0, sizeof now.waits);
    }
    return !now.failed;
}

cudaError_t run_kernel(const launch &l)
{
    if (!fibers_make(run_threads))
        return cudaErrorLaunchOutOfResources;
    now.l = &l;
    now.threads = l.block.x * l.block.y * l.block.z;
    now.failed = false;
    blockDim = uint3{l.block.x, l.block.y, l.block.z};
    gridDim = uint3{l.grid.x, l.grid.y, l.grid.z};
    unsigned n = 0;
    for (unsigned z = 0; z < l.block.z; z++)
        for (unsigned y = 0; y < l.block.y; y++)
            for (unsigned x = 0; x < l.block.x; x++)
                indices[n++] = uint3{x, y, z};
    shared_find(l.kernel);
    uint64_t blocks = (uint64_t)l.grid.x * l.grid.y * l.grid.z;
    bool backwards = order() == ANY && chance() % 2;
    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t b = backwards ? blocks - 1 - i : i;
        blockIdx = uint3{(unsigned)(b % l.grid.x), (unsigned)(b / l.grid.x % l.grid.y),
                         (unsigned)(b / l.grid.x / l.grid.y)};
        if (!run_block())
            return device_error;
    }
    return cudaSuccess;
}
