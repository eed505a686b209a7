/* SPDX-License-Identifier: Apache-2.0 */
#include "model/train/schedule.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

static const char *const names[] = {[SCHEDULE_CYCLIC] = "cyclic",
                                    [SCHEDULE_COSINE] = "cosine",
                                    [SCHEDULE_CONSTANT] = "constant",
                                    [SCHEDULE_PLATEAU] = "plateau"};

const char *schedule_name(enum schedule_kind kind)
{
    return names[kind];
}

bool schedule_by_name(const char *name, enum schedule_kind *ret)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *ret = (enum schedule_kind)i;
            return true;
        }
    return false;
}

int schedule_check(const struct schedule_options *options, struct error *error)
{
    const struct schedule_options *o = options;
    if (!(o->max > 0 && isfinite(o->max)))
        return error_set(error, EINVAL, "learning rate: %g must be above 0", o->max);
    if (o->kind != SCHEDULE_CONSTANT && !(o->base >= 0 && o->base <= o->max))
        return error_set(error, EINVAL, "learning rate: the lowest, %g, must lie in 0..%g", o->base,
                         o->max);
    if (o->kind == SCHEDULE_CYCLIC && o->step_size == 0)
        return error_set(error, EINVAL, "learning rate: half a cycle must have 1 step or more");
    if (o->kind == SCHEDULE_COSINE && (o->total == 0 || o->warmup > o->total))
        return error_set(error, EINVAL,
                         "learning rate: %llu steps of warm-up do not fit into a run of %llu",
                         (unsigned long long)o->warmup, (unsigned long long)o->total);
    if (o->kind != SCHEDULE_PLATEAU)
        return 0;
    if (!(o->factor > 0 && o->factor < 1))
        return error_set(error, EINVAL, "learning rate: the factor %g must lie between 0 and 1",
                         o->factor);
    if (o->patience < 0)
        return error_set(error, EINVAL, "learning rate: a patience of %d epochs must be 0 or more",
                         o->patience);
    return 0;
}

struct schedule_state schedule_begin(const struct schedule_options *options)
{
    return (struct schedule_state){.rate = options->max, .anchor = (double)INFINITY};
}

static double cyclic(const struct schedule_options *o, double step)
{
    double half = (double)o->step_size;
    double cycle = floor(1 + step / (2 * half)), x = fabs(step / half - 2 * cycle + 1);
    return o->base + (o->max - o->base) * fmax(0, 1 - x);
}

static double cosine(const struct schedule_options *o, double step)
{
    double warmup = (double)o->warmup, total = (double)o->total;
    if (step <= warmup)
        return o->max * step / warmup;
    double u = step < total ? (step - warmup) / (total - warmup) : 1;
    return o->base + (o->max - o->base) * (1 + cos(M_PI * u)) / 2;
}

double schedule_rate(const struct schedule_options *options, const struct schedule_state *state,
                     uint64_t step)
{
    switch (options->kind) {
    case SCHEDULE_CYCLIC:
        return cyclic(options, (double)step);
    case SCHEDULE_COSINE:
        return cosine(options, (double)step);
    case SCHEDULE_PLATEAU:
        return state->rate;
    case SCHEDULE_CONSTANT:
        break;
    }
    return options->max;
}

void schedule_epoch(const struct schedule_options *options, struct schedule_state *state, int epoch,
                    double loss)
{
    const struct schedule_options *o = options;
    if (o->kind != SCHEDULE_PLATEAU || isnan(loss))
        return;
    if (epoch <= o->hold_epochs) {
        state->anchor = loss;
    } else if (loss <= state->anchor) {
        state->anchor = loss;
        state->bad = 0;
    } else if (state->bad < o->patience) {
        state->bad++;
    } else {
        state->rate *= o->factor;
        state->bad = 0;
    }
    state->rate = fmax(state->rate, o->base);
}
