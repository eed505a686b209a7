/* SPDX-License-Identifier: Apache-2.0
 * Stand-in for cuDNN, to its documentation: batch norm of the mode CUDNN_BATCHNORM_SPATIAL. How
 * cuDNN orders its sums is not documented: here they are in double.
 *
 * The variance that becomes a running one is a sample's, of n cells n / (n - 1) of the batch's. Of
 * one cell it is NaN here, so that who counts on it finds out; a running value that was never set
 * spoils what it becomes even where it is multiplied by 0. What is not documented is refused:
 * a result in the place of an operand, layouts mixed. */
#include <cmath>
#include <limits>
#include <vector>

#include "cudnn_objects.h"

using namespace dnn;

namespace
{
struct norm {
    cudnnTensorStruct shape; /* of x, y, dy, dx */
    double epsilon, factor;  /* factor: of the running values */
    float alpha, beta, alpha_channel, beta_channel;
    const char *x, *dy;
    char *to; /* y, dx */
    const float *scale, *bias, *mean, *variance;
    float *running_mean, *running_variance, *save_mean, *save_inverse;
    const float *saved_mean, *saved_inverse;
    float *dscale, *dbias;
};

/* Of one channel. */
struct sums {
    double mean, variance, inverse;
};

struct operand {
    const void *at;
    size_t bytes;
    bool read, written;
};
} // namespace

static cudaDataType_t type_of(const norm &n)
{
    return n.shape.type == CUDNN_DATA_HALF       ? CUDA_R_16F
           : n.shape.type == CUDNN_DATA_BFLOAT16 ? CUDA_R_16BF
                                                 : CUDA_R_32F;
}

static size_t area_of(const norm &n)
{
    return (size_t)n.shape.h * (size_t)n.shape.w;
}

static size_t count_of(const norm &n)
{
    return (size_t)n.shape.n * area_of(n);
}

/* Cell i of channel c. */
static size_t at(const norm &n, size_t c, size_t i)
{
    const size_t channels = (size_t)n.shape.c, area = area_of(n);
    return n.shape.format == CUDNN_TENSOR_NHWC ? i * channels + c
                                               : (i / area * channels + c) * area + i % area;
}

static double get(const norm &n, const char *p, size_t c, size_t i)
{
    return (double)cell_get(p, type_of(n), at(n, c, i));
}

static void put(const norm &n, size_t c, size_t i, double x)
{
    const double before = n.beta != 0 ? (double)n.beta * get(n, n.to, c, i) : 0;
    cell_put(n.to, type_of(n), at(n, c, i), (float)((double)n.alpha * x + before));
}

static sums sums_of(const norm &n, size_t c)
{
    const size_t count = count_of(n);
    sums s = {};
    if (n.saved_mean)
        return {(double)n.saved_mean[c], 0, (double)n.saved_inverse[c]};
    for (size_t i = 0; i < count; i++)
        s.mean += get(n, n.x, c, i) / (double)count;
    for (size_t i = 0; i < count; i++)
        s.variance += std::pow(get(n, n.x, c, i) - s.mean, 2) / (double)count;
    s.inverse = 1 / std::sqrt(s.variance + n.epsilon);
    return s;
}

static void normalize(const norm &n, size_t c, const sums &s)
{
    for (size_t i = 0; i < count_of(n); i++)
        put(n, c, i,
            (double)n.scale[c] * (get(n, n.x, c, i) - s.mean) * s.inverse + (double)n.bias[c]);
}

static void become(float *running, double x, double factor)
{
    *running = (float)((double)*running * (1 - factor) + x * factor);
}

static void infer(const norm &n, size_t c)
{
    normalize(n, c, {(double)n.mean[c], 0, 1 / std::sqrt((double)n.variance[c] + n.epsilon)});
}

static void train(const norm &n, size_t c)
{
    const double count = (double)count_of(n);
    const sums s = sums_of(n, c);
    normalize(n, c, s);
    if (n.running_mean) {
        const double sample =
            count > 1 ? s.variance * count / (count - 1) : std::numeric_limits<double>::quiet_NaN();
        become(&n.running_mean[c], s.mean, n.factor);
        become(&n.running_variance[c], sample, n.factor);
    }
    if (n.save_mean) {
        n.save_mean[c] = (float)s.mean;
        n.save_inverse[c] = (float)s.inverse;
    }
}

static void give_channel(const norm &n, float *to, double x)
{
    const double before = n.beta_channel != 0 ? (double)n.beta_channel * (double)*to : 0;
    *to = (float)((double)n.alpha_channel * x + before);
}

static void differentiate(const norm &n, size_t c)
{
    const size_t count = count_of(n);
    const sums s = sums_of(n, c);
    double dscale = 0, dbias = 0;
    for (size_t i = 0; i < count; i++) {
        dbias += get(n, n.dy, c, i);
        dscale += get(n, n.dy, c, i) * (get(n, n.x, c, i) - s.mean) * s.inverse;
    }
    for (size_t i = 0; i < count; i++) {
        const double unit = (get(n, n.x, c, i) - s.mean) * s.inverse;
        put(n, c, i,
            (double)n.scale[c] * s.inverse *
                (get(n, n.dy, c, i) - (dbias + unit * dscale) / (double)count));
    }
    give_channel(n, &n.dscale[c], dscale);
    give_channel(n, &n.dbias[c], dbias);
}

