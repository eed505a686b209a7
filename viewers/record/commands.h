/* SPDX-License-Identifier: Apache-2.0
 * focal-record's commands. Each returns the exit status, and has printed what was wrong. */
#ifndef FOCAL_RECORD_COMMANDS_H
#define FOCAL_RECORD_COMMANDS_H

#include <stdbool.h>
#include <stdint.h>

#include "viewers/record/history.h"
#include "viewers/record/place.h"
#include "viewers/record/settings.h"

enum { EXIT_USAGE = 2 };

enum format { FORMAT_TABLE, FORMAT_JSON, FORMAT_CSV };

struct arguments {
    const char *config;
    char dir[PLACE_PATH_BYTES - PLACE_FILE_BYTES]; /* of the history */
    struct settings settings;
    struct history_filter filter;
    enum format format;
    const char *png, *audacity; /* files to write, or NULL */
    int64_t origin_ns;          /* 0: not given */
    bool interpretation;        /* play the interpreted sound */
    bool off;                   /* no favourite any more */
    bool all;                   /* --limit 0 */
    const char *player;
    char **words; /* after the command */
    int n_words;
};

int command_run(const struct arguments *arguments);
int command_query(const struct arguments *arguments);
int command_show(const struct arguments *arguments);
int command_play(const struct arguments *arguments);
int command_export(const struct arguments *arguments);
int command_stats(const struct arguments *arguments);
int command_verify(const struct arguments *arguments);
int command_favourite(const struct arguments *arguments);
int command_note(const struct arguments *arguments);
int command_delete(const struct arguments *arguments);

/* "focal-record: LINE" to the standard error; returns EXIT_FAILURE. */
int complain(const struct error *error);
/* The id that a word is. False after printing. */
bool read_id(const char *word, int64_t *ret);

#endif
