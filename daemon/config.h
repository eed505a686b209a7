/* SPDX-License-Identifier: Apache-2.0
 * Everything that can be set: files, then options, into one struct. One table (config.c) makes the
 * keys, their types, units, limits, defaults, the shipped focald.conf's check and --help.
 *
 * Order: /etc/focald/focald.conf and what is in focald.conf.d/ beside it, the same of ~/.config,
 * then options. */
#ifndef FOCALD_DAEMON_CONFIG_H
#define FOCALD_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "model/depthwise.h"
#include "model/precision.h"

enum { CONFIG_MAX_STREAMS = 32 };

/* [stream NAME] */
struct config_stream {
    char name[64];      /* [A-Za-z0-9_.-]{1,63} */
    char source[512];   /* "auto", "pipewire:NODE", … */
    char fallback[512]; /* taken when `auto` finds no server; "" waits for one */
    bool loop, fast;
    char jack_autoconnect[256]; /* "" for none */
};

/* What control may change while running, kept apart so that it can be copied as a whole. */
struct config_live {
    double batch_wait_s;    /* [model] batch_wait = 10 ms */
    double reject;          /* [model] reject = auto (NaN) | off (-infinity) | a threshold */
    double quantile;        /* [analysis] quantile = 0.9; 0 … 1 */
    int hop_frames;         /* [analysis] hop = 43 frames, or "0.5 s", rounded to whole frames */
    double silence_gate_db; /* [analysis] silence_gate = -60 dBFS */
    int top_k;              /* [analysis] top_k = 5; 1 … 20 */
    double event_on;        /* [events] on = 0.6 (probability for people) */
    double event_off;       /* [events] off = 0.4; <= on */
    double event_min_s;     /* [events] min_length = 0.5 s */
};

struct config {
    char model_dir[512];  /* [model] dir; "" is the default model */
    char interpreter[16]; /* [model] interpreter = auto | modulation | attention | piq */
    char backend[16];     /* [model] backend = auto | cpu | cuda */
    char precision[16];   /* [model] precision = auto | float32 | tf32 | bfloat16 | float16 */
    char depthwise[16];   /* [model] depthwise = auto | cudnn | kernels */
    bool fallback;        /* [model] fallback = yes: to the CPU when the GPU fails */
    int threads;          /* [model] threads = 0 (all) */
    struct config_live live;
    double audio_delay_s; /* [audio] delay; -1: one hop */
    char resampler[16];   /* [audio] resampler = fast | medium | best */
    double ring_s;        /* [audio] ring = 2 s */
    char ipc_name[64]; /* [ipc] name = focald's sockets directory: /run/NAME, $XDG_RUNTIME_DIR/NAME
                        */
    char ipc_dir[512]; /* [ipc] dir; "" derives it from name */
    char tcp_data[128], tcp_control[128]; /* [ipc] */
    char curve_secret_key[512], curve_clients[512];
    int send_hwm;
    char cache_dir[512]; /* [paths] cache; "" is $CACHE_DIRECTORY or ~/.cache/focald */
    char log_level[16];  /* [log] level = error | warning | info | debug */
    struct config_stream streams[CONFIG_MAX_STREAMS];
    int n_streams;
};

struct config_option { /* one "section.key=value" from the command line */
    const char *section, *key, *value;
    const char *option; /* "--model", for the error line */
};

/* Defaults, then the files (path: this file alone instead of the standard ones; NULL: those), then
 * options: [n]. The error names file, line, key and what is allowed. */
int config_load(struct config *ret, const char *path, const struct config_option *options, int n,
                struct error *error);

/* Key number i of the table and its section ("stream" for [stream NAME]); NULL behind the last. */
const char *config_key(int i, const char **ret_section);

/* What differs: "section.key" number i, or NULL when there are no more. The text lives until the
 * next call in this thread. */
const char *config_difference(const struct config *a, const struct config *b, int i);
/* False for keys that a reload takes at once (live values, model, log level). */
bool config_key_needs_restart(const char *section_key);

/* One live value by its key ("quantile"), from control. Validated like the file's. */
int config_live_set(struct config_live *live, const char *key, const char *value,
                    struct error *error);
/* Writes the value as text; -ENOENT for a key that is not live. */
int config_live_get(const struct config_live *live, const char *key, char *ret, size_t size);
/* The live keys, NULL at the end. */
const char *const *config_live_keys(void);

/* [model] precision. */
enum precision config_precision(const struct config *config);
/* [model] depthwise. */
enum depthwise config_depthwise(const struct config *config);

/* Where the sockets are: [ipc] dir; else /run/NAME for root, $XDG_RUNTIME_DIR/NAME for others. */
int config_ipc_dir(const struct config *config, char *ret, size_t size, struct error *error);
/* A file in the cache directory, which is made if missing. 0, or a negative errno when there is
 * none: nothing is kept then. */
int config_cache_file(const struct config *config, const char *name, char *ret, size_t size);

/* The directory of the model that is meant: model_dir, or the environment's FOCALD_MODEL, or the
 * default beside the program in its build folder, or as installed. */
int config_model_dir(const struct config *config, char *ret, size_t size, struct error *error);

#endif
