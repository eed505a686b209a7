/* SPDX-License-Identifier: Apache-2.0
 * Where audio comes from. A source delivers blocks into a ring and tells its state; it owns its
 * threads, reconnects by itself, and never ends the daemon. One kind is one file in sources/ and
 * one const table here. */
#ifndef FOCALD_DAEMON_SOURCE_H
#define FOCALD_DAEMON_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "daemon/ring.h"

enum source_state {
    SOURCE_STARTING,
    SOURCE_RUNNING,
    SOURCE_WAITING, /* server or device is away; the source tries again */
    SOURCE_ENDED,   /* a file or pipe came to its end */
    SOURCE_FAILED,  /* will not come back by itself; the text says why and how to mend it */
};

/* A copy of what a source says of itself, for health and logs. */
struct source_status {
    enum source_state state;
    uint32_t rate_hz, channels; /* 0 while unknown */
    uint64_t xruns;             /* reported by the server */
    uint64_t reconnects;
    bool again;     /* the same was told in the round before of a loop */
    char text[192]; /* "capturing alsa_input.usb-…", "waiting for the JACK server" */
};

struct source_config {
    const char *name; /* the stream's name; also names nodes and clients: "focald-NAME" */
    const char *spec; /* what follows the colon: node, ports, path, RATE:CHANNELS; "" for default */
    bool loop;        /* file: begin again at the end */
    bool fast;        /* file: as fast as it is read, not paced as live */
    const char *jack_autoconnect; /* regular expression of output ports, or NULL */
    struct ring *ring;            /* the source is its only writer; outlives the source */
    /* Called from the source's own (not real-time) thread on every change of state or text, which
     * is never empty; may be NULL. Must not call back into the source. */
    void (*changed)(void *user, const struct source_status *status);
    void *user;
};

struct source_entry {
    char spec[256];        /* give it to --source: "pipewire:NODE" */
    char description[256]; /* for people */
};

struct source; /* each kind embeds `struct source { const struct source_ops *ops; }` first */

/* Every slot is mandatory unless it says optional. Called from the main thread. */
struct source_ops {
    const char *name; /* "pipewire" */
    const char *help; /* one line for --help */
    int auto_rank;    /* order in which `auto` probes; 0: never */
    /* Optional: true when a server of this kind answers now. Takes at most a second. */
    bool (*probe)(void);
    /* What start would refuse of config's spec and what belongs to it, without starting: the ring
     * and `changed` may be NULL. */
    int (*check)(const struct source_config *config, struct error *error);
    /* Starts to capture. A server that is away is no error (state WAITING); a spec that can never
     * work is (-EINVAL, -ENOENT). Copies what it keeps of config. */
    int (*start)(struct source **ret, const struct source_config *config, struct error *error);
    /* Stops, joins its threads and frees; takes NULL. At most half a second: a thread that a
     * library holds for longer is left behind, and touches nothing of config any more. */
    void (*stop)(struct source *source);
    /* Any thread. The text is empty until the source has told its first state. */
    void (*status)(struct source *source, struct source_status *ret);
    /* Optional: what can be captured. Fills up to cap entries, returns how many there are, or
     * negative with the error (no server). */
    int (*list)(struct source_entry *ret, int cap, struct error *error);
};

struct source {
    const struct source_ops *ops;
};

extern const struct source_ops source_pipewire, source_jack, source_file, source_stdin;

/* All kinds, NULL at the end. */
extern const struct source_ops *const source_kinds[];

/* Splits "KIND[:SPEC]"; "auto" gives the first kind by auto_rank whose probe answers (NULL and
 * -ENODEV when none does). *ret_spec points into text. */
int source_find(const char *text, const struct source_ops **ret_ops, const char **ret_spec,
                struct error *error);

const char *source_state_name(enum source_state state);

#endif
