/* SPDX-License-Identifier: Apache-2.0
 * The recorder's configuration: focal-record.conf(5 in focal-record(1)). */
#ifndef FOCAL_RECORD_SETTINGS_H
#define FOCAL_RECORD_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/keys.h"

enum { SETTINGS_LABEL_BYTES = 128, SETTINGS_MAX_RULES = 1024 };

/* What may be kept of a label. */
struct rule {
    char label[SETTINGS_LABEL_BYTES]; /* "*" for every label without a section of its own */
    bool record, private;
    double min_probability, min_length_s, cool_down_s;
};

struct settings {
    char dir[512];     /* "": the usual place */
    char streams[512]; /* names, or "" for all */
    char continuous[512];
    double lead_s, tail_s, max_length_s, chunk_s;
    int bits;
    bool input, audio, picture;
    double private_probability;
    double max_age_s, max_size_bytes, min_free_bytes; /* 0: no limit */
    char player[256];
    char data[256], control[256], server_key[512], key[512]; /* of focald; "": the usual */
    struct rule every;                                       /* [label *] */
    struct rule *rules;
    size_t n_rules;
};

/* The defaults, the standard files, or `path` and path.d/. A missing standard file is none. Finish
 * it whether this succeeds or not. */
int settings_load(struct settings *ret, const char *path, struct error *error);
void settings_finish(struct settings *settings);

/* The keys, one after the other; NULL behind the last. [label]'s are those of [label NAME]. */
const struct key *settings_key(size_t i);

/* The rule of a label: its own section, but for case and with _ for a blank, else [label *]. */
const struct rule *settings_rule(const struct settings *settings, const char *label);
bool settings_has_private(const struct settings *settings);
/* True when `name` is in a list of names parted by blanks or commas, or the list has a "*". */
bool settings_listed(const char *list, const char *name);

#endif