/* Those that are NULL are none. */
static std::vector<operand> operands_of(const norm &n)
{
    const size_t image = count_of(n) * (size_t)n.shape.c * cell_bytes(type_of(n));
    const size_t channel = (size_t)n.shape.c * sizeof(float);
    std::vector<operand> ret;
    for (const operand &o :
         {operand{n.x, image, true, false}, operand{n.dy, image, true, false},
          operand{n.to, image, n.beta != 0, true}, operand{n.scale, channel, true, false},
          operand{n.bias, channel, true, false}, operand{n.mean, channel, true, false},
          operand{n.variance, channel, true, false}, operand{n.saved_mean, channel, true, false},
          operand{n.saved_inverse, channel, true, false},
          operand{n.running_mean, channel, true, true},
          operand{n.running_variance, channel, true, true},
          operand{n.save_mean, channel, false, true}, operand{n.save_inverse, channel, false, true},
          operand{n.dscale, channel, n.beta_channel != 0, true},
          operand{n.dbias, channel, n.beta_channel != 0, true}})
        if (o.at)
            ret.push_back(o);
    return ret;
}

static cudaError_t check_places(const std::vector<operand> &all)
{
    for (size_t i = 0; i < all.size(); i++)
        for (size_t k = 0; k < all.size(); k++)
            if (i != k && all[i].written &&
                overlap({(const char *)all[i].at, 0, all[i].bytes, 1},
                        {(const char *)all[k].at, 0, all[k].bytes, 1})) {
                fprintf(stderr, "fake CUDA: a batch norm's operands overlap\n");
                return cudaErrorInvalidValue;
            }
    for (const operand &o : all)
        if (o.read && !fake_reads(o.at, o.bytes))
            return cudaErrorIllegalAddress;
    for (const operand &o : all)
        if (o.written && !fake_writes(const_cast<void *>(o.at), o.bytes))
            return cudaErrorIllegalAddress;
    return cudaSuccess;
}

static cudnnStatus_t enqueue(const norm &n, const char *name, cudnnHandle_t handle,
                             void (*channel)(const norm &, size_t))
{
    for (const operand &o : operands_of(n))
        if (!aligned_to(o.at, 16))
            return CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER;
    const auto work = [n, channel] {
        cudaError_t code = check_places(operands_of(n));
        for (size_t c = 0; c < (size_t)n.shape.c && code == cudaSuccess; c++)
            channel(n, c);
        return code;
    };
    return fake_enqueue(handle->stream, name, work) == cudaSuccess ? CUDNN_STATUS_SUCCESS
                                                                   : CUDNN_STATUS_EXECUTION_FAILED;
}

static bool same_sizes(const cudnnTensorStruct &a, const cudnnTensorStruct &b)
{
    return a.n == b.n && a.c == b.c && a.h == b.h && a.w == b.w && a.type == b.type;
}

/* images: x and those of its sizes. */
static cudnnStatus_t find(norm *ret, cudnnHandle_t handle, cudnnBatchNormMode_t mode,
                          std::vector<cudnnTensorDescriptor_t> images,
                          cudnnTensorDescriptor_t channel, double epsilon)
{
    if (!handles.has(handle) || !tensors.has(channel) || !channel->set ||
        mode < CUDNN_BATCHNORM_PER_ACTIVATION || mode > CUDNN_BATCHNORM_SPATIAL_PERSISTENT ||
        !(epsilon >= CUDNN_BN_MIN_EPSILON))
        return CUDNN_STATUS_BAD_PARAM;
    for (cudnnTensorDescriptor_t image : images)
        if (!tensors.has(image) || !image->set || !same_sizes(*image, *images[0]))
            return CUDNN_STATUS_BAD_PARAM;
    const cudnnTensorStruct &x = *images[0];
    if (channel->n != 1 || channel->c != x.c || channel->h != 1 || channel->w != 1)
        return CUDNN_STATUS_BAD_PARAM;
    /* FLOAT_CONFIG, PSEUDO_HALF_CONFIG, PSEUDO_BFLOAT16_CONFIG; the other modes are not here */
    if ((x.type != CUDNN_DATA_FLOAT && x.type != CUDNN_DATA_HALF &&
         x.type != CUDNN_DATA_BFLOAT16) ||
        channel->type != CUDNN_DATA_FLOAT || mode != CUDNN_BATCHNORM_SPATIAL)
        return CUDNN_STATUS_NOT_SUPPORTED;
    for (cudnnTensorDescriptor_t image : images)
        if (image->format != x.format)
            return CUDNN_STATUS_NOT_SUPPORTED;
    ret->shape = x;
    ret->epsilon = epsilon;
    return CUDNN_STATUS_SUCCESS;
}

