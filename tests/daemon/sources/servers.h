/* SPDX-License-Identifier: Apache-2.0
 * Real audio servers for tests, each private to the test that starts it and found by its children
 * through the environment: a jackd with the dummy driver, and a PipeWire with WirePlumber, a null
 * sink and a silent source in a runtime directory of its own. A keeper process ends them when the
 * test stops them, returns, crashes or is killed.
 *
 *     struct servers *s = servers_new();
 *     if (!servers_start_jack(s, reason))   // exports JACK_DEFAULT_SERVER
 *         ... say "skipped: reason", exit 77
 *     servers_stop_jack(s);                 // and start it again, as often as needed
 *     servers_free(s);
 *
 * To see whether jackd is there, servers_start_jack opens a client of its own; libjack allows that
 * in a process only when no client of a server that ended is left, so wait for SOURCE_WAITING
 * before it.
 *
 * Start and stop are idempotent. The environment stays exported between stop and start, so that a
 * focald that runs on finds the same server again. */
#ifndef FOCALD_TESTS_SERVERS_H
#define FOCALD_TESTS_SERVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { SERVERS_REASON = 256, SERVERS_RATE_HZ = 48000 };

/* What the private PipeWire has. */
#define SERVERS_SINK "focald-test-sink"     /* stereo, plays to nowhere */
#define SERVERS_SOURCE "focald-test-source" /* stereo silence, the default source */

struct servers;

/* Makes a temporary directory; NULL when that fails. One at a time in a process. */
struct servers *servers_new(void);
/* Stops everything, removes the directory; takes NULL. */
void servers_free(struct servers *s);

/* True when the server answers. False with the reason when its program is missing or it does not
 * come up within ten seconds. */
bool servers_start_jack(struct servers *s, char reason[static SERVERS_REASON]);
void servers_stop_jack(struct servers *s);
void servers_kill_jack(struct servers *s); /* as a crash would end it */
/* As a debugger, or a driver that hangs, would halt it: its socket is there and nobody answers. */
void servers_hang_jack(struct servers *s, bool hang);

/* Likewise; exports XDG_RUNTIME_DIR, PIPEWIRE_RUNTIME_DIR and XDG_CONFIG_HOME. */
bool servers_start_pipewire(struct servers *s, char reason[static SERVERS_REASON]);
void servers_stop_pipewire(struct servers *s);
void servers_kill_pipewire(struct servers *s);
/* It is there, keeps its connections and does nothing, until it goes on. */
void servers_hang_pipewire(struct servers *s, bool hang);

/* The temporary directory, for the test's own files; servers_free removes it with all in it. */
const char *servers_dir(const struct servers *s);

/* A program of the test's own (pw-play, pw-loopback …; argv ends in NULL), kept like the servers,
 * its output in servers_dir()/NAME.log. Returns an id for servers_end, or negative. */
int servers_run(struct servers *s, const char *const argv[]);
/* SIGTERM to it and all it started, after a second SIGKILL; waits. */
void servers_end(struct servers *s, int id);
/* SIGKILL at once; waits. */
void servers_kill(struct servers *s, int id);
/* SIGSTOP, or SIGCONT. */
void servers_hang(struct servers *s, int id, bool hang);

bool servers_has_program(const char *name);

#endif
