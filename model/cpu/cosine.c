/* SPDX-License-Identifier: Apache-2.0
 * Gradients of cosines y = x' w', x' = x / max(|x|, 1e-12), w' = w / max(|w|, 1e-12): of one side
 *
 *   v = sum over the other side's rows of g times theirs, which are of length 1
 *   dx = (v - x' (x' v)) / max(|x|, 1e-12), and v / 1e-12 where |x| is less
 *
 * in: g: [P][classes], x: [P][C]; w: [classes][C]. */
#include <string.h>

#include "model/cpu/for_rows.h"
#include "model/cpu/kernels.h"
#include "model/cpu/operators.h"

static const float least = 1e-12f;

/* Rows of one side; ret: [rows] */
static void measure(const float *x, size_t stride, size_t rows, size_t c, float *ret)
{
    const struct loop_kernels *k = kernels_now();
    FOR_ROWS(r, rows, c, ret[r] = k->l2(x + r * stride, c));
}

struct side {
    const float *x, *lengths;
    size_t stride, rows;
};

/* The gradient of row i of one side; g: of it and the other's rows, `step` apart; y: [c] */
static void back(const struct side *side, const struct side *other, size_t i, const float *g,
                 size_t step, size_t c, float *y)
{
    const struct grad_kernels *k = grad_kernels_now();
    const float *x = side->x + i * side->stride, length = side->lengths[i];
    const float inverse = 1 / (length > least ? length : least);
    memset(y, 0, c * sizeof *y);
    for (size_t r = 0; r < other->rows; r++) {
        const float by = other->lengths[r] > least ? other->lengths[r] : least;
        k->add_scaled(other->x + r * other->stride, c, g[r * step] / by, y);
    }
    kernels_now()->scale(y, c, inverse, y);
    if (length > least)
        k->add_scaled(x, c, -k->dot(x, y, c) * inverse * inverse, y);
}

/* scratch: lengths of x, of w */
static void run(const struct step_spec *spec, const float *w, const struct ref_memory *m,
                bool of_weights)
{
    const size_t c = (size_t)spec->in[1].c, classes = (size_t)spec->in[0].c,
                 rows = tensor_cells(spec->in[1]) / c, step = spec->in_stride[0];
    const struct side xs = {m->in[1], m->scratch, spec->in_stride[1], rows},
                      ws = {w, m->scratch + rows, c, classes};
    measure(xs.x, xs.stride, rows, c, m->scratch);
    measure(ws.x, ws.stride, classes, c, m->scratch + rows);
    if (of_weights)
        FOR_ROWS(i, classes, rows * c, back(&ws, &xs, i, m->in[0] + i, step, c, m->out + i * c));
    else
        FOR_ROWS(i, rows, classes * c,
                 back(&xs, &ws, i, m->in[0] + i * step, 1, c, m->out + i * c));
}

CPU_OPERATOR(cpu_cosine_grad)
{
    run(spec, w[0], m, false);
}

CPU_OPERATOR(cpu_cosine_grad_weights)
{
    run(spec, w[0], m, true);
}
