/* SPDX-License-Identifier: Apache-2.0
 * Launching kernels: what a device refuses at once. */
#include "kernel.h"
#include "include/cuda_runtime.h"

#include <cstring>
#include <map>

constexpr size_t PACKET_BYTES = 4096; /* of arguments, before CUDA 12.1 and sm_70 */

static bool fits(const dim3 &grid, const dim3 &block)
{
    uint64_t threads = (uint64_t)block.x * block.y * block.z;
    return grid.x >= 1 && grid.x <= 0x7fffffff && grid.y >= 1 && grid.y <= 65535 && grid.z >= 1 &&
           grid.z <= 65535 && block.x >= 1 && block.x <= 1024 && block.y >= 1 && block.y <= 1024 &&
           block.z >= 1 && block.z <= 64 && threads <= MAX_THREADS;
}

/* Operations keep the name: for ever. */
static const char *kept_name(const void *kernel)
{
    static std::map<const void *, std::string> names;
    std::string &name = names[kernel];
    if (name.empty())
        name = symbol_name(kernel);
    return name.c_str();
}

cudaError_t fake_launch(const cudaLaunchConfig_t *config, const void *kernel,
                        void (*run)(const void *packet), const void *packet, size_t bytes)
{
    call c("cudaLaunchKernelEx");
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!config || config->numAttrs != 0 || bytes > PACKET_BYTES)
        return c.give(cudaErrorInvalidValue);
    if (!kernel)
        return c.give(cudaErrorInvalidDeviceFunction);
    if (!fits(config->gridDim, config->blockDim))
        return c.give(cudaErrorInvalidConfiguration);
    if (config->dynamicSmemBytes != 0)
        return c.give(cudaErrorNotSupported);
    auto arguments = std::make_shared<std::vector<uint64_t>>((bytes + 7) / 8);
    memcpy(arguments->data(), packet, bytes);
    launch l = {config->gridDim, config->blockDim, kernel, run, arguments->data(), bytes};
    return c.give(
        fake_enqueue(config->stream, kept_name(kernel), [l, arguments] { return run_kernel(l); }));
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attr, const void *func)
{
    call c("cudaFuncGetAttributes");
    if (c.code != cudaSuccess)
        return c.give(c.code);
    if (!attr || !func)
        return c.give(attr ? cudaErrorInvalidDeviceFunction : cudaErrorInvalidValue);
    if (capability() < LEAST_CAPABILITY)
        return c.give(cudaErrorNoKernelImageForDevice);
    memset(attr, 0, sizeof *attr);
    attr->maxThreadsPerBlock = MAX_THREADS;
    attr->numRegs = 32;
    attr->ptxVersion = attr->binaryVersion = 80;
    return cudaSuccess;
}

bool fake_checks_kernels(void)
{
#ifdef FAKE_UNCHECKED
    return false;
#else
    return true;
#endif
}
