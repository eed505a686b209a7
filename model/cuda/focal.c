/* SPDX-License-Identifier: Apache-2.0
 * Packed: the kernels as published, which is how both ways want them, so that plans of all batch
 * sizes may share them whichever they take. */
#include "model/cuda/focal.h"

#include <errno.h>

int cuda_focal_kernels_run(struct cuda_step *s, struct error *error)
{
    return cuda_check(cuda_kernel_of(s->spec.node->op)(&s->call), graph_op_name(s->spec.node->op),
                      error);
}

/* A step's own: cuDNN's way, or NULL. */
static int focal_create(struct cuda_step *s, const struct cuda_step *like, struct error *error)
{
    struct cuda_focal_library *library = NULL;
    (void)like;
    s->step.scratch_bytes = cuda_kernel_scratch(&s->call);
    if (s->backend->depthwise == DEPTHWISE_KERNELS)
        return 0;
    int r = cuda_focal_library_create(&library, s, error);
    if (r != 0)
        return r < 0 ? r : 0;
    r = cuda_focal_choose(s, library, error);
    if (r > 0) {
        s->own = library;
        s->step.scratch_bytes = cuda_focal_library_scratch(library);
        return 0;
    }
    cuda_focal_library_destroy(library);
    return r;
}

static void focal_destroy(struct cuda_step *s)
{
    cuda_focal_library_destroy(s->own);
    s->own = NULL;
}

static int focal_run(struct cuda_step *s, struct error *error)
{
    if (s->own == NULL)
        return cuda_focal_kernels_run(s, error);
    int r = cuda_focal_library_run(s->own, s, error);
    return r > 0 ? error_set(error, EIO, "GPU: cuDNN refuses a depth-wise convolution that it did")
                 : r;
}

const struct cuda_kind cuda_focal_kind = {
    .create = focal_create,
    .destroy = focal_destroy,
    .run = focal_run,
};
