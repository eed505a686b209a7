/* SPDX-License-Identifier: Apache-2.0
 * Stand-in for CUDA's header of this name: errors, handles, attributes. Values are CUDA 13's;
 * structs hold only what a backend reads and are not laid out as CUDA's. */
#ifndef FAKE_CUDA_DRIVER_TYPES_H
#define FAKE_CUDA_DRIVER_TYPES_H

#include <stddef.h>

#include "vector_types.h"

/* error(name, value, what cudaGetErrorString says) */
#define FAKE_CUDA_ERRORS(error)                                                                                    \
    error(cudaSuccess, 0, "no error") error(cudaErrorInvalidValue, 1, "invalid argument") error(                   \
        cudaErrorMemoryAllocation, 2,                                                                              \
        "out of memory") error(cudaErrorInitializationError, 3,                                                    \
                               "initialization error") error(cudaErrorCudartUnloading, 4,                          \
                                                             "driver shutting down")                               \
        error(cudaErrorInvalidConfiguration, 9, "invalid configuration argument") error(                           \
            cudaErrorInvalidPitchValue, 12,                                                                        \
            "invalid pitch argument") error(cudaErrorInvalidSymbol, 13, "invalid device symbol")                   \
            error(cudaErrorInvalidMemcpyDirection, 21, "invalid copy direction for memcpy") error(                 \
                cudaErrorInsufficientDriver, 35,                                                                   \
                "CUDA driver version is "                                                                          \
                "insufficient for CUDA runtime "                                                                   \
                "version") error(cudaErrorDevicesUnavailable, 46,                                                  \
                                 "CUDA-capable "                                                                   \
                                 "device(s) is/are "                                                               \
                                 "busy or "                                                                        \
                                 "unavailable") error(cudaErrorInvalidDeviceFunction, 98,                          \
                                                      "invalid device function")                                   \
                error(cudaErrorNoDevice, 100, "no CUDA-capable device is detected") error(                         \
                    cudaErrorInvalidDevice, 101,                                                                   \
                    "invalid device ordinal") error(cudaErrorInvalidKernelImage, 200,                              \
                                                    "device kernel image is invalid")                              \
                    error(cudaErrorDeviceUninitialized, 201, "invalid device context") error(                      \
                        cudaErrorNoKernelImageForDevice, 209,                                                      \
                        "no kernel image is available for "                                                        \
                        "execution on the device") error(cudaErrorECCUncorrectable, 214,                           \
                                                         "uncorrectable ECC error encountered")                    \
                        error(                                                                                     \
                            cudaErrorOperatingSystem, 304,                                                         \
                            "OS call failed or "                                                                   \
                            "operation not "                                                                       \
                            "supported on this OS") error(cudaErrorInvalidResourceHandle, 400,                     \
                                                          "invalid resource handle") error(cudaErrorIllegalState,  \
                                                                                           401,                    \
                                                                                           "the "                  \
                                                                                           "opera"                 \
                                                                                           "tion "                 \
                                                                                           "canno"                 \
                                                                                           "t be "                 \
                                                                                           "perfo"                 \
                                                                                           "rmed "                 \
                                                                                           "in "                   \
                                                                                           "the "                  \
                                                                                           "prese"                 \
                                                                                           "nt "                   \
                                                                                           "stat"                  \
                                                                                           "e")                    \
                            error(cudaErrorNotReady, 600, "device not ready") error(                               \
                                cudaErrorIllegalAddress, 700,                                                      \
                                "an illegal memory access was "                                                    \
                                "encountered") error(cudaErrorLaunchOutOfResources, 701,                           \
                                                     "too many "                                                   \
                                                     "resources "                                                  \
                                                     "requested "                                                  \
                                                     "for launch") error(cudaErrorLaunchTimeout,                   \
                                                                         702,                                      \
                                                                         "the launch timed out "                   \
                                                                         "and was terminated")                     \
                                error(cudaErrorContextIsDestroyed, 709,                                            \
                                      "context"                                                                    \
                                      " is "                                                                       \
                                      "destroy"                                                                    \
                                      "ed") error(cudaErrorAssert, 710,                                            \
                                                  "device-side assert triggered")                                  \
                                    error(                                                                         \
                                        cudaErrorHostMemoryAlreadyRegistered, 712,                                 \
                                        "part or all of the requested memory range is "                            \
                                        "already mapped") error(cudaErrorHostMemoryNotRegistered,                  \
                                                                713,                                               \
                                                                "pointer does not correspond "                     \
                                                                "to a registered memory "                          \
                                                                "region") error(cudaErrorMisalignedAddress,        \
                                                                                716,                               \
                                                                                "misaligned "                      \
                                                                                "address")                         \
                                        error(                                                                     \
                                            cudaErrorInvalidAddressSpace, 717,                                     \
                                            "operation not supported on global/shared "                            \
                                            "address space") error(cudaErrorLaunchFailure, 719,                    \
                                                                   "unspecified launch "                           \
                                                                   "failure") error(cudaErrorNotPermitted,         \
                                                                                    800,                           \
                                                                                    "operation "                   \
                                                                                    "not "                         \
                                                                                    "permitted")                   \
                                            error(cudaErrorNotSupported, 801,                                      \
                                                  "operation "                                                     \
                                                  "not "                                                           \
                                                  "supported") error(cudaErrorSystemNotReady, 802,                 \
                                                                     "system not yet initialized")                 \
                                                error(cudaErrorSystemDriverMismatch, 803,                          \
                                                      "system has unsupported display "                            \
                                                      "driver / cuda driver combination")                          \
                                                    error(cudaErrorStreamCaptureUnsupported, 900,                  \
                                                          "operation not permitted when "                          \
                                                          "stream is capturing")                                   \
                                                        error(                                                     \
                                                            cudaErrorStreamCaptureInvalidated,                     \
                                                            901,                                                   \
                                                            "o"                                                    \
                                                            "p"                                                    \
                                                            "e"                                                    \
                                                            "r"                                                    \
                                                            "a"                                                    \
                                                            "t"                                                    \
                                                            "i"                                                    \
                                                            "o"                                                    \
                                                            "n"                                                    \
                                                            " "                                                    \
                                                            "f"                                                    \
                                                            "a"                                                    \
                                                            "i"                                                    \
                                                            "l"                                                    \
                                                            "e"                                                    \
                                                            "d"                                                    \
                                                            " "                                                    \
                                                            "d"                                                    \
                                                            "u"                                                    \
                                                            "e"                                                    \
                                                            " "                                                    \
                                                            "t"                                                    \
                                                            "o"                                                    \
                                                            " "                                                    \
                                                            "a"                                                    \
                                                            " "                                                    \
                                                            "p"                                                    \
                                                            "r"                                                    \
                                                            "e"                                                    \
                                                            "v"                                                    \
                                                            "i"                                                    \
                                                            "o"                                                    \
                                                            "u"                                                    \
                                                            "s"                                                    \
                                                            " "                                                    \
                                                            "e"                                                    \
                                                            "r"                                                    \
                                                            "r"                                                    \
                                                            "o"                                                    \
                                                            "r"                                                    \
                                                            " "                                                    \
                                                            "d"                                                    \
                                                            "u"                                                    \
                                                            "r"                                                    \
                                                            "i"                                                    \
                                                            "n"                                                    \
                                                            "g"                                                    \
                                                            " "                                                    \
                                                            "c"                                                    \
                                                            "a"                                                    \
                                                            "p"                                                    \
                                                            "t"                                                    \
                                                            "u"                                                    \
                                                            "r"                                                    \
                                                            "e") error(cudaErrorStreamCaptureMerge,                \
                                                                       902,                                        \
                                                                       "operation would result "                   \
                                                                       "in a "                                     \
                                                                       "merge of separate "                        \
                                                                       "capture "                                  \
                                                                       "sequences")                                \
                                                            error(                                                 \
                                                                cudaErrorStreamCaptureUnmatched,                   \
                                                                903,                                               \
                                                                "capture "                                         \
                                                                "was not "                                         \
                                                                "initiated"                                        \
                                                                " in this "                                        \
                                                                "stream") error(cudaErrorStreamCaptureUnjoined,    \
                                                                                904,                               \
                                                                                "capturing "                       \
                                                                                "stream has "                      \
                                                                                "unjoined work")                   \
                                                                error(                                             \
                                                                    cudaErrorStreamCaptureIsolation,               \
                                                                    905,                                           \
                                                                    "dependency created "                          \
                                                                    "on uncaptured work "                          \
                                                                    "in another stream")                           \
                                                                    error(                                         \
                                                                        cudaErrorStreamCaptureImplicit,            \
                                                                        906,                                       \
                                                                        "operation "                               \
                                                                        "would make "                              \
                                                                        "the legacy "                              \
                                                                        "stream depend "                           \
                                                                        "on a "                                    \
                                                                        "capturing "                               \
                                                                        "blocking "                                \
                                                                        "stream")                                  \
                                                                        error(                                     \
                                                                            cudaErrorCapturedEvent,                \
                                                                            907,                                   \
                                                                            "operation "                           \
                                                                            "not "                                 \
                                                                            "permitted "                           \
                                                                            "on an event "                         \
                                                                            "last "                                \
                                                                            "recorded in "                         \
                                                                            "a capturing "                         \
                                                                            "stream")                              \
                                                                            error(                                 \
                                                                                cudaErrorStreamCaptureWrongThread, \
                                                                                908,                               \
                                                                                "attempt "                         \
                                                                                "to "                              \
                                                                                "terminat"                         \
                                                                                "e a "                             \
                                                                                "thread-"                          \
                                                                                "local "                           \
                                                                                "capture "                         \
                                                                                "sequence"                         \
                                                                                " from "                           \
                                                                                "another "                         \
                                                                                "thread")                          \
                                                                                error(                             \
                                                                                    cudaErrorUnknown,              \
                                                                                    999,                           \
                                                                                    "unkn"                         \
                                                                                    "own "                         \
                                                                                    "erro"                         \
                                                                                    "r")

