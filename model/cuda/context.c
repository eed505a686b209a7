/* SPDX-License-Identifier: Apache-2.0
 * The card: which one, its streams and the libraries' handles, and what its errors say. */
#include <ctype.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/cuda/context.h"

static atomic_int open_backends;

/* Errors */

/* Of the name in "cudaFree(p)"; 0 of what is no call of CUDA's. */
static int name_length(const char *call)
{
    const size_t n = strcspn(call, "(");
    return strncmp(call, "cuda", 4) == 0 && isupper((unsigned char)call[4]) && call[n] == '('
               ? (int)n
               : 0;
}

int cuda_check_call(cudaError_t code, const char *call, const char *what, struct error *error)
{
    if (code == cudaSuccess)
        return 0;
    int errnum = EIO;
    if (code == cudaErrorMemoryAllocation)
        errnum = ENOMEM;
    else if (code == cudaErrorNoDevice)
        errnum = ENODEV;
    const int named = name_length(call);
    return error_set(error, errnum, "GPU: %s: %.*s%s%s (%s)", what, named, call,
                     named > 0 ? ": " : "", cudaGetErrorString(code), cudaGetErrorName(code));
}

int cuda_check_lt(cublasStatus_t code, const char *what, struct error *error)
{
    if (code == CUBLAS_STATUS_SUCCESS)
        return 0;
    return error_set(error, code == CUBLAS_STATUS_ALLOC_FAILED ? ENOMEM : EIO,
                     "GPU: %s: cuBLASLt answers %s (%d)", what, cublasLtGetStatusName(code),
                     (int)code);
}

int cuda_check_cudnn(cudnnStatus_t code, const char *what, struct error *error)
{
    if (code == CUDNN_STATUS_SUCCESS)
        return 0;
    return error_set(error, code == CUDNN_STATUS_ALLOC_FAILED ? ENOMEM : EIO,
                     "GPU: %s: cuDNN answers %s (%d)", what, cudnnGetErrorString(code), (int)code);
}

/* The card */

/* A card that is there may be of a kind that the module was not compiled for, or be another
 * process's alone. */
static int check_usable(const struct cudaDeviceProp *card, struct error *error)
{
    const cudaError_t code = cuda_try_image();
    if (code == cudaSuccess)
        return 0;
    (void)cudaGetLastError();
    if (code == cudaErrorNoKernelImageForDevice || code == cudaErrorInvalidDeviceFunction)
        return error_set(error, ENOTSUP,
                         "the %s has compute capability %d.%d; this build is for %s and later",
                         card->name, card->major, card->minor, CUDA_BUILT_FOR);
    if (code == cudaErrorDevicesUnavailable)
        return error_set(error, EBUSY,
                         "the %s is taken: another process has it to itself (nvidia-smi tells its "
                         "compute mode)",
                         card->name);
    return cuda_check(code, "trying the card", error);
}

/* CUDA says of a driver that is older than the runtime and of none at all nearly the same. */
int cuda_probe(char *ret_name, size_t n, struct error *error)
{
    int devices = 0, driver = 0;
    struct cudaDeviceProp properties;
    cudaError_t code = cudaGetDeviceCount(&devices);
    if (code == cudaErrorInsufficientDriver) {
        (void)cudaGetLastError();
        (void)cudaDriverGetVersion(&driver);
        if (driver == 0)
            return error_set(error, ENODEV, "no NVIDIA driver is loaded");
        return error_set(error, ENOSYS,
                         "the NVIDIA driver is for CUDA %d.%d, older than this build's %d.%d: "
                         "install a newer driver",
                         driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000,
                         CUDART_VERSION % 1000 / 10);
    }
    if (code == cudaErrorNoDevice || (code == cudaSuccess && devices < 1)) {
        (void)cudaGetLastError();
        return error_set(error, ENODEV, "no NVIDIA card is there");
    }
    if (code == cudaSuccess)
        code = cudaGetDeviceProperties(&properties, 0);
    if (code != cudaSuccess) {
        (void)cudaGetLastError();
        return cuda_check(code, "asking for the card", error);
    }
    snprintf(ret_name, n, "%s", properties.name);
    return check_usable(&properties, error);
}

/* cuDNN has convolutions of bfloat16 from 8.0 on only; an older card has nothing that is fast in it
 * either. */
