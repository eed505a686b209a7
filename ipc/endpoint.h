/* SPDX-License-Identifier: Apache-2.0
 * The publisher's two sockets: made, limited and bound, with CURVE on TCP where it is asked for. */
#ifndef FOCALD_IPC_ENDPOINT_H
#define FOCALD_IPC_ENDPOINT_H

#include <stdbool.h>

#include "base/error.h"

/* True for "tcp://127.0.0.1:5555", "tcp://[::1]:*", "tcp://localhost:1"; false for
 * "tcp://0.0.0.0:1", "tcp://eth0:1" and for names, which may mean anything. */
bool endpoint_is_loopback(const char *tcp);

struct endpoint_config {
    int type;               /* ZMQ_XPUB or ZMQ_ROUTER */
    const char *ipc_path;   /* of the socket file, made 0660 */
    const char *tcp;        /* or NULL */
    const char *secret_key; /* Z85 or NULL: no CURVE on TCP */
    bool ask_zap;           /* a ZAP handler decides who may connect over TCP */
    int send_hwm;
    int max_bytes; /* of a message received; larger ones cost the sender its connection */
};

/* Whether `tcp` could be bound, by how it is written; beyond loopback only with a key. -EINVAL,
 * -EPERM: the error names it and the mend. */
int endpoint_check(const char *tcp, bool has_key, struct error *error);

/* ret_tcp: "" or the TCP endpoint as bound. The error names the endpoint. */
int endpoint_open(void **ret, void *context, const struct endpoint_config *config,
                  char ret_tcp[256], struct error *error);

#endif
