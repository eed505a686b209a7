/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/web/guests.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

bool bucket_take(struct bucket *bucket, double rate, double most, int64_t now_us)
{
    if (bucket->filled_us == 0)
        bucket->tokens = most;
    else
        bucket->tokens += rate * (double)(now_us - bucket->filled_us) * 1e-6;
    bucket->filled_us = now_us;
    if (bucket->tokens > most)
        bucket->tokens = most;
    if (bucket->tokens < 1)
        return false;
    bucket->tokens -= 1;
    return true;
}

static const unsigned char *ipv4_of(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return (const unsigned char *)&((const struct sockaddr_in *)address)->sin_addr;
    if (address->sa_family != AF_INET6)
        return NULL;
    const struct in6_addr *a = &((const struct sockaddr_in6 *)address)->sin6_addr;
    return IN6_IS_ADDR_V4MAPPED(a) ? a->s6_addr + 12 : NULL;
}

bool address_is_loopback(const struct sockaddr *address)
{
    const unsigned char *ipv4 = ipv4_of(address);
    if (ipv4 != NULL)
        return ipv4[0] == 127;
    return address->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

/* A proxy counts alone: its neighbours are let in as all others are. */
static void make_key(unsigned char key[16], const struct sockaddr *address, bool is_proxy)
{
    const unsigned char *ipv4 = ipv4_of(address);
    memset(key, 0, 16);
    if (ipv4 != NULL) {
        key[10] = key[11] = 0xff;
        memcpy(key + 12, ipv4, 4);
    } else if (address->sa_family == AF_INET6)
        memcpy(key, ((const struct sockaddr_in6 *)address)->sin6_addr.s6_addr, is_proxy ? 16 : 8);
}

static bool is_of(const struct guest *guest, const unsigned char key[16], bool is_proxy)
{
    return guest->used && guest->is_proxy == is_proxy && memcmp(guest->key, key, 16) == 0;
}

/* Its place, or the free one that was longest unseen. */
static struct guest *find(struct guests *g, const unsigned char key[16], bool is_proxy)
{
    struct guest *place = NULL;
    for (int i = 0; i < GUESTS; i++) {
        struct guest *at = &g->list[i];
        if (is_of(at, key, is_proxy))
            return at;
        if (at->connections == 0 && (place == NULL || at->seen_us < place->seen_us))
            place = at;
    }
    return place;
}

struct guest *guests_enter(struct guests *guests, const struct sockaddr *address, bool is_proxy,
                           int64_t now_us)
{
    unsigned char key[16];
    make_key(key, address, is_proxy);
    struct guest *guest = find(guests, key, is_proxy);
    if (guest == NULL || guests->connections >= guests->most)
        return NULL;
    if (!is_of(guest, key, is_proxy)) {
        *guest = (struct guest){.used = true, .is_proxy = is_proxy};
        memcpy(guest->key, key, 16);
    }
    guest->seen_us = now_us;
    if (!is_proxy && guest->connections >= guests->most_each)
        return NULL;
    guest->connections++;
    guests->connections++;
    return guest;
}

void guests_leave(struct guests *guests, struct guest *guest)
{
    if (guest == NULL)
        return;
    guest->connections--;
    guests->connections--;
}
