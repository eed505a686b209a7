/* SPDX-License-Identifier: Apache-2.0
 * Weights kept as they are published. */
#include <string.h>

#include "base/memory.h"
#include "model/ref/ref.h"

static size_t weight_cells(const struct step_spec *spec, int i)
{
    return graph_weight_cells(&spec->weights[spec->node->weights[i]]);
}

static size_t aligned_cells(size_t cells)
{
    size_t per_line = MEMORY_ALIGN / sizeof(float);
    return (cells + per_line - 1) / per_line * per_line;
}

size_t ref_weights_bytes(const struct step_spec *spec)
{
    size_t cells = 0;
    for (int i = 0; i < spec->node->n_weights; i++)
        cells += aligned_cells(weight_cells(spec, i));
    return cells * sizeof(float);
}

void ref_weights_pack(const struct step_spec *spec, const float *const *weights, void *packed)
{
    float *to = packed;
    for (int i = 0; i < spec->node->n_weights; i++) {
        size_t cells = weight_cells(spec, i);
        memcpy(to, weights[i], cells * sizeof(float));
        to += aligned_cells(cells);
    }
}

void ref_weights_find(const struct step_spec *spec, const void *packed, const float **ret)
{
    const float *from = packed;
    for (int i = 0; i < spec->node->n_weights; i++) {
        ret[i] = from;
        from += aligned_cells(weight_cells(spec, i));
    }
}