enum cudaError {
#define FAKE_CUDA_ERROR(name, value, text) name = value,
    FAKE_CUDA_ERRORS(FAKE_CUDA_ERROR)
#undef FAKE_CUDA_ERROR
};
typedef enum cudaError cudaError_t;

typedef struct CUstream_st *cudaStream_t;
typedef struct CUevent_st *cudaEvent_t;
typedef struct CUgraph_st *cudaGraph_t;
typedef struct CUgraphNode_st *cudaGraphNode_t;
typedef struct CUgraphExec_st *cudaGraphExec_t;
typedef void (*cudaHostFn_t)(void *userData);

#define cudaStreamLegacy ((cudaStream_t)0x1)
#define cudaStreamPerThread ((cudaStream_t)0x2)

enum { cudaStreamDefault = 0x00, cudaStreamNonBlocking = 0x01 };
enum { cudaEventDefault = 0x00, cudaEventBlockingSync = 0x01, cudaEventDisableTiming = 0x02 };
enum { cudaEventRecordDefault = 0x00, cudaEventRecordExternal = 0x01 };
enum { cudaEventWaitDefault = 0x00, cudaEventWaitExternal = 0x01 };
enum {
    cudaHostAllocDefault = 0x00,
    cudaHostAllocPortable = 0x01,
    cudaHostAllocMapped = 0x02,
    cudaHostAllocWriteCombined = 0x04
};
enum {
    cudaDeviceScheduleAuto = 0x00,
    cudaDeviceScheduleSpin = 0x01,
    cudaDeviceScheduleYield = 0x02,
    cudaDeviceScheduleBlockingSync = 0x04,
    cudaDeviceScheduleMask = 0x07,
    cudaDeviceMapHost = 0x08,
    cudaDeviceLmemResizeToMax = 0x10
};

