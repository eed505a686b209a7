/* SPDX-License-Identifier: Apache-2.0
 * What is heard on one stream: takes its messages, follows its events, and gives whole snippets to
 * the writer. Nothing of a message is believed before it was checked. */
#ifndef FOCAL_RECORD_HEARING_H
#define FOCAL_RECORD_HEARING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "ipc/libfocal/focal.h"
#include "viewers/record/settings.h"
#include "viewers/record/writer.h"

struct hearing;

/* number: of this stream among all, so that they do not finish their chunks all at once. */
int hearing_create(struct hearing **ret, const char *stream, int number,
                   const struct settings *settings, struct writer *writer, struct error *error);
/* Concludes what is under way. Takes NULL. */
void hearing_destroy(struct hearing *hearing);

const char *hearing_name(const struct hearing *hearing);

/* 0, or -EPROTO with a line: the message was left out. */
int hearing_take(struct hearing *hearing, const struct focal_message *message, struct error *error);
/* Rules of the settings that no label of the stream's model is under, as "[label speech], [label
 * x]". True once for each model that has such; ret is cut where it is too small. */
bool hearing_idle_rules(struct hearing *hearing, char *ret, size_t size);
/* About once a second. now_ms: of the monotonic clock. */
void hearing_tick(struct hearing *hearing, int64_t now_ms);

#endif
