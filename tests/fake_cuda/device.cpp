/* SPDX-License-Identifier: Apache-2.0
 * The device: one, of compute capability 8.0 unless CAPABILITY says another. */
#include "internal.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

int capability()
{
    const std::string told = setting("CAPABILITY");
    return told.empty() ? 80 : atoi(told.c_str());
}

cudaError_t cudaDriverGetVersion(int *driverVersion)
{
    call c("cudaDriverGetVersion", call::ALWAYS);
    if (!driverVersion)
        return c.give(cudaErrorInvalidValue);
    std::string driver = setting("DRIVER");
    *driverVersion = driver == "none" ? 0 : driver == "old" ? 12040 : CUDART_VERSION;
    return c.give(cudaSuccess);
}

cudaError_t cudaRuntimeGetVersion(int *runtimeVersion)
{
    call c("cudaRuntimeGetVersion", call::ALWAYS);
    if (!runtimeVersion)
        return c.give(cudaErrorInvalidValue);
    *runtimeVersion = CUDART_VERSION;
    return c.give(cudaSuccess);
}

cudaError_t cudaGetDeviceCount(int *count)
{
    call c("cudaGetDeviceCount");
    if (count)
        *count = 0;
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!count)
        return c.give(cudaErrorInvalidValue);
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device)
{
    call c("cudaGetDeviceProperties");
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!prop || device != 0)
        return c.give(prop ? cudaErrorInvalidDevice : cudaErrorInvalidValue);
    memset(prop, 0, sizeof *prop);
    snprintf(prop->name, sizeof prop->name, "stand-in for a GPU");
    prop->totalGlobalMem = device_memory();
    prop->sharedMemPerBlock = 48 << 10;
    prop->regsPerBlock = 65536;
    prop->warpSize = 32;
    prop->memPitch = 0x7fffffff;
    prop->maxThreadsPerBlock = 1024;
    prop->maxThreadsDim[0] = prop->maxThreadsDim[1] = 1024;
    prop->maxThreadsDim[2] = 64;
    prop->maxGridSize[0] = 0x7fffffff;
    prop->maxGridSize[1] = prop->maxGridSize[2] = 65535;
    prop->totalConstMem = 64 << 10;
    prop->major = capability() / 10;
    prop->minor = capability() % 10;
    prop->multiProcessorCount = 4;
    prop->concurrentKernels = 1;
    prop->pciBusID = 1;
    prop->asyncEngineCount = 2;
    prop->unifiedAddressing = 1;
    prop->memoryBusWidth = 256;
    prop->l2CacheSize = 4 << 20;
    prop->maxThreadsPerMultiProcessor = 2048;
    prop->sharedMemPerMultiprocessor = 164 << 10;
    prop->sharedMemPerBlockOptin = 163 << 10;
    prop->maxBlocksPerMultiProcessor = 32;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attr, int device)
{
    const struct {
        cudaDeviceAttr attr;
        int value;
    } attributes[] = {
        {cudaDevAttrMaxThreadsPerBlock, 1024},
        {cudaDevAttrMaxBlockDimX, 1024},
        {cudaDevAttrMaxBlockDimY, 1024},
        {cudaDevAttrMaxBlockDimZ, 64},
        {cudaDevAttrMaxGridDimX, 0x7fffffff},
        {cudaDevAttrMaxGridDimY, 65535},
        {cudaDevAttrMaxGridDimZ, 65535},
        {cudaDevAttrMaxSharedMemoryPerBlock, 48 << 10},
        {cudaDevAttrWarpSize, 32},
        {cudaDevAttrClockRate, 1000000},
        {cudaDevAttrMultiProcessorCount, 4},
        {cudaDevAttrIntegrated, 0},
        {cudaDevAttrComputeMode, 0},
        {cudaDevAttrConcurrentKernels, 1},
        {cudaDevAttrPciBusId, 1},
        {cudaDevAttrPciDeviceId, 0},
        {cudaDevAttrMemoryClockRate, 1000000},
        {cudaDevAttrGlobalMemoryBusWidth, 256},
        {cudaDevAttrL2CacheSize, 4 << 20},
        {cudaDevAttrMaxThreadsPerMultiProcessor, 2048},
        {cudaDevAttrUnifiedAddressing, 1},
        {cudaDevAttrPciDomainId, 0},
        {cudaDevAttrComputeCapabilityMajor, capability() / 10},
        {cudaDevAttrComputeCapabilityMinor, capability() % 10},
        {cudaDevAttrMaxSharedMemoryPerBlockOptin, 163 << 10},
    };
    call c("cudaDeviceGetAttribute");
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (device != 0)
        return c.give(cudaErrorInvalidDevice);
    for (auto &a : attributes) {
        if (value && a.attr == attr) {
            *value = a.value;
            return cudaSuccess;
        }
    }
    return c.give(cudaErrorInvalidValue);
}

cudaError_t cudaSetDevice(int device)
{
    call c("cudaSetDevice");
    if (c.code != cudaSuccess)
        return c.give(c.code);
    return c.give(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int *device)
{
    call c("cudaGetDevice");
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!device)
        return c.give(cudaErrorInvalidValue);
    *device = 0;
    return cudaSuccess;
}

cudaError_t cudaSetDeviceFlags(unsigned)
{
    call c("cudaSetDeviceFlags");
    return c.give(c.code);
}
