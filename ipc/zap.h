/* SPDX-License-Identifier: Apache-2.0
 * Who may connect over CURVE: answers ZeroMQ's authentication requests (ZAP, RFC 27) from a file of
 * public keys, read again when it changes. Owned by the ipc thread once the publisher runs. */
#ifndef FOCALD_IPC_ZAP_H
#define FOCALD_IPC_ZAP_H

#include "base/error.h"

struct zap;

/* Binds inproc://zeromq.zap.01 in context. A file that cannot be read or has a line that is no key
 * is an error that names the line. */
int zap_create(struct zap **ret, void *context, const char *clients_file, struct error *error);
void zap_destroy(struct zap *zap); /* takes NULL */

/* Whether zap_create could read the file. */
int zap_check(const char *clients_file, struct error *error);

/* The socket to poll for reading. */
void *zap_socket(struct zap *zap);
/* Answers the requests that wait. While the file is broken, nobody new gets in. */
void zap_serve(struct zap *zap);

#endif