enum cudaMemcpyKind {
    cudaMemcpyHostToHost = 0,
    cudaMemcpyHostToDevice = 1,
    cudaMemcpyDeviceToHost = 2,
    cudaMemcpyDeviceToDevice = 3,
    cudaMemcpyDefault = 4
};

enum cudaMemoryType {
    cudaMemoryTypeUnregistered = 0,
    cudaMemoryTypeHost = 1,
    cudaMemoryTypeDevice = 2,
    cudaMemoryTypeManaged = 3
};

struct cudaPointerAttributes {
    enum cudaMemoryType type;
    int device;
    void *devicePointer;
    void *hostPointer;
};

enum cudaStreamCaptureStatus {
    cudaStreamCaptureStatusNone = 0,
    cudaStreamCaptureStatusActive = 1,
    cudaStreamCaptureStatusInvalidated = 2
};

enum cudaStreamCaptureMode {
    cudaStreamCaptureModeGlobal = 0,
    cudaStreamCaptureModeThreadLocal = 1,
    cudaStreamCaptureModeRelaxed = 2
};

enum cudaGraphInstantiateFlags {
    cudaGraphInstantiateFlagAutoFreeOnLaunch = 1,
    cudaGraphInstantiateFlagUpload = 2,
    cudaGraphInstantiateFlagDeviceLaunch = 4,
    cudaGraphInstantiateFlagUseNodePriority = 8
};

