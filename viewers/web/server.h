/* SPDX-License-Identifier: Apache-2.0
 * The event loop: who connects, what focald says, and what pages ask, all in one thread. */
#ifndef FOCAL_WEB_SERVER_H
#define FOCAL_WEB_SERVER_H

#include "base/error.h"
#include "viewers/web/settings.h"

/* Serves until SIGINT or SIGTERM. */
int server_run(const struct settings *settings, struct error *error);

#endif