static void take_forward(norm *n, const void *alpha, const void *beta, const void *x, void *y,
                         const void *scale, const void *bias)
{
    n->alpha = *(const float *)alpha;
    n->beta = *(const float *)beta;
    n->x = (const char *)x;
    n->to = (char *)y;
    n->scale = (const float *)scale;
    n->bias = (const float *)bias;
}

cudnnStatus_t cudnnBatchNormalizationForwardInference(
    cudnnHandle_t handle, cudnnBatchNormMode_t mode, const void *alpha, const void *beta,
    const cudnnTensorDescriptor_t xDesc, const void *x, const cudnnTensorDescriptor_t yDesc,
    void *y, const cudnnTensorDescriptor_t bnScaleBiasMeanVarDesc, const void *bnScale,
    const void *bnBias, const void *estimatedMean, const void *estimatedVariance, double epsilon)
{
    norm n = {};
    if (fake_fails("cudnnBatchNormalizationForwardInference"))
        return CUDNN_STATUS_EXECUTION_FAILED;
    cudnnStatus_t status = find(&n, handle, mode, {xDesc, yDesc}, bnScaleBiasMeanVarDesc, epsilon);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (!alpha || !beta || !x || !y || !bnScale || !bnBias || !estimatedMean || !estimatedVariance)
        return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    take_forward(&n, alpha, beta, x, y, bnScale, bnBias);
    n.mean = (const float *)estimatedMean;
    n.variance = (const float *)estimatedVariance;
    return enqueue(n, "cudnnBatchNormalizationForwardInference", handle, infer);
}

cudnnStatus_t cudnnBatchNormalizationForwardTraining(
    cudnnHandle_t handle, cudnnBatchNormMode_t mode, const void *alpha, const void *beta,
    const cudnnTensorDescriptor_t xDesc, const void *x, const cudnnTensorDescriptor_t yDesc,
    void *y, const cudnnTensorDescriptor_t bnScaleBiasMeanVarDesc, const void *bnScale,
    const void *bnBias, double exponentialAverageFactor, void *resultRunningMean,
    void *resultRunningVariance, double epsilon, void *resultSaveMean, void *resultSaveInvVariance)
{
    norm n = {};
    if (fake_fails("cudnnBatchNormalizationForwardTraining"))
        return CUDNN_STATUS_EXECUTION_FAILED;
    cudnnStatus_t status = find(&n, handle, mode, {xDesc, yDesc}, bnScaleBiasMeanVarDesc, epsilon);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (!alpha || !beta || !x || !y || !bnScale || !bnBias ||
        !resultRunningMean != !resultRunningVariance || !resultSaveMean != !resultSaveInvVariance)
        return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    take_forward(&n, alpha, beta, x, y, bnScale, bnBias);
    n.factor = exponentialAverageFactor;
    n.running_mean = (float *)resultRunningMean;
    n.running_variance = (float *)resultRunningVariance;
    n.save_mean = (float *)resultSaveMean;
    n.save_inverse = (float *)resultSaveInvVariance;
    return enqueue(n, "cudnnBatchNormalizationForwardTraining", handle, train);
}

cudnnStatus_t cudnnBatchNormalizationBackward(
    cudnnHandle_t handle, cudnnBatchNormMode_t mode, const void *alphaDataDiff,
    const void *betaDataDiff, const void *alphaParamDiff, const void *betaParamDiff,
    const cudnnTensorDescriptor_t xDesc, const void *x, const cudnnTensorDescriptor_t dyDesc,
    const void *dy, const cudnnTensorDescriptor_t dxDesc, void *dx,
    const cudnnTensorDescriptor_t dBnScaleBiasDesc, const void *bnScale, void *dBnScaleResult,
    void *dBnBiasResult, double epsilon, const void *savedMean, const void *savedInvVariance)
{
    norm n = {};
    if (fake_fails("cudnnBatchNormalizationBackward"))
        return CUDNN_STATUS_EXECUTION_FAILED;
    cudnnStatus_t status =
        find(&n, handle, mode, {xDesc, dyDesc, dxDesc}, dBnScaleBiasDesc, epsilon);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (!alphaDataDiff || !betaDataDiff || !alphaParamDiff || !betaParamDiff || !x || !dy || !dx ||
        !bnScale || !dBnScaleResult || !dBnBiasResult || !savedMean != !savedInvVariance)
        return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    n.alpha = *(const float *)alphaDataDiff;
    n.beta = *(const float *)betaDataDiff;
    n.alpha_channel = *(const float *)alphaParamDiff;
    n.beta_channel = *(const float *)betaParamDiff;
    n.x = (const char *)x;
    n.dy = (const char *)dy;
    n.to = (char *)dx;
    n.scale = (const float *)bnScale;
    n.dscale = (float *)dBnScaleResult;
    n.dbias = (float *)dBnBiasResult;
    n.saved_mean = (const float *)savedMean;
    n.saved_inverse = (const float *)savedInvVariance;
    return enqueue(n, "cudnnBatchNormalizationBackward", handle, differentiate);
}
