/* SPDX-License-Identifier: Apache-2.0
 * Shared memory. __shared__ variables are static ones, so what is writable in the kernel's module
 * is shared memory. Each byte remembers who last touched it, between which barriers. */
#include "kernel.h"

#include <link.h>
#include <map>
#include <sys/mman.h>

constexpr size_t SHARED_BYTES = 48 << 10;                 /* that a block may have */
constexpr uint16_t LANES_OF = MAX_THREADS, MANY = 0xffff; /* readers: LANES_OF + warp */

struct stamp {
    uint32_t write_phase, read_phase; /* 0: never */
    uint32_t write_warp_phase, read_warp_phase;
    uint16_t writer, reader;
};

struct segment {
    uintptr_t start;
    size_t bytes;
    stamp *stamps;
};

static std::map<uintptr_t, segment> segments;
static std::vector<segment> current;    /* of the kernel's module */
static uint32_t phase = 1, first_phase; /* counts barriers and blocks of all time */
static size_t used;                     /* by the block */

static segment make_segment(uintptr_t start, size_t bytes)
{
    segment &s = segments[start];
    if (s.stamps && s.bytes == bytes)
        return s;
    if (s.stamps)
        munmap(s.stamps, s.bytes * sizeof(stamp));
    void *p = mmap(NULL, bytes * sizeof(stamp), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    s = segment{start, bytes, p == MAP_FAILED ? NULL : (stamp *)p};
    return s;
}

static int look_at(struct dl_phdr_info *module, size_t, void *kernel)
{
    bool found = false;
    for (int i = 0; i < module->dlpi_phnum; i++) {
        const auto &h = module->dlpi_phdr[i];
        found = found || (h.p_type == PT_LOAD &&
                          (uintptr_t)kernel - (module->dlpi_addr + h.p_vaddr) < h.p_memsz);
    }
    for (int i = 0; found && i < module->dlpi_phnum; i++) {
        const auto &h = module->dlpi_phdr[i];
        if (h.p_type != PT_LOAD || !(h.p_flags & PF_W))
            continue;
        segment s = make_segment(module->dlpi_addr + h.p_vaddr, h.p_memsz);
        if (s.stamps)
            current.push_back(s);
    }
    return found;
}

void shared_find(const void *kernel)
{
    current.clear();
    dl_iterate_phdr(look_at, (void *)kernel);
}

void shared_begin_block()
{
    if (phase > 0xf0000000u) {
        for (auto &s : segments)
            madvise(s.second.stamps, s.second.bytes * sizeof(stamp), MADV_DONTNEED);
        phase = 0;
    }
    first_phase = ++phase;
    used = 0;
}

void shared_barrier()
{
    phase++;
}

static stamp *find_stamps(const void *p, size_t bytes)
{
    for (const segment &s : current) {
        size_t offset = (uintptr_t)p - s.start;
        if (offset < s.bytes && bytes <= s.bytes - offset)
            return s.stamps + offset;
    }
    return NULL;
}

bool is_shared(const void *p, size_t bytes)
{
    return find_stamps(p, bytes) != NULL;
}

/* Whether what that thread did when its warp was in that phase lies before what happens now. */
static bool before_now(unsigned thread, uint32_t warp_phase)
{
    unsigned mine = now.current / LANES;
    bool own_warp = thread == LANES_OF + mine || (thread < MAX_THREADS && thread / LANES == mine);
    return thread == now.current || (own_warp && warp_phase != now.warps[mine].phase);
}

static std::string who(unsigned thread)
{
    return thread == MANY       ? "several threads"
           : thread >= LANES_OF ? text("lanes of warp %u", thread - LANES_OF)
                                : text("thread %u", thread);
}

static void note_read(stamp &s)
{
    unsigned mine = now.current / LANES;
    if (s.read_phase != phase || s.reader == now.current)
        s.reader = (uint16_t)now.current;
    else if (s.reader == LANES_OF + mine || (s.reader < MAX_THREADS && s.reader / LANES == mine))
        s.reader = (uint16_t)(LANES_OF + mine);
    else
        s.reader = MANY;
    s.read_phase = phase;
    s.read_warp_phase = now.warps[mine].phase;
}

static std::string access_byte(stamp &s, bool writes)
{
    if (s.write_phase == phase && !before_now(s.writer, s.write_warp_phase))
        return std::string(writes ? "writes" : "reads") + " shared memory that " + who(s.writer) +
               " wrote, without a barrier between";
    if (!writes) {
        if (s.write_phase < first_phase)
            return "reads shared memory that no thread of the block wrote";
        note_read(s);
        return "";
    }
    if (s.read_phase == phase && !before_now(s.reader, s.read_warp_phase))
        return "writes shared memory that " + who(s.reader) + " read, without a barrier between";
    if (s.write_phase < first_phase && ++used > SHARED_BYTES)
        return text("writes more than the %zu bytes of shared memory that a block may have",
                    SHARED_BYTES);
    s.write_phase = phase;
    s.writer = (uint16_t)now.current;
    s.write_warp_phase = now.warps[now.current / LANES].phase;
    return "";
}

std::string shared_access(const void *p, size_t bytes, bool writes)
{
    stamp *stamps = find_stamps(p, bytes);
    for (size_t i = 0; i < bytes; i++) {
        std::string wrong = access_byte(stamps[i], writes);
        if (!wrong.empty())
            return wrong;
    }
    return "";
}
