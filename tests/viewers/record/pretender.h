/* SPDX-License-Identifier: Apache-2.0
 * A publisher made for tests: says what a daemon says, and, when a test wants it, what a daemon
 * never would. One thread, real sockets. And the real focal-record as a child process. */
#ifndef FOCALD_TESTS_PRETENDER_H
#define FOCALD_TESTS_PRETENDER_H

#include <jansson.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    PRETENDER_STREAMS = 16,
    PRETENDER_CLASSES = 4, /* rooster, dog, speech, rain */
    PRETENDER_HOP = 1860,  /* samples; ten frames of 186 */
    PRETENDER_WINDOW = 18600,
    PRETENDER_BINS = 513,
};

enum { ROOSTER, DOG, SPEECH, RAIN };

struct pretender_stream {
    char name[64];
    uint64_t seq[9];
    uint64_t position; /* samples said so far */
    uint64_t event;    /* the last id */
    uint64_t onset;    /* of the event that is on */
};

struct pretender {
    void *context, *socket;
    char dir[200], data[256];
    int64_t run, t0_ns; /* time of sample 0 */
    struct pretender_stream streams[PRETENDER_STREAMS];
    int n_streams;
    bool unknown; /* the windows to come have no name */
};

/* Binds DIR/data; streams are called s0, s1, … */
void pretender_start(struct pretender *p, const char *dir, int n_streams);
void pretender_stop(struct pretender *p);
/* Until a recorder listens to every topic (up to 20 s), then says info. */
void pretender_wait(struct pretender *p);
/* Forgets the subscriptions that came and went: before the next recorder is waited for. */
void pretender_drain(struct pretender *p);
void pretender_info(struct pretender *p, int stream);

/* Any frames. */
void pretender_frames(struct pretender *p, const char *topic, const char *header,
                      const void *payload, size_t bytes);
/* A message with a good header; fields (stolen, may be NULL) come on top. topic: "label" … */
void pretender_say(struct pretender *p, int stream, const char *topic, uint64_t first,
                   uint64_t count, json_t *fields, const void *payload, size_t bytes);
/* The next n messages of the topic are lost. */
void pretender_lose(struct pretender *p, int stream, const char *topic, int n);

/* The next hop: label with these probabilities, mask, spectrogram, audio, input. */
void pretender_hop(struct pretender *p, int stream, const float probabilities[PRETENDER_CLASSES]);
/* So many hops with nothing in them. */
void pretender_quiet(struct pretender *p, int stream, int hops);
/* An event begins or ends where the stream is. Returns its id. */
uint64_t pretender_onset(struct pretender *p, int stream, int class, double probability);
void pretender_end(struct pretender *p, int stream, int class, double probability);
/* A whole event of so many hops, with hops of quiet before and behind. Returns its id. */
uint64_t pretender_sound(struct pretender *p, int stream, int class, double probability, int hops);

/* What the input holds at a position, as the recorder gets it: -0.5 to 0.5. audio is half of it. */
float pretender_sample(uint64_t position);
extern const char *const pretender_labels[PRETENDER_CLASSES];

/* The recorder */

struct recorder {
    pid_t pid;
    char dir[200]; /* config, log, history; removed at the end */
    char history[240], config[240], log[240];
};

/* A new temporary directory in `parent` (NULL: in memory) with a configuration: [focald] and,
 * unless the text has it, min_free = 0 are added. */
void recorder_prepare(struct recorder *r, const char *parent, const struct pretender *p,
                      const char *data, const char *config);
void recorder_configure(struct recorder *r, const char *data, const char *config);
/* limit_bytes: RLIMIT_FSIZE of it, or 0. */
void recorder_start(struct recorder *r, long limit_bytes);
int recorder_stop(struct recorder *r); /* SIGTERM; the exit status, -1 when it hung */
void recorder_kill(struct recorder *r);
bool recorder_lives(struct recorder *r);
void recorder_clean(struct recorder *r);
bool recorder_logged(const struct recorder *r, const char *text);
/* Until it has logged that (40 s), or the test fails. */
void recorder_wait_log(const struct recorder *r, const char *text);
void recorder_print_log(const struct recorder *r);

/* A command of focal-record on its history; its output, to be freed. *ret_status may be NULL. */
char *recorder_run(const struct recorder *r, int *ret_status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A number from its database. */
int64_t recorder_number(const struct recorder *r, const char *sql);
char *recorder_text(const struct recorder *r, const char *sql); /* to be freed; "" for NULL */
/* Until the query gives at least `least` (20 s), or the test fails. */
void recorder_wait(const struct recorder *r, const char *sql, int64_t least);
/* Begins to write its database, so that nobody else can. ROLLBACK or closing it ends that. */
sqlite3 *recorder_lock(const struct recorder *r);
/* verify says that all is whole. */
void recorder_must_be_whole(const struct recorder *r);
/* The samples of a FLAC file of the history; *ret_n: how many. To be freed. */
float *recorder_samples(const struct recorder *r, const char *file, size_t *ret_n);

double seconds(void);

#endif
