/* SPDX-License-Identifier: Apache-2.0
 * Reading configuration and model again while focald runs. Main thread. */
#ifndef FOCALD_DAEMON_RELOAD_H
#define FOCALD_DAEMON_RELOAD_H

#include "daemon/daemon.h"

/* Takes what the files say now, or, where something in them is wrong, nothing; logs what it did,
 * and answers all requests that asked for it until it began. */
void reload_run(struct daemon *d);

/* Answers those that nothing is read for any more; control must take no new ones. */
void reload_refuse(struct daemon *d);

#endif
