/* SPDX-License-Identifier: Apache-2.0
 * Whether settings make sense together: above all, that nothing is served beyond this machine
 * without TLS and a password, or a proxy that has them. */
#ifndef FOCAL_WEB_SETTINGS_CHECK_H
#define FOCAL_WEB_SETTINGS_CHECK_H

#include "viewers/web/settings.h"

/* Fills what is worked out. */
int settings_check(struct settings *settings, struct error *error);

#endif
