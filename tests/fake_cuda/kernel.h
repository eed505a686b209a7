/* SPDX-License-Identifier: Apache-2.0
 * What the files that run kernels share. A thread runs on a fiber until it has to wait; then
 * another goes on. Threads that never wait run one after the other on the same fiber. */
#ifndef FAKE_CUDA_KERNEL_H
#define FAKE_CUDA_KERNEL_H

#include "internal.h"

constexpr unsigned LANES = 32, MAX_THREADS = 1024, MAX_WARPS = MAX_THREADS / LANES;

/* fiber.cpp: MAX_THREADS stacks. */

constexpr unsigned SCHEDULER = MAX_THREADS; /* the stack that called run_kernel */
bool fibers_make(void (*entry)(unsigned fiber));
/* Leaves `from` until something switches to it; a fiber begins at its entry. */
void fiber_switch(unsigned from, unsigned to);
void fibers_forget(); /* all begin at their entry again */
bool on_fiber(const void *p);

/* block.cpp */

struct lane {
    int op;
    unsigned mask, argument;
    int width;
    uint64_t value, result;
};

struct warp {
    unsigned arrived; /* lanes that wait */
    unsigned absent;  /* lanes that there are none of, or that have left */
    uint32_t phase;   /* __syncwarps so far */
    lane lanes[LANES];
};

struct block {
    const launch *l;
    unsigned threads;
    unsigned next;    /* not begun yet */
    unsigned left;    /* have returned */
    unsigned current; /* runs now */
    unsigned at_barrier;
    bool failed;
    bool waits[MAX_THREADS]; /* at __syncthreads */
    warp warps[MAX_WARPS];
};
extern block now;

void park(); /* the current thread, until it is ready */
void make_ready(unsigned thread);
/* Reports what the current thread did, and ends the kernel: does not return. */
[[noreturn]] void fail_thread(cudaError_t code, const std::string &what);
std::string name_thread(unsigned thread);

/* warp.cpp */

void begin_warps();
void lane_leaves(unsigned thread);
std::string waiting_lane(); /* what some lane waits for; "" if none does */

/* shared.cpp: __shared__ variables are the writable ones of the kernel's module. */

void shared_find(const void *kernel);
void shared_begin_block();
void shared_barrier();
bool is_shared(const void *p, size_t bytes);
/* What is wrong with the current thread's access; "" if nothing. */
std::string shared_access(const void *p, size_t bytes, bool writes);

#endif
