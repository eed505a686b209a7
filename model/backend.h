/* SPDX-License-Identifier: Apache-2.0
 * Who runs a plan. A backend is one const table; the plan asks it for one step per operator, gives
 * each its place in memory, has the weights packed once, and then only runs. */
#ifndef FOCALD_MODEL_BACKEND_H
#define FOCALD_MODEL_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "model/depthwise.h"
#include "model/graph.h"
#include "model/precision.h"

struct backend; /* one thread at a time */

/* What a cell of a value is stored as. */
enum cell_type { CELL_FLOAT32, CELL_BFLOAT16, CELL_FLOAT16 };

static inline size_t cell_bytes(enum cell_type type)
{
    return type == CELL_FLOAT32 ? 4 : 2;
}

struct backend_config {
    int threads;              /* >= 1 */
    enum precision precision; /* another than float32 only of a backend that has it */
    enum depthwise depthwise; /* of a GPU */
};

/* One operator with what the plan fused into it. Rows (h, w) are dense; `stride` is cells from one
 * position to the next, more than c where the value is a slice. */
struct step_spec {
    const struct graph_node *node;
    const struct graph_weight *weights; /* of the graph: node->weights index it */
    struct tensor_shape in[GRAPH_MAX_INPUTS], out;
    size_t in_stride[GRAPH_MAX_INPUTS];
    enum cell_type in_type[GRAPH_MAX_INPUTS], out_type; /* the residual's is out_type */
    bool gelu;                                          /* LINEAR: GELU of the result */
    bool relu;                                          /* CONV_TRANSPOSED: ReLU of the result */
    bool residual; /* LINEAR, LAYER_NORM_GRAD: added to what is in `residual` (see step_memory) */
    bool weights_too; /* LAYER_NORM_GRAD, FOCAL_GRAD, BATCH_NORM_GRAD: what …_WEIGHTS gives, into
                         `weights_out`; BATCH_NORM: what BATCH_STATISTICS gives */
    bool scaled;      /* LINEAR, of a device only: step_pack gets the layer scale [out.c] after the
                         weights */
};

struct step {             /* each backend's begins with it */
    size_t packed_bytes;  /* weights in the backend's form */
    size_t scratch_bytes; /* used within a run of this step only */
    bool apart;           /* its result may not take the place of what it reads */
};

/* Where a step's operands lie, in the backend's memory; fixed for its life. 64-byte aligned except
 * slices and, in training, what …_GRAD_WEIGHTS gives (`out`, `weights_out`): that lies among all
 * gradients, aligned to a float. Cells are of the spec's types, which are float32 in the host's
 * memory. */
struct step_memory {
    const float *in[GRAPH_MAX_INPUTS];
    const float *residual; /* may be `out` itself */
    float *out, *weights_out;
    void *packed, *scratch;
};

struct recording; /* steps of a plan that the device repeats by itself */

/* What an optimizer goes through: at most BACKEND_SPAN parameters that it treats alike. */
enum { BACKEND_SPAN = 1 << 14 };
struct backend_span {
    size_t begin;
    uint32_t count;
    float rate, decay;
};

/* The factors of one step of Adam (train/optimizer.h); of a span besides its own:
 *
 *   g = gradient clip + w add_decay decay, m = m keep1 + g take1, v = v keep2 + g take2 g
 *   w -= w pull rate decay + learn rate m / (sqrt(v) whole + epsilon) */
struct backend_adam {
    float clip, add_decay, pull;
    float keep1, keep2, take1, take2;
    float learn, whole, epsilon;
};

/* Flat float32 arrays in the device's memory, as training needs them. All is enqueued. */
struct backend_training {
    int (*zero)(struct backend *backend, float *x, size_t n, struct error *error);
    /* to: [n] = keep to + take from, which may be to; what keep 0 multiplies may be anything. */
    int (*mix)(struct backend *backend, float *to, const float *from, size_t n, float keep,
               float take, struct error *error);
    /* sum: of the squares of x in spans: [n]. parts: [n]. All in the device's memory. */
    int (*squares)(struct backend *backend, const float *x, const struct backend_span *spans,
                   size_t n, float *parts, double *sum, struct error *error);
    int (*adam)(struct backend *backend, const struct backend_adam *factors,
                const struct backend_span *spans, size_t n, float *w, const float *gradient,
                float *m, float *v, struct error *error);
};

