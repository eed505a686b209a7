/* SPDX-License-Identifier: Apache-2.0
 * Reads INI files, with errors that name file and line. */
#ifndef FOCALD_BASE_INIFILE_H
#define FOCALD_BASE_INIFILE_H

#include "base/error.h"

/* Takes one key of a file. where: "FILE:LINE" */
typedef int inifile_take(void *user, const char *where, const char *section, const char *key,
                         const char *value, struct error *error);

/* All keys of one INI file, until `take` fails. -ENOENT where there is none. */
int inifile_read(const char *path, inifile_take *take, void *user, struct error *error);

/* The same of a text that is not empty; name: for errors. */
int inifile_read_text(const char *name, const char *text, inifile_take *take, void *user,
                      struct error *error);

/* A program's files, those that are there: NAME and NAME.d/(*.conf) in focald/ of the system's
 * directory (/etc; the environment's FOCALD_SYSCONFDIR), then of the user's ($XDG_CONFIG_HOME,
 * ~/.config). path: that file instead, which must be there, and PATH.d/(*.conf); or NULL. */
int inifile_read_usual(const char *name, const char *path, inifile_take *take, void *user,
                       struct error *error);
/* The system's of them alone: what a service reads. */
int inifile_read_system(const char *name, inifile_take *take, void *user, struct error *error);

#endif
