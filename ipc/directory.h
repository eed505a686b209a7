/* SPDX-License-Identifier: Apache-2.0
 * The directory of a daemon's sockets. ZeroMQ's bind silently takes over the path of a living
 * daemon, so the directory is held by a lock on DIR/lock while its owner lives, however that ends.
 */
#ifndef FOCALD_IPC_DIRECTORY_H
#define FOCALD_IPC_DIRECTORY_H

#include <stdbool.h>

#include "base/error.h"

enum { DIRECTORY_PATH_MAX = 104 }; /* of a socket in it: the kernel's limit is 107 */

struct directory {
    char path[DIRECTORY_PATH_MAX + 1];
    int lock_fd; /* -1: not held */
    bool made;   /* by us, so ours to remove */
};

/* Makes DIR (0750, its parent must exist) and takes its lock; -EADDRINUSE when another daemon holds
 * it. DIR/data and DIR/control are then free to bind: stale ones may be there, living ones not. */
int directory_hold(struct directory *d, const char *path, struct error *error);
/* Removes the sockets, the lock and, if it was made here and is empty, DIR. */
void directory_release(struct directory *d);

#endif
