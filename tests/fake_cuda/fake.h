/* SPDX-License-Identifier: Apache-2.0
 * What tests ask of the stand-in CUDA, and what its libraries (cublasLt, cudnn) are built on.
 *
 * Settings, from the environment as FAKE_CUDA_NAME or by fake_set("NAME", …):
 *   DEVICES=0       no device (cudaErrorNoDevice)
 *   DRIVER=old      a driver older than the runtime (cudaErrorInsufficientDriver); none: no driver
 *   MEMORY=bytes    of the device (8 GiB); beyond: cudaErrorMemoryAllocation
 *   CAPABILITY=75   of the device: 7.5 instead of 8.0; its kernels are for 7.5 and later
 *   ORDER=late      work runs when something waits for it, no earlier: the default
 *   ORDER=eager     work runs when it is enqueued
 *   ORDER=any:SEED  work runs whenever the streams allow, blocks in any order
 *   FAIL=N          the N-th call of the runtime or a library fails (from 1)
 *   FAIL=name:K     the K-th call of that name
 *   REPORT=path     at the end of the process, a line there: calls, leaks (fake_leaks) and the name
 *                   of the call that was made to fail, or -
 *   CUDNN_LAYOUT=planar  cuDNN has no algorithm for channels last
 *   CUDNN_BIAS=none      and none that adds a bias
 *   CUDNN_GROUPS=none    and none for groups; any: none that gives the same bits every time; late:
 *                        it lists them, and refuses to run them
 *   TIME=name:ns,…  events tell a time that is counted: work whose name has `name` in it takes so
 *                   many nanoseconds (cudnnConvolutionForward, a kernel's name), all other none
 *   RESET=recovers  cudaDeviceReset ends what NVIDIA says only the end of the process does
 */
#ifndef FAKE_CUDA_FAKE_H
#define FAKE_CUDA_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cuda_runtime_api.h"

#pragma GCC visibility push(default)
#ifdef __cplusplus
extern "C" {
#endif

/* NULL: as if it were not in the environment. */
void fake_set(const char *name, const char *value);
/* As in a new process, but with the settings; what was made is forgotten. */
void fake_restart(void);
/* Calls so far that FAIL counts. */
uint64_t fake_calls(void);
uint64_t fake_calls_of(const char *name);
/* Allocations, streams, events, graphs and what libraries made that are not freed; told on stderr
 * one a line where `tell`. */
size_t fake_leaks(bool tell);
/* Whether every access of kernels is checked: not under ThreadSanitizer or by clang, where
 * also nothing counts as unwritten. */
bool fake_checks_kernels(void);
/* What the last error of device work was told as on stderr, "" if none. */
const char *fake_last_report(void);

/* For libraries. A call that FAIL picks returns true, once: the library then gives the error that
 * its documentation names. Counted for each public call that can fail. */
bool fake_fails(const char *call);
/* What a library made: counted by fake_leaks under `what` ("cudnnHandle_t") until freed. */
void fake_made(const void *handle, const char *what);
void fake_freed(const void *handle);

/* In device work only. Whether all bytes lie in one live allocation of the device, and for
 * fake_reads were written before; fake_writes marks them as written. Otherwise says so on stderr
 * and makes it the device's error: the work should return. rows: `pitch` bytes from row to row. */
bool fake_reads(const void *p, size_t bytes);
bool fake_writes(void *p, size_t bytes);
bool fake_reads_rows(const void *p, size_t pitch, size_t bytes, size_t rows);
bool fake_writes_rows(void *p, size_t pitch, size_t bytes, size_t rows);
/* Any time: whether all bytes lie in one live allocation of the device. */
bool fake_is_device(const void *p, size_t bytes);

#ifdef __cplusplus
}
#endif
#pragma GCC visibility pop

#ifdef __cplusplus
#include <functional>

/* Runs work in the order of the stream, with the device's memory open, or records it into the graph
 * that the stream is captured into, which may run it many times. What it gives, if not cudaSuccess,
 * becomes the device's error. Gives what enqueueing gives. */
__attribute__((visibility("default"))) cudaError_t
fake_enqueue(cudaStream_t stream, const char *name, std::function<cudaError_t()> work);
#endif

#endif
