/* SPDX-License-Identifier: Apache-2.0
 * Reads a Python pickle as data: a tree of values, nothing run, nothing imported. Only the opcodes
 * that files of weights need are known, and only the globals that the reader's owner lists; any
 * other is refused by name. What a listed global makes of its arguments, the owner says. */
#ifndef FOCALD_MODEL_WEIGHTS_PICKLE_H
#define FOCALD_MODEL_WEIGHTS_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
    PICKLE_MAX_OPCODES = 1 << 20, /* bounds objects and items too, so memory: some 60 MB at worst */
    PICKLE_MAX_MEMO = 1 << 20,
    PICKLE_MAX_STACK = 1 << 16,
    PICKLE_MAX_MARKS = 1 << 10,
    PICKLE_MAX_STRING = 1 << 20,
};

enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,   /* fits int64_t */
    PICKLE_OTHER, /* a number that nobody asks for: floating, or beyond int64_t */
    PICKLE_STRING,
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT,
    PICKLE_GLOBAL,
    PICKLE_OBJECT, /* made by the owner */
};

/* Values may be shared and lists and dictionaries may hold themselves: whoever walks the tree must
 * bound depth and steps. */
struct pickle_value {
    enum pickle_kind kind;
    union {
        bool truth;
        bool ordered; /* a dictionary that is an OrderedDict; beside n and items */
        int type;     /* of an object; beside index */
    };
    union {
        int64_t integer;
        const char *text;            /* in the bytes that were read, not ended by a zero */
        struct pickle_value **items; /* of a dictionary: key, value, key, value, … */
        size_t index;                /* of a global: in pickle_rules; of an object: the owner's */
    };
    size_t n; /* bytes of text, or items */
};

struct pickle;

/* What beyond Python's own values and collections.OrderedDict may occur. */
struct pickle_rules {
    const char *const *globals; /* "module.name", ended by NULL; or NULL */
    /* REDUCE of a global. Optional where there are none. args is a tuple. */
    int (*call)(void *context, struct pickle *pickle, size_t global,
                const struct pickle_value *args, struct pickle_value **ret, struct error *error);
    /* BINPERSID. NULL: refused. */
    int (*persistent)(void *context, struct pickle *pickle, const struct pickle_value *id,
                      struct pickle_value **ret, struct error *error);
    void *context;
};

/* Reads the pickle at the start of bytes[size], which must outlive it. place (the file) begins
 * every error. ret_used: how many bytes it took. -EINVAL or -ENOMEM */
int pickle_read(struct pickle **ret, const char *place, const void *bytes, size_t size,
                const struct pickle_rules *rules, size_t *ret_used, struct error *error);
void pickle_destroy(struct pickle *pickle); /* takes NULL */
const struct pickle_value *pickle_root(const struct pickle *pickle);

/* For the rules' functions; NULL when memory is exhausted. */
struct pickle_value *pickle_object(struct pickle *pickle, int type, size_t index);

bool pickle_is_text(const struct pickle_value *value, const char *text);

/* text[n] fit for an error's one line: cut to size, all but printable ASCII as '?'. */
void pickle_printable(const char *text, size_t n, char *ret, size_t size);

#endif
