/* SPDX-License-Identifier: Apache-2.0
 * What the ipc tests share: a directory of their own, a publisher with two streams and a daemon's
 * answers, subscribers, and waiting with a limit instead of sleeping. */
#ifndef FOCALD_TESTS_IPC_FIXTURE_H
#define FOCALD_TESTS_IPC_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "ipc/publisher.h"

/* wait_until(condition): true as soon as it holds, false when it did not within 10 s. */
#define wait_until(condition)                                                                      \
    ({                                                                                             \
        bool held_ = false;                                                                        \
        for (int tries_ = 0; tries_ < 5000 && !(held_ = (condition)); tries_++)                    \
            fixture_sleep_ms(2);                                                                   \
        held_;                                                                                     \
    })

struct fixture {
    char directory[64];             /* in /tmp, empty */
    char data[96], control[96];     /* ipc endpoints there */
    struct publisher_config config; /* streams kitchen and garden; change it before starting */
    struct publisher *publisher;
    atomic_int requests;     /* that reached the daemon's side */
    _Atomic uint64_t ticket; /* of the newest "later", which nobody answers but the test */
};

void fixture_init(struct fixture *f);
void fixture_start(struct fixture *f); /* asserts that it works */
void fixture_finish(struct fixture *f);

/* This program again as a process of its own, with argv[1] mode, argv[2] argument. It says that it
 * is ready with fixture_ready(); the call returns then. */
pid_t fixture_spawn(const char *mode, const char *argument);
void fixture_ready(void);

void fixture_sleep_ms(int ms);
int64_t fixture_now_ms(void);

/* A SUB socket in a context of its own. */
struct subscriber {
    void *context, *socket;
};
struct subscriber fixture_subscribe(const char *endpoint, const char *prefix);
void subscriber_close(struct subscriber *s);

struct received {
    char topic[128];
    json_t *header;
    size_t payload_bytes;
    unsigned char payload[1024]; /* its beginning */
};
/* Waits for the next message of three frames; false when none came in time. */
bool subscriber_next(struct subscriber *s, struct received *ret, int timeout_ms);
void received_clear(struct received *r);
int64_t received_int(const struct received *r, const char *key);

/* Sends input PCM of count samples at first: sample i is (first + i) / 1e6. */
void fixture_send_input(struct outbox *outbox, int stream, uint64_t first, size_t count);

/* One request over a DEALER; the reply, or NULL when none came in time. */
json_t *fixture_ask(const char *endpoint, const void *request, size_t bytes, int timeout_ms);

#endif
