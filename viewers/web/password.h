/* SPDX-License-Identifier: Apache-2.0
 * The password that pages ask for, kept as an Argon2id hash in a file, and the sessions it opens: a
 * cookie that says until when, signed with a key made of the hash, so that it outlives a restart
 * and ends with the password. */
#ifndef FOCAL_WEB_PASSWORD_H
#define FOCAL_WEB_PASSWORD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

enum {
    PASSWORD_MOST = 256, /* bytes */
    PASSWORD_LEAST = 8,
    SESSION_TEXT_BYTES = 96, /* of a cookie's value, with its NUL */
    SESSION_S = 30 * 24 * 3600
};

struct password {
    char hash[128]; /* libsodium's crypto_pwhash_str */
    unsigned char key[32];
};

/* The file must belong to no one else: readable by its owner (and group) alone. */
int password_read(struct password *ret, const char *path, struct error *error);
/* Takes a line from `in`, and writes its hash to path (0600), which is replaced whole or not at
 * all. */
int password_write(const char *path, FILE *in, struct error *error);
/* Takes 0.1 s and 64 MiB. */
bool password_matches(const struct password *password, const char *text);

void session_make(const struct password *password, int64_t now_s, char ret[SESSION_TEXT_BYTES]);
bool session_is_good(const struct password *password, int64_t now_s, const char *text);

#endif