static int check_precision(const struct backend *b, struct error *error)
{
    enum { AMPERE = 8 };
    int major = AMPERE;
    int r = b->precision == PRECISION_BFLOAT16
                ? cuda_check(
                      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, b->device),
                      "asking for the card's compute capability", error)
                : 0;
    if (r < 0 || major >= AMPERE)
        return r;
    return error_set(error, ENOTSUP,
                     "GPU: precision bfloat16 needs a card of compute capability 8.0 or later, "
                     "which the %s is not: choose float16, tf32 or float32",
                     b->name);
}

/* A stream that does not wait for the default one, and an event that the processor sleeps for. */
static int make_streams(struct backend *b, struct error *error)
{
    cudaStream_t *streams[] = {&b->stream, &b->up, &b->down};
    cudaEvent_t *events[] = {&b->uploaded, &b->computed, &b->downloaded, &b->done};
    int r = 0;
    for (int i = 0; i < 3 && r == 0; i++)
        r = cuda_check(cudaStreamCreateWithFlags(streams[i], cudaStreamNonBlocking), "a stream",
                       error);
    for (int i = 0; i < 4 && r == 0; i++)
        r = cuda_check(
            cudaEventCreateWithFlags(events[i],
                                     cudaEventDisableTiming | (i == 3 ? cudaEventBlockingSync : 0)),
            "an event", error);
    return r;
}

int cuda_open(struct backend **ret, const struct backend_config *config, struct error *error)
{
    struct backend *b = calloc(1, sizeof *b);
    if (b == NULL)
        return error_set(error, ENOMEM, "out of memory");
    b->precision = config->precision;
    b->depthwise = config->depthwise;
    atomic_fetch_add(&open_backends, 1);
    int r = cuda_probe(b->name, sizeof b->name, error);
    if (r == 0)
        r = cuda_check(cudaSetDevice(b->device), "taking the card", error);
    if (r == 0)
        r = cuda_check(cudaDeviceGetAttribute(&b->cache_bytes, cudaDevAttrL2CacheSize, b->device),
                       "asking for the card's cache", error);
    if (r == 0)
        r = check_precision(b, error);
    if (r == 0)
        r = make_streams(b, error);
    if (r == 0)
        r = cuda_check_lt(cublasLtCreate(&b->lt), "cublasLtCreate", error);
    if (r == 0)
        r = cuda_check_cudnn(cudnnCreate(&b->cudnn), "cudnnCreate", error);
    if (r == 0)
        r = cuda_check_cudnn(cudnnSetStream(b->cudnn, b->stream), "cudnnSetStream", error);
    if (r < 0) {
        cuda_close(b);
        return r;
    }
    *ret = b;
    return 0;
}

/* After an error in flight every call fails, in all of the process, until the card is reset; what
 * is still open would be lost with it, so the last to close does that. */
static void reset_if_broken(void)
{
    if (atomic_fetch_sub(&open_backends, 1) > 1)
        return;
    (void)cudaGetLastError();
    if (cudaFree(NULL) != cudaSuccess)
        (void)cudaDeviceReset();
    (void)cudaGetLastError();
}

/* What fails here failed before, and its error was told then. */
void cuda_close(struct backend *b)
{
    if (b == NULL)
        return;
    cudaStream_t streams[] = {b->stream, b->up, b->down};
    cudaEvent_t events[] = {b->uploaded, b->computed, b->downloaded, b->done};
    if (b->cudnn != NULL)
        cudnnDestroy(b->cudnn);
    if (b->lt != NULL)
        cublasLtDestroy(b->lt);
    for (int i = 0; i < 4; i++)
        if (events[i] != NULL)
            cudaEventDestroy(events[i]);
    for (int i = 0; i < 3; i++)
        if (streams[i] != NULL)
            cudaStreamDestroy(streams[i]);
    cuda_focal_forget(b);
    free(b);
    reset_if_broken();
}

void cuda_enter(struct backend *b)
{
    (void)cudaSetDevice(b->device); /* a thread's own choice; what fails is told by what follows */
}

/* Types */

cudaDataType_t cuda_data_type(enum cell_type type)
{
    return type == CELL_BFLOAT16 ? CUDA_R_16BF : type == CELL_FLOAT16 ? CUDA_R_16F : CUDA_R_32F;
}

cublasComputeType_t cuda_compute_type(const struct backend *b, enum cell_type type)
{
    return type == CELL_FLOAT32 && b->precision == PRECISION_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                                  : CUBLAS_COMPUTE_32F;
}
