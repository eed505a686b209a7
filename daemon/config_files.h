/* SPDX-License-Identifier: Apache-2.0
 * Reading the INI files of the configuration, and finding directories. */
#ifndef FOCALD_DAEMON_CONFIG_FILES_H
#define FOCALD_DAEMON_CONFIG_FILES_H

#include "daemon/config.h"

/* The standard files, or `path` and path.d/. A missing standard file is none; a missing `path` is
 * an error. */
int config_read_files(struct config *config, const char *path, struct error *error);

/* One key by its text (config.c). where: "FILE:LINE" or "--option", for the error. */
int config_set(struct config *config, const char *where, const char *section, const char *key,
               const char *value, struct error *error);

#endif
