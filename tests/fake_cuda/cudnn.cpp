/* SPDX-License-Identifier: Apache-2.0
 * Stand-in for cuDNN, to its documentation: handles and descriptors. */
#include "cudnn_objects.h"

namespace dnn
{
made<cudnnContext> handles("cudnnHandle_t");
made<cudnnTensorStruct> tensors("cudnnTensorDescriptor_t");
made<cudnnFilterStruct> filters("cudnnFilterDescriptor_t");
made<cudnnConvolutionStruct> convolutions("cudnnConvolutionDescriptor_t");
made<cudnnActivationStruct> activations("cudnnActivationDescriptor_t");
} // namespace dnn

using namespace dnn;

size_t cudnnGetVersion(void)
{
    return CUDNN_VERSION;
}

const char *cudnnGetErrorString(cudnnStatus_t status)
{
    switch (status) {
    case CUDNN_STATUS_SUCCESS:
        return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_NOT_INITIALIZED:
        return "CUDNN_STATUS_NOT_INITIALIZED";
    case CUDNN_STATUS_BAD_PARAM:
        return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_STATUS_BAD_PARAM_NULL_POINTER:
        return "CUDNN_STATUS_BAD_PARAM_NULL_POINTER";
    case CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER:
        return "CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER";
    case CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT:
        return "CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT";
    case CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH:
        return "CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH";
    case CUDNN_STATUS_NOT_SUPPORTED:
        return "CUDNN_STATUS_NOT_SUPPORTED";
    case CUDNN_STATUS_NOT_SUPPORTED_SHAPE:
        return "CUDNN_STATUS_NOT_SUPPORTED_SHAPE";
    case CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE:
        return "CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE";
    case CUDNN_STATUS_NOT_SUPPORTED_LAYOUT:
        return "CUDNN_STATUS_NOT_SUPPORTED_LAYOUT";
    case CUDNN_STATUS_INTERNAL_ERROR:
        return "CUDNN_STATUS_INTERNAL_ERROR";
    case CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED:
        return "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED";
    case CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED:
        return "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED";
    case CUDNN_STATUS_EXECUTION_FAILED:
        return "CUDNN_STATUS_EXECUTION_FAILED";
    case CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER:
        return "CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER";
    case CUDNN_STATUS_EXECUTION_FAILED_CUDART:
        return "CUDNN_STATUS_EXECUTION_FAILED_CUDART";
    }
    return "CUDNN_UNKNOWN_STATUS";
}

/* There is nothing more to say. */
void cudnnGetLastErrorString(char *message, size_t max_size)
{
    if (message && max_size > 0)
        message[0] = '\0';
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
    int devices = 0;
    if (fake_fails("cudnnCreate"))
        return CUDNN_STATUS_NOT_INITIALIZED;
    if (!handle)
        return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0)
        return CUDNN_STATUS_NOT_INITIALIZED;
    *handle = handles.create();
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    return handles.destroy(handle) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t streamId)
{
    if (fake_fails("cudnnSetStream") || !handles.has(handle))
        return CUDNN_STATUS_BAD_PARAM;
    handle->stream = streamId;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetStream(cudnnHandle_t handle, cudaStream_t *streamId)
{
    if (!handles.has(handle) || !streamId)
        return CUDNN_STATUS_BAD_PARAM;
    *streamId = handle->stream;
    return CUDNN_STATUS_SUCCESS;
}

template <class T> static cudnnStatus_t create(const char *call, made<T> &all, T **ret)
{
    if (fake_fails(call))
        return CUDNN_STATUS_ALLOC_FAILED;
    if (!ret)
        return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    *ret = all.create();
    return CUDNN_STATUS_SUCCESS;
}

template <class T> static cudnnStatus_t destroy(made<T> &all, T *p)
{
    return !p || all.destroy(p) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

static bool is_format(cudnnTensorFormat_t format)
{
    return format == CUDNN_TENSOR_NCHW || format == CUDNN_TENSOR_NHWC;
}

static bool is_type(cudnnDataType_t type)
{
    return (type >= CUDNN_DATA_FLOAT && type <= CUDNN_DATA_INT32) || type == CUDNN_DATA_BFLOAT16;
}

/* What setting a tensor or a filter of these sizes gives. */
static cudnnStatus_t check_sizes(cudnnTensorFormat_t format, cudnnDataType_t type, int a, int b,
                                 int c, int d)
{
    if (!is_format(format) || !is_type(type) || a <= 0 || b <= 0 || c <= 0 || d <= 0)
        return CUDNN_STATUS_BAD_PARAM;
    return (double)a * b * c * d >= 0x1p31 ? CUDNN_STATUS_NOT_SUPPORTED : CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t *tensorDesc)
{
    return create("cudnnCreateTensorDescriptor", tensors, tensorDesc);
}

cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t tensorDesc)
{
    return destroy(tensors, tensorDesc);
}

cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t t, cudnnTensorFormat_t format,
                                         cudnnDataType_t dataType, int n, int c, int h, int w)
{
    if (fake_fails("cudnnSetTensor4dDescriptor") || !tensors.has(t))
        return CUDNN_STATUS_BAD_PARAM;
    cudnnStatus_t status = check_sizes(format, dataType, n, c, h, w);
    if (status == CUDNN_STATUS_SUCCESS)
        *t = {true, format, dataType, n, c, h, w};
    return status;
}

cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t *filterDesc)
{
    return create("cudnnCreateFilterDescriptor", filters, filterDesc);
}

cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t filterDesc)
{
    return destroy(filters, filterDesc);
}

cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t f, cudnnDataType_t dataType,
                                         cudnnTensorFormat_t format, int k, int c, int h, int w)
{
    if (fake_fails("cudnnSetFilter4dDescriptor") || !filters.has(f))
        return CUDNN_STATUS_BAD_PARAM;
    cudnnStatus_t status = check_sizes(format, dataType, k, c, h, w);
    if (status == CUDNN_STATUS_SUCCESS)
        *f = {true, format, dataType, k, c, h, w};
    return status;
}

cudnnStatus_t cudnnCreateActivationDescriptor(cudnnActivationDescriptor_t *activationDesc)
{
    return create("cudnnCreateActivationDescriptor", activations, activationDesc);
}

cudnnStatus_t cudnnDestroyActivationDescriptor(cudnnActivationDescriptor_t activationDesc)
{
    return destroy(activations, activationDesc);
}

cudnnStatus_t cudnnSetActivationDescriptor(cudnnActivationDescriptor_t a,
                                           cudnnActivationMode_t mode,
                                           cudnnNanPropagation_t reluNanOpt, double)
{
    if (fake_fails("cudnnSetActivationDescriptor") || !activations.has(a) ||
        mode < CUDNN_ACTIVATION_SIGMOID || mode > CUDNN_ACTIVATION_SWISH ||
        reluNanOpt < CUDNN_NOT_PROPAGATE_NAN || reluNanOpt > CUDNN_PROPAGATE_NAN)
        return CUDNN_STATUS_BAD_PARAM;
    *a = {true, mode, reluNanOpt};
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t *convDesc)
{
    return create("cudnnCreateConvolutionDescriptor", convolutions, convDesc);
}

cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t convDesc)
{
    return destroy(convolutions, convDesc);
}

cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t c, cudnnMathType_t mathType)
{
    if (fake_fails("cudnnSetConvolutionMathType") || !convolutions.has(c) ||
        mathType < CUDNN_DEFAULT_MATH || mathType > CUDNN_FMA_MATH)
        return CUDNN_STATUS_BAD_PARAM;
    c->math = mathType;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t c, int pad_h, int pad_w,
                                              int u, int v, int dilation_h, int dilation_w,
                                              cudnnConvolutionMode_t mode,
                                              cudnnDataType_t computeType)
{
    if (fake_fails("cudnnSetConvolution2dDescriptor") || !convolutions.has(c) || pad_h < 0 ||
        pad_w < 0 || u <= 0 || v <= 0 || dilation_h <= 0 || dilation_w <= 0 ||
        (mode != CUDNN_CONVOLUTION && mode != CUDNN_CROSS_CORRELATION) || !is_type(computeType))
        return CUDNN_STATUS_BAD_PARAM;
    *c = {true, {pad_h, pad_w}, {u, v}, {dilation_h, dilation_w}, mode, computeType, c->math, 1};
    return CUDNN_STATUS_SUCCESS;
}
