/* SPDX-License-Identifier: Apache-2.0
 * Who is connected, by address: how many connections each has, and how fast it asks. An IPv6
 * address counts as its /64, which is what one household has; but a proxy's as itself. */
#ifndef FOCAL_WEB_GUESTS_H
#define FOCAL_WEB_GUESTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { GUESTS = 1024 };

/* Tokens that come back with time: `rate` a second, `most` at once. */
struct bucket {
    double tokens;
    int64_t filled_us;
};

/* True, and one token less, when there is one. A zeroed bucket is full. */
bool bucket_take(struct bucket *bucket, double rate, double most, int64_t now_us);

struct guest {
    unsigned char key[16];
    bool used, is_proxy;
    int connections;
    struct bucket requests, logins;
    int64_t seen_us;
};

struct guests {
    struct guest list[GUESTS];
    int connections, most, most_each;
};

/* The guest of an address, one connection more; NULL when there are too many, of it (proxies
 * excepted) or in all. */
struct guest *guests_enter(struct guests *guests, const struct sockaddr *address, bool is_proxy,
                           int64_t now_us);
void guests_leave(struct guests *guests, struct guest *guest); /* takes NULL */

bool address_is_loopback(const struct sockaddr *address);

#endif
