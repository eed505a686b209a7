/* SPDX-License-Identifier: Apache-2.0
 * What can be set of focal-web: the keys of focal-web.conf and the options of the command line,
 * which are the same (man/focal-web.1). */
#ifndef FOCAL_WEB_SETTINGS_H
#define FOCAL_WEB_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/error.h"

enum { SETTING_BYTES = 512, SETTINGS_LIST = 16 };

struct settings {
    /* as written; empty: not set */
    char listen[SETTING_BYTES], certificate[SETTING_BYTES], private_key[SETTING_BYTES];
    char password_file[SETTING_BYTES], trusted_proxy[SETTING_BYTES], origins[SETTING_BYTES];
    char history[SETTING_BYTES]; /* a directory; empty: the default one; "none": no history */
    char name[SETTING_BYTES], data[SETTING_BYTES], control[SETTING_BYTES];
    char server_key[SETTING_BYTES], client_key[SETTING_BYTES];
    bool knobs;
    int max_viewers, max_connections, max_connections_each;

    /* worked out of them by settings_check */
    struct sockaddr_storage address;
    socklen_t address_bytes;
    char host[64];    /* of listen, without the port and brackets */
    bool is_loopback; /* only this machine can reach it */
    struct sockaddr_storage proxies[SETTINGS_LIST];
    int n_proxies;
    char *origin_list[SETTINGS_LIST]; /* into origin_text */
    char origin_text[SETTING_BYTES];
    int n_origins;
};

/* What to do besides serving, from the command line. */
enum settings_action { ACTION_SERVE, ACTION_CHECK, ACTION_SET_PASSWORD, ACTION_END };

/* Defaults, the files, then the command line, and all checked together. *ret_action ACTION_END:
 * help or version was printed. ACTION_SET_PASSWORD: only password_file is meaningful. */
int settings_read(struct settings *ret, enum settings_action *ret_action, int argc, char **argv,
                  struct error *error);

/* The keys of focal-web.conf, one after the other; NULL behind the last. From and to are 0 where
 * the value is no number. */
const char *settings_key(int i, const char **ret_section, int *ret_from, int *ret_to);

#endif
