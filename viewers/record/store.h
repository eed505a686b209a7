/* SPDX-License-Identifier: Apache-2.0
 * The history's database (docs/record.md), for writing. A `struct store` belongs to one thread. */
#ifndef FOCAL_RECORD_STORE_H
#define FOCAL_RECORD_STORE_H

#include <stdint.h>

#include "base/error.h"
#include "viewers/record/place.h"
#include "viewers/record/snippet.h"

struct store;

/* Opens DIR/history.db and, when `make`, makes it where it is missing. -EPROTO: another version. */
int store_open(struct store **ret, struct place *place, int make, struct error *error);
void store_close(struct store *store); /* takes NULL */

/* Makes files and rows agree after a kill: files without a row go, and rows whose files are gone.
 * ret_files, ret_rows: how many. */
int store_recover(struct store *store, int *ret_files, int *ret_rows, struct error *error);

/* Many small changes at once: begin ... end. -ENOSPC and -EFBIG tell a full disk. */
int store_begin(struct store *store, struct error *error);
int store_end(struct store *store, struct error *error);
void store_undo(struct store *store);

/* One of a snippet's files, by its ending; NULL: not kept. */
struct store_files {
    const char *input, *audio, *picture, *thumb; /* below the directory */
    int64_t bytes;                               /* together */
};

int store_snippet(struct store *store, const struct snippet *snippet,
                  const struct store_files *files, struct error *error);
/* The end of an event whose snippet was cut. */
int store_event_end(struct store *store, const char *stream, int64_t run, uint64_t event,
                    uint64_t end, int64_t t_end_ns, double p_peak, struct error *error);

enum store_outcome { STORE_KEPT, STORE_PRIVATE, STORE_RULED_OUT, STORE_DROPPED };

struct store_tally {
    char stream[SNIPPET_NAME_BYTES], label[SNIPPET_LABEL_BYTES];
    int64_t hour; /* seconds since 1970 */
    int64_t n[4]; /* by outcome */
};

int store_tally(struct store *store, const struct store_tally *tally, struct error *error);

struct store_loss {
    char stream[SNIPPET_NAME_BYTES], topic[16];
    int64_t t_ns, run;
    uint64_t messages, first;
};

int store_loss(struct store *store, const struct store_loss *loss, struct error *error);

struct store_listening {
    char stream[SNIPPET_NAME_BYTES];
    int64_t run, t_from_ns, t_to_ns;
};

/* Makes the span or lets the one with this beginning grow. */
int store_listening(struct store *store, const struct store_listening *span, struct error *error);

struct store_model {
    char hash[SNIPPET_LABEL_BYTES], name[SNIPPET_LABEL_BYTES], architecture[64], interpreter[64];
    char *labels; /* JSON; owned by whoever made it */
};

int store_model(struct store *store, const struct store_model *model, struct error *error);

/* Deleting. Each takes whole rows: the row first, then its files. */

/* The oldest rows that are no favourites, `most` at most, those that began before t_ns (0: any).
 * Returns how many went, and their files' bytes. */
int store_delete_oldest(struct store *store, int most, int64_t before_ns, int64_t *ret_bytes,
                        struct error *error);
/* -ENOENT: no such row. */
int store_delete(struct store *store, int64_t id, struct error *error);
int store_set_favourite(struct store *store, int64_t id, int favourite, struct error *error);
int store_set_note(struct store *store, int64_t id, const char *note, struct error *error);
/* Losses before that time. */
int store_forget_losses(struct store *store, int64_t before_ns, struct error *error);

/* Of all files together, and of the database. */
int store_size(struct store *store, int64_t *ret_bytes, struct error *error);

#endif
