/* SPDX-License-Identifier: Apache-2.0
 * The lock, the errors, and how every call begins and ends. */
#include "internal.h"

#include <cstdarg>
#include <cstdio>

static std::recursive_mutex everything;
cudaError_t device_error = cudaSuccess;
static thread_local cudaError_t last_error = cudaSuccess;
static std::string last_report;

std::string text(const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    return line;
}

void report(cudaError_t code, const std::string &line)
{
    fprintf(stderr, "fake CUDA: %s\n", line.c_str());
    last_report = line;
    if (device_error == cudaSuccess)
        device_error = code;
}

const char *fake_last_report(void)
{
    return last_report.c_str();
}

/* What a failure of the named call is documented as. Waiting gives what went wrong before it, which
 * stays. */
static cudaError_t injected(const std::string &name)
{
    if (name == "cudaMalloc" || name == "cudaMallocHost" || name == "cudaHostAlloc" ||
        name == "cudaGraphInstantiate" || name == "cudaGraphUpload" || name == "cudaStreamCreate" ||
        name == "cudaStreamCreateWithFlags" || name == "cudaStreamCreateWithPriority" ||
        name == "cudaEventCreate" || name == "cudaEventCreateWithFlags")
        return cudaErrorMemoryAllocation;
    if (name == "cudaLaunchKernelEx")
        return cudaErrorLaunchOutOfResources;
    if (name == "cudaStreamEndCapture")
        return cudaErrorStreamCaptureInvalidated;
    if (name == "cudaGetDeviceCount")
        return cudaErrorNoDevice;
    if (name == "cudaSetDevice" || name == "cudaFuncGetAttributes" || name == "cudaSetDeviceFlags")
        return cudaErrorDevicesUnavailable;
    if (name == "cudaGetDeviceProperties" || name == "cudaDeviceGetAttribute")
        return cudaErrorInvalidDevice;
    if (name == "cudaDriverGetVersion" || name == "cudaRuntimeGetVersion")
        return cudaErrorInvalidValue;
    report(cudaErrorLaunchFailure, "made to fail: " + name);
    return cudaErrorLaunchFailure;
}

call::call(const char *name, kind k) : lock(everything), code(cudaSuccess)
{
    std::string driver = setting("DRIVER"), devices = setting("DEVICES");
    bool fails = name && fake_fails(name);
    if (k == DEVICE && (driver == "old" || driver == "none"))
        code = cudaErrorInsufficientDriver;
    else if (k == DEVICE && devices == "0")
        code = cudaErrorNoDevice;
    else if (fails)
        code = injected(name);
    else if (k == DEVICE)
        code = device_error;
}

cudaError_t call::give(cudaError_t result)
{
    if (result == cudaSuccess && code != cudaSuccess)
        result = code;
    if (result != cudaSuccess)
        last_error = result;
    return result;
}

cudaError_t cudaPeekAtLastError(void)
{
    std::lock_guard<std::recursive_mutex> lock(everything);
    return device_error != cudaSuccess ? device_error : last_error;
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = cudaPeekAtLastError();
    last_error = cudaSuccess;
    return error;
}

const char *cudaGetErrorName(cudaError_t error)
{
    switch (error) {
#define NAME(name, value, text)                                                                    \
    case name:                                                                                     \
        return #name;
        FAKE_CUDA_ERRORS(NAME)
#undef NAME
    }
    return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
#define TEXT(name, value, text)                                                                    \
    case name:                                                                                     \
        return text;
        FAKE_CUDA_ERRORS(TEXT)
#undef TEXT
    }
    return "unrecognized error code";
}

void fake_restart(void)
{
    std::lock_guard<std::recursive_mutex> lock(everything);
    restart_captures();
    restart_streams();
    restart_memory();
    restart_faults();
    device_error = last_error = cudaSuccess;
    last_report.clear();
}

cudaError_t cudaDeviceReset(void)
{
    call c("cudaDeviceReset", call::ALWAYS);
    if (c.code == cudaSuccess && device_error == cudaSuccess)
        run_all();
    cudaError_t code = device_error;
    restart_captures();
    restart_streams();
    restart_memory();
    if (setting("RESET") == "recovers")
        code = device_error = cudaSuccess;
    return c.give(code);
}

size_t fake_leaks(bool tell)
{
    std::lock_guard<std::recursive_mutex> lock(everything);
    return memory_leaks(tell) + stream_leaks(tell) + graph_leaks(tell);
}
