/* SPDX-License-Identifier: Apache-2.0
 * Parameters in the card's memory, as training changes them. */
#include "model/cuda/context.h"

static int zero(struct backend *b, float *x, size_t n, struct error *error)
{
    cuda_enter(b);
    return cuda_check(cudaMemsetAsync(x, 0, n * sizeof *x, b->stream), "clearing", error);
}

static int mix(struct backend *b, float *to, const float *from, size_t n, float keep, float take,
               struct error *error)
{
    cuda_enter(b);
    return cuda_check(cuda_mix(b->stream, to, from, n, keep, take), "averaging", error);
}

static int squares(struct backend *b, const float *x, const struct backend_span *spans, size_t n,
                   float *parts, double *sum, struct error *error)
{
    cuda_enter(b);
    return cuda_check(cuda_squares(b->stream, x, spans, n, parts, sum), "the gradient's norm",
                      error);
}

static int adam(struct backend *b, const struct backend_adam *factors,
                const struct backend_span *spans, size_t n, float *w, const float *gradient,
                float *m, float *v, struct error *error)
{
    cuda_enter(b);
    return cuda_check(cuda_adam(b->stream, factors, spans, n, w, gradient, m, v),
                      "the optimizer's step", error);
}

const struct backend_training cuda_training = {
    .zero = zero, .mix = mix, .squares = squares, .adam = adam};
