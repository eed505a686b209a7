/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/latency.h"

#include <stdlib.h>

static const int64_t latency_span_ns = 60LL * 1000000000;

void latency_add(struct latency *latency, int64_t t_ns, float ms)
{
    latency->kept[latency->next].t_ns = t_ns;
    latency->kept[latency->next].ms = ms;
    latency->next = (latency->next + 1) % LATENCY_KEPT;
    if (latency->n < LATENCY_KEPT)
        latency->n++;
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

float latency_quantile(const struct latency *latency, int64_t now_ns, float q)
{
    float recent[LATENCY_KEPT];
    int n = 0;
    for (int i = 0; i < latency->n; i++)
        if (now_ns - latency->kept[i].t_ns <= latency_span_ns)
            recent[n++] = latency->kept[i].ms;
    if (n == 0)
        return 0;
    qsort(recent, (size_t)n, sizeof recent[0], compare);
    int rank = (int)(q * (float)n);
    return recent[rank < n ? rank : n - 1];
}
