/* SPDX-License-Identifier: Apache-2.0 */
#include "model/train/loss_scale.h"

#include <math.h>

struct loss_scale loss_scale_begin(enum precision precision)
{
    return (struct loss_scale){.factor = precision == PRECISION_FLOAT16 ? LOSS_SCALE_FIRST : 0};
}

double loss_scale_factor(const struct loss_scale *s)
{
    return s->factor > 0 ? s->factor : 1;
}

bool loss_scale_lower(struct loss_scale *s)
{
    if (!(s->factor > LOSS_SCALE_LEAST))
        return false;
    *s = (struct loss_scale){.factor = s->factor / 2};
    return true;
}

void loss_scale_keep(struct loss_scale *s)
{
    if (s->factor <= 0 || ++s->good < LOSS_SCALE_GROWS_AFTER)
        return;
    *s = (struct loss_scale){.factor = fmin(s->factor * 2, LOSS_SCALE_MOST)};
}

bool loss_scale_is_valid(const struct loss_scale *s)
{
    int exponent;
    return s->factor == 0 ||
           (s->factor >= LOSS_SCALE_LEAST && s->factor <= LOSS_SCALE_MOST &&
            frexp(s->factor, &exponent) == 0.5 && s->good < LOSS_SCALE_GROWS_AFTER);
}
