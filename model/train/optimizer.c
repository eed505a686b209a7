/* SPDX-License-Identifier: Apache-2.0 */
#include "model/train/optimizer.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* A span is one thread's work and one summand of the norm, always the same, whoever does it. */
enum { LANES = 8 };

static bool is_finite_float(double x)
{
    return isfinite((float)x);
}

static int check_options(const struct optimizer_options *o, struct error *error)
{
    if (!(o->beta1 >= 0 && o->beta1 < 1 && o->beta2 >= 0 && o->beta2 < 1))
        return error_set(error, EINVAL,
                         "optimizer: beta1 %g and beta2 %g must lie in 0..1, 1 excluded", o->beta1,
                         o->beta2);
    if (!(o->epsilon > 0 && isfinite(o->epsilon)))
        return error_set(error, EINVAL, "optimizer: epsilon %g must be above 0", o->epsilon);
    if (!(o->weight_decay >= 0 && is_finite_float(o->weight_decay)))
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
        if (!(r->rate >= 0 && is_finite_float(r->rate)))
            return error_set(error, EINVAL,
                             "optimizer: range %zu: the rate %g must not be negative", i, r->rate);
        at = r->begin + r->count;
    }
    return 0;
}

/* Counts the spans; places them where ret is not NULL. */
static size_t make_spans(const struct optimizer_range *ranges, size_t n, double decay,
                         struct backend_span *ret)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        const struct optimizer_range *r = &ranges[i];
        for (size_t at = 0; at < r->count && !r->frozen; at += BACKEND_SPAN) {
            size_t rest = r->count - at;
            if (ret != NULL)
                ret[count] = (struct backend_span){
                    r->begin + at, (uint32_t)(rest < BACKEND_SPAN ? rest : BACKEND_SPAN),
                    (float)r->rate, r->decay ? (float)decay : 0};
            count++;
        }
    }
    return count;
}

/* Spans to where the device reads them, and what it sums in. */
static int move_spans(struct optimizer *o, struct error *error)
{
    const struct backend_device *device = store_device(&o->store);
    struct backend_span *here = o->spans;
    if (device == NULL) {
        o->squares = memory_zeroed(o->n_spans, sizeof *o->squares);
        return o->squares != NULL ? 0 : error_set(error, ENOMEM, "out of memory");
    }
    const size_t bytes = o->n_spans * sizeof *here;
    o->spans = device->allocate(o->store.backend, bytes, error);
    int r =
        o->spans == NULL ? -ENOMEM : device->copy(o->store.backend, o->spans, here, bytes, error);
    free(here);
    o->squares = r == 0 ? device->allocate(o->store.backend, sizeof *o->squares, error) : NULL;
    o->parts = o->squares != NULL ? store_floats(&o->store, o->n_spans, error) : NULL;
    return o->parts != NULL ? 0 : r < 0 ? r : -ENOMEM;
}

int optimizer_init(struct optimizer *ret, const struct optimizer_options *options,
                   const struct store *store, size_t parameters,
                   const struct optimizer_range *ranges, size_t n, struct error *error)
{
    int r = check_options(options, error);
    if (r == 0)
        r = check_ranges(parameters, ranges, n, error);
    if (r < 0)
        return r;
    struct optimizer o = {.options = *options, .parameters = parameters};
    if (store != NULL)
        o.store = *store;
    o.n_spans = make_spans(ranges, n, options->weight_decay, NULL);
    o.spans = memory_zeroed(o.n_spans, sizeof *o.spans);
    if (o.spans == NULL)
        return error_set(error, ENOMEM, "optimizer: out of memory");
    make_spans(ranges, n, options->weight_decay, o.spans);
    r = move_spans(&o, error);
    if (r == 0)
        o.m = store_floats(&o.store, parameters, error);
    if (o.m != NULL)
        o.v = store_floats(&o.store, parameters, error);
    if (o.v == NULL) {
        optimizer_finish(&o);
        return error_prefix(error, r < 0 ? r : -ENOMEM, "optimizer");
    }
    *ret = o;
    return 0;
}

