/* SPDX-License-Identifier: Apache-2.0
 * The thread that writes: sound files, pictures, rows, and what goes to make room for them. Whoever
 * listens hands it work and never waits; what it cannot keep up with is dropped, and counted. */
#ifndef FOCAL_RECORD_WRITER_H
#define FOCAL_RECORD_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "viewers/record/settings.h"
#include "viewers/record/snippet.h"
#include "viewers/record/store.h"

struct writer;

/* Holds the directory, opens the database, mends what a kill left, and starts the thread. settings
 * must outlive it. */
int writer_create(struct writer **ret, const struct settings *settings, const char *dir,
                  struct error *error);
/* Writes what waits, and ends the thread: writer_state tells what could not be written. */
void writer_end(struct writer *writer);
/* Ends it, too. Takes NULL. */
void writer_destroy(struct writer *writer);

/* All of them may be called from one thread, and return at once. */

/* Takes it over. A snippet of an event is counted as kept or dropped, one way or the other. */
void writer_snippet(struct writer *writer, struct snippet *snippet);
void writer_tally(struct writer *writer, const char *stream, const char *label, int64_t t_onset_ns,
                  enum store_outcome outcome);
void writer_loss(struct writer *writer, const struct store_loss *loss);
void writer_listening(struct writer *writer, const struct store_listening *span);
/* Takes model->labels over. */
void writer_model(struct writer *writer, const struct store_model *model);

struct writer_end {
    char stream[SNIPPET_NAME_BYTES];
    int64_t run, t_end_ns;
    uint64_t event, end;
    double p_peak;
};

void writer_event_end(struct writer *writer, const struct writer_end *end);

enum { WRITER_PROBLEM_BYTES = 300 };

struct writer_state {
    uint64_t kept, dropped;
    uint64_t waiting;                   /* snippets */
    char problem[WRITER_PROBLEM_BYTES]; /* "" when all is well */
    uint64_t refused;                   /* rows that the database did not take for what they say */
    char refusal[WRITER_PROBLEM_BYTES]; /* why, the last one */
    uint64_t unwritten;                 /* after writer_end: rows, snippets' apart, that are lost */
};

void writer_state(struct writer *writer, struct writer_state *ret);

#endif
