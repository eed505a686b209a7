/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/timeline.h"

#include <time.h>

/* Share of a block's error that moves the anchor: jitter is averaged over some 50 blocks. */
static const double timeline_gain = 0.02;

static int64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

int64_t realtime_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

/* What comes between the two readings makes it less, never more. */
int64_t asleep_ns(void)
{
    const int64_t with_sleep_ns = clock_ns(CLOCK_BOOTTIME);
    return with_sleep_ns - clock_ns(CLOCK_MONOTONIC);
}

void timeline_init(struct timeline *timeline, double rate_hz)
{
    *timeline = (struct timeline){.rate_hz = rate_hz};
}

int64_t timeline_monotonic(const struct timeline *timeline, double position)
{
    if (!timeline->anchored)
        return 0;
    double s = (position - timeline->anchor_pos) / timeline->rate_hz;
    return timeline->anchor_ns + (int64_t)(s * 1e9);
}

int64_t timeline_wall(const struct timeline *timeline, double position)
{
    return timeline_monotonic(timeline, position) + realtime_ns() - monotonic_ns();
}

void timeline_anchor(struct timeline *timeline, double position, int64_t t_ns)
{
    timeline->anchored = true;
    timeline->anchor_pos = position;
    timeline->anchor_ns = t_ns;
}

int64_t timeline_follow(struct timeline *timeline, double position, int64_t t_ns, bool restart)
{
    if (!timeline->anchored) {
        timeline_anchor(timeline, position, t_ns);
        return 0;
    }
    int64_t expected = timeline_monotonic(timeline, position);
    int64_t late = t_ns - expected;
    if (late > (restart ? 0 : TIMELINE_JUMP_NS))
        return late;
    if (late < -TIMELINE_JUMP_NS) /* the past is closed: only the times move back */
        timeline_anchor(timeline, position, t_ns);
    else
        timeline_anchor(timeline, position, expected + (int64_t)((double)late * timeline_gain));
    return 0;
}
