/* SPDX-License-Identifier: Apache-2.0 */
#include "model/train/optimizer.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* A chunk is one thread's work and one summand of the norm, always the same, whoever does it. */
enum { CHUNK = 1 << 14, LANES = 8 };

struct optimizer_chunk {
    size_t begin, count;
    double rate;
    bool decay;
};

static int check_options(const struct optimizer_options *o, struct error *error)
{
    if (!(o->beta1 >= 0 && o->beta1 < 1 && o->beta2 >= 0 && o->beta2 < 1))
        return error_set(error, EINVAL,
                         "optimizer: beta1 %g and beta2 %g must lie in 0..1, 1 excluded", o->beta1,
                         o->beta2);
    if (!(o->epsilon > 0 && isfinite(o->epsilon)))
        return error_set(error, EINVAL, "optimizer: epsilon %g must be above 0", o->epsilon);
    if (!(o->weight_decay >= 0 && isfinite(o->weight_decay)))
        return error_set(error, EINVAL, "optimizer: the weight decay %g must not be negative",
                         o->weight_decay);
    if (!(o->max_norm >= 0 && isfinite(o->max_norm)))
        return error_set(error, EINVAL, "optimizer: the largest norm %g must not be negative",
                         o->max_norm);
    return 0;
}

static int check_ranges(size_t parameters, const struct optimizer_range *ranges, size_t n,
                        struct error *error)
{
    size_t at = 0;
    if (n == 0)
        return error_set(error, EINVAL, "optimizer: there is nothing to train");
    for (size_t i = 0; i < n; i++) {
        const struct optimizer_range *r = &ranges[i];
        if (r->begin < at || r->begin > parameters || r->count > parameters - r->begin)
            return error_set(error, EINVAL,
                             "optimizer: range %zu (%zu parameters from %zu on) begins before %zu, "
                             "or ends beyond %zu",
                             i, r->count, r->begin, at, parameters);
        if (!(r->rate >= 0 && isfinite(r->rate)))
            return error_set(error, EINVAL,
                             "optimizer: range %zu: the rate %g must not be negative", i, r->rate);
        at = r->begin + r->count;
    }
    return 0;
}

/* Counts the chunks; places them where ret is not NULL. */
static size_t make_chunks(const struct optimizer_range *ranges, size_t n,
                          struct optimizer_chunk *ret)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        const struct optimizer_range *r = &ranges[i];
        for (size_t at = 0; at < r->count && !r->frozen; at += CHUNK) {
            size_t rest = r->count - at;
            if (ret != NULL)
                ret[count] = (struct optimizer_chunk){r->begin + at, rest < CHUNK ? rest : CHUNK,
                                                      r->rate, r->decay};
            count++;
        }
    }
    return count;
}

int optimizer_init(struct optimizer *ret, const struct optimizer_options *options,
                   size_t parameters, const struct optimizer_range *ranges, size_t n,
                   struct error *error)
{
    int r = check_options(options, error);
    if (r == 0)
        r = check_ranges(parameters, ranges, n, error);
    if (r < 0)
        return r;
    struct optimizer o = {.options = *options, .parameters = parameters};
    o.chunk_count = make_chunks(ranges, n, NULL);
    o.chunks = memory_zeroed(o.chunk_count, sizeof *o.chunks);
    o.chunk_squares = memory_zeroed(o.chunk_count, sizeof *o.chunk_squares);
    bool fits = parameters <= SIZE_MAX / sizeof *o.m;
    o.m = fits ? memory_large(parameters * sizeof *o.m) : NULL;
    o.v = fits ? memory_large(parameters * sizeof *o.v) : NULL;
    if (o.chunks == NULL || o.chunk_squares == NULL || o.m == NULL || o.v == NULL) {
        optimizer_finish(&o);
        return error_set(error, ENOMEM, "optimizer: no memory for the moments of %zu parameters",
                         parameters);
    }
    make_chunks(ranges, n, o.chunks);
    *ret = o;
    return 0;
}

void optimizer_finish(struct optimizer *optimizer)
{
    free(optimizer->chunks);
    free(optimizer->chunk_squares);
    free(optimizer->m);
    free(optimizer->v);
    *optimizer = (struct optimizer){0};
}

