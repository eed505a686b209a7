/* SPDX-License-Identifier: Apache-2.0
 * The history that focal-record keeps, as JSON for pages. Read only, and opened again when it comes
 * or goes. Belongs to the reader's thread. */
#ifndef FOCAL_WEB_ARCHIVE_H
#define FOCAL_WEB_ARCHIVE_H

#include <stdint.h>

#include "base/error.h"

struct archive;

/* dir: "" for the default. Succeeds also when there is no history yet. */
int archive_create(struct archive **ret, const char *dir, struct error *error);
void archive_destroy(struct archive *archive); /* takes NULL */
const char *archive_dir(const struct archive *archive);

/* query: "label=dog&from=…"; docs/web.md lists what each takes. *ret: JSON text, to be freed.
 * Codes: -ENOENT: no history, or no such row; -EINVAL: the query is no good. */
int archive_events(struct archive *archive, const char *query, char **ret, struct error *error);
int archive_event(struct archive *archive, int64_t id, char **ret, struct error *error);
int archive_counts(struct archive *archive, const char *query, char **ret, struct error *error);
int archive_listening(struct archive *archive, const char *query, char **ret, struct error *error);

enum archive_file { ARCHIVE_INPUT, ARCHIVE_AUDIO, ARCHIVE_PICTURE, ARCHIVE_THUMB };

/* The file, opened, never outside of the history's directory. */
int archive_open_file(struct archive *archive, int64_t id, enum archive_file which, int *ret_fd,
                      int64_t *ret_size, struct error *error);

#endif