/* A memory of the backend's own, and work that is enqueued there. */
struct backend_device {
    /* Whether there is a device that `open` can take: writes its name. -ENODEV: no GPU or no
     * driver, -ENOSYS: the driver is too old; else there is one that cannot be used: -ENOTSUP: the
     * module was not built for it, -EBUSY: another process has it to itself. The error says which,
     * and what to do. Any thread; takes the device as far as its first use does. */
    int (*probe)(char *ret_name, size_t size, struct error *error);
    /* How fast the device computes a product too large for anything but its speed to count, in the
     * backend's precision: floating-point operations a second. For the bench. */
    int (*peak)(struct backend *backend, double *ret_flops, struct error *error);
    /* Which way the i-th of its focal contexts and their gradients takes, of those that could take
     * either; false: there is none. For the bench. */
    bool (*depthwise)(struct backend *backend, int i, struct depthwise_choice *ret);

    /* 256-byte aligned, its content undefined; NULL with the error set. */
    void *(*allocate)(struct backend *backend, size_t bytes, struct error *error);
    void (*release)(struct backend *backend, void *memory); /* takes NULL */
    /* Memory of the host that copies to and from the device take the straight way from; zeroed. */
    void *(*allocate_host)(struct backend *backend, size_t bytes, struct error *error);
    void (*release_host)(struct backend *backend, void *memory); /* takes NULL */

    /* The type that the plan keeps the node's value in; float32 for inputs and outputs. */
    enum cell_type (*cell_type)(struct backend *backend, const struct graph_node *node);

    /* Enqueue: from the host's memory above to the device's, before all steps enqueued later; and
     * back, after all enqueued before. */
    int (*upload)(struct backend *backend, void *to, const void *from, size_t bytes,
                  struct error *error);
    int (*download)(struct backend *backend, void *to, const void *from, size_t bytes,
                    struct error *error);
    /* Bytes as they are; from and to any memory; waits until they are there. */
    int (*copy)(struct backend *backend, void *to, const void *from, size_t bytes,
                struct error *error);
    /* Until all that was enqueued is done. */
    int (*wait)(struct backend *backend, struct error *error);

    /* What is enqueued between the two is kept instead of done. record_end is called also after a
     * failure in between. */
    int (*record_begin)(struct backend *backend, struct error *error);
    int (*record_end)(struct backend *backend, struct recording **ret, struct error *error);
    int (*replay)(struct backend *backend, struct recording *recording, struct error *error);
    void (*recording_destroy)(struct backend *backend, struct recording *recording);

    const struct backend_training *training;
};

struct backend_ops {
    const char *name;
    bool joins_backward;                 /* it does what step_spec says of …_GRAD … */
    bool joins_batch_norm;               /* … and of BATCH_NORM and its gradient in training */
    const struct backend_device *device; /* NULL: its memory is the host's */
    int (*open)(struct backend **ret, const struct backend_config *config, struct error *error);
    void (*close)(struct backend *backend); /* takes NULL; after the last step */
    /* like: the same node of a plan of another batch size whose packed weights are to be shared, or
     * NULL. */
    int (*step_create)(struct backend *backend, const struct step_spec *spec,
                       const struct step *like, struct step **ret, struct error *error);
    void (*step_destroy)(struct step *step); /* takes NULL */
    /* weights: one array per weight of the node, as published, in the backend's memory. Fills
     * packed; a device may have enqueued it only. */
    int (*step_pack)(struct step *step, const float *const *weights, void *packed,
                     struct error *error);
    int (*step_bind)(struct step *step, const struct step_memory *memory, struct error *error);
    /* Allocates nothing of its own. A device enqueues it only. */
    int (*step_run)(struct step *step, struct error *error);
    /* Before a run, on the running thread. */
    void (*enter)(struct backend *backend);
};

extern const struct backend_ops backend_ref, backend_cpu;

/* Memory for values and packed weights, large and aligned, zeroed where it is the host's; NULL with
 * the error set. */
void *backend_memory(const struct backend_ops *ops, struct backend *backend, size_t bytes,
                     struct error *error);
void backend_memory_free(const struct backend_ops *ops, struct backend *backend,
                         void *memory); /* takes NULL */

/* What a backend that is a module exports as focald_cuda_backend: its table, or NULL where it was
 * built for another `abi`. Changes with every change of this file or of graph.h. */
enum { BACKEND_ABI = 4 };
typedef const struct backend_ops *backend_module(int abi);

#endif
