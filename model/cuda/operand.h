/* SPDX-License-Identifier: Apache-2.0
 * An input as a vendor's library wants it: where it lies, or a dense copy of the type wanted, in
 * the step's scratch. */
#ifndef FOCALD_MODEL_CUDA_OPERAND_H
#define FOCALD_MODEL_CUDA_OPERAND_H

#include "model/cuda/cuda.h"

struct cuda_operand {
    int input; /* of the step */
    bool copied;
    enum cell_type type; /* as the library sees it */
    size_t stride;       /* likewise: cells */
    size_t align;        /* bytes that its place surely, or for a slice most likely, divides by */
    size_t offset;       /* of the copy in scratch */
};

/* scratch: bytes that are taken, to which a copy's are added. */
void cuda_operand_choose(struct cuda_operand *operand, const struct step_spec *spec, int input,
                         enum cell_type type, bool dense, size_t *scratch);
/* scratch: of the step, aligned to 256 */
const void *cuda_operand_place(const struct cuda_operand *operand, const struct cuda_step *step,
                               char *scratch);
/* Enqueues the copy, if there is one. */
int cuda_operand_copy(const struct cuda_operand *operand, const struct cuda_step *step,
                      char *scratch, struct error *error);

/* The half-precision type among the spec's first n inputs and, with `out`, its result; else
 * float32. A library wants one type for all that it multiplies. */
enum cell_type cuda_common_type(const struct step_spec *spec, int n, bool out);

static inline size_t cuda_positions(struct tensor_shape s)
{
    return (size_t)s.n * (size_t)s.h * (size_t)s.w;
}

#endif
