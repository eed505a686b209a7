/* SPDX-License-Identifier: Apache-2.0
 * The other end of a source's ring, for tests: starts a source as the daemon does, keeps what it
 * says, and reads its blocks with a time limit. */
#ifndef FOCALD_TESTS_LISTENER_H
#define FOCALD_TESTS_LISTENER_H

#include <pthread.h>
#include <stdbool.h>

#include "daemon/source.h"

enum { LISTENER_TEXTS = 64 };

struct listener {
    struct ring *ring;
    struct source *source;
    struct error error;
    bool held; /* a block is peeked */

    pthread_mutex_t lock; /* protects what the source's thread writes below */
    int n_texts;
    struct source_status said[LISTENER_TEXTS]; /* each change, the first ones */
};

/* spec as on the command line ("file:clip.wav"). config gives loop, fast, name and jack_autoconnect
 * (NULL: all default). Returns what the source's start returned; on failure l->error has its line.
 */
int listener_start(struct listener *l, const char *spec, size_t ring_bytes,
                   const struct source_config *config);
/* Stops the source and frees the ring; fails the test if the source told an empty text. Returns the
 * seconds that the stop took. */
double listener_stop(struct listener *l);

/* The next block; the one before it is released. Fails the test after timeout_s. */
struct ring_block listener_block(struct listener *l, double timeout_s);
/* Drops all blocks that are there. */
void listener_drain(struct listener *l);
/* Waits for a state, reading (and dropping) blocks meanwhile if `drain`. Fails the test with what
 * the source said instead. */
struct source_status listener_wait(struct listener *l, enum source_state state, bool drain,
                                   double timeout_s);
/* True when a change so far had this in its text. */
bool listener_heard(struct listener *l, const char *text);

double listener_now(void);
void listener_sleep(double s);

#endif
