/* SPDX-License-Identifier: Apache-2.0
 * Percentiles of what was measured within the last minute. One thread. */
#ifndef FOCALD_DAEMON_LATENCY_H
#define FOCALD_DAEMON_LATENCY_H

#include <stdint.h>

enum { LATENCY_KEPT = 1024 };

struct latency {
    int n, next;
    struct {
        int64_t t_ns;
        float ms;
    } kept[LATENCY_KEPT];
};

void latency_add(struct latency *latency, int64_t t_ns, float ms);
/* The q-quantile (nearest rank) of the values not older than 60 s before now; 0 when there is none.
 */
float latency_quantile(const struct latency *latency, int64_t now_ns, float q);

#endif
