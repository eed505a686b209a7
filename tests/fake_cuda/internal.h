/* SPDX-License-Identifier: Apache-2.0
 * What the files of the stand-in share. One lock is held in every call; device work runs under it
 * on the thread that waits for it. */
#ifndef FAKE_CUDA_INTERNAL_H
#define FAKE_CUDA_INTERNAL_H

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "fake.h"

/* error.cpp: the lock, the errors, and how every call begins and ends. */

struct call {
    enum kind {
        DEVICE, /* fails once the device has failed */
        ALWAYS  /* does not */
    };
    std::unique_lock<std::recursive_mutex> lock;
    cudaError_t code; /* of beginning: return give(code) if it is not cudaSuccess */

    call(const char *name, kind k = DEVICE); /* NULL: not one that can fail */
    cudaError_t give(cudaError_t result);    /* also becomes the thread's last error */
};

extern cudaError_t device_error; /* sticky */
/* Says the line on stderr, keeps it for fake_last_report and makes the error the device's. */
void report(cudaError_t code, const std::string &line);
std::string text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* settings.cpp */

std::string setting(const char *name); /* "" if there is none */
void restart_faults();
/* What TIME says that such work takes; -1: nothing, a clock tells. */
int64_t told_ns(const char *name);
enum order { LATE, EAGER, ANY };
enum order order();
uint32_t chance(); /* random bits for ANY */

/* arena.cpp: the addresses of the device and what is known of each byte. */

constexpr uint64_t ARENA_BYTES = 1ull << 38;
enum : uint8_t { SHADOW_NONE, SHADOW_UNWRITTEN, SHADOW_WRITTEN };
extern "C" __attribute__((visibility("default")))
uintptr_t fake_arena; /* first address; the shadow lies ARENA_BYTES behind */

bool arena_make();
void arena_open(), arena_close(); /* nest */
bool in_arena(const void *p);
uint8_t *shadow_of(const void *p);
void *arena_take(size_t bytes); /* NULL: none left */
void arena_give(void *p, size_t bytes);
void arena_restart();

/* memory.cpp: allocations. */

bool is_pinned(const void *p, size_t bytes);
/* "64 bytes behind the 4096 bytes of allocation 7 (0x…)" */
std::string describe(const void *p);
void describe_into(char *line, size_t bytes, const void *p);
size_t memory_leaks(bool tell);
void restart_memory();
uint64_t device_memory();
/* Ten times the compute capability, and that of the oldest card that its kernels are for. */
int capability();
constexpr int LEAST_CAPABILITY = 75;

/* stream.cpp: work in its order. */

struct op;
using op_ref = std::shared_ptr<op>;
struct op {
    const char *name;
    std::function<cudaError_t()> work; /* may be empty */
    std::vector<op_ref> after;         /* emptied when done */
    bool done = false;
    int64_t t_ns = 0; /* when done */
};

struct capture;
struct CUstream_st {
    unsigned flags = 0;
    op_ref last; /* enqueued */
    std::shared_ptr<capture> into;
    std::vector<size_t> frontier; /* nodes that the next one comes after, while captured */
};

struct CUevent_st {
    unsigned flags = 0;
    op_ref recorded;
    std::shared_ptr<capture> into; /* of the last record */
    std::vector<size_t> frontier;
};

CUstream_st *find_stream(cudaStream_t stream); /* NULL: there is none */
bool is_event(cudaEvent_t event);
op_ref add_op(CUstream_st *s, const char *name, std::function<cudaError_t()> work);
/* All that it waits for, then it; the device's error. */
cudaError_t run_op(const op_ref &op);
cudaError_t run_all();
const std::vector<CUstream_st *> &all_streams();
const char *running_op(); /* NULL: none */
size_t stream_leaks(bool tell), event_leaks(bool tell);
void restart_streams(), restart_events();

/* capture.cpp: recording work into graphs. */

struct graph_node {
    const char *name;
    std::function<cudaError_t()> work;
    std::vector<size_t> after;
};
struct capture {
    CUstream_st *origin;
    cudaStreamCaptureMode mode;
    uint64_t thread;
    bool broken = false, over = false;
    std::vector<graph_node> nodes;
};

bool captured(const CUstream_st *s);
bool captured_event(cudaEvent_t event);
/* cudaSuccess, or what a call gives that may not be made now because of a capture, which it ends.
 */
cudaError_t unsafe_call();
cudaError_t unsafe_on(CUstream_st *s);
cudaError_t legacy_allowed(const CUstream_st *s);
cudaError_t capture_work(CUstream_st *s, const char *name, std::function<cudaError_t()> work);
cudaError_t capture_wait(CUstream_st *s, cudaEvent_t event);
bool any_capture();
size_t graph_leaks(bool tell);
void restart_captures();

/* block.cpp, warp.cpp, shared.cpp, fiber.cpp, symbol.cpp: running a kernel. */

struct launch {
    dim3 grid, block;
    const void *kernel;
    void (*run)(const void *packet);
    const void *packet;
    size_t packet_bytes;
};
cudaError_t run_kernel(const launch &l);
std::string symbol_name(const void *code); /* demangled; an address if unknown */
std::string code_place(const void *code);  /* file+offset, for addr2line */

#endif
