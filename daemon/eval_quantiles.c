/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/eval_quantiles.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* Steps of a tenth do not add up to the same bits as the number that is written: nine places are
 * kept. */
static double rounded(double q)
{
    return round(q * 1e9) * 1e-9;
}

static bool add(struct eval_quantiles *q, double value)
{
    int at = 0;
    if (!(value >= 0 && value <= 1) || q->n_sweep == EVAL_MAX_QUANTILES)
        return false;
    while (at < q->n && fabs(q->values[at] - value) > 1e-9)
        at++;
    if (at == q->n)
        q->values[q->n++] = value;
    q->sweep[q->n_sweep++] = at;
    return true;
}

/* One number, or FROM:TO:STEP. */
static bool parse_item(struct eval_quantiles *q, const char **at)
{
    char *end;
    double from = strtod(*at, &end);
    if (end == *at)
        return false;
    *at = end;
    if (**at != ':')
        return add(q, from);
    double to = strtod(*at + 1, &end);
    if (end == *at + 1 || *end != ':')
        return false;
    *at = end;
    double step = strtod(*at + 1, &end);
    if (end == *at + 1 || !(step >= 1e-4) || !(to >= from))
        return false;
    *at = end;
    for (int i = 0; from + i * step <= to + step * 1e-6; i++)
        if (!add(q, rounded(from + i * step)))
            return false;
    return true;
}

int eval_quantiles_make(struct eval_quantiles *ret, double quantile, const char *sweep,
                        struct error *error)
{
    struct eval_quantiles q = {.n = 1};
    q.values = calloc(EVAL_MAX_QUANTILES + 1, sizeof *q.values);
    q.sweep = calloc(EVAL_MAX_QUANTILES, sizeof *q.sweep);
    if (q.values == NULL || q.sweep == NULL) {
        eval_quantiles_finish(&q);
        return error_set(error, ENOMEM, "eval: out of memory");
    }
    q.values[0] = quantile;
    for (const char *at = sweep; at != NULL; at++) {
        bool good = parse_item(&q, &at);
        if (good && *at == ',')
            continue;
        if (good && *at == '\0')
            break;
        eval_quantiles_finish(&q);
        return error_set(error, EINVAL,
                         "--sweep %.60s: allowed: up to %d quantiles of 0 to 1, as in 0.5,0.9 or "
                         "0.05:0.95:0.05",
                         sweep, EVAL_MAX_QUANTILES);
    }
    *ret = q;
    return 0;
}

void eval_quantiles_finish(struct eval_quantiles *q)
{
    free(q->values);
    free(q->sweep);
    *q = (struct eval_quantiles){0};
}