/* Lane i sums every LANES-th square: an order that vectors keep. */
static double sum_squares(const float *x, size_t n)
{
    double lane[LANES] = {0}, sum = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++)
            lane[k] += (double)x[i + (size_t)k] * (double)x[i + (size_t)k];
    for (; i < n; i++)
        lane[0] += (double)x[i] * (double)x[i];
    for (int k = 0; k < LANES; k++)
        sum += lane[k];
    return sum;
}

double optimizer_norm(struct optimizer *optimizer, const float *gradients)
{
    const struct optimizer_chunk *chunks = optimizer->chunks;
    double *squares = optimizer->chunk_squares, sum = 0;
    size_t n = optimizer->chunk_count;
#pragma omp parallel for schedule(static) if (n > 1)
    for (size_t i = 0; i < n; i++)
        squares[i] = sum_squares(gradients + chunks[i].begin, chunks[i].count);
    for (size_t i = 0; i < n; i++)
        sum += squares[i];
    return sqrt(sum);
}

/* The factors of one step, in the precision of its loops. */
struct factors {
    float clip, decay;       /* g = gradient * clip + w * decay */
    float keep1, keep2;      /* beta1, beta2 */
    float take1, take2;      /* 1 - them, not rounded twice */
    float pull, rate, whole; /* w -= pull * w + rate * m / (sqrt(v) * whole + epsilon) */
    float epsilon;
};

static void update(const struct factors *factors, size_t n, float *restrict w,
                   const float *restrict gradient, float *restrict m, float *restrict v)
{
    const struct factors f = *factors;
    for (size_t i = 0; i < n; i++) {
        float g = gradient[i] * f.clip + w[i] * f.decay;
        m[i] = m[i] * f.keep1 + g * f.take1;
        v[i] = v[i] * f.keep2 + g * f.take2 * g;
        w[i] -= f.pull * w[i] + f.rate * m[i] / (sqrtf(v[i]) * f.whole + f.epsilon);
    }
}

static struct factors factors_of(const struct optimizer *o, const struct optimizer_chunk *chunk,
                                 double clip, double learning_rate)
{
    const struct optimizer_options *p = &o->options;
    double t = (double)o->step, rate = learning_rate * chunk->rate;
    double decay = chunk->decay ? p->weight_decay : 0;
    bool apart = p->kind == OPTIMIZER_ADAMW;
    return (struct factors){
        .clip = (float)clip,
        .decay = apart ? 0 : (float)decay,
        .keep1 = (float)p->beta1,
        .keep2 = (float)p->beta2,
        .take1 = (float)(1 - p->beta1),
        .take2 = (float)(1 - p->beta2),
        .pull = apart ? (float)(rate * decay) : 0,
        .rate = (float)(rate / (1 - pow(p->beta1, t))),
        .whole = (float)(1 / sqrt(1 - pow(p->beta2, t))),
        .epsilon = (float)p->epsilon,
    };
}

int optimizer_step(struct optimizer *optimizer, float *parameters, const float *gradients,
                   double norm, double learning_rate, struct error *error)
{
    struct optimizer *o = optimizer;
    if (!isfinite(norm))
        return error_set(error, EDOM,
                         "step %llu: the gradient is not finite (its norm is %g); a lower learning "
                         "rate may help",
                         (unsigned long long)o->step + 1, norm);
    if (!isfinite(learning_rate))
        return error_set(error, EDOM, "step %llu: the learning rate is %g",
                         (unsigned long long)o->step + 1, learning_rate);
    double max = o->options.max_norm, clip = max > 0 ? fmin(1, max / (norm + 1e-6)) : 1;
    size_t n = o->chunk_count;
    o->step++;
#pragma omp parallel for schedule(static) if (n > 1)
    for (size_t i = 0; i < n; i++) {
        const struct optimizer_chunk *c = &o->chunks[i];
        struct factors f = factors_of(o, c, clip, learning_rate);
        update(&f, c->count, parameters + c->begin, gradients + c->begin, o->m + c->begin,
               o->v + c->begin);
    }
    return 0;
}
