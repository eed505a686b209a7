/* SPDX-License-Identifier: Apache-2.0
 * CURVE keys in files: 32 bytes as 40 characters of Z85 on one line. */
#ifndef FOCALD_IPC_KEYS_H
#define FOCALD_IPC_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { KEY_BYTES = 32, KEY_TEXT_BYTES = 41 };

/* The secret key of a file and the public key that belongs to it, as text. A file that its group or
 * others may read is refused. */
int key_read_secret(const char *path, char ret_secret[KEY_TEXT_BYTES],
                    char ret_public[KEY_TEXT_BYTES], struct error *error);
/* The public key of a file such as FILE.pub. */
int key_read_public(const char *path, char ret_public[KEY_TEXT_BYTES], struct error *error);
/* A new pair: the secret key in path (0600), the public key in path.pub. Overwrites nothing. */
int key_write_pair(const char *path, char ret_public[KEY_TEXT_BYTES], struct error *error);

/* True when text is a key; the bytes go to ret (may be NULL). */
bool key_decode(const char *text, uint8_t ret[KEY_BYTES]);

#endif
