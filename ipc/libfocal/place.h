/* SPDX-License-Identifier: Apache-2.0
 * Where daemons have their sockets, and whether one is there: endpoints as text. focal_endpoint
 * (focal.h) is here, too. Not installed. */
#ifndef FOCALD_LIBFOCAL_PLACE_H
#define FOCALD_LIBFOCAL_PLACE_H

#include <stdbool.h>
#include <stddef.h>

enum { PLACE_BYTES = 512 }; /* of an endpoint, its end included */

/* As snprintf; -ENAMETOOLONG, and "", where it does not fit. */
int place_fit(char *ret, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Of an ipc endpoint. */
bool place_is_there(const char *endpoint);
/* No socket, or one that a killed daemon left: nobody listens. */
bool place_is_gone(const char *endpoint);

/* The one of this user's daemon; "" where no user's can be. */
int place_of_user(char *ret, size_t size, const char *name, const char *socket);
/* The control endpoint beside a daemon's data endpoint; "" of one over TCP: nobody knows it. */
int place_beside(char *ret, size_t size, const char *data);

#endif
