/* SPDX-License-Identifier: Apache-2.0
 * Factors of channels: the layer scale, and its gradient. C: channels. */
#include "model/cpu/for_rows.h"
#include "model/cpu/kernels.h"
#include "model/cpu/operators.h"

static size_t rows_of(const struct step_spec *spec)
{
    return tensor_cells(spec->in[0]) / (size_t)spec->in[0].c;
}

CPU_OPERATOR(cpu_channel_scale)
{
    const struct loop_kernels *k = kernels_now();
    const size_t c = (size_t)spec->in[0].c, stride = spec->in_stride[0];
    FOR_ROWS(r, rows_of(spec), c, k->mul(m->in[0] + r * stride, w[0], c, m->out + r * c));
}

CPU_OPERATOR(cpu_channel_scale_grad_weights)
{
    (void)w;
    loop_column_products(m->in[0], spec->in_stride[0], m->in[1], spec->in_stride[1], rows_of(spec),
                         (size_t)spec->in[0].c, m->scratch, m->out);
}