enum cudaDeviceAttr {
    cudaDevAttrMaxThreadsPerBlock = 1,
    cudaDevAttrMaxBlockDimX = 2,
    cudaDevAttrMaxBlockDimY = 3,
    cudaDevAttrMaxBlockDimZ = 4,
    cudaDevAttrMaxGridDimX = 5,
    cudaDevAttrMaxGridDimY = 6,
    cudaDevAttrMaxGridDimZ = 7,
    cudaDevAttrMaxSharedMemoryPerBlock = 8,
    cudaDevAttrWarpSize = 10,
    cudaDevAttrClockRate = 13,
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrIntegrated = 18,
    cudaDevAttrComputeMode = 20,
    cudaDevAttrConcurrentKernels = 31,
    cudaDevAttrPciBusId = 33,
    cudaDevAttrPciDeviceId = 34,
    cudaDevAttrMemoryClockRate = 36,
    cudaDevAttrGlobalMemoryBusWidth = 37,
    cudaDevAttrL2CacheSize = 38,
    cudaDevAttrMaxThreadsPerMultiProcessor = 39,
    cudaDevAttrUnifiedAddressing = 41,
    cudaDevAttrPciDomainId = 50,
    cudaDevAttrComputeCapabilityMajor = 75,
    cudaDevAttrComputeCapabilityMinor = 76,
    cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};

struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem;
    size_t sharedMemPerBlock;
    int regsPerBlock;
    int warpSize;
    size_t memPitch;
    int maxThreadsPerBlock;
    int maxThreadsDim[3];
    int maxGridSize[3];
    size_t totalConstMem;
    int major;
    int minor;
    int multiProcessorCount;
    int integrated;
    int canMapHostMemory;
    int concurrentKernels;
    int ECCEnabled;
    int pciBusID;
    int pciDeviceID;
    int pciDomainID;
    int asyncEngineCount;
    int unifiedAddressing;
    int memoryBusWidth;
    int l2CacheSize;
    int maxThreadsPerMultiProcessor;
    size_t sharedMemPerMultiprocessor;
    size_t sharedMemPerBlockOptin;
    int maxBlocksPerMultiProcessor;
};

struct cudaFuncAttributes {
    size_t sharedSizeBytes;
    size_t constSizeBytes;
    size_t localSizeBytes;
    int maxThreadsPerBlock;
    int numRegs;
    int ptxVersion;
    int binaryVersion;
};

typedef struct cudaLaunchAttribute_st {
    int id;
} cudaLaunchAttribute;

typedef struct cudaLaunchConfig_st {
    dim3 gridDim;
    dim3 blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
    cudaLaunchAttribute *attrs;
    unsigned int numAttrs;
} cudaLaunchConfig_t;

#endif
