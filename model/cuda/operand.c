/* SPDX-License-Identifier: Apache-2.0 */
#include "model/cuda/operand.h"

#include "model/cuda/kernels/convolution.h"
#include "model/cuda/matmul.h"

void cuda_operand_choose(struct cuda_operand *o, const struct step_spec *spec, int input,
                         enum cell_type type, bool dense, size_t *scratch)
{
    const size_t c = (size_t)spec->in[input].c, stride = spec->in_stride[input];
    *o = (struct cuda_operand){.input = input,
                               .copied = spec->in_type[input] != type || (dense && stride != c),
                               .type = type,
                               .stride = stride,
                               .align = cuda_matmul_align(type, stride == c ? 0 : stride | c)};
    if (!o->copied)
        return;
    o->stride = c;
    o->align = cuda_matmul_align(type, 0);
    o->offset = cuda_part(scratch, cuda_positions(spec->in[input]) * c * cell_bytes(type));
}

const void *cuda_operand_place(const struct cuda_operand *o, const struct cuda_step *s,
                               char *scratch)
{
    return o->copied ? (const void *)(scratch + o->offset) : s->memory.in[o->input];
}

int cuda_operand_copy(const struct cuda_operand *o, const struct cuda_step *s, char *scratch,
                      struct error *error)
{
    if (!o->copied)
        return 0;
    return cuda_check(cuda_dense_rows(s->backend->stream, scratch + o->offset, o->type,
                                      s->memory.in[o->input], s->spec.in_type[o->input],
                                      cuda_positions(s->spec.in[o->input]),
                                      (size_t)s->spec.in[o->input].c, s->spec.in_stride[o->input]),
                      "a dense copy of the input", error);
}

enum cell_type cuda_common_type(const struct step_spec *spec, int n, bool out)
{
    enum cell_type type = out ? spec->out_type : CELL_FLOAT32;
    for (int i = 0; i < n && type == CELL_FLOAT32; i++)
        type = spec->in_type[i];
    return type;
}
