/* SPDX-License-Identifier: Apache-2.0
 * What the parts of the CUDA backend share. Every step is one of a few kinds of operator: a kernel
 * of our own, a product (cuBLASLt), a convolution or batch norm (cuDNN). All work is enqueued on
 * one stream. */
#ifndef FOCALD_MODEL_CUDA_CUDA_H
#define FOCALD_MODEL_CUDA_CUDA_H

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>

#include "model/cuda/kernels.h"

#if CUDART_VERSION < 12000 || CUDNN_MAJOR < 9
#error "focald's GPU module needs CUDA 12 or later and cuDNN 9 or later"
#endif

struct cuda_focal_choice; /* focal_choice.c */

struct backend {
    enum precision precision;
    enum depthwise depthwise;
    struct cuda_focal_choice *choices; /* made so far */
    int device;
    char name[256];        /* the card's */
    int cache_bytes;       /* its second-level cache */
    cudaStream_t stream;   /* where steps run */
    cudaStream_t up, down; /* where copies to and from the host run */
    cudaEvent_t uploaded, computed, downloaded, done;
    cublasLtHandle_t lt;
    cudnnHandle_t cudnn;         /* bound to stream */
    bool uploading, downloading; /* on up, down since the last join */
};

struct cuda_step;

/* A kind of operator. */
struct cuda_kind {
    /* After spec and backend are set: packed_bytes, scratch_bytes, and what it keeps in `own`.
     * Sizes already are those of weights as published (cuda_published_bytes). */
    int (*create)(struct cuda_step *step, const struct cuda_step *like, struct error *error);
    void (*destroy)(struct cuda_step *step); /* frees own, which may be NULL; may be NULL */
    /* NULL: as published, float32 (cuda_pack_published). */
    int (*pack)(struct cuda_step *step, const float *const *weights, void *packed,
                struct error *error);
    /* After memory is set; may be NULL. */
    int (*bind)(struct cuda_step *step, struct error *error);
    int (*run)(struct cuda_step *step, struct error *error);
};

struct cuda_step {
    struct step step;
    struct backend *backend;
    const struct cuda_kind *kind;
    struct step_spec spec;
    struct step_memory memory;
    struct cuda_call call; /* tensors filled in create, pointers in bind */
    void *own;
};

extern const struct cuda_kind cuda_kernel_kind;      /* kernels.h */
extern const struct cuda_kind cuda_product_kind;     /* LINEAR, LINEAR_GRAD, LINEAR_GRAD_WEIGHTS */
extern const struct cuda_kind cuda_convolution_kind; /* CONV…, CONV_TRANSPOSED… and their grads */
extern const struct cuda_kind cuda_attention_kind;   /* ATTENTION, ATTENTION_GRAD */
extern const struct cuda_kind cuda_batch_norm_kind; /* BATCH_NORM; its grads, in training */
extern const struct cuda_kind cuda_focal_kind;      /* FOCAL_CONTEXT and its gradients */

/* Weights as published, each float32 and aligned to 256 bytes, one after the other. */
size_t cuda_published_bytes(const struct step_spec *spec);
void cuda_published_find(const struct step_spec *spec, const void *packed, const float **ret);

/* Where the step's operands lie from now on. */
void cuda_place(struct cuda_step *step, const struct step_memory *memory);

cudaDataType_t cuda_data_type(enum cell_type type);
/* What products of values of that type are computed in. */
cublasComputeType_t cuda_compute_type(const struct backend *backend, enum cell_type type);

/* 0, or -EIO (-ENOMEM out of memory, -ENODEV no device) with "what: what CUDA says" as the error;
 * where `code` is written as a call of CUDA's, "what: the function: what CUDA says". */
#define cuda_check(code, what, error) cuda_check_call(code, #code, what, error)
int cuda_check_call(cudaError_t code, const char *call, const char *what, struct error *error);
int cuda_check_lt(cublasStatus_t code, const char *what, struct error *error);
int cuda_check_cudnn(cudnnStatus_t code, const char *what, struct error *error);

#endif