void optimizer_finish(struct optimizer *o)
{
    store_free(&o->store, o->spans);
    store_free(&o->store, o->squares);
    store_free(&o->store, o->parts);
    store_free(&o->store, o->m);
    store_free(&o->store, o->v);
    *o = (struct optimizer){0};
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

static double sum_spans(struct optimizer *o, const float *gradients)
{
    const struct backend_span *spans = o->spans;
    double *squares = o->squares, sum = 0;
    size_t n = o->n_spans;
#pragma omp parallel for schedule(static) if (n > 1)
    for (size_t i = 0; i < n; i++)
        squares[i] = sum_squares(gradients + spans[i].begin, spans[i].count);
    for (size_t i = 0; i < n; i++)
        sum += squares[i];
    return sum;
}

int optimizer_norm(struct optimizer *o, const float *gradients, double *ret, struct error *error)
{
    const struct backend_device *device = store_device(&o->store);
    double sum;
    if (device == NULL) {
        *ret = sqrt(sum_spans(o, gradients));
        return 0;
    }
    int r = device->training->squares(o->store.backend, gradients, o->spans, o->n_spans, o->parts,
                                      o->squares, error);
    if (r == 0)
        r = device->copy(o->store.backend, &sum, o->squares, sizeof sum, error);
    if (r == 0)
        *ret = sqrt(sum);
    return r;
}

static struct backend_adam factors_of(const struct optimizer *o, double clip, double rate)
{
    const struct optimizer_options *p = &o->options;
    const double t = (double)o->step;
    const bool apart = p->kind == OPTIMIZER_ADAMW;
    return (struct backend_adam){
        .clip = (float)clip,
        .add_decay = apart ? 0 : 1,
        .pull = apart ? (float)rate : 0,
        .keep1 = (float)p->beta1,
        .keep2 = (float)p->beta2,
        .take1 = (float)(1 - p->beta1), /* not rounded twice */
        .take2 = (float)(1 - p->beta2),
        .learn = (float)(rate / (1 - pow(p->beta1, t))),
        .whole = (float)(1 / sqrt(1 - pow(p->beta2, t))),
        .epsilon = (float)p->epsilon,
    };
}

static void update(const struct backend_adam *factors, const struct backend_span *span,
                   float *restrict w, const float *restrict gradient, float *restrict m,
                   float *restrict v)
{
    const struct backend_adam f = *factors;
    const float decay = f.add_decay * span->decay, pull = f.pull * span->rate * span->decay,
                learn = f.learn * span->rate;
    for (size_t i = 0; i < span->count; i++) {
        float g = gradient[i] * f.clip + w[i] * decay;
        m[i] = m[i] * f.keep1 + g * f.take1;
        v[i] = v[i] * f.keep2 + g * f.take2 * g;
        w[i] -= pull * w[i] + learn * m[i] / (sqrtf(v[i]) * f.whole + f.epsilon);
    }
}

int optimizer_step(struct optimizer *optimizer, float *parameters, const float *gradients,
                   double norm, double learning_rate, struct error *error)
{
    struct optimizer *o = optimizer;
    const struct backend_device *device = store_device(&o->store);
    if (!isfinite(norm))
        return error_set(error, EDOM,
                         "step %llu: the gradient is not finite (its norm is %g); a lower learning "
                         "rate may help",
                         (unsigned long long)o->step + 1, norm);
    if (!isfinite(learning_rate))
        return error_set(error, EDOM, "step %llu: the learning rate is %g",
                         (unsigned long long)o->step + 1, learning_rate);
    double max = o->options.max_norm, clip = max > 0 ? fmin(1, max / (norm + 1e-6)) : 1;
    size_t n = o->n_spans;
    o->step++;
    const struct backend_adam f = factors_of(o, clip, learning_rate);
    if (device != NULL)
        return device->training->adam(o->store.backend, &f, o->spans, n, parameters, gradients,
                                      o->m, o->v, error);
#pragma omp parallel for schedule(static) if (n > 1)
    for (size_t i = 0; i < n; i++) {
        const struct backend_span *s = &o->spans[i];
        update(&f, s, parameters + s->begin, gradients + s->begin, o->m + s->begin,
               o->v + s->begin);
    }
    return 0;
}
