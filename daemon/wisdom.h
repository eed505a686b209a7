/* SPDX-License-Identifier: Apache-2.0
 * FFTW's wisdom in the cache directory: plans are measured once on a machine, and every later run
 * takes the same ones, so that it gives the same numbers to the last bit. */
#ifndef FOCALD_DAEMON_WISDOM_H
#define FOCALD_DAEMON_WISDOM_H

#include "daemon/config.h"

/* Before the first plan. Nothing is said when there is none. */
void wisdom_load(const struct config *config);
/* After the last plan. Where it cannot be kept, plans are measured again next time. */
void wisdom_save(const struct config *config);

#endif
