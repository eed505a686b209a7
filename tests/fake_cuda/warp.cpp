/* SPDX-License-Identifier: Apache-2.0
 * Operations of a warp: they are done when all lanes named have come to the same one. */
#include "kernel.h"
#include "include/cuda_runtime.h"

static const char *const op_names[] = {"__syncwarp",       "__shfl_sync",     "__shfl_up_sync",
                                       "__shfl_down_sync", "__shfl_xor_sync", "__ballot_sync"};

void begin_warps()
{
    unsigned warps = (now.threads + LANES - 1) / LANES;
    for (unsigned w = 0; w < warps; w++) {
        unsigned lanes = now.threads - w * LANES;
        now.warps[w].arrived = now.warps[w].phase = 0;
        now.warps[w].absent = lanes < LANES ? ~0u << lanes : 0;
    }
}

/* Which lane's value this one gets. */
static unsigned source_of(const lane &l, unsigned me)
{
    unsigned width = (unsigned)l.width, first = me & ~(width - 1), end = first + width;
    switch (l.op) {
    case FAKE_SHFL:
        return first | (l.argument & (width - 1));
    case FAKE_SHFL_UP:
        return l.argument <= me - first ? me - l.argument : me;
    case FAKE_SHFL_DOWN:
        return l.argument < end - me ? me + l.argument : me;
    case FAKE_SHFL_XOR:
        return (me ^ l.argument) < end ? me ^ l.argument : me;
    default:
        return me;
    }
}

/* All lanes of `members` are there: gives each its result. */
static void complete(warp &w, unsigned first_thread, unsigned members, unsigned me)
{
    const lane &mine = w.lanes[me];
    unsigned ballot = 0;
    for (unsigned i = 0; i < LANES; i++) {
        if (!(members >> i & 1))
            continue;
        const lane &other = w.lanes[i];
        if (other.op != mine.op || other.mask != mine.mask)
            fail_thread(cudaErrorLaunchFailure,
                        text("is at %s of lanes %08x, where lane %u is at %s of lanes %08x",
                             op_names[mine.op], mine.mask, i, op_names[other.op], other.mask));
        ballot |= (unsigned)(other.value & 1) << i;
    }
    for (unsigned i = 0; i < LANES; i++) {
        if (!(members >> i & 1))
            continue;
        unsigned source = source_of(w.lanes[i], i);
        if (!(members >> source & 1))
            fail_thread(cudaErrorLaunchFailure,
                        text("%s: lane %u reads lane %u, which is not among the lanes %08x that "
                             "are there",
                             op_names[mine.op], i, source, members));
        w.lanes[i].result = mine.op == FAKE_BALLOT ? ballot : w.lanes[source].value;
    }
    w.arrived &= ~members;
    if (mine.op == FAKE_SYNCWARP)
        w.phase++;
    for (unsigned i = 0; i < LANES; i++)
        if (i != me && members >> i & 1)
            make_ready(first_thread + i);
}

uint64_t fake_warp(enum fake_warp_op op, unsigned mask, uint64_t value, unsigned argument,
                   int width)
{
    unsigned thread = now.current, me = thread % LANES;
    warp &w = now.warps[thread / LANES];
    if (!(mask >> me & 1))
        fail_thread(cudaErrorLaunchFailure,
                    text("is at %s of lanes %08x, but is lane %u", op_names[op], mask, me));
    if (width <= 0 || width > (int)LANES || (width & (width - 1)))
        fail_thread(cudaErrorLaunchFailure, text("%s of width %d", op_names[op], width));
    w.lanes[me] = lane{op, mask, argument, width, value, 0};
    w.arrived |= 1u << me;
    unsigned members = mask & ~w.absent;
    if ((w.arrived & members) == members)
        complete(w, thread - me, members, me);
    else
        park();
    return w.lanes[me].result;
}

/* Lanes that have left are not waited for. */
void lane_leaves(unsigned thread)
{
    warp &w = now.warps[thread / LANES];
    w.absent |= 1u << thread % LANES;
    if (!w.arrived)
        return;
    unsigned me = (unsigned)__builtin_ctz(w.arrived), members = w.lanes[me].mask & ~w.absent;
    if ((w.arrived & members) != members)
        return;
    complete(w, thread - thread % LANES, members, me);
    make_ready(thread - thread % LANES + me);
}

std::string waiting_lane()
{
    for (unsigned t = 0; t < now.threads; t++) {
        const warp &w = now.warps[t / LANES];
        const lane &l = w.lanes[t % LANES];
        if (w.arrived >> t % LANES & 1)
            return name_thread(t) +
                   text(" waits at %s of lanes %08x, where lanes %08x never arrive", op_names[l.op],
                        l.mask, l.mask & ~w.absent & ~w.arrived);
    }
    return "";
}
