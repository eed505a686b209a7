/* SPDX-License-Identifier: Apache-2.0
 * Keys of configurations: each is a row of a table that says where it stands, what it may be, what
 * it is by default, and which field of a struct it fills. */
#ifndef FOCALD_BASE_KEYS_H
#define FOCALD_BASE_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum key_kind {
    KIND_TEXT,   /* char[]: any, up to the field's size */
    KIND_CHOICE, /* char[]: one of `choices` */
    KIND_YES_NO, /* bool */
    KIND_INTEGER,
    KIND_NUMBER,  /* double, as the rest: */
    KIND_SECONDS, /* "0.5 s", "500 ms", "0.5" */
    KIND_SPAN,    /* seconds: "30 days", "12 h", "5 min", as KIND_SECONDS too */
    KIND_BYTES,   /* "10 GB", "500 MB", "1024" */
    KIND_DBFS,    /* "-60 dBFS", "-60" */
    KIND_HOP,     /* int: "43 frames", "0.5 s" */
    KIND_DELAY,   /* "hop" (-1), or seconds */
    KIND_REJECT,  /* "auto" (NaN), "off" (-infinity), or a number */
};

struct key {
    const char *section, *key;
    enum key_kind kind;
    size_t offset, size; /* of the field in its struct */
    double from, to;
    const char *choices;  /* "auto cpu" */
    const char *fallback; /* the default, as it would stand in a file */
    /* the daemon's own */
    const char *live_name; /* for control, or NULL */
    int when;
};

/* Sets the field in the struct at `base`. False: not allowed. */
bool key_set(const struct key *key, void *base, const char *text);
/* The field as it would stand in a file. */
void key_text(const struct key *key, const void *base, char *ret, size_t size);
/* What is allowed, for error lines. */
void key_allowed(const struct key *key, char *ret, size_t size);

/* The key of that name among keys: [n], or NULL. */
const struct key *key_find(const struct key *keys, size_t n, const char *section, const char *name);
/* -EINVAL with what comes nearest. manual: where all keys are described. */
int key_unknown(const struct key *keys, size_t n, const char *manual, const char *where,
                const char *section, const char *name, struct error *error);

#endif
